//! From a tree to typed values, reporting every mistake and not just the first.
//!
//! serde stops at the first mistake. To find them all, the mistake is noted, the value it stands
//! in is left out, and decoding runs again, until it succeeds or nothing is left. The types stay
//! the one definition of what is allowed: known keys, required keys and expected kinds all come
//! from their derived `Deserialize`.

use std::collections::HashSet;
use std::fmt::{self, Display};

use serde::Deserialize;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::mistake::{Error, Mistake, Place, What};
use super::{Entry, Node, Value};
use crate::diagnostic::{Diagnostic, Span, Step, nearest};

/// How many values are looked at again and again, at most, to find more mistakes.
const WORK: usize = 4_000_000;

/// What decoding gave: the value where there was one, and everything that is wrong.
#[derive(Debug)]
pub(crate) struct Decoded<T> {
    pub(crate) value: Option<T>,
    pub(crate) problems: Vec<Diagnostic>,
}

/// Decodes a tree into a typed value.
///
/// Keys that start with `_comment` are skipped wherever a type lists its keys, and so are `x-…`
/// keys at the top. Null stands for "not given" in a field, and for an empty mapping or list.
///
/// `lenient` names the mappings (by their path) where an unknown key is only a warning.
pub(crate) fn decode<'de, T: Deserialize<'de>>(node: &'de Node, lenient: &[&str]) -> Decoded<T> {
    let mut skipped = HashSet::new();
    let mut problems = Vec::new();
    let mut work = 0;
    let size = count(node);
    loop {
        let context = Context { skipped: &skipped };
        let root = Decoder {
            node,
            key_span: node.span,
            path: Path::Root,
            context: &context,
        };
        let mistake = match T::deserialize(root) {
            Ok(value) => {
                return Decoded {
                    value: Some(value),
                    problems,
                };
            }
            Err(mistake) => *mistake.0,
        };
        let place = mistake
            .place
            .unwrap_or_else(|| Place::of(node, node.span, String::new()));
        if !mistake.derived {
            problems.push(mistake.what.describe(&place, lenient));
        }
        work += size;
        let more = work < WORK;
        if !more {
            let message = "there may be more mistakes";
            problems.push(
                Diagnostic::error("config.more_mistakes", node.span, message)
                    .hint("correct these first, and check again"),
            );
        }
        let is_root = place.id == id(node);
        if is_root || !more || !skipped.insert(place.id) {
            return Decoded {
                value: None,
                problems,
            };
        }
    }
}

fn count(node: &Node) -> usize {
    let children = match &node.value {
        Value::Mapping(entries) => entries.iter().map(|entry| count(&entry.value)).sum(),
        Value::Sequence(items) => items.iter().map(count).sum(),
        _ => 0,
    };
    1 + children
}

/// Identifies a value of the tree, which does not move while it is borrowed.
pub(super) fn id(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

struct Context<'c> {
    /// The values that hold a mistake found earlier.
    skipped: &'c HashSet<usize>,
}

impl Context<'_> {
    fn skips(&self, node: &Node) -> bool {
        !self.skipped.is_empty() && self.skipped.contains(&id(node))
    }
}

/// Where a value stands in the document. Linked through the stack: no allocation without mistakes.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Key(&'p Self, &'p str),
    Index(&'p Self, usize),
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => {
                let first = matches!(parent, Path::Root);
                write!(f, "{parent}{}", Step { key, first })
            }
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Decoder<'de, 'c> {
    node: &'de Node,
    /// Where the key of this value stands: the better place for what is missing.
    key_span: Span,
    path: Path<'c>,
    context: &'c Context<'c>,
}

impl<'de> Decoder<'de, '_> {
    /// Adds the place to a mistake that has none yet.
    fn locate<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|mut error| {
            if error.0.place.is_none() {
                let missing = match error.0.what {
                    What::MissingKey { key } => Some(key),
                    _ => None,
                };
                let span = if missing.is_some() {
                    self.key_span
                } else {
                    self.node.span
                };
                error.0.place = Some(Place::of(self.node, span, self.path.to_string()));
                error.0.derived |= missing.is_some_and(|key| self.was_meant(key));
            }
            error
        })
    }

    /// Decodes the value of an entry. Checks that a type makes after serde has read the value know
    /// no place, so it is added here.
    fn within<T>(
        &self,
        entry: &'de Entry,
        decode: impl for<'a> FnOnce(Decoder<'de, 'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let decoder = Decoder {
            node: &entry.value,
            key_span: entry.key_span,
            path: Path::Key(&self.path, &entry.key),
            context: self.context,
        };
        decoder.locate(decode(decoder))
    }

    /// True if the key is there, perhaps misspelt, and was left out for a mistake of its own.
    fn was_meant(&self, key: &str) -> bool {
        let mut entries = self.node.entries().unwrap_or_default().iter();
        entries
            .any(|entry| self.context.skips(&entry.value) && nearest(&entry.key, [key]).is_some())
    }

    fn wrong_type<V: Visitor<'de>>(self, visitor: &V) -> Error {
        de::Error::invalid_type(Unexpected::Other(self.node.kind()), visitor)
    }

    fn visit_entries<V: Visitor<'de>>(
        self,
        visitor: V,
        fields: Option<&'static [&'static str]>,
    ) -> Result<V::Value, Error> {
        let entries = match &self.node.value {
            Value::Mapping(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => return Err(self.wrong_type(&visitor)),
        };
        visitor.visit_map(Entries {
            entries: entries.iter(),
            value: None,
            fields,
            decoder: self,
        })
    }
}

