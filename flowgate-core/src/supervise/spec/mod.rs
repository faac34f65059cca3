//! What a service is: a command, and how it is watched, restarted and stopped.
//!
//! A [`ServiceSpec`] is normalised: every default is written out, every path absolute, every
//! placeholder that does not depend on the single process replaced. Two specs that are equal mean
//! the same.

mod command;
mod probe;
mod restart;
mod stop;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::command::{CommandSpec, Placeholders};
pub use self::probe::{LivenessSpec, Probe, ReadinessSpec};
pub use self::restart::{RestartPolicy, RestartSpec};
pub use self::stop::{DrainHook, DrainSpec, Signal, SignalTo, StopSpec};

/// The name of a service. Cheap to copy: machines pass it around with every event.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(from = "String", into = "String")]
pub struct ServiceId(Arc<str>);

impl ServiceId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ServiceId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for ServiceId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<ServiceId> for String {
    fn from(id: ServiceId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl Borrow<str> for ServiceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which start of a service: every process has its own number, which only grows, also across
/// supervisors.
pub type Gen = u64;

/// Everything there is to know about a service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceId,
    /// What is run.
    pub command: CommandSpec,
    /// The address it listens on.
    pub host: String,
    /// The port it listens on.
    pub port: Option<u16>,
    /// What happens when another process has the port.
    pub on_port_conflict: OnPortConflict,
    /// How a restart hands over.
    pub overlap: Overlap,
    /// When it is started again.
    pub restart: RestartSpec,
    /// How long a start may take until the service is ready.
    pub start_timeout: Duration,
    /// When it counts as ready.
    pub readiness: ReadinessSpec,
    /// When it counts as dead though its process lives.
    pub liveness: Option<LivenessSpec>,
    /// How it is stopped.
    pub stop: StopSpec,
    /// What it waits for.
    pub depends_on: Vec<Dependency>,
    /// Where its output goes.
    pub logs: LogSpec,
    /// What becomes of it when its supervisor ends in order.
    pub on_supervisor_exit: OnSupervisorExit,
}

/// What happens when another process has the port that a service is to listen on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPortConflict {
    /// Wait until it is free.
    #[default]
    Wait,
    /// Give up with an error.
    Fail,
}

/// How a restart hands over from the old process to the new one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The old one is stopped, then the new one is started: for a while nobody answers.
    #[default]
    Never,
    /// The supervisor listens and hands the socket to both (`{fd}`, `LISTEN_FDS`).
    Socket,
    /// The supervisor listens and forwards to a port of each process's own (`{port}`).
    Forward,
}

impl Overlap {
    /// True if the supervisor itself listens on the port.
    pub fn holds_port(self) -> bool {
        self != Self::Never
    }
}

/// What a service waits for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Dependency {
    /// The other service.
    pub service: ServiceId,
    /// What it must be.
    pub condition: Condition,
    /// What happens when it is no longer that.
    pub on_loss: OnLoss,
}

/// What another service must be before this one is started.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It has a process.
    Started,
    /// It is ready.
    #[default]
    Ready,
    /// It ended with success.
    Completed,
}

/// What happens to a service when one that it needs is lost.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLoss {
    /// Nothing: it copes.
    #[default]
    Ignore,
    /// It is stopped at once, and started again when the other is back.
    Stop,
    /// It goes on, and is restarted when the other is back.
    Restart,
}

/// Where the output of a service goes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LogSpec {
    /// How it gets there.
    pub mode: LogMode,
    /// The size at which a file is put aside and a new one begun.
    pub max_bytes: u64,
    /// How many files that were put aside are kept.
    pub keep: u32,
    /// The length at which a line is broken, in bytes.
    pub max_line: u64,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self {
            mode: LogMode::Fifo,
            max_bytes: 10_000_000,
            keep: 5,
            max_line: 65_536,
        }
    }
}

/// How the output of a service gets into its log.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogMode {
    /// Through a named pipe that outlives the supervisor.
    #[default]
    Fifo,
    /// The process writes the file itself; nothing is rotated.
    File,
    /// It goes where the output of the supervisor goes.
    Inherit,
    /// It is thrown away.
    Null,
}

/// What becomes of a service when its supervisor ends in order.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSupervisorExit {
    /// It is stopped.
    #[default]
    Stop,
    /// It goes on, and the next supervisor takes it over.
    Leave,
}

impl ServiceSpec {
    /// A service that runs this command, with every other key at its default.
    ///
    /// ```
    /// use flowgate_core::supervise::{Probe, ServiceSpec};
    ///
    /// let spec = ServiceSpec::new("web", ["python3", "-m", "http.server"]).with_port(8000);
    /// assert_eq!(spec.readiness.probe, Probe::Tcp { port: None });
    /// ```
    pub fn new<A: Into<String>>(
        name: impl Into<ServiceId>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            name: name.into(),
            command: CommandSpec {
                args: args.into_iter().map(Into::into).collect(),
                cwd: None,
                env: BTreeMap::new(),
                env_file: Vec::new(),
                inherit_env: true,
            },
            host: "127.0.0.1".to_owned(),
            port: None,
            on_port_conflict: OnPortConflict::default(),
            overlap: Overlap::default(),
            restart: RestartSpec::default(),
            start_timeout: Duration::from_secs(60),
            readiness: ReadinessSpec {
                probe: Probe::Alive(Duration::from_secs(1)),
                interval: Duration::from_millis(20),
                timeout: Duration::from_secs(1),
                verify_owner: true,
            },
            liveness: None,
            stop: StopSpec::default(),
            depends_on: Vec::new(),
            logs: LogSpec::default(),
            on_supervisor_exit: OnSupervisorExit::default(),
        }
    }

    /// The same, listening on a port; it is ready when the port takes a connection.
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        if matches!(self.readiness.probe, Probe::Alive(_)) {
            self.readiness.probe = Probe::Tcp { port: None };
        }
        self
    }

    /// The same, started when this other service is ready.
    pub fn needs(mut self, service: impl Into<ServiceId>) -> Self {
        self.depends_on.push(Dependency {
            service: service.into(),
            condition: Condition::default(),
            on_loss: OnLoss::default(),
        });
        self
    }

    /// What is done before the signal to a process that another one has replaced. Behind the
    /// forwarder there always is something: it has been sent requests that it may not have taken up
    /// yet.
    pub fn drain_when_replaced(&self) -> Option<DrainSpec> {
        let answer = DrainSpec {
            hook: DrainHook::Wait,
            timeout: DrainSpec::ANSWER_TIMEOUT,
        };
        let set = self.stop.drain.clone();
        set.or_else(|| (self.overlap == Overlap::Forward).then_some(answer))
    }

    /// A number that changes when a process has to be replaced for the spec to take effect: with the
    /// command, the address, and where the output goes. Of the values of variables it shows nothing.
    pub fn fingerprint(&self) -> u64 {
        let text = serde_json::json!([
            self.command,
            self.host,
            self.port,
            self.overlap,
            self.logs.mode
        ]);
        fnv1a(text.to_string().as_bytes())
    }
}

/// FNV-1a, 64 bits: stable across releases and machines, which the standard hasher is not. It tells
/// specs apart; nobody gains by making two that collide.
/// Constants: draft-eastlake-fnv, section 5.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
