//! What an answer changes.

use serde::{Deserialize, Serialize};

use super::super::{Action, Answer, Class, Classification, QuotaView, Rules, Scope, classify};
use super::Pool;
use super::account::{Lifecycle, Slot};
use super::breaker::Failure;
use super::event::EventKind;
use super::names::mix;
use super::peers::{Subject, subject_of};
use super::permits::{Permit, Underway};
use crate::Timestamp;

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    /// What the answer means.
    pub answer: Classification,
    /// What its headers say about quota, unless [`Pool::on_headers`] was told already.
    pub quota: Option<&'a QuotaView>,
    /// How many tokens it really took, where that is known.
    pub tokens: Option<u32>,
}

impl Outcome<'_> {
    /// It was served.
    pub const fn ok(tokens: Option<u32>) -> Self {
        Self {
            answer: Classification {
                class: Class::Ok,
                scope: Scope::None,
                action: Action::Done,
                cooldown_ms: None,
            },
            quota: None,
            tokens,
        }
    }
}

impl From<Classification> for Outcome<'_> {
    fn from(answer: Classification) -> Self {
        Self {
            answer,
            quota: None,
            tokens: None,
        }
    }
}

/// What the pool made of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The account. `None`: the permit was reported before, or lost; nothing changed.
    pub slot: Option<Slot>,
    /// What kind of answer it was. The pool may know better than the answer alone shows: a refusal
    /// without a reason, while there is quota and others are under way, is about concurrency.
    pub class: Class,
    /// What to do with the request.
    pub action: Action,
    /// Until when the account, the model or the provider is left alone because of it.
    pub until: Option<Timestamp>,
}

impl Pool {
    /// The headers of an answer came: what they say about quota, and whether the request is served
    /// (`accepted`: a status of success) though its end may be minutes away. A probe ends here.
    pub fn on_headers(
        &mut self,
        now: Timestamp,
        permit: &Permit,
        accepted: bool,
        quota: &QuotaView,
    ) {
        let now = self.advance(now);
        let Some(underway) = self.permits.get_mut(permit.id) else {
            return;
        };
        let first = accepted && !underway.accepted;
        underway.accepted |= accepted;
        let underway = *underway;
        self.learn_quota(&underway, quota, now);
        if first && self.holds(underway.slot) {
            self.release_probes(&underway, now);
            self.served(&underway, now);
        }
    }

    /// The request is over. The permit is consumed; a permit that was lost changes nothing.
    pub fn report(&mut self, now: Timestamp, permit: Permit, outcome: &Outcome<'_>) -> Verdict {
        let now = self.advance(now);
        let answer = outcome.answer;
        let mut verdict = Verdict {
            slot: None,
            class: answer.class,
            action: answer.action,
            until: None,
        };
        let Some(underway) = self.permits.take(permit.id) else {
            return verdict;
        };
        if !self.holds(underway.slot) {
            return verdict;
        }
        verdict.slot = Some(underway.slot);
        let index = underway.slot.index;
        self.leave_account(index, now);
        // At the headers, what it was the probe of was given back; another may have it by now.
        if !underway.accepted {
            self.release_probes(&underway, now);
        }
        if let Some(quota) = outcome.quota {
            self.learn_quota(&underway, quota, now);
        }
        self.settle_charge(&underway, outcome, now);
        self.apply(&underway, answer, &mut verdict, now);
        verdict
    }

