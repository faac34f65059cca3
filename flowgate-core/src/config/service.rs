//! The services of the document: programs that FlowGate keeps running.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::schema::program_and_arguments;
use super::text::{Duration, Host, Name, PathText, Port, ServiceName, UrlPath};

/// A program that FlowGate keeps running.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// How to start it.
    pub command: Command,
    /// The address it listens on. Default: `127.0.0.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The port it listens on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// What happens when another process has the port. Default: `wait`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_port_conflict: Option<OnPortConflict>,
    /// How a restart hands over from the old process to the new one. Default: `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// How long a start may take until it is ready. Default: `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<Duration>,
    /// When it counts as ready. Default: when its port takes a connection, or when it has lived for
    /// a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Readiness>,
    /// The URL path that answers 2xx when it is ready; the short form of `readiness.http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_path: Option<UrlPath>,
    /// When it is restarted though its process lives. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Liveness>,
    /// The URL path that answers 2xx while it is alive; the short form of `liveness.http`. Without
    /// another readiness it is that too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_path: Option<UrlPath>,
    /// When it is started again after it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// How it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// The services that it needs: a list of those that must be ready, or a mapping of names to
    /// conditions.
    #[serde(default, skip_serializing_if = "DependsOn::is_empty")]
    pub depends_on: DependsOn,
    /// Where its output goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Logs>,
    /// What becomes of it when FlowGate ends in order. Default: `stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_supervisor_exit: Option<OnSupervisorExit>,
}

/// How to start a program. `{:?}` hides arguments and variables, which may be secrets.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments; no shell is involved. `{port}`, `{host}`, `{active_config}`,
    /// `{runtime_dir}`, `{state_file}`, `{config_dir}`, `{fd}` and `{gen}` are replaced.
    #[serde(deserialize_with = "program_and_arguments")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub args: Vec<String>,
    /// The directory it is started in. Default: the directory of the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathText>,
    /// Environment variables that are set for it; placeholders as in `args`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<Name, String>,
    /// Files of `NAME=value` lines, read at every start. `env` wins over them, and a later file
    /// over an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_file: Vec<PathText>,
    /// Whether it gets FlowGate's own environment variables too. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherit_env: Option<bool>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.args.first())
            .field("cwd", &self.cwd)
            .field("env", &self.env.keys())
            .finish_non_exhaustive()
    }
}

/// What happens when another process has the port of a service.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnPortConflict {
    /// It is an error.
    Fail,
    /// The service waits until the port is free.
    Wait,
}

/// How a restart hands over from the old process to the new one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// FlowGate listens, and forwards to a port of each process's own: `{port}`.
    Forward,
    /// The old one is stopped, then the new one is started.
    Never,
    /// FlowGate listens, and hands the socket to each process: `{fd}`, or `LISTEN_FDS`.
    Socket,
}

/// When a service counts as ready: exactly one of `http`, `tcp`, `exec`, `log`, `notify`, `alive`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Readiness {
    /// This URL path answers 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<UrlPath>,
    /// The port takes a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Flag>,
    /// This program ends with 0; no shell is involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Program>,
    /// A line of the output matches this regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Pattern>,
    /// The process says so itself: `READY=1` to the socket that `NOTIFY_SOCKET` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Flag>,
    /// The process has lived this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<Duration>,
    /// The port that `http` and `tcp` ask, if it is not that of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The first wait between two questions; it grows to five times as much. Default: `20ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How long an answer may take. Default: `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether ready also means that the port belongs to a process of this service. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_owner: Option<bool>,
}

/// When a service is restarted though its process lives: exactly one of `http`, `tcp`, `exec`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Liveness {
    /// This URL path does not answer 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<UrlPath>,
    /// The port takes no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Flag>,
    /// This program does not end with 0; no shell is involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Program>,
    /// The port that `http` and `tcp` ask, if it is not that of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The time between two questions. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How long an answer may take. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How many failures in a row it takes. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub failures: Option<std::num::NonZeroU32>,
}

/// The word `true`: a choice that needs no more to be said.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("const" = true)))]
#[serde(try_from = "bool", into = "bool")]
pub struct Flag(());

impl TryFrom<bool> for Flag {
    type Error = String;

    fn try_from(value: bool) -> Result<Self, String> {
        match value {
            true => Ok(Self(())),
            false => Err("expected `true`\nremove the key to say no".to_owned()),
        }
    }
}

impl From<Flag> for bool {
    fn from(_: Flag) -> Self {
        true
    }
}

/// A program and its arguments.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minItems" = 1)))]
pub struct Program(#[serde(deserialize_with = "program_and_arguments")] Vec<String>);

impl Program {
    /// The program first.
    pub fn args(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.0.first()).finish()
    }
}

/// A regular expression.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("format" = "regex")))]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match regex::Regex::new(&text) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err("this is not a regular expression\nescape `\\ . + * ? ( ) | [ ] { } ^ $` with a `\\` where they stand for themselves".to_owned()),
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

/// When a service is started again after it ended.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// After which ends.
    #[serde(default)]
    pub policy: RestartPolicy,
    /// The exit codes that are a success. Default: `[0]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_codes: Option<Vec<i32>>,
    /// How long to wait before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<RestartBackoff>,
    /// How many restarts are allowed within `within`. Default: 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_restarts: Option<u32>,
    /// The time in which `max_restarts` counts. Default: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// How long it must have been ready for its failures to be forgotten. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_after: Option<Duration>,
    /// How long to rest after too many restarts; doubles each time, up to ten minutes. Default:
    /// `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Duration>,
    /// True if there is no further try after too many restarts. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_up: Option<bool>,
}

