//! Python bindings: converts arguments, calls `flowgate_core`, converts the answer.
//!
//! No decision is taken in this crate. If a function here is longer than its conversions, the rest
//! of it belongs in the core.

mod accounts;
mod config;
mod error;
mod guard;
mod node;
#[cfg(target_os = "linux")]
mod supervise;
mod values;

use std::time::{SystemTime, UNIX_EPOCH};

use flowgate_core as core;
use flowgate_core::config::Base;
use flowgate_core::diagnostic::{Diagnostic, Span};
use flowgate_core::runtime;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyMapping;

use crate::accounts::{ClassifyRules, Meaning, Pool, PoolVerdict, Refresh, Retries, classify};
use crate::config::{Config, Profile};
use crate::error::into_py;
use crate::guard::{Guard, Verdict};

/// Lays one document over another, as a profile is laid over the base.
///
/// Mappings are merged, everything else replaces, and the text ``"$delete"`` removes a key.
/// Neither document is changed.
///
/// Raises ``TypeError`` for what a document cannot hold, and ``ValueError`` for numbers that are
/// not finite, integers beyond 128 bits, and documents that are too deep or too large.
#[pyfunction]
fn merge<'py>(
    py: Python<'py>,
    base: &Bound<'py, PyMapping>,
    overlay: &Bound<'py, PyMapping>,
) -> PyResult<Bound<'py, PyAny>> {
    let (base, overlay) = (node::from_py(base)?, node::from_py(overlay)?);
    let (merged, warnings) = py.detach(|| core::profile::merge_documents(&base, &overlay));
    values::merge(py, &merged, &warnings)
}

/// Rewrites the text of a configuration of version 1 or 3 as version 2.
///
/// Comments, order and quoting are kept; mistakes that were there before are reported and left to
/// the author.
///
/// Raises :class:`ConfigError` if the text is not YAML or its version is unknown.
#[pyfunction]
fn migrate<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let migration = py
        .detach(|| core::config::migrate(text))
        .map_err(|error| into_py(py, error))?;
    values::migration(py, migration)
}

/// Where a path of a configuration leads: absolute stays, ``~`` is ``home``, anything else starts
/// at ``dir``.
///
/// Nothing is looked up. Raises :class:`ConfigError` for a path that is blank, a URL, or that
/// needs a home directory which is not given.
#[pyfunction]
#[pyo3(signature = (path, *, dir, home = None))]
fn resolve_path(py: Python<'_>, path: &str, dir: &str, home: Option<&str>) -> PyResult<String> {
    core::config::resolve_path(path, &Base { dir, home }).map_err(|error| into_py(py, error))
}

/// Makes a profile the active one: fetches its secrets and writes the LiteLLM configuration and
/// ``state.json``, both or neither. The former, which holds them, is readable by its owner alone.
///
/// Paths are resolved first, as by :meth:`Config.resolve`. If everything is as it should be
/// already, nothing is written.
///
/// Raises :class:`ProfileError` if the profile or one of its secrets is missing and
/// :class:`FileError` if a file cannot be written; the active profile stays as it was.
#[pyfunction]
fn activate<'py>(py: Python<'py>, config: &Config, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let activation = py
        .detach(|| runtime::activate(&runtime::resolve(&config.0)?, name, now()))
        .map_err(|error| into_py(py, error))?;
    values::activation(py, activation)
}

/// Which profile is active; ``None`` if none is.
///
/// Raises :class:`FileError` if ``state.json`` is there and cannot be read.
#[pyfunction]
fn active_profile<'py>(py: Python<'py>, config: &Config) -> PyResult<Option<Bound<'py, PyAny>>> {
    py.detach(|| runtime::active_profile(&runtime::resolve(&config.0)?))
        .map_err(|error| into_py(py, error))?
        .map(|state| values::state(py, state))
        .transpose()
}

/// The JSON Schema of the configuration, for editors and validators.
#[pyfunction]
fn json_schema(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "json"))?
        .call_method1(intern!(py, "loads"), (core::config::JSON_SCHEMA,))
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The text form of a diagnostic, for `Diagnostic.__str__`.
#[pyfunction]
fn _describe(
    message: &str,
    file: Option<String>,
    line: u32,
    column: u32,
    path: &str,
    hint: Option<String>,
) -> String {
    let span = Span {
        line,
        column,
        ..Span::default()
    };
    let mut diagnostic = Diagnostic::error("", span, message).at(path);
    diagnostic.file = file;
    diagnostic.hint = hint;
    diagnostic.to_string()
}

/// Native half of the `flowgate` package.
#[pymodule(gil_used = false)]
mod _flowgate {
    #[pymodule_export]
    use super::{
        _describe, ClassifyRules, Config, Guard, Meaning, Pool, PoolVerdict, Profile, Refresh,
        Retries, Verdict, activate, active_profile, classify, json_schema, merge, migrate,
        resolve_path,
    };

    #[cfg(target_os = "linux")]
    #[pymodule_export]
    use super::supervise::{Events, Supervisor};

    #[pymodule_export]
    const STARTER: &str = flowgate_core::config::STARTER;

    #[allow(non_upper_case_globals)]
    #[pymodule_export]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
