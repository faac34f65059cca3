//! A provider that is overloaded is left alone as a whole: its accounts can do nothing about it.

use serde::{Deserialize, Serialize};

use super::bitset::Bitset;
use super::settings::ProviderSettings;
use crate::Timestamp;

/// The breaker of a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ProviderBreaker {
    until: Timestamp,
    level: u8,
    /// The end of the lease of the request that tries. Zero: none does.
    probe: Timestamp,
    /// Which accounts heard of it lately, and when.
    seen: Vec<(u32, Timestamp)>,
}

/// A provider: its breaker, and its accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Provider {
    pub(super) breaker: ProviderBreaker,
    pub(super) members: Bitset,
    /// The accounts that may have a cooldown because of overload.
    pub(super) cooled: Bitset,
}

/// How many successes it takes at most until it is trusted again.
const STEPS_BACK: u8 = 3;

impl ProviderBreaker {
    /// When the next request may go, if not now.
    #[inline]
    pub(super) fn blocked(&self, now: Timestamp) -> Option<Timestamp> {
        if self.until > now {
            return Some(self.until);
        }
        (self.level > 0 && self.probe > now).then_some(self.probe)
    }

    /// Whether it is left alone, or not trusted yet.
    pub(super) const fn is_open(&self) -> bool {
        self.level > 0
    }

    /// A request goes. Answers whether it is the probe.
    #[inline]
    pub(super) fn admit(&mut self, now: Timestamp, lease_ms: u64) -> bool {
        if self.level > 0 {
            self.probe = now.saturating_add(lease_ms);
        }
        self.level > 0
    }

    /// The probe that was admitted at that time is over.
    pub(super) fn release(&mut self, admitted: Timestamp, lease_ms: u64) {
        if self.probe == admitted.saturating_add(lease_ms) {
            self.probe = 0;
        }
    }

    /// Whether there is something that a success ends.
    pub(super) fn is_doubted(&self) -> bool {
        self.level > 0 || !self.seen.is_empty()
    }

    /// It serves, or refuses what it has looked at. Answers whether it is trusted again: each success takes back one step, so that what
    /// waits does not come back all at once, and one that got through by luck is not taken for all.
    pub(super) fn close(&mut self) -> bool {
        if self.level > 1 {
            (self.level, self.probe) = (self.level.min(STEPS_BACK) - 1, 0);
            return false;
        }
        let was_open = self.level > 0;
        (self.until, self.level, self.probe) = (0, 0, 0);
        self.seen.clear();
        was_open
    }

    /// An account heard that it is overloaded; so many could. Answers whether it is left alone.
    pub(super) fn overloaded(
        &mut self,
        now: Timestamp,
        index: u32,
        live: usize,
        settings: &ProviderSettings,
    ) -> bool {
        self.seen
            .retain(|(other, at)| *other != index && now.saturating_sub(*at) < settings.within_ms);
        self.seen.push((index, now));
        let enough = (settings.min_accounts as usize).min(live);
        if self.seen.len() > enough.max(1) {
            self.seen.remove(0);
        }
        if self.level == 0 && self.seen.len() < enough {
            return false;
        }
        if self.until <= now {
            self.until = now.saturating_add(settings.backoff.after(self.level.min(10)));
            self.level = self.level.saturating_add(1);
        }
        true
    }

    /// Another process has seen that it is overloaded.
    pub(super) fn learn(&mut self, until: Timestamp, level: u8) {
        self.until = self.until.max(until);
        self.level = self.level.max(level);
    }

    /// Another process tries, until then at most.
    pub(super) fn probed_elsewhere(&mut self, until: Timestamp) {
        self.probe = until;
    }

    /// How many steps its backoff has grown. Zero: it serves.
    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    /// Whether the next request is a probe.
    pub(super) fn tries(&self, now: Timestamp) -> bool {
        self.level > 0 && self.blocked(now).is_none()
    }

