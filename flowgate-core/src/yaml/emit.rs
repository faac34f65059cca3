//! Writes YAML that every reader understands the same way.
//!
//! Programs on YAML 1.1, PyYAML and so LiteLLM among them, read `yes`, `2026-01-01` or `1_000` as
//! something other than text. Text that any reader could take for something else is quoted.

use std::fmt::Write;

use super::scalar::{self, yaml_1_1_reading};
use super::{Entry, Node, Value};

/// Writes a tree as block-style YAML with a final newline.
pub fn to_yaml(node: &Node) -> String {
    to_yaml_with_leaves(node).0
}

/// [`to_yaml`], and the number of the line, from zero, that each leaf stands on: each scalar and
/// each empty list or mapping, in order.
pub(crate) fn to_yaml_with_leaves(node: &Node) -> (String, Vec<usize>) {
    let mut writer = Writer::default();
    match &node.value {
        Value::Mapping(entries) if !entries.is_empty() => writer.mapping(entries, 0, false),
        Value::Sequence(items) if !items.is_empty() => writer.sequence(items, 0, false),
        _ => writer.leaf(node),
    }
    (writer.out, writer.leaves)
}

#[derive(Default)]
struct Writer {
    out: String,
    line: usize,
    leaves: Vec<usize>,
}

impl Writer {
    /// `started` says that the cursor already stands where the first entry begins, after a `- `.
    fn mapping(&mut self, entries: &[Entry], indent: usize, mut started: bool) {
        for entry in entries {
            if !std::mem::take(&mut started) {
                self.pad(indent);
            }
            self.key(&entry.key, indent);
            self.child(&entry.value, indent + 2);
        }
    }

    /// A key and its colon. Readers refuse a plain key of more than 1,024 characters.
    fn key(&mut self, key: &str, indent: usize) {
        let start = self.out.len();
        text(&mut self.out, key);
        if self.out.len() - start > 1_000 {
            self.out.insert_str(start, "? ");
            self.end_line();
            self.pad(indent);
        }
        self.out.push(':');
    }

    fn sequence(&mut self, items: &[Node], indent: usize, mut started: bool) {
        for item in items {
            if !std::mem::take(&mut started) {
                self.pad(indent);
            }
            self.out.push('-');
            match &item.value {
                Value::Mapping(entries) if !entries.is_empty() => {
                    self.out.push(' ');
                    self.mapping(entries, indent + 2, true);
                }
                Value::Sequence(items) if !items.is_empty() => {
                    self.out.push(' ');
                    self.sequence(items, indent + 2, true);
                }
                _ => self.child(item, indent + 2),
            }
        }
    }

    fn child(&mut self, node: &Node, indent: usize) {
        match &node.value {
            Value::Mapping(entries) if !entries.is_empty() => {
                self.end_line();
                self.mapping(entries, indent, false);
            }
            Value::Sequence(items) if !items.is_empty() => {
                self.end_line();
                self.sequence(items, indent, false);
            }
            _ => {
                self.out.push(' ');
                self.leaf(node);
            }
        }
    }

    fn leaf(&mut self, node: &Node) {
        self.leaves.push(self.line);
        // Writing to a `String` cannot fail.
        let _ = match &node.value {
            Value::Null => write!(self.out, "null"),
            Value::Bool(value) => write!(self.out, "{value}"),
            Value::Integer(value) => write!(self.out, "{value}"),
            Value::Float(value) => float(&mut self.out, *value),
            Value::String(value) => {
                text(&mut self.out, value);
                Ok(())
            }
            Value::Sequence(_) => write!(self.out, "[]"),
            Value::Mapping(_) => write!(self.out, "{{}}"),
        };
        self.end_line();
    }

    fn end_line(&mut self) {
        self.out.push('\n');
        self.line += 1;
    }

    fn pad(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }
}

/// YAML 1.1 wants a dot in a fraction and a sign in an exponent: `1.0e+300`, not `1e300`.
fn float(out: &mut String, value: f64) -> std::fmt::Result {
    let plain = format!("{value:?}");
    match plain.split_once('e') {
        None => write!(out, "{plain}"),
        Some((mantissa, exponent)) => {
            let dot = if mantissa.contains('.') { "" } else { ".0" };
            let sign = if exponent.starts_with('-') { "" } else { "+" };
            write!(out, "{mantissa}{dot}e{sign}{exponent}")
        }
    }
}

