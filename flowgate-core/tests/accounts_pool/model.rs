//! A pool that is slow and obvious: every question is answered by looking at everything.
//!
//! It knows failures, probes, canaries, providers, sessions and the simple strategies. It knows no
//! quota, no chance and no waiting for a warm account.

use std::collections::BTreeMap;

use flowgate_core::accounts::{Class, Classification, Scope, Settings, Strategy};

const WHOLE: u32 = 0;

#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    until: u64,
    canary: Option<u64>,
    /// Steps of the backoff after limits, and after failures.
    level: u32,
    failures: u32,
    failed: u64,
    half: bool,
    /// Whose probe it is, and until when.
    probe: Option<(u64, u64)>,
    reason: Option<Class>,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) tier: u8,
    pub(crate) weight: u32,
    pub(crate) max_inflight: u32,
    pub(crate) models: Vec<u32>,
    pub(crate) enabled: bool,
    pub(crate) dead: bool,
    pub(crate) inflight: u32,
    last: u64,
    states: BTreeMap<u32, State>,
}

impl Account {
    pub(crate) fn new(tier: u8, weight: u32, max_inflight: u32, models: Vec<u32>) -> Self {
        Self {
            tier,
            weight,
            max_inflight,
            models,
            enabled: true,
            dead: false,
            inflight: 0,
            last: 0,
            states: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug)]
struct Permit {
    account: usize,
    model: u32,
    at: u64,
    failed: u64,
    accepted: bool,
    /// Whether it finds out if the provider is back.
    asks_provider: bool,
}

#[derive(Clone, Debug, Default)]
struct Provider {
    until: u64,
    level: u32,
    probe: Option<(u64, u64)>,
    seen: BTreeMap<usize, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Use(usize),
    Wait(u64),
    Busy,
    None,
}

pub(crate) struct Model {
    settings: Settings,
    pub(crate) accounts: Vec<Account>,
    permits: BTreeMap<u64, Permit>,
    provider: Provider,
    sessions: BTreeMap<(u64, u32), (usize, u64)>,
    ahead: BTreeMap<usize, i64>,
    last_turn: Option<usize>,
    /// How many permits there were, and how many failures.
    pub(crate) issued: u64,
    failures: u64,
}

enum Ready {
    Now,
    At(u64),
    Busy,
    Never,
}

impl Model {
    pub(crate) fn new(settings: Settings, accounts: Vec<Account>) -> Self {
        Self {
            settings,
            accounts,
            permits: BTreeMap::new(),
            provider: Provider::default(),
            sessions: BTreeMap::new(),
            ahead: BTreeMap::new(),
            last_turn: None,
            issued: 0,
            failures: 0,
        }
    }

    pub(crate) fn expire(&mut self, now: u64) {
        let lease = self.settings.permit_lease_ms;
        let lost: Vec<u64> = self
            .permits
            .iter()
            .filter(|(_, p)| p.at + lease <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let permit = self.permits.remove(&id).unwrap();
            self.accounts[permit.account].inflight -= 1;
            self.release(id, &permit);
        }
    }

    fn ready(&self, index: usize, model: u32, now: u64, exclude: u8) -> Ready {
        let account = &self.accounts[index];
        let listed = account.models.is_empty() || model == WHOLE || account.models.contains(&model);
        let excluded = exclude >> index & 1 != 0;
        if !account.enabled || account.dead || account.weight == 0 || !listed || excluded {
            return Ready::Never;
        }
        if account.inflight >= account.max_inflight {
            return Ready::Busy;
        }
        let mut at = now;
        for scope in [WHOLE, model] {
            let Some(state) = account.states.get(&scope) else {
                continue;
            };
            let probed = state.probe.map_or(0, |(_, until)| until);
            if state.until > now {
                let open = state.until.max(probed);
                let canary = state.canary.map(|canary| canary.max(probed));
                at = at.max(canary.unwrap_or(open).min(open));
            } else if state.half && self.settings.half_open {
                at = at.max(probed);
            }
        }
        if self.provider.until > now {
            at = at.max(self.provider.until);
        } else if self.provider.level > 0 {
            at = at.max(self.provider.probe.map_or(0, |(_, until)| until));
        }
        if at > now { Ready::At(at) } else { Ready::Now }
    }

