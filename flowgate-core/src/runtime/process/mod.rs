//! The supervisor as it acts: real processes, their output, their ports.
//!
//! [`supervise`](crate::supervise) decides; this carries out what it decided, and tells it what came
//! of that.

mod change;
mod control;
mod dir;
mod driver;
mod embed;
mod forward;
mod identity;
mod launch;
mod listen;
mod logs;
mod metrics;
mod notify;
mod nursery;
mod ports;
mod probes;
mod proc;
mod record;
mod serve;
mod shim;
mod supervisor;
mod tend;
mod wire;

use std::io;
use std::path::{Path, PathBuf};

use crate::supervise::GraphError;

pub use change::Change;
pub use control::{ControlError, Refusal};
pub use dir::RuntimeDir;
pub use embed::{Embedded, Follower, given_services};
pub use metrics::Status;
#[cfg(fuzzing)]
pub(super) use record::fuzz as fuzz_record;
pub use serve::{Following, Request, ask, follow};
pub use shim::run_if_asked;
pub use supervisor::{Events, Handle, Heard, Running, Supervisor};

/// Why a supervisor cannot do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another one has the runtime directory.
    #[error(
        "another supervisor{} has `{}`; talk to it with `flowgate status`, or end it with `flowgate down`",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The process that has it.
        pid: Option<u32>,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(Box<super::Error>),
    /// Its services do not fit together.
    #[error(transparent)]
    Services(GraphError),
    /// The program that is to hold the services is not one that can.
    #[error(
        "`{}` cannot hold services: {reason}; name the program `{}` instead", program.display(), embed::VERSION
    )]
    Shim {
        /// The program.
        program: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file or a socket cannot be used.
    #[error("cannot {what} `{}`: {reason}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        reason: String,
    },
}

impl Error {
    /// The stable name of this kind of error.
    pub fn code(&self) -> &str {
        match self {
            Self::Config(error) => error.code(),
            Self::Services(error) => error.code(),
            Self::Locked { .. } => "supervise.locked",
            Self::Shim { .. } => "supervise.no_shim",
            Self::Io { .. } => "supervise.io",
        }
    }

    fn io(what: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            reason: super::plain(error),
        }
    }
}

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        Self::Config(Box::new(error))
    }
}
