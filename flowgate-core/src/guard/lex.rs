//! Shell text to tokens: words, operators, redirections with their heredocs.
//!
//! Knows nothing of grammar. Words keep their byte range and what they contain; turning them
//! into values is [`expand`](super::expand).

use memchr::{memchr, memchr2};

use super::skip::{Delimiter, Nest, skip, skip_single};

/// What a word contains beside plain characters.
pub(crate) mod part {
    /// Quotes or backslashes.
    pub(crate) const QUOTE: u8 = 1;
    /// `$…` or backticks.
    pub(crate) const DOLLAR: u8 = 2;
    /// Unquoted `*`, `?` or `[`.
    pub(crate) const GLOB: u8 = 4;
    /// An unquoted `{`.
    pub(crate) const BRACE: u8 = 8;
    /// A tilde at the start (or after `=` or `:`).
    pub(crate) const TILDE: u8 = 16;
    /// `<(…)` or `>(…)`.
    pub(crate) const PROCESS: u8 = 32;
    /// `NAME=(…)`.
    pub(crate) const ARRAY: u8 = 64;
    /// A `=`: it may be an assignment.
    pub(crate) const EQUALS: u8 = 128;
    /// Everything that needs expansion.
    pub(crate) const COMPLEX: u8 = QUOTE | DOLLAR | BRACE | TILDE | PROCESS | ARRAY;
}

/// A word: a byte range and the kinds of parts in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Word {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) parts: u8,
}

impl Word {
    pub(crate) fn text<'t>(&self, code: &'t str) -> &'t str {
        code.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// Whether it is `NAME=value`, if it stands where one may.
    pub(crate) fn is_assignment(&self, code: &str) -> bool {
        self.parts & part::EQUALS != 0 && assignment(self.text(code)).is_some()
    }

    /// Its value, if that stands in the code: nothing in it needs expansion, or all of it is one
    /// pair of quotes with nothing to expand between them.
    pub(crate) fn spelled<'t>(&self, code: &'t str) -> Option<&'t str> {
        let text = self.text(code);
        match self.parts & part::COMPLEX {
            0 => return Some(text),
            part::QUOTE => {}
            _ => return None,
        }
        let inner = text.get(1..text.len().checked_sub(1)?)?;
        let one = match (text.as_bytes()[0], text.as_bytes()[text.len() - 1]) {
            (b'\'', b'\'') => memchr(b'\'', inner.as_bytes()).is_none(),
            (b'"', b'"') => memchr2(b'"', b'\\', inner.as_bytes()).is_none(),
            _ => false,
        };
        one.then_some(inner)
    }
}

/// Splits `NAME=value`, `NAME+=value`, `NAME[i]=value`: the name, and where the value begins.
pub(crate) fn assignment(text: &str) -> Option<(&str, usize)> {
    let bytes = text.as_bytes();
    if !bytes
        .first()
        .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
    {
        return None;
    }
    let name = bytes
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
        .count();
    let mut at = name;
    if bytes.get(at) == Some(&b'[') {
        at += memchr::memchr(b']', &bytes[at..])? + 1;
    }
    if bytes.get(at) == Some(&b'+') {
        at += 1;
    }
    (bytes.get(at) == Some(&b'=')).then(|| (&text[..name], at + 1))
}

/// A control operator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Op {
    And,
    Background,
    Close,
    DoubleSemi,
    Newline,
    Open,
    Or,
    Pipe,
    Semi,
}

/// What a redirection does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Direction {
    /// `>>`.
    Append,
    /// `2>&1`, `<&-`.
    Duplicate,
    /// `<<`, with its body.
    Heredoc,
    /// `<`.
    #[default]
    Read,
    /// `<<<`.
    String,
    /// `>`, `>|`, `&>`, `<>`.
    Truncate,
}

