//! The one error type of the foreign languages.

use super::{Diagnostic, diagnostics};
use crate::accounts::SnapshotError;
use crate::guard::{PackError, PolicyError};
use crate::supervise::GraphError;
use crate::{config, profile};

/// Anything that flowgate cannot do. `code` is a stable name, the same in every language.
///
/// The text is called `reason`, because Kotlin's exceptions have a `message` of their own.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error, uniffi::Error)]
#[non_exhaustive]
pub enum FlowgateError {
    /// A pool cannot be made: an account, a setting or a snapshot is not right.
    #[error("{reason}")]
    AccountsError {
        /// Stable name, such as `accounts.invalid`.
        code: String,
        /// What is wrong.
        reason: String,
    },
    /// A document has mistakes.
    #[error("{reason}")]
    ConfigError {
        /// Stable name, such as `config.invalid`.
        code: String,
        /// Every mistake, for people.
        reason: String,
        /// Every mistake and its place.
        diagnostics: Vec<Diagnostic>,
    },
    /// A policy or a pack of the guard cannot be used.
    #[error("{reason}")]
    GuardError {
        /// Stable name, such as `guard.policy.unknown`.
        code: String,
        /// All that is wrong.
        reason: String,
    },
    /// There is no such profile, or it lacks secrets.
    #[error("{reason}")]
    ProfileError {
        /// Stable name, such as `profile.unknown`.
        code: String,
        /// All that is wrong.
        reason: String,
    },
    /// Services do not fit together.
    #[error("{reason}")]
    SuperviseError {
        /// Stable name, such as `supervise.dependency_cycle`.
        code: String,
        /// What is wrong.
        reason: String,
    },
}

impl From<GraphError> for FlowgateError {
    fn from(error: GraphError) -> Self {
        Self::SuperviseError {
            code: error.code().to_owned(),
            reason: error.to_string(),
        }
    }
}

impl From<SnapshotError> for FlowgateError {
    fn from(error: SnapshotError) -> Self {
        Self::AccountsError {
            code: error.code().to_owned(),
            reason: error.to_string(),
        }
    }
}

impl From<config::Error> for FlowgateError {
    fn from(error: config::Error) -> Self {
        Self::ConfigError {
            code: error.code().to_owned(),
            reason: error.to_string(),
            diagnostics: diagnostics(error.diagnostics()),
        }
    }
}

impl From<profile::Error> for FlowgateError {
    fn from(error: profile::Error) -> Self {
        Self::ProfileError {
            code: error.code().to_owned(),
            reason: error.to_string(),
        }
    }
}

impl From<PolicyError> for FlowgateError {
    fn from(error: PolicyError) -> Self {
        Self::GuardError {
            code: error.code().to_owned(),
            reason: error.to_string(),
        }
    }
}

impl From<PackError> for FlowgateError {
    fn from(error: PackError) -> Self {
        Self::GuardError {
            code: error.code().to_owned(),
            reason: error.to_string(),
        }
    }
}
