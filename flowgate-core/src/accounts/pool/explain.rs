//! Why is this account, and not that one?

use serde::Serialize;

use super::super::Class;
use super::Pool;
use super::account::{Lifecycle, Slot};
use super::gate::Gate;
use super::pick::{Request, Why};
use crate::Timestamp;

/// An account, seen by a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The account.
    pub slot: Slot,
    /// Its id.
    pub id: String,
    /// Its tier.
    pub tier: u8,
    /// Whether it could serve.
    pub standing: Standing,
    /// Why it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// When it can, if nothing else happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The failure that it rests after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// How far it is usable at all.
    pub lifecycle: Lifecycle,
    /// Whether the session of the request is warm here.
    pub warm: bool,
    /// Its pressure: about 0 if it is fresh, about 1 if it is used up.
    pub pressure: f64,
    /// How many requests are under way.
    pub inflight: u32,
    /// How many may be, where there is a limit that was set or learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_inflight: Option<u32>,
    /// The requests that are left of its quota, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Left>,
    /// The tokens that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Left>,
    /// Whether that is a guess from refusals, because the provider states no quota.
    pub guessed: bool,
}

/// Whether an account could serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It could.
    Eligible,
    /// It could, as the one request that finds out whether it is back.
    Probe,
    /// It cannot now.
    Waiting,
    /// It has as many requests under way as it may.
    Busy,
    /// It cannot, as things are.
    Excluded,
}

/// What is left of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Left {
    /// That much is.
    pub level: f64,
    /// Of that much.
    pub limit: f64,
}

impl Pool {
    /// Says of every account whether it could serve a request, and if not, why and until when.
    pub fn explain(&self, now: Timestamp, request: &Request<'_>) -> Vec<Candidate> {
        let now = self.now.max(now);
        let model = request.model.0;
        if model as usize >= self.models.len() {
            return Vec::new();
        }
        let warm = request.session.filter(|_| self.settings.affinity.enabled);
        let warm = warm.and_then(|session| self.sessions.get(session, model, now));
        let slots = self.slots();
        slots
            .map(|slot| Candidate {
                warm: warm.is_some_and(|(_, index)| index == slot.index),
                ..self.candidate(slot, model, request, now)
            })
            .collect()
    }

    fn candidate(
        &self,
        slot: Slot,
        model: u32,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Candidate {
        let index = slot.index;
        let account = &self.accounts[index as usize];
        let state = self.model_state(index, model);
        let budget = self.budgets.get(account.budget as usize);
        let levels = budget.map_or([None; 2], |budget| budget.levels(now));
        let [requests, tokens] =
            levels.map(|known| known.map(|(level, limit)| Left { level, limit }));
        let (standing, why, until) = self.standing(slot, model, request, now);
        let breakers = [Some(&account.breaker), state.map(|state| &state.breaker)];
        let open = breakers.into_iter().flatten().filter(|b| b.until > now);
        Candidate {
            slot,
            id: self.ids.name(index).unwrap_or_default().to_owned(),
            tier: account.tier,
            standing,
            why,
            until,
            class: open.max_by_key(|b| b.until).and_then(|b| b.reason),
            lifecycle: account.lifecycle,
            warm: false,
            pressure: self.pressure(index, request.tokens, now),
            inflight: account.inflight,
            max_inflight: Some(account.capacity()).filter(|cap| *cap < u32::MAX),
            requests,
            tokens,
            guessed: requests.is_some() && budget.is_some_and(|budget| !budget.is_stated()),
        }
    }

    pub(super) fn standing(
        &self,
        slot: Slot,
        model: u32,
        request: &Request<'_>,
        now: Timestamp,
    ) -> (Standing, Option<Why>, Option<Timestamp>) {
        let index = slot.index;
        let account = &self.accounts[index as usize];
        if request.exclude.contains(&slot) {
            return (Standing::Excluded, Some(Why::NoneMatch), None);
        }
        let apart = self.provider_wait(account, now);
        let tokens = self.expected_tokens(model, request.tokens, false);
        let gate = self.gate(index, model, tokens, now);
        if self.is_probed(index, model, now)
            && matches!(gate, Gate::Open | Gate::Until(_, Why::Cooldown))
        {
            let own = match gate {
                Gate::Until(until, _) => Some(until),
                _ => None,
            };
            return (Standing::Waiting, Some(Why::Probe), own.max(apart));
        }
        match gate {
            Gate::Never(why) => (Standing::Excluded, Some(why), None),
            Gate::Busy => (Standing::Busy, Some(Why::Concurrency), None),
            Gate::Until(until, why) => match apart {
                Some(apart) if apart > until => {
                    (Standing::Waiting, Some(Why::Provider), Some(apart))
                }
                _ => (Standing::Waiting, Some(why), Some(until)),
            },
            Gate::Open => match apart {
                Some(apart) => (Standing::Waiting, Some(Why::Provider), Some(apart)),
                None => (self.eligible(index, model, now), None, None),
            },
        }
    }

    fn eligible(&self, index: u32, model: u32, now: Timestamp) -> Standing {
        let account = &self.accounts[index as usize];
        let state = self.model_state(index, model);
        let tries = account.breaker.tries(now, &self.settings)
            || state.is_some_and(|state| state.breaker.tries(now, &self.settings));
        if tries {
            Standing::Probe
        } else {
            Standing::Eligible
        }
    }
}
