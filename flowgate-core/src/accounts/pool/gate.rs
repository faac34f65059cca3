//! Who can serve, and when those can that cannot: the truth, and the sets that find it quickly.
//!
//! The sets hold what does not depend on the request. They are corrected whenever something changes
//! and, through timers, when time alone changes it. What depends on the request, which is its
//! tokens, is asked when an account has been found.

use super::account::{Account, ModelState, NONE};
use super::breaker::Breaker;
use super::peers::{Subject, subject_of};
use super::pick::Why;
use super::{Pool, Tier};
use crate::Timestamp;

/// Whether an account can serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not before then.
    Until(Timestamp, Why),
    /// When one of its requests is over.
    Busy,
    /// Not as things are.
    Never(Why),
}

impl Pool {
    /// Time passes: what is due happens. Answers the time, which never goes back.
    #[inline]
    pub(super) fn advance(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        let lease = self.settings.permit_lease_ms;
        let lost = |pool: &Self| {
            let oldest = pool.permits.oldest();
            oldest.is_some_and(|(_, oldest)| oldest.at.saturating_add(lease) <= pool.now)
        };
        if self.timers.next().is_some_and(|at| at <= self.now) || lost(self) {
            self.expire_due();
        }
        self.now
    }

    #[cold]
    fn expire_due(&mut self) -> usize {
        let now = self.now;
        let lease = self.settings.permit_lease_ms;
        let mut lost = 0;
        while let Some((id, underway)) = self.permits.oldest() {
            if underway.at.saturating_add(lease) > now {
                break;
            }
            self.lose(id);
            lost += 1;
        }
        while let Some((_, index, model)) = self.timers.pop(now) {
            self.wake(index, model, now);
        }
        lost
    }

    fn wake(&mut self, index: u32, model: u32, now: Timestamp) {
        let Some(account) = self.accounts.get_mut(index as usize) else {
            return;
        };
        if model == 0 {
            account.timer = Timestamp::MAX;
            self.look(index, now);
        } else {
            if let Some(state) = self.find_state(index, model) {
                self.states[state as usize].timer = Timestamp::MAX;
            }
            self.look_at_model(index, model, now);
        }
    }

