//! Tokens of programming languages: names with dots, strings, marks.

use super::super::format::Language;
use super::super::value::UNKNOWN;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// Text between backticks, where that runs a shell.
    Command(String),
    /// A punctuation mark or the end of a line.
    Mark(u8),
    /// A dotted name; a leading dot if it is a member of what stands before.
    Name(String),
    /// A string; unknown parts are [`UNKNOWN`].
    Text(String),
}

/// Reads the tokens of a program.
pub(crate) fn tokens(language: Language, code: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        language,
        code,
        bytes: code.as_bytes(),
        at: 0,
        out: Vec::new(),
    };
    while lexer.at < lexer.bytes.len() {
        lexer.step();
    }
    lexer.out
}

struct Lexer<'c> {
    language: Language,
    code: &'c str,
    bytes: &'c [u8],
    at: usize,
    out: Vec<Token>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn is(&self, languages: &[Language]) -> bool {
        languages.contains(&self.language)
    }

    fn step(&mut self) {
        use Language::{Awk, Javascript, Lua, Other, Perl, Php, Python, Ruby};
        let byte = self.bytes[self.at];
        match byte {
            b' ' | b'\t' | b'\r' => self.at += 1,
            b'#' if self.is(&[Python, Ruby, Perl, Php, Awk, Other]) => self.line_comment(),
            b'/' if self.peek(1) == b'/' && self.is(&[Javascript, Php, Other]) => {
                self.line_comment()
            }
            b'-' if self.peek(1) == b'-' && self.language == Lua => self.line_comment(),
            b'/' if self.peek(1) == b'*' && self.is(&[Javascript, Php]) => {
                let rest = &self.bytes[self.at + 2..];
                self.at += memchr::memmem::find(rest, b"*/").map_or(rest.len() + 2, |n| n + 4);
            }
            b'/' if self.is(&[Javascript, Ruby, Perl, Awk]) && self.regex_may_begin() => {
                self.regex(b'/', 1)
            }
            b'\'' | b'"' => self.string(byte, false, false),
            b'`' if self.is(&[Javascript, Other]) => self.string(b'`', false, false),
            b'`' if self.is(&[Ruby, Perl, Php]) => {
                let text = self.quoted_text(b'`', false);
                self.out.push(Token::Command(text));
            }
            b'%' if self.language == Ruby
                && matches!(self.peek(1), b'x' | b'q' | b'Q' | b'w' | b'(' | b'{' | b'[')
                && !self.after_value() =>
            {
                self.percent()
            }
            _ if byte.is_ascii_alphabetic()
                || byte == b'_'
                || byte >= 0x80
                || byte == b'$'
                || byte == b'@' && self.language != Python =>
            {
                self.name()
            }
            b'.' if (self.peek(1).is_ascii_alphabetic() || self.peek(1) == b'_')
                && self.after_value() =>
            {
                self.name()
            }
            b'?' if self.peek(1) == b'.' && self.language == Javascript => self.at += 1,
            b'-' if self.peek(1) == b'>'
                && self.is(&[Perl, Php])
                && self.peek(2).is_ascii_alphabetic() =>
            {
                self.at += 2;
                self.name();
                // It belongs to what the call before it gives.
                if let Some(Token::Name(name)) = self.out.last_mut() {
                    name.insert(0, '.');
                }
            }
            _ => {
                self.out.push(Token::Mark(byte));
                self.at += 1;
            }
        }
    }

    fn line_comment(&mut self) {
        self.at =
            memchr::memchr(b'\n', &self.bytes[self.at..]).map_or(self.bytes.len(), |n| self.at + n);
    }

    /// Whether the last token is a value, after which `/` divides and `.` is a member.
    fn after_value(&self) -> bool {
        matches!(
            self.out.last(),
            Some(
                Token::Name(_)
                    | Token::Text(_)
                    | Token::Command(_)
                    | Token::Mark(b')' | b']' | b'}' | b'0'..=b'9')
            )
        )
    }

    fn regex_may_begin(&self) -> bool {
        match self.out.last() {
            Some(Token::Name(name)) => matches!(
                name.as_str(),
                "return"
                    | "if"
                    | "unless"
                    | "and"
                    | "or"
                    | "not"
                    | "split"
                    | "grep"
                    | "when"
                    | "while"
            ),
            Some(Token::Mark(b)) => !matches!(b, b')' | b']' | b'}' | b'0'..=b'9'),
            Some(_) => false,
            None => true,
        }
    }

    /// Skips a pattern and, for `s/…/…/`, its replacement.
    fn regex(&mut self, delimiter: u8, parts: usize) {
        let close = closing(delimiter);
        self.at += 1;
        for part in 0..parts {
            if part > 0 && close != delimiter {
                while self.at < self.bytes.len() && self.bytes[self.at] != delimiter {
                    self.at += 1;
                }
                self.at += 1;
            }
            let mut depth = 0;
            while let Some(&byte) = self.bytes.get(self.at) {
                match byte {
                    b'\\' => self.at += 1,
                    _ if byte == close && depth == 0 => break,
                    _ if byte == close => depth -= 1,
                    _ if byte == delimiter => depth += 1,
                    b'\n' if self.language == Language::Javascript => break,
                    _ => {}
                }
                self.at += 1;
            }
            self.at = (self.at + 1).min(self.bytes.len());
        }
        // `s/…/…/e` runs its replacement as code, which is too rare to follow.
        while self.peek(0).is_ascii_alphabetic() {
            self.at += 1;
        }
        self.out.push(Token::Text(String::new()));
    }

    fn name(&mut self) {
        use Language::{Perl, Python, Ruby};
        let start = self.at;
        if self.peek(0) == b'.' {
            self.at += 1;
        }
        loop {
            while matches!(self.peek(0), b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | b'@' | 0x80..)
            {
                self.at += 1;
            }
            if matches!(self.peek(0), b'!' | b'?')
                && self.is(&[Ruby, Language::Other])
                && self.peek(1) != b'='
            {
                self.at += 1;
            }
            let begins = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b'$';
            if self.peek(0) == b'.'
                && begins(self.peek(1))
                && self.language != Perl
                && self.language != Language::Php
            {
                self.at += 1;
            } else if match (self.peek(0), self.peek(1)) {
                (b'?', b'.') | (b':', b':') => begins(self.peek(2)),
                (b'-', b'>') => begins(self.peek(2)) && self.is(&[Perl, Language::Php]),
                _ => false,
            } {
                self.at += 2;
            } else {
                break;
            }
        }
        let text = self.code.get(start..self.at).unwrap_or_default();
        let next = self.peek(0);
        let prefix = text.len() <= 2 && text.bytes().all(|b| b"rRbBfFuU".contains(&b));
        if self.language == Python && prefix && matches!(next, b'\'' | b'"') {
            let raw = text.contains(['r', 'R']);
            let format = text.contains(['f', 'F']);
            return self.string(next, raw, format);
        }
        if self.language == Perl && self.perl_quote(text) {
            return;
        }
        let name = text
            .replace("::", ".")
            .replace("->", ".")
            .replace("?.", ".");
        self.out.push(Token::Name(name));
    }

    /// `q(…)`, `qq{…}`, `qx(…)`, `m/…/`, `s/…/…/`.
    fn perl_quote(&mut self, name: &str) -> bool {
        let mut delimiter = self.peek(0);
        if delimiter == b' ' && matches!(name, "q" | "qq" | "qx" | "qw") {
            delimiter = self.peek(1);
        }
        if !delimiter.is_ascii_punctuation() || matches!(delimiter, b',' | b';' | b')' | b'=') {
            return false;
        }
        match name {
            "s" | "tr" | "y" => self.regex(delimiter, 2),
            "m" | "qr" => self.regex(delimiter, 1),
            "q" | "qq" | "qx" | "qw" => {
                while self.peek(0) == b' ' {
                    self.at += 1;
                }
                let text = self.quoted_text(delimiter, name == "q");
                self.out.push(if name == "qx" {
                    Token::Command(text)
                } else {
                    Token::Text(text)
                });
            }
            _ => return false,
        }
        true
    }

    /// `%x(…)`, `%q{…}`, `%w[…]`.
    fn percent(&mut self) {
        self.at += 1;
        let kind = self.peek(0);
        if kind.is_ascii_alphabetic() {
            self.at += 1;
        }
        let delimiter = self.peek(0);
        if !delimiter.is_ascii_punctuation() {
            return self.out.push(Token::Mark(b'%'));
        }
        let text = self.quoted_text(delimiter, kind == b'q');
        match kind {
            b'x' => self.out.push(Token::Command(text)),
            b'w' => {
                self.out.push(Token::Mark(b'['));
                for word in text.split_ascii_whitespace() {
                    self.out.push(Token::Text(word.to_owned()));
                    self.out.push(Token::Mark(b','));
                }
                self.out.push(Token::Mark(b']'));
            }
            _ => self.out.push(Token::Text(text)),
        }
    }

    fn string(&mut self, quote: u8, raw: bool, format: bool) {
        let triple =
            self.language == Language::Python && self.peek(1) == quote && self.peek(2) == quote;
        if triple {
            let body = self.at + 3;
            let end = memchr::memmem::find(&self.bytes[body..], &[quote; 3])
                .map_or(self.bytes.len(), |n| body + n);
            let text = self.code.get(body..end).unwrap_or_default();
            self.at = (end + 3).min(self.bytes.len());
            let text = if format { blank(text) } else { text.to_owned() };
            return self.out.push(Token::Text(text));
        }
        let text = self.quoted_text(quote, raw);
        self.out
            .push(Token::Text(if format { blank(&text) } else { text }));
    }

    /// Reads a quoted text; interpolated parts are unknown.
    fn quoted_text(&mut self, quote: u8, raw: bool) -> String {
        use Language::{Javascript, Perl, Php, Ruby};
        let close = closing(quote);
        let interpolates = match self.language {
            Ruby => quote != b'\'' && !raw,
            Perl | Php => quote != b'\'' && !raw,
            Javascript => quote == b'`',
            _ => false,
        };
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        let mut depth = 0;
        while let Some(&byte) = self.bytes.get(self.at) {
            let next = self.peek(1);
            match byte {
                _ if byte == close && depth == 0 => break,
                b'\\' if raw => {
                    out.push(byte);
                    if next == close {
                        out.push(next);
                        self.at += 1;
                    }
                }
                b'\\' => {
                    self.at += 1;
                    match next {
                        b'n' => out.push(b'\n'),
                        b't' => out.push(b'\t'),
                        b'x' => {
                            let digits = self
                                .code
                                .get(self.at + 1..self.at + 3)
                                .and_then(|d| u8::from_str_radix(d, 16).ok());
                            out.extend(digits.filter(u8::is_ascii));
                            self.at += 2;
                        }
                        b'\n' => {}
                        _ => out.push(next),
                    }
                }
                b'#' | b'$'
                    if interpolates
                        && next == b'{'
                        && (byte == b'#') == (self.language == Ruby) =>
                {
                    out.push(UNKNOWN as u8);
                    while self.at < self.bytes.len() && self.bytes[self.at] != b'}' {
                        self.at += 1;
                    }
                }
                b'$' if interpolates
                    && matches!(self.language, Perl | Php)
                    && (next.is_ascii_alphabetic() || next == b'_') =>
                {
                    out.push(UNKNOWN as u8);
                    while self.peek(1).is_ascii_alphanumeric() || self.peek(1) == b'_' {
                        self.at += 1;
                    }
                }
                _ => {
                    if close != quote && byte == close {
                        depth -= 1;
                    } else if close != quote && byte == quote {
                        depth += 1;
                    }
                    out.push(byte);
                }
            }
            self.at += 1;
        }
        self.at = (self.at + 1).min(self.bytes.len());
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Replaces what stands in braces by unknown text.
fn blank(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        if let Some(literal) = rest[open + 1..].strip_prefix('{') {
            out.push('{');
            rest = literal;
            continue;
        }
        out.push(UNKNOWN);
        rest = rest[open..]
            .find('}')
            .map_or("", |close| &rest[open + close + 1..]);
    }
    out + rest
}

fn closing(open: u8) -> u8 {
    match open {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        b'<' => b'>',
        other => other,
    }
}
