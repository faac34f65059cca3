//! One refreshes a credential, and the others wait: many refreshes at once would revoke each other.

use super::Pool;
use super::account::{Lifecycle, Slot};
use super::event::EventKind;
use super::peers::Subject;
use super::permits::Underway;
use crate::Timestamp;

/// The right, and the duty, to refresh the credential of one account. If nothing is heard of it, it
/// goes to another when it ends.
#[must_use = "nobody else refreshes the credential while this is held"]
#[derive(Debug, PartialEq, Eq)]
pub struct RefreshLease {
    slot: Slot,
    number: u64,
    until: Timestamp,
}

impl RefreshLease {
    /// The account.
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// When it ends.
    pub const fn until(&self) -> Timestamp {
        self.until
    }
}

/// How a refresh ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// There is a new credential.
    Done,
    /// It failed for now.
    Failed,
    /// The account needs a new sign-in.
    Dead,
}

impl Pool {
    /// Asks to refresh the credential of an account. `None`: another does, or there is no such
    /// account, or it is dead.
    pub fn refresh_begin(&mut self, now: Timestamp, slot: Slot) -> Option<RefreshLease> {
        let now = self.advance(now);
        let alive =
            self.holds(slot) && self.accounts[slot.index as usize].lifecycle != Lifecycle::Dead;
        let other = self.refreshing.get(&slot.index);
        if !alive || other.is_some_and(|(_, until)| *until > now) {
            return None;
        }
        self.refreshes += 1;
        let until = now.saturating_add(self.settings.refresh_lease_ms);
        self.refreshing.insert(slot.index, (self.refreshes, until));
        Some(RefreshLease {
            slot,
            number: self.refreshes,
            until,
        })
    }

    /// The refresh is over. A lease that ended before changes nothing, unless there is a new
    /// credential. Answers whether it counted.
    pub fn refresh_end(&mut self, now: Timestamp, lease: RefreshLease, how: Refreshed) -> bool {
        let now = self.advance(now);
        let slot = lease.slot;
        if !self.holds(slot) {
            return false;
        }
        let current = self.refreshing.get(&slot.index);
        let mine = current.is_some_and(|(number, _)| *number == lease.number);
        if mine {
            self.refreshing.remove(&slot.index);
        }
        match how {
            Refreshed::Done => self.credential_is_new(slot, now),
            Refreshed::Dead if mine => self.kill(slot, now),
            Refreshed::Failed | Refreshed::Dead => {}
        }
        mine || how == Refreshed::Done
    }

    fn credential_is_new(&mut self, slot: Slot, now: Timestamp) {
        self.ended_here(Subject::Credential(slot), now);
        let reason = self.accounts[slot.index as usize].breaker.reason;
        if reason == Some(super::super::Class::Auth) {
            self.ended_here(Subject::Account(slot), now);
        }
        self.renew_credential(slot, now);
    }

    /// There is a new credential, of this process or of another.
    pub(super) fn renew_credential(&mut self, slot: Slot, now: Timestamp) {
        let account = &mut self.accounts[slot.index as usize];
        account.lifecycle = Lifecycle::Active;
        if account.breaker.reason == Some(super::super::Class::Auth) {
            // Requests that went with the old credential are old news.
            self.epoch += 1;
            account.breaker.renew(self.epoch);
        }
        self.look(slot.index, now);
        self.events.add(now, EventKind::Refreshed { slot });
    }

    /// Whether the account has served, or was refreshed, since a request was admitted: then its
    /// refusal says nothing about the credential that the account has now.
    pub(super) fn is_renewed(&self, underway: &Underway) -> bool {
        let breaker = &self.accounts[underway.slot.index as usize].breaker;
        breaker.outdates(underway.epoch) && breaker.reason.is_none()
    }

    /// A credential was refused.
    pub(super) fn needs_refresh(&mut self, underway: &Underway, now: Timestamp) {
        let slot = underway.slot;
        let account = &mut self.accounts[slot.index as usize];
        if account.lifecycle == Lifecycle::Active {
            account.lifecycle = Lifecycle::NeedsRefresh;
            self.failed_here(Subject::Credential(slot), now);
            self.events.add(now, EventKind::NeedsRefresh { slot });
        }
    }

    /// A request was served, so the credential is good.
    pub(super) fn trust_again(&mut self, underway: &Underway, now: Timestamp) {
        let index = underway.slot.index;
        let account = &mut self.accounts[index as usize];
        if account.lifecycle == Lifecycle::NeedsRefresh {
            account.lifecycle = Lifecycle::Active;
            self.ended_here(Subject::Credential(underway.slot), underway.at);
            self.look(index, now);
        }
    }
}
