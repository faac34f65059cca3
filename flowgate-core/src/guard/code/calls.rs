//! Calls in a program, with as much of their arguments as is plain to see.

use super::super::format::Language;
use super::super::value::{TEMP_NAME, UNKNOWN_TEXT};
use super::super::walk::{Origin, Walker};
use super::lex::{Token, tokens};
use super::sinks::{Sink, sink};

/// The most parts of an expression that are followed.
const MOST_PARTS: usize = 64;

/// Scans a program for calls that delete, run or send something.
pub(crate) fn scan(walker: &mut Walker<'_>, language: Language, code: &str, span: (u32, u32)) {
    let tokens = tokens(language, code);
    walker.work(tokens.len() * 4);
    let closes = closes(&tokens);
    let mut program = Program {
        walker,
        language,
        tokens: &tokens,
        closes: &closes,
        span,
        names: Vec::new(),
        last_call: None,
    };
    program.run();
}

/// For each opening mark, where it is closed.
fn closes(tokens: &[Token]) -> Vec<u32> {
    let mut closes = vec![tokens.len() as u32; tokens.len()];
    let mut open = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark(b'(' | b'[' | b'{') => open.push(i),
            Token::Mark(b')' | b']' | b'}') => {
                if let Some(start) = open.pop() {
                    closes[start] = i as u32;
                }
            }
            _ => {}
        }
    }
    closes
}

struct Program<'p, 'w> {
    walker: &'p mut Walker<'w>,
    language: Language,
    tokens: &'p [Token],
    closes: &'p [u32],
    span: (u32, u32),
    /// What names stand for: modules, functions, constant texts (with a leading `=`).
    names: Vec<(String, String)>,
    /// The call that was just closed: its name, first argument, and where it ended.
    last_call: Option<(String, String, usize)>,
}

impl Program<'_, '_> {
    fn run(&mut self) {
        if self.language == Language::Python {
            self.loops();
        }
        let mut i = 0;
        while i < self.tokens.len() {
            match &self.tokens[i] {
                Token::Command(code) => self.shell(&code.clone()),
                Token::Name(name) => {
                    let name = name.clone();
                    self.name(i, &name);
                }
                Token::Text(text) if self.language == Language::Awk => {
                    let piped = |t: Option<&Token>| t == Some(&Token::Mark(b'|'));
                    if piped(self.tokens.get(i + 1))
                        && matches!(self.tokens.get(i + 2), Some(Token::Name(n)) if n == "getline")
                        || i > 0 && piped(self.tokens.get(i - 1))
                    {
                        self.shell(&text.clone());
                    }
                }
                _ => {}
            }
            i += 1;
        }
    }

    /// `for NAME in …`: what the name may stand for. A comprehension uses it before it is named.
    fn loops(&mut self) {
        for i in 0..self.tokens.len().saturating_sub(3) {
            let [Token::Name(word), Token::Name(name), Token::Name(into)] = &self.tokens[i..i + 3]
            else {
                continue;
            };
            if word != "for" || into != "in" || self.names.len() >= 64 {
                continue;
            }
            let mut end = self.expression_end(i + 3);
            let colon = (i + 3..end).find(|&n| self.tokens[n] == Token::Mark(b':'));
            end = colon.unwrap_or(end);
            let value = self.value(i + 3, end, 0);
            self.names.push((name.clone(), format!("={value}")));
        }
    }

    fn name(&mut self, i: usize, name: &str) {
        match name {
            "import" | "from"
                if matches!(self.language, Language::Python | Language::Javascript) =>
            {
                return self.import(i);
            }
            _ => {}
        }
        match self.tokens.get(i + 1) {
            Some(Token::Mark(b'(')) => {
                let close = self.closes[i + 1] as usize;
                self.call(i, name, i + 2, close);
            }
            Some(Token::Mark(b'='))
                if !matches!(
                    self.tokens.get(i + 2),
                    Some(Token::Mark(b'=' | b'>' | b'~'))
                ) =>
            {
                self.assign(i, name)
            }
            // zx and Bun: $`command`
            Some(Token::Text(_))
                if (name == "$" || name.ends_with(".$"))
                    && self.language == Language::Javascript =>
            {
                self.call(i, name, i + 1, i + 2)
            }
            // Ruby and Perl call without parentheses.
            Some(Token::Text(_) | Token::Name(_) | Token::Mark(b'['))
                if matches!(
                    self.language,
                    Language::Ruby | Language::Perl | Language::Php
                ) =>
            {
                let end = self.statement_end(i + 1);
                self.call(i, name, i + 1, end);
            }
            // `gateway.customer.delete` with nothing after it is a call in Ruby.
            _ if self.language == Language::Ruby && name.contains('.') => {
                let resolved = self.resolve(i, name);
                self.walker.call_rules(&resolved, true, self.span);
            }
            _ => {}
        }
    }

