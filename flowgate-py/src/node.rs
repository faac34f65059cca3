//! Documents as Python values. Not by way of JSON text, in which Python would turn keys such as
//! `1` and `True` into text, and large integers would lose digits.

use flowgate_core::yaml::{Entry, MAX_DEPTH, MAX_NODES, Node, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};

pub(crate) fn to_py<'py>(py: Python<'py>, node: &Node) -> PyResult<Bound<'py, PyAny>> {
    Ok(match &node.value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Integer(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => PyFloat::new(py, *value).into_any(),
        Value::String(value) => PyString::new(py, value).into_any(),
        Value::Sequence(items) => {
            let list = PyList::empty(py);
            items
                .iter()
                .try_for_each(|item| list.append(to_py(py, item)?))?;
            list.into_any()
        }
        Value::Mapping(entries) => {
            let dict = PyDict::new(py);
            entries
                .iter()
                .try_for_each(|entry| dict.set_item(&entry.key, to_py(py, &entry.value)?))?;
            dict.into_any()
        }
    })
}

pub(crate) fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Node> {
    Reader { nodes: 0 }.read(value, 0)
}

/// Counts, because a few Python lists that hold each other can stand for any number of values.
struct Reader {
    nodes: usize,
}

impl Reader {
    fn read(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Node> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(PyValueError::new_err(format!(
                "a document has at most {MAX_DEPTH} levels and {MAX_NODES} values"
            )));
        }
        Ok(Node::new(if value.is_none() {
            Value::Null
        } else if let Ok(value) = value.cast::<PyBool>() {
            Value::Bool(value.is_true())
        } else if value.is_instance_of::<PyInt>() {
            let beyond = |_| PyValueError::new_err("integers have at most 128 bits");
            Value::Integer(value.extract().map_err(beyond)?)
        } else if value.is_instance_of::<PyFloat>() {
            Value::Float(finite(value.extract()?)?)
        } else if value.is_instance_of::<PyString>() {
            Value::String(value.extract()?)
        } else if let Ok(mapping) = value.cast::<PyMapping>() {
            Value::Mapping(self.entries(mapping, depth)?)
        } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
            let items = value.try_iter()?;
            let items = items.map(|item| self.read(&item?, depth + 1));
            Value::Sequence(items.collect::<PyResult<_>>()?)
        } else {
            let kind = value.get_type().qualname()?;
            let message = format!("a document cannot hold a value of type {kind}");
            return Err(PyTypeError::new_err(message));
        }))
    }

    fn entries(&mut self, mapping: &Bound<'_, PyMapping>, depth: usize) -> PyResult<Vec<Entry>> {
        let mut entries = Vec::new();
        for pair in mapping.items()? {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
            let key: String = key.extract()?;
            entries.push(Entry::new(key, self.read(&value, depth + 1)?));
        }
        Ok(entries)
    }
}

fn finite(value: f64) -> PyResult<f64> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(PyValueError::new_err("numbers must be finite"))
    }
}
