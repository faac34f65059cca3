//! What a pretended provider does, as people write it.

use std::num::NonZeroU32;
use std::time;

use serde::{Deserialize, Serialize};

use crate::config::Duration;
use crate::diagnostic::Diagnostic;
use crate::yaml;

/// How a pretended provider behaves. The default serves everything to everybody.
///
/// # Example
///
/// ```
/// use flowgate_core::runtime::dev_provider::Script;
///
/// let script = Script::from_yaml("
/// limits: { requests_per_minute: 60, burst: 2s }
/// keys:
///   - { key: good }
///   - { key: gone, state: revoked }
/// outages:
///   - { from: 10s, until: 20s, fault: overloaded }
/// ")?;
/// assert_eq!(script.keys.len(), 2);
/// # Ok::<(), Vec<flowgate_core::diagnostic::Diagnostic>>(())
/// ```
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// What it calls itself in its answers.
    pub name: String,
    /// The models that it has. Empty: any.
    pub models: Vec<String>,
    /// The keys that it knows. Empty: any key, each with `limits` of its own.
    pub keys: Vec<Key>,
    /// What a key may do that has no limits of its own.
    pub limits: Limits,
    /// The time until the headers of an answer.
    pub latency: Option<Duration>,
    /// The time between two parts of a stream.
    pub chunk_interval: Option<Duration>,
    /// The parts of a stream that have text.
    pub chunks: u32,
    /// How many tokens an answer has, if the request does not want less.
    pub output_tokens: u64,
    /// Whether answers state limits in headers.
    pub quota_headers: bool,
    /// Whether refusals say when to come back.
    pub hints: bool,
    /// When it fails, from its start.
    pub outages: Vec<Outage>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            name: "dev".to_owned(),
            models: Vec::new(),
            keys: Vec::new(),
            limits: Limits::default(),
            latency: None,
            chunk_interval: None,
            chunks: 4,
            output_tokens: 16,
            quota_headers: true,
            hints: true,
            outages: Vec::new(),
        }
    }
}

impl Script {
    /// Reads a script in YAML or JSON.
    ///
    /// # Errors
    ///
    /// If it is none: everything that is wrong, with its place.
    pub fn from_yaml(text: &str) -> Result<Self, Vec<Diagnostic>> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let read = yaml::read(text);
        let mut problems = read.problems;
        let decoded = read.root.as_ref().map(|root| yaml::decode(root, &[]));
        let script = decoded.and_then(|decoded| {
            problems.extend(decoded.problems);
            decoded.value
        });
        problems.retain(Diagnostic::is_error);
        script.filter(|_| problems.is_empty()).ok_or(problems)
    }
}

/// One key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key, as clients send it. It is pretended, too: write no real one.
    pub key: String,
    /// Whether it works.
    #[serde(default)]
    pub state: KeyState,
    /// What it may do. Default: what the script says for all.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// After so many requests it is revoked.
    #[serde(default)]
    pub revoke_after: Option<u64>,
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It does.
    #[default]
    Active,
    /// It was revoked: 401.
    Revoked,
    /// Its account was deactivated: 401, for good.
    Deactivated,
    /// Its account has no money left.
    NoMoney,
    /// It may not do this: 403.
    Forbidden,
}

/// What a key may do. What is left out is not limited.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens a minute.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// How much of a minute may be used at once. Default: all of it.
    pub burst: Option<Duration>,
    /// Requests at a time. No header says so.
    pub max_inflight: Option<NonZeroU32>,
    /// A budget that starts anew from time to time, like that of a subscription.
    pub window: Option<WindowLimit>,
}

/// A budget that starts anew from time to time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WindowLimit {
    /// How many tokens it has.
    pub tokens: u64,
    /// How long it lasts from its first request.
    pub length: Duration,
}

/// A time of failure.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// When it begins, from the start of the provider.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
    /// How it fails.
    pub fault: Fault,
}

/// How a provider fails.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It has no capacity: 529 or 503.
    Overloaded,
    /// It is broken: 500.
    ServerError,
    /// It closes the connection without an answer.
    Reset,
    /// It says nothing until the outage ends.
    Hang,
    /// Its streams end with an error.
    Stream,
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> f64 {
    time::Duration::from(duration).as_secs_f64() * 1e3
}