    fn statement_end(&self, from: usize) -> usize {
        let mut i = from;
        while let Some(token) = self.tokens.get(i) {
            match token {
                Token::Mark(b'(' | b'[' | b'{') => i = self.closes[i] as usize,
                Token::Mark(b'\n' | b';' | b')' | b'}') => return i,
                Token::Name(name)
                    if i > from
                        && matches!(
                            name.as_str(),
                            "if" | "unless" | "and" | "or" | "while" | "do" | "then"
                        ) =>
                {
                    return i;
                }
                _ => {}
            }
            i += 1;
        }
        self.tokens.len()
    }

    /// `import x as y`, `from x import y as z`, `import { y } from 'x'`.
    fn import(&mut self, at: usize) {
        let mut i = at + 1;
        let mut words: Vec<String> = Vec::new();
        while let Some(token) = self.tokens.get(i) {
            match token {
                Token::Name(name) => words.push(name.clone()),
                Token::Text(text) => words.push(format!("'{}", module(text))),
                Token::Mark(b'\n' | b';') => break,
                Token::Mark(b',') => words.push(",".to_owned()),
                _ => {}
            }
            i += 1;
        }
        let from = self.tokens[at] == Token::Name("from".to_owned());
        if self.language == Language::Javascript {
            let Some(source) = words.iter().rev().find_map(|w| w.strip_prefix('\'')) else {
                return;
            };
            let source = source.to_owned();
            for (n, word) in words
                .iter()
                .enumerate()
                .filter(|(_, w)| !w.starts_with('\'') && !matches!(w.as_str(), "from" | "as" | ","))
            {
                let renamed = n >= 2 && words[n - 1] == "as";
                let target = if renamed && words[n - 2] != "*" {
                    format!("{source}.{}", words[n - 2])
                } else {
                    format!("{source}.{word}")
                };
                self.names.push((
                    word.clone(),
                    if n == 0 || renamed && n < 3 {
                        source.clone()
                    } else {
                        target
                    },
                ));
            }
            return;
        }
        let source = if from {
            words.first().cloned().unwrap_or_default()
        } else {
            String::new()
        };
        let list: Vec<String> = if from {
            words
                .into_iter()
                .skip_while(|w| w != "import")
                .skip(1)
                .collect()
        } else {
            words
        };
        for item in list.split(|w| w == ",") {
            let (Some(first), last) = (item.first(), item.last()) else {
                continue;
            };
            let full = if from {
                format!("{source}.{first}")
            } else {
                first.clone()
            };
            if let Some(last) = last.filter(|l| *l != first || from) {
                self.names.push((last.clone(), full));
            }
        }
    }

    /// `x = …`, where the value is plain to see.
    fn assign(&mut self, i: usize, name: &str) {
        let end = self.expression_end(i + 2);
        // `const { rmSync } = require('fs')` has its names before the equals sign.
        if let Some(source) = self.required(i + 2) {
            self.names.push((name.to_owned(), source));
            return;
        }
        let value = self.value(i + 2, end, 0);
        self.names.push((name.to_owned(), format!("={value}")));
        if self.names.len() > 512 {
            self.names.drain(..256);
        }
    }

    /// The module that `require('x')` or `__import__('x')` gives.
    fn required(&self, at: usize) -> Option<String> {
        match self.tokens.get(at..at + 3)? {
            [Token::Name(call), Token::Mark(b'('), Token::Text(text)]
                if matches!(
                    call.as_str(),
                    "require" | "__import__" | "import" | "importlib.import_module"
                ) =>
            {
                Some(module(text).to_owned())
            }
            _ => None,
        }
    }

