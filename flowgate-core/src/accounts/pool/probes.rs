//! Which process probes what comes back: one of all that share the pool.

use super::Pool;
use super::peers::{ASK_MS, Ask, Subject, put};
use super::pick::Request;
use crate::Timestamp;

/// How many questions one pick asks.
const ASKS_A_PICK: usize = 2;

impl Pool {
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
            put(&mut peers.awaiting, subject, awaiting);
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

    pub(super) fn look_at_subject(&mut self, subject: Subject, now: Timestamp) {
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