/// A redirection. For a heredoc, `target` is its body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Redirect {
    pub(crate) direction: Direction,
    /// The file descriptor, or 255 if the usual one.
    pub(crate) fd: u8,
    pub(crate) target: Word,
    /// The heredoc's delimiter was quoted: the body is not expanded.
    pub(crate) literal: bool,
    /// `<<-`.
    pub(crate) tabs: bool,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token {
    End,
    Op(Op),
    Redirect(Redirect),
    Word(Word),
}

/// Reads tokens from shell text.
#[derive(Debug)]
pub(crate) struct Lexer<'t> {
    code: &'t str,
    bytes: &'t [u8],
    at: usize,
    /// End of the line that has heredocs, and where the text goes on after their bodies.
    heredoc_line: usize,
    heredoc_next: usize,
    /// A quote or substitution was not closed.
    pub(crate) unbalanced: bool,
}

const PLAIN: u8 = 0;
const META: u8 = 1;
const SPECIAL: u8 = 2;

/// Class of every byte inside a word.
static CLASS: [u8; 256] = {
    let mut table = [PLAIN; 256];
    let meta = b" \t\n;&|()<>\r";
    let special = b"'\"\\$`*?[{~=+@!";
    let mut i = 0;
    while i < meta.len() {
        table[meta[i] as usize] = META;
        i += 1;
    }
    i = 0;
    while i < special.len() {
        table[special[i] as usize] = SPECIAL;
        i += 1;
    }
    table
};

impl<'t> Lexer<'t> {
    pub(crate) fn new(code: &'t str) -> Self {
        Self {
            code,
            bytes: code.as_bytes(),
            at: 0,
            heredoc_line: usize::MAX,
            heredoc_next: 0,
            unbalanced: false,
        }
    }

    /// Reads the next token.
    pub(crate) fn token(&mut self) -> Token {
        self.skip_blanks();
        let Some(&byte) = self.bytes.get(self.at) else {
            return Token::End;
        };
        let next = self.bytes.get(self.at + 1).copied().unwrap_or(0);
        match byte {
            b'\n' => {
                if self.at == self.heredoc_line {
                    self.at = self.heredoc_next;
                    self.heredoc_line = usize::MAX;
                } else {
                    self.at += 1;
                }
                Token::Op(Op::Newline)
            }
            b';' if next == b';' => {
                let more = matches!(self.bytes.get(self.at + 2), Some(b'&'));
                self.op(Op::DoubleSemi, 2 + usize::from(more))
            }
            b';' if next == b'&' => self.op(Op::DoubleSemi, 2),
            b';' => self.op(Op::Semi, 1),
            b'&' if next == b'&' => self.op(Op::And, 2),
            b'&' if next == b'>' => {
                let append = self.bytes.get(self.at + 2) == Some(&b'>');
                self.at += 2 + usize::from(append);
                self.redirect(
                    if append {
                        Direction::Append
                    } else {
                        Direction::Truncate
                    },
                    255,
                )
            }
            b'&' => self.op(Op::Background, 1),
            b'|' if next == b'|' => self.op(Op::Or, 2),
            b'|' if next == b'&' => self.op(Op::Pipe, 2),
            b'|' => self.op(Op::Pipe, 1),
            b'(' => self.op(Op::Open, 1),
            b')' => self.op(Op::Close, 1),
            b'<' | b'>' if next == b'(' => Token::Word(self.word()),
            b'<' | b'>' => self.angle(255),
            _ => {
                let word = self.word();
                self.descriptor(word)
                    .map_or(Token::Word(word), |fd| self.angle(fd))
            }
        }
    }

    /// Offset of the next byte to read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes on at another offset.
    pub(crate) fn seek(&mut self, at: usize) {
        self.at = at.min(self.bytes.len());
    }

