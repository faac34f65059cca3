//! Characters that JSON writes as two escapes, `\ud83d\ude00`, and YAML as one.

use std::borrow::Cow;

/// The text with every such pair replaced by its character, which both understand.
pub(crate) fn join(text: &str) -> Cow<'_, str> {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        match pair(escape) {
            Some(character) => {
                out.push(character);
                rest = &escape[12..];
            }
            None => {
                // An escaped backslash starts no escape of its own.
                let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&escape[..length]);
                rest = &escape[length..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn pair(escape: &str) -> Option<char> {
    let unit = |from: usize| {
        let digits = escape.get(from..from + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    char::decode_utf16([unit(0)?, unit(6)?])
        .next()?
        .ok()
        .filter(|c| c.len_utf16() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pairs_are_joined() {
        assert_eq!(join(r#"{"a": "\ud83d\uDE00!"}"#), "{\"a\": \"\u{1f600}!\"}");
        for text in [
            r#""\ud83d""#,
            r#""\ude00\ud83d""#,
            r#""\\ud83d\\ude00""#,
            r#""\u00e9\ud7ff""#,
            "\\",
            "\\\u{e9}",
        ] {
            assert_eq!(join(text), text);
        }
    }
}