impl<'de> Deserializer<'de> for Decoder<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_i64(value),
                (_, Ok(value)) => visitor.visit_u64(value),
                _ => visitor.visit_i128(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::Sequence(_) => return self.deserialize_seq(visitor),
            Value::Mapping(_) => return self.deserialize_map(visitor),
        };
        self.locate(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = visitor.visit_newtype_struct(self);
        self.locate(result)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match &self.node.value {
            Value::Sequence(items) => items.as_slice(),
            Value::Null => &[],
            _ => return self.locate(Err(self.wrong_type(&visitor))),
        };
        let items = items.iter().enumerate();
        let result = visitor.visit_seq(Items {
            items,
            decoder: self,
        });
        self.locate(result)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = self.visit_entries(visitor, None);
        self.locate(result)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = self.visit_entries(visitor, Some(fields));
        self.locate(result)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match &self.node.value {
            Value::String(word) => visitor.visit_enum(word.as_str().into_deserializer()),
            Value::Mapping(entries) => {
                let mut entries = entries.iter().filter(|entry| !is_comment(&entry.key));
                match (entries.next(), entries.next()) {
                    (Some(entry), None) if self.context.skips(&entry.value) => {
                        Err(Error::derived())
                    }
                    (Some(entry), None) => visitor.visit_enum(Choice {
                        entry,
                        decoder: self,
                    }),
                    _ => Err(Error::new(What::ChooseOne { known: variants })),
                }
            }
            _ => Err(self.wrong_type(&visitor)),
        };
        self.locate(result)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct identifier ignored_any
    }
}

fn is_comment(key: &str) -> bool {
    key.starts_with("_comment")
}

struct Entries<'de, 'c> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
    /// The known keys, if this is a struct and not a mapping of names.
    fields: Option<&'static [&'static str]>,
    decoder: Decoder<'de, 'c>,
}

impl Entries<'_, '_> {
    fn passes_over(&self, entry: &Entry) -> bool {
        let top = matches!(self.decoder.path, Path::Root);
        is_comment(&entry.key)
            || self.decoder.context.skips(&entry.value)
            || (self.fields.is_some() && top && entry.key.starts_with("x-"))
            || (self
                .fields
                .is_some_and(|fields| fields.contains(&entry.key.as_str()))
                && entry.value.is_null())
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let entry = loop {
            match self.entries.next() {
                None => return Ok(None),
                Some(entry) if self.passes_over(entry) => {}
                Some(entry) => break entry,
            }
        };
        self.value = Some(entry);
        let key = de::value::BorrowedStrDeserializer::<Error>::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|mut error| {
            let path = Path::Key(&self.decoder.path, &entry.key).to_string();
            error
                .0
                .place
                .get_or_insert_with(|| Place::of(&entry.value, entry.key_span, path));
            error
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        self.decoder
            .within(entry, |decoder| seed.deserialize(decoder))
    }
}

struct Items<'de, 'c> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    decoder: Decoder<'de, 'c>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let context = self.decoder.context;
        let Some((index, node)) = self.items.find(|(_, node)| !context.skips(node)) else {
            return Ok(None);
        };
        let decoder = Decoder {
            node,
            key_span: node.span,
            path: Path::Index(&self.decoder.path, index),
            context,
        };
        decoder.locate(seed.deserialize(decoder)).map(Some)
    }
}