    /// The request is over, and this is what came back: [`classify`], what the headers say about
    /// quota, and [`report`](Self::report) in one call. The provider is that of the account.
    ///
    /// * `tokens`: how many it really took, where that is known.
    ///
    /// # Example
    ///
    /// ```
    /// use flowgate_core::accounts::{AccountSpec, Answer, Class, Pick, Pool, Request, Rules, Settings};
    ///
    /// let now = 1_700_000_000_000;
    /// let mut pool = Pool::new(Settings::default());
    /// pool.upsert(&AccountSpec::new("work", "openai"), now);
    /// let Pick::Use(permit) = pool.pick(now, &Request::default()) else { panic!("it is free") };
    ///
    /// let headers = [("retry-after", "30")];
    /// let answer = Answer { status: Some(429), headers: &headers, ..Answer::default() };
    /// let verdict = pool.answered(now + 200, permit, &answer, None, &Rules::default());
    /// assert_eq!(verdict.class, Class::Rate);
    /// assert!(verdict.until >= Some(now + 30_200));
    /// ```
    pub fn answered(
        &mut self,
        now: Timestamp,
        permit: Permit,
        answer: &Answer<'_>,
        tokens: Option<u32>,
        rules: &Rules,
    ) -> Verdict {
        let provider = self.provider_of(permit.slot()).unwrap_or(answer.provider);
        let meaning = classify(
            &Answer {
                provider,
                ..*answer
            },
            now,
            rules,
        );
        let quota = QuotaView::from_headers(answer.headers, now);
        let outcome = Outcome {
            answer: meaning,
            quota: (!quota.is_empty()).then_some(&quota),
            tokens,
        };
        self.report(now, permit, &outcome)
    }

    /// One request less is under way.
    fn leave_account(&mut self, index: u32, now: Timestamp) {
        let account = &mut self.accounts[index as usize];
        let was_full = account.inflight >= account.capacity();
        account.inflight = account.inflight.saturating_sub(1);
        if was_full || account.ramp_from != 0 {
            self.look(index, now);
        }
    }

    /// A permit of which nothing was heard.
    pub(super) fn lose(&mut self, id: u64) {
        let now = self.now;
        let Some(underway) = self.permits.take(id) else {
            return;
        };
        if !self.holds(underway.slot) {
            return;
        }
        self.leave_account(underway.slot.index, now);
        if !underway.accepted {
            self.release_probes(&underway, now);
        }
        let slot = underway.slot;
        self.events
            .add(now, EventKind::PermitLost { slot, permit: id });
    }

    /// If it was a probe, another may be one.
    #[inline]
    fn release_probes(&mut self, underway: &Underway, now: Timestamp) {
        if underway.is_probe() {
            self.end_probes(underway, now);
        }
    }

    #[cold]
    fn end_probes(&mut self, underway: &Underway, now: Timestamp) {
        let index = underway.slot.index;
        let settings = self.settings;
        if underway.probe {
            let account = &mut self.accounts[index as usize];
            account.breaker.release(underway.at, &settings);
            self.probe_done(Subject::Account(underway.slot), underway.at);
            self.look(index, now);
        }
        if underway.model_probe {
            if let Some(state) = self.model_state_mut(index, underway.model) {
                state.breaker.release(underway.at, &settings);
            }
            self.probe_done(subject_of(underway.slot, underway.model), underway.at);
            self.look_at_model(index, underway.model, now);
        }
        if underway.provider_probe {
            let provider = self.accounts[index as usize].provider;
            let breaker = &mut self.providers[provider as usize].breaker;
            breaker.release(underway.at, settings.probe_lease_ms);
            self.probe_done(Subject::Provider(provider), underway.at);
            self.provider_changed();
        }
    }

    pub(super) fn provider_changed(&mut self) {
        self.apart_until = 0;
        self.waiting.forget();
    }

    /// What the answer means for the account, its model or its provider.
    #[inline]
    fn apply(
        &mut self,
        underway: &Underway,
        answer: Classification,
        verdict: &mut Verdict,
        now: Timestamp,
    ) {
        match answer.class {
            Class::Ok => {
                if !underway.accepted {
                    self.served(underway, now);
                }
                self.retries_left = (self.retries_left + 1).min(self.settings.retry.budget);
            }
            Class::ClientCancelled
            | Class::RequestFault
            | Class::Entitlement
            | Class::Windowless => {}
            Class::AuthDead => self.kill(underway.slot, now),
            _ => self.failed(underway, answer, verdict, now),
        }
        if underway.provider_probe && !underway.accepted && answer.class.is_refusal() {
            let provider = self.accounts[underway.slot.index as usize].provider;
            self.served_provider(provider, now);
        }
    }

