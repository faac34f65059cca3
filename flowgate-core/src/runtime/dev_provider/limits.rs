//! The limits of the pretended provider, without a clock: time is told.

use std::collections::HashMap;

use super::script::{Fault, Key, KeyState, Limits, Script};
use crate::Timestamp;

const MINUTE_MS: f64 = 60_000.0;

/// How often each key may do what, and how much of it is left.
#[derive(Debug)]
pub(super) struct Limiter {
    started: Timestamp,
    faults: Vec<(Timestamp, Timestamp, Fault)>,
    /// Whether other keys than those of the script may come in.
    open: Option<Limits>,
    keys: HashMap<String, Account>,
}

/// What a key has.
#[derive(Clone, Debug)]
struct Account {
    state: KeyState,
    revoke_after: Option<u64>,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    window: Option<Window>,
    max_inflight: Option<u32>,
    inflight: u32,
    count: Count,
}

/// What happened to the requests of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Count {
    pub(super) served: u64,
    pub(super) refused: u64,
    pub(super) cancelled: u64,
}

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refusal {
    NoKey,
    State(KeyState),
    Fault(Fault, Timestamp),
    Requests { wait_ms: u64 },
    Tokens { wait_ms: u64 },
    Window { resets_at: Timestamp },
    Concurrency,
}

/// What an answer says about the limits of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Standing {
    pub(super) requests: Option<Level>,
    pub(super) tokens: Option<Level>,
    pub(super) window: Option<WindowLevel>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) full_in_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WindowLevel {
    pub(super) used: f64,
    pub(super) resets_at: Timestamp,
    pub(super) length_ms: u64,
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    cap: f64,
    per_ms: f64,
    level: f64,
    at: Timestamp,
}

/// A budget that is counted from the first request to a reset.
#[derive(Clone, Copy, Debug)]
struct Window {
    tokens: u64,
    length_ms: u64,
    used: u64,
    resets_at: Timestamp,
}

impl Bucket {
    fn new(per_minute: u32, burst_ms: f64, now: Timestamp) -> Self {
        let per_ms = f64::from(per_minute) / MINUTE_MS;
        let cap = (per_ms * burst_ms).max(1.0);
        Self {
            cap,
            per_ms,
            level: cap,
            at: now,
        }
    }

    fn refill(&mut self, now: Timestamp) {
        let passed = now.saturating_sub(self.at) as f64;
        self.level = (self.level + passed * self.per_ms).min(self.cap);
        self.at = self.at.max(now);
    }

    /// How long until it holds that much. More than it can hold is as much as it can hold.
    fn wait(&self, amount: f64) -> Option<u64> {
        // Sums of many small refills are not exact to the last bit.
        let wait = (amount.min(self.cap) - self.level) / self.per_ms - 1e-3;
        (wait > 0.0).then(|| wait.ceil() as u64)
    }

    fn shown(&self) -> Level {
        Level {
            limit: self.cap.round() as u64,
            remaining: self.level.max(0.0).floor() as u64,
            full_in_ms: ((self.cap - self.level) / self.per_ms).ceil() as u64,
        }
    }
}

impl Window {
    fn turn(&mut self, now: Timestamp) {
        if now >= self.resets_at {
            self.used = 0;
            self.resets_at = now.saturating_add(self.length_ms);
        }
    }

    fn shown(&self) -> WindowLevel {
        WindowLevel {
            used: self.used as f64 / self.tokens.max(1) as f64,
            resets_at: self.resets_at,
            length_ms: self.length_ms,
        }
    }
}

impl Account {
    fn new(key: Option<&Key>, limits: &Limits, now: Timestamp) -> Self {
        let limits = key.and_then(|key| key.limits.as_ref()).unwrap_or(limits);
        let burst_ms = limits.burst.map_or(MINUTE_MS, super::script::millis);
        let bucket = |per_minute| Bucket::new(per_minute, burst_ms, now);
        Self {
            state: key.map_or(KeyState::Active, |key| key.state),
            revoke_after: key.and_then(|key| key.revoke_after),
            requests: limits.requests_per_minute.map(|rate| bucket(rate.get())),
            tokens: limits.tokens_per_minute.map(|rate| bucket(rate.get())),
            window: limits.window.as_ref().map(|window| Window {
                tokens: window.tokens,
                length_ms: super::script::millis(window.length) as u64,
                used: 0,
                resets_at: 0,
            }),
            max_inflight: limits.max_inflight.map(u32::from),
            inflight: 0,
            count: Count::default(),
        }
    }

