//! Hiding secrets in what is shown to people.
//!
//! A value is hidden if it stands under a key that names secrets, if it looks like a key of a
//! known provider, or if it is the password in a URL or the argument of an option that names
//! secrets. References such as `os.environ/NAME` are no secrets.

mod command;

use std::fmt;

pub use command::redact_command;

use crate::diagnostic::Span;
use crate::yaml::{self, Entry, Node, Value};

/// What stands in the place of a secret.
pub const HIDDEN: &str = "********";

/// True if the value under a key of this name is probably a secret.
///
/// The names are those of LiteLLM's and CLIProxyAPI's settings and of common environment variables.
///
/// ```
/// use flowgate_core::redact::is_secret_key;
///
/// assert!(is_secret_key("api_key") && is_secret_key("OPENAI_API_KEY") && is_secret_key("api-keys"));
/// assert!(!is_secret_key("api_key_ref") && !is_secret_key("max_tokens"));
/// ```
pub fn is_secret_key(key: &str) -> bool {
    const ENDINGS: [&str; 18] = [
        "apikey",
        "api_key",
        "access_key",
        "access_key_id",
        "authorization",
        "client_secret",
        "encryption_key",
        "management_key",
        "master_key",
        "passphrase",
        "passwd",
        "password",
        "private_key",
        "salt_key",
        "secret",
        "secret_key",
        "_token",
        "webhook_url",
    ];
    let key = key.to_ascii_lowercase().replace('-', "_");
    // `max_tokens` counts; other plurals are lists of secrets.
    let singular = match key.strip_suffix('s') {
        Some(singular) if !key.ends_with("tokens") && !singular.ends_with('s') => singular,
        _ => &key,
    };
    singular == "token" || ENDINGS.iter().any(|ending| singular.ends_with(ending))
}

/// A copy of a document in which secrets are hidden.
pub fn redact_document(node: &Node) -> Node {
    let value = match &node.value {
        Value::String(text) => match secrets_in(text).as_slice() {
            [] => Value::String(text.clone()),
            _ => Value::String(HIDDEN.to_owned()),
        },
        Value::Sequence(items) => Value::Sequence(redact_items(items)),
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
    let secret = path.split(['.', '[', ']', '"']).any(is_secret_key);
    if secret {
        hide_all(node)
    } else {
        redact_document(node)
    }
}

fn redact_entry(entry: &Entry) -> Entry {
    let value = match is_secret_key(&entry.key) {
        true => hide_all(&entry.value),
        false => redact_document(&entry.value),
    };
    Entry {
        value,
        ..entry.clone()
    }
}

/// A list, in which what follows an option such as `--api-key` is hidden too.
fn redact_items(items: &[Node]) -> Vec<Node> {
    let follows_option =
        |index: usize| index > 0 && items[index - 1].as_str().is_some_and(is_secret_option);
    let redact = |(index, item): (usize, &Node)| match follows_option(index) {
        true => hide_all(item),
        false => redact_document(item),
    };
    items.iter().enumerate().map(redact).collect()
}

fn is_secret_option(text: &str) -> bool {
    text.starts_with('-') && !text.contains('=') && is_secret_key(text.trim_start_matches('-'))
}

/// Hides the secrets in a JSON value. Of a text only what is secret is hidden, so that a message or
/// a line of a log still says something.
///
/// ```
/// use flowgate_core::redact::redact_json;
///
/// let mut value = serde_json::json!({ "token": "abc", "line": "login password=abc failed" });
/// redact_json(&mut value);
/// assert_eq!(value["token"], "********");
/// assert_eq!(value["line"], "login password=******** failed");
/// ```
pub fn redact_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = redact_message(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(redact_json),
        serde_json::Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match is_secret_key(key) {
                    true => hide_json(value),
                    false => redact_json(value),
                }
            }
        }
        _ => {}
    }
}

fn hide_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if !is_literal(text) => {}
        serde_json::Value::String(_) | serde_json::Value::Number(_) => *value = HIDDEN.into(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(hide_json),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(hide_json),
        _ => {}
    }
}

