//! Words to values: quotes removed, substitutions followed, braces and variables expanded.

mod fields;
mod parameter;

use smallvec::SmallVec;

use super::brace;
use super::lex::{Word, part};
use super::skip::{Nest, skip, skip_single};
use super::value::{Flow, Producer, UNKNOWN, UNKNOWN_TEXT};
use super::walk::{Origin, Walker};
use fields::Fields;

/// Whether an unquoted expansion makes several words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Split {
    No,
    Yes,
}

impl Walker<'_> {
    /// Expands a word; analyses the commands that its substitutions run.
    pub(crate) fn expand(
        &mut self,
        code: &str,
        word: Word,
        origin: Origin,
        split: Split,
    ) -> Vec<String> {
        let raw = word.text(code);
        self.work(raw.len());
        if split == Split::Yes
            && word.parts & part::BRACE != 0
            && let Some(words) = brace::expand(raw)
        {
            let span = origin.nested(word.start, word.end, false);
            let mut all = Vec::new();
            for word in words {
                self.work(word.len());
                all.extend(self.expand_text(&word, span, split, false));
            }
            return all;
        }
        self.expand_text(raw, origin.nested(word.start, word.end, true), split, false)
    }

    /// Expands a word to one text (an assigned value, the target of a redirection).
    pub(crate) fn expand_one(&mut self, code: &str, word: Word, origin: Origin) -> String {
        self.expand(code, word, origin, Split::No)
            .into_iter()
            .next()
            .unwrap_or_default()
    }

    /// Expands the body of a heredoc whose delimiter is not quoted.
    pub(crate) fn expand_body(&mut self, body: &str, origin: Origin) -> String {
        if memchr::memchr3(b'$', b'`', b'\\', body.as_bytes()).is_none() {
            return body.to_owned();
        }
        self.expand_text(body, origin, Split::No, true)
            .into_iter()
            .next()
            .unwrap_or_default()
    }

    pub(super) fn expand_text(
        &mut self,
        raw: &str,
        origin: Origin,
        split: Split,
        body: bool,
    ) -> Vec<String> {
        if self.depth >= super::walk::DEPTH {
            self.too_deep(raw);
            return vec![UNKNOWN_TEXT.to_owned()];
        }
        self.depth += 1;
        let mut expansion = Expansion {
            walker: self,
            raw,
            origin,
            split,
            double: body,
            body,
            out: Fields::default(),
            at: 0,
        };
        expansion.run();
        let fields = expansion.out.finish(split);
        self.depth -= 1;
        fields
    }
}

struct Expansion<'e, 'w> {
    walker: &'e mut Walker<'w>,
    raw: &'e str,
    origin: Origin,
    split: Split,
    double: bool,
    /// The text of a heredoc: quotes are plain characters.
    body: bool,
    out: Fields,
    at: usize,
}

