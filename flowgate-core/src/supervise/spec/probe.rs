//! How a service is asked how it is.

use std::time::Duration;

use serde::Serialize;

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
