//! What the pool and the tables answer.

use flowgate_core::accounts::{Class, Classification, Verdict};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::{named, word};

/// What an answer means, for whom, and what to do.
#[pyclass(frozen, eq, hash, name = "Classification", module = "flowgate")]
#[derive(PartialEq)]
pub(crate) struct Meaning(pub(super) Classification);

impl std::hash::Hash for Meaning {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        let Classification {
            class,
            scope,
            action,
            cooldown_ms,
        } = self.0;
        (class, scope, action, cooldown_ms).hash(hasher);
    }
}

#[pymethods]
impl Meaning {
    #[new]
    #[pyo3(signature = (class_, scope, action, cooldown_ms = None))]
    fn new(class_: &str, scope: &str, action: &str, cooldown_ms: Option<u64>) -> PyResult<Self> {
        Ok(Self(Classification {
            class: named("class_", class_)?,
            scope: named("scope", scope)?,
            action: named("action", action)?,
            cooldown_ms,
        }))
    }

    /// What kind of answer it is: ``"ok"``, ``"rate"``, ``"quota"``, ``"auth"`` …
    #[getter]
    fn class_(&self) -> String {
        word(self.0.class)
    }

    /// Whom it is about: ``"none"``, ``"request"``, ``"model"``, ``"account"``, ``"egress"`` or
    /// ``"provider"``.
    #[getter]
    fn scope(&self) -> String {
        word(self.0.scope)
    }

    /// What to do with the request: ``"done"``, ``"stop"``, ``"next"`` or ``"refresh"``.
    #[getter]
    fn action(&self) -> String {
        word(self.0.action)
    }

    /// How long the provider asks to wait, in milliseconds, where it says so.
    #[getter]
    fn cooldown_ms(&self) -> Option<u64> {
        self.0.cooldown_ms
    }

    fn __repr__(&self) -> String {
        let cooldown = self
            .0
            .cooldown_ms
            .map_or("None".to_owned(), |ms| ms.to_string());
        format!(
            "<flowgate.Classification {} scope={} action={} cooldown_ms={cooldown}>",
            self.class_(),
            self.scope(),
            self.action()
        )
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let me = slf.get();
        let fields = (me.class_(), me.scope(), me.action(), me.0.cooldown_ms);
        Ok((slf.get_type().into_any(), fields.into_pyobject(slf.py())?))
    }
}

/// What a pool made of an answer.
#[pyclass(frozen, module = "flowgate")]
pub(crate) struct PoolVerdict {
    pub(super) account: Option<Py<PyString>>,
    pub(super) verdict: Verdict,
}

impl PoolVerdict {
    /// The permit was reported before, or taken back.
    pub(super) fn lost(answer: Classification) -> Self {
        let verdict = Verdict {
            slot: None,
            class: answer.class,
            action: answer.action,
            until: None,
        };
        Self {
            account: None,
            verdict,
        }
    }
}

#[pymethods]
impl PoolVerdict {
    /// The account; ``None`` if the lease was reported before or taken back, and nothing changed.
    #[getter]
    fn account(&self, py: Python<'_>) -> Option<Py<PyString>> {
        self.account.as_ref().map(|account| account.clone_ref(py))
    }

    /// What kind of answer it was: ``"ok"``, ``"rate"``, ``"quota"``, ``"auth"`` …
    #[getter]
    fn class_(&self) -> String {
        word(self.verdict.class)
    }

    /// What to do with the request: ``"done"``, ``"stop"``, ``"next"`` or ``"refresh"``.
    #[getter]
    fn action(&self) -> String {
        word(self.verdict.action)
    }

    /// Until when the account, the model or the provider is left alone because of it, in
    /// milliseconds since 1970.
    #[getter]
    fn until(&self) -> Option<u64> {
        self.verdict.until
    }

    /// Whether the request was served.
    #[getter]
    fn served(&self) -> bool {
        self.verdict.class == Class::Ok
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let account = match &self.account {
            Some(account) => account.bind(py).repr()?.to_string(),
            None => "None".to_owned(),
        };
        let (class, action) = (self.class_(), self.action());
        Ok(format!(
            "<flowgate.PoolVerdict {class} account={account} action={action}>"
        ))
    }
}
