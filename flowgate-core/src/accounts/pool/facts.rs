//! What is known about an account, a model, a credential or a provider, as facts that processes join.

use std::collections::BTreeSet;

use super::super::{Class, Fact};
use super::Pool;
use super::account::{Lifecycle, Slot};
use super::breaker::Breaker;
use super::event::EventKind;
use super::peers::{Ask, Entry, Subject, subject_of};
use super::pick::Model;
use crate::Timestamp;

impl Pool {
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
            failures: breaker.failures(),
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
                    failures: 0,
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
            breaker.learn(fact.level, fact.failures);
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
        breaker.close_at(fact.level, fact.failures);
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

    pub(super) fn breaker_mut(&mut self, index: u32, model: u32) -> Option<&mut Breaker> {
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
}