/// A text with its secrets hidden, word by word too.
fn redact_message(text: &str) -> String {
    let words = text.split_whitespace().flat_map(secrets_in);
    let mut secrets: Vec<&str> = secrets_in(text).into_iter().chain(words).collect();
    // The word after `api_key:` or `Authorization:`.
    let mut after_key = false;
    for word in text.split_whitespace() {
        if after_key && is_literal(word) && word != "Bearer" {
            secrets.push(word);
        }
        let bare = word.trim_matches(['"', '\'', ',', '{', '(']);
        let names = bare.strip_suffix([':', '=']).unwrap_or_default();
        after_key =
            is_secret_key(names.trim_matches(['"', '\''])) || (after_key && word == "Bearer");
    }
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let hide = |text: String, secret: &str| text.replace(secret, HIDDEN);
    secrets
        .into_iter()
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), hide)
}

/// Everything below a secret key.
fn hide_all(node: &Node) -> Node {
    let value = match &node.value {
        Value::String(text) if !is_literal(text) => node.value.clone(),
        Value::String(_) | Value::Integer(_) | Value::Float(_) => Value::String(HIDDEN.to_owned()),
        Value::Sequence(items) => Value::Sequence(items.iter().map(hide_all).collect()),
        Value::Mapping(entries) => {
            let hide = |entry: &Entry| Entry {
                value: hide_all(&entry.value),
                ..entry.clone()
            };
            Value::Mapping(entries.iter().map(hide).collect())
        }
        Value::Null | Value::Bool(_) => node.value.clone(),
    };
    Node {
        value,
        span: node.span,
    }
}

/// LiteLLM looks `os.environ/NAME` up itself, and what is empty hides nothing.
fn is_literal(text: &str) -> bool {
    !text.trim().is_empty() && !text.starts_with("os.environ/")
}

