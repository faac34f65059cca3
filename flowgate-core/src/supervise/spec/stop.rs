//! How a service is stopped.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a service is stopped.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct StopSpec {
    /// What tells it to end.
    pub signal: Signal,
    /// Who gets the signal.
    pub to: SignalTo,
    /// How long it may take to end before it is killed.
    pub timeout: Duration,
    /// What is done before the signal, so that no new work comes in.
    pub drain: Option<DrainSpec>,
    /// How long processes that outlive their leader may take to end.
    pub orphan_grace: Duration,
}

impl Default for StopSpec {
    fn default() -> Self {
        Self {
            signal: Signal::Term,
            to: SignalTo::Group,
            timeout: Duration::from_secs(10),
            drain: None,
            orphan_grace: Duration::from_millis(500),
        }
    }
}

/// What is done before the signal.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DrainSpec {
    /// How the service is told.
    pub hook: DrainHook,
    /// How long it may take; then the signal follows all the same.
    pub timeout: Duration,
}

impl DrainSpec {
    /// How long a process that was replaced behind the forwarder may take to answer what it was
    /// sent, unless it is set: clients seldom wait longer.
    pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
}

/// How a service is told to take no new work.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainHook {
    /// A POST to this URL path.
    Http(String),
    /// This program is run to its end.
    Exec(Vec<String>),
    /// Nothing is done; time passes, behind the forwarder until everything is answered.
    Wait,
}

/// A signal that FlowGate sends.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of POSIX")]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
pub enum Signal {
    Cont,
    Hup,
    Int,
    Kill,
    Quit,
    #[default]
    Term,
    Usr1,
    Usr2,
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
pub enum SignalTo {
    /// The process group of the first process.
    #[default]
    Group,
    /// The first process alone.
    Leader,
    /// Every process that comes from the first.
    Tree,
}
