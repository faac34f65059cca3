//! YAML documents as trees that remember where everything stood.
//!
//! Reading follows the YAML 1.2 core schema: `true` and `false` are the only booleans, `0o17` is
//! octal, dates are text. What the YAML ecosystem lets slip is refused here, with both places:
//! duplicate keys, keys that are not text, tags that run code, documents that explode through
//! aliases. JSON is read by the same code, being a subset.

mod compose;
mod decode;
mod emit;
mod keys;
mod mistake;
mod problem;
mod scalar;
mod surrogates;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::fmt;

pub use compose::{MAX_BYTES, MAX_DEPTH, MAX_NODES, parse};
pub(crate) use compose::{Read, read};
pub(crate) use decode::decode;
pub use emit::to_yaml;
pub(crate) use emit::to_yaml_with_leaves;
#[cfg(feature = "runtime")]
pub(crate) use problem::too_large;
pub(crate) use surrogates::join as join_surrogates;

use crate::diagnostic::Span;

/// A value and where it stood. `{:?}` shows it as JSON with secrets hidden.
#[derive(Clone, Default, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stood; all zeros if it was not read from a text.
    pub span: Span,
}

/// A YAML value. Numbers are finite, and integers keep every digit up to 128 bits.
#[derive(Clone, Default, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing at all.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// Any other finite number.
    Float(f64),
    /// Text.
    String(String),
    /// An ordered list.
    Sequence(Vec<Node>),
    /// Keys and values, in the order they were written.
    Mapping(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Clone, Default, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stood.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::redact::debug(self, f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::redact::debug(&Node::new(self.clone()), f)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::redact::debug(&Node::new(Value::Mapping(vec![self.clone()])), f)
    }
}

impl Node {
    /// A value that was not read from a text.
    pub fn new(value: Value) -> Self {
        Self {
            value,
            span: Span::default(),
        }
    }

    /// The entries, if this is a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match &mut self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items, if this is a sequence.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// True if this is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The entry with this key, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// The value under this key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let entry = self.entries_mut()?.iter_mut().find(|e| e.key == key)?;
        Some(&mut entry.value)
    }

    /// Puts a value at the end of a path of keys, unless something other than null is there.
    pub(crate) fn set_default(&mut self, path: &[&str], value: Self) {
        let Some((key, rest)) = path.split_first() else {
            if self.is_null() {
                *self = value;
            }
            return;
        };
        if self.is_null() {
            self.value = Value::Mapping(Vec::new());
        }
        let Value::Mapping(entries) = &mut self.value else {
            return;
        };
        match entries.iter_mut().find(|entry| entry.key == *key) {
            Some(entry) => entry.value.set_default(rest, value),
            None => {
                let mut entry = Entry::new(*key, Self::default());
                entry.value.set_default(rest, value);
                entries.push(entry);
            }
        }
    }

    /// What a person would call this kind of value: `an integer`, `a mapping`.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a fractional number",
            Value::String(_) => "a string",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

impl Entry {
    /// An entry that was not read from a text.
    pub fn new(key: impl Into<String>, value: Node) -> Self {
        Self {
            key: key.into(),
            key_span: Span::default(),
            value,
        }
    }

    /// From the start of the key to the end of the value.
    pub fn span(&self) -> Span {
        Span {
            end_line: self.value.span.end_line,
            end_column: self.value.span.end_column,
            ..self.key_span
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => match i64::try_from(*value) {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => serializer.serialize_i128(*value),
            },
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::String(value) => serializer.serialize_str(value),
            Value::Sequence(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items
                    .iter()
                    .try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Value::Mapping(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries
                    .iter()
                    .try_for_each(|entry| map.serialize_entry(&entry.key, &entry.value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::default())
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::new(Value::Bool(value)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::new(Value::Integer(value.into())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::new(Value::Integer(value.into())))
            }

            fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
                Ok(Node::new(Value::Integer(value)))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
                if value.is_finite() {
                    Ok(Node::new(Value::Float(value)))
                } else {
                    Err(E::custom("numbers must be finite"))
                }
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
                self.visit_string(value.to_owned())
            }

            fn visit_string<E>(self, value: String) -> Result<Node, E> {
                Ok(Node::new(Value::String(value)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::new(Value::Sequence(items)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Node>()? {
                    entries.push(Entry::new(key, value));
                }
                if let Some((_, again)) = keys::duplicates(&entries).first() {
                    let key = &entries[*again].key;
                    return Err(de::Error::custom(format!("duplicate key `{key}`")));
                }
                Ok(Node::new(Value::Mapping(entries)))
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}
