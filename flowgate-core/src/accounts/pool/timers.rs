//! When to look at what again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Timestamp;

/// At that time, look at that slot, and there at that model (zero: at the account).
pub(super) type Timer = (Timestamp, u32, u32);

/// What is to be looked at, soonest first. Looking twice does no harm, so nothing is ever removed
/// before its time; whoever adds a timer remembers it, and adds a second one only if it is sooner.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<Timer>>);

impl Timers {
    pub(super) fn add(&mut self, timer: Timer) {
        self.0.push(Reverse(timer));
    }

    #[inline]
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// What is due.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Timer> {
        let due = self.next()? <= now;
        due.then(|| self.0.pop())
            .flatten()
            .map(|Reverse(timer)| timer)
    }
}
