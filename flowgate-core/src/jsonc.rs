//! Settings of other programs in JSON, changed without touching what is not ours.
//!
//! Comments, order, indentation, line ends and the spelling of numbers stay. Comments and trailing
//! commas are accepted, since some of the programs do.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode};
use serde_json::Value;

/// Why settings cannot be edited.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Mistake {
    /// The text is not JSON with an object at its root.
    Syntax {
        /// Counted from 1; 0 if no place is at fault.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        message: String,
    },
    /// What stands at a path has another shape than is needed there.
    Shape {
        path: String,
        expected: &'static str,
    },
}

/// A JSON document that can be changed. An empty text is an empty object.
#[derive(Debug)]
pub(crate) struct Document {
    root: CstRootNode,
    object: CstObject,
    has_mark: bool,
}

impl Document {
    pub(crate) fn read(text: &str) -> Result<Self, Mistake> {
        let (has_mark, text) = match text.strip_prefix('\u{feff}') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let text = if text.trim().is_empty() { "{}\n" } else { text };
        let root = CstRootNode::parse(text, &accepted()).map_err(|error| Mistake::Syntax {
            line: error.line_display(),
            column: error.column_display(),
            message: error.kind().to_string(),
        })?;
        let object = root.object_value().ok_or_else(|| Mistake::Syntax {
            line: 0,
            column: 0,
            message: "it is JSON, but not an object".to_owned(),
        })?;
        Ok(Self {
            root,
            object,
            has_mark,
        })
    }

    pub(crate) fn text(&self) -> String {
        let mark = if self.has_mark { "\u{feff}" } else { "" };
        format!("{mark}{}", self.root)
    }

    /// The value at a path of keys.
    pub(crate) fn get(&self, path: &[&str]) -> Option<Value> {
        let (last, above) = path.split_last()?;
        let mut object = self.object.clone();
        for key in above {
            object = object.object_value(key)?;
        }
        object.get(last)?.to_serde_value()
    }

    /// Puts a value at a path of keys; objects that are missing or null on the way are made.
    pub(crate) fn set(&self, path: &[&str], value: &Value) -> Result<(), Mistake> {
        let Some((last, above)) = path.split_last() else {
            return Ok(());
        };
        let mut object = self.object.clone();
        for (depth, key) in above.iter().enumerate() {
            object = child_object(&object, key, &path[..=depth])?;
        }
        match only(&object, last, path)? {
            Some(property) => property.set_value(input(value)),
            None => drop(object.append(last, input(value))),
        }
        Ok(())
    }

    /// Takes a key out; false if it is not there.
    pub(crate) fn remove(&self, path: &[&str]) -> bool {
        let Some((last, above)) = path.split_last() else {
            return false;
        };
        let mut object = self.object.clone();
        for key in above {
            match object.object_value(key) {
                Some(inner) => object = inner,
                None => return false,
            }
        }
        let property = object.get(last);
        let found = property.is_some();
        property.into_iter().for_each(CstObjectProp::remove);
        found
    }

    /// The list at a path of keys, made if it is missing.
    pub(crate) fn list(&self, path: &[&str]) -> Result<CstArray, Mistake> {
        if self.get(path).is_none() {
            self.set(path, &Value::Array(Vec::new()))?;
        }
        self.existing_list(path)
            .ok_or_else(|| shape(path, "a list"))
    }

    /// The list at a path of keys, if there is one.
    pub(crate) fn existing_list(&self, path: &[&str]) -> Option<CstArray> {
        let (last, above) = path.split_last()?;
        let mut object = self.object.clone();
        for key in above {
            object = object.object_value(key)?;
        }
        object.array_value(last)
    }
}

/// Adds a value to the end of a list.
pub(crate) fn push(list: &CstArray, value: &Value) {
    if !list.elements().is_empty() || matches!(value, Value::Object(_) | Value::Array(_)) {
        list.ensure_multiline();
    }
    list.append(input(value));
}

