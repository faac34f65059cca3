//! The JSON Schema of the document, for editors.

use serde_json::{Map, Value, json};

use super::Settings;

/// The JSON Schema of the document, generated from [`Settings`].
///
/// [`JSON_SCHEMA`](super::JSON_SCHEMA) is its committed form; a test keeps them equal.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Settings).to_value();
    schema["properties"]["profiles"]["minProperties"] = json!(1);
    allow_what_is_read(&mut schema);
    let paths = &mut schema["$defs"]["Paths"];
    paths["additionalProperties"] = json!({ "type": "string" });
    schema
}

/// The types say what a value is. Reading is kinder: null stands for "not given", and keys that
/// start with `_comment` are passed over.
fn allow_what_is_read(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(allow_what_is_read);
            if object.get("additionalProperties") == Some(&json!(false)) {
                allow_comments(object);
                allow_null(object);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(allow_what_is_read),
        _ => {}
    }
}

fn allow_comments(object: &mut Map<String, Value>) {
    let patterns = object
        .entry("patternProperties")
        .or_insert_with(|| json!({}));
    if patterns.get("^(x-|_comment)").is_none() {
        patterns["^_comment"] = json!(true);
    }
}

/// A choice such as `{ file: … }` has its one key in `required`, and means it.
fn allow_null(object: &mut Map<String, Value>) {
    let required = object.get("required").cloned().unwrap_or_default();
    let is_required = |key: &str| {
        required
            .as_array()
            .is_some_and(|keys| keys.iter().any(|k| k == key))
    };
    let Some(Value::Object(properties)) = object.get_mut("properties") else {
        return;
    };
    for (key, property) in properties.iter_mut().filter(|(key, _)| !is_required(key)) {
        let nullable = property.get("anyOf").is_some() || property["type"].is_array();
        if nullable || key == "config_version" {
            continue;
        }
        let mut inner = property.take();
        let mut outer = Map::new();
        // What editors show stays where they look for it.
        for shown in ["description", "default"] {
            if let Some(value) = inner.as_object_mut().and_then(|inner| inner.remove(shown)) {
                outer.insert(shown.to_owned(), value);
            }
        }
        outer.insert("anyOf".to_owned(), json!([inner, { "type": "null" }]));
        *property = Value::Object(outer);
    }
}
