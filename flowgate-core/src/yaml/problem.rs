//! What is wrong with a text that should be YAML, in words for its author.

use saphyr_parser::{ScanError, Tag};

use super::compose::{MAX_BYTES, MAX_DEPTH};
use super::scalar::Unrepresentable;
use super::{Node, Value};
use crate::diagnostic::{Diagnostic, Span};

/// The problem of a document that is larger than [`MAX_BYTES`].
pub(crate) fn too_large(bytes: u64) -> Diagnostic {
    let start = Span {
        line: 1,
        column: 1,
        end_line: 1,
        end_column: 1,
    };
    Diagnostic::error(
        "yaml.too_large",
        start,
        format!("the document has {bytes} bytes, more than the {MAX_BYTES} that are read"),
    )
    .hint("is this the right file?")
}

fn point(line: usize, column: usize) -> Span {
    let (line, column) = (
        line.try_into().unwrap_or(u32::MAX),
        column.try_into().unwrap_or(u32::MAX),
    );
    Span {
        line,
        column,
        end_line: line,
        end_column: column.saturating_add(1),
    }
}

/// The line and the column that come after a text. A line ends with a line feed, a carriage return,
/// or both (section 5.4).
fn end_of(text: &str) -> (usize, usize) {
    let returns = text.matches('\r').count() - text.matches("\r\n").count();
    let line = text.matches('\n').count() + returns + 1;
    let last = text.rsplit(['\n', '\r']).next().unwrap_or_default();
    (line, last.chars().count() + 1)
}

/// Characters outside YAML's `c-printable` production (section 5.1).
pub(super) fn forbidden_character(text: &str) -> Option<Diagnostic> {
    let forbidden = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    let (content, found) = text.split('\n').find_map(|content| {
        // Almost every line is plain ASCII, where bytes decide without decoding.
        if content
            .bytes()
            .all(|b| (b' '..=b'~').contains(&b) || b == b'\t' || b == b'\r')
        {
            return None;
        }
        content.find(forbidden).map(|at| (content, at))
    })?;
    let character = content[found..].chars().next().unwrap_or_default();
    let before = &text[..content.as_ptr().addr() - text.as_ptr().addr() + found];
    let (line, column) = end_of(before);
    let message = format!(
        "the character U+{:04X} is not allowed in YAML",
        u32::from(character)
    );
    Some(
        Diagnostic::error("yaml.syntax", point(line, column), message)
            .hint("remove it, or write it as an escape inside double quotes"),
    )
}

pub(super) fn syntax_error(error: &ScanError, text: &str, depth: usize) -> Diagnostic {
    let text = text.trim_end();
    let (last, column) = end_of(text);
    let at = match error.marker().line() {
        // What is missing at the end is missing at the last character.
        line if line > last && !text.is_empty() => point(last, column - 1),
        line => point(line, error.marker().col() + 1),
    };
    if error.info().contains("recursion limit") || depth >= MAX_DEPTH {
        return too_deep(at);
    }
    let diagnostic = Diagnostic::error(
        "yaml.syntax",
        at,
        format!("this is not YAML: {}", error.info()),
    );
    match error.info() {
        info if info.contains("valid YAML whitespace") => {
            diagnostic.hint("put a blank after the colon, not a tab")
        }
        info if info.contains("tab") => {
            diagnostic.hint("indent with spaces: YAML does not allow tabs there")
        }
        info if info.contains("anchor") => {
            diagnostic.hint("an alias `*name` needs an anchor `&name` before it")
        }
        info if info.contains("escape") => diagnostic.hint(
            "in double quotes a backslash starts an escape; use single quotes for plain text",
        ),
        info if info.contains("mapping values") => {
            diagnostic.hint("quote a value that contains `: `")
        }
        _ => diagnostic,
    }
}

pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(
        "yaml.too_deep",
        span,
        format!("nested deeper than {MAX_DEPTH} levels"),
    )
}

pub(super) fn bad_key(node: &Node) -> Diagnostic {
    let message = format!("a key must be a string, not {}", node.kind());
    let hint = match node.value {
        Value::Sequence(_) | Value::Mapping(_) => "write a plain name before the colon",
        _ => "put the key in quotes",
    };
    Diagnostic::error("yaml.key_not_text", node.span, message).hint(hint)
}

pub(super) fn unrepresentable(reason: Unrepresentable, span: Span) -> Diagnostic {
    let message = match reason {
        Unrepresentable::NotFinite => "a number must be finite",
        Unrepresentable::TooLarge => "this number has more digits than can be kept",
    };
    Diagnostic::error("yaml.bad_number", span, message).hint("quote it if it is text")
}

pub(super) fn unknown_tag(tag: &Tag, span: Span) -> Diagnostic {
    let shown = if tag.is_yaml_core_schema() {
        format!("!!{}", tag.suffix)
    } else {
        format!("{}{}", tag.handle, tag.suffix)
    };
    Diagnostic::error(
        "yaml.unknown_tag",
        span,
        format!("the tag `{shown}` is not supported"),
    )
    .hint("remove the tag; a secret from the environment is a credential: `{ env: NAME }`")
}
