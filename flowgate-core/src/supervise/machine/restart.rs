//! How long to wait before a restart, and when to stop trying.

use std::collections::VecDeque;

use super::super::spec::RestartSpec;
use super::super::{Millis, millis};

/// The longest rest after too many restarts.
const LONGEST_COOLDOWN: Millis = 600_000;

/// What the restarts of a service so far say about the next one.
#[derive(Clone, Debug)]
pub(super) struct Restarts {
    /// Failures since the service was last well.
    attempt: u32,
    /// True if it was well for long enough since it last failed.
    well: bool,
    /// When it was restarted, as far as that counts.
    recent: VecDeque<Millis>,
    /// How often in a row it ended in an error for too many restarts.
    loops: u32,
    /// How often it was restarted in all.
    total: u64,
    random: u64,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// A restart after this time.
    After { attempt: u32, delay: Millis },
    /// An error, and another try after this time.
    Rest {
        restarts: u32,
        cooldown: Option<Millis>,
    },
}

impl Restarts {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            attempt: 0,
            well: false,
            recent: VecDeque::new(),
            loops: 0,
            total: 0,
            random: seed,
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Somebody looked after it: what was is forgotten.
    pub(super) fn forgive(&mut self) {
        self.attempt = 0;
        self.loops = 0;
        self.recent.clear();
    }

    /// It has been ready for long enough. Restarts still count against the limit.
    pub(super) fn is_well(&mut self) {
        self.attempt = 0;
        self.loops = 0;
        self.well = true;
    }

    /// It failed.
    pub(super) fn failed(&mut self, spec: &RestartSpec) -> Next {
        if self.loops > 0 {
            return self.rest(spec);
        }
        if std::mem::take(&mut self.well) {
            return Next::After {
                attempt: 0,
                delay: 0,
            };
        }
        self.attempt = self.attempt.saturating_add(1);
        Next::After {
            attempt: self.attempt,
            delay: self.delay(spec),
        }
    }

    /// The wait is over; `Some` if there were too many restarts for another.
    pub(super) fn restart(&mut self, now: Millis, spec: &RestartSpec) -> Option<Next> {
        let within = millis(spec.within);
        while self.recent.front().is_some_and(|at| now - at >= within) {
            self.recent.pop_front();
        }
        if self.recent.len() >= spec.max_restarts as usize {
            return Some(self.rest(spec));
        }
        self.recent.push_back(now);
        self.total += 1;
        None
    }

    /// The rest is over: one try that does not count.
    pub(super) fn retry(&mut self) {
        self.total += 1;
    }

    fn rest(&mut self, spec: &RestartSpec) -> Next {
        let doubled = millis(spec.cooldown).saturating_mul(1 << self.loops.min(16));
        self.loops = self.loops.saturating_add(1);
        Next::Rest {
            restarts: u32::try_from(self.recent.len()).unwrap_or(u32::MAX),
            cooldown: (!spec.give_up)
                .then(|| doubled.min(LONGEST_COOLDOWN.max(millis(spec.cooldown)))),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "waits are far from 2^53 ms, and a cast of a float saturates"
    )]
    fn delay(&mut self, spec: &RestartSpec) -> Millis {
        let exponent = i32::try_from(self.attempt - 1).unwrap_or(i32::MAX);
        let wait = millis(spec.initial) as f64 * spec.factor.powi(exponent);
        let wait = wait.min(millis(spec.max) as f64);
        (wait * (1.0 + spec.jitter * self.chance())).round() as Millis
    }

    /// From -1 to 1. SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
    /// generators", 2014).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(spec: &RestartSpec, restarts: &mut Restarts, count: usize) -> Vec<Millis> {
        let mut delays = Vec::new();
        for _ in 0..count {
            if let Next::After { delay, .. } = restarts.failed(spec) {
                delays.push(delay);
            }
        }
        delays
    }

    #[test]
    fn waits_grow_to_the_longest_and_start_over_when_it_was_well() {
        let spec = RestartSpec {
            jitter: 0.0,
            ..RestartSpec::default()
        };
        let mut restarts = Restarts::new(0);
        let expected = [
            100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000,
        ];
        assert_eq!(delays(&spec, &mut restarts, 11), expected);
        restarts.is_well();
        assert_eq!(delays(&spec, &mut restarts, 3), [0, 100, 200]);
    }

    #[test]
    fn chance_takes_away_or_adds_a_fifth_at_most_and_comes_from_the_seed() {
        let spec = RestartSpec::default();
        let mut lowest = f64::MAX;
        let mut highest = f64::MIN;
        for seed in 0..2_000 {
            let first = delays(&spec, &mut Restarts::new(seed), 1)[0];
            assert_eq!(delays(&spec, &mut Restarts::new(seed), 1)[0], first);
            lowest = lowest.min(first as f64);
            highest = highest.max(first as f64);
        }
        assert!((80.0..83.0).contains(&lowest), "{lowest}");
        assert!((117.0..=120.0).contains(&highest), "{highest}");
    }

    #[test]
    fn more_than_the_limit_in_the_window_ends_in_a_rest_that_doubles() {
        let spec = RestartSpec {
            max_restarts: 2,
            ..RestartSpec::default()
        };
        let mut restarts = Restarts::new(0);
        assert_eq!(restarts.restart(0, &spec), None);
        assert_eq!(restarts.restart(1, &spec), None);
        let rest = |seconds: Millis| Next::Rest {
            restarts: 2,
            cooldown: Some(seconds * 1000),
        };
        assert_eq!(restarts.restart(2, &spec), Some(rest(60)));
        for seconds in [120, 240, 480, 600, 600] {
            restarts.retry();
            assert_eq!(restarts.failed(&spec), rest(seconds));
        }
        // The window moves on.
        restarts.is_well();
        assert_eq!(restarts.restart(300_000, &spec), None);
        assert_ne!(restarts.restart(300_000, &spec), None);
        assert_eq!(restarts.restart(300_001, &spec), None);
    }

    #[test]
    fn who_gives_up_does_not_come_back() {
        let spec = RestartSpec {
            max_restarts: 0,
            give_up: true,
            ..RestartSpec::default()
        };
        let next = Restarts::new(0).restart(0, &spec);
        assert_eq!(
            next,
            Some(Next::Rest {
                restarts: 0,
                cooldown: None
            })
        );
    }
}
