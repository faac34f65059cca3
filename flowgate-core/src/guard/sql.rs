//! SQL, read far enough to know which statements destroy data.

use std::borrow::Cow;

use super::format::SqlKind;
use super::value::UNKNOWN;
use super::walk::Arg;

/// Whether the words of a command are a destructive SQL statement; `truncate` is also a tool.
pub(crate) fn is_statement(args: &[Arg<'_>]) -> bool {
    match args[0].text.as_bytes() {
        b"DROP" | b"TRUNCATE" | b"DELETE" | b"ALTER" | b"UPDATE" | b"GRANT" | b"drop"
        | b"delete" => true,
        b"truncate" => {
            args.len() > 1
                && !args[1..]
                    .iter()
                    .any(|a| a.text.starts_with('-') || a.text.contains('/'))
        }
        _ => false,
    }
}

/// The text without the lines that are for the client and no statements: `.headers on`, `\set x`,
/// `DELIMITER //`.
pub(crate) fn statements(text: &str) -> Cow<'_, str> {
    let is_client = |line: &str| {
        let line = line.trim_start();
        line.starts_with(['.', '\\'])
            || line
                .get(..10)
                .is_some_and(|word| word.eq_ignore_ascii_case("delimiter "))
    };
    if !text.lines().any(is_client) {
        return Cow::Borrowed(text);
    }
    let rest: Vec<&str> = text.lines().filter(|line| !is_client(line)).collect();
    Cow::Owned(rest.join("\n"))
}

/// The statements of `EXECUTE 'statement'` in a block of code.
pub(crate) fn executed(text: &str) -> impl Iterator<Item = &str> {
    quoted_after(text, "execute")
}

/// The shell code of `COPY … FROM PROGRAM 'code'`.
pub(crate) fn programs(text: &str) -> impl Iterator<Item = &str> {
    quoted_after(text, "program")
}