/// The value of an element.
pub(crate) fn value_of(element: &CstNode) -> Value {
    element.to_serde_value().unwrap_or_default()
}

fn accepted() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: false,
        allow_trailing_commas: true,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn child_object(object: &CstObject, key: &str, path: &[&str]) -> Result<CstObject, Mistake> {
    let Some(property) = only(object, key, path)? else {
        let property = object.append(key, CstInputValue::Object(Vec::new()));
        return Ok(property.object_value_or_set());
    };
    let is_null = |node: CstNode| node.as_null_keyword().is_some();
    match property.object_value() {
        Some(inner) => Ok(inner),
        None if property.value().is_some_and(is_null) => Ok(property.object_value_or_set()),
        None => Err(shape(path, "an object")),
    }
}

/// The property of a name. Of several, readers take different ones, so that none can be changed.
fn only(object: &CstObject, key: &str, path: &[&str]) -> Result<Option<CstObjectProp>, Mistake> {
    let properties = object.properties().into_iter();
    let mut found = properties.filter(|property| property.decoded_name().as_deref() == Some(key));
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(shape(path, "there once")),
    }
}

fn shape(path: &[&str], expected: &'static str) -> Mistake {
    Mistake::Shape {
        path: path.join("."),
        expected,
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(bool) => CstInputValue::Bool(*bool),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| (key.clone(), input(value)));
            CstInputValue::Object(entries.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(text: &str, path: &[&str], value: Value) -> String {
        let document = Document::read(text).unwrap();
        document.set(path, &value).unwrap();
        document.text()
    }

    #[test]
    fn only_the_value_changes() {
        let text = "\u{feff}{\r\n\t// mine\r\n\t\"n\": 1.50e2, /* x */\r\n\t\"env\": { \"A\": \"\\u0031\", },\r\n}";
        assert_eq!(
            set(text, &["n"], json!("x")),
            text.replace("1.50e2", "\"x\"")
        );
        let with = set(text, &["env", "B"], json!("b"));
        assert!(with.contains("\"A\": \"\\u0031\"") && with.contains("\"B\": \"b\""));
        assert_eq!(with.matches("\r\n").count(), with.matches('\n').count());
        assert_eq!(set(&with, &["env", "B"], json!("b")), with);
    }

    #[test]
    fn what_is_missing_is_made_and_can_be_taken_out() {
        for text in ["", " \n", "{}", "{\"env\": null}"] {
            let document = Document::read(text).unwrap();
            document.set(&["env", "A"], &json!("a")).unwrap();
            assert_eq!(document.get(&["env", "A"]), Some(json!("a")), "{text}");
            assert!(document.remove(&["env", "A"]) && !document.remove(&["env", "A"]));
            assert_eq!(document.get(&["env"]), Some(json!({})));
        }
        assert_eq!(
            set("", &["env", "A"], json!("a")),
            "{\n  \"env\": {\n    \"A\": \"a\"\n  }\n}\n"
        );
    }

    #[test]
    fn mistakes_have_a_place() {
        for text in [
            "{",
            "[1]",
            "null",
            "{a: 1}",
            "{\"a\": NaN}",
            "{'a': 1}",
            &"[".repeat(9999),
        ] {
            assert!(
                matches!(Document::read(text), Err(Mistake::Syntax { .. })),
                "{text}"
            );
        }
        let Err(Mistake::Syntax { line, column, .. }) = Document::read("{\n  \"a\": }") else {
            panic!()
        };
        assert_eq!((line, column), (2, 8));
        let document = Document::read("{\"a\": 1, \"b\": 1, \"b\": 2}").unwrap();
        assert!(
            matches!(document.set(&["a", "x"], &json!(1)), Err(Mistake::Shape { path, .. }) if path == "a")
        );
        assert!(
            document.set(&["b"], &json!(1)).is_err(),
            "the key is there twice"
        );
    }
}
