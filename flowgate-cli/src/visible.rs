//! Making control characters visible, so that no text of a document can command the terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// A name, a path or another piece of one line. Line breaks count as control characters.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\t' && commands(c))
}

/// A text of many lines.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| !matches!(c, '\t' | '\n') && commands(c))
}

/// True for what a terminal obeys and does not show, and for what turns the order of letters round.
fn commands(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes characters as `\u001b`, which means the same character in JSON and in quoted YAML.
fn escape(text: &str, escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if escaped(c) {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out_and_the_rest_stays() {
        assert_eq!(
            one_line("a\u{1b}[2J\n\u{9b}é\t"),
            "a\\u001b[2J\\u000a\\u009bé\t"
        );
        assert_eq!(lines("a\r\n\u{202e}b"), "a\\u000d\n\\u202eb");
        assert!(matches!(lines("größe: 1\n"), Cow::Borrowed(_)));
    }
}
