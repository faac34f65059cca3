//! Calls in a program, with as much of their arguments as is plain to see.

mod names;
mod values;

use super::lex::{Token, tokens};
use super::sinks::{Sink, sink};
use crate::guard::format::Language;
use crate::guard::value::UNKNOWN_TEXT;
use crate::guard::walk::{Origin, Walker};

/// The most parts of an expression that are followed.
const MOST_PARTS: usize = 64;

/// Functions that take a text out of an encoding.
const DECODERS: [&str; 16] = [
    "a85decode",
    "atob",
    "b32decode",
    "b64decode",
    "b85decode",
    "base64_decode",
    "decode64",
    "decode_base64",
    "decompress",
    "fromhex",
    "gzinflate",
    "gzuncompress",
    "hex2bin",
    "str_rot13",
    "unhexlify",
    "urlsafe_b64decode",
];

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
        self.loops();
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
                    let into = i > 0 && piped(self.tokens.get(i - 1));
                    if into && matches!(text.as_str(), "sh" | "bash" | "/bin/sh" | "/bin/bash") {
                        // print "code" | "sh"
                        let mut begin = self.statement_begin(i - 1);
                        if matches!(self.tokens.get(begin), Some(Token::Name(n)) if n.starts_with("print"))
                        {
                            begin += 1;
                        }
                        let code = self.value(begin, i - 1, 0);
                        self.shell(&code);
                    } else if into
                        || piped(self.tokens.get(i + 1))
                            && matches!(self.tokens.get(i + 2), Some(Token::Name(n)) if n == "getline")
                    {
                        self.shell(&text.clone());
                    }
                }
                // Groovy: "code".execute()
                Token::Text(code) if self.language == Language::Other => {
                    if matches!(self.tokens.get(i + 1), Some(Token::Name(n)) if n == ".execute") {
                        self.shell(&code.clone());
                    }
                }
                Token::Mark(b'=') if self.language == Language::Javascript => self.destructured(i),
                _ => {}
            }
            i += 1;
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
        if self.language == Language::Php && matches!(&*last, "array_map" | "array_walk") {
            return self.each_of(&first.unwrap_or_default(), start, end);
        }
        // `import sh; sh.rm('-rf', path)`: a function for each program.
        if let (Language::Python, Some(("sh", program))) = (self.language, resolved.split_once('.'))
        {
            return self.command(start, end, Some(program));
        }
        if self.language == Language::Perl && matches!(&*last, "find" | "finddepth") {
            return self.perl_find(start, end);
        }
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
        if matches!(sink, Sink::Command | Sink::Code) && self.decodes(start, end) {
            self.walker.special("core.shell:decoded-code", span, false);
        }
        match sink {
            Sink::Command => self.command(start, end, None),
            Sink::Code => self.walker.language(self.language, &path, Origin::at(span, None), span),
            Sink::Sql => self.walker.program_sql(&path, span),
            Sink::DeleteTree => self.walker.run_call(&["rm", "-rf", "--", &path], span),
            Sink::DeleteFile => self.delete_file(&path),
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

    /// Deletes what a path stands for; with `/**/` in it, every such file below.
    fn delete_file(&mut self, path: &str) {
        match path.split_once("/**/") {
            Some((base, below)) => {
                let base = if base.is_empty() { "/" } else { base };
                let name = below.rsplit('/').next().unwrap_or(below);
                let words = ["find", base, "-name", name, "-delete"];
                self.walker.run_call(&words, self.span);
            }
            None => self.walker.run_call(&["rm", "-f", "--", path], self.span),
        }
    }

    /// Whether some of these tokens take a text out of an encoding.
    fn decodes(&self, start: usize, end: usize) -> bool {
        self.tokens[start..end].iter().any(|token| match token {
            Token::Name(name) => {
                name == "codecs.decode"
                    || DECODERS.contains(&name.rsplit('.').next().unwrap_or(name))
            }
            Token::Text(text) => self.language == Language::Javascript && text == "base64",
            _ => false,
        })
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

    /// `array_map('unlink', glob('*'))`: a function that is called by its name.
    fn each_of(&mut self, function: &str, start: usize, end: usize) {
        let (callback, list) = if function.is_empty() || function.contains(['*', '/']) {
            (self.argument(start, end, 1).unwrap_or_default(), 0)
        } else {
            (function.to_owned(), 1)
        };
        let value = self.argument(start, end, list).unwrap_or_default();
        match sink(self.language, &callback, &callback) {
            Some(Sink::DeleteFile) => self.delete_file(&value),
            Some(Sink::Command) => self.shell(&value),
            _ => {}
        }
    }

    /// `finddepth(sub { unlink }, 'dir')`.
    fn perl_find(&mut self, start: usize, end: usize) {
        let deletes = |token: &Token| matches!(token, Token::Name(n) if matches!(&**n, "unlink" | "rmdir" | "rmtree"));
        if self.tokens[start..end].iter().any(deletes)
            && let Some(path) = self.argument(start, end, 1)
        {
            self.walker.run_call(&["rm", "-rf", "--", &path], self.span);
        }
    }

    /// Runs what a call runs: one text for a shell, or words, of which the first may be known.
    fn command(&mut self, start: usize, end: usize, program: Option<&str>) {
        let mut words: Vec<String> = program.into_iter().map(str::to_owned).collect();
        let mut list = program.is_some();
        for index in 0..MOST_PARTS {
            let Some((from, to)) = self.argument_range(start, end, index) else {
                break;
            };
            // Deno: { args: ['-rf', path] }
            let named = |t: &Token| matches!(t, Token::Name(n) if n == "args");
            if let Some(at) = self.tokens[from..to].iter().position(named)
                && let Some([Token::Mark(b':'), Token::Mark(b'[')]) =
                    self.tokens.get(from + at + 1..from + at + 3)
            {
                let close = (self.closes[from + at + 2] as usize).min(to);
                self.items(from + at + 3, close, &mut words);
                continue;
            }
            // Options: `shell=True`, `{ cwd: … }`, `cwd: '/x'`.
            if matches!(self.tokens.get(from), Some(Token::Mark(b'{')))
                || matches!(self.tokens.get(from..from + 2), Some([Token::Name(n), Token::Mark(b'=' | b':')]) if n != "args")
            {
                continue;
            }
            if self.tokens.get(from) == Some(&Token::Mark(b'[')) {
                list = true;
                let close = (self.closes[from] as usize).min(to);
                self.items(from + 1, close, &mut words);
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

    /// The values of a list.
    fn items(&mut self, from: usize, to: usize, words: &mut Vec<String>) {
        for item in 0..MOST_PARTS {
            let Some(word) = self.argument(from, to, item) else {
                return;
            };
            words.push(word);
        }
    }

    fn shell(&mut self, code: &str) {
        let origin = Origin::at(self.span, None);
        self.walker
            .elsewhere(|walker| walker.substitute(code, origin));
    }
}