    /// A request was served: what was open because of older failures closes.
    #[inline]
    fn served(&mut self, underway: &Underway, now: Timestamp) {
        let slot = underway.slot;
        let index = slot.index;
        let account = &mut self.accounts[index as usize];
        let stale = account.breaker.outdates(underway.epoch);
        let provider = account.provider;
        if !account.breaker.is_clean() {
            let before = account.breaker;
            let recovered = account.breaker.succeed(underway.epoch);
            let calmer = account.breaker.is_calmer_than(before);
            if recovered {
                account.ramp_from = now.max(1);
            }
            if recovered || calmer {
                self.ended_here(Subject::Account(slot), underway.at);
            }
            if recovered {
                self.events
                    .add(now, EventKind::Recovered { slot, model: None });
            }
            self.look(index, now);
        }
        if !stale {
            self.trust_again(underway, now);
        }
        self.served_model(underway, now);
        self.unlearn_cap(index, now);
        self.served_provider(provider, now);
    }

    fn served_provider(&mut self, provider: u16, now: Timestamp) {
        let breaker = &mut self.providers[provider as usize].breaker;
        let (was_doubted, was_open) = (breaker.is_doubted(), breaker.is_open());
        let is_closed = breaker.close();
        let is_trusted = !breaker.is_doubted();
        if was_open {
            self.provider_changed();
        }
        if is_closed {
            self.events.add(now, EventKind::ProviderClosed { provider });
        }
        if was_doubted && is_trusted && self.is_shared() {
            self.ended_here(Subject::Provider(provider), now);
        }
    }

    fn served_model(&mut self, underway: &Underway, now: Timestamp) {
        let (index, model) = (underway.slot.index, underway.model);
        let Some(state) = self.model_state_mut(index, model) else {
            return;
        };
        let before = state.breaker;
        let recovered = state.breaker.succeed(underway.epoch);
        let calmer = state.breaker.is_calmer_than(before);
        if state.breaker.is_clean() {
            self.drop_state(index, model);
        }
        self.look_at_model(index, model, now);
        if recovered || calmer {
            self.ended_here(subject_of(underway.slot, model), underway.at);
        }
        if recovered {
            let (slot, model) = (underway.slot, Some(model));
            self.events.add(now, EventKind::Recovered { slot, model });
        }
    }

    /// A failure of the account, of one of its models, or of the provider.
    fn failed(
        &mut self,
        underway: &Underway,
        answer: Classification,
        verdict: &mut Verdict,
        now: Timestamp,
    ) {
        if answer.class == Class::Overloaded
            && answer.scope == Scope::Provider
            && let Some(until) = self.overloaded(underway.slot.index, now)
        {
            verdict.until = Some(until);
            return;
        }
        if self.is_concurrency(underway, answer, now) {
            verdict.class = Class::Concurrency;
            self.learn_cap(underway.slot, now);
            return;
        }
        if answer.class == Class::Auth && self.is_renewed(underway) {
            return;
        }
        let model = match answer.scope {
            Scope::Model => underway.model,
            _ => 0,
        };
        self.guess_pace(underway, answer, model, now);
        verdict.until = Some(self.cool(underway, answer, model, now));
        if answer.class == Class::Auth {
            self.needs_refresh(underway, now);
        }
    }

    /// Opens the breaker that a failure is about. Answers until when it is open.
    fn cool(
        &mut self,
        underway: &Underway,
        answer: Classification,
        model: u32,
        now: Timestamp,
    ) -> Timestamp {
        let index = underway.slot.index;
        let settings = self.settings;
        let state = (model != 0).then(|| self.make_state(index, model) as usize);
        let breaker = match state {
            Some(state) => self.states[state].breaker,
            None => self.accounts[index as usize].breaker,
        };
        let (wait, step) = self.wait_after(answer, breaker);
        let same_burst = step && breaker.outdates(underway.epoch) && breaker.until > now;
        if same_burst && answer.class.is_limit() {
            // The wait has begun, and nothing new was learned.
            return breaker.until;
        }
        self.epoch += 1;
        let failure = Failure {
            until: now.saturating_add(wait + self.jitter(index, wait)),
            epoch: self.epoch,
            step: step && !same_burst,
            reason: answer.class,
        };
        let breaker = match state {
            Some(state) => &mut self.states[state].breaker,
            None => &mut self.accounts[index as usize].breaker,
        };
        breaker.fail(now, failure, &settings);
        let until = breaker.until;
        match model {
            0 => self.look(index, now),
            _ => self.look_at_model(index, model, now),
        }
        if answer.class == Class::Overloaded {
            let provider = self.accounts[index as usize].provider;
            self.providers[provider as usize].cooled.put(index, true);
        }
        self.failed_here(subject_of(underway.slot, model), now);
        let (slot, model) = (underway.slot, (model != 0).then_some(model));
        let class = answer.class;
        self.events.add(
            now,
            EventKind::Cooled {
                slot,
                model,
                class,
                until,
            },
        );
        until
    }