    pub(crate) fn pick(
        &mut self,
        now: u64,
        model: u32,
        session: Option<u64>,
        exclude: u8,
    ) -> Answer {
        self.expire(now);
        let (mut candidates, mut soonest, mut busy) = (Vec::new(), None, false);
        for index in 0..self.accounts.len() {
            match self.ready(index, model, now, exclude) {
                Ready::Now => candidates.push(index),
                Ready::At(at) => soonest = Some(soonest.map_or(at, |s: u64| s.min(at))),
                Ready::Busy => busy = true,
                Ready::Never => {}
            }
        }
        let bound = session.and_then(|s| self.sessions.get(&(s, model)));
        let bound = bound.filter(|(index, until)| *until > now && candidates.contains(index));
        if let Some((index, _)) = bound {
            let index = *index;
            return self.take(index, now, model, session);
        }
        let Some(tier) = candidates.iter().map(|i| self.accounts[*i].tier).min() else {
            return match soonest {
                Some(at) => Answer::Wait(at),
                None if busy => Answer::Busy,
                None => Answer::None,
            };
        };
        candidates.retain(|i| self.accounts[*i].tier == tier);
        let index = self.choose(&candidates);
        self.take(index, now, model, session)
    }

    fn choose(&mut self, candidates: &[usize]) -> usize {
        let account = |index: &&usize| &self.accounts[**index];
        match self.settings.strategy {
            Strategy::FillFirst => candidates[0],
            Strategy::RoundRobin => {
                let after = |i: &&usize| self.last_turn.is_none_or(|last| **i > last);
                let index = *candidates.iter().find(after).unwrap_or(&candidates[0]);
                self.last_turn = Some(index);
                index
            }
            Strategy::Weighted => {
                self.ahead.retain(|index, _| candidates.contains(index));
                let mut total = 0;
                for index in candidates {
                    let weight = i64::from(self.accounts[*index].weight);
                    *self.ahead.entry(*index).or_default() += weight;
                    total += weight;
                }
                let farthest = *self.ahead.values().max().unwrap();
                let (index, _) = self
                    .ahead
                    .iter()
                    .find(|(_, ahead)| **ahead == farthest)
                    .unwrap();
                let index = *index;
                *self.ahead.get_mut(&index).unwrap() -= total;
                index
            }
            Strategy::LeastInflight => *candidates
                .iter()
                .min_by_key(|i| (account(i).inflight, account(i).last))
                .unwrap(),
            Strategy::Lru => *candidates.iter().min_by_key(|i| account(i).last).unwrap(),
            other => unreachable!("the model does not know {other:?}"),
        }
    }

    fn take(&mut self, index: usize, now: u64, model: u32, session: Option<u64>) -> Answer {
        self.issued += 1;
        let id = self.issued;
        let settings = self.settings;
        let account = &mut self.accounts[index];
        account.inflight += 1;
        account.last = id;
        for (scope, state) in &mut account.states {
            if *scope != WHOLE && *scope != model {
                continue;
            }
            let canary = state.until > now;
            if canary {
                state.canary = Some(now + settings.canary_ms);
                state.half = true;
            }
            if canary || (state.half && settings.half_open) {
                state.probe = Some((id, now + settings.probe_lease_ms));
            }
        }
        if self.provider.level > 0 {
            self.provider.probe = Some((id, now + settings.probe_lease_ms));
        }
        if let Some(session) = session {
            self.sessions
                .insert((session, model), (index, now + settings.affinity.ttl_ms));
        }
        let permit = Permit {
            account: index,
            model,
            at: now,
            failed: self.failures,
            accepted: false,
            asks_provider: self.provider.level > 0,
        };
        self.permits.insert(id, permit);
        Answer::Use(index)
    }

    /// Frees what the permit was the probe of.
    fn release(&mut self, id: u64, permit: &Permit) {
        let states = self.accounts[permit.account].states.values_mut();
        let probes = states
            .map(|state| &mut state.probe)
            .chain([&mut self.provider.probe]);
        for probe in probes {
            if probe.is_some_and(|(owner, _)| owner == id) {
                *probe = None;
            }
        }
    }

    pub(crate) fn headers(&mut self, now: u64, id: u64) {
        self.expire(now);
        let Some(permit) = self.permits.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut permit.accepted, true) {
            return;
        }
        let permit = permit.clone();
        self.release(id, &permit);
        self.served(&permit);
    }

    fn served(&mut self, permit: &Permit) {
        for scope in [WHOLE, permit.model] {
            let Some(state) = self.accounts[permit.account].states.get_mut(&scope) else {
                continue;
            };
            if permit.failed >= state.failed {
                *state = State {
                    level: state.level.saturating_sub(1),
                    failures: state.failures.saturating_sub(1),
                    failed: state.failed,
                    ..State::default()
                };
            }
            if scope == permit.model {
                break;
            }
        }
        self.provider_answered();
    }

