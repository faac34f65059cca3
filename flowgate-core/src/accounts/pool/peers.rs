//! What a pool says to the pools of other processes, and what it hears from them.
//!
//! A pool that is shared writes down what others should know ([`Ask`]); a driver carries it to them
//! and brings what they say ([`Pool::learn`]). While the driver is connected, one process of all
//! probes what comes back ([`Pool::grant`]), and quota is used in slices ([`Pool::allow`]). Picks
//! stay decisions of this process: nothing here waits.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Class, Fact};
use super::Pool;
use super::account::{Lifecycle, NONE, Slot};
use super::breaker::Breaker;
use super::event::EventKind;
use super::pick::{Model, Request};
use super::slices::Allowance;
use crate::Timestamp;

/// When a request that waits for an answer of the driver looks again, in milliseconds.
pub(super) const ASK_MS: u64 = 20;
/// When a question that was not answered is asked again, in milliseconds.
const ASK_AGAIN_MS: u64 = 1_000;
/// How many questions one pick asks.
const ASKS_A_PICK: usize = 2;

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
    entries: BTreeMap<Subject, Entry>,
    asks: BTreeSet<Ask>,
    /// What could be probed, if this process may.
    awaiting: BTreeSet<Subject>,
    /// What this process may probe, until when.
    granted: BTreeMap<Subject, Timestamp>,
    /// What this process probes now, and since when.
    probing: BTreeMap<Subject, Timestamp>,
    /// What was asked for, and when to ask again.
    asked: BTreeMap<Ask, Timestamp>,
    /// Whether a driver answers.
    connected: bool,
    /// Whose quota could be used, if there were a slice of it.
    pub(super) starved: BTreeSet<Slot>,
    pub(super) allowances: Vec<Option<Allowance>>,
    pub(super) slice_ms: u64,
    /// The most tokens of a request that found no slice.
    pub(super) need: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    epoch: Timestamp,
    /// When something failed last, as far as this process knows.
    failed_at: Timestamp,
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
    fn end_probe(&mut self, subject: Subject) {
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

    /// The name of a subject, the same in every process.
    pub fn subject_name(&self, subject: Subject) -> Option<String> {
        Some(match subject {
            Subject::Account(slot) => format!("a\u{1f}{}", self.id(slot)?),
            Subject::Model(slot, model) => {
                let model = self.model_name(model.0)?;
                format!("m\u{1f}{}\u{1f}{model}", self.id(slot)?)
            }
            Subject::Credential(slot) => {
                let id = self.id(slot)?;
                format!(
                    "c\u{1f}{id}\u{1f}{}",
                    self.cold[slot.index as usize].revision
                )
            }
            Subject::Provider(number) => format!("p\u{1f}{}", self.provider_name(number)?),
        })
    }

    /// The subject of a name, if this pool has it: another process may have accounts that this one
    /// does not have, or know a credential that is older.
    pub fn find_subject(&mut self, name: &str) -> Option<Subject> {
        let mut parts = name.split('\u{1f}');
        let (kind, id, more) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        match (kind, more) {
            ("a", None) => Some(Subject::Account(self.find(id)?)),
            ("m", Some(model)) => {
                let slot = self.find(id)?;
                let model = self.model(model);
                (model != Model::ANY).then_some(Subject::Model(slot, model))
            }
            ("c", Some(revision)) => {
                let slot = self.find(id)?;
                let own = self.cold[slot.index as usize].revision;
                (revision.parse() == Ok(own)).then_some(Subject::Credential(slot))
            }
            ("p", None) => {
                let number = self.provider_names.find(id)?;
                Some(Subject::Provider(u16::try_from(number).ok()?))
            }
            _ => None,
        }
    }

    /// What this pool knows about a subject. `None`: it is not there, or the pool is not shared.
    pub fn fact(&self, subject: Subject) -> Option<Fact> {
        let entry = self.peers.as_ref()?.entries.get(&subject);
        let Entry { epoch, failed_at } = entry.copied().unwrap_or_default();
        let of_breaker = |breaker: Breaker| Fact {
            epoch,
            until: breaker.until,
            class: breaker.reason.filter(|_| breaker.until > 0),
            level: breaker.level(),
            lifecycle: Lifecycle::Active,
            failed_at,
        };
        match subject {
            Subject::Account(slot) | Subject::Model(slot, _) | Subject::Credential(slot)
                if !self.holds(slot) =>
            {
                None
            }
            Subject::Account(slot) => Some(of_breaker(self.accounts[slot.index as usize].breaker)),
            Subject::Model(slot, model) => {
                let state = self.find_state(slot.index, model.0);
                let breaker = state.map(|state| self.states[state as usize].breaker);
                Some(of_breaker(breaker.unwrap_or_default()))
            }
            Subject::Credential(slot) => Some(Fact {
                epoch,
                lifecycle: self.accounts[slot.index as usize].lifecycle,
                failed_at,
                ..Fact::default()
            }),
            Subject::Provider(number) => {
                let breaker = &self.providers.get(number as usize)?.breaker;
                Some(Fact {
                    epoch,
                    until: breaker.until(),
                    class: (breaker.until() > 0).then_some(Class::Overloaded),
                    level: breaker.level(),
                    lifecycle: Lifecycle::Active,
                    failed_at,
                })
            }
        }
    }

    /// Everything that this pool knows and others should: for a server that has forgotten it.
    pub fn facts(&self) -> Vec<(Subject, Fact)> {
        let mut subjects: BTreeSet<Subject> = BTreeSet::new();
        if let Some(peers) = &self.peers {
            subjects.extend(peers.entries.keys());
        }
        for slot in self.slots() {
            subjects.extend([Subject::Account(slot), Subject::Credential(slot)]);
            let mut place = self.accounts[slot.index as usize].scopes;
            while let Some(state) = self.states.get(place as usize) {
                subjects.insert(Subject::Model(slot, Model(state.model)));
                place = state.next;
            }
        }
        subjects.extend((0..self.providers.len() as u16).map(Subject::Provider));
        let known = subjects
            .into_iter()
            .filter_map(|subject| Some((subject, self.fact(subject)?)));
        known.filter(|(_, fact)| !fact.is_empty()).collect()
    }

    /// Takes over what another process knows. Facts may come in any order and more than once.
    /// Answers whether anything changed here.
    pub fn learn(&mut self, now: Timestamp, subject: Subject, fact: Fact) -> bool {
        let now = self.advance(now);
        let before = self.fact(subject);
        if before.is_some_and(|known| known.join(fact) == known && fact.epoch == known.epoch) {
            return false;
        }
        let known = match subject {
            Subject::Account(slot) | Subject::Credential(slot) => self.holds(slot),
            Subject::Model(slot, model) => {
                self.holds(slot) && model.0 > 0 && (model.0 as usize) < self.models.len()
            }
            Subject::Provider(number) => (number as usize) < self.providers.len(),
        };
        let Some(peers) = self.peers.as_mut().filter(|_| known) else {
            return false;
        };
        let entry = peers.entries.entry(subject).or_default();
        if fact.epoch < entry.epoch {
            // Whoever says so has not heard of it yet.
            peers.asks.insert(Ask::Tell(subject));
            return false;
        }
        let newer = fact.epoch > entry.epoch;
        // A success is no news of what failed after its request was admitted.
        let ends = newer && entry.failed_at <= fact.epoch;
        let failed = fact.failed_at > entry.failed_at;
        if ends {
            entry.failed_at = 0;
        }
        entry.epoch = fact.epoch;
        entry.failed_at = entry.failed_at.max(fact.failed_at);
        if newer && !ends {
            peers.asks.insert(Ask::Tell(subject));
        }
        if ends {
            peers.end_probe(subject);
        }
        match subject {
            Subject::Account(slot) => self.learn_breaker(slot, 0, ends, fact, now),
            Subject::Model(slot, model) => self.learn_breaker(slot, model.0, ends, fact, now),
            Subject::Credential(slot) => self.learn_credential(slot, ends, fact, now),
            Subject::Provider(number) => self.learn_provider(number, ends, fact, now),
        }
        if failed {
            self.outdate(subject);
        }
        self.fact(subject) != before
    }

    /// What was admitted here before another process saw a failure says nothing against it.
    fn outdate(&mut self, subject: Subject) {
        let (slot, model) = match subject {
            Subject::Account(slot) => (slot, 0),
            Subject::Model(slot, model) => (slot, model.0),
            _ => return,
        };
        self.epoch += 1;
        let epoch = self.epoch;
        if let Some(breaker) = self.breaker_mut(slot.index, model) {
            breaker.failed_elsewhere(epoch);
        }
    }

    fn learn_breaker(&mut self, slot: Slot, model: u32, ends: bool, fact: Fact, now: Timestamp) {
        let index = slot.index;
        if ends {
            self.end_rest(slot, model, fact, now);
        }
        let class = fact.class.unwrap_or(Class::Unknown);
        if fact.until > self.rests_until(index, model) {
            let apart = class == Class::Overloaded
                && fact.until > now
                && self.overloaded(index, now).is_some();
            if apart {
                return;
            }
            self.rest(slot, model, fact.until, class, now);
            if class == Class::Overloaded {
                let provider = self.accounts[index as usize].provider;
                self.providers[provider as usize].cooled.put(index, true);
            }
        }
        if let Some(breaker) = self.breaker_mut(index, model) {
            breaker.learn(fact.level);
        }
        self.look_at_subject(subject_of(slot, model), now);
    }

    /// Another process was served.
    fn end_rest(&mut self, slot: Slot, model: u32, fact: Fact, now: Timestamp) {
        let index = slot.index;
        let Some(breaker) = self.breaker_mut(index, model) else {
            return;
        };
        let was_open = breaker.until > now && fact.until <= now;
        breaker.close_at(fact.level);
        let clean = breaker.is_clean();
        if model == 0 {
            self.accounts[index as usize].ramp_from = now.max(1);
        } else if clean {
            self.drop_state(index, model);
        }
        if was_open {
            let model = (model != 0).then_some(model);
            self.events.add(now, EventKind::Recovered { slot, model });
        }
    }

    fn rests_until(&self, index: u32, model: u32) -> Timestamp {
        match model {
            0 => self.accounts[index as usize].breaker.until,
            _ => {
                let state = self.find_state(index, model);
                state.map_or(0, |state| self.states[state as usize].breaker.until)
            }
        }
    }

    fn breaker_mut(&mut self, index: u32, model: u32) -> Option<&mut Breaker> {
        match model {
            0 => Some(&mut self.accounts[index as usize].breaker),
            _ => {
                let state = self.find_state(index, model)?;
                Some(&mut self.states[state as usize].breaker)
            }
        }
    }

    fn learn_credential(&mut self, slot: Slot, ends: bool, fact: Fact, now: Timestamp) {
        let lifecycle = self.accounts[slot.index as usize].lifecycle;
        if ends && lifecycle != Lifecycle::Active && fact.lifecycle == Lifecycle::Active {
            self.renew_credential(slot, now);
            return;
        }
        match (lifecycle, fact.lifecycle) {
            (Lifecycle::Active, Lifecycle::NeedsRefresh) => {
                self.accounts[slot.index as usize].lifecycle = Lifecycle::NeedsRefresh;
                self.look(slot.index, now);
                self.events.add(now, EventKind::NeedsRefresh { slot });
            }
            (Lifecycle::Active | Lifecycle::NeedsRefresh, Lifecycle::Dead) => {
                self.bury(slot, now);
            }
            _ => {}
        }
    }

    fn learn_provider(&mut self, number: u16, ends: bool, fact: Fact, now: Timestamp) {
        let provider = &mut self.providers[number as usize];
        if ends && provider.breaker.close() {
            let provider = number;
            self.events.add(now, EventKind::ProviderClosed { provider });
        }
        let provider = &mut self.providers[number as usize];
        if fact.until > provider.breaker.until() && fact.level > 0 {
            provider.breaker.learn(fact.until, fact.level);
            for index in std::mem::take(&mut provider.cooled).iter() {
                self.lift_overload(index, now);
            }
            let (provider, until) = (number, fact.until);
            if until > now {
                self.events
                    .add(now, EventKind::ProviderOpened { provider, until });
            }
        }
        self.provider_changed();
    }

    /// Something failed here: others should know.
    #[inline]
    pub(super) fn failed_here(&mut self, subject: Subject, now: Timestamp) {
        if let Some(peers) = &mut self.peers {
            let entry = peers.entries.entry(subject).or_default();
            entry.failed_at = now.max(1);
            peers.asks.insert(Ask::Tell(subject));
        }
    }

    /// What was known is over: a request that was admitted then was served.
    #[inline]
    pub(super) fn ended_here(&mut self, subject: Subject, admitted: Timestamp) {
        if let Some(peers) = &mut self.peers {
            let entry = peers.entries.entry(subject).or_default();
            entry.epoch = admitted.max(entry.epoch.saturating_add(1));
            entry.failed_at = 0;
            peers.asks.insert(Ask::Tell(subject));
            peers.end_probe(subject);
        }
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

    /// When to look again at something that could be probed, if this process may not.
    #[inline]
    pub(super) fn awaits(&self, subject: Subject, now: Timestamp) -> Option<Timestamp> {
        let peers = self.peers.as_ref().filter(|peers| peers.connected)?;
        let granted = peers
            .granted
            .get(&subject)
            .is_some_and(|until| *until > now);
        (!granted).then(|| now.saturating_add(ASK_MS))
    }

    /// Says that something could be probed, or not.
    pub(super) fn set_awaiting(&mut self, subject: Subject, awaiting: bool) {
        if let Some(peers) = &mut self.peers {
            if awaiting {
                peers.awaiting.insert(subject);
            } else if !peers.awaiting.is_empty() {
                peers.awaiting.remove(&subject);
            }
        }
    }

    /// Somebody asks for an account: what could serve, if the driver let it?
    #[inline]
    pub(super) fn ask_around(&mut self, request: &Request<'_>, now: Timestamp) {
        if let Some(peers) = &self.peers
            && peers.connected
            && !(peers.awaiting.is_empty() && peers.starved.is_empty())
        {
            self.ask_for(request, now);
        }
    }

    /// A request could go if its provider might be probed.
    pub(super) fn ask_for_provider(&mut self, index: u32, now: Timestamp) {
        let provider = Subject::Provider(self.accounts[index as usize].provider);
        if let Some(peers) = &mut self.peers
            && peers.connected
            && peers.awaiting.contains(&provider)
        {
            peers.ask(Ask::Probe(provider), now);
        }
    }

    #[cold]
    fn ask_for(&mut self, request: &Request<'_>, now: Timestamp) {
        let (model, exclude) = (request.model.0, request.exclude);
        let tokens = self.expected_tokens(model, request.tokens, false);
        let Some(peers) = &self.peers else {
            return;
        };
        let free = |ask: &Ask| peers.asked.get(ask).is_none_or(|again| *again <= now);
        let fits = |subject: &&Subject| match subject {
            Subject::Model(slot, of) => of.0 == model && !exclude.contains(slot),
            Subject::Account(slot) => !exclude.contains(slot),
            _ => true,
        };
        // A right that could not be used now would only keep others from probing.
        let useful = |subject: &&Subject| match subject {
            Subject::Account(slot) | Subject::Model(slot, _) => {
                self.only_awaits(slot.index, model, tokens, now)
            }
            _ => true,
        };
        let probes = peers.awaiting.iter().filter(fits).filter(useful);
        let probes = probes.map(|subject| Ask::Probe(*subject)).filter(free);
        let starved = peers.starved.iter().filter(|slot| !exclude.contains(slot));
        let slices = starved.map(|slot| Ask::Slice(*slot)).filter(free);
        let asks: Vec<Ask> = probes
            .take(ASKS_A_PICK)
            .chain(slices.take(ASKS_A_PICK))
            .collect();
        if let Some(peers) = &mut self.peers {
            if !peers.starved.is_empty() {
                peers.need = peers.need.max(tokens);
            }
            asks.into_iter().for_each(|ask| peers.ask(ask, now));
        }
    }

    /// Whether an account could serve if its driver allowed it to.
    fn only_awaits(&self, index: u32, model: u32, tokens: u32, now: Timestamp) -> bool {
        let account = &self.accounts[index as usize];
        let settings = &self.settings;
        let state = self.model_state(index, model);
        let budget = self.budgets.get(account.budget as usize);
        account.serves()
            && account.inflight < account.capacity()
            && account.breaker.blocked(now, settings).is_none()
            && state.is_none_or(|state| state.breaker.blocked(now, settings).is_none())
            && budget.is_none_or(|budget| budget.wait(now, tokens).is_none())
            && self.providers[account.provider as usize]
                .breaker
                .blocked(now)
                .is_none()
    }

    /// This process may probe, until then.
    pub fn grant(&mut self, now: Timestamp, subject: Subject, until: Timestamp) {
        let now = self.advance(now);
        if let Some(peers) = &mut self.peers {
            peers.answered(Ask::Probe(subject));
            peers.granted.insert(subject, until);
            self.look_at_subject(subject, now);
        }
    }

    /// This process does not probe, though it may.
    pub fn give_up(&mut self, now: Timestamp, subject: Subject) {
        let now = self.advance(now);
        if let Some(peers) = &mut self.peers {
            peers.granted.remove(&subject);
            self.look_at_subject(subject, now);
        }
    }

    /// Another process probes, until then at most; zero: none does any more.
    pub fn deny(&mut self, now: Timestamp, subject: Subject, until: Timestamp) {
        let now = self.advance(now);
        let Some(peers) = &mut self.peers else {
            return;
        };
        let settings = self.settings;
        let lease = settings.probe_lease_ms;
        let own = peers.probing.get(&subject);
        if own.is_some_and(|since| since.saturating_add(lease) > now) {
            return;
        }
        peers.answered(Ask::Probe(subject));
        peers.granted.remove(&subject);
        match subject {
            Subject::Account(slot) | Subject::Model(slot, _) if self.holds(slot) => {
                let model = match subject {
                    Subject::Model(_, model) => model.0,
                    _ => 0,
                };
                if let Some(breaker) = self.breaker_mut(slot.index, model) {
                    breaker.probed_elsewhere(now, until, &settings);
                }
            }
            Subject::Provider(number) => {
                if let Some(provider) = self.providers.get_mut(number as usize) {
                    provider.breaker.probed_elsewhere(until);
                }
            }
            _ => return,
        }
        self.look_at_subject(subject, now);
    }

    /// The grants that nobody used for so many milliseconds: others may probe instead.
    pub fn take_unused_grants(&mut self, now: Timestamp, unused_ms: u64) -> Vec<Subject> {
        let latest = now.saturating_add(self.settings.probe_lease_ms);
        let latest = latest.saturating_sub(unused_ms);
        let Some(peers) = &mut self.peers else {
            return Vec::new();
        };
        let over = peers.granted.iter().filter(|(_, until)| **until <= latest);
        let over: Vec<Subject> = over.map(|(subject, _)| *subject).collect();
        peers.granted.retain(|_, until| *until > latest);
        for subject in &over {
            self.look_at_subject(*subject, now);
        }
        over
    }

    /// A request goes as a probe.
    pub(super) fn use_grant(&mut self, subject: Subject, now: Timestamp) {
        if let Some(peers) = &mut self.peers {
            peers.granted.remove(&subject);
            peers.probing.insert(subject, now);
        }
    }

    /// A probe is over.
    pub(super) fn probe_done(&mut self, subject: Subject, admitted: Timestamp) {
        if let Some(peers) = &mut self.peers
            && peers.probing.get(&subject) == Some(&admitted)
        {
            peers.end_probe(subject);
        }
    }

    fn look_at_subject(&mut self, subject: Subject, now: Timestamp) {
        match subject {
            Subject::Account(slot) | Subject::Credential(slot) if self.holds(slot) => {
                self.look(slot.index, now);
            }
            Subject::Model(slot, model) if self.holds(slot) => {
                self.look_at_model(slot.index, model.0, now);
            }
            Subject::Provider(_) => self.provider_changed(),
            _ => {}
        }
    }
}

/// The subject that a breaker is about.
pub(super) const fn subject_of(slot: Slot, model: u32) -> Subject {
    match model {
        0 => Subject::Account(slot),
        model => Subject::Model(slot, Model(model)),
    }
}