/// The texts in quotes that stand after a word.
fn quoted_after<'t>(text: &'t str, word: &'static str) -> impl Iterator<Item = &'t str> {
    let is_word = move |at: &usize| {
        text.get(*at..*at + word.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    let starts = text.char_indices().map(|(at, _)| at).filter(is_word);
    starts.filter_map(move |at| {
        let quoted = text[at + word.len()..].trim_start().strip_prefix('\'')?;
        quoted.split('\'').next()
    })
}

/// The kinds of statement in a text, as bits of [`SqlKind`].
pub(crate) fn kinds(text: &str) -> u32 {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut kinds = 0;
    let mut lexer = Lexer { text, at: 0 };
    while let Some(token) = lexer.next() {
        if token == Token::Mark(b';') {
            kinds |= statement(&tokens);
            tokens.clear();
        } else {
            tokens.push(token);
        }
    }
    kinds | statement(&tokens)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'t> {
    /// An operator or a punctuation mark.
    Mark(u8),
    /// A quoted name.
    Name(&'t str),
    Number(&'t str),
    Text(&'t str),
    Word(&'t str),
}

impl Token<'_> {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

fn bit(kind: SqlKind) -> u32 {
    1 << kind as u32
}

/// The kinds of one statement; a common table expression or a block may hide more.
fn statement(tokens: &[Token<'_>]) -> u32 {
    let mut kinds = 0;
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark(b'(') => depth += 1,
            Token::Mark(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        // A verb begins a statement, follows `AS (`, `BEGIN`, `THEN`, `DO`, `EXPLAIN ANALYZE`.
        let begins = i == 0
            || matches!(tokens[i - 1], Token::Mark(b'(' | b')'))
            || ["begin", "then", "do", "else", "analyze", "go", "loop"]
                .iter()
                .any(|k| tokens[i - 1].is(k));
        if begins {
            kinds |= verb(&tokens[i..]);
        }
    }
    kinds
}

fn verb(tokens: &[Token<'_>]) -> u32 {
    let Some(first) = tokens.first() else {
        return 0;
    };
    let second = tokens.get(1);
    let is = |keyword: &str| second.is_some_and(|t| t.is(keyword));
    if first.is("drop") {
        return bit(if is("database") || is("keyspace") {
            SqlKind::DropDatabase
        } else if is("schema") {
            SqlKind::DropSchema
        } else if is("table") || is("collection") || is("foreign") || is("dataset") {
            SqlKind::DropTable
        } else if matches!(second, Some(Token::Word(_))) {
            SqlKind::DropOther
        } else {
            return 0;
        });
    }
    // MySQL: the logs that a replica or a restore needs.
    let resets = ["master", "binary", "replica", "slave"]
        .iter()
        .any(|what| is(what));
    if first.is("reset") && resets || first.is("purge") && (is("binary") || is("master")) {
        return bit(SqlKind::DropOther);
    }
    // ClickHouse: a deletion as a change of the table.
    if first.is("alter")
        && let Some(at) = tokens.iter().position(|t| t.is("delete"))
        && tokens.get(at + 1).is_none_or(|t| t.is("where"))
        && condition_says_nothing(tokens)
    {
        return bit(SqlKind::DeleteAll);
    }
    if first.is("truncate") && second.is_some() {
        return bit(SqlKind::Truncate);
    }
    if first.is("delete") && matches!(second, Some(Token::Word(_) | Token::Name(_))) {
        return if condition_says_nothing(tokens) {
            bit(SqlKind::DeleteAll)
        } else {
            0
        };
    }
    if first.is("update") && tokens.iter().any(|t| t.is("set")) {
        return if condition_says_nothing(tokens) {
            bit(SqlKind::UpdateAll)
        } else {
            0
        };
    }
    if first.is("alter") && tokens.iter().skip(2).any(|t| t.is("drop")) {
        let what = tokens
            .iter()
            .position(|t| t.is("drop"))
            .and_then(|i| tokens.get(i + 1));
        let harmless = what.is_some_and(|t| {
            [
                "constraint",
                "default",
                "not",
                "identity",
                "expression",
                "index",
                "primary",
                "foreign",
                "check",
            ]
            .iter()
            .any(|k| t.is(k))
        });
        return if harmless { 0 } else { bit(SqlKind::AlterDrop) };
    }
    if first.is("grant") && is("all") {
        let on = tokens.iter().position(|t| t.is("on"));
        let everything = on.is_some_and(|i| {
            matches!(
                tokens.get(i + 1..i + 4),
                Some([Token::Mark(b'*'), Token::Mark(b'.'), Token::Mark(b'*')])
            )
        });
        return if everything {
            bit(SqlKind::GrantAll)
        } else {
            0
        };
    }
    0
}

/// No `WHERE`, or one that is always true.
fn condition_says_nothing(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0usize;
    let mut at = None;
    for (i, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark(b'(') => depth += 1,
            // The end of the parenthesis that the statement stands in.
            Token::Mark(b')') if depth == 0 => break,
            Token::Mark(b')') => depth -= 1,
            _ if depth == 0 && (token.is("where") || token.is("limit")) => {
                at = Some(i + 1);
                break;
            }
            _ => {}
        }
    }
    let Some(at) = at else { return true };
    let condition: Vec<&Token<'_>> = tokens[at..]
        .iter()
        .filter(|t| !matches!(t, Token::Mark(b'(' | b')')))
        .take_while(|t| !t.is("returning") && !t.is("order"))
        .collect();
    let or = condition.split(|t| t.is("or")).filter(|c| !c.is_empty());
    or.clone().count() == 0
        || or
            .into_iter()
            .any(|part| part.split(|t| t.is("and")).all(tautology))
}

fn tautology(part: &[&Token<'_>]) -> bool {
    match part {
        [one] => one.is("true") || matches!(one, Token::Number(n) if *n != "0"),
        [a, Token::Mark(b'='), b] | [a, Token::Mark(b'='), Token::Mark(b'='), b] => a == b,
        [a, like, Token::Text("%")] => {
            like.is("like") && matches!(a, Token::Word(_) | Token::Name(_))
        }
        _ => false,
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn slice(&self, start: usize, end: usize) -> &'t str {
        self.text
            .get(start..end.min(self.text.len()))
            .unwrap_or_default()
    }

    fn next(&mut self) -> Option<Token<'t>> {
        let bytes = self.text.as_bytes();
        loop {
            let &byte = bytes.get(self.at)?;
            let next = bytes.get(self.at + 1).copied().unwrap_or(0);
            let start = self.at;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'-' if next == b'-' => {
                    self.at =
                        memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |n| start + n)
                }
                b'#' if start == 0 || bytes[start - 1].is_ascii_whitespace() => {
                    self.at =
                        memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |n| start + n)
                }
                b'/' if next == b'*' => {
                    let end = memchr::memmem::find(&bytes[start + 2..], b"*/")
                        .map_or(bytes.len(), |n| start + 4 + n);
                    // MySQL runs what stands in `/*! … */`.
                    self.at = if bytes.get(start + 2) == Some(&b'!') {
                        start + 3
                    } else {
                        end
                    };
                    while bytes.get(self.at).is_some_and(u8::is_ascii_digit)
                        && bytes.get(start + 2) == Some(&b'!')
                    {
                        self.at += 1;
                    }
                }
                b'\'' => {
                    self.at = quoted(bytes, start + 1, b'\'');
                    return Some(Token::Text(
                        self.slice(start + 1, self.at.saturating_sub(1).max(start + 1)),
                    ));
                }
                b'"' | b'`' => {
                    self.at = quoted(bytes, start + 1, byte);
                    return Some(Token::Name(
                        self.slice(start + 1, self.at.saturating_sub(1).max(start + 1)),
                    ));
                }
                b'[' => {
                    self.at = quoted(bytes, start + 1, b']');
                    return Some(Token::Name(
                        self.slice(start + 1, self.at.saturating_sub(1).max(start + 1)),
                    ));
                }
                b'$' if self.dollar_quote().is_some() => {
                    let tag = self.dollar_quote().unwrap_or_default();
                    let body = start + tag.len();
                    let end = memchr::memmem::find(&bytes[body..], tag.as_bytes())
                        .map_or(bytes.len(), |n| body + n);
                    self.at = (end + tag.len()).min(bytes.len());
                    return Some(Token::Text(self.slice(body, end)));
                }
                b'0'..=b'9' => {
                    self.at += bytes[start..]
                        .iter()
                        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'.')
                        .count();
                    return Some(Token::Number(self.slice(start, self.at)));
                }
                _ if byte.is_ascii_alphabetic()
                    || byte == b'_'
                    || byte >= 0x80
                    || byte == UNKNOWN as u8 =>
                {
                    self.at += bytes[start..]
                        .iter()
                        .take_while(|b| {
                            b.is_ascii_alphanumeric()
                                || **b == b'_'
                                || **b >= 0x80
                                || **b == UNKNOWN as u8
                        })
                        .count();
                    return Some(Token::Word(self.slice(start, self.at)));
                }
                _ => {
                    self.at += 1;
                    return Some(Token::Mark(byte));
                }
            }
        }
    }

    /// The tag at the current position: `$$`, `$body$`.
    fn dollar_quote(&self) -> Option<&'t str> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        let len = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
            .count();
        (rest.get(len) == Some(&b'$') && !rest.first().is_some_and(u8::is_ascii_digit))
            .then(|| self.slice(self.at, self.at + len + 2))
    }
}

/// The offset after the end of a quoted text in which the quote is doubled or escaped.
fn quoted(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut i = at;
    while let Some(&byte) = bytes.get(i) {
        if byte == b'\\' && quote == b'\'' {
            i += 1;
        } else if byte == quote {
            if bytes.get(i + 1) == Some(&quote) && quote != b']' {
                i += 1;
            } else {
                return i + 1;
            }
        }
        i += 1;
    }
    bytes.len()
}