    fn admit(&mut self, now: Timestamp, tokens: u64) -> Result<(), Refusal> {
        let revoked = self
            .revoke_after
            .is_some_and(|after| self.count.served >= after);
        if revoked {
            return Err(Refusal::State(KeyState::Revoked));
        }
        if self.state != KeyState::Active {
            return Err(Refusal::State(self.state));
        }
        self.refill(now);
        if let Some(window) = self.window.filter(|window| window.used >= window.tokens) {
            return Err(Refusal::Window {
                resets_at: window.resets_at,
            });
        }
        if let Some(wait_ms) = self.requests.and_then(|bucket| bucket.wait(1.0)) {
            return Err(Refusal::Requests { wait_ms });
        }
        if let Some(wait_ms) = self.tokens.and_then(|bucket| bucket.wait(tokens as f64)) {
            return Err(Refusal::Tokens { wait_ms });
        }
        if self.max_inflight.is_some_and(|most| self.inflight >= most) {
            return Err(Refusal::Concurrency);
        }
        self.charge(tokens as f64);
        if let Some(requests) = &mut self.requests {
            requests.level -= 1.0;
        }
        self.inflight += 1;
        Ok(())
    }

    fn refill(&mut self, now: Timestamp) {
        for bucket in [&mut self.requests, &mut self.tokens].into_iter().flatten() {
            bucket.refill(now);
        }
        if let Some(window) = &mut self.window {
            window.turn(now);
        }
    }

    /// Takes tokens, or gives them back.
    fn charge(&mut self, tokens: f64) {
        if let Some(bucket) = &mut self.tokens {
            bucket.level = (bucket.level - tokens).min(bucket.cap);
        }
        if let Some(window) = &mut self.window {
            window.used = window.used.saturating_add_signed(tokens as i64);
        }
    }
}

impl Limiter {
    pub(super) fn new(script: &Script, now: Timestamp) -> Self {
        let account = |key: &Key| {
            (
                key.key.clone(),
                Account::new(Some(key), &script.limits, now),
            )
        };
        let moment = |after| now.saturating_add(super::script::millis(after) as u64);
        Self {
            started: now,
            faults: script
                .outages
                .iter()
                .map(|outage| (moment(outage.from), moment(outage.until), outage.fault))
                .collect(),
            open: script.keys.is_empty().then(|| script.limits.clone()),
            keys: script.keys.iter().map(account).collect(),
        }
    }

    /// Whether a request of that size is served. If so, [`Limiter::finish`] must be told.
    pub(super) fn admit(&mut self, now: Timestamp, key: &str, tokens: u64) -> Result<(), Refusal> {
        let now = now.max(self.started);
        if key.is_empty() {
            return Err(Refusal::NoKey);
        }
        let lasting =
            |(from, until, _): &&(Timestamp, Timestamp, Fault)| (*from..*until).contains(&now);
        if let Some((_, until, fault)) = self.faults.iter().find(lasting)
            && *fault != Fault::Stream
        {
            return Err(Refusal::Fault(*fault, *until));
        }
        if let (None, Some(limits)) = (self.keys.get(key), &self.open) {
            let account = Account::new(None, limits, now);
            self.keys.insert(key.to_owned(), account);
        }
        let account = self.keys.get_mut(key).ok_or(Refusal::NoKey)?;
        let admitted = account.admit(now, tokens);
        account.count.refused += u64::from(admitted.is_err());
        admitted
    }

    /// Whether streams break off now.
    pub(super) fn breaks_streams(&self, now: Timestamp) -> bool {
        self.faults
            .iter()
            .any(|(from, until, fault)| *fault == Fault::Stream && (*from..*until).contains(&now))
    }

    /// A request that was admitted is over. `used` is what it took of the `tokens` that were
    /// charged; `None` if the caller went away.
    pub(super) fn finish(&mut self, now: Timestamp, key: &str, tokens: u64, used: Option<u64>) {
        if let Some(account) = self.keys.get_mut(key) {
            account.refill(now.max(self.started));
            account.inflight = account.inflight.saturating_sub(1);
            match used {
                Some(used) => {
                    account.charge(used as f64 - tokens as f64);
                    account.count.served += 1;
                }
                None => account.count.cancelled += 1,
            }
        }
    }

    /// What the headers of an answer may say.
    pub(super) fn standing(&mut self, now: Timestamp, key: &str) -> Standing {
        let Some(account) = self.keys.get_mut(key) else {
            return Standing::default();
        };
        account.refill(now.max(self.started));
        Standing {
            requests: account.requests.map(|bucket| bucket.shown()),
            tokens: account.tokens.map(|bucket| bucket.shown()),
            window: account.window.map(|window| window.shown()),
        }
    }

