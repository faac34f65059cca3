//! What happens to the supervised: the input of the machine.
//!
//! A driver reports what it saw, in the order in which it saw it. What belongs to a process carries
//! the generation of that process, and what belongs to an old one changes nothing.

use serde::{Deserialize, Serialize};

use super::graph::Services;
use super::spec::{Gen, ServiceId};

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Somebody asks for something.
    Command(Command),
    /// Something happened to one process of a service.
    Process {
        /// The service.
        service: ServiceId,
        /// Which of its processes.
        generation: Gen,
        /// What.
        event: ProcessEvent,
    },
    /// A supervisor that ran before left the record of a process behind.
    Record {
        /// The service it names.
        service: ServiceId,
        /// The generation it names.
        generation: Gen,
        /// What has become of the process.
        found: Found,
    },
    /// Time passed: [`next_deadline`](super::Supervisor::next_deadline) is reached. Report
    /// everything else that has happened by then before it.
    Tick,
}

/// What somebody asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Bring these services up, and those they need.
    Start(Selection),
    /// Bring these services down, those that need others first.
    Stop(Selection),
    /// Replace the processes of these services by new ones; start those that are down.
    Restart(Selection),
    /// Make the services be these: stop what is not among them, start what is new, and restart what
    /// changed so that it has to. [`Plan`](super::Plan) says beforehand what that will be.
    Apply(Services),
    /// Bring everything down, and accept no other command from now on.
    Shutdown {
        /// Kill at once instead of asking.
        force: bool,
    },
}

/// Some services.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Selection {
    /// All there are.
    All,
    /// Those of these names; names that no service has are passed over.
    Named(Vec<ServiceId>),
}

impl Selection {
    /// The services of these names; of no name at all: all there are.
    pub fn of(names: &[String]) -> Self {
        if names.is_empty() {
            return Self::All;
        }
        Self::Named(names.iter().map(|name| name.as_str().into()).collect())
    }
}

/// What happened to one process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProcessEvent {
    /// The answer to [`CheckPort`](super::ProcessAction::CheckPort): the port is free (and held, if that
    /// was asked for).
    PortFree,
    /// The other answer: somebody has it.
    PortBusy {
        /// Who, if it can be found out.
        owner: Option<Owner>,
    },
    /// The answer to [`Spawn`](super::ProcessAction::Spawn): it runs.
    Spawned(ProcessId),
    /// The other answer: it does not.
    SpawnFailed(SpawnError),
    /// The answer of a probe.
    Probed {
        /// What was asked.
        purpose: Purpose,
        /// What the answer was.
        outcome: ProbeOutcome,
    },
    /// The drain hook is done.
    Drained,
    /// The first process ended. Others that came from it may live.
    Exited {
        /// How.
        status: ExitStatus,
        /// The last lines it wrote.
        last_lines: Vec<String>,
    },
    /// No process of this generation is left. Comes after `Exited`, exactly once.
    TreeEmpty,
    /// Some are left though they were told to end; may come again.
    Survivors(Vec<Owner>),
}

/// What has become of the process of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// It runs and is ours beyond doubt: it is taken over.
    Alive {
        /// The process.
        id: ProcessId,
        /// Whether it was ready when the record was written.
        ready: bool,
        /// [`fingerprint`](super::ServiceSpec::fingerprint) of the spec it was started with.
        fingerprint: u64,
    },
    /// There is no process, or one that is not ours. It is left alone.
    Stale {
        /// Why, in words.
        why: String,
    },
}

/// A process: its number, and when the kernel says it began, which no other process shares with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ProcessId {
    /// The number.
    pub pid: u32,
    /// When it began, in the unit of the kernel.
    pub started: u64,
}

/// A process that stands in the way.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Owner {
    /// Its number.
    pub pid: u32,
    /// The name of its program.
    pub name: String,
}

/// Why a probe is made.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
pub enum Purpose {
    /// May others use it?
    Readiness,
    /// Must it be restarted?
    Liveness,
}

/// The answer of a probe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProbeOutcome {
    /// It is well.
    Ok {
        /// Who has the port of the service.
        port: PortOwner,
    },
    /// It is not.
    Failed {
        /// Why, in words.
        why: String,
    },
}

/// Who has the port that a service should have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PortOwner {
    /// A process of this generation, or the supervisor on its behalf.
    Ours,
    /// It was not asked for, or cannot be found out here.
    Unknown,
    /// Somebody else: what answered was not this service.
    Other(Owner),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody can tell any more.
    Unknown,
}

impl ExitStatus {
    /// True if it ended with one of these codes.
    pub fn is_success(self, codes: &[i32]) -> bool {
        matches!(self, Self::Code(code) if codes.contains(&code))
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "with code {code}"),
            Self::Signal(signal) => write!(f, "by signal {signal}"),
            Self::Unknown => f.write_str("in a way that nobody saw"),
        }
    }
}

/// Why a process could not be started.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub struct SpawnError {
    /// At which step.
    pub stage: SpawnStage,
    /// The reason of the system, in words, without the number.
    pub message: String,
    /// What it is about: the program, the directory, the file.
    pub path: Option<String>,
    /// Whether trying again soon is of no use: the program is missing, rather than memory short.
    pub permanent: bool,
}

/// A step on the way to a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
pub enum SpawnStage {
    /// Its variables: a file of them, a secret.
    Environment,
    /// Its output.
    Logs,
    /// Its directory.
    Cwd,
    /// Making a process.
    Fork,
    /// Running the program in it.
    Exec,
}