/// The parts of a text that are secrets by their own look.
fn secrets_in(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // The password of `scheme://user:password@host`.
    if let Some((_, rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let password = authority
            .rsplit_once('@')
            .and_then(|(user, _)| user.split_once(':'));
        found.extend(
            password
                .map(|(_, password)| password)
                .filter(|password| !password.is_empty()),
        );
    }
    if let Some((option, value)) = text.split_once('=') {
        let names_secret = is_secret_option(option) || is_secret_key(option);
        if names_secret && is_literal(value) && !option.contains(char::is_whitespace) {
            found.push(value);
        }
    }
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    found.extend(words.filter(|word| looks_like_key(word)));
    found
}

/// Keys of OpenAI, Anthropic, GitHub, GitLab, Slack, Google and AWS start with marks of their own.
fn looks_like_key(word: &str) -> bool {
    const MARKS: [&str; 18] = [
        "ASIA",
        "eyJ",
        "npm_",
        "sk-",
        "xoxa-",
        "xoxs-",
        "sk_",
        "rk_live_",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "AIza",
        "AKIA",
        "hf_",
    ];
    MARKS
        .iter()
        .any(|mark| word.strip_prefix(mark).is_some_and(|rest| rest.len() >= 8))
}

/// A text in which every secret is replaced by as many `*`, so that lines and columns still count.
///
/// A document that can be read is hidden value by value, however it is written. Of one that cannot,
/// the lines of secret keys and what is indented below them are hidden whole.
///
/// ```
/// use flowgate_core::redact::redact_text;
///
/// assert_eq!(redact_text("api_key: >-\n  sk-1\nmodel: x\n"), "api_key: >-\n  ****\nmodel: x\n");
/// ```
pub fn redact_text(text: &str) -> String {
    let read = yaml::read(text);
    // Where two escapes are one character, columns do not count what is in the text.
    let exact = matches!(yaml::join_surrogates(text), std::borrow::Cow::Borrowed(_));
    match read.root {
        Some(root) if read.complete && exact => {
            let mut spans = Vec::new();
            secret_spans(&root, false, &mut spans);
            mask(text, &spans)
        }
        _ => mask_unreadable(text),
    }
}

fn secret_spans(node: &Node, secret: bool, spans: &mut Vec<Span>) {
    match &node.value {
        Value::Mapping(entries) => {
            for entry in entries {
                secret_spans(&entry.value, secret || is_secret_key(&entry.key), spans);
            }
        }
        Value::Sequence(items) => {
            let mut after_option = false;
            for item in items {
                secret_spans(item, secret || after_option, spans);
                after_option = item.as_str().is_some_and(is_secret_option);
            }
        }
        Value::String(text) if secret && is_literal(text) => spans.push(node.span),
        Value::String(text) if !secrets_in(text).is_empty() => spans.push(node.span),
        Value::Integer(_) | Value::Float(_) if secret => spans.push(node.span),
        _ => {}
    }
}

/// Replaces every character of the spans but blanks and line ends.
fn mask(text: &str, spans: &[Span]) -> String {
    let bom = usize::from(text.starts_with('\u{feff}'));
    let mut lines: Vec<Vec<char>> = text
        .split('\n')
        .map(|line| line.chars().collect())
        .collect();
    for span in spans {
        for number in span.line..=span.end_line {
            let Some(line) = lines.get_mut(number.saturating_sub(1) as usize) else {
                break;
            };
            let skipped = if number == 1 { bom } else { 0 };
            let column =
                |column: u32| (column.saturating_sub(1) as usize + skipped).min(line.len());
            let start = if number == span.line {
                column(span.column)
            } else {
                0
            };
            let end = if number == span.end_line {
                column(span.end_column)
            } else {
                line.len()
            };
            hide_characters(&mut line[start..end.max(start)]);
        }
    }
    let lines: Vec<String> = lines
        .into_iter()
        .map(|line| line.into_iter().collect())
        .collect();
    lines.join("\n")
}

fn hide_characters(characters: &mut [char]) {
    for character in characters.iter_mut().filter(|c| !c.is_whitespace()) {
        *character = '*';
    }
}

/// A text of another format, such as TOML or a file of variables, in which what follows the name of a
/// secret on its line is replaced by as many `*`, and what is indented below it.
///
/// ```
/// use flowgate_core::redact::redact_lines;
///
/// assert_eq!(redact_lines("model = 1\napi_key = \"x1\"\n"), "model = 1\napi_key = ****\n");
/// ```
pub fn redact_lines(text: &str) -> String {
    mask_unreadable(text)
}

fn mask_unreadable(text: &str) -> String {
    // The indentation of the secret key whose value is being hidden.
    let mut below: Option<usize> = None;
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let mut characters: Vec<char> = line.chars().collect();
        let indent = characters.iter().take_while(|c| c.is_whitespace()).count();
        let blank = indent == characters.len();
        if below.is_some_and(|key| blank || indent > key) {
            hide_characters(&mut characters);
        } else {
            below = None;
            if let Some(colon) = secret_colon(&characters) {
                below = Some(indent);
                hide_characters(&mut characters[colon + 1..]);
            } else if !secrets_in(line).is_empty() {
                hide_characters(&mut characters);
            }
        }
        lines.push(characters.into_iter().collect::<String>());
    }
    lines.join("\n")
}

/// The first colon or equals sign of a line that follows a secret key.
fn secret_colon(line: &[char]) -> Option<usize> {
    let mut word = String::new();
    for (index, &c) in line.iter().enumerate() {
        match c {
            ':' | '=' if is_secret_key(&word) => return Some(index),
            c if c.is_alphanumeric() || c == '_' || c == '-' => word.push(c),
            // Between a key and its sign there may be a quote and blanks.
            '"' | '\'' | ' ' | '\t'
                if !word.is_empty()
                    && line[index..]
                        .iter()
                        .find(|c| !matches!(c, '"' | '\'' | ' ' | '\t'))
                        .is_some_and(|c| matches!(c, ':' | '=')) => {}
            _ => word.clear(),
        }
    }
    None
}