// A document has no NaN.
impl Eq for Restart {}

/// After which ends a service is started again.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// After every end.
    #[default]
    Always,
    /// Never.
    Never,
    /// After an end with an error.
    OnFailure,
}

/// How long to wait before a restart; the wait grows each time.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RestartBackoff {
    /// The first wait. Default: `100ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<Duration>,
    /// The longest wait. Default: `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
    /// By what the wait grows, at least 1. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<Factor>,
    /// The part of a wait that chance adds or takes away, 0 to 1. Default: 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Part>,
}

impl Eq for RestartBackoff {}

/// Defines a number that is checked when it is read. The check gives `problem\nhint`.
macro_rules! checked_number {
    ($(#[$doc:meta])* $name:ident, $range:expr, $problem:literal, $($schema:tt)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars($($schema)*))]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl TryFrom<f64> for $name {
            type Error = String;

            fn try_from(number: f64) -> Result<Self, String> {
                match $range.contains(&number) {
                    true => Ok(Self(number)),
                    false => Err($problem.to_owned()),
                }
            }
        }

        impl From<$name> for f64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }
    };
}

checked_number! {
    /// By what a wait grows: 1 to 100.
    Factor, (1.0..=100.0), "a wait grows by a number from 1 to 100", extend("minimum" = 1, "maximum" = 100)
}
checked_number! {
    /// A part of something: 0 to 1.
    Part, (0.0..=1.0), "a part is a number from 0 to 1", extend("minimum" = 0, "maximum" = 1)
}

/// How a service is stopped.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// What tells it to end. Default: `TERM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<StopSignal>,
    /// Who gets the signal. Default: `group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SignalTo>,
    /// How long it may take before it is killed. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What is done before the signal, so that no new work comes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// How long processes that outlive their leader may take to end. Default: `500ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan_grace: Option<Duration>,
}

/// A signal that tells a service to end.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of POSIX")]
pub enum StopSignal {
    Hup,
    Int,
    Kill,
    Quit,
    Term,
    Usr1,
    Usr2,
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignalTo {
    /// The process group of the first process.
    Group,
    /// The first process alone.
    Leader,
    /// Every process that comes from the first.
    Tree,
}

/// What is done before a service is told to end: at most one of `http` and `exec`. Without either,
/// time passes; with `overlap: forward` no longer than until everything is answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// A POST to this URL path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<UrlPath>,
    /// This program; no shell is involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Program>,
    /// How long it may take; then the signal follows all the same. Default: `5s`; `60s` with
    /// `overlap: forward`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// The services that a service needs.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct DependsOn(
    #[cfg_attr(feature = "schema", schemars(schema_with = "depends_on_schema"))]
    pub  BTreeMap<ServiceName, Need>,
);

#[cfg(feature = "schema")]
fn depends_on_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let list = generator.subschema_for::<Vec<ServiceName>>();
    let map = generator.subschema_for::<BTreeMap<ServiceName, Need>>();
    schemars::json_schema!({ "anyOf": [list, map] })
}

impl DependsOn {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for DependsOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrMap;

        impl<'de> de::Visitor<'de> for ListOrMap {
            type Value = DependsOn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of services, or a mapping of them to conditions")
            }

            fn visit_unit<E: de::Error>(self) -> Result<DependsOn, E> {
                Ok(DependsOn::default())
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<DependsOn, A::Error> {
                let mut needs = BTreeMap::new();
                while let Some(name) = seq.next_element::<ServiceName>()? {
                    needs.insert(name, Need::default());
                }
                Ok(DependsOn(needs))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<DependsOn, A::Error> {
                let mut needs = BTreeMap::new();
                while let Some((name, need)) = map.next_entry::<ServiceName, Option<Need>>()? {
                    needs.insert(name, need.unwrap_or_default());
                }
                Ok(DependsOn(needs))
            }
        }

        deserializer.deserialize_any(ListOrMap)
    }
}

/// What another service must be.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// What it must be.
    #[serde(default)]
    pub condition: Condition,
    /// What happens when it is no longer that.
    #[serde(default)]
    pub on_loss: OnLoss,
}

/// What another service must be before a service is started.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It ended with success.
    Completed,
    /// It is ready.
    #[default]
    Ready,
    /// It has a process.
    Started,
}

/// What happens to a service when one that it needs is lost.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnLoss {
    /// Nothing: it copes.
    #[default]
    Ignore,
    /// It goes on, and is restarted when the other is back.
    Restart,
    /// It is stopped at once, and started again when the other is back.
    Stop,
}

/// Where the output of a service goes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// How it gets there. Default: `fifo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<LogMode>,
    /// The size in bytes at which a file is put aside and a new one begun. Default: 10,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// How many files that were put aside are kept. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// The length in bytes at which a line is broken. Default: 65,536.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_line: Option<u64>,
}

/// How the output of a service gets into its log.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogMode {
    /// Through a named pipe that outlives FlowGate.
    Fifo,
    /// The process writes the file itself; nothing is rotated.
    File,
    /// It goes where the output of FlowGate goes.
    Inherit,
    /// It is thrown away.
    Null,
}

/// What becomes of a service when FlowGate ends in order.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnSupervisorExit {
    /// It goes on, and the next `flowgate up` takes it over.
    Leave,
    /// It is stopped.
    Stop,
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
