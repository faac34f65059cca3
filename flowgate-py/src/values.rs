//! The value classes of `flowgate.values`, which are written in Python.

use flowgate_core::config::Migration;
use flowgate_core::diagnostic::{Diagnostic, Severity};
use flowgate_core::guard::PackInfo;
use flowgate_core::profile::{Change, ChangeKind, Origin, State};
use flowgate_core::runtime::Activation;
use flowgate_core::yaml::Node;
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::guard::severity_name;
use crate::node;

pub(crate) fn diagnostics<'py>(
    py: Python<'py>,
    diagnostics: &[Diagnostic],
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    diagnostics.iter().map(|d| diagnostic(py, d)).collect()
}

fn diagnostic<'py>(py: Python<'py>, diagnostic: &Diagnostic) -> PyResult<Bound<'py, PyAny>> {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let related = diagnostic.related.iter().map(|related| {
        let span = related.span;
        let place = (span.line, span.column, span.end_line, span.end_column);
        new(
            py,
            "Related",
            (&related.message, place.0, place.1, place.2, place.3),
        )
    });
    let related = PyTuple::new(py, related.collect::<PyResult<Vec<_>>>()?)?;
    let span = diagnostic.span;
    let fields = (
        severity,
        diagnostic.code,
        &diagnostic.message,
        &diagnostic.file,
        span.line,
        span.column,
        span.end_line,
        span.end_column,
        &diagnostic.path,
        &diagnostic.hint,
        related,
    );
    new(py, "Diagnostic", fields)
}

pub(crate) fn origin<'py>(py: Python<'py>, origin: &Origin) -> PyResult<Bound<'py, PyAny>> {
    let fields = (
        &origin.path,
        &origin.layer,
        &origin.file,
        origin.span.line,
        origin.span.column,
        origin.span.end_line,
        origin.span.end_column,
    );
    new(py, "Origin", fields)
}

pub(crate) fn change<'py>(py: Python<'py>, change: &Change) -> PyResult<Bound<'py, PyAny>> {
    let kind = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Removed => "removed",
    };
    let value = |node: &Option<Node>| node.as_ref().map(|node| node::to_py(py, node)).transpose();
    let fields = (
        &change.path,
        kind,
        value(&change.before)?,
        value(&change.after)?,
    );
    new(py, "Change", fields)
}

pub(crate) fn merge<'py>(
    py: Python<'py>,
    merged: &Node,
    warnings: &[Diagnostic],
) -> PyResult<Bound<'py, PyAny>> {
    let warnings = PyTuple::new(py, diagnostics(py, warnings)?)?;
    new(py, "Merge", (node::to_py(py, merged)?, warnings))
}

pub(crate) fn migration(py: Python<'_>, migration: Migration) -> PyResult<Bound<'_, PyAny>> {
    let changes = PyTuple::new(py, migration.changes)?;
    let remaining = PyTuple::new(py, diagnostics(py, &migration.remaining)?)?;
    new(py, "Migration", (migration.text, changes, remaining))
}

pub(crate) fn activation(py: Python<'_>, activation: Activation) -> PyResult<Bound<'_, PyAny>> {
    let fields = (
        activation.profile,
        activation.active_config,
        activation.state_file,
        activation.changed,
    );
    new(py, "Activation", fields)
}

pub(crate) fn state(py: Python<'_>, state: State) -> PyResult<Bound<'_, PyAny>> {
    new(py, "State", (state.current_profile, state.updated_at))
}

pub(crate) fn pack<'py>(py: Python<'py>, pack: &PackInfo) -> PyResult<Bound<'py, PyAny>> {
    let rules = pack.rules.iter().map(|rule| {
        let fields = (
            &rule.id,
            severity_name(rule.severity),
            rule.decision.name(),
            &rule.reason,
            &rule.suggestion,
            PyTuple::new(py, &rule.deny)?,
            PyTuple::new(py, &rule.allow)?,
        );
        new(py, "RuleInfo", fields)
    });
    let rules = PyTuple::new(py, rules.collect::<PyResult<Vec<_>>>()?)?;
    new(
        py,
        "PackInfo",
        (&pack.id, &pack.name, &pack.description, rules),
    )
}

fn new<'py>(
    py: Python<'py>,
    class: &str,
    fields: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    MODULE
        .get_or_try_init(py, || py.import("flowgate.values").map(Bound::unbind))?
        .bind(py)
        .getattr(class)?
        .call1(fields)
}
