//! What a pool says to the pools of other processes, and what it hears from them.
//!
//! A pool that is shared writes down what others should know ([`Ask`]); a driver carries it to them
//! and brings what they say ([`Pool::learn`]). While the driver is connected, one process of all
//! probes what comes back ([`Pool::grant`]), and quota is used in slices ([`Pool::allow`]). Picks
//! stay decisions of this process: nothing here waits.

use std::collections::{BTreeMap, BTreeSet};

use super::Pool;
use super::account::{NONE, Slot};
use super::pick::Model;
use super::slices::Allowance;
use crate::Timestamp;

/// When a request that waits for an answer of the driver looks again, in milliseconds.
pub(super) const ASK_MS: u64 = 20;
/// When a question that was not answered is asked again, in milliseconds.
const ASK_AGAIN_MS: u64 = 1_000;

/// What facts and leases are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// An account.
    Account(Slot),
    /// One model of an account.
    Model(Slot, Model),
    /// The credential of an account, as long as its revision is the same.
    Credential(Slot),
    /// A provider, as [`Pool::provider_name`] knows it.
    Provider(u16),
}

/// What a shared pool wants its driver to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Ask {
    /// Tell the others the [`Pool::fact`] of this.
    Tell(Subject),
    /// Get the right to probe this, and [`Pool::grant`] or [`Pool::deny`].
    Probe(Subject),
    /// The probe is over: let others.
    Done(Subject),
    /// Get a slice of this account's quota, and [`Pool::allow`].
    Slice(Slot),
    /// There are new accounts: bring all facts.
    Load,
}

/// What the pool remembers because it is shared.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    pub(super) entries: BTreeMap<Subject, Entry>,
    pub(super) asks: BTreeSet<Ask>,
    /// What could be probed, if this process may.
    pub(super) awaiting: BTreeSet<Subject>,
    /// What this process may probe, until when.
    pub(super) granted: BTreeMap<Subject, Timestamp>,
    /// What this process probes now, and since when.
    pub(super) probing: BTreeMap<Subject, Timestamp>,
    /// What was asked for, and when to ask again.
    pub(super) asked: BTreeMap<Ask, Timestamp>,
    /// Whether a driver answers.
    pub(super) connected: bool,
    /// Whose quota could be used, if there were a slice of it.
    pub(super) starved: BTreeSet<Slot>,
    pub(super) allowances: Vec<Option<Allowance>>,
    pub(super) slice_ms: u64,
    /// The most tokens of a request that found no slice.
    pub(super) need: u32,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) epoch: Timestamp,
    /// When something failed last, as far as this process knows.
    pub(super) failed_at: Timestamp,
}

impl Peers {
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Asks, unless that was asked lately.
    pub(super) fn ask(&mut self, ask: Ask, now: Timestamp) {
        if self.asked.get(&ask).is_none_or(|again| *again <= now) {
            self.asked.insert(ask, now.saturating_add(ASK_AGAIN_MS));
            self.asks.insert(ask);
        }
    }

    /// Whatever a probe finds out now, it is not awaited any more.
    pub(super) fn end_probe(&mut self, subject: Subject) {
        if self.probing.remove(&subject).is_some() {
            self.asks.insert(Ask::Done(subject));
        }
    }

    pub(super) fn answered(&mut self, ask: Ask) {
        self.asked.remove(&ask);
    }
}

impl Pool {
    /// Shares what this pool learns: from now on it says what others should know.
    ///
    /// * `salt`: differs between processes, so that they do not all begin with the same account.
    /// * `slice_ms`: for how long a slice of a quota lasts at its rate.
    pub fn share(&mut self, salt: u64, slice_ms: u64) {
        self.strategy.set_salt(salt);
        self.peers = Some(Box::new(Peers {
            slice_ms: slice_ms.max(1),
            ..Peers::default()
        }));
    }

    /// Goes on for a pool that was shared, such as one that is replaced by its snapshot.
    pub fn share_like(&mut self, other: &Self) {
        let Some(peers) = &other.peers else {
            return;
        };
        self.share(other.strategy.salt(), peers.slice_ms);
        let known = self.facts().into_iter();
        let asks = known
            .map(|(subject, _)| Ask::Tell(subject))
            .chain([Ask::Load]);
        let asks = asks.collect();
        if let Some(own) = &mut self.peers {
            own.connected = peers.connected;
            own.asks = asks;
        }
        let now = self.now;
        for index in 0..self.accounts.len() as u32 {
            if self.accounts[index as usize].present {
                self.look(index, now);
            }
        }
    }

    /// Whether it is shared.
    pub const fn is_shared(&self) -> bool {
        self.peers.is_some()
    }

    /// Says whether a driver answers. Where none does, this process decides alone, by what it knows.
    pub fn set_connected(&mut self, now: Timestamp, connected: bool) {
        let now = self.advance(now);
        let Some(peers) = &mut self.peers else {
            return;
        };
        peers.connected = connected;
        peers.asked.clear();
        peers.granted.clear();
        peers.allowances.clear();
        peers.starved.clear();
        let awaiting = std::mem::take(&mut peers.awaiting);
        if !connected {
            // Facts are told again when the connection is back, all of them.
            peers.asks.clear();
        }
        for subject in awaiting {
            self.look_at_subject(subject, now);
        }
        for index in 0..self.accounts.len() as u32 {
            let account = &self.accounts[index as usize];
            if account.present && (account.budget != NONE || !account.breaker.is_clean()) {
                self.look(index, now);
            }
        }
        self.provider_changed();
    }

    /// Whether there is something to ask of the driver.
    #[inline]
    pub fn has_asks(&self) -> bool {
        self.peers
            .as_ref()
            .is_some_and(|peers| !peers.asks.is_empty())
    }

    /// What is asked of the driver since the last call.
    pub fn take_asks(&mut self) -> Vec<Ask> {
        let asks = self
            .peers
            .as_mut()
            .map(|peers| std::mem::take(&mut peers.asks));
        asks.into_iter().flatten().collect()
    }

    /// There are accounts of which others may know something.
    pub(super) fn ask_for_all(&mut self) {
        if let Some(peers) = &mut self.peers {
            peers.asks.insert(Ask::Load);
        }
    }

    /// An account is gone.
    pub(super) fn forget_peers(&mut self, slot: Slot) {
        let Some(peers) = &mut self.peers else {
            return;
        };
        let other = |subject: &Subject| match subject {
            Subject::Account(of) | Subject::Model(of, _) | Subject::Credential(of) => *of != slot,
            Subject::Provider(_) => true,
        };
        peers.entries.retain(|subject, _| other(subject));
        peers.granted.retain(|subject, _| other(subject));
        peers.probing.retain(|subject, _| other(subject));
        peers.awaiting.retain(other);
        peers.starved.remove(&slot);
    }
}

/// The subject that a breaker is about.
pub(super) const fn subject_of(slot: Slot, model: u32) -> Subject {
    match model {
        0 => Subject::Account(slot),
        model => Subject::Model(slot, Model(model)),
    }
}

/// Puts something into a set, or takes it out. Most sets are empty, which costs no search.
#[inline]
pub(super) fn put<T: Ord>(set: &mut BTreeSet<T>, one: T, wanted: bool) {
    if wanted {
        set.insert(one);
    } else if !set.is_empty() {
        set.remove(&one);
    }
}