    fn expression_end(&self, from: usize) -> usize {
        let mut i = from;
        while let Some(token) = self.tokens.get(i) {
            match token {
                Token::Mark(b'(' | b'[' | b'{') => {
                    i = (self.closes[i] as usize).min(self.tokens.len())
                }
                Token::Mark(b'\n' | b';' | b',' | b')' | b']' | b'}') => return i,
                _ => {}
            }
            i += 1;
        }
        self.tokens.len()
    }

    /// The full name of a callee: aliases resolved, members of calls joined to them.
    fn resolve(&self, i: usize, name: &str) -> String {
        if let Some(member) = name.strip_prefix('.') {
            return match &self.last_call {
                Some((call, argument, end))
                    if *end + 1 == i
                        && matches!(
                            call.as_str(),
                            "require" | "__import__" | "importlib.import_module"
                        ) =>
                {
                    format!("{}.{member}", module(argument))
                }
                Some((call, _, end)) if *end + 1 == i => format!("{call}.{member}"),
                _ => format!(".{member}"),
            };
        }
        let (first, rest) = name.split_once('.').map_or((name, ""), |(f, r)| (f, r));
        match self.names.iter().rev().find(|(n, _)| n == first) {
            Some((_, target)) if !target.starts_with('=') => {
                if rest.is_empty() {
                    target.clone()
                } else {
                    format!("{target}.{rest}")
                }
            }
            _ => name.to_owned(),
        }
    }

    fn call(&mut self, i: usize, name: &str, start: usize, end: usize) {
        let end = end.min(self.tokens.len());
        // `def system(` defines, it does not call.
        if i > 0
            && matches!(&self.tokens[i - 1], Token::Name(n) if matches!(n.as_str(), "def" | "function" | "sub" | "class" | "func"))
        {
            return;
        }
        let resolved = self.resolve(i, name);
        let last = resolved.rsplit('.').next().unwrap_or(&resolved).to_owned();
        let member_of = if name.starts_with('.') {
            self.last_call.clone()
        } else {
            None
        };
        let first = self.argument(start, end, 0);
        self.last_call = Some((resolved.clone(), first.clone().unwrap_or_default(), end));
        let bare = self.tokens[start.min(end)..end]
            .iter()
            .all(|t| matches!(t, Token::Mark(b'{' | b'}' | b'\n' | b' ')));
        self.walker.call_rules(&resolved, bare, self.span);
        self.request(&last, first.as_deref().unwrap_or_default(), start, end);
        let Some(sink) = sink(self.language, &resolved, &last) else {
            return;
        };
        // `Path('x').unlink()`: the path is what the member belongs to.
        let path = match (&first, &member_of) {
            (_, Some((call, argument, _)))
                if call.ends_with("Path")
                    || call.ends_with("Pathname")
                    || call.ends_with("Pathname.new")
                    || call.ends_with("File") =>
            {
                argument.clone()
            }
            (Some(path), _) => path.clone(),
            // `path.unlink()`: what the name before the dot stands for.
            (None, _) => {
                let object = name.rsplit_once('.').map_or("", |(object, _)| object);
                let known = self.names.iter().rev().find(|(n, _)| n == object);
                known
                    .and_then(|(_, value)| value.strip_prefix('='))
                    .unwrap_or(UNKNOWN_TEXT)
                    .to_owned()
            }
        };
        let span = self.span;
        match sink {
            Sink::Command => self.command(start, end),
            Sink::Code => self.walker.language(self.language, &path, Origin::at(span, None), span),
            Sink::Sql => self.walker.program_sql(&path, span),
            Sink::DeleteTree => self.walker.run_call(&["rm", "-rf", "--", &path], span),
            Sink::DeleteFile => self.walker.run_call(&["rm", "-f", "--", &path], span),
            Sink::DeleteMaybeTree => {
                let recursive = self.tokens[start..end].iter().any(|t| matches!(t, Token::Name(n) if n == "recursive"));
                self.walker.run_call(&["rm", if recursive { "-rf" } else { "-f" }, "--", &path], span);
            }
            Sink::Move => {
                let to = self.argument(start, end, 1).unwrap_or_else(|| UNKNOWN_TEXT.to_owned());
                self.walker.run_call(&["mv", "--", &path, &to], span);
            }
            Sink::Write => self.walker.truncates(&path, span),
            Sink::WriteMode => {
                if self.tokens[start..end].iter().skip(1).any(|t| matches!(t, Token::Text(mode) if mode.len() <= 3 && mode.starts_with(['w', '>']))) {
                    self.walker.truncates(&path, span);
                }
            }
        }
    }

