//! What to do with a request that failed: try again now, later, or give up.

use super::super::{Action, Class};
use super::Pool;
use super::account::Slot;
use super::names::mix;
use super::report::Verdict;
use crate::Timestamp;

/// One request, over all the times that it is sent.
#[derive(Clone, Debug)]
pub struct Attempt {
    begun: Timestamp,
    deadline: Option<Timestamp>,
    sent: u32,
    /// How many of these count towards the most.
    counted: u32,
    refreshed: bool,
    failed: Vec<Slot>,
}

impl Attempt {
    /// A request that is asked for now, and is of no use after the deadline.
    pub fn new(now: Timestamp, deadline: Option<Timestamp>) -> Self {
        Self {
            begun: now,
            deadline,
            sent: 0,
            counted: 0,
            refreshed: false,
            failed: Vec::new(),
        }
    }

    /// When it was asked for.
    pub const fn begun(&self) -> Timestamp {
        self.begun
    }

    /// How often it was sent and failed.
    pub const fn sent(&self) -> u32 {
        self.sent
    }

    /// The accounts that are not to be tried again with this request.
    pub fn exclude(&self) -> &[Slot] {
        &self.failed
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pick again.
    RetryNow,
    /// Pick again, then.
    RetryAt(Timestamp),
    /// Refresh the credential of this account, if nobody else does, and pick again.
    Refresh(Slot),
    /// Give the answer to the caller.
    Stop,
}

impl Pool {
    /// Decides what to do with a request after its last answer.
    ///
    /// Failures for which the provider worked take from a budget that successes fill again, so that
    /// a provider in trouble is not buried under retries.
    pub fn next(&mut self, now: Timestamp, verdict: &Verdict, attempt: &mut Attempt) -> Step {
        let now = self.advance(now);
        attempt.sent += 1;
        match verdict.action {
            Action::Done | Action::Stop => return Step::Stop,
            Action::Next | Action::Refresh => {}
        }
        // Where the pool knows when to go on, a deadline is limit enough.
        let paced = verdict.class.is_limit() || verdict.class == Class::Overloaded;
        if !paced || attempt.deadline.is_none() {
            attempt.counted += 1;
        }
        if attempt.counted >= self.settings.retry.max_attempts || !self.spend_retry(verdict.class) {
            return Step::Stop;
        }
        if verdict.action == Action::Refresh
            && !attempt.refreshed
            && let Some(slot) = verdict.slot
        {
            attempt.refreshed = true;
            return Step::Refresh(slot);
        }
        if let Some(slot) = verdict.slot
            && Self::is_of_account(verdict.class)
            && !attempt.failed.contains(&slot)
        {
            attempt.failed.push(slot);
        }
        let at = now.saturating_add(self.pause(verdict.class, attempt));
        if attempt.deadline.is_some_and(|deadline| at > deadline) {
            return Step::Stop;
        }
        if at == now {
            Step::RetryNow
        } else {
            Step::RetryAt(at)
        }
    }

    /// Whether trying the same account again would be of no use. Rate limits pass: there the pool
    /// knows when.
    fn is_of_account(class: Class) -> bool {
        matches!(
            class,
            Class::Windowless
                | Class::Payment
                | Class::Forbidden
                | Class::ModelUnsupported
                | Class::NotFound
                | Class::Auth
                | Class::AuthDead
        )
    }

    /// Takes from the budget of retries.
    fn spend_retry(&mut self, class: Class) -> bool {
        let cost = match class {
            Class::Timeout => 10,
            Class::ServerError | Class::Network | Class::Unknown => 5,
            _ => 0,
        };
        let left = self.retries_left.checked_sub(cost);
        self.retries_left = left.unwrap_or(self.retries_left);
        left.is_some()
    }

    /// How long to wait before a server that fails is asked again: not before the second try, which
    /// goes to another account.
    fn pause(&self, class: Class, attempt: &Attempt) -> u64 {
        let fails = matches!(
            class,
            Class::ServerError | Class::Timeout | Class::Network | Class::Unknown
        );
        if !fails || attempt.sent < 2 {
            return 0;
        }
        let level = (attempt.sent - 2).min(20) as u8;
        let wait = self.settings.retry.backoff.after(level);
        if !self.settings.jitter {
            return wait;
        }
        let salt = mix(self.settings.seed ^ self.sequence);
        wait / 2 + salt % (wait / 2 + 1)
    }
}
