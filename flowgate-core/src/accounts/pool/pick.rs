//! Who serves the next request?

use serde::{Deserialize, Serialize};

use super::Pool;
use super::account::{NONE, Slot};
use super::gate::Gate;
use super::peers::Subject;
use super::permits::{Permit, Underway};
use super::strategy::Candidates;
use crate::Timestamp;

/// A model, as [`Pool::model`] numbers it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Model(pub(super) u32);

impl Model {
    /// No model in particular: only what holds for the whole account counts.
    pub const ANY: Self = Self(0);

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The model.
    pub model: Model,
    /// The session, whose requests stay with one account. [`session`](super::super::session) makes
    /// a number of a name.
    pub session: Option<u64>,
    /// How many tokens it will take, as far as that can be told.
    pub tokens: u32,
    /// Accounts that may not serve it, such as those that failed before.
    pub exclude: &'a [Slot],
    /// When the request was asked for first, which bounds how long it waits for a warm account.
    /// `None`: now.
    pub since: Option<Timestamp>,
}

/// The answer.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Pick {
    /// Send it with this account, and report.
    Use(Permit),
    /// Nobody can now. Ask again then, or when something was reported.
    Wait {
        /// When somebody can, if nothing else happens.
        until: Timestamp,
        /// Why nobody can now.
        why: Why,
    },
    /// Nobody can, as things are.
    None {
        /// Why.
        why: Why,
    },
}

/// Why nobody can serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// There are no accounts.
    #[default]
    Empty,
    /// Every account that serves the model is excluded, or none does.
    NoneMatch,
    /// Every account is disabled or has lost its credential.
    Unavailable,
    /// Every account rests after a failure.
    Cooldown,
    /// Every account's quota is used up.
    Budget,
    /// Every account has as many requests under way as it may.
    Concurrency,
    /// The provider is overloaded.
    Provider,
    /// Another request finds out whether the account, or its provider, is back: that may be known
    /// at any time.
    Probe,
    /// The account that is warm for this session can serve soon.
    Affinity,
}

/// The answer that nobody can serve, as long as nothing changes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    model: u32,
    tokens: u32,
    until: Timestamp,
    why: Why,
}

impl Waiting {
    #[inline]
    pub(super) fn forget(&mut self) {
        self.until = 0;
    }
}

/// What a request will probably take.
#[derive(Clone, Copy, Debug)]
struct Expected {
    tokens: u32,
    warm: bool,
}

/// How long providers keep a prompt: five minutes, as Anthropic's "Prompt caching" and OpenAI's
/// "Prompt caching" have it.
const PROMPT_KEPT_MS: u64 = 300_000;

impl Pool {
    /// Decides who serves a request.
    ///
    /// A session stays with its account as long as that can serve, and waits for it for a moment
    /// ([`Affinity`](super::Affinity)). Otherwise the lowest tier that has an account serves, and
    /// the [`Strategy`](super::Strategy) chooses in it.
    pub fn pick(&mut self, now: Timestamp, request: &Request<'_>) -> Pick {
        let now = self.advance(now);
        let model = request.model.0;
        if model as usize >= self.models.len() {
            return Pick::None {
                why: Why::NoneMatch,
            };
        }
        if now >= self.apart_until {
            self.look_at_providers(now);
        }
        self.ask_around(request, now);
        let session = request.session.filter(|_| self.settings.affinity.enabled);
        if let Some(session) = session
            && let Some((place, index)) = self.sessions.get(session, model, now)
        {
            let kept = self.sessions.until(place).saturating_sub(now);
            let silent = self.settings.affinity.ttl_ms.saturating_sub(kept);
            let warm = silent < PROMPT_KEPT_MS;
            let tokens = self.expected_tokens(model, request.tokens, warm);
            match self.warm(index, tokens, request, now) {
                Gate::Open => {
                    let until = now.saturating_add(self.settings.affinity.ttl_ms);
                    self.sessions.touch(place, until);
                    let expected = Expected { tokens, warm };
                    return Pick::Use(self.take(index, model, expected, request.tokens, now));
                }
                Gate::Until(until, _) => {
                    let why = Why::Affinity;
                    return Pick::Wait { until, why };
                }
                Gate::Busy | Gate::Never(_) => {}
            }
        }
        let cold = self.expected_tokens(model, request.tokens, false);
        if request.exclude.is_empty() && self.waiting.until > now {
            let waiting = self.waiting;
            if (waiting.model, waiting.tokens) == (model, cold) {
                return Pick::Wait {
                    until: waiting.until,
                    why: waiting.why,
                };
            }
        }
        let Some(index) = self.choose(model, cold, request.exclude, now) else {
            return self.nobody(model, cold, request.exclude, now);
        };
        if let Some(session) = session {
            let until = now.saturating_add(self.settings.affinity.ttl_ms);
            self.sessions.bind(session, model, index, until);
        }
        let expected = Expected {
            tokens: cold,
            warm: false,
        };
        Pick::Use(self.take(index, model, expected, request.tokens, now))
    }

