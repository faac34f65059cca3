//! What a service is: a command, and how it is watched, restarted and stopped.
//!
//! A [`ServiceSpec`] is normalised: every default is written out, every path absolute, every
//! placeholder that does not depend on the single process replaced. Two specs that are equal mean
//! the same.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// What is run. Debug output shows no argument but the program and no value of a variable: they
/// may be secrets.
#[derive(Clone, Eq, PartialEq, Serialize)]
pub struct CommandSpec {
    /// The program and its arguments, without a shell. May hold the placeholders that are known
    /// only at a start; see [`Placeholders`].
    pub args: Vec<String>,
    /// The absolute directory it is started in; `None` is that of the supervisor.
    pub cwd: Option<String>,
    /// Variables that are set for it; placeholders as in `args`.
    pub env: BTreeMap<String, String>,
    /// Files of `NAME=value` lines that are read at every start; `env` wins over them, and a later
    /// file over an earlier one.
    pub env_file: Vec<String>,
    /// Whether it gets the variables of the supervisor as well.
    pub inherit_env: bool,
}

impl fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSpec")
            .field("program", &self.args.first())
            .field("cwd", &self.cwd)
            .field("env", &self.env.keys())
            .finish_non_exhaustive()
    }
}

/// What the placeholders of one start stand for: `{gen}`, `{port}` and `{fd}`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Placeholders {
    /// `{gen}`: the number of this start.
    pub generation: Gen,
    /// `{port}`: the port this process listens on; with [`Overlap::Forward`] one of its own.
    pub port: Option<u16>,
    /// `{fd}`: the descriptor of the listening socket, with [`Overlap::Socket`].
    pub fd: Option<u32>,
}

impl Placeholders {
    /// The text with the placeholders replaced; what is not one stays as it is.
    ///
    /// ```
    /// use flowgate_core::supervise::Placeholders;
    ///
    /// let start = Placeholders { generation: 7, port: Some(4000), fd: None };
    /// assert_eq!(start.expand("--port={port}"), "--port=4000");
    /// assert_eq!(start.expand("{\"port\": {fd}}"), "{\"port\": {fd}}");
    /// ```
    pub fn expand(&self, text: &str) -> String {
        let values = [
            ("{gen}", Some(self.generation.to_string())),
            ("{port}", self.port.map(|port| port.to_string())),
            ("{fd}", self.fd.map(|fd| fd.to_string())),
        ];
        let mut text = text.to_owned();
        for (name, value) in values {
            if let Some(value) = value.filter(|_| text.contains(name)) {
                text = text.replace(name, &value);
            }
        }
        text
    }
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

/// When a service is started again after it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RestartSpec {
    /// After which ends.
    pub policy: RestartPolicy,
    /// The exit codes that are a success.
    pub success_codes: Vec<i32>,
    /// The wait before the second restart in a row; each further one takes `factor` times as long.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// By what the wait grows.
    pub factor: f64,
    /// The part of a wait that chance may add or take away, 0 to 1.
    pub jitter: f64,
    /// How long a service must have been ready for its failures to be forgotten.
    pub reset_after: Duration,
    /// How many restarts are allowed in `within`.
    pub max_restarts: u32,
    /// The time in which `max_restarts` counts.
    pub within: Duration,
    /// How long to rest when there were more; doubles each time, up to ten minutes.
    pub cooldown: Duration,
    /// True if the error is final and there is no further try after `cooldown`.
    pub give_up: bool,
}

// The numbers of a spec come from a document, which has no NaN.
impl Eq for RestartSpec {}

impl Default for RestartSpec {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::Always,
            success_codes: vec![0],
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            factor: 2.0,
            jitter: 0.2,
            reset_after: Duration::from_secs(10),
            max_restarts: 8,
            within: Duration::from_secs(300),
            cooldown: Duration::from_secs(60),
            give_up: false,
        }
    }
}

/// After which ends a service is started again.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// After every end.
    #[default]
    Always,
    /// After an end with an error.
    OnFailure,
    /// Never.
    Never,
}

/// A way to ask a service how it is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// The process has lived this long.
    Alive(Duration),
    /// This URL path answers 2xx.
    Http {
        /// The path, with its leading `/`.
        path: String,
        /// The port, if it is not that of the process.
        port: Option<u16>,
    },
    /// The port takes a connection.
    Tcp {
        /// The port, if it is not that of the process.
        port: Option<u16>,
    },
    /// This program ends with 0; placeholders as in a command.
    Exec(Vec<String>),
    /// A line of the output matches this regular expression.
    Log(String),
    /// The process says so itself: `READY=1` to the socket named by `NOTIFY_SOCKET`.
    Notify,
}

/// When a service counts as ready.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ReadinessSpec {
    /// How it is asked.
    pub probe: Probe,
    /// The first wait between two questions; it grows to five times as much in the first seconds.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Whether ready also means that the port belongs to a process of this service.
    pub verify_owner: bool,
}

/// When a service counts as dead though its process lives.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct LivenessSpec {
    /// How it is asked.
    pub probe: Probe,
    /// The time between two questions.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many failures in a row it takes.
    pub failures: u32,
}

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

/// How a service is told to take no new work.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainHook {
    /// A POST to this URL path.
    Http(String),
    /// This program is run to its end.
    Exec(Vec<String>),
    /// Nothing is done; time passes.
    Wait,
}

/// A signal that FlowGate sends.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of POSIX")]
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
pub enum SignalTo {
    /// The process group of the first process.
    #[default]
    Group,
    /// The first process alone.
    Leader,
    /// Every process that comes from the first.
    Tree,
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
