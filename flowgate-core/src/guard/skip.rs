//! Finding the end of what nests: quotes, substitutions, heredocs.
//!
//! Iterative, with a stack on the heap when nesting is deep, and linear. Offsets are bytes; an
//! end that is missing is the end of the text.

use memchr::memchr;
use smallvec::SmallVec;

/// What encloses the current position.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Nest {
    /// `$(( … ))` and parentheses inside it.
    Arithmetic,
    /// `` `…` ``.
    Backtick,
    /// `${ … }`.
    Brace,
    /// `$( … )`, `<( … )`, `( … )`.
    #[default]
    Command,
    /// `"…"`.
    Double,
    /// A line of commands, up to its newline.
    Line,
}

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    nest: Nest,
    /// `case … esac` that are open, where `)` ends a pattern and not the substitution.
    cases: u16,
}

/// Finds the end of what began just before `at`: the offset after its closing character, and
/// whether there was one.
pub(crate) fn skip(bytes: &[u8], at: usize, nest: Nest) -> (usize, bool) {
    let mut stack: SmallVec<[Frame; 8]> = SmallVec::new();
    stack.push(Frame { nest, cases: 0 });
    let mut heredocs: Vec<Delimiter> = Vec::new();
    let mut i = at;
    let mut word_start = true;
    while let Some(&byte) = bytes.get(i) {
        let Some(top) = stack.last_mut() else {
            return (i, true);
        };
        let inner = top.nest;
        let was_start = std::mem::take(&mut word_start);
        if matches!(inner, Nest::Command | Nest::Line) && was_start && top_case(bytes, i, top) {
            i += 4;
            continue;
        }
        match (inner, byte) {
            (_, b'\\') => i += 1,
            (Nest::Backtick, b'`')
            | (Nest::Double, b'"')
            | (Nest::Brace, b'}')
            | (Nest::Arithmetic, b')') => {
                stack.pop();
            }
            (Nest::Backtick, _) => {}
            (Nest::Command, b')') => {
                if top.cases > 0 {
                    word_start = true;
                } else {
                    stack.pop();
                }
            }
            (Nest::Line, b'\n') => return (i, true),
            (_, b'`') => stack.push(Frame {
                nest: Nest::Backtick,
                cases: 0,
            }),
            (_, b'$') if bytes.get(i + 1) == Some(&b'(') => {
                if bytes.get(i + 2) == Some(&b'(') {
                    stack.push(Frame {
                        nest: Nest::Arithmetic,
                        cases: 0,
                    });
                    stack.push(Frame {
                        nest: Nest::Arithmetic,
                        cases: 0,
                    });
                    i += 2;
                } else {
                    stack.push(Frame {
                        nest: Nest::Command,
                        cases: 0,
                    });
                    word_start = true;
                    i += 1;
                }
            }
            (_, b'$') if bytes.get(i + 1) == Some(&b'{') => {
                stack.push(Frame {
                    nest: Nest::Brace,
                    cases: 0,
                });
                i += 1;
            }
            (Nest::Double, _) => {}
            (Nest::Arithmetic, b'(') => stack.push(Frame {
                nest: Nest::Arithmetic,
                cases: 0,
            }),
            (_, b'"') => stack.push(Frame {
                nest: Nest::Double,
                cases: 0,
            }),
            (_, b'\'') => i = skip_single(bytes, i + 1, i > 0 && bytes[i - 1] == b'$') - 1,
            (Nest::Command, b'(') => {
                stack.push(Frame {
                    nest: Nest::Command,
                    cases: 0,
                });
                word_start = true;
            }
            (Nest::Command | Nest::Line, b'#') if was_start => {
                i = memchr(b'\n', &bytes[i..]).map_or(bytes.len(), |n| i + n);
                word_start = true;
                continue;
            }
            (Nest::Command, b'<')
                if bytes.get(i + 1) == Some(&b'<') && bytes.get(i + 2) != Some(&b'<') =>
            {
                let delimiter = Delimiter::read(bytes, i + 2);
                i = delimiter.end;
                heredocs.push(delimiter);
                continue;
            }
            (Nest::Command, b'<') if bytes.get(i + 1) == Some(&b'<') => i += 2,
            (Nest::Command, b'\n') => {
                word_start = true;
                let mut next = i + 1;
                for delimiter in heredocs.drain(..) {
                    next = delimiter.body(bytes, next).1;
                }
                i = next;
                continue;
            }
            (Nest::Command | Nest::Line, b' ' | b'\t' | b';' | b'&' | b'|') => word_start = true,
            _ => {}
        }
        i += 1;
        if stack.is_empty() {
            return (i, true);
        }
    }
    (bytes.len(), nest == Nest::Line)
}

