//! The native half of `flowgate.accounts`: what answers mean, and the pool.

mod pool;
mod values;

use flowgate_core::accounts::{self, Answer, Rule, Rules, Transport};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyDict, PyMapping, PyString};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::pool::{Pool, Refresh, Retries};
pub(crate) use self::values::{Meaning, PoolVerdict};
use crate::error::AccountsError;
use crate::node;

/// What a user knows better than the tables: rules of :func:`classify`, ready to be asked.
#[pyclass(frozen, module = "flowgate")]
#[derive(Default)]
pub(crate) struct ClassifyRules(Rules);

#[pymethods]
impl ClassifyRules {
    #[new]
    fn new(rules: Vec<Bound<'_, PyMapping>>) -> PyResult<Self> {
        let rules = rules.iter().enumerate();
        let rules = rules.map(|(index, rule)| from_py::<Rule>(&format!("rules[{index}]"), rule));
        let rules = rules.collect::<PyResult<Vec<_>>>()?;
        let rules = Rules::new(rules)
            .map_err(|error| AccountsError::new_err((error.to_string(), error.code())))?;
        Ok(Self(rules))
    }
}

/// Says what an answer of a provider means, for whom, and when to come back.
///
/// ``provider`` is ``"openai"``, ``"azure"``, ``"anthropic"``, ``"codex"``, ``"gemini"``,
/// ``"openrouter"`` or any other name; ``headers`` are a mapping or pairs, of text or bytes; of
/// ``body``, 16 KB are looked at. ``transport`` says how an exchange ended without an answer:
/// ``"cancelled"``, ``"connect"``, ``"eof"``, ``"reset"`` or ``"timeout"``. ``now`` is the time in
/// milliseconds since 1970, or else the current one. Every answer has a meaning.
#[pyfunction]
#[pyo3(signature = (
    provider = "", *, status = None, headers = None, body = None, transport = None, rules = None,
    now = None
))]
pub(crate) fn classify(
    provider: &str,
    status: Option<u16>,
    headers: Option<&Bound<'_, PyAny>>,
    body: Option<&Bound<'_, PyAny>>,
    transport: Option<&str>,
    rules: Option<&ClassifyRules>,
    now: Option<u64>,
) -> PyResult<Meaning> {
    let said = Said::read(status, headers, body, transport)?;
    let usual = Rules::default();
    let rules = rules.map_or(&usual, |rules| &rules.0);
    let now = now.unwrap_or_else(crate::now);
    Ok(Meaning(accounts::classify(
        &said.answer(provider),
        now,
        rules,
    )))
}

/// An answer, as Python gives it.
struct Said {
    status: Option<u16>,
    headers: Vec<(Text, Text)>,
    body: Option<Text>,
    transport: Option<Transport>,
}

impl Said {
    fn read(
        status: Option<u16>,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&Bound<'_, PyAny>>,
        transport: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self {
            status,
            headers: headers.map(pairs).transpose()?.unwrap_or_default(),
            body: body.map(|body| Text::of("body", body)).transpose()?,
            transport: transport.map(transport_of).transpose()?,
        })
    }

    fn answer<'a>(&'a self, provider: &'a str) -> Answer<'a> {
        Answer {
            provider,
            status: self.status,
            headers: &self.headers,
            body: self.body.as_ref().map_or(b"", |body| body.as_ref()),
            transport: self.transport,
        }
    }
}

/// Text or bytes, borrowed from Python.
enum Text {
    Bytes(PyBackedBytes),
    Str(PyBackedStr),
}

impl Text {
    fn of(what: &str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if value.is_instance_of::<PyString>() {
            value.extract().map(Self::Str)
        } else if value.is_instance_of::<PyBytes>() {
            Ok(Self::Bytes(value.extract()?))
        } else {
            // The value stays out of the message: it may be a secret.
            Err(PyTypeError::new_err(format!(
                "{what}: expected str or bytes"
            )))
        }
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Str(text) => text.as_bytes(),
        }
    }
}

/// The name of a header. One that is no text says nothing.
impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            Self::Str(text) => text,
        }
    }
}

/// Headers as pairs: of a dictionary, of another mapping, or of an iterable.
fn pairs(headers: &Bound<'_, PyAny>) -> PyResult<Vec<(Text, Text)>> {
    let pair = |name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>| {
        Ok((Text::of("headers", name)?, Text::of("headers", value)?))
    };
    if let Ok(headers) = headers.cast::<PyDict>() {
        return headers
            .iter()
            .map(|(name, value)| pair(&name, &value))
            .collect();
    }
    let items = match headers.getattr(intern!(headers.py(), "items")) {
        Ok(items) => items.call0()?,
        Err(_) => headers.clone(),
    };
    let items = items.try_iter()?;
    items
        .map(|item| {
            let (name, value) = item?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            pair(&name, &value)
        })
        .collect()
}

/// Reads a mapping as a type of the core. Mistakes name the field.
fn from_py<T: DeserializeOwned>(what: &str, value: &Bound<'_, PyMapping>) -> PyResult<T> {
    let json = serde_json::to_value(node::from_py(value)?).map_err(|e| bad(&e.to_string()))?;
    serde_json::from_value(json).map_err(|error| bad(&format!("{what}: {error}")))
}

fn to_py<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value).map_err(|error| bad(&error.to_string()))?;
    py.import(intern!(py, "json"))?
        .call_method1(intern!(py, "loads"), (text,))
}

fn bad(message: &str) -> PyErr {
    AccountsError::new_err((message.to_owned(), "accounts.invalid"))
}

/// The word that JSON has for a value.
fn word(value: impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

fn named<T: DeserializeOwned>(what: &str, name: &str) -> PyResult<T> {
    serde_json::from_value(name.into())
        .map_err(|error| PyValueError::new_err(format!("{what}: {error}")))
}

fn transport_of(name: &str) -> PyResult<Transport> {
    named("transport", name)
}
