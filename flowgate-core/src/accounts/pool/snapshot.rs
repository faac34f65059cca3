//! A pool as data: to continue after a restart, or elsewhere.
//!
//! A snapshot holds all that the pool has learned and nothing secret. A pool that was restored
//! decides as the one that was saved would have, to the bit.

use serde::{Deserialize, Serialize};

use super::account::{Account, Cold, Lifecycle, ModelState, NONE, Sent, Slot};
use super::breaker::Breaker;
use super::budget::{Budget, Mark};
use super::permits::{Permits, Underway};
use super::provider::ProviderBreaker;
use super::{Group, ModelIndex, Pool, Settings};
use crate::Timestamp;

/// The version of the form that this release writes.
const VERSION: u32 = 1;
/// More accounts, models or requests than that are a mistake.
const MOST: usize = 1 << 24;

/// What a pool has learned. It is written and read as it is; nothing in it is meant to be changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolState {
    version: u32,
    now: Timestamp,
    models: Vec<SavedModel>,
    providers: Vec<SavedProvider>,
    groups: Vec<SavedGroup>,
    /// By place; a place that is free says which generation comes next.
    accounts: Vec<SavedPlace>,
    free_accounts: Vec<u32>,
    permits: Vec<SavedPermit>,
    permit_generations: Vec<u32>,
    free_permits: Vec<u32>,
    sessions: Vec<(u64, u32, u32, Timestamp)>,
    epoch: u64,
    sequence: u64,
    cursor: u32,
    random: u64,
    shares: Vec<(u32, i64)>,
    heaviest: u32,
    retries_left: u32,
    refreshes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedModel {
    name: String,
    /// As bits.
    used: [u32; 2],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedProvider {
    name: String,
    breaker: ProviderBreaker,
    cooled: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedGroup {
    name: String,
    budget: Budget,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedPlace {
    generation: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<SavedAccount>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedAccount {
    id: String,
    provider: u16,
    tier: u8,
    weight: u32,
    max_inflight: u32,
    group: u32,
    models: Option<Vec<u32>>,
    enabled: bool,
    revision: u64,
    lifecycle: Lifecycle,
    breaker: Breaker,
    model_breakers: Vec<(u32, Breaker)>,
    /// Its own; that of a group is with the group.
    budget: Option<Budget>,
    last_used: u64,
    ramp_from: Timestamp,
    learned_cap: u16,
    cap_since: u32,
    sent: Sent,
    refresh: Option<(u64, Timestamp)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedPermit {
    id: u64,
    slot: Slot,
    model: u32,
    at: Timestamp,
    epoch: u64,
    tokens: u32,
    estimate: u32,
    charged: Mark,
    warm: bool,
    probe: bool,
    model_probe: bool,
    provider_probe: bool,
    accepted: bool,
}

impl PoolState {
    /// The latest time that the pool had been told.
    pub const fn saved_at(&self) -> Timestamp {
        self.now
    }
}

/// Why a snapshot cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It was written by a release that keeps it in another form.
    #[error("the snapshot has version {0}; this release reads version {VERSION}: start without it")]
    Version(u32),
    /// It does not fit together.
    #[error("the snapshot is damaged ({0}): start without it")]
    Damaged(&'static str),
}

impl SnapshotError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Version(_) => "accounts.snapshot_version",
            Self::Damaged(_) => "accounts.snapshot_damaged",
        }
    }
}

impl Pool {
    /// All that the pool has learned.
    pub fn snapshot(&self) -> PoolState {
        let (permit_generations, free_permits) = self.permits.places();
        PoolState {
            version: VERSION,
            now: self.now,
            models: self.saved_models(),
            providers: self.saved_providers(),
            groups: self.saved_groups(),
            accounts: (0..self.accounts.len() as u32)
                .map(|index| self.saved_place(index))
                .collect(),
            free_accounts: self.ids.free().to_vec(),
            permits: self.permits.iter().map(saved_permit).collect(),
            permit_generations,
            free_permits,
            sessions: self.sessions.iter().collect(),
            epoch: self.epoch,
            sequence: self.sequence,
            cursor: self.strategy.cursor,
            random: self.strategy.random,
            shares: self.shares.iter().collect(),
            heaviest: self.heaviest,
            retries_left: self.retries_left,
            refreshes: self.refreshes,
        }
    }

    fn saved_models(&self) -> Vec<SavedModel> {
        let names = (0..).map(|number| self.model_names.name(number).unwrap_or_default());
        let models = self.models.iter().zip(names);
        models
            .map(|(model, name)| SavedModel {
                name: name.to_owned(),
                used: model.used.map(f32::to_bits),
            })
            .collect()
    }

    fn saved_providers(&self) -> Vec<SavedProvider> {
        let names = (0..).map(|number| self.provider_names.name(number).unwrap_or_default());
        let providers = self.providers.iter().zip(names);
        providers
            .map(|(provider, name)| SavedProvider {
                name: name.to_owned(),
                breaker: provider.breaker.clone(),
                cooled: provider.cooled.iter().collect(),
            })
            .collect()
    }

    fn saved_groups(&self) -> Vec<SavedGroup> {
        let names = (0..).map(|number| self.group_names.name(number).unwrap_or_default());
        let groups = self.groups.iter().zip(names);
        groups
            .map(|(group, name)| SavedGroup {
                name: name.to_owned(),
                budget: self.budgets[group.budget as usize],
            })
            .collect()
    }

    fn saved_place(&self, index: u32) -> SavedPlace {
        let account = &self.accounts[index as usize];
        SavedPlace {
            generation: account.generation,
            account: account.present.then(|| self.saved_account(index)),
        }
    }

    fn saved_account(&self, index: u32) -> SavedAccount {
        let account = &self.accounts[index as usize];
        let cold = &self.cold[index as usize];
        let own = self.budgets.get(account.budget as usize);
        let mut model_breakers = Vec::new();
        let mut place = account.scopes;
        while let Some(state) = self.states.get(place as usize) {
            model_breakers.push((state.model, state.breaker));
            place = state.next;
        }
        SavedAccount {
            id: self.ids.name(index).unwrap_or_default().to_owned(),
            provider: account.provider,
            tier: account.tier,
            weight: account.weight,
            max_inflight: account.max_inflight,
            group: cold.group,
            models: self.lists.get(cold.models).map(<[u32]>::to_vec),
            enabled: account.enabled,
            revision: cold.revision,
            lifecycle: account.lifecycle,
            breaker: account.breaker,
            model_breakers,
            budget: own.filter(|_| cold.group == NONE).copied(),
            last_used: account.last_used,
            ramp_from: account.ramp_from,
            learned_cap: account.learned_cap,
            cap_since: account.cap_since,
            sent: account.sent,
            refresh: self.refreshing.get(&index).copied(),
        }
    }

    /// A pool that continues where a snapshot was taken. Accounts that are not wanted any more are
    /// to be removed, and new ones added, as in any pool.
    ///
    /// # Errors
    ///
    /// If the snapshot was written in another form, or does not fit together.
    pub fn restore(
        settings: Settings,
        state: &PoolState,
        now: Timestamp,
    ) -> Result<Self, SnapshotError> {
        if state.version != VERSION {
            return Err(SnapshotError::Version(state.version));
        }
        let mut pool = Self::new(settings);
        pool.now = state.now;
        pool.restore_names(state)?;
        for (index, place) in state.accounts.iter().enumerate() {
            pool.accounts.push(Account {
                generation: place.generation,
                ..Account::default()
            });
            pool.cold.push(Cold::default());
            if let Some(saved) = &place.account {
                pool.restore_account(index as u32, place.generation, saved)?;
            }
        }
        pool.restore_free(state)?;
        pool.restore_permits(state)?;
        for (session, model, slot, until) in &state.sessions {
            let known = (*model as usize) < pool.models.len();
            check(known && (*slot as usize) < pool.accounts.len(), "sessions")?;
            pool.sessions.bind(*session, *model, *slot, *until);
        }
        for (index, ahead) in &state.shares {
            check((*index as usize) < pool.accounts.len(), "shares")?;
            pool.shares.set_ahead(*index, *ahead);
        }
        pool.epoch = state.epoch;
        pool.sequence = state.sequence;
        pool.strategy.cursor = state.cursor.min(u32::MAX - 1);
        pool.strategy.random = state.random;
        pool.heaviest = state.heaviest;
        pool.retries_left = state.retries_left.min(pool.settings.retry.budget);
        pool.refreshes = state.refreshes;
        pool.look_everywhere();
        pool.advance(now);
        Ok(pool)
    }

    fn restore_names(&mut self, state: &PoolState) -> Result<(), SnapshotError> {
        check(state.accounts.len() <= MOST, "accounts")?;
        check(state.models.len() <= super::MOST_NAMES, "models")?;
        check(state.providers.len() <= super::MOST_NAMES, "providers")?;
        check(
            state
                .models
                .first()
                .is_some_and(|first| first.name.is_empty()),
            "models",
        )?;
        self.models.clear();
        self.model_names = super::Names::default();
        for model in &state.models {
            check(self.model_names.add(&model.name).1, "models")?;
            let used = model.used.map(f32::from_bits);
            check(
                used.iter().all(|used| *used > 0.0 && *used <= 20.0),
                "models",
            )?;
            self.models.push(ModelIndex {
                blocked: super::Bitset::default(),
                stateful: super::Bitset::default(),
                used,
            });
        }
        for provider in &state.providers {
            check(self.provider_names.add(&provider.name).1, "providers")?;
            let members = (provider.cooled.iter()).all(|i| (*i as usize) < state.accounts.len());
            check(members, "providers")?;
            let mut cooled = super::Bitset::default();
            for index in &provider.cooled {
                cooled.put(*index, true);
            }
            self.providers.push(super::Provider {
                breaker: provider.breaker.clone(),
                members: super::Bitset::default(),
                cooled,
            });
        }
        for group in &state.groups {
            check(self.group_names.add(&group.name).1, "groups")?;
            check(group.budget.is_sane(), "budgets")?;
            self.budgets.push(group.budget);
            self.groups.push(Group {
                budget: (self.budgets.len() - 1) as u32,
                members: Vec::new(),
            });
        }
        Ok(())
    }

    fn restore_account(
        &mut self,
        index: u32,
        generation: u32,
        saved: &SavedAccount,
    ) -> Result<(), SnapshotError> {
        check(self.ids.find(&saved.id).is_none(), "accounts")?;
        check(
            (saved.provider as usize) < self.providers.len(),
            "providers",
        )?;
        let models = self.models.len() as u32;
        let listed = saved.models.iter().flatten();
        check(listed.copied().all(|model| model < models), "models")?;
        self.ids.put(&saved.id, index);
        let mut budget = NONE;
        if let Some(own) = saved.budget {
            check(saved.group == NONE && own.is_sane(), "budgets")?;
            self.budgets.push(own);
            budget = (self.budgets.len() - 1) as u32;
        }
        if saved.group != NONE {
            let group = self.groups.get_mut(saved.group as usize);
            let group = group.ok_or(SnapshotError::Damaged("groups"))?;
            group.members.push(index);
            budget = group.budget;
        }
        self.providers[saved.provider as usize]
            .members
            .put(index, true);
        self.accounts[index as usize] = Account {
            breaker: saved.breaker,
            last_used: saved.last_used,
            timer: Timestamp::MAX,
            ramp_from: saved.ramp_from,
            sent: saved.sent,
            generation,
            weight: saved.weight,
            max_inflight: saved.max_inflight,
            inflight: 0,
            learned_cap: saved.learned_cap,
            cap_since: saved.cap_since,
            budget,
            scopes: NONE,
            provider: saved.provider,
            tier: saved.tier,
            lifecycle: saved.lifecycle,
            present: true,
            enabled: saved.enabled,
        };
        self.cold[index as usize] = Cold {
            models: self.lists.add(saved.models.as_deref().unwrap_or_default()),
            group: saved.group,
            revision: saved.revision,
        };
        if let Some(refresh) = saved.refresh {
            self.refreshing.insert(index, refresh);
        }
        // The list of states grows at its head.
        for (model, breaker) in saved.model_breakers.iter().rev() {
            check(*model > 0 && *model < models, "models")?;
            check(self.find_state(index, *model).is_none(), "models")?;
            let place = self.make_state(index, *model);
            self.states[place as usize] = ModelState {
                breaker: *breaker,
                ..self.states[place as usize]
            };
        }
        Ok(())
    }

    fn restore_free(&mut self, state: &PoolState) -> Result<(), SnapshotError> {
        let mut free = state.free_accounts.clone();
        free.sort_unstable();
        let absent = (0..state.accounts.len() as u32)
            .filter(|index| state.accounts[*index as usize].account.is_none());
        check(free.iter().copied().eq(absent), "accounts")?;
        self.ids
            .set_free(state.accounts.len(), state.free_accounts.clone());
        Ok(())
    }

    fn restore_permits(&mut self, state: &PoolState) -> Result<(), SnapshotError> {
        check(state.permit_generations.len() <= MOST, "permits")?;
        let models = self.models.len();
        check(
            state.permits.iter().all(|p| (p.model as usize) < models),
            "permits",
        )?;
        let ordered = state.permits.is_sorted_by_key(|permit| permit.at);
        check(ordered, "permits")?;
        let underway = state
            .permits
            .iter()
            .map(|permit| (permit.id, permit.underway()));
        let free = state.free_permits.clone();
        self.permits = Permits::restore(&state.permit_generations, free, underway)
            .ok_or(SnapshotError::Damaged("permits"))?;
        for permit in &state.permits {
            if self.holds(permit.slot) {
                self.accounts[permit.slot.index as usize].inflight += 1;
            }
        }
        Ok(())
    }

    /// Builds the sets and the timers from the truth.
    fn look_everywhere(&mut self) {
        let now = self.now;
        self.apart_until = 0;
        for index in 0..self.accounts.len() as u32 {
            if !self.accounts[index as usize].present {
                continue;
            }
            self.look(index, now);
            for model in 1..self.models.len() as u32 {
                self.look_at_model(index, model, now);
            }
        }
    }
}

impl SavedPermit {
    fn underway(&self) -> Underway {
        Underway {
            slot: self.slot,
            model: self.model,
            at: self.at,
            epoch: self.epoch,
            tokens: self.tokens,
            estimate: self.estimate,
            charged: self.charged,
            warm: self.warm,
            probe: self.probe,
            model_probe: self.model_probe,
            provider_probe: self.provider_probe,
            accepted: self.accepted,
        }
    }
}

fn saved_permit((id, underway): (u64, &Underway)) -> SavedPermit {
    SavedPermit {
        id,
        slot: underway.slot,
        model: underway.model,
        at: underway.at,
        epoch: underway.epoch,
        tokens: underway.tokens,
        estimate: underway.estimate,
        charged: underway.charged,
        warm: underway.warm,
        probe: underway.probe,
        model_probe: underway.model_probe,
        provider_probe: underway.provider_probe,
        accepted: underway.accepted,
    }
}

fn check(fits: bool, what: &'static str) -> Result<(), SnapshotError> {
    if fits {
        Ok(())
    } else {
        Err(SnapshotError::Damaged(what))
    }
}
