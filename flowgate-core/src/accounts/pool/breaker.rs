//! One account, or one model of one account: closed, open, or half-open with one probe.
//!
//! ```text
//!         failure                  time                 the probe is served
//! closed ---------> open until … ---------> half-open ----------------------> closed
//!   ^                 |   ^                     |
//!   +-- canary is served  +---------------------+ the probe fails
//! ```
//!
//! An outcome is stale if something failed here after its request was admitted. A stale outcome may
//! lengthen what is open and never closes it.

use serde::{Deserialize, Serialize};

use super::super::Class;
use super::settings::{Backoff, Settings};
use crate::Timestamp;

/// The state. The default is closed.
///
/// Every account has one, so it is packed: it takes 36 bytes instead of 40.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C, packed(4))]
pub(super) struct Breaker {
    /// Open until then.
    pub(super) until: Timestamp,
    /// While open: one request may try from then on. Zero: none may.
    canary: Timestamp,
    /// The end of the lease of the request that tries. Zero: none does.
    probe: Timestamp,
    /// The count of failures, of the whole pool, when something failed here last.
    epoch: u64,
    /// How many steps the backoff after limits has grown.
    level: u8,
    /// How many steps the backoff after failures of the server or the network has grown.
    #[serde(default)]
    failures: u8,
    /// Whether the next request is a probe.
    half: bool,
    /// Why.
    pub(super) reason: Option<Class>,
}

impl Breaker {
    /// Whether there is nothing to remember.
    pub(super) fn is_clean(&self) -> bool {
        self.level == 0 && self.failures == 0 && !self.half && self.until == 0 && self.probe == 0
    }

    /// When the next request may go, if not now.
    #[inline]
    pub(super) fn blocked(&self, now: Timestamp, settings: &Settings) -> Option<Timestamp> {
        if self.until <= now {
            return (self.half && settings.half_open && self.probe > now).then_some(self.probe);
        }
        // Whoever tries already has to be heard of first.
        let probed = if settings.half_open { self.probe } else { 0 };
        let until = self.until.max(probed);
        match self.canary {
            0 => Some(until),
            canary => Some(canary.max(self.probe).min(until)).filter(|at| *at > now),
        }
    }

    /// Whether a request that goes now is a probe or a canary.
    pub(super) fn tries(&self, now: Timestamp, settings: &Settings) -> bool {
        self.until > now || (self.half && settings.half_open)
    }

    /// A request goes. Answers whether it is a probe or a canary.
    #[inline]
    pub(super) fn admit(&mut self, now: Timestamp, settings: &Settings) -> bool {
        if !self.tries(now, settings) {
            return false;
        }
        if self.until > now {
            self.canary = now.saturating_add(settings.canary_ms);
            self.half = true;
        }
        self.probe = now.saturating_add(settings.probe_lease_ms);
        true
    }

    /// The request that was admitted as a probe at that time is over.
    pub(super) fn release(&mut self, admitted: Timestamp, settings: &Settings) {
        if self.probe == admitted.saturating_add(settings.probe_lease_ms) {
            self.probe = 0;
        }
    }

    /// Whether something failed here since a request of that epoch was admitted.
    pub(super) fn outdates(&self, epoch: u64) -> bool {
        self.epoch > epoch
    }

    /// A request was served. Answers whether this closed it.
    pub(super) fn succeed(&mut self, epoch: u64) -> bool {
        if self.outdates(epoch) {
            return false;
        }
        let was_open = self.half;
        self.level = self.level.saturating_sub(1);
        self.failures = self.failures.saturating_sub(1);
        self.close();
        was_open
    }

    /// Closes it, whatever was.
    pub(super) fn close(&mut self) {
        *self = Self {
            epoch: self.epoch,
            level: self.level,
            failures: self.failures,
            ..Self::default()
        };
    }

    /// Closes it as another process did.
    pub(super) fn close_at(&mut self, level: u8, failures: u8) {
        (self.level, self.failures) = (level, failures);
        self.close();
    }

    /// Another process has seen its backoffs grow so far.
    pub(super) fn learn(&mut self, level: u8, failures: u8) {
        self.level = self.level.max(level);
        self.failures = self.failures.max(failures);
    }

