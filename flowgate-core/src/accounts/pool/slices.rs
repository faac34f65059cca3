//! A quota that many processes use: each takes a slice of it at a time.
//!
//! One bucket for all holds what the provider grants. A slice is taken out of it before anything is
//! sent, and what is left of a slice goes back. So all processes together never send more than the
//! bucket holds, and what one process may hold without using it is one slice.

use super::Pool;
use super::account::{NONE, Slot};
use super::budget::Budget;
use super::peers::{ASK_MS, Ask, put};
use crate::Timestamp;

/// What this process may use of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Allowance {
    requests: f64,
    tokens: f64,
    /// When it goes back.
    until: Timestamp,
    /// Whether headers said something new since the last slice.
    anchored: bool,
}

/// One quota of an account, and how much of it is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// What it holds when full.
    pub cap: f64,
    /// How much it refills in a millisecond.
    pub rate: f64,
    /// What this process believes that it holds, where headers said so since the last slice.
    pub level: Option<f64>,
    /// How much is wanted, or goes back if it is less than zero.
    pub want: f64,
}

/// What a pool wants of a quota that is shared.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceWanted {
    /// Whose quota: the account or the group, the same in every process.
    pub name: String,
    /// Requests, where their quota is known.
    pub requests: Option<Share>,
    /// Tokens, where their quota is known.
    pub tokens: Option<Share>,
}

/// A slice: what is granted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    /// Requests.
    pub requests: f64,
    /// Tokens.
    pub tokens: f64,
}

impl Pool {
    /// When to look again, if this process has no slice that is large enough.
    #[inline]
    pub(super) fn starves(
        &self,
        place: u32,
        budget: &Budget,
        tokens: u32,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let peers = self.peers.as_ref().filter(|peers| peers.is_connected())?;
        if !budget.is_stated() {
            return None;
        }
        let held = peers.allowances.get(place as usize).copied().flatten();
        let held = held.filter(|held| held.until > now).unwrap_or_default();
        let [requests, of_tokens] = budget.caps();
        let enough = |cap: Option<f64>, held: f64, need: f64| {
            cap.is_none_or(|cap| held + cap * 1e-6 >= need.min(cap))
        };
        let feeds = enough(requests, held.requests, 1.0)
            && enough(of_tokens, held.tokens, f64::from(tokens));
        (!feeds).then(|| now.saturating_add(ASK_MS))
    }

    /// Something was charged to a budget; less than zero was given back.
    #[inline]
    pub(super) fn use_allowance(&mut self, slot: Slot, place: u32, used: [f64; 2], now: Timestamp) {
        let Some(peers) = &mut self.peers else {
            return;
        };
        let slice_ms = peers.slice_ms;
        let Some(Some(held)) = peers.allowances.get_mut(place as usize) else {
            return;
        };
        held.requests -= used[0];
        held.tokens -= used[1];
        let Some(budget) = self.budgets.get(place as usize) else {
            return;
        };
        // Half of a slice is left: the next is on its way before it is needed.
        let [requests, tokens] = budget.slices(slice_ms, 0.0);
        let low = requests.is_some_and(|slice| held.requests < slice / 2.0)
            || tokens.is_some_and(|slice| held.tokens < slice / 2.0);
        if low {
            peers.ask(Ask::Slice(slot), now);
        }
    }

    /// Headers say something about a budget.
    pub(super) fn anchored(&mut self, slot: Slot, place: u32, now: Timestamp) {
        let Some(peers) = &mut self.peers else {
            return;
        };
        match peers.allowances.get_mut(place as usize) {
            Some(Some(held)) => held.anchored = true,
            _ => peers.ask(Ask::Slice(slot), now),
        }
    }

    /// Remembers whose quota could be used if there were a slice of it.
    pub(super) fn set_starved(&mut self, slot: Slot, starved: bool) {
        if let Some(peers) = &mut self.peers {
            put(&mut peers.starved, slot, starved);
        }
    }

    /// A request found no slice that is large enough.
    pub(super) fn ask_for_slice(&mut self, index: u32, tokens: u32, now: Timestamp) {
        let slot = self.slot(index);
        let account = &self.accounts[index as usize];
        let budget = self.budgets.get(account.budget as usize);
        let starves = budget.and_then(|b| self.starves(account.budget, b, tokens, now));
        if let Some(peers) = self.peers.as_mut().filter(|_| starves.is_some()) {
            peers.need = peers.need.max(tokens);
            peers.ask(Ask::Slice(slot), now);
        }
    }

