//! What the pool learns about quota: from headers, from usage endpoints, and from refusals.

use super::super::{Class, Classification, QuotaView};
use super::Pool;
use super::account::{NONE, Slot};
use super::breaker::Failure;
use super::event::EventKind;
use super::peers::{Subject, subject_of};
use super::permits::Underway;
use super::pick::Model;
use super::report::Outcome;
use crate::Timestamp;

/// How many requests a provider that refused more may be given at least.
const LEAST_CAP: u16 = 1;

impl Pool {
    /// Takes over what a usage endpoint, or a frame of a stream, says about an account's quota.
    ///
    /// An account that rests because its quota was spent serves again if the quota is there. One
    /// whose window is spent rests until that is reset.
    pub fn observe_quota(&mut self, now: Timestamp, slot: Slot, view: &QuotaView) -> bool {
        let now = self.advance(now);
        if !self.holds(slot) {
            return false;
        }
        let budget = self.make_budget(slot.index);
        self.budgets[budget as usize].observe(now, view);
        let whole = || view.windows().filter(|window| !window.window.is_family());
        let spent = whole().filter(|window| window.rejected || window.used >= 1.0);
        let resets = spent.filter_map(|window| window.resets_at);
        match resets.max() {
            Some(until) if until > now && self.rest(slot, 0, until, Class::Quota, now) => {
                self.failed_here(Subject::Account(slot), now);
            }
            Some(_) => {}
            None if whole().next().is_some() => self.quota_is_back(slot, now),
            None => {}
        }
        self.look_at_all(slot.index, now);
        true
    }

    /// Takes over what another process learned: that an account, or one model of it, is to rest
    /// until then. That only lengthens, so facts may come in any order and more than once. Answers
    /// whether anything changed.
    pub fn learn_cooldown(
        &mut self,
        now: Timestamp,
        slot: Slot,
        model: Model,
        until: Timestamp,
        class: Class,
    ) -> bool {
        let now = self.advance(now);
        let known = (model.0 as usize) < self.models.len();
        if until <= now || !known || !self.holds(slot) {
            return false;
        }
        let rests = self.rest(slot, model.0, until, class, now);
        if rests {
            self.failed_here(subject_of(slot, model.0), now);
        }
        rests
    }

    /// An account, or one model of it, rests until then, if it does not rest longer.
    pub(super) fn rest(
        &mut self,
        slot: Slot,
        model: u32,
        until: Timestamp,
        class: Class,
        now: Timestamp,
    ) -> bool {
        let index = slot.index;
        let settings = self.settings;
        let failure = Failure {
            until,
            epoch: self.epoch + 1,
            step: false,
            reason: class,
        };
        let state = (model != 0).then(|| self.make_state(index, model) as usize);
        let breaker = match state {
            Some(state) => &mut self.states[state].breaker,
            None => &mut self.accounts[index as usize].breaker,
        };
        if until <= breaker.until {
            return false;
        }
        breaker.fail(now, failure, &settings);
        self.epoch += 1;
        match model {
            0 => self.look(index, now),
            _ => self.look_at_model(index, model, now),
        }
        let model = (model != 0).then_some(model);
        if until > now {
            let cooled = EventKind::Cooled {
                slot,
                model,
                class,
                until,
            };
            self.events.add(now, cooled);
        }
        true
    }

    fn quota_is_back(&mut self, slot: Slot, now: Timestamp) {
        let breaker = &mut self.accounts[slot.index as usize].breaker;
        if breaker.reason == Some(Class::Quota) && breaker.until > now {
            breaker.close();
            self.ended_here(Subject::Account(slot), now);
            self.events
                .add(now, EventKind::Recovered { slot, model: None });
        }
    }

    /// Corrects the sets for an account and for those that share its budget.
    pub(super) fn look_at_all(&mut self, index: u32, now: Timestamp) {
        let group = self.cold[index as usize].group as usize;
        let Some(members) = self.groups.get(group).map(|group| group.members.len()) else {
            return self.look(index, now);
        };
        for place in 0..members {
            let member = self.groups[group].members[place];
            self.look(member, now);
        }
    }

    /// What the headers of an answer say.
    #[inline]
    pub(super) fn learn_quota(&mut self, underway: &Underway, view: &QuotaView, now: Timestamp) {
        let index = underway.slot.index;
        if !self.holds(underway.slot) || !self.settings.admission || view.is_empty() {
            return;
        }
        let known = self.accounts[index as usize].budget != NONE;
        let place = self.make_budget(index) as usize;
        let budget = &mut self.budgets[place];
        let was_spent = known && budget.wait(now, 0).is_some();
        budget.anchor(now, underway.at, underway.charged, view);
        let is_spent = budget.wait(now, 0).is_some();
        self.waiting.forget();
        self.anchored(underway.slot, place as u32, now);
        if was_spent || is_spent || !known {
            self.look_at_all(index, now);
        }
    }

