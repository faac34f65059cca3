//! The drivers: what touches files, the environment and other programs.
//!
//! Each takes a decision of the pure modules and carries it out, or fetches what they need to
//! decide.

#[cfg(feature = "http")]
pub mod accounts;
mod activate;
mod atomic;
#[cfg(feature = "http")]
mod auth;
mod auth_dir;
mod backup;
#[cfg(feature = "http")]
mod bootstrap;
mod change;
mod clients;
#[cfg(feature = "http")]
mod credentials;
#[cfg(feature = "http")]
pub mod dev_provider;
mod doctor;
mod events;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod guard;
#[cfg(feature = "http")]
mod health;
#[cfg(feature = "http")]
mod http;
mod load;
mod machine;
mod migrate;
#[cfg(all(feature = "process", target_os = "linux"))]
pub mod process;
mod regular;
mod saved_pool;
mod secrets;
#[cfg(feature = "redis")]
pub mod shared;

use std::io;
use std::path::{Path, PathBuf};

pub use crate::services::services;
pub use activate::{Activation, LOCK_TIMEOUT, activate, active_profile};
pub use atomic::{Access, Planned, write_all, write_new};
#[cfg(feature = "http")]
pub use auth::{sign_in, sign_in_blocking};
#[cfg(feature = "http")]
pub use bootstrap::{
    Bootstrap, DEFAULT_VERSION, Installed, LITELLM_VERSION, Outcome as BootstrapOutcome, Progress,
    REPOSITORY, Update, write_litellm_runner,
};
pub use change::{ChangeFiles, Repaired, repair_change};
pub use clients::{ClientFile, apply_client, client_file, revert_client};
#[cfg(feature = "http")]
pub use credentials::{CredentialStore, StoredFile};
pub use doctor::{Finding, Fix, Level, Patient, examine, fix};
pub use events::{EVENT_LOG_BYTES, EVENT_LOG_KEEP, EventLog};
#[cfg(feature = "http")]
pub use health::{PROBE_TIMEOUT, check_health, check_health_blocking};
#[cfg(feature = "http")]
pub use http::HttpError;
pub use load::{load, read_document, resolve};
pub use migrate::{MigratedFile, migrate_file};
pub use saved_pool::{StateError, configured_pool, save_pool, saved_pool};
pub use secrets::{COMMAND_TIMEOUT, fetch_secret, fetch_secrets};

use self::auth_dir::auth_dir;
use self::regular::NotRegular;
use crate::diagnostic::Diagnostic;
use crate::guard::install::InstallError;
use crate::guard::{PackError, PolicyError};
use crate::{config, profile};

/// Why something could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The document has mistakes.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] profile::Error),
    /// A policy of the guard has mistakes.
    #[error("`{}`: {error}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: PolicyError,
    },
    /// A pack of rules has mistakes.
    #[error("`{}`: {error}", path.display())]
    Pack {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: PackError,
    },
    /// The settings of an agent cannot be edited. They are untouched.
    #[error("`{}`: {error}", path.display())]
    Install {
        /// The file.
        path: PathBuf,
        /// Why.
        error: InstallError,
    },
    /// The settings of a client cannot be edited. They are untouched.
    #[error("`{}`: {error}", path.display())]
    Client {
        /// The file.
        path: PathBuf,
        /// Why.
        error: crate::clients::Error,
    },
    /// A supervisor cannot do what it should.
    #[cfg(all(feature = "process", target_os = "linux"))]
    #[error(transparent)]
    Supervise(#[from] process::Error),
    /// A supervisor that runs could not be asked, or says no.
    #[cfg(all(feature = "process", target_os = "linux"))]
    #[error(transparent)]
    Control(#[from] process::ControlError),
    /// There is nothing to install, or it is not what it should be. What is installed is untouched.
    #[error(transparent)]
    Bootstrap(#[from] crate::bootstrap::Error),
    /// Credentials of another program cannot be taken over.
    #[error("`{}`: {error}", path.display())]
    Credential {
        /// The file.
        path: PathBuf,
        /// Why.
        error: crate::auth::Error,
    },
    /// A request had no answer, or a bad one.
    #[cfg(feature = "http")]
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A file could not be read.
    #[error("cannot read `{}`: {reason}; {hint}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: String,
        /// True if the machine is at fault and not what was asked for.
        environment: bool,
    },
    /// A file could not be written. What was there before is untouched.
    #[error("cannot write `{}`: {reason}; {hint}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: String,
    },
}

