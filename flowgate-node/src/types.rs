use flowgate_core as core;
use flowgate_core::diagnostic::Severity;
use flowgate_core::profile::ChangeKind;
use napi::bindgen_prelude::*;
use napi_derive::napi;

use crate::document;

/// Converts each.
pub(crate) fn all(found: &[core::diagnostic::Diagnostic]) -> Vec<Diagnostic> {
    found.iter().cloned().map(Diagnostic::from).collect()
}

/// One problem of a document.
#[napi(object, object_from_js = false)]
pub struct Diagnostic {
    pub severity: &'static str,
    pub code: &'static str,
    pub message: String,
    pub file: Option<String>,
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
    pub path: String,
    pub hint: Option<String>,
    pub related: Vec<Related>,
}

impl From<core::diagnostic::Diagnostic> for Diagnostic {
    fn from(diagnostic: core::diagnostic::Diagnostic) -> Self {
        Self {
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: diagnostic.code,
            message: diagnostic.message,
            file: diagnostic.file,
            line: diagnostic.span.line,
            column: diagnostic.span.column,
            end_line: diagnostic.span.end_line,
            end_column: diagnostic.span.end_column,
            path: diagnostic.path,
            hint: diagnostic.hint,
            related: diagnostic.related.into_iter().map(Related::from).collect(),
        }
    }
}

/// A second place that belongs to a diagnostic.
#[napi(object, object_from_js = false)]
pub struct Related {
    pub message: String,
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
}

impl From<core::diagnostic::Related> for Related {
    fn from(related: core::diagnostic::Related) -> Self {
        Self {
            message: related.message,
            line: related.span.line,
            column: related.span.column,
            end_line: related.span.end_line,
            end_column: related.span.end_column,
        }
    }
}

/// Where a value of a merged document was written.
#[napi(object, object_from_js = false)]
pub struct Origin {
    pub path: String,
    pub layer: String,
    pub file: Option<String>,
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
}

impl From<core::profile::Origin> for Origin {
    fn from(origin: core::profile::Origin) -> Self {
        Self {
            path: origin.path,
            layer: origin.layer,
            file: origin.file,
            line: origin.span.line,
            column: origin.span.column,
            end_line: origin.span.end_line,
            end_column: origin.span.end_column,
        }
    }
}

/// One leaf that differs.
#[napi(object, object_from_js = false)]
pub struct Change<'env> {
    pub path: String,
    pub kind: &'static str,
    pub before: Option<Unknown<'env>>,
    pub after: Option<Unknown<'env>>,
}

impl<'env> Change<'env> {
    pub(crate) fn new(env: &'env Env, change: core::profile::Change) -> Result<Self> {
        let value = |node: Option<core::yaml::Node>| {
            node.map(|node| document::to_js(env, &node)).transpose()
        };
        Ok(Self {
            path: change.path,
            kind: match change.kind {
                ChangeKind::Added => "added",
                ChangeKind::Changed => "changed",
                ChangeKind::Removed => "removed",
            },
            before: value(change.before)?,
            after: value(change.after)?,
        })
    }
}

/// Two documents, one laid over the other.
#[napi(object, object_from_js = false)]
pub struct Merge<'env> {
    pub merged: Unknown<'env>,
    pub warnings: Vec<Diagnostic>,
}

/// A document as version 2, and what had to change for it.
#[napi(object, object_from_js = false)]
pub struct Migration {
    pub text: String,
    pub changes: Vec<String>,
    pub remaining: Vec<Diagnostic>,
}

impl From<core::config::Migration> for Migration {
    fn from(migration: core::config::Migration) -> Self {
        Self {
            text: migration.text,
            changes: migration.changes,
            remaining: all(&migration.remaining),
        }
    }
}

/// What an activation did.
#[napi(object, object_from_js = false)]
pub struct Activation {
    pub profile: String,
    pub active_config: String,
    pub state_file: String,
    pub changed: bool,
}

impl From<core::runtime::Activation> for Activation {
    fn from(activation: core::runtime::Activation) -> Self {
        Self {
            profile: activation.profile,
            active_config: activation.active_config.to_string_lossy().into_owned(),
            state_file: activation.state_file.to_string_lossy().into_owned(),
            changed: activation.changed,
        }
    }
}

/// Which profile is active, and since when.
#[napi(object, object_from_js = false)]
pub struct State {
    pub current_profile: String,
    pub updated_at: String,
}

impl From<core::profile::State> for State {
    fn from(state: core::profile::State) -> Self {
        Self {
            current_profile: state.current_profile,
            updated_at: state.updated_at,
        }
    }
}
