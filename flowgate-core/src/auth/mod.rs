//! Signing in at providers, and taking over credentials that other programs hold.
//!
//! [`SignIn`] is a machine without clock and network: it says what to send, what to show and until
//! when to wait, and is told what came back. [`providers`] is the list of those one can sign in at;
//! [`import`](import()) reads the credentials of Codex, Copilot and Kiro; [`describe`] says what a
//! stored credential is, without the secret.

mod answer;
mod import;
mod machine;
mod provider;
mod stored;

pub use import::{Format, Imported, import};
pub use machine::{
    Action, DEFAULT_TIMEOUT, Event, MIN_INTERVAL, Method, Outcome, POLL_INTERVAL, Prompt, Request,
    SignIn, Timing,
};
pub use provider::{Flow, Provider, providers};
pub use stored::{Stored, describe};

/// The name of the file that the credentials of a provider are stored in.
pub fn file_name(provider: &str) -> String {
    format!(
        "{}.json",
        import::slug(provider).unwrap_or_else(|| "provider".to_owned())
    )
}

/// Why signing in or taking over credentials is not possible.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no provider of this name.
    #[error("there is no provider `{name}`; there are {}", known.join(", "))]
    UnknownProvider {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The configuration does not say how.
    #[error("one cannot sign in at `{provider}`: {reason}; {hint}")]
    NotPossible {
        /// The provider.
        provider: String,
        /// Why not.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// The provider's credentials cannot be taken over.
    #[error("credentials of `{provider}` cannot be taken over; those of {} can", known.join(", "))]
    NoImport {
        /// The provider.
        provider: String,
        /// Those whose can.
        known: Vec<String>,
    },
    /// The text holds no credentials of the kind that was expected.
    #[error("{reason}; {hint}")]
    BadCredentials {
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: String,
    },
}

impl Error {
    /// A stable, machine-readable name for this kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownProvider { .. } => "auth.unknown_provider",
            Self::NotPossible { .. } => "auth.not_possible",
            Self::NoImport { .. } => "auth.no_import",
            Self::BadCredentials { .. } => "auth.bad_credentials",
        }
    }
}