fn text(out: &mut String, value: &str) {
    if is_plain(value) {
        out.push_str(value);
    } else {
        quoted(out, value);
    }
}

/// True if every reader takes the bare word for the same text.
fn is_plain(value: &str) -> bool {
    let starts_well = value
        .chars()
        .next()
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '$' | '('));
    starts_well
        && !value.starts_with("...")
        && !value.ends_with([' ', ':'])
        && !value.contains(": ")
        && !value.contains(" #")
        && value.chars().all(|c| {
            c.is_alphanumeric()
                || matches!(
                    c,
                    ' ' | '/'
                        | '.'
                        | '_'
                        | '-'
                        | '+'
                        | '='
                        | ':'
                        | '@'
                        | '('
                        | ')'
                        | '$'
                        | '~'
                        | '%'
                        | '*'
                        | ';'
                        | '^'
                        | '<'
                        | '>'
                        | '!'
                        | '?'
                        | '&'
                        | '|'
                )
        })
        && yaml_1_1_reading(value).is_none()
        && matches!(scalar::resolve(value), Ok(Value::String(_)))
}

/// Double quotes with escapes: the only style that can hold any text.
fn quoted(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        let _ = match c {
            '"' => write!(out, "\\\""),
            '\\' => write!(out, "\\\\"),
            '\n' => write!(out, "\\n"),
            '\t' => write!(out, "\\t"),
            '\r' => write!(out, "\\r"),
            // Line separators, and what a YAML stream may not hold bare.
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                write!(out, "\\u{:04X}", u32::from(c))
            }
            c if c.is_control() => write!(out, "\\x{:02X}", u32::from(c)),
            c => write!(out, "{c}"),
        };
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse;
    use super::*;

    fn plain(value: &impl serde::Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn reads_like_a_hand_written_file() {
        let json = serde_json::json!({
            "model_list": [
                {"model_name": "router-default", "litellm_params": {"model": "openai/x", "api_base": "http://127.0.0.1:8317/v1"}},
                {"model_name": "b", "litellm_params": {}},
            ],
            "fallbacks": [["a", "b"], []],
            "on": "yes", "version": "1.0", "day": "2026-02-01", "none": null, "f": 1e300, "e": "", "multi": "a\nb",
        });
        let node: Node = serde_json::from_value(json).unwrap();
        assert_eq!(
            to_yaml(&node),
            "\
model_list:
  - model_name: router-default
    litellm_params:
      model: openai/x
      api_base: http://127.0.0.1:8317/v1
  - model_name: b
    litellm_params: {}
fallbacks:
  - - a
    - b
  - []
\"on\": \"yes\"
version: \"1.0\"
day: \"2026-02-01\"
none: null
f: 1.0e+300
e: \"\"
multi: \"a\\nb\"
"
        );
    }

    prop_compose! {
        fn word()(word in prop_oneof![
            "\\PC{0,12}",
            "[-+.:_0-9a-fxobeETZ ]{0,10}",
            "[a-z#:'\"\\\\\\n\\t ]{0,10}",
            Just("yes".to_owned()), Just("...".to_owned()), "[ab]{1200}", "\\x01{400}", Just("\u{85}\u{2028}".to_owned()), Just("\u{1}\u{7f}".to_owned()),
        ]) -> String { word }
    }

    fn tree(integer: impl Strategy<Value = i128> + 'static) -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            integer.prop_map(Value::Integer),
            any::<f64>()
                .prop_filter("finite", |f| f.is_finite())
                .prop_map(Value::Float),
            word().prop_map(Value::String),
        ]
        .prop_map(Node::new);
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5)
                    .prop_map(|items| Node::new(Value::Sequence(items))),
                prop::collection::btree_map(word(), inner, 0..5).prop_map(|map| {
                    Node::new(Value::Mapping(
                        map.into_iter()
                            .map(|(key, value)| Entry::new(key, value))
                            .collect(),
                    ))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(node in tree(any::<i128>())) {
            let text = to_yaml(&node);
            let (again, warnings) = parse(&text).unwrap();
            prop_assert_eq!(plain(&again.unwrap_or_default()), plain(&node), "{}", text);
            prop_assert!(warnings.is_empty(), "{:?}\n{}", warnings, text);
        }

        #[test]
        fn another_reader_agrees(node in tree(any::<i64>().prop_map(i128::from))) {
            let text = to_yaml(&node);
            let other: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
            prop_assert_eq!(plain(&other), plain(&node), "{}", text);
        }
    }
}