    /// What happened so far, by key.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&str, Count)> {
        self.keys
            .iter()
            .map(|(key, account)| (key.as_str(), account.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(yaml: &str) -> Limiter {
        Limiter::new(&Script::from_yaml(yaml).unwrap(), 1_000)
    }

    #[test]
    fn a_bucket_refills_all_the_time() {
        let mut limiter = limiter("limits: {requests_per_minute: 60, burst: 2s}");
        assert_eq!(limiter.admit(1_000, "k", 1), Ok(()));
        assert_eq!(limiter.admit(1_000, "k", 1), Ok(()));
        assert_eq!(
            limiter.admit(1_000, "k", 1),
            Err(Refusal::Requests { wait_ms: 1_000 })
        );
        assert_eq!(
            limiter.admit(1_999, "k", 1),
            Err(Refusal::Requests { wait_ms: 1 })
        );
        assert_eq!(limiter.admit(2_000, "k", 1), Ok(()));
        // Another key has a bucket of its own.
        assert_eq!(limiter.admit(2_000, "l", 1), Ok(()));
        let standing = limiter.standing(2_000, "k").requests.unwrap();
        assert_eq!(
            standing,
            Level {
                limit: 2,
                remaining: 0,
                full_in_ms: 2_000
            }
        );
    }

    #[test]
    fn tokens_are_corrected_when_it_is_known_what_was_used() {
        let mut limiter = limiter("limits: {tokens_per_minute: 600, burst: 10s}");
        assert_eq!(limiter.admit(1_000, "k", 90), Ok(()));
        assert_eq!(
            limiter.admit(1_000, "k", 20),
            Err(Refusal::Tokens { wait_ms: 1_000 })
        );
        limiter.finish(1_000, "k", 90, Some(50));
        assert_eq!(limiter.admit(1_000, "k", 20), Ok(()));
        // A request that is larger than the bucket waits until the bucket is full.
        assert_eq!(
            limiter.admit(1_000, "k", 5_000),
            Err(Refusal::Tokens { wait_ms: 7_000 })
        );
    }

    #[test]
    fn a_window_starts_with_its_first_request() {
        let mut limiter = limiter("limits: {window: {tokens: 10, length: 1m}}");
        assert_eq!(limiter.admit(5_000, "k", 10), Ok(()));
        limiter.finish(5_000, "k", 10, Some(10));
        assert_eq!(
            limiter.admit(64_999, "k", 1),
            Err(Refusal::Window { resets_at: 65_000 })
        );
        assert_eq!(limiter.admit(65_000, "k", 1), Ok(()));
    }

    #[test]
    fn only_so_many_run_at_a_time() {
        let mut limiter = limiter("limits: {max_inflight: 1}");
        assert_eq!(limiter.admit(1_000, "k", 1), Ok(()));
        assert_eq!(limiter.admit(1_000, "k", 1), Err(Refusal::Concurrency));
        limiter.finish(1_001, "k", 1, None);
        assert_eq!(limiter.admit(1_001, "k", 1), Ok(()));
        assert_eq!(
            limiter.counts().collect::<Vec<_>>(),
            [(
                "k",
                Count {
                    served: 0,
                    refused: 1,
                    cancelled: 1
                }
            )]
        );
    }

    #[test]
    fn keys_of_the_script_are_the_only_ones() {
        let mut limiter =
            limiter("keys: [{key: a}, {key: b, state: revoked}, {key: c, revoke_after: 1}]");
        assert_eq!(limiter.admit(1_000, "a", 1), Ok(()));
        assert_eq!(
            limiter.admit(1_000, "b", 1),
            Err(Refusal::State(KeyState::Revoked))
        );
        assert_eq!(limiter.admit(1_000, "x", 1), Err(Refusal::NoKey));
        assert_eq!(limiter.admit(1_000, "", 1), Err(Refusal::NoKey));
        assert_eq!(limiter.admit(1_000, "c", 1), Ok(()));
        limiter.finish(1_000, "c", 1, Some(1));
        assert_eq!(
            limiter.admit(1_000, "c", 1),
            Err(Refusal::State(KeyState::Revoked))
        );
    }

    #[test]
    fn an_outage_has_its_time() {
        let mut limiter = limiter(
            "outages: [{from: 1s, until: 2s, fault: overloaded}, {from: 5s, until: 6s, fault: stream}]",
        );
        assert_eq!(limiter.admit(1_999, "k", 1), Ok(()));
        assert_eq!(
            limiter.admit(2_000, "k", 1),
            Err(Refusal::Fault(Fault::Overloaded, 3_000))
        );
        assert_eq!(limiter.admit(3_000, "k", 1), Ok(()));
        assert_eq!(limiter.admit(6_000, "k", 1), Ok(()));
        assert!(limiter.breaks_streams(6_000) && !limiter.breaks_streams(7_000));
    }
}