    /// Skips blanks and returns the byte that follows, 0 at the end.
    pub(crate) fn peek(&mut self) -> u8 {
        self.skip_blanks();
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn op(&mut self, op: Op, len: usize) -> Token {
        self.at += len;
        Token::Op(op)
    }

    fn skip_blanks(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\\' if self.bytes.get(self.at + 1) == Some(&b'\n') => self.at += 2,
                b'#' => {
                    self.at = memchr(b'\n', &self.bytes[self.at..])
                        .map_or(self.bytes.len(), |n| self.at + n)
                }
                _ => return,
            }
        }
    }

    /// The number before `<` or `>`, if the word is one (or `{name}`).
    fn descriptor(&self, word: Word) -> Option<u8> {
        if !matches!(self.bytes.get(self.at), Some(b'<' | b'>'))
            || self.bytes.get(self.at + 1) == Some(&b'(')
        {
            return None;
        }
        let text = word.text(self.code);
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Some(text.parse().unwrap_or(254));
        }
        let name = text.strip_prefix('{')?.strip_suffix('}')?;
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
            .then_some(254)
    }

    /// Reads a redirection at `<` or `>`.
    fn angle(&mut self, fd: u8) -> Token {
        let rest = &self.bytes[self.at..];
        let (direction, len) = match rest {
            [b'<', b'<', b'<', ..] => (Direction::String, 3),
            [b'<', b'<', ..] => return self.heredoc(fd),
            [b'<', b'>', ..] => (Direction::Append, 2),
            [b'<', b'&', ..] => (Direction::Duplicate, 2),
            [b'>', b'>', ..] => (Direction::Append, 2),
            [b'>', b'|', ..] => (Direction::Truncate, 2),
            [b'>', b'&', ..] => (Direction::Duplicate, 2),
            [b'<', ..] => (Direction::Read, 1),
            _ => (Direction::Truncate, 1),
        };
        self.at += len;
        let token = self.redirect(direction, fd);
        let Token::Redirect(mut redirect) = token else {
            return token;
        };
        let target = redirect.target.text(self.code);
        let number = target
            .trim_end_matches('-')
            .bytes()
            .all(|b| b.is_ascii_digit());
        if redirect.direction == Direction::Duplicate && !number && rest.first() == Some(&b'>') {
            redirect.direction = Direction::Truncate;
        }
        Token::Redirect(redirect)
    }

    fn redirect(&mut self, direction: Direction, fd: u8) -> Token {
        self.skip_blanks();
        let target = match self.bytes.get(self.at) {
            None | Some(b'\n' | b';' | b'|' | b'&' | b')') => Word {
                start: self.at as u32,
                end: self.at as u32,
                parts: 0,
            },
            _ => self.word(),
        };
        Token::Redirect(Redirect {
            direction,
            fd,
            target,
            ..Redirect::default()
        })
    }

    fn heredoc(&mut self, fd: u8) -> Token {
        let delimiter = Delimiter::read(self.bytes, self.at + 2);
        self.at = delimiter.end;
        if self.heredoc_line == usize::MAX {
            let (line, _) = skip(self.bytes, self.at, Nest::Line);
            self.heredoc_line = line;
            self.heredoc_next = (line + 1).min(self.bytes.len());
        }
        let start = self.heredoc_next;
        let (end, next) = delimiter.body(self.bytes, start);
        self.heredoc_next = next;
        Token::Redirect(Redirect {
            direction: Direction::Heredoc,
            fd,
            target: Word {
                start: start as u32,
                end: end as u32,
                parts: 0,
            },
            literal: delimiter.quoted,
            tabs: delimiter.tabs,
        })
    }

    /// Reads a word; the current byte begins one.
    fn word(&mut self) -> Word {
        let start = self.at;
        let mut parts = 0;
        while let Some(&byte) = self.bytes.get(self.at) {
            match CLASS[byte as usize] {
                PLAIN => self.at += 1,
                META => match byte {
                    b'(' if self.array_follows(start) => {
                        parts |= part::ARRAY;
                        self.nested(1, Nest::Command);
                    }
                    b'<' | b'>'
                        if self.bytes.get(self.at + 1) == Some(&b'(')
                            && (self.at == start || parts & part::PROCESS != 0) =>
                    {
                        parts |= part::PROCESS;
                        self.nested(2, Nest::Command);
                    }
                    // A parenthesis can begin no word: whoever asked for one gets it.
                    _ if self.at == start => {
                        self.at += 1;
                        break;
                    }
                    _ => break,
                },
                _ => parts |= self.special(byte, start),
            }
        }
        Word {
            start: start as u32,
            end: self.at as u32,
            parts,
        }
    }

    /// `NAME=(` begins an array.
    fn array_follows(&self, start: usize) -> bool {
        let text = &self.bytes[start..self.at];
        text.len() > 1
            && text.last() == Some(&b'=')
            && (text[0].is_ascii_alphabetic() || text[0] == b'_')
    }

    /// Reads a character of a word that is not plain, and says what it is.
    fn special(&mut self, byte: u8, start: usize) -> u8 {
        let next = self.bytes.get(self.at + 1).copied().unwrap_or(0);
        match byte {
            b'\'' => {
                let end = skip_single(self.bytes, self.at + 1, false);
                self.unbalanced |= self.bytes.get(end - 1) != Some(&b'\'') || end == self.at + 1;
                self.at = end;
                part::QUOTE
            }
            b'"' => {
                let dollar = self.nested(1, Nest::Double);
                part::QUOTE | dollar
            }
            b'\\' => {
                // The escaped character may be longer than a byte; the rest of it is plain.
                self.at = (self.at + 2).min(self.bytes.len());
                part::QUOTE
            }
            b'`' => {
                self.nested(1, Nest::Backtick);
                part::DOLLAR
            }
            b'$' => self.dollar(next),
            b'*' | b'?' | b'[' | b'+' | b'@' | b'!' if next == b'(' => {
                self.nested(2, Nest::Command);
                part::GLOB
            }
            b'*' | b'?' | b'[' => {
                self.at += 1;
                part::GLOB
            }
            b'{' => {
                self.at += 1;
                part::BRACE
            }
            b'=' => {
                self.at += 1;
                part::EQUALS
            }
            b'~' => {
                let first = self.at == start || matches!(self.bytes[self.at - 1], b'=' | b':');
                self.at += 1;
                if first { part::TILDE } else { 0 }
            }
            _ => {
                self.at += 1;
                0
            }
        }
    }

    fn dollar(&mut self, next: u8) -> u8 {
        match next {
            b'(' if self.bytes.get(self.at + 2) == Some(&b'(') => {
                // The outer of the two parentheses.
                let (end, closed) = skip(self.bytes, self.at + 3, Nest::Arithmetic);
                let (end, closed2) = if closed {
                    skip(self.bytes, end, Nest::Arithmetic)
                } else {
                    (end, false)
                };
                self.unbalanced |= !closed2;
                self.at = end;
                part::DOLLAR
            }
            b'(' => {
                self.nested(2, Nest::Command);
                part::DOLLAR
            }
            b'{' => {
                self.nested(2, Nest::Brace);
                part::DOLLAR
            }
            b'\'' => {
                let end = skip_single(self.bytes, self.at + 2, true);
                self.unbalanced |= self.bytes.get(end - 1) != Some(&b'\'');
                self.at = end;
                part::QUOTE
            }
            b'"' => {
                self.at += 1;
                part::QUOTE
            }
            _ => {
                self.at += 1;
                part::DOLLAR
            }
        }
    }

    /// Skips what nests after an opening of `len` bytes; says whether it contains `$` or backticks.
    fn nested(&mut self, len: usize, nest: Nest) -> u8 {
        let start = self.at + len;
        let (end, closed) = skip(self.bytes, start, nest);
        self.unbalanced |= !closed;
        self.at = end;
        let inside = &self.bytes[start.min(end)..end];
        if nest == Nest::Double && memchr2(b'$', b'`', inside).is_none() {
            0
        } else {
            part::DOLLAR
        }
    }
}