/// Skips `case` and `esac`, keeping count of those that are open.
fn top_case(bytes: &[u8], at: usize, frame: &mut Frame) -> bool {
    let word = bytes.get(at..at + 4).unwrap_or_default();
    let ends = bytes.get(at + 4).is_none_or(|b| b" \t\n;)&|".contains(b));
    if word == b"case" && ends {
        frame.cases = frame.cases.saturating_add(1);
        true
    } else if word == b"esac" && ends && frame.cases > 0 {
        frame.cases -= 1;
        true
    } else {
        false
    }
}

/// Finds the offset after the quote that ends `'…'` (or `$'…'`, where backslashes count).
pub(crate) fn skip_single(bytes: &[u8], at: usize, ansi: bool) -> usize {
    if !ansi {
        return memchr(b'\'', &bytes[at..]).map_or(bytes.len(), |n| at + n + 1);
    }
    let mut i = at;
    while let Some(&byte) = bytes.get(i) {
        match byte {
            b'\\' => i += 1,
            b'\'' => return i + 1,
            _ => {}
        }
        i += 1;
    }
    bytes.len()
}

/// The word after `<<`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delimiter {
    word: Vec<u8>,
    /// Whether a part of it is quoted: then the body is not expanded.
    pub(crate) quoted: bool,
    /// `<<-`: leading tabs are removed.
    pub(crate) tabs: bool,
    /// Offset after it.
    pub(crate) end: usize,
}

impl Delimiter {
    /// Reads the delimiter that stands after `<<`.
    pub(crate) fn read(bytes: &[u8], at: usize) -> Self {
        let mut i = at;
        let mut out = Self {
            tabs: bytes.get(i) == Some(&b'-'),
            ..Self::default()
        };
        if out.tabs {
            i += 1;
        }
        while matches!(bytes.get(i), Some(b' ' | b'\t')) {
            i += 1;
        }
        while let Some(&byte) = bytes.get(i) {
            match byte {
                b'\'' | b'"' => {
                    out.quoted = true;
                    let end = memchr(byte, &bytes[i + 1..]).map_or(bytes.len(), |n| i + 1 + n);
                    out.word.extend_from_slice(&bytes[i + 1..end]);
                    i = (end + 1).min(bytes.len());
                }
                b'\\' => {
                    out.quoted = true;
                    out.word.extend(bytes.get(i + 1));
                    i = (i + 2).min(bytes.len());
                }
                b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' => break,
                _ => {
                    out.word.push(byte);
                    i += 1;
                }
            }
        }
        out.end = i;
        out
    }

    /// Finds the body that begins at `at`: the offset of its end and of the line after it.
    pub(crate) fn body(&self, bytes: &[u8], at: usize) -> (usize, usize) {
        let mut line = at.min(bytes.len());
        while line < bytes.len() {
            let end = memchr(b'\n', &bytes[line..]).map_or(bytes.len(), |n| line + n);
            let mut text = &bytes[line..end];
            while self.tabs && text.first() == Some(&b'\t') {
                text = &text[1..];
            }
            if text.strip_suffix(b"\r").unwrap_or(text) == self.word.as_slice() {
                return (line, (end + 1).min(bytes.len()));
            }
            line = end + 1;
        }
        (bytes.len(), bytes.len())
    }
}
