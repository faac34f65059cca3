//! Twins of the values that borrow, count in `usize`, or hold documents.

use super::{diagnostics, json};
use crate::diagnostic::{self, Related};
use crate::guard::{self, Decision, Evidence};
use crate::profile::{self, ChangeKind};

/// See [`crate::diagnostic::Diagnostic`].
#[derive(Clone, Debug, Eq, PartialEq, uniffi::Record)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: diagnostic::Severity,
    /// Stable name of the kind of problem, such as `config.unknown_key`.
    pub code: String,
    /// What is wrong, in one lower-case sentence.
    pub message: String,
    /// The file, where the text came from one.
    pub file: Option<String>,
    /// Where in the text.
    pub span: diagnostic::Span,
    /// Where in the document, such as `services.litellm.port`; empty for the whole.
    pub path: String,
    /// How to fix it.
    pub hint: Option<String>,
    /// Other places that matter.
    pub related: Vec<Related>,
}

impl From<diagnostic::Diagnostic> for Diagnostic {
    fn from(found: diagnostic::Diagnostic) -> Self {
        Self {
            severity: found.severity,
            code: found.code.to_owned(),
            message: found.message,
            file: found.file,
            span: found.span,
            path: found.path,
            hint: found.hint,
            related: found.related,
        }
    }
}

/// See [`crate::profile::Change`].
#[derive(Clone, Debug, Eq, PartialEq, uniffi::Record)]
pub struct Change {
    /// The leaf, such as `litellm_settings.num_retries`.
    pub path: String,
    /// How it differs.
    pub kind: ChangeKind,
    /// Its value before, as JSON; nothing if it was not there.
    pub before: Option<String>,
    /// Its value after, as JSON; nothing if it is not there.
    pub after: Option<String>,
}

impl From<profile::Change> for Change {
    fn from(change: profile::Change) -> Self {
        Self {
            path: change.path,
            kind: change.kind,
            before: change.before.as_ref().map(json),
            after: change.after.as_ref().map(json),
        }
    }
}

/// Two documents as one, and what is suspicious about how they differ.
#[derive(Clone, Debug, Eq, PartialEq, uniffi::Record)]
pub struct Merge {
    /// The document, as JSON.
    pub merged: String,
    /// What is suspicious.
    pub warnings: Vec<Diagnostic>,
}

/// See [`crate::config::Migration`].
#[derive(Clone, Debug, Eq, PartialEq, uniffi::Record)]
pub struct Migration {
    /// The new text.
    pub text: String,
    /// What was changed, one sentence each.
    pub changes: Vec<String>,
    /// What is still wrong with the document.
    pub remaining: Vec<Diagnostic>,
}

impl From<crate::config::Migration> for Migration {
    fn from(migration: crate::config::Migration) -> Self {
        Self {
            text: migration.text,
            changes: migration.changes,
            remaining: diagnostics(&migration.remaining),
        }
    }
}

/// A range of characters (Unicode code points, not bytes) in a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq, uniffi::Record)]
pub struct CommandSpan {
    /// Characters before the first one.
    pub start: u32,
    /// Characters before the end.
    pub end: u32,
}

/// See [`crate::guard::Verdict`].
#[derive(Clone, Debug, Eq, PartialEq, uniffi::Record)]
pub struct Verdict {
    /// What to do with the command.
    pub decision: Decision,
    /// The deciding rule, `pack:rule`.
    pub rule: Option<String>,
    /// How bad it is.
    pub severity: Option<guard::Severity>,
    /// What would be lost.
    pub reason: Option<String>,
    /// What to do instead.
    pub suggestion: Option<String>,
    /// The deciding part of the command.
    pub span: Option<CommandSpan>,
    /// How sure that is.
    pub evidence: Evidence,
}

impl Verdict {
    pub(super) fn new(verdict: guard::Verdict, command: &str) -> Self {
        let characters = |bytes: usize| {
            let before = command.get(..bytes).unwrap_or(command);
            u32::try_from(before.chars().count()).unwrap_or(u32::MAX)
        };
        Self {
            decision: verdict.decision,
            rule: verdict.rule.map(Into::into),
            severity: verdict.severity,
            reason: verdict.reason.map(Into::into),
            suggestion: verdict.suggestion.map(Into::into),
            span: verdict.span.map(|span| CommandSpan {
                start: characters(span.start),
                end: characters(span.end),
            }),
            evidence: verdict.evidence,
        }
    }
}
