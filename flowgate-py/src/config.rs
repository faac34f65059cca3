use std::path::PathBuf;
use std::sync::Arc;

use flowgate_core as core;
use flowgate_core::profile::Secrets;
use flowgate_core::runtime;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyMapping, PyString};

use crate::error::into_py;
use crate::{node, values};

/// A checked configuration. Never changes, and may be used by many threads.
#[pyclass(frozen, module = "flowgate")]
pub(crate) struct Config(pub(crate) Arc<core::config::Config>);

#[pymethods]
impl Config {
    /// Reads a configuration file.
    ///
    /// Raises :class:`FileError` if it cannot be read and :class:`ConfigError` with everything
    /// that is wrong in it.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| runtime::load(&path))
            .map(Self::new)
            .map_err(|error| into_py(py, error))
    }

    /// Reads a configuration from YAML or JSON text.
    ///
    /// ``file`` is the name that diagnostics and origins give, and relative paths start at its
    /// directory; it is not opened. Raises :class:`ConfigError` with everything that is wrong.
    #[staticmethod]
    #[pyo3(signature = (text, *, file = None))]
    fn from_yaml(py: Python<'_>, text: &str, file: Option<&str>) -> PyResult<Self> {
        py.detach(|| match file {
            Some(file) => core::config::Config::from_file(file, text.as_bytes()),
            None => core::config::Config::from_yaml(text),
        })
        .map(Self::new)
        .map_err(|error| into_py(py, error))
    }

    /// What is allowed and suspicious, in the order of the text.
    #[getter]
    fn diagnostics<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        values::diagnostics(py, self.0.diagnostics())
    }

    /// The names of the profiles, sorted.
    #[getter]
    fn profiles(&self) -> Vec<&str> {
        self.0.profile_names().collect()
    }

    /// The file it was read from.
    #[getter]
    fn file(&self) -> Option<&str> {
        self.0.file()
    }

    /// Lays a profile over ``litellm_base``.
    ///
    /// Raises :class:`ProfileError` if there is no profile of this name.
    fn profile(&self, py: Python<'_>, name: &str) -> PyResult<Profile> {
        py.detach(|| self.0.profile(name).map(drop))
            .map_err(|error| into_py(py, error))?;
        Ok(Profile {
            config: Arc::clone(&self.0),
            name: name.to_owned(),
        })
    }

    /// What is suspicious about how the profiles change the base, in the order of the text.
    fn profile_diagnostics<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        values::diagnostics(py, &py.detach(|| self.0.profile_diagnostics()))
    }

    /// The same configuration with every path absolute, seen from the directory of its file (or
    /// the current directory, if it has none) and from ``$HOME``.
    ///
    /// Raises :class:`ConfigError` if a path cannot be resolved.
    fn resolve(&self, py: Python<'_>) -> PyResult<Self> {
        py.detach(|| runtime::resolve(&self.0))
            .map(Self::new)
            .map_err(|error| into_py(py, error))
    }

    /// The document in the shape of version 2, its keys in the order they were written.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        node::to_py(py, self.0.document())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let file = self.file().into_pyobject(py)?.repr()?;
        let profiles = self.profiles().into_pyobject(py)?.repr()?;
        Ok(format!("<flowgate.Config file={file} profiles={profiles}>"))
    }
}

impl Config {
    fn new(config: core::config::Config) -> Self {
        Self(Arc::new(config))
    }
}

/// One profile of a configuration, laid over the base.
#[pyclass(frozen, module = "flowgate")]
pub(crate) struct Profile {
    config: Arc<core::config::Config>,
    name: String,
}

#[pymethods]
impl Profile {
    /// The name of the profile.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// What is suspicious about the changes: a mapping that a null wipes out, a type that changes.
    #[getter]
    fn diagnostics<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let found = self.with(py, |profile| profile.diagnostics().to_vec())?;
        values::diagnostics(py, &found)
    }

    /// Where every leaf of the merged document was written, in its order.
    #[getter]
    fn origins<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let origins = self.with(py, |profile| profile.origins())?;
        origins.iter().map(|o| values::origin(py, o)).collect()
    }

    /// The credentials that the merged document refers to, each once, in its order.
    #[getter]
    fn references(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let references = self.with(py, |profile| profile.references())?;
        Ok(references.into_iter().map(|r| r.name).collect())
    }

    /// The merged document: what LiteLLM reads, before the secrets are put in.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        node::to_py(py, &self.with(py, |profile| profile.document())?)
    }

    /// What changes from this profile to another, leaf by leaf.
    fn diff<'py>(&self, py: Python<'py>, other: &Self) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let changes = py
            .detach(|| {
                let before = self.config.profile(&self.name)?;
                Ok(before.diff(&other.config.profile(&other.name)?))
            })
            .map_err(|error: core::profile::Error| into_py(py, error))?;
        changes.iter().map(|c| values::change(py, c)).collect()
    }

    /// The document that LiteLLM reads, as YAML, with the secrets in place.
    ///
    /// ``secrets`` maps names of credentials to what they stand for. Raises :class:`ProfileError`
    /// with every credential that it lacks.
    fn render(&self, py: Python<'_>, secrets: &Bound<'_, PyMapping>) -> PyResult<String> {
        let secrets = secrets_from_py(secrets)?;
        self.with(py, |profile| profile.render(&secrets))?
            .map_err(|error| into_py(py, error))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let name = self.name().into_pyobject(py)?.repr()?;
        Ok(format!("<flowgate.Profile name={name}>"))
    }
}

impl Profile {
    /// Merges again, which is cheaper than keeping what borrows from the configuration.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        ask: impl Fn(&core::profile::Profile<'_>) -> T + Send + Sync,
    ) -> PyResult<T> {
        py.detach(|| self.config.profile(&self.name).map(|profile| ask(&profile)))
            .map_err(|error| into_py(py, error))
    }
}

fn secrets_from_py(secrets: &Bound<'_, PyMapping>) -> PyResult<Secrets> {
    let mut found = Secrets::new();
    for pair in secrets.items()? {
        let (name, secret): (String, Bound<'_, PyAny>) = pair.extract()?;
        let secret = secret.cast::<PyString>()?;
        // Python's own error would carry the text, and with it the secret, into logs.
        let secret = secret.to_str().map_err(|_| {
            PyValueError::new_err(format!("the secret of `{name}` is not valid Unicode"))
        })?;
        found.insert(name, secret.into());
    }
    Ok(found)
}