    /// Takes back the permits whose lease has ended, and does whatever else is due. Answers how many
    /// permits were lost. Every other method does this too; a host calls it so that events come in
    /// time.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        self.now = self.now.max(now);
        self.expire_due()
    }

    /// Takes back all permits, as if their leases had ended: whoever held them is gone. Answers how
    /// many there were.
    pub fn lose_all(&mut self, now: Timestamp) -> usize {
        self.advance(now);
        let ids: Vec<u64> = self.permits.iter().map(|(id, _)| id).collect();
        ids.iter().for_each(|id| self.lose(*id));
        ids.len()
    }

    /// When something happens by itself next: an account comes back, or a lease ends.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let lease = self.settings.permit_lease_ms;
        let oldest = self.permits.oldest();
        let lost = oldest.map(|(_, underway)| underway.at.saturating_add(lease));
        let providers = self.providers.iter();
        let opens = providers.filter_map(|provider| provider.breaker.blocked(self.now));
        [self.timers.next(), lost]
            .into_iter()
            .flatten()
            .chain(opens)
            .min()
    }

    /// Whether the account itself can serve, whatever the request is.
    #[inline]
    pub(super) fn gate_account(&self, index: u32, now: Timestamp) -> Gate {
        let account = &self.accounts[index as usize];
        if !account.serves() {
            return Gate::Never(Why::Unavailable);
        }
        if account.inflight >= account.capacity() {
            return Gate::Busy;
        }
        let cooled = self.blocked(&account.breaker, index, 0, now);
        match cooled.max(account.ramped(now, &self.settings)) {
            Some(until) => Gate::Until(until, Why::Cooldown),
            None => Gate::Open,
        }
    }

    /// Whether an account can serve a request for that model with that many tokens. Its provider is
    /// not asked.
    pub(super) fn gate(&self, index: u32, model: u32, tokens: u32, now: Timestamp) -> Gate {
        let account = &self.accounts[index as usize];
        let first = self.gate_account(index, now);
        if matches!(first, Gate::Never(_)) {
            return first;
        }
        if self.refuses(index, model) {
            return Gate::Never(Why::NoneMatch);
        }
        if first == Gate::Busy {
            return first;
        }
        let cooled = match first {
            Gate::Until(until, _) => Some(until),
            _ => None,
        };
        let state = self.model_state(index, model);
        let scoped = state.and_then(|state| self.blocked(&state.breaker, index, model, now));
        let spent = self.spent(account, tokens, now);
        match (cooled.max(scoped), spent) {
            (None, None) => Gate::Open,
            (cooled, spent) if spent > cooled => Gate::Until(spent.unwrap_or(now), Why::Budget),
            (cooled, _) => Gate::Until(cooled.unwrap_or(now), Why::Cooldown),
        }
    }

    /// Whether the sets say that an account can serve, its provider included, and its budget does.
    #[inline]
    pub(super) fn is_free(&self, index: u32, model: u32, tokens: u32, now: Timestamp) -> bool {
        let account = &self.accounts[index as usize];
        let tier = |tier: &&super::Tier| tier.tier == account.tier;
        let ready = self.tiers.iter().find(tier);
        ready.is_some_and(|tier| tier.ready.contains(index))
            && !(model != 0 && self.models[model as usize].blocked.contains(index))
            && !self.apart.contains(index)
            && self.spent(account, tokens, now).is_none()
    }

    /// When the budget of an account allows a request, if not now.
    #[inline]
    pub(super) fn spent(
        &self,
        account: &Account,
        tokens: u32,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if account.budget == NONE || !self.settings.admission {
            return None;
        }
        self.spent_of(account.budget, tokens, now)
    }

    fn spent_of(&self, place: u32, tokens: u32, now: Timestamp) -> Option<Timestamp> {
        let budget = self.budgets.get(place as usize)?;
        let wait = budget.wait(now, tokens);
        match self.is_shared() {
            false => wait,
            true => wait.max(self.starves(place, budget, tokens, now)),
        }
    }

    /// Whether an account waits for nothing but a request that finds out whether it, or its provider,
    /// is back.
    pub(super) fn is_probed(&self, index: u32, model: u32, now: Timestamp) -> bool {
        let account = &self.accounts[index as usize];
        let scoped = self.model_state(index, model).map(|state| &state.breaker);
        let provider = &self.providers[account.provider as usize].breaker;
        let own = [Some(&account.breaker), scoped].into_iter().flatten();
        let rests = |breaker: &super::breaker::Breaker| breaker.until > now;
        let waits =
            |breaker: &super::breaker::Breaker| breaker.blocked(now, &self.settings).is_some();
        !own.clone().any(rests)
            && provider.until() <= now
            && (own.clone().any(waits) || provider.blocked(now).is_some())
    }

    /// Whether an account never serves a model.
    fn refuses(&self, index: u32, model: u32) -> bool {
        let models = || self.lists.get(self.cold[index as usize].models);
        model != 0 && models().is_some_and(|models| !models.contains(&model))
    }

    /// When the provider of an account lets a request through, if not now.
    pub(super) fn provider_wait(&self, account: &Account, now: Timestamp) -> Option<Timestamp> {
        self.provider_blocked(account.provider, now)
    }

    /// When a provider lets a request through, if not now.
    fn provider_blocked(&self, number: u16, now: Timestamp) -> Option<Timestamp> {
        let breaker = &self.providers[number as usize].breaker;
        let blocked = breaker.blocked(now);
        if blocked.is_some() || !self.is_shared() || !breaker.tries(now) {
            return blocked;
        }
        self.awaits(Subject::Provider(number), now)
    }

    /// When a breaker lets a request through, if not now: by itself, or because another process of
    /// those that share the pool is to be the one that tries.
    #[inline]
    fn blocked(
        &self,
        breaker: &Breaker,
        index: u32,
        model: u32,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let blocked = breaker.blocked(now, &self.settings);
        if blocked.is_some() || !self.is_shared() || !breaker.tries(now, &self.settings) {
            return blocked;
        }
        self.awaits(subject_of(self.slot(index), model), now)
    }

    /// Corrects what the sets say about an account.
    pub(super) fn look(&mut self, index: u32, now: Timestamp) {
        self.waiting.forget();
        let mut gate = self.gate_account(index, now);
        let account = &self.accounts[index as usize];
        let tier = account.tier;
        if gate == Gate::Open
            && let Some(until) = self.spent(account, 0, now)
        {
            gate = Gate::Until(until, Why::Budget);
        }
        self.put_ready(tier, index, gate == Gate::Open);
        if self.is_shared() && self.waits_for_driver(index, gate, now) {
            return;
        }
        if let Gate::Until(until, _) = gate {
            let account = &mut self.accounts[index as usize];
            if until < account.timer {
                account.timer = until;
                self.timers.add((until, index, 0));
            }
        }
    }

    /// Whether only an answer of the driver is missing: no time will change that.
    fn waits_for_driver(&mut self, index: u32, gate: Gate, now: Timestamp) -> bool {
        let slot = self.slot(index);
        let account = &self.accounts[index as usize];
        let until = |why| matches!(gate, Gate::Until(_, of) if of == why);
        let cooled = account.breaker.blocked(now, &self.settings);
        let ramped = account.ramped(now, &self.settings);
        let awaits = until(Why::Cooldown) && cooled.is_none() && ramped.is_none();
        let budget = self.budgets.get(account.budget as usize);
        let spent = budget.and_then(|budget| budget.wait(now, 0));
        let starves = until(Why::Budget) && spent.is_none();
        self.set_awaiting(Subject::Account(slot), awaits);
        self.set_starved(slot, starves);
        awaits || starves
    }

    #[inline]
    pub(super) fn put_ready(&mut self, tier: u8, index: u32, ready: bool) {
        match self.tiers.binary_search_by_key(&tier, |tier| tier.tier) {
            Ok(place) => self.tiers[place].ready.put(index, ready),
            Err(_) if !ready => {}
            Err(place) => {
                let mut new = Tier {
                    tier,
                    ..Tier::default()
                };
                new.ready.put(index, true);
                self.tiers.insert(place, new);
            }
        }
    }

    /// Corrects what the sets say about one model of an account.
    pub(super) fn look_at_model(&mut self, index: u32, model: u32, now: Timestamp) {
        self.waiting.forget();
        if model == 0 {
            return;
        }
        let state = self.find_state(index, model);
        let breaker = state.map(|state| self.states[state as usize].breaker);
        let until = breaker.and_then(|breaker| self.blocked(&breaker, index, model, now));
        let blocked = until.is_some() || self.refuses(index, model);
        let sets = &mut self.models[model as usize];
        sets.blocked.put(index, blocked);
        sets.stateful.put(index, state.is_some());
        if self.is_shared() {
            let own = breaker.and_then(|breaker| breaker.blocked(now, &self.settings));
            let awaits = until.is_some() && own.is_none();
            self.set_awaiting(subject_of(self.slot(index), model), awaits);
            if awaits {
                return;
            }
        }
        if let (Some(until), Some(state)) = (until, state) {
            let state = &mut self.states[state as usize];
            if until < state.timer {
                state.timer = until;
                self.timers.add((until, index, model));
            }
        }
    }

    /// Where the state of one model of an account is, if it has one.
    #[inline]
    pub(super) fn find_state(&self, index: u32, model: u32) -> Option<u32> {
        let mut place = self.accounts[index as usize].scopes;
        while place != NONE {
            let state = &self.states[place as usize];
            if state.model == model {
                return Some(place);
            }
            place = state.next;
        }
        None
    }

    /// The state of one model of an account, if it has one.
    #[inline]
    pub(super) fn model_state(&self, index: u32, model: u32) -> Option<&ModelState> {
        let place = self.known_state(index, model)?;
        self.states.get(place as usize)
    }

    #[inline]
    pub(super) fn model_state_mut(&mut self, index: u32, model: u32) -> Option<&mut ModelState> {
        let place = self.known_state(index, model)?;
        self.states.get_mut(place as usize)
    }

    /// Where the state of one model of an account is: quickly, if it has none.
    #[inline]
    pub(super) fn known_state(&self, index: u32, model: u32) -> Option<u32> {
        let known = model != 0 && self.models[model as usize].stateful.contains(index);
        known.then(|| self.find_state(index, model))?
    }

    /// The state of one model of an account, made if it has none.
    pub(super) fn make_state(&mut self, index: u32, model: u32) -> u32 {
        if let Some(place) = self.find_state(index, model) {
            return place;
        }
        let state = ModelState {
            breaker: super::breaker::Breaker::default(),
            timer: Timestamp::MAX,
            model,
            next: self.accounts[index as usize].scopes,
        };
        let place = match self.free_states.pop() {
            Some(free) => {
                self.states[free as usize] = state;
                free
            }
            None => {
                self.states.push(state);
                (self.states.len() - 1) as u32
            }
        };
        self.accounts[index as usize].scopes = place;
        self.models[model as usize].stateful.put(index, true);
        place
    }

    /// Forgets the state of one model of an account.
    pub(super) fn drop_state(&mut self, index: u32, model: u32) {
        let Some(place) = self.find_state(index, model) else {
            return;
        };
        let next = self.states[place as usize].next;
        let first = self.accounts[index as usize].scopes;
        if first == place {
            self.accounts[index as usize].scopes = next;
        } else {
            let mut before = first;
            while self.states[before as usize].next != place {
                before = self.states[before as usize].next;
            }
            self.states[before as usize].next = next;
        }
        self.free_states.push(place);
        self.models[model as usize].stateful.put(index, false);
    }

    /// Corrects the set of accounts whose provider is left alone.
    pub(super) fn look_at_providers(&mut self, now: Timestamp) {
        self.apart.clear();
        self.apart_until = Timestamp::MAX;
        for number in 0..self.providers.len() as u16 {
            let blocked = self.provider_blocked(number, now);
            let provider = &self.providers[number as usize];
            let awaits = blocked.is_some() && provider.breaker.blocked(now).is_none();
            if let Some(until) = blocked {
                self.apart.extend(&provider.members);
                self.apart_until = self.apart_until.min(until);
            }
            self.set_awaiting(Subject::Provider(number), awaits);
        }
    }
}