    /// A call that sends an HTTP request: `requests.delete(url)`, `x.request('DELETE', url)`,
    /// `fetch(url, { method: 'DELETE' })`.
    fn request(&mut self, last: &str, first: &str, start: usize, end: usize) {
        let is_address = |text: &str| text.starts_with("http://") || text.starts_with("https://");
        let (method, address) = match last {
            "request" if !is_address(first) => {
                let second = self.argument(start, end, 1).unwrap_or_default();
                if !is_address(&second) {
                    return;
                }
                (first.to_owned(), second)
            }
            _ if !is_address(first) => return,
            "delete" | "put" | "patch" | "post" => (last.to_owned(), first.to_owned()),
            "del" => ("delete".to_owned(), first.to_owned()),
            _ => {
                let named = self.tokens[start..end]
                    .windows(3)
                    .find_map(|three| match three {
                        [
                            Token::Name(key) | Token::Text(key),
                            Token::Mark(b':' | b'='),
                            Token::Text(method),
                        ] if key == "method" => Some(method.clone()),
                        _ => None,
                    });
                let Some(method) = named else { return };
                (method, first.to_owned())
            }
        };
        self.walker
            .run_call(&["curl", "-X", &method, &address], self.span);
    }

    /// Runs what a call runs: one text for a shell, or words.
    fn command(&mut self, start: usize, end: usize) {
        let mut words: Vec<String> = Vec::new();
        let mut list = false;
        for index in 0..MOST_PARTS {
            let Some((from, to)) = self.argument_range(start, end, index) else {
                break;
            };
            // Options: `shell=True`, `{ cwd: … }`, `cwd: '/x'`.
            if matches!(self.tokens.get(from), Some(Token::Mark(b'{')))
                || matches!(self.tokens.get(from..from + 2), Some([Token::Name(n), Token::Mark(b'=' | b':')]) if n != "args")
            {
                continue;
            }
            if self.tokens.get(from) == Some(&Token::Mark(b'[')) {
                list = true;
                let close = (self.closes[from] as usize).min(to);
                for item in 0..MOST_PARTS {
                    let Some(word) = self.argument(from + 1, close, item) else {
                        break;
                    };
                    words.push(word);
                }
            } else {
                words.push(self.value(from, to, 0));
            }
        }
        match words.as_slice() {
            [] => {}
            [code] if !list => self.shell(&code.clone()),
            _ => {
                let refs: Vec<&str> = words.iter().map(String::as_str).collect();
                self.walker.run_call(&refs, self.span);
            }
        }
    }

    fn shell(&mut self, code: &str) {
        let origin = Origin::at(self.span, None);
        self.walker
            .elsewhere(|walker| walker.substitute(code, origin));
    }

    /// The range of an argument.
    fn argument_range(&self, start: usize, end: usize, index: usize) -> Option<(usize, usize)> {
        let (mut from, mut i, mut n) = (start, start, 0);
        while i < end {
            match self.tokens[i] {
                Token::Mark(b'(' | b'[' | b'{') => i = (self.closes[i] as usize).min(end),
                Token::Mark(b',') => {
                    if n == index {
                        return Some((from, i));
                    }
                    n += 1;
                    from = i + 1;
                }
                Token::Mark(b'\n') if from == i => from = i + 1,
                _ => {}
            }
            i += 1;
        }
        (n == index && from < end).then_some((from, end))
    }

    /// The value of an argument.
    fn argument(&mut self, start: usize, end: usize, index: usize) -> Option<String> {
        let (from, to) = self.argument_range(start, end, index)?;
        Some(self.value(from, to, 0))
    }