/// Shows a document without its secrets, for `{:?}`.
pub(crate) fn debug(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match serde_json::to_string(&redact_document(node)) {
        Ok(json) => f.write_str(&json),
        Err(_) => f.write_str(node.kind()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> String {
        let node: Node = serde_json::from_str(text).unwrap();
        serde_json::to_string(&redact_document(&node)).unwrap()
    }

    #[test]
    fn documents_hide_secrets_and_keep_references() {
        for (document, shown) in [
            (
                r#"{"api_key":"x","a":[{"OPENAI_API_KEY":"y","master_key":3}]}"#,
                r#"{"api_key":"********","a":[{"OPENAI_API_KEY":"********","master_key":"********"}]}"#,
            ),
            (
                r#"{"api_key_ref":"main","token":"os.environ/T","max_tokens":5,"password":""}"#,
                r#"{"api_key_ref":"main","token":"os.environ/T","max_tokens":5,"password":""}"#,
            ),
            (
                r#"{"api-keys":["a",{"b":"c"}],"secrets":null}"#,
                r#"{"api-keys":["********",{"b":"********"}],"secrets":null}"#,
            ),
            (
                r#"{"url":"postgres://u:pw@h/db","plain":"http://h:80/x"}"#,
                r#"{"url":"********","plain":"http://h:80/x"}"#,
            ),
            (
                r#"{"args":["--api-key","x","--token=y","--port","1","sk-proj-12345678"]}"#,
                r#"{"args":["--api-key","********","********","--port","1","********"]}"#,
            ),
        ] {
            assert_eq!(json(document), shown);
        }
        let node = Node::new(Value::String("x".to_owned()));
        assert_eq!(redact_at("a.api_keys[0]", &node).as_str(), Some(HIDDEN));
        assert_eq!(redact_at("a.model[0]", &node).as_str(), Some("x"));
    }

    #[test]
    fn texts_hide_secrets_however_they_are_written() {
        for text in [
            "api_key:\n  SECRET\n",
            "a: {api_key: >-\n}",
            "api_key: |\n  SECRET\n  SECRET\n",
            "? api_key\n: SECRET\n",
            "{\"api_key\": \"abc,SECRET}more\"}",
            "- {password: 'it''s SECRET'}\n",
            "\u{feff}token: SECRET\n",
            "x: &s SECRET\napi_key: *s\n",
            // What cannot be read.
            "api_key: SECRET\n  and SECRET\nb: [\n",
            "a: [\n  {\"api_key\" : SECRET,",
        ] {
            let shown = redact_text(text);
            assert!(!shown.contains("SECRET"), "{text:?} {shown:?}");
            assert_eq!(shown.chars().count(), text.chars().count());
            assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
        }
        assert_eq!(
            redact_text("model: x # c\nport: 1\n"),
            "model: x # c\nport: 1\n"
        );
    }

    #[test]
    fn lines_of_other_formats_hide_secrets() {
        for text in [
            "api_key = \"SECRET\"",
            "export GEMINI_API_KEY=SECRET # mine",
            "\"api_key\"\t= 'SECRET'",
            "a = { api_key = \"SECRET\" }",
            "url = \"https://u:SECRET@h/\"",
        ] {
            let shown = redact_lines(text);
            assert!(!shown.contains("SECRET"), "{text:?} {shown:?}");
        }
        assert_eq!(redact_lines("model = \"x\" # c\n"), "model = \"x\" # c\n");
    }

    proptest! {
        #[test]
        fn no_known_secret_passes(secret in "[A-Za-z0-9]{8,20}", key in "(api_key|OPENAI_API_KEY|client-secret|password|x_token)", quote in "(\"|'|)", indent in "( {0,3}|- )", tail in "(|\n|\n\tbad|\n]|\nb: 1\n)") {
            let text = format!("{indent}{key}: {quote}K{secret}{quote}{tail}");
            prop_assert!(!redact_text(&text).contains(&secret), "{}", text);
        }

        #[test]
        fn any_text_keeps_its_shape(text in "(\\PC|\n){0,80}") {
            let shown = redact_text(&text);
            let lengths = |text: &str| text.split('\n').map(|line| line.chars().count()).collect::<Vec<_>>();
            prop_assert_eq!(lengths(&shown), lengths(&text));
        }
    }
}