    /// What a request took in the end.
    #[inline]
    pub(super) fn settle_charge(
        &mut self,
        underway: &Underway,
        outcome: &Outcome<'_>,
        now: Timestamp,
    ) {
        let class = outcome.answer.class;
        if let (Class::Ok, Some(took)) = (class, outcome.tokens) {
            self.learn_estimate(underway, took);
        }
        let budget = self.accounts[underway.slot.index as usize].budget;
        let Some(budget) = self.budgets.get_mut(budget as usize) else {
            return;
        };
        let charged = f64::from(underway.tokens);
        let (requests, tokens) = match class {
            Class::Ok => match outcome.tokens {
                Some(took) => (0.0, charged - f64::from(took)),
                None => (0.0, 0.0),
            },
            // It may have run, in part or whole.
            Class::ClientCancelled | Class::Timeout | Class::ServerError | Class::Unknown => {
                (0.0, 0.0)
            }
            Class::RequestFault | Class::Entitlement => (0.0, charged),
            _ => (1.0, charged),
        };
        if (requests, tokens) != (0.0, 0.0) {
            let was_spent = budget.wait(now, 0).is_some();
            budget.refund(now, underway.charged, requests, tokens);
            let is_spent = budget.wait(now, 0).is_some();
            self.waiting.forget();
            let place = self.accounts[underway.slot.index as usize].budget;
            self.use_allowance(underway.slot, place, [-requests, -tokens], now);
            if was_spent || is_spent {
                self.look_at_all(underway.slot.index, now);
            }
        }
    }

    /// How estimates and reality relate, for the model.
    fn learn_estimate(&mut self, underway: &Underway, took: u32) {
        if underway.estimate == 0 || underway.model as usize >= self.models.len() {
            return;
        }
        let ratio = (took as f32 / underway.estimate as f32).clamp(0.05, 20.0);
        let used = &mut self.models[underway.model as usize].used[usize::from(underway.warm)];
        *used += 0.05 * (ratio - *used);
    }

    /// Whether a refusal is about requests at the same time: no reason is given, there is quota, and
    /// others are under way.
    pub(super) fn is_concurrency(
        &self,
        underway: &Underway,
        answer: Classification,
        now: Timestamp,
    ) -> bool {
        let account = &self.accounts[underway.slot.index as usize];
        let unexplained = answer.class == Class::Rate && answer.cooldown_ms.is_none();
        let budget = self.budgets.get(account.budget as usize);
        unexplained
            && self.settings.admission
            && account.inflight >= 1
            && budget.is_some_and(|budget| budget.has_room(now, underway.tokens))
    }

    /// What is under way now is what the provider allows.
    pub(super) fn learn_cap(&mut self, slot: Slot, now: Timestamp) {
        let account = &mut self.accounts[slot.index as usize];
        let cap = u16::try_from(account.inflight)
            .unwrap_or(u16::MAX)
            .max(LEAST_CAP);
        if account.learned_cap == 0 || cap < account.learned_cap {
            account.learned_cap = cap;
            let cap = cap.into();
            self.events.add(now, EventKind::CapLearned { slot, cap });
        }
        let account = &mut self.accounts[slot.index as usize];
        account.cap_since = seconds(now);
        self.look(slot.index, now);
    }

    /// A request was served: after a while without refusals, one more may be tried.
    pub(super) fn unlearn_cap(&mut self, index: u32, now: Timestamp) {
        let account = &mut self.accounts[index as usize];
        if account.learned_cap == 0 || seconds(now).saturating_sub(account.cap_since) < CAP_QUIET_S
        {
            return;
        }
        account.cap_since = seconds(now);
        account.learned_cap = account.learned_cap.saturating_add(1);
        self.look(index, now);
    }

    /// A refusal without any hint: where nothing is known about quota, send less.
    pub(super) fn guess_pace(
        &mut self,
        underway: &Underway,
        answer: Classification,
        model: u32,
        now: Timestamp,
    ) {
        let unexplained = answer.class == Class::Rate && answer.cooldown_ms.is_none();
        let index = underway.slot.index;
        let account = &self.accounts[index as usize];
        let stale = account.breaker.outdates(underway.epoch);
        if !unexplained || stale || model != 0 || !self.settings.admission {
            return;
        }
        let sent = account.sent.rate(now);
        let budget = self.make_budget(index) as usize;
        self.budgets[budget].slow_down(now, sent);
    }
}

/// After so long without a refusal one more request at a time is tried.
const CAP_QUIET_S: u32 = 60;

fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at / 1_000).unwrap_or(u32::MAX)
}