    /// The value of an expression, with unknown parts.
    fn value(&self, from: usize, to: usize, depth: usize) -> String {
        let mut out = String::new();
        let mut i = from;
        let mut parts = 0;
        while i < to && parts < MOST_PARTS {
            parts += 1;
            match &self.tokens[i] {
                Token::Text(text) => out.push_str(text),
                // Perl: unlink glob "*.o"
                Token::Name(name)
                    if name == "glob" && matches!(self.tokens.get(i + 1), Some(Token::Text(_))) => {
                }
                Token::Name(name) => {
                    let call = self.tokens.get(i + 1) == Some(&Token::Mark(b'('));
                    let close = if call {
                        (self.closes[i + 1] as usize).min(to)
                    } else {
                        i
                    };
                    out.push_str(&self.named(name, call, i + 2, close, depth));
                    i = close;
                }
                // `Path('a') / 'b'`
                Token::Mark(b'/') if !out.is_empty() => out.push('/'),
                Token::Mark(b'(') => {
                    let close = (self.closes[i] as usize).min(to);
                    if depth < 8 {
                        out.push_str(&self.value(i + 1, close, depth + 1));
                    }
                    i = close;
                }
                Token::Mark(b'+' | b'.' | b'\n' | b' ') => {}
                Token::Mark(b'[') => {
                    // os.environ['HOME'] has been read with its name.
                    i = (self.closes[i] as usize).min(to);
                }
                _ => out.push_str(UNKNOWN_TEXT),
            }
            i += 1;
        }
        out
    }

    fn named(&self, name: &str, call: bool, start: usize, close: usize, depth: usize) -> String {
        let resolved = self.resolve(usize::MAX, name);
        let last = resolved.rsplit('.').next().unwrap_or_default();
        if !call {
            let environment = |key: &str| resolved.ends_with(key);
            if environment("env.HOME") {
                return self.walker.context.home.clone();
            }
            if matches!(resolved.as_str(), "os.environ" | "ENV" | "process.env")
                && matches!(self.tokens.get(start.saturating_sub(1)..start + 1), Some([Token::Mark(b'['), Token::Text(k)]) if k == "HOME")
            {
                return self.walker.context.home.clone();
            }
            return match self.names.iter().rev().find(|(n, _)| n == name) {
                Some((_, value)) => value.strip_prefix('=').unwrap_or(UNKNOWN_TEXT).to_owned(),
                None if matches!(name, "__dirname" | "__dir__") => ".".to_owned(),
                None => UNKNOWN_TEXT.to_owned(),
            };
        }
        if depth >= 8 {
            return UNKNOWN_TEXT.to_owned();
        }
        let items = || -> Vec<String> {
            (0..MOST_PARTS)
                .map_while(|n| self.argument_range(start, close, n))
                .map(|(f, t)| self.value(f, t, depth + 1))
                .collect()
        };
        match last {
            "join" | "resolve" | "joinpath" => items().join("/"),
            "glob" | "iglob" if !name.starts_with('.') => {
                items().first().cloned().unwrap_or_default()
            }
            "glob" | "rglob" => format!("/{}", items().first().map_or("*", |g| g.as_str())),
            "iterdir" => "/*".to_owned(),
            "listdir" | "scandir" => {
                format!("{}/*", items().first().map_or(".", |d| d.as_str()))
            }
            "Path" | "PurePath" | "str" | "abspath" | "realpath" | "normpath" | "String"
            | "new" | "expand_path" => self.expanded(items().first().cloned().unwrap_or_default()),
            "expanduser" => self.expanded(items().first().cloned().unwrap_or_default()),
            "home" | "homedir" => self.walker.context.home.clone(),
            "getcwd" | "cwd" | "pwd" => self.walker.context.cwd.clone(),
            "mkdtemp" | "mkdtempSync" | "mktmpdir" | "TemporaryDirectory" | "mkstemp" => {
                TEMP_NAME.to_owned()
            }
            "gettempdir" | "tmpdir" => "/tmp".to_owned(),
            "getenv" if items().first().is_some_and(|k| k == "HOME") => {
                self.walker.context.home.clone()
            }
            _ => UNKNOWN_TEXT.to_owned(),
        }
    }

    fn expanded(&self, path: String) -> String {
        match path.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                format!("{}{rest}", self.walker.context.home)
            }
            _ => path,
        }
    }
}

fn module(text: &str) -> &str {
    text.strip_prefix("node:").unwrap_or(text)
}
