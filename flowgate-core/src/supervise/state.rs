//! Where a service stands.

use serde::{Deserialize, Serialize};

use super::Millis;
use super::event::{ExitStatus, Owner, ProcessId, SpawnError};
use super::spec::{Gen, ServiceId};

/// Where a service stands, as people and programs are told.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum PublicState {
    /// It has no process and shall have none.
    #[default]
    Stopped,
    /// It is on the way up.
    Starting,
    /// It is ready.
    Running,
    /// It is on the way down.
    Stopping,
    /// It ended or is being ended, and comes back.
    Restarting,
    /// It does not work, and somebody should look at it.
    Error,
}

impl PublicState {
    /// The name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
            Self::Error => "error",
        }
    }
}

/// Whether a service shall run. What it does is its state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// It shall.
    Up,
    /// It shall not.
    #[default]
    Down,
}

/// Where an instance of a service stands: the service's one process, or its absence.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// There is nothing.
    Stopped,
    /// It shall start, and something is missing.
    Waiting {
        /// What.
        #[serde(rename = "for")]
        gate: Gate,
    },
    /// It is being started, or runs and is not ready.
    Starting,
    /// It is ready.
    Ready,
    /// It is ready and has failed a liveness probe, and not enough of them yet.
    Unhealthy {
        /// How many in a row.
        failures: u32,
    },
    /// It is being stopped.
    Stopping {
        /// Why.
        why: Why,
        /// How far that is.
        phase: Phase,
    },
    /// It ended, and is started again after a while.
    Backoff {
        /// When, in monotonic milliseconds.
        until: Millis,
    },
    /// It ended, and that was all it had to do.
    Exited {
        /// How.
        status: ExitStatus,
    },
    /// It cannot run.
    Error {
        /// Why.
        reason: Reason,
        /// When it is tried again, in monotonic milliseconds.
        retry_at: Option<Millis>,
    },
}

/// What a service waits for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Other services.
    Dependencies {
        /// Those that are not what they must be.
        services: Vec<ServiceId>,
    },
    /// Its port.
    Port {
        /// Who has it.
        owner: Option<Owner>,
    },
}

/// Why a process is stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Somebody asked for it.
    Command,
    /// It is replaced by a new one.
    Restart,
    /// A service that it needs is lost.
    DependencyLost,
    /// It ended by itself.
    Exit,
    /// It was not ready in time.
    StartTimeout,
    /// It failed its liveness probes.
    Liveness,
    /// A new process has taken its place.
    Replaced,
}

/// How far a stop is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Services that need it end first.
    Wait,
    /// It is told to take no new work.
    Drain,
    /// It is told to end.
    Term,
    /// It ended, and what it left behind is told to.
    Sweep,
    /// All of it is killed.
    Kill,
}

/// Why a service cannot run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// It ended too often in too short a time.
    CrashLoop {
        /// How many restarts there were.
        restarts: u32,
        /// How it ended last.
        status: Option<ExitStatus>,
        /// The last lines it wrote.
        last_lines: Vec<String>,
    },
    /// It cannot be started.
    SpawnFailed {
        /// Why.
        error: SpawnError,
    },
    /// Another process has its port, and it does not wait for it.
    PortBusy {
        /// The port.
        port: u16,
        /// Who.
        owner: Option<Owner>,
    },
    /// Some of its processes cannot be killed.
    Unkillable {
        /// Which.
        survivors: Vec<Owner>,
    },
    /// A service that it needs to complete ended with an error.
    DependencyFailed {
        /// Which.
        service: ServiceId,
    },
}

/// Everything about a service at one moment.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceId,
    /// Where it stands.
    pub public: PublicState,
    /// Where it stands, in detail.
    #[serde(flatten)]
    pub state: State,
    /// Whether it shall run.
    pub want: Want,
    /// The generation of its process, or of the last one.
    pub generation: Gen,
    /// Its process.
    pub process: Option<ProcessId>,
    /// Its port.
    pub port: Option<u16>,
    /// Since when its process runs, in monotonic milliseconds.
    pub since: Option<Millis>,
    /// How often it was started again after it ended by itself.
    pub restarts: u64,
    /// How its last process ended.
    pub last_exit: Option<ExitStatus>,
    /// Whether it ended with success, if it has ended and is not started again.
    pub completed: Option<bool>,
    /// What went wrong last, in words.
    pub last_error: Option<String>,
    /// The process that is to replace this one, or that this one replaced.
    pub other: Option<OtherInstance>,
}

/// The second process of a service, during a restart that overlaps.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct OtherInstance {
    /// Its generation.
    pub generation: Gen,
    /// The process.
    pub process: Option<ProcessId>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
}
