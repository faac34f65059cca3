//! What expressions come to, as far as that is plain to see.

use super::{MOST_PARTS, Program};
use crate::guard::code::lex::Token;
use crate::guard::value::{TEMP_NAME, UNKNOWN_TEXT};

/// The longest value that is followed, in bytes.
const LONGEST: usize = 4096;

impl Program<'_, '_> {
    pub(super) fn expression_end(&self, from: usize) -> usize {
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

    /// The range of an argument.
    pub(super) fn argument_range(
        &self,
        start: usize,
        end: usize,
        index: usize,
    ) -> Option<(usize, usize)> {
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
    pub(super) fn argument(&mut self, start: usize, end: usize, index: usize) -> Option<String> {
        let (from, to) = self.argument_range(start, end, index)?;
        Some(self.value(from, to, 0))
    }

    /// The value of an expression, with unknown parts.
    pub(super) fn value(&self, from: usize, to: usize, depth: usize) -> String {
        let mut out = String::new();
        let mut i = from;
        let mut parts = 0;
        while i < to && parts < MOST_PARTS && out.len() <= LONGEST {
            parts += 1;
            match &self.tokens[i] {
                Token::Text(text) => out.push_str(text),
                // Perl: unlink glob "*.o"
                Token::Name(name)
                    if name == "glob" && matches!(self.tokens.get(i + 1), Some(Token::Text(_))) => {
                }
                // Ruby: Dir["*"]
                Token::Name(name)
                    if name == "Dir" && self.tokens.get(i + 1) == Some(&Token::Mark(b'[')) =>
                {
                    let close = (self.closes[i + 1] as usize).min(to);
                    if depth < 8 {
                        out.push_str(&self.value(i + 2, close, depth + 1));
                    }
                    i = close;
                }
                Token::Name(name) => {
                    let call = self.tokens.get(i + 1) == Some(&Token::Mark(b'('));
                    let close = if call {
                        (self.closes[i + 1] as usize).min(to)
                    } else {
                        i
                    };
                    // What belongs to a module that was just loaded begins anew.
                    if call && name.contains("readdir") {
                        out.clear();
                    }
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
        // What stands for itself, over and over, would double each time.
        if parts > 1 && out.len() > LONGEST {
            return UNKNOWN_TEXT.to_owned();
        }
        out
    }

    pub(super) fn named(
        &self,
        name: &str,
        call: bool,
        start: usize,
        close: usize,
        depth: usize,
    ) -> String {
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
            "glob" => format!("/{}", items().first().map_or("*", |g| g.as_str())),
            "rglob" => format!("/**/{}", items().first().map_or("*", |g| g.as_str())),
            "walk" if !name.starts_with('.') => {
                format!("{}/**/*", items().first().map_or(".", |d| d.as_str()))
            }
            "iterdir" => "/*".to_owned(),
            "listdir" | "scandir" | "readdir" | "readdirSync" => {
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

    pub(super) fn expanded(&self, path: String) -> String {
        match path.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                format!("{}{rest}", self.walker.context.home)
            }
            _ => path,
        }
    }
}
