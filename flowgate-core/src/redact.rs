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

/// A value as it may be shown, given its path, such as `model_list[0].litellm_params.api_key`.
pub fn redact_at(path: &str, node: &Node) -> Node {
    let key = path.rsplit('.').next().unwrap_or_default();
    redact_entry(&Entry::new(key, node.clone())).value
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
    while let Some(colon) = rest.find(':') {
        let (before, after) = rest.split_at(colon + 1);
        out.push_str(before);
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
        let end = end_of_value(value, out.contains('{'));
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

/// A shell command in which what looks like a secret is hidden, for logs.
///
/// Hidden are values of variables and options whose names say so (`TOKEN=…`, `--password …`),
/// passwords in URLs, what follows `Authorization:` or `Bearer`, and words that begin as the keys
/// of well-known services do. A secret that looks like any other word is not found.
///
/// ```
/// use flowgate_core::redact::redact_command;
///
/// assert_eq!(
///     redact_command("PGPASSWORD=x psql -h db && curl -u a https://me:pw@host --api-key k"),
///     "PGPASSWORD=******** psql -h db && curl -u a https://me:********@host --api-key ********"
/// );
/// ```
pub fn redact_command(command: &str) -> String {
    let mut out = String::with_capacity(command.len());
    let mut hide_next = false;
    for piece in command.split_inclusive(|c: char| c.is_whitespace() || ";|&()<>".contains(c)) {
        let word = piece.trim_end_matches(|c: char| c.is_whitespace() || ";|&()<>".contains(c));
        let rest = &piece[word.len()..];
        let bare = word.trim_matches(['"', '\'', '\\', ',', '{', '}']);
        if bare.is_empty() {
            out.push_str(piece);
            continue;
        }
        if std::mem::take(&mut hide_next) {
            let announces = matches!(
                bare.to_ascii_lowercase().as_str(),
                "bearer" | "basic" | "token" | "="
            );
            if announces {
                out.push_str(piece);
                hide_next = true;
                continue;
            }
            if !bare.starts_with('-') {
                out.push_str(&word.replace(bare, HIDDEN));
                out.push_str(rest);
                continue;
            }
        }
        hide_next = (bare.starts_with('-') && !bare.contains('=') && is_secret_key(bare))
            || bare.strip_suffix(':').is_some_and(is_secret_key)
            || bare.eq_ignore_ascii_case("bearer");
        out.push_str(&redact_word(word, bare));
        out.push_str(rest);
    }
    out
}

fn redact_word(word: &str, bare: &str) -> String {
    const KEYS: [&str; 14] = [
        "AIza",
        "AKIA",
        "ASIA",
        "eyJ",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "hf_",
        "npm_",
        "sk-",
        "sk_live_",
        "xox",
    ];
    if let Some((name, value)) = bare
        .split_once(['=', ':'])
        .filter(|(name, value)| is_secret_key(name.trim_matches(['"', '\''])) && !value.is_empty())
    {
        let value = value.trim_matches(['"', '\'']);
        if !value.is_empty() && !value.starts_with('$') {
            let at = name.len() + 1;
            return word.replace(
                bare,
                &format!("{}{}", &bare[..at], bare[at..].replace(value, HIDDEN)),
            );
        }
    }
    if let Some((scheme, after)) = bare.split_once("://") {
        let authority = after.split('/').next().unwrap_or_default();
        if let Some((user, password)) = authority
            .rsplit_once('@')
            .and_then(|(info, _)| info.split_once(':'))
        {
            let (open, hidden) = (
                format!("{scheme}://{user}:{password}@"),
                format!("{scheme}://{user}:{HIDDEN}@"),
            );
            return word.replace(&open, &hidden);
        }
    }
    let value = bare
        .rsplit('=')
        .next()
        .unwrap_or(bare)
        .trim_matches(['"', '\'']);
    if value.len() >= 16 && KEYS.iter().any(|key| value.starts_with(key)) {
        return word.replace(value, HIDDEN);
    }
    word.to_owned()
}

/// Where the value at the start of a text ends: at its closing quote, before ` #`, or in braces
/// before `,` or `}`. In doubt later rather than earlier, for broken lines are shown too.
fn end_of_value(text: &str, in_braces: bool) -> usize {
    let quoted = closing_quote(text).unwrap_or(0);
    let rest = &text[quoted..];
    if quoted > 0 && rest.trim_start().starts_with([',', '}', ']', '#']) {
        return quoted;
    }
    let brace = rest.find([',', '}']).filter(|_| in_braces);
    let end = brace.into_iter().chain(rest.find(" #")).min();
    quoted + end.map_or(rest, |end| &rest[..end]).trim_end().len()
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