    /// Trust comes back in at most three steps, one for each answer.
    fn provider_answered(&mut self) {
        if self.provider.level > 1 {
            self.provider.level = self.provider.level.min(3) - 1;
            self.provider.probe = None;
        } else {
            self.provider = Provider::default();
        }
    }

    pub(crate) fn report(&mut self, now: u64, id: u64, answer: Option<Classification>) {
        self.expire(now);
        let Some(permit) = self.permits.remove(&id) else {
            return;
        };
        self.accounts[permit.account].inflight -= 1;
        self.release(id, &permit);
        let Some(answer) = answer else {
            if !permit.accepted {
                self.served(&permit);
            }
            return;
        };
        match answer.class {
            Class::ClientCancelled
            | Class::RequestFault
            | Class::Entitlement
            | Class::Windowless => {}
            Class::AuthDead => self.accounts[permit.account].dead = true,
            Class::Overloaded
                if answer.scope == Scope::Provider && self.overloaded(now, permit.account) => {}
            _ => self.failed(now, &permit, answer),
        }
        let silent = matches!(
            answer.class,
            Class::ClientCancelled
                | Class::Overloaded
                | Class::Challenge
                | Class::Timeout
                | Class::ServerError
                | Class::Network
                | Class::Unknown
        );
        if permit.asks_provider && !permit.accepted && !silent {
            self.provider_answered();
        }
    }

    fn overloaded(&mut self, now: u64, account: usize) -> bool {
        let settings = self.settings.provider;
        self.provider
            .seen
            .retain(|_, at| now - *at < settings.within_ms);
        self.provider.seen.insert(account, now);
        let live = self
            .accounts
            .iter()
            .filter(|a| a.enabled && !a.dead)
            .count();
        let enough = live.min(settings.min_accounts as usize);
        if self.provider.level == 0 && self.provider.seen.len() < enough {
            return false;
        }
        for state in self.accounts.iter_mut().flat_map(|a| a.states.values_mut()) {
            if state.reason == Some(Class::Overloaded) {
                *state = State {
                    level: state.level,
                    failures: state.failures,
                    failed: state.failed,
                    ..State::default()
                };
            }
        }
        if self.provider.until <= now {
            self.provider.until = now
                + settings
                    .backoff
                    .max_ms
                    .min(settings.backoff.initial_ms << self.provider.level.min(10));
            self.provider.level += 1;
        }
        true
    }

    fn failed(&mut self, now: u64, permit: &Permit, answer: Classification) {
        let settings = self.settings;
        let scope = if answer.scope == Scope::Model {
            permit.model
        } else {
            WHOLE
        };
        let state = self.accounts[permit.account]
            .states
            .entry(scope)
            .or_default();
        let stale = state.failed > permit.failed;
        if answer.class == Class::Auth && stale && state.reason.is_none() {
            return;
        }
        let burst = stale && state.until > now;
        let limit = matches!(
            answer.class,
            Class::Rate | Class::Quota | Class::Concurrency
        );
        let (wait, guess) = match answer.class {
            Class::Auth => (settings.auth_ms, false),
            Class::Payment | Class::Forbidden => (settings.payment_ms, false),
            Class::ModelUnsupported | Class::NotFound => (settings.model_ms, false),
            Class::Challenge => (settings.challenge_ms, false),
            Class::Overloaded => {
                let wait = answer.cooldown_ms;
                (wait.unwrap_or(settings.transient.initial_ms), false)
            }
            _ => {
                let (backoff, steps) = if limit {
                    (settings.backoff, state.level)
                } else {
                    (settings.transient, state.failures)
                };
                match answer.cooldown_ms {
                    Some(stated) => (stated, false),
                    None if burst && limit => return,
                    None => (
                        backoff.max_ms.min(backoff.initial_ms << steps.min(20)),
                        true,
                    ),
                }
            }
        };
        let steps = if limit {
            &mut state.level
        } else {
            &mut state.failures
        };
        *steps += u32::from(guess && !burst);
        if now + wait > state.until {
            state.until = now + wait;
            state.canary = (wait > settings.canary_ms).then_some(now + settings.canary_ms);
        }
        self.failures += 1;
        state.failed = self.failures;
        state.half = true;
        state.reason = Some(answer.class);
    }

    pub(crate) fn reset(&mut self, index: usize) {
        self.accounts[index].states.clear();
        self.accounts[index].dead = false;
    }

    pub(crate) fn underway(&self, account: usize) -> usize {
        self.permits
            .values()
            .filter(|permit| permit.account == account)
            .count()
    }
}
