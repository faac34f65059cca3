//! When a service is started again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