    /// How long to stay away, and whether that is a guess that grows.
    fn wait_after(&self, answer: Classification, breaker: super::breaker::Breaker) -> (u64, bool) {
        let settings = &self.settings;
        let guess = |wait: u64| match answer.cooldown_ms {
            Some(stated) => (stated, false),
            None => (wait, true),
        };
        match answer.class {
            class if class.is_limit() => guess(breaker.after_limit(settings.backoff)),
            Class::Auth => (settings.auth_ms, false),
            Class::Payment | Class::Forbidden => (settings.payment_ms, false),
            Class::ModelUnsupported | Class::NotFound => (settings.model_ms, false),
            Class::Challenge => (settings.challenge_ms, false),
            // The next one may hear that it is over: the provider's breaker grows, not this.
            Class::Overloaded => {
                let wait = answer.cooldown_ms;
                (wait.unwrap_or(settings.transient.initial_ms), false)
            }
            _ => guess(breaker.after_failure(settings.transient)),
        }
    }

    /// A little longer, so that many do not come back at once; never shorter.
    fn jitter(&self, index: u32, wait: u64) -> u64 {
        if !self.settings.jitter {
            return 0;
        }
        let most = (wait / 50).min(5_000);
        let salt = u64::from(index) << 32 ^ self.epoch;
        mix(self.settings.seed ^ mix(salt)) % (most + 1)
    }

    /// An account heard that the provider is overloaded. Answers until when all leave it alone, if
    /// they do.
    pub(super) fn overloaded(&mut self, index: u32, now: Timestamp) -> Option<Timestamp> {
        let number = self.accounts[index as usize].provider;
        let enough = self.settings.provider.min_accounts as usize;
        let members = self.providers[number as usize].members.iter();
        let live = members.filter(|member| {
            let account = &self.accounts[*member as usize];
            account.enabled && account.lifecycle != Lifecycle::Dead
        });
        let live = live.take(enough).count();
        let provider = &mut self.providers[number as usize];
        let before = provider.breaker.until();
        let apart = provider
            .breaker
            .overloaded(now, index, live, &self.settings.provider);
        if !apart {
            return None;
        }
        let until = provider.breaker.until();
        for index in std::mem::take(&mut provider.cooled).iter() {
            self.lift_overload(index, now);
        }
        self.provider_changed();
        if until != before {
            self.failed_here(Subject::Provider(number), now);
            let provider = number;
            self.events
                .add(now, EventKind::ProviderOpened { provider, until });
        }
        Some(until)
    }

    /// It was the provider, not the account.
    pub(super) fn lift_overload(&mut self, index: u32, now: Timestamp) {
        let slot = self.slot(index);
        let account = &mut self.accounts[index as usize];
        if account.breaker.reason == Some(Class::Overloaded) {
            account.breaker.close();
            self.ended_here(Subject::Account(slot), now);
            self.look(index, now);
        }
        let mut place = self.accounts[index as usize].scopes;
        while let Some(state) = self.states.get_mut(place as usize) {
            let (model, next) = (state.model, state.next);
            if state.breaker.reason == Some(Class::Overloaded) {
                state.breaker.close();
                self.ended_here(subject_of(slot, model), now);
                self.look_at_model(index, model, now);
            }
            place = next;
        }
    }

    /// The credential is gone for good.
    pub(super) fn kill(&mut self, slot: Slot, now: Timestamp) {
        self.failed_here(Subject::Credential(slot), now);
        self.bury(slot, now);
    }

    /// The credential is gone, as this process or another has seen.
    pub(super) fn bury(&mut self, slot: Slot, now: Timestamp) {
        self.accounts[slot.index as usize].lifecycle = Lifecycle::Dead;
        self.refreshing.remove(&slot.index);
        self.look(slot.index, now);
        self.events.add(now, EventKind::Died { slot });
    }
}