impl Error {
    /// The stable name of this kind of error.
    pub fn code(&self) -> &str {
        match self {
            #[cfg(all(feature = "process", target_os = "linux"))]
            Self::Supervise(error) => error.code(),
            #[cfg(all(feature = "process", target_os = "linux"))]
            Self::Control(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Profile(error) => error.code(),
            Self::Policy { error, .. } => error.code(),
            Self::Pack { error, .. } => error.code(),
            Self::Install { error, .. } => error.code(),
            Self::Bootstrap(error) => error.code(),
            Self::Client { error, .. } => error.code(),
            Self::Credential { error, .. } => error.code(),
            #[cfg(feature = "http")]
            Self::Http(error) => error.code(),
            Self::Read { .. } => "runtime.cannot_read",
            Self::Write { .. } => "runtime.cannot_write",
        }
    }

    /// What is wrong in the document, if that is what is wrong.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Config(error) => error.diagnostics(),
            _ => &[],
        }
    }

    /// True if the machine is at fault (a full disk, a missing permission or secret) and not what
    /// was asked for.
    pub fn is_environment(&self) -> bool {
        match self {
            // A name that was mistyped is the fault of whoever asks.
            #[cfg(all(feature = "process", target_os = "linux"))]
            Self::Control(process::ControlError::Refused(refusal)) => {
                refusal.code != "supervise.unknown_service"
            }
            #[cfg(all(feature = "process", target_os = "linux"))]
            Self::Supervise(_) | Self::Control(_) => true,
            #[cfg(feature = "http")]
            Self::Http(error) => !matches!(error, HttpError::BadUrl { .. }),
            Self::Bootstrap(error) => !matches!(error, crate::bootstrap::Error::Platform { .. }),
            Self::Client { .. }
            | Self::Credential { .. }
            | Self::Config(_)
            | Self::Install { .. }
            | Self::Pack { .. }
            | Self::Policy { .. }
            | Self::Profile(profile::Error::UnknownProfile { .. }) => false,
            Self::Read { environment, .. } => *environment,
            Self::Profile(profile::Error::Credentials { .. }) | Self::Write { .. } => true,
        }
    }

    fn client(path: &Path, error: crate::clients::Error) -> Self {
        Self::Client {
            path: path.to_owned(),
            error,
        }
    }

    fn read(path: &Path, error: &io::Error) -> Self {
        if let Some((reason, hint)) = current_directory_gone(path) {
            return Self::Read {
                path: path.to_owned(),
                reason,
                hint,
                environment: true,
            };
        }
        let (hint, environment) = match error.kind() {
            io::ErrorKind::NotFound => (
                "name another file, or write one with `flowgate init`",
                false,
            ),
            io::ErrorKind::IsADirectory => ("name a file in it", false),
            io::ErrorKind::PermissionDenied => ("give yourself permission to read it", true),
            // `ErrorKind::FilesystemLoop` is not stable yet.
            _ if plain(error).contains("symbolic links") => (
                "a symbolic link leads back to itself: point it at a file",
                true,
            ),
            _ if is_not_regular(error) => ("put a regular file there", true),
            _ => ("look at the file and the disk", true),
        };
        Self::Read {
            path: path.to_owned(),
            reason: plain(error),
            hint: hint.to_owned(),
            environment,
        }
    }

    fn write(path: &Path, error: &io::Error) -> Self {
        if let Some((reason, hint)) = current_directory_gone(path) {
            return Self::Write {
                path: path.to_owned(),
                reason,
                hint,
            };
        }
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "give yourself permission to write there",
            io::ErrorKind::ReadOnlyFilesystem => "choose a place on a disk that can be written",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on the disk",
            io::ErrorKind::NotADirectory => "a part of the path is a file: choose another place",
            io::ErrorKind::IsADirectory => "a directory has this name: choose another place",
            _ if is_not_regular(error) => "choose another place",
            _ => "look at the directory and the disk",
        };
        Self::Write {
            path: path.to_owned(),
            reason: plain(error),
            hint: hint.to_owned(),
        }
    }
}

fn is_not_regular(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<NotRegular>())
}

/// Reason and hint, if a relative path leads nowhere because the directory it starts in is deleted.
/// The operating system only says that there is no such file.
fn current_directory_gone(path: &Path) -> Option<(String, String)> {
    let gone = path.is_relative()
        && std::env::current_dir().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    gone.then(|| {
        (
            "the current directory is gone".to_owned(),
            "change to a directory that is there".to_owned(),
        )
    })
}

/// The words of the operating system, without the number behind them.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}