    /// What a slice of an account's quota is to be. `None`: nothing is known about its quota.
    pub fn slice_wanted(&mut self, now: Timestamp, slot: Slot) -> Option<SliceWanted> {
        let now = self.advance(now);
        if !self.holds(slot) {
            return None;
        }
        let account = &self.accounts[slot.index as usize];
        let budget = *self.budgets.get(account.budget as usize)?;
        let name = self.quota_name(slot.index)?;
        let place = account.budget as usize;
        let peers = self.peers.as_mut()?;
        if !budget.is_stated() {
            return None;
        }
        if peers.allowances.len() <= place {
            peers.allowances.resize(place + 1, None);
        }
        let first = peers.allowances[place].is_none();
        let held = peers.allowances[place].get_or_insert_default();
        let anchored = std::mem::take(&mut held.anchored) || first;
        let need = f64::from(std::mem::take(&mut peers.need));
        let [requests, tokens] = budget.slices(peers.slice_ms, need);
        let levels = budget
            .levels(now)
            .map(|level| level.map(|(level, _)| level));
        let caps = budget.caps();
        let rates = budget.rates();
        let share = |dim: usize, slice: Option<f64>, held: f64| {
            Some(Share {
                cap: caps[dim]?,
                rate: rates[dim],
                level: levels[dim].filter(|_| anchored),
                want: (slice? - held).max(0.0),
            })
        };
        Some(SliceWanted {
            name,
            requests: share(0, requests, held.requests),
            tokens: share(1, tokens, held.tokens),
        })
    }

    fn quota_name(&self, index: u32) -> Option<String> {
        match self.cold[index as usize].group {
            NONE => Some(format!("a\u{1f}{}", self.ids.name(index)?)),
            group => Some(format!("g\u{1f}{}", self.group_names.name(group)?)),
        }
    }

    /// A slice was granted; it may be smaller than what was wanted, or nothing.
    pub fn allow(&mut self, now: Timestamp, slot: Slot, slice: Slice) {
        let now = self.advance(now);
        if !self.holds(slot) {
            return;
        }
        let place = self.accounts[slot.index as usize].budget as usize;
        let Some(peers) = &mut self.peers else {
            return;
        };
        let given = slice.requests > 0.0 || slice.tokens > 0.0;
        if given {
            peers.answered(Ask::Slice(slot));
        }
        let lasts = peers.slice_ms.saturating_mul(2);
        if let Some(held) = peers.allowances.get_mut(place) {
            let held = held.get_or_insert_default();
            let sane = |amount: f64| {
                if amount.is_finite() {
                    amount.max(0.0)
                } else {
                    0.0
                }
            };
            held.requests += sane(slice.requests);
            held.tokens += sane(slice.tokens);
            if given {
                held.until = now.saturating_add(lasts);
            }
        }
        self.look_at_all(slot.index, now);
    }

    /// What is left of slices whose time is over: it goes back.
    pub fn take_idle_slices(&mut self, now: Timestamp, all: bool) -> Vec<SliceWanted> {
        let now = self.advance(now);
        let mut back = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for slot in self.slots().collect::<Vec<_>>() {
            let place = self.accounts[slot.index as usize].budget;
            if place == NONE || !seen.insert(place) {
                continue;
            }
            let held = self.peers.as_mut().and_then(|peers| {
                let held = peers.allowances.get_mut(place as usize)?;
                held.take_if(|held| all || (held.until > 0 && held.until <= now))
            });
            let (Some(held), Some(name)) = (held, self.quota_name(slot.index)) else {
                continue;
            };
            let budget = self.budgets[place as usize];
            let (caps, rates) = (budget.caps(), budget.rates());
            let share = |dim: usize, left: f64| {
                Some(Share {
                    cap: caps[dim]?,
                    rate: rates[dim],
                    level: None,
                    want: -left.max(0.0),
                })
            };
            back.push(SliceWanted {
                name,
                requests: share(0, held.requests),
                tokens: share(1, held.tokens),
            });
            self.look_at_all(slot.index, now);
        }
        back
    }
}
