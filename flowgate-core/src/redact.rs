//! Hiding secrets in what is shown to people.

use crate::yaml::{Entry, Node, Value};

/// What stands in the place of a secret.
pub const HIDDEN: &str = "********";

/// True if the value under a key of this name is probably a secret.
///
/// The names are those of LiteLLM's and CLIProxyAPI's settings and of common environment variables.
///
/// ```
/// use flowgate_core::redact::is_secret_key;
///
/// assert!(is_secret_key("api_key") && is_secret_key("OPENAI_API_KEY") && is_secret_key("master-key"));
/// assert!(!is_secret_key("api_key_ref") && !is_secret_key("max_tokens"));
/// ```
pub fn is_secret_key(key: &str) -> bool {
    const ENDINGS: [&str; 15] = [
        "apikey",
        "api_key",
        "access_key",
        "access_key_id",
        "auth_token",
        "authorization",
        "client_secret",
        "encryption_key",
        "master_key",
        "passwd",
        "password",
        "private_key",
        "salt_key",
        "secret",
        "secret_key",
    ];
    let key = key.to_ascii_lowercase().replace('-', "_");
    key == "token"
        || key.ends_with("_token")
        || key.ends_with("_secret")
        || ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// A copy of a document in which the values of secret keys are hidden.
///
/// References such as `os.environ/NAME` are no secrets and stay.
pub fn redact_document(node: &Node) -> Node {
    let value = match &node.value {
        Value::Sequence(items) => Value::Sequence(items.iter().map(redact_document).collect()),
        Value::Mapping(entries) => Value::Mapping(entries.iter().map(redact_entry).collect()),
        other => other.clone(),
    };
    Node {
        value,
        span: node.span,
    }
}

fn redact_entry(entry: &Entry) -> Entry {
    let mut shown = Entry {
        value: redact_document(&entry.value),
        ..entry.clone()
    };
    let secret = match &entry.value.value {
        Value::String(text) => !text.is_empty() && !text.starts_with("os.environ/"),
        Value::Integer(_) | Value::Float(_) => true,
        _ => false,
    };
    if secret && is_secret_key(&entry.key) {
        shown.value.value = Value::String(HIDDEN.to_owned());
    }
    shown
}

/// A line of a YAML or JSON text in which the values of secret keys are replaced by as many `*`,
/// so that columns still count.
///
/// ```
/// use flowgate_core::redact::redact_line;
///
/// assert_eq!(redact_line("{ api_key: sk-1, model: x }"), "{ api_key: ****, model: x }");
/// ```
pub fn redact_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut in_braces = false;
    while let Some(colon) = rest.find(':') {
        let (before, after) = rest.split_at(colon + 1);
        out.push_str(before);
        in_braces |= before.contains('{');
        rest = after;
        let key = before[..colon].trim_end().trim_end_matches(['"', '\'']);
        let start = key
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .map_or(0, |at| {
                at + key[at..].chars().next().map_or(1, char::len_utf8)
            });
        if !is_secret_key(&key[start..]) {
            continue;
        }
        let blank = rest.len() - rest.trim_start().len();
        let value = &rest[blank..];
        let end = end_of_value(value, in_braces);
        out.push_str(&rest[..blank]);
        if value[..end].starts_with("os.environ/") {
            out.push_str(&value[..end]);
        } else {
            out.extend(value[..end].chars().map(|_| '*'));
        }
        rest = &value[end..];
    }
    out.push_str(rest);
    out
}

/// Where the value at the start of a text ends: at its closing quote, before ` #`, or in braces
/// before `,` or `}`. In doubt later rather than earlier, for broken lines are shown too.
fn end_of_value(text: &str, in_braces: bool) -> usize {
    let quoted = closing_quote(text).unwrap_or(0);
    let rest = &text[quoted..];
    if quoted > 0 && rest.trim_start().starts_with([',', '}', ']', '#']) {
        return quoted;
    }
    let brace = if in_braces {
        rest.find([',', '}'])
    } else {
        None
    };
    let rest = brace.map_or(rest, |end| &rest[..end]);
    let rest = rest.find(" #").map_or(rest, |end| &rest[..end]);
    quoted + rest.trim_end().len()
}

/// Where a quoted text ends.
fn closing_quote(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped && quote == '"';
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents_hide_secrets_and_keep_references() {
        let node: Node = serde_json::from_str(
            r#"{"api_key":"sk-1","list":[{"OPENAI_API_KEY":"sk-2","master_key":3}],"api_key_ref":"main","token":"os.environ/T","max_tokens":5,"password":""}"#,
        )
        .unwrap();
        assert_eq!(
            serde_json::to_string(&redact_document(&node)).unwrap(),
            r#"{"api_key":"********","list":[{"OPENAI_API_KEY":"********","master_key":"********"}],"api_key_ref":"main","token":"os.environ/T","max_tokens":5,"password":""}"#
        );
    }

    #[test]
    fn lines_keep_their_length() {
        for (line, shown) in [
            ("  api_key: sk-1  # mine", "  api_key: ****  # mine"),
            (
                r#"{"api_key":"a\"b","x":"é"}"#,
                r#"{"api_key":******,"x":"é"}"#,
            ),
            ("password: 'it, is' # c", "password: ******** # c"),
            ("api_key: os.environ/X", "api_key: os.environ/X"),
            ("password: a,b}c # d", "password: ***** # d"),
            (r#"{ password: "a"b", x: y }"#, "{ password: *****, x: y }"),
            ("plain: text", "plain: text"),
            ("secret:", "secret:"),
        ] {
            let found = redact_line(line);
            assert_eq!(found.chars().count(), line.chars().count(), "{found}");
            assert_eq!(found.replace(' ', ""), shown.replace(' ', ""), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_known_secret_passes(secret in "sk-[A-Za-z0-9]{8,20}", key in "(api_key|OPENAI_API_KEY|client-secret|password|x_token)", quote in "(\"|'|)", before in "[ {]{0,3}") {
            let line = format!("{before}{key}: {quote}{secret}{quote}");
            prop_assert!(!redact_line(&line).contains(&secret));
        }

        #[test]
        fn any_line_keeps_its_length(line in "\\PC{0,60}") {
            prop_assert_eq!(redact_line(&line).chars().count(), line.chars().count());
        }
    }
}
