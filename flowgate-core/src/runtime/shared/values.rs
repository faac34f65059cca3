//! What the server answers, read without trust: anybody may have written anything there.

use redis::{RedisError, Value};

/// A text, if it is one.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// A list, if it is one.
pub(super) fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => &[],
    }
}

/// The value of a name in a list of names and values.
pub(super) fn field<'v>(fields: &'v [Value], name: &str) -> Option<&'v str> {
    let mut pairs = fields.as_chunks().0.iter();
    let [_, value] = pairs.find(|[key, _]| text(key) == Some(name))?;
    text(value)
}

/// The entries of one stream in the answer to `XREAD`: number and fields.
pub(super) fn entries(answer: &Value) -> impl Iterator<Item = (&str, &[Value])> {
    let streams = items(answer).iter();
    let entries = streams.flat_map(|stream| items(items(stream).get(1).unwrap_or(&Value::Nil)));
    entries.filter_map(|entry| {
        let parts = items(entry);
        Some((text(parts.first()?)?, items(parts.get(1)?)))
    })
}

/// The two halves of the number of an entry.
pub(super) fn number(id: &str) -> Option<(u64, u64)> {
    let (time, sequence) = id.split_once('-')?;
    Some((time.parse().ok()?, sequence.parse().ok()?))
}

/// Why the server could not be asked, without anything secret: the messages of servers and of the
/// library name no password.
pub(super) fn describe(error: &RedisError) -> String {
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().nth(300) {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_wrong_shape_is_no_entry() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry = Value::Array(vec![
            bulk("5-1"),
            Value::Array(vec![bulk("s"), bulk("x"), bulk("f")]),
        ]);
        let stream = Value::Array(vec![
            bulk("name"),
            Value::Array(vec![entry, Value::Int(3), Value::Nil]),
        ]);
        let answer = Value::Array(vec![stream, Value::Nil, Value::Array(vec![])]);
        let found: Vec<_> = entries(&answer).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].0, field(found[0].1, "s"), field(found[0].1, "f")),
            ("5-1", Some("x"), None)
        );
        assert_eq!(number("5-1"), Some((5, 1)));
        assert_eq!((number("5"), number("a-1")), (None, None));
    }
}