    /// Until when it is left alone.
    pub(super) fn until(&self) -> Timestamp {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{
        AccountSpec, Action, Class, Classification, Outcome, Permit, Pick, Pool, Request, Scope,
        Settings, Why,
    };

    const OVERLOADED: Classification = Classification {
        class: Class::Overloaded,
        scope: Scope::Provider,
        action: Action::Next,
        cooldown_ms: None,
    };

    fn pool() -> Pool {
        let mut pool = Pool::new(Settings {
            jitter: false,
            ..Settings::default()
        });
        for id in ["a", "b", "c"] {
            pool.upsert(&AccountSpec::new(id, "x"), 0);
        }
        pool
    }

    fn permit(pool: &mut Pool, now: Timestamp) -> Permit {
        match pool.pick(now, &Request::default()) {
            Pick::Use(permit) => permit,
            other => panic!("somebody serves: {other:?}"),
        }
    }

    fn waits(pool: &mut Pool, now: Timestamp) -> Why {
        match pool.pick(now, &Request::default()) {
            Pick::Wait { why, .. } => why,
            other => panic!("nobody serves: {other:?}"),
        }
    }

    #[test]
    fn it_comes_back_one_request_at_a_time_until_enough_were_served() {
        let mut pool = pool();
        let mut now = 0;
        // Ten requests were under way when it began.
        let underway: Vec<Permit> = (0..10).map(|_| permit(&mut pool, now)).collect();
        for failed in underway {
            pool.report(now, failed, &Outcome::from(OVERLOADED));
        }
        assert_eq!(waits(&mut pool, now), Why::Provider);
        for _ in 0..6 {
            now += 4_000;
            let probe = permit(&mut pool, now);
            assert!(probe.is_probe());
            pool.report(now, probe, &Outcome::from(OVERLOADED));
        }
        now += 4_000;
        for _ in 0..STEPS_BACK {
            let probe = permit(&mut pool, now);
            assert!(probe.is_probe());
            // Who waits knows that it may be over at any time.
            assert_eq!(waits(&mut pool, now), Why::Probe);
            pool.report(now, probe, &Outcome::ok(None));
        }
        let free: Vec<Permit> = (0..10).map(|_| permit(&mut pool, now)).collect();
        assert!(free.iter().all(|permit| !permit.is_probe()));
    }

    /// A provider that is open for the first time, and its probe.
    fn probed() -> (Pool, Permit) {
        let mut pool = pool();
        let failed = [permit(&mut pool, 0), permit(&mut pool, 0)];
        for failed in failed {
            pool.report(0, failed, &Outcome::from(OVERLOADED));
        }
        let probe = permit(&mut pool, 600);
        assert!(probe.is_probe());
        (pool, probe)
    }

    fn refused(class: Class) -> Outcome<'static> {
        Outcome::from(Classification {
            class,
            scope: class.usual_scope(),
            action: class.usual_action(),
            cooldown_ms: None,
        })
    }

    #[test]
    fn a_probe_that_is_refused_was_answered() {
        for class in [
            Class::RequestFault,
            Class::Windowless,
            Class::Rate,
            Class::Auth,
            Class::AuthDead,
            Class::Forbidden,
            Class::NotFound,
        ] {
            let (mut pool, probe) = probed();
            pool.report(610, probe, &refused(class));
            assert!(!permit(&mut pool, 611).is_probe(), "{class:?}");
        }
    }

    #[test]
    fn a_probe_that_nobody_answered_says_nothing() {
        for class in [
            Class::ServerError,
            Class::Timeout,
            Class::Network,
            Class::Challenge,
            Class::ClientCancelled,
            Class::Unknown,
        ] {
            let (mut pool, probe) = probed();
            pool.report(610, probe, &refused(class));
            assert!(permit(&mut pool, 611).is_probe(), "{class:?}");
        }
    }

    #[test]
    fn an_old_refusal_says_nothing_about_now() {
        let mut pool = pool();
        let old = permit(&mut pool, 0);
        let failed = [permit(&mut pool, 0), permit(&mut pool, 0)];
        for failed in failed {
            pool.report(0, failed, &Outcome::from(OVERLOADED));
        }
        pool.report(10, old, &refused(Class::RequestFault));
        assert_eq!(waits(&mut pool, 20), Why::Provider);
    }

    #[test]
    fn one_that_got_through_by_luck_changes_little() {
        let mut pool = pool();
        for _ in 0..2 {
            let failed = [permit(&mut pool, 0), permit(&mut pool, 0)];
            for failed in failed {
                pool.report(0, failed, &Outcome::from(OVERLOADED));
            }
            if waits(&mut pool, 0) == Why::Provider {
                break;
            }
        }
        let probe = permit(&mut pool, 600);
        pool.report(600, probe, &Outcome::from(OVERLOADED));
        let lucky = permit(&mut pool, 1_700);
        pool.report(1_700, lucky, &Outcome::ok(None));
        let next = permit(&mut pool, 1_700);
        assert!(next.is_probe());
        pool.report(1_700, next, &Outcome::from(OVERLOADED));
        assert_eq!(waits(&mut pool, 1_700), Why::Provider);
    }
}