    /// Why nobody can serve a request, if nobody can.
    pub fn nobody_can(&mut self, now: Timestamp, request: &Request<'_>) -> Option<Pick> {
        let now = self.advance(now);
        let model = request.model.0;
        if model as usize >= self.models.len() {
            let why = Why::NoneMatch;
            return Some(Pick::None { why });
        }
        if now >= self.apart_until {
            self.look_at_providers(now);
        }
        let tokens = self.expected_tokens(model, request.tokens, false);
        if self.choose(model, tokens, request.exclude, now).is_some() {
            return None;
        }
        Some(self.nobody(model, tokens, request.exclude, now))
    }

    /// The same for one account, which somebody else has chosen: whether it can serve.
    pub fn pick_account(&mut self, now: Timestamp, slot: Slot, request: &Request<'_>) -> Pick {
        let now = self.advance(now);
        let model = request.model.0;
        let excluded = request.exclude.contains(&slot) || !self.holds(slot);
        if excluded || model as usize >= self.models.len() {
            let why = Why::NoneMatch;
            return Pick::None { why };
        }
        let tokens = self.expected_tokens(model, request.tokens, false);
        let apart = self.provider_wait(&self.accounts[slot.index as usize], now);
        if let Some(until) = apart {
            self.ask_for_provider(slot.index, now);
            let why = Why::Provider;
            return Pick::Wait { until, why };
        }
        match self.gate(slot.index, model, tokens, now) {
            Gate::Open => {}
            Gate::Until(until, why) => {
                self.ask_for_slice(slot.index, tokens, now);
                return Pick::Wait { until, why };
            }
            Gate::Busy => {
                let (until, why) = (self.lease_end(&[], now), Why::Concurrency);
                return Pick::Wait { until, why };
            }
            Gate::Never(why) => return Pick::None { why },
        }
        if let Some(session) = request.session.filter(|_| self.settings.affinity.enabled) {
            let until = now.saturating_add(self.settings.affinity.ttl_ms);
            self.sessions.bind(session, model, slot.index, until);
        }
        let expected = Expected {
            tokens,
            warm: false,
        };
        Pick::Use(self.take(slot.index, model, expected, request.tokens, now))
    }

    /// How many tokens to expect where the caller estimates that many.
    #[inline]
    pub(super) fn expected_tokens(&self, model: u32, estimate: u32, warm: bool) -> u32 {
        let used = self.models[model as usize].used[usize::from(warm)];
        (estimate as f32 * used) as u32
    }

    /// Whether the account that is warm for a session can serve it, or can soon enough.
    #[inline]
    fn warm(&mut self, index: u32, tokens: u32, request: &Request<'_>, now: Timestamp) -> Gate {
        let model = request.model.0;
        let excluded = request.exclude.iter().any(|slot| slot.index == index);
        let Some(account) = self.accounts.get(index as usize).filter(|_| !excluded) else {
            return Gate::Never(Why::NoneMatch);
        };
        if self.is_free(index, model, tokens, now) {
            return Gate::Open;
        }
        let apart = self.provider_wait(account, now);
        let gate = self.gate(index, model, tokens, now);
        let affinity = self.settings.affinity;
        let since = request.since.unwrap_or(now).min(now);
        let (until, why) = match (gate, apart) {
            (_, Some(_)) => return Gate::Never(Why::Provider),
            (Gate::Until(until, why), None) => (until, why),
            (gate, None) => return gate,
        };
        let patience = match why {
            Why::Budget => affinity.wait_known_ms + self.reluctance(request, now),
            _ => affinity.wait_unknown_ms,
        };
        if until <= since.saturating_add(patience) {
            return gate;
        }
        Gate::Never(why)
    }

    /// How much longer to wait for a warm account because the others are under pressure: there, a
    /// cold prompt takes from them what they do not have.
    fn reluctance(&mut self, request: &Request<'_>, now: Timestamp) -> u64 {
        let most = self.settings.affinity.wait_pressed_ms;
        if most == 0 {
            return 0;
        }
        let model = request.model.0;
        let cold = self.expected_tokens(model, request.tokens, false);
        let other = self.choose(model, cold, request.exclude, now);
        let pressure = other.map_or(1.0, |other| self.pressure(other, cold, now));
        ((pressure - 0.5).clamp(0.0, 0.5) * 2.0 * most as f64) as u64
    }

    fn choose(&mut self, model: u32, tokens: u32, exclude: &[Slot], now: Timestamp) -> Option<u32> {
        let mut memory = self.strategy;
        let mut shares = std::mem::take(&mut self.shares);
        let blocked = (model != 0).then(|| &self.models[model as usize].blocked);
        let chosen = self.tiers.iter().find_map(|tier| {
            let candidates = Candidates {
                pool: self,
                ready: &tier.ready,
                blocked,
                apart: (self.apart.len() > 0).then_some(&self.apart),
                exclude,
                tokens,
                now,
            };
            memory.choose(self.settings.strategy, &candidates, &mut shares)
        });
        self.strategy = memory;
        self.shares = shares;
        chosen
    }