/// A choice written as a mapping with one key: `{ file: … }`.
struct Choice<'de, 'c> {
    entry: &'de Entry,
    decoder: Decoder<'de, 'c>,
}

impl<'de, 'c> EnumAccess<'de> for Choice<'de, 'c> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let key = de::value::BorrowedStrDeserializer::<Error>::new(&self.entry.key);
        match seed.deserialize(key) {
            Ok(variant) => Ok((variant, self)),
            Err(error) => {
                let Mistake { what, .. } = *error.0;
                let what = match what {
                    What::UnknownChoice { given, known } => What::UnknownKey { key: given, known },
                    other => other,
                };
                let path = Path::Key(&self.decoder.path, &self.entry.key).to_string();
                // The whole choice is left out: without its key it has no value.
                let mut place = Place::of(self.decoder.node, self.entry.key_span, path);
                place.quoted_number = false;
                Err(Error(Box::new(Mistake {
                    what,
                    place: Some(place),
                    derived: false,
                })))
            }
        }
    }
}

impl<'de> VariantAccess<'de> for Choice<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.decoder
            .within(self.entry, |decoder| seed.deserialize(decoder))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        Err(self.decoder.wrong_type(&visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        Err(self.decoder.wrong_type(&visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::parse;
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Root {
        #[serde(default)]
        port: Option<u16>,
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        inner: BTreeMap<String, Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code, reason = "only its presence matters")]
        command: Vec<String>,
        #[serde(default)]
        source: Option<Source>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Source {
        File(String),
        Env(#[allow(dead_code, reason = "only its presence matters")] String),
    }

    fn problems(text: &str) -> Vec<String> {
        let root = parse(text).unwrap().0.unwrap();
        let decoded = decode::<Root>(&root, &["inner.lenient"]);
        decoded.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_documents_decode() {
        let text = "port: 0xFA0\nnames: [a, b]\nx-mine: 1\n_comment: hi\ninner: {a: {command: [x], source: {file: k}}}\n";
        let root = parse(text).unwrap().0.unwrap();
        let decoded = decode::<Root>(&root, &[]).value.unwrap();
        assert_eq!((decoded.port, decoded.names.len()), (Some(4000), 2));
        assert!(matches!(&decoded.inner["a"].source, Some(Source::File(file)) if file == "k"));
    }

    #[test]
    fn null_is_not_given_or_empty() {
        assert_eq!(problems("port: ~\nnames: ~\ninner: ~\n"), [] as [String; 0]);
        assert_eq!(
            problems("inner: {a: ~}"),
            ["1:9: `command` is missing (at `inner.a`); add `command:` here"]
        );
    }

    #[test]
    fn every_mistake_is_found_in_one_run() {
        let text = "\
port: \"4000\"
nmes: []
names: [a, 5, [b]]
inner:
  a: {comand: [x]}
  b: {command: 7, source: {fil: x}}
  c: {command: [], source: {file: x, env: y}}
";
        let mut found = problems(text);
        found.sort();
        assert_eq!(
            found,
            [
                "1:7: expected a whole number, zero or more, found a string (at `port`); remove the quotes",
                "2:1: unknown key `nmes` (at `nmes`); did you mean `names`?",
                "3:12: expected a string, found an integer (at `names[1]`); put it in quotes",
                "3:15: expected a string, found a list (at `names[2]`)",
                "5:7: unknown key `comand` (at `inner.a.comand`); did you mean `command`?",
                "6:16: expected a list, found an integer (at `inner.b.command`); write `[…]`, or lines that start with `- `",
                "6:28: unknown key `fil` (at `inner.b.source.fil`); did you mean `file`?",
                "7:28: expected exactly one of `file`, `env` (at `inner.c.source`)",
            ]
        );
    }

    #[test]
    fn a_lenient_mapping_only_warns() {
        let root = parse("inner: {lenient: {command: [x], extra: 1}}")
            .unwrap()
            .0
            .unwrap();
        let decoded = decode::<Root>(&root, &["inner.lenient"]);
        assert!(decoded.value.is_some());
        assert_eq!(
            decoded.problems[0].severity,
            crate::diagnostic::Severity::Warning
        );
    }
}
