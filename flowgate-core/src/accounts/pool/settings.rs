//! How a pool behaves.

use serde::{Deserialize, Serialize};

/// Which of the accounts that may serve a request does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// The one under the least pressure, which is told by its remaining quota, by the windows that
    /// expire first and by the requests under way. Where nothing is known, in turn.
    #[default]
    Auto,
    /// In turn.
    RoundRobin,
    /// In turn, in proportion to the weights and evenly mixed.
    Weighted,
    /// The first until it cannot, then the next.
    FillFirst,
    /// The one whose long window is reset soonest, so that no quota expires unused.
    DrainSoonest,
    /// The one with the fewest requests under way.
    LeastInflight,
    /// The one that rested longest.
    Lru,
}

/// How a pool behaves. All times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which account serves.
    pub strategy: Strategy,
    /// Where all chance comes from: two pools with the same seed that see the same decide the same.
    pub seed: u64,
    /// Whether cooldowns end up to 2 % later, at most five seconds and never earlier, so that many
    /// processes do not come back at once.
    pub jitter: bool,
    /// Whether an account that comes back gets one request first.
    pub half_open: bool,
    /// Whether quota that headers state, or that refusals let guess, holds requests back.
    pub admission: bool,
    /// The wait after a rate limit that states none.
    pub backoff: Backoff,
    /// The wait after a failure of the server or the network.
    pub transient: Backoff,
    /// The wait after a credential was refused, unless it is refreshed sooner.
    pub auth_ms: u64,
    /// The wait when an account has no money or no permission.
    pub payment_ms: u64,
    /// The wait when an account does not serve a model.
    pub model_ms: u64,
    /// The wait after a challenge page.
    pub challenge_ms: u64,
    /// How long a probe keeps others away if nothing is heard of it.
    pub probe_lease_ms: u64,
    /// How often one request tries an account that is to rest for longer than this.
    pub canary_ms: u64,
    /// When a permit of which nothing is heard is taken back.
    pub permit_lease_ms: u64,
    /// When a refresh of which nothing is heard is given to another.
    pub refresh_lease_ms: u64,
    /// When a whole provider is left alone.
    pub provider: ProviderSettings,
    /// Whether a session stays with its account.
    pub affinity: Affinity,
    /// How fast an account that comes back is loaded.
    pub ramp: Ramp,
    /// How often to try again.
    pub retry: Retry,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strategy: Strategy::Auto,
            seed: 0,
            jitter: true,
            half_open: true,
            admission: true,
            backoff: Backoff {
                initial_ms: 1_000,
                max_ms: 300_000,
            },
            transient: Backoff {
                initial_ms: 1_000,
                max_ms: 30_000,
            },
            auth_ms: 30_000,
            payment_ms: 1_800_000,
            model_ms: 3_600_000,
            challenge_ms: 10_000,
            probe_lease_ms: 15_000,
            canary_ms: 900_000,
            permit_lease_ms: 600_000,
            refresh_lease_ms: 60_000,
            provider: ProviderSettings::default(),
            affinity: Affinity::default(),
            ramp: Ramp::default(),
            retry: Retry::default(),
        }
    }
}

/// A wait that doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The first wait.
    pub initial_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

impl Backoff {
    pub(super) fn after(self, level: u8) -> u64 {
        let factor = 1_u64 << level.min(20);
        self.initial_ms.saturating_mul(factor).min(self.max_ms)
    }
}

/// When a whole provider is left alone because it is overloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderSettings {
    /// How long, doubling.
    pub backoff: Backoff,
    /// How many accounts must hear of it, or all if there are fewer.
    pub min_accounts: u32,
    /// Within which time they must.
    pub within_ms: u64,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            backoff: Backoff {
                initial_ms: 500,
                max_ms: 4_000,
            },
            min_accounts: 2,
            within_ms: 10_000,
        }
    }
}

/// Whether the requests of a session stay with one account, whose prompt cache is warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Affinity {
    /// Whether they do.
    pub enabled: bool,
    /// When a session that is silent is forgotten.
    pub ttl_ms: u64,
    /// How many are remembered; beyond that, the one that was silent longest is forgotten.
    pub max_sessions: u32,
    /// How long to wait for the account where it is known when it can serve.
    pub wait_known_ms: u64,
    /// How long to wait for it where that is a guess.
    pub wait_unknown_ms: u64,
    /// How much longer to wait for it if the others are nearly used up: there, a cold prompt takes
    /// what they do not have.
    pub wait_pressed_ms: u64,
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            enabled: true,
            ttl_ms: 3_600_000,
            max_sessions: 100_000,
            wait_known_ms: 1_000,
            wait_unknown_ms: 2_500,
            wait_pressed_ms: 10_000,
        }
    }
}

/// How fast an account that comes back is loaded: one request at a time, and one more every
/// `step_ms`, for `for_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ramp {
    /// When one more may be under way. Zero: all at once.
    pub step_ms: u64,
    /// When there is no limit any more.
    pub for_ms: u64,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            step_ms: 0,
            for_ms: 30_000,
        }
    }
}

/// How often a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// How often one request is sent at most.
    pub max_attempts: u32,
    /// The wait before a failing server is asked a third time, doubling.
    pub backoff: Backoff,
    /// How many retries there may be for nothing: each failure that cost the provider something
    /// takes some, each success gives one back.
    pub budget: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            backoff: Backoff {
                initial_ms: 50,
                max_ms: 4_000,
            },
            budget: 500,
        }
    }
}