    /// Issues the permit.
    fn take(
        &mut self,
        index: u32,
        model: u32,
        expected: Expected,
        estimate: u32,
        now: Timestamp,
    ) -> Permit {
        let Expected { tokens, warm } = expected;
        self.sequence += 1;
        let place = index as usize;
        let account = &mut self.accounts[place];
        account.inflight += 1;
        account.last_used = self.sequence;
        account.sent.count(now);
        let probe = account.breaker.admit(now, &self.settings);
        let provider = &mut self.providers[account.provider as usize].breaker;
        let provider_probe = provider.admit(now, self.settings.probe_lease_ms);
        let full = account.inflight >= account.capacity();
        let ramping = account.ramp_from != 0;
        let budget = account.budget;
        let slot = Slot {
            index,
            generation: account.generation,
        };
        let mut spent = false;
        let charged = match self.budgets.get_mut(budget as usize) {
            Some(budget) => {
                let mark = budget.charge(now, tokens);
                spent = budget.wait(now, 0).is_some();
                mark
            }
            None => super::budget::Mark::default(),
        };
        self.use_allowance(slot, budget, [1.0, f64::from(tokens)], now);
        let state = self.known_state(index, model);
        let state = state.and_then(|place| self.states.get_mut(place as usize));
        let model_probe = state.is_some_and(|state| state.breaker.admit(now, &self.settings));
        if probe {
            self.use_grant(Subject::Account(slot), now);
        }
        if probe || full || ramping || spent {
            self.look(index, now);
        }
        if model_probe {
            self.use_grant(Subject::Model(slot, Model(model)), now);
            self.look_at_model(index, model, now);
        }
        if provider_probe {
            let provider = self.accounts[place].provider;
            self.use_grant(Subject::Provider(provider), now);
            self.provider_changed();
        }
        let id = self.permits.issue(Underway {
            slot,
            model,
            at: now,
            epoch: self.epoch,
            tokens,
            estimate,
            charged,
            warm,
            probe,
            model_probe,
            provider_probe,
            accepted: false,
        });
        Permit {
            slot,
            id,
            probe: probe || model_probe || provider_probe,
        }
    }

    /// When can somebody, and why can nobody now?
    #[cold]
    fn nobody(&mut self, model: u32, tokens: u32, exclude: &[Slot], now: Timestamp) -> Pick {
        let mut soonest: Option<(Timestamp, Why)> = None;
        let mut busy = false;
        let mut worst = Why::Empty;
        for index in 0..self.accounts.len() as u32 {
            let account = &self.accounts[index as usize];
            if !account.present {
                continue;
            }
            if exclude.iter().any(|slot| slot.index == index) {
                worst = Why::NoneMatch;
                continue;
            }
            let gate = self.gate(index, model, tokens, now);
            let apart = self.provider_wait(account, now);
            if matches!(gate, Gate::Until(_, Why::Budget)) {
                self.ask_for_slice(index, tokens, now);
            }
            let (until, why) = match gate {
                Gate::Never(why) => {
                    worst = if worst == Why::NoneMatch { worst } else { why };
                    continue;
                }
                Gate::Busy => {
                    busy = true;
                    continue;
                }
                Gate::Until(until, why) => match apart {
                    Some(apart) if apart > until => (apart, Why::Provider),
                    _ => (until, why),
                },
                Gate::Open => match apart {
                    Some(apart) => (apart, Why::Provider),
                    None => continue,
                },
            };
            let probed =
                matches!(why, Why::Cooldown | Why::Provider) && self.is_probed(index, model, now);
            let why = if probed { Why::Probe } else { why };
            if soonest.is_none_or(|(sooner, _)| until < sooner) {
                soonest = Some((until, why));
            }
        }
        match soonest {
            Some((until, why)) => {
                if exclude.is_empty() {
                    self.waiting = Waiting {
                        model,
                        tokens,
                        until,
                        why,
                    };
                }
                Pick::Wait { until, why }
            }
            None if busy => Pick::Wait {
                until: self.lease_end(exclude, now),
                why: Why::Concurrency,
            },
            None => Pick::None { why: worst },
        }
    }

    /// When the first of the requests under way is given up that keep an account busy.
    fn lease_end(&self, exclude: &[Slot], now: Timestamp) -> Timestamp {
        let lease = self.settings.permit_lease_ms;
        let mut underway = self.permits.iter().map(|(_, underway)| underway);
        let keeps = underway.find(|underway| {
            let slot = underway.slot;
            self.holds(slot) && !exclude.iter().any(|other| other.index == slot.index)
        });
        keeps
            .map_or(now, |underway| underway.at)
            .saturating_add(lease)
    }

    /// The permit of a number, for hosts that keep numbers instead of permits. Whoever has the
    /// permit as well has it twice; only the first report counts.
    pub fn permit(&self, id: u64) -> Option<Permit> {
        let underway = self.permits.get(id)?;
        Some(Permit {
            slot: underway.slot,
            id,
            probe: underway.is_probe(),
        })
    }

    /// What the budget of an account is, made if it has none.
    pub(super) fn make_budget(&mut self, index: u32) -> u32 {
        let known = self.accounts[index as usize].budget;
        if known != NONE {
            return known;
        }
        let made = self.new_budget();
        self.accounts[index as usize].budget = made;
        made
    }
}
