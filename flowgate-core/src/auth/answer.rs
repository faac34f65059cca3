//! What providers answer, read with care: nothing of it is trusted.

use serde_json::{Map, Value};

/// The longest text of a server that is passed on, in characters.
const LONGEST_MESSAGE: usize = 200;

/// The JSON object in a body, or what is wrong with it.
pub(super) fn object(body: &str) -> Result<Map<String, Value>, String> {
    let trimmed = body.trim();
    if trimmed.is_empty() {
        return Err("the answer is empty".to_owned());
    }
    match serde_json::from_str(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the answer is JSON, but not an object".to_owned()),
        Err(_) if trimmed.starts_with('<') => Err("the answer is HTML, not JSON".to_owned()),
        Err(_) => Err("the answer is not JSON".to_owned()),
    }
}

/// The first of these keys with a text that is not blank, without blanks around it.
pub(super) fn text<'a>(object: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a str> {
    let texts = keys.iter().filter_map(|key| object.get(*key)?.as_str());
    texts.map(str::trim).find(|text| !text.is_empty())
}

/// A number under a key, also if it is written as text.
pub(super) fn number(object: &Map<String, Value>, key: &str) -> Option<u64> {
    match object.get(key)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// What the server says went wrong, fit to be shown.
pub(super) fn message(object: &Map<String, Value>) -> Option<String> {
    let nested = object.get("error").and_then(Value::as_object);
    let said = text(object, &["error_description", "message", "detail", "error"])
        .or_else(|| text(nested?, &["message", "description", "code"]))?;
    Some(harmless(said))
}

/// A text of a server without control characters and what looks like a secret, cut to a length.
pub(super) fn harmless(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let shown: String = word.chars().filter(|c| !c.is_control()).collect();
        crate::redact::redact_lines(&shown)
    });
    let joined = words.collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", &joined[..end]),
        None => joined,
    }
}

/// A URL that a browser may be sent to: http or https, and nothing in it that a terminal obeys.
pub(super) fn url(text: &str) -> Result<String, String> {
    let url = crate::config::HttpUrl::try_from(text.to_owned());
    let deceptive = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match url {
        Ok(url) if !url.contains(deceptive) => Ok(url.to_string()),
        _ => Err("the answer names no http or https URL".to_owned()),
    }
}
