//! Documents as JavaScript values, and back.

use std::collections::HashSet;

use flowgate_core::yaml::{Entry, MAX_DEPTH, MAX_NODES, Node, Value};
use napi::bindgen_prelude::*;
use napi::{
    JsRangeError, JsTypeError, KeyCollectionMode, KeyConversion, KeyFilter, Property,
    PropertyAttributes, ValueType,
};

/// The largest whole number that every JavaScript number up to it tells apart.
const MAX_SAFE_INTEGER: i128 = (1 << 53) - 1;

/// Builds the JavaScript value of a document. Integers that a number cannot hold are `BigInt`s.
pub(crate) fn to_js<'env>(env: &'env Env, node: &Node) -> Result<Unknown<'env>> {
    match &node.value {
        Value::Null => Null.into_unknown(env),
        Value::Bool(value) => value.into_unknown(env),
        Value::Integer(value) if value.abs_diff(0) <= MAX_SAFE_INTEGER.unsigned_abs() => {
            (*value as f64).into_unknown(env)
        }
        Value::Integer(value) => value.into_unknown(env),
        Value::Float(value) => value.into_unknown(env),
        Value::String(value) => value.as_str().into_unknown(env),
        Value::Sequence(items) => {
            let mut array = env.create_array(0)?;
            for item in items {
                array.insert(to_js(env, item)?)?;
            }
            array.into_unknown(env)
        }
        Value::Mapping(entries) => {
            let mut object = Object::new(env)?;
            for Entry { key, value, .. } in entries {
                let value = to_js(env, value)?;
                if key == "__proto__" {
                    // Setting it would change the prototype.
                    let property = Property::new()
                        .with_utf8_name(key)?
                        .with_value(&value)
                        .with_property_attributes(
                            PropertyAttributes::Configurable
                                | PropertyAttributes::Enumerable
                                | PropertyAttributes::Writable,
                        );
                    object.define_properties(&[property])?;
                } else {
                    object.set(key, value)?;
                }
            }
            object.into_unknown(env)
        }
    }
}

/// Reads a document from a JavaScript value: what JSON can hold, and `BigInt`s.
pub(crate) fn from_js(env: &Env, value: Unknown<'_>) -> Result<Node> {
    Reader { env, values: 0 }.read(value, 0)
}

struct Reader<'env> {
    env: &'env Env,
    values: usize,
}

impl Reader<'_> {
    fn read(&mut self, value: Unknown<'_>, depth: usize) -> Result<Node> {
        self.values += 1;
        if self.values > MAX_NODES {
            return Err(self.out_of_range(&format!("a document holds at most {MAX_NODES} values")));
        }
        // Also ends a document that contains itself.
        if depth > MAX_DEPTH {
            return Err(
                self.out_of_range(&format!("a document is at most {MAX_DEPTH} levels deep"))
            );
        }
        Ok(Node::new(match value.get_type()? {
            ValueType::Null => Value::Null,
            ValueType::Boolean => Value::Bool(bool::from_unknown(value)?),
            ValueType::Number => self.number(f64::from_unknown(value)?)?,
            ValueType::BigInt => self.big_int(&BigInt::from_unknown(value)?)?,
            ValueType::String => Value::String(String::from_unknown(value)?),
            ValueType::Object if value.is_array()? => {
                self.sequence(&Array::from_unknown(value)?, depth + 1)?
            }
            ValueType::Object => self.mapping(&Object::from_unknown(value)?, depth + 1)?,
            other => {
                let found = other.to_string().to_lowercase();
                return Err(self.wrong_type(&format!("a document cannot hold: {found}")));
            }
        }))
    }

    fn number(&self, value: f64) -> Result<Value> {
        if !value.is_finite() {
            return Err(self.out_of_range("numbers in a document must be finite"));
        }
        let whole = value.fract() == 0.0 && value.abs() <= MAX_SAFE_INTEGER as f64;
        Ok(if whole {
            Value::Integer(value as i128)
        } else {
            Value::Float(value)
        })
    }

    fn big_int(&self, value: &BigInt) -> Result<Value> {
        let (negative, magnitude, lossless) = value.get_u128();
        let integer = if negative {
            0_i128.checked_sub_unsigned(magnitude)
        } else {
            i128::try_from(magnitude).ok()
        };
        match integer {
            Some(integer) if lossless => Ok(Value::Integer(integer)),
            _ => Err(self.out_of_range("integers in a document have at most 128 bits")),
        }
    }

    fn sequence(&mut self, array: &Array<'_>, depth: usize) -> Result<Value> {
        let mut items = Vec::new();
        for index in 0..array.len() {
            let item = array.get::<Unknown<'_>>(index)?;
            items.push(match item {
                Some(item) if item.get_type()? != ValueType::Undefined => self.read(item, depth)?,
                // As in JSON; counted, since an array may be all holes.
                _ => self.read(Null.into_unknown(self.env)?, depth)?,
            });
        }
        Ok(Value::Sequence(items))
    }

    fn mapping(&mut self, object: &Object<'_>, depth: usize) -> Result<Value> {
        if !is_plain(object)? {
            return Err(self.wrong_type("a document holds arrays and plain objects only"));
        }
        let keys = object.get_all_property_names(
            KeyCollectionMode::OwnOnly,
            KeyFilter::Enumerable,
            KeyConversion::NumbersToStrings,
        )?;
        let mut entries = Vec::new();
        let mut names = HashSet::new();
        for index in 0..keys.get_array_length()? {
            let key: Unknown<'_> = keys.get_element(index)?;
            let value: Unknown<'_> = object.get_property(key)?;
            // As in JSON.
            if key.get_type()? == ValueType::Symbol || value.get_type()? == ValueType::Undefined {
                continue;
            }
            let key = String::from_unknown(key)?;
            // Two keys with broken text can become one.
            if !names.insert(key.clone()) {
                return Err(self.wrong_type("keys of a document must be well-formed text"));
            }
            entries.push(Entry::new(key, self.read(value, depth)?));
        }
        Ok(Value::Mapping(entries))
    }

    fn wrong_type(&self, message: &str) -> Error {
        let error = Error::new("ERR_INVALID_ARG_TYPE", message.to_owned());
        Error::from(JsTypeError::from(error).into_unknown(*self.env))
    }

    fn out_of_range(&self, message: &str) -> Error {
        let error = Error::new("ERR_OUT_OF_RANGE", message.to_owned());
        Error::from(JsRangeError::from(error).into_unknown(*self.env))
    }
}

/// An object with no prototype, or with one that has none: `{}`, of any realm.
fn is_plain(object: &Object<'_>) -> Result<bool> {
    let prototype = object.get_prototype()?;
    if prototype.get_type()? == ValueType::Null {
        return Ok(true);
    }
    let above = Object::from_unknown(prototype)?.get_prototype()?;
    Ok(above.get_type()? == ValueType::Null)
}