    /// Another process saw it fail, which outdates what was admitted here before.
    pub(super) fn failed_elsewhere(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Another process tries, until then at most. Zero: none does any more.
    pub(super) fn probed_elsewhere(&mut self, now: Timestamp, until: Timestamp, of: &Settings) {
        self.probe = until;
        if until > 0 && self.until > now {
            // A canary went: the next is due when it would be here.
            let admitted = until.saturating_sub(of.probe_lease_ms);
            self.canary = admitted.saturating_add(of.canary_ms);
        }
    }

    /// How many steps the backoff after limits has grown.
    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    /// Whether a backoff is shorter than it was.
    pub(super) const fn is_calmer_than(&self, before: Self) -> bool {
        self.level < before.level || self.failures < before.failures
    }

    /// How many steps the backoff after failures has grown.
    pub(super) const fn failures(&self) -> u8 {
        self.failures
    }

    /// Closes it for good: what was admitted before does not count any more.
    pub(super) fn renew(&mut self, epoch: u64) {
        *self = Self {
            epoch,
            ..Self::default()
        };
    }

    /// How long to stay away after a limit for which nobody says how long.
    pub(super) fn after_limit(&self, backoff: Backoff) -> u64 {
        backoff.after(self.level)
    }

    /// How long to stay away after a failure of the server or the network.
    pub(super) fn after_failure(&self, backoff: Backoff) -> u64 {
        backoff.after(self.failures)
    }

    /// A failure: open until `until` at least, and `epoch` failures happened so far.
    pub(super) fn fail(&mut self, now: Timestamp, failure: Failure, settings: &Settings) {
        let streak = match failure.reason.is_limit() {
            true => &mut self.level,
            false => &mut self.failures,
        };
        *streak = streak.saturating_add(u8::from(failure.step));
        if failure.until > self.until {
            self.until = failure.until;
            let long = failure.until - now.min(failure.until) > settings.canary_ms;
            self.canary = if long { now + settings.canary_ms } else { 0 };
        }
        self.epoch = failure.epoch;
        self.half = true;
        self.reason = Some(failure.reason);
    }
}

/// What opens a breaker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) until: Timestamp,
    pub(super) epoch: u64,
    /// Whether the backoff grows: that of its reason, since a server that fails says nothing about
    /// limits.
    pub(super) step: bool,
    pub(super) reason: Class,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(until: Timestamp, epoch: u64) -> Failure {
        Failure {
            until,
            epoch,
            step: false,
            reason: Class::Rate,
        }
    }

    #[test]
    fn one_probe_at_a_time_after_the_wait() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();
        breaker.fail(0, open(1_000, 1), &settings);
        assert_eq!(breaker.blocked(999, &settings), Some(1_000));
        assert_eq!(breaker.blocked(1_000, &settings), None);
        assert!(breaker.admit(1_000, &settings));
        let lease = 1_000 + settings.probe_lease_ms;
        assert_eq!(breaker.blocked(1_001, &settings), Some(lease));
        breaker.release(900, &settings);
        assert_eq!(breaker.blocked(1_001, &settings), Some(lease), "another's");
        assert!(breaker.succeed(1));
        assert!(breaker.is_clean());
    }

    #[test]
    fn a_stale_outcome_may_lengthen_and_never_closes() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();
        breaker.fail(0, open(60_000, 1), &settings);
        assert!(!breaker.succeed(0));
        breaker.fail(10, open(5_000, 2), &settings);
        assert_eq!({ breaker.until }, 60_000);
        breaker.fail(10, open(90_000, 3), &settings);
        assert_eq!({ breaker.until }, 90_000);
    }

    #[test]
    fn limits_and_failures_grow_apart() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();
        let fail = |breaker: &mut Breaker, reason| {
            let failure = Failure {
                step: true,
                reason,
                ..open(1, 1)
            };
            breaker.fail(0, failure, &settings);
            (
                breaker.after_limit(settings.backoff),
                breaker.after_failure(settings.transient),
            )
        };
        assert_eq!(fail(&mut breaker, Class::ServerError), (1_000, 2_000));
        assert_eq!(fail(&mut breaker, Class::Rate), (2_000, 2_000));
        assert_eq!(fail(&mut breaker, Class::Network), (2_000, 4_000));
        for _ in 0..9 {
            fail(&mut breaker, Class::Timeout);
        }
        assert_eq!(breaker.after_failure(settings.transient), 30_000);
        assert_eq!(breaker.after_limit(settings.backoff), 2_000);
        // It has a place of its own, and takes none.
        assert_eq!(size_of::<Breaker>(), 36);
    }

    #[test]
    fn a_long_wait_lets_a_canary_through() {
        let settings = Settings::default();
        let mut breaker = Breaker::default();
        breaker.fail(0, open(86_400_000, 1), &settings);
        assert_eq!(breaker.blocked(1, &settings), Some(settings.canary_ms));
        assert_eq!(breaker.blocked(settings.canary_ms, &settings), None);
        assert!(breaker.admit(settings.canary_ms, &settings));
        let next = breaker.blocked(settings.canary_ms, &settings);
        assert_eq!(next, Some(2 * settings.canary_ms));
    }
}