impl Expansion<'_, '_> {
    fn run(&mut self) {
        let bytes = self.raw.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            let next = bytes.get(self.at + 1).copied().unwrap_or(0);
            match byte {
                b'\'' if !self.double => {
                    let end = skip_single(bytes, self.at + 1, false);
                    self.literal(
                        self.at + 1,
                        end - usize::from(bytes[end - 1] == b'\'' && end > self.at + 1),
                    );
                    self.at = end;
                }
                b'"' if !self.body => {
                    self.double = !self.double;
                    self.out.push("");
                    self.at += 1;
                }
                b'\\' => self.backslash(next),
                b'$' => self.dollar(next),
                b'`' => self.backticks(),
                b'<' | b'>' if next == b'(' && !self.double => {
                    let (end, closed) = skip(bytes, self.at + 2, Nest::Command);
                    match self.inner(self.at + 2, end - usize::from(closed)) {
                        Flow::Literal(text) if byte == b'<' => self
                            .walker
                            .state
                            .files
                            .push(("/dev/fd/63".to_owned(), text)),
                        Flow::Unknown(producer) => self.came_from(producer),
                        _ => {}
                    }
                    self.out.push("/dev/fd/63");
                    self.at = end;
                }
                b'~' if !self.double && self.tilde() => {}
                _ => {
                    let stop = bytes[self.at + 1..]
                        .iter()
                        .position(|b| b"'\"\\$`<>~".contains(b))
                        .map_or(bytes.len(), |n| self.at + 1 + n);
                    self.literal(self.at, stop);
                    self.at = stop;
                }
            }
        }
    }

    fn literal(&mut self, start: usize, end: usize) {
        let text = self.raw.get(start..end.max(start)).unwrap_or_default();
        self.out.push(text);
    }

    fn backslash(&mut self, next: u8) {
        let plain = self.double
            && !(matches!(next, b'$' | b'`' | b'\\' | b'\n') || next == b'"' && !self.body);
        if plain {
            self.out.push("\\");
            self.at += 1;
            return;
        }
        self.at += 1;
        if next == b'\n' {
            self.at += 1;
            return;
        }
        let Some(c) = self.raw[self.at..].chars().next() else {
            return self.out.push("\\");
        };
        self.literal(self.at, self.at + c.len_utf8());
        self.at += c.len_utf8();
    }

    fn tilde(&mut self) -> bool {
        let bytes = self.raw.as_bytes();
        let first = self.at == 0 || matches!(bytes[self.at - 1], b'=' | b':');
        if !first || !matches!(bytes.get(self.at + 1), None | Some(b'/' | b':')) {
            return false;
        }
        let home = self.walker.context.home.clone();
        self.out.push(&home);
        self.at += 1;
        true
    }

    fn dollar(&mut self, next: u8) {
        let bytes = self.raw.as_bytes();
        match next {
            b'\'' if !self.double => {
                let end = skip_single(bytes, self.at + 2, true);
                let close = usize::from(end > self.at + 2 && bytes[end - 1] == b'\'');
                let text = ansi(self.raw.get(self.at + 2..end - close).unwrap_or_default());
                self.out.push(&text);
                self.at = end;
            }
            b'"' if !self.double => self.at += 1,
            b'(' if bytes.get(self.at + 2) == Some(&b'(') => {
                let (inner, closed) = skip(bytes, self.at + 3, Nest::Arithmetic);
                let end = if closed {
                    skip(bytes, inner, Nest::Arithmetic).0
                } else {
                    inner
                };
                let text = self.raw.get(self.at + 3..inner).unwrap_or_default();
                self.walker.expand_body(
                    text,
                    self.origin.nested((self.at + 3) as u32, inner as u32, true),
                );
                self.out.push("0");
                self.at = end;
            }
            b'(' => {
                let (end, closed) = skip(bytes, self.at + 2, Nest::Command);
                let flow = self.inner(self.at + 2, end - usize::from(closed));
                self.at = end;
                self.substituted(flow);
            }
            b'{' => {
                let (end, closed) = skip(bytes, self.at + 2, Nest::Brace);
                let (start, stop) = (self.at + 2, end - usize::from(closed));
                self.at = end;
                self.parameter(start, stop);
            }
            b'@' | b'*' | b'#' | b'?' | b'$' | b'!' | b'-' | b'0'..=b'9' => {
                let name = (next as char).to_string();
                self.at += 2;
                self.variable(&name);
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let len = bytes[self.at + 1..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
                    .count();
                let name = self.raw[self.at + 1..self.at + 1 + len].to_owned();
                self.at += 1 + len;
                self.variable(&name);
            }
            _ => {
                self.out.push("$");
                self.at += 1;
            }
        }
    }

    fn backticks(&mut self) {
        let (end, closed) = skip(self.raw.as_bytes(), self.at + 1, Nest::Backtick);
        let inner = self
            .raw
            .get(self.at + 1..end - usize::from(closed))
            .unwrap_or_default();
        let (start, stop) = ((self.at + 1) as u32, end as u32);
        self.at = end;
        let flow = if inner.contains('\\') {
            let code = inner
                .replace("\\`", "`")
                .replace("\\$", "$")
                .replace("\\\\", "\\");
            self.walker
                .substitute(&code, self.origin.nested(start, stop, false))
        } else {
            self.walker
                .substitute(inner, self.origin.nested(start, stop, true))
        };
        self.substituted(flow);
    }

    fn inner(&mut self, start: usize, end: usize) -> Flow {
        let code = self.raw.get(start..end).unwrap_or_default();
        self.walker
            .substitute(code, self.origin.nested(start as u32, end as u32, true))
    }

    fn substituted(&mut self, flow: Flow) {
        match flow {
            Flow::Literal(text) => self.values(&[text.trim_end_matches('\n').to_owned()]),
            Flow::Nothing => self.values(&[String::new()]),
            Flow::Unknown(producer) => {
                self.came_from(producer);
                self.out.push(UNKNOWN_TEXT);
            }
        }
    }

    fn came_from(&mut self, producer: Producer) {
        if producer != Producer::Other {
            self.walker.hidden = Some(producer);
        }
    }

    pub(super) fn variable(&mut self, name: &str) {
        let values = self.walker.look_up(name);
        self.values(&values);
    }

    /// Adds the value of an expansion, split into words where the shell would.
    pub(super) fn values(&mut self, values: &[String]) {
        if self.double || self.split == Split::No {
            return self.out.push_any(values);
        }
        let separators = self.separators();
        let splits = |value: &String| value.contains(&*separators);
        if !values.iter().any(splits) {
            if values.iter().any(|v| !v.is_empty()) {
                self.out.push_any(values);
            }
            return;
        }
        for value in values {
            if value.starts_with(&*separators) {
                self.out.end_field();
            }
            let mut words = value
                .split(&*separators)
                .filter(|word| !word.is_empty())
                .peekable();
            while let Some(word) = words.next() {
                self.out.push(word);
                if words.peek().is_some() {
                    self.out.end_field();
                }
            }
            if values.len() > 1 || value.ends_with(&*separators) {
                self.out.end_field();
            }
        }
    }

    /// The characters at which words end: what `IFS` says, if the command sets it.
    fn separators(&self) -> SmallVec<[char; 4]> {
        match self.walker.state.find("IFS") {
            Some([separators]) if !separators.contains(UNKNOWN) => separators.chars().collect(),
            _ => SmallVec::from_slice(&[' ', '\t', '\n', '\r']),
        }
    }
}

/// Decodes the escapes of `$'…'`.
pub(crate) fn ansi(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(escape) = chars.next() else { break };
        let mut digits = |radix: u32, most: usize, first: Option<char>| {
            let mut value = first.and_then(|c| c.to_digit(radix));
            for _ in 0..most - usize::from(first.is_some()) {
                let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else {
                    break;
                };
                value = Some(value.unwrap_or(0) * radix + digit);
                chars.next();
            }
            value.and_then(char::from_u32)
        };
        match escape {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'e' | 'E' => out.push('\u{1b}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            'x' => out.extend(digits(16, 2, None)),
            'u' => out.extend(digits(16, 4, None)),
            'U' => out.extend(digits(16, 6, None)),
            '0'..='7' => out.extend(digits(8, 3, Some(escape))),
            '\\' | '\'' | '"' | '?' => out.push(escape),
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out
}
