//! One account: what the caller says about it, and what the pool keeps.

use serde::{Deserialize, Serialize};

use super::breaker::Breaker;
use super::settings::Settings;
use crate::Timestamp;

/// No budget, no scope: nothing was learned yet.
pub(super) const NONE: u32 = u32::MAX;

/// An account, as the caller describes it. It holds no secret: the caller finds the credential by
/// the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSpec {
    /// Its name, unique in the pool.
    pub id: String,
    /// Its provider; accounts of one provider are overloaded together.
    #[serde(default)]
    pub provider: String,
    /// Accounts of a lower tier serve first.
    #[serde(default)]
    pub tier: u8,
    /// Its share beside the others of its tier. Zero: it serves nothing.
    #[serde(default = "one")]
    pub weight: u32,
    /// How many requests may be under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_inflight: Option<u32>,
    /// The models that it serves. None: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The project or organisation whose quota it shares with other accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether it may serve.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Something that changes with the credential. A new one gives a dead account a new life.
    #[serde(default)]
    pub revision: u64,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

impl AccountSpec {
    /// An account that may serve everything.
    pub fn new(id: impl Into<String>, provider: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            provider: provider.into(),
            tier: 0,
            weight: 1,
            max_inflight: None,
            models: Vec::new(),
            group: None,
            enabled: true,
            revision: 0,
        }
    }
}

/// An account in a pool. A slot that was removed is never mistaken for the one that came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Slot {
    /// The place in the pool, from 0; the places of removed accounts are used again.
    pub const fn index(self) -> u32 {
        self.index
    }
}

/// How far an account is usable at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lifecycle {
    /// It is.
    #[default]
    Active,
    /// Its credential was refused and is to be refreshed.
    NeedsRefresh,
    /// Its credential is gone for good; it needs a new one.
    Dead,
}

/// What is read for every pick. What accounts are compared by comes first, together, so that it is
/// mostly in one line of the cache.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(super) struct Account {
    /// When it served last, in requests of the whole pool.
    pub(super) last_used: u64,
    pub(super) inflight: u32,
    pub(super) weight: u32,
    /// Where its budget is.
    pub(super) budget: u32,
    pub(super) generation: u32,
    pub(super) max_inflight: u32,
    /// How many the provider seems to allow at a time. Zero: no limit was seen.
    pub(super) learned_cap: u16,
    pub(super) provider: u16,
    pub(super) sent: Sent,
    /// When it came back, while it is loaded slowly. Zero: it is not.
    pub(super) ramp_from: Timestamp,
    pub(super) breaker: Breaker,
    /// Where the first of its models with a state is.
    pub(super) scopes: u32,
    /// The soonest timer that is set for it.
    pub(super) timer: Timestamp,
    /// When its learned capacity was learned, or grew: in seconds.
    pub(super) cap_since: u32,
    pub(super) tier: u8,
    pub(super) lifecycle: Lifecycle,
    pub(super) present: bool,
    pub(super) enabled: bool,
}

impl Account {
    /// How many requests may be under way.
    #[inline]
    pub(super) fn capacity(&self) -> u32 {
        match self.learned_cap {
            0 => self.max_inflight,
            cap => self.max_inflight.min(cap.into()),
        }
    }

    /// Whether it may serve at all.
    #[inline]
    pub(super) fn serves(&self) -> bool {
        self.present && self.enabled && self.weight > 0 && self.lifecycle != Lifecycle::Dead
    }

    /// When one more request may be under way, while it is loaded slowly.
    #[inline]
    pub(super) fn ramped(&self, now: Timestamp, settings: &Settings) -> Option<Timestamp> {
        let ramp = settings.ramp;
        if self.ramp_from == 0 || ramp.step_ms == 0 {
            return None;
        }
        let next = u64::from(self.inflight) * ramp.step_ms;
        let at = self.ramp_from.saturating_add(next.min(ramp.for_ms));
        (at > now).then_some(at)
    }
}

/// How many requests were sent lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    /// Which span of [`Sent::SPAN_MS`].
    span: u32,
    now: u16,
    before: u16,
}

impl Sent {
    const SPAN_MS: u64 = 10_000;

    #[inline]
    pub(super) fn count(&mut self, now: Timestamp) {
        self.turn(now);
        self.now = self.now.saturating_add(1);
    }

    fn turn(&mut self, now: Timestamp) {
        let span = (now / Self::SPAN_MS) as u32;
        if span == self.span {
            return;
        }
        let next = span == self.span.wrapping_add(1);
        self.before = if next { self.now } else { 0 };
        (self.span, self.now) = (span, 0);
    }

    /// Requests in a millisecond, over the last ten to twenty seconds.
    pub(super) fn rate(mut self, now: Timestamp) -> f64 {
        self.turn(now);
        let passed = (now % Self::SPAN_MS) as f64 / Self::SPAN_MS as f64;
        let before = f64::from(self.before) * (1.0 - passed);
        (before + f64::from(self.now)) / Self::SPAN_MS as f64
    }
}

/// What is read rarely.
#[derive(Clone, Debug)]
pub(super) struct Cold {
    pub(super) revision: u64,
    /// The list of the models that it serves.
    pub(super) models: u32,
    /// The group whose budget it shares.
    pub(super) group: u32,
}

impl Default for Cold {
    fn default() -> Self {
        Self {
            revision: 0,
            models: NONE,
            group: NONE,
        }
    }
}

/// What failed for one model of one account.
#[derive(Clone, Debug)]
pub(super) struct ModelState {
    pub(super) breaker: Breaker,
    pub(super) timer: Timestamp,
    pub(super) model: u32,
    /// The next one of the account.
    pub(super) next: u32,
}
