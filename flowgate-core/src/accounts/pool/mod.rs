//! The pool: which account serves the next request.
//!
//! The pool is a value that is told what happens and answers what to do. It holds no secrets, asks
//! for no time and waits for nothing.

mod account;
mod bits;
mod bitset;
mod breaker;
mod budget;
mod event;
mod explain;
mod facts;
mod gate;
mod lists;
mod names;
mod peers;
mod permits;
mod pick;
mod probes;
mod provider;
mod quota;
mod refresh;
mod report;
mod retry;
mod sessions;
mod settings;
mod shared;
mod slices;
mod snapshot;
mod strategy;
mod timers;
mod view;

pub use account::{AccountSpec, Lifecycle, Slot};
pub use event::{Event, EventKind};
pub use explain::{Candidate, Left, Standing};
pub use peers::{Ask, Subject};
pub use permits::Permit;
pub use pick::{Model, Pick, Request, Why};
pub use refresh::{RefreshLease, Refreshed};
pub use report::{Outcome, Verdict};
pub use retry::{Attempt, Step};
pub use settings::{Affinity, Backoff, ProviderSettings, Ramp, Retry, Settings, Strategy};
pub use shared::{PoolGuard, SharedPool};
pub use slices::{Share, Slice, SliceWanted};
pub use snapshot::{PoolState, SnapshotError};
pub use view::{AccountState, AccountView, ModelView, Remaining, WindowLeft};

use account::{Account, Cold, ModelState, NONE};
use bitset::Bitset;
use budget::Budget;
use event::Events;
use lists::ModelLists;
use names::Names;
use peers::Peers;
use permits::Permits;
use provider::Provider;
use sessions::Sessions;
use timers::Timers;

use std::collections::BTreeMap;

use crate::Timestamp;

/// The number of a session, for [`Request::session`]. It is the same everywhere and for ever.
pub fn session(name: &str) -> u64 {
    names::hash(name)
}

/// A pool of accounts.
///
/// All methods that take the time may be told any: time that goes back stands still.
#[derive(Clone, Debug)]
pub struct Pool {
    settings: Settings,
    /// The latest time that was told.
    now: Timestamp,
    accounts: Vec<Account>,
    cold: Vec<Cold>,
    ids: Names,
    tiers: Vec<Tier>,
    models: Vec<ModelIndex>,
    model_names: Names,
    providers: Vec<Provider>,
    provider_names: Names,
    groups: Vec<Group>,
    group_names: Names,
    budgets: Vec<Budget>,
    free_budgets: Vec<u32>,
    states: Vec<ModelState>,
    free_states: Vec<u32>,
    permits: Permits,
    sessions: Sessions,
    timers: Timers,
    /// How many failures there were.
    epoch: u64,
    /// How many permits were issued.
    sequence: u64,
    strategy: strategy::Memory,
    shares: strategy::Shares,
    /// The largest weight there ever was.
    heaviest: u32,
    retries_left: u32,
    refreshes: u64,
    /// Who refreshes which account, until when.
    refreshing: BTreeMap<u32, (u64, Timestamp)>,
    lists: ModelLists,
    /// The accounts of providers that are left alone, and when that has to be looked at again.
    apart: Bitset,
    apart_until: Timestamp,
    /// What nobody can serve now, while nothing changes.
    waiting: pick::Waiting,
    events: Events,
    /// What is needed to share what is learned with other processes.
    peers: Option<Box<Peers>>,
}

/// The accounts of one tier that can serve, as far as that does not depend on the request.
#[derive(Clone, Debug, Default)]
struct Tier {
    tier: u8,
    ready: Bitset,
}

/// What is known about a model.
#[derive(Clone, Debug)]
struct ModelIndex {
    /// The accounts that cannot serve it now, or never.
    blocked: Bitset,
    /// The accounts that have a state for it.
    stateful: Bitset,
    /// What a request really used, of what was estimated: where its prompt was cold, and warm.
    used: [f32; 2],
}

/// Accounts that share one budget.
#[derive(Clone, Debug)]
struct Group {
    budget: u32,
    members: Vec<u32>,
}

/// How many models, and how many providers and groups, a pool tells apart. What comes later is
/// treated as if it had no name, so that nobody fills the memory with names.
const MOST_NAMES: usize = 4_096;

impl Pool {
    /// An empty pool.
    pub fn new(settings: Settings) -> Self {
        let mut pool = Self {
            now: 0,
            accounts: Vec::new(),
            cold: Vec::new(),
            ids: Names::default(),
            tiers: Vec::new(),
            models: Vec::new(),
            model_names: Names::default(),
            providers: Vec::new(),
            provider_names: Names::default(),
            groups: Vec::new(),
            group_names: Names::default(),
            budgets: Vec::new(),
            free_budgets: Vec::new(),
            states: Vec::new(),
            free_states: Vec::new(),
            permits: Permits::default(),
            sessions: Sessions::new(settings.affinity.max_sessions),
            timers: Timers::default(),
            epoch: 0,
            sequence: 0,
            strategy: strategy::Memory::new(settings.seed),
            shares: strategy::Shares::default(),
            heaviest: 1,
            retries_left: settings.retry.budget,
            refreshes: 0,
            refreshing: BTreeMap::new(),
            lists: ModelLists::default(),
            apart: Bitset::default(),
            apart_until: Timestamp::MAX,
            waiting: pick::Waiting::default(),
            events: Events::default(),
            peers: None,
            settings,
        };
        pool.model("");
        pool
    }

    /// How it behaves.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Adds an account, or changes the one of that id. What was learned about it stays, unless its
    /// `revision` is new: then its credential is, and it is given a new try.
    pub fn upsert(&mut self, spec: &AccountSpec, now: Timestamp) -> Slot {
        let now = self.advance(now);
        let (index, new) = self.ids.add(&spec.id);
        let place = index as usize;
        if place >= self.accounts.len() {
            self.accounts.resize_with(place + 1, Account::default);
            self.cold.resize_with(place + 1, Cold::default);
        }
        if new {
            self.accounts[place] = Account {
                generation: self.accounts[place].generation,
                budget: NONE,
                scopes: NONE,
                timer: Timestamp::MAX,
                present: true,
                ..Account::default()
            };
            self.cold[place] = Cold {
                revision: spec.revision,
                ..Cold::default()
            };
        }
        self.describe(index, spec);
        if new {
            self.ask_for_all();
        }
        if self.cold[place].revision != spec.revision {
            self.cold[place].revision = spec.revision;
            self.revive(index, now);
            self.ask_for_all();
        }
        self.look(index, now);
        self.slot(index)
    }

    /// Writes down what the caller says about an account.
    fn describe(&mut self, index: u32, spec: &AccountSpec) {
        let provider = self.provider(&spec.provider);
        let group = spec.group.as_deref().map_or(NONE, |name| self.group(name));
        let models = spec.models.iter().map(|name| self.model(name).0);
        let models: Vec<u32> = models.collect();
        let account = &mut self.accounts[index as usize];
        let before = (account.tier, account.provider);
        account.weight = spec.weight;
        self.heaviest = self.heaviest.max(spec.weight);
        account.max_inflight = spec.max_inflight.unwrap_or(u32::MAX);
        account.enabled = spec.enabled;
        account.tier = spec.tier;
        account.provider = provider;
        if before.0 != spec.tier {
            self.put_ready(before.0, index, false);
        }
        if before.1 != provider {
            self.providers[before.1 as usize].members.put(index, false);
        }
        self.providers[provider as usize].members.put(index, true);
        self.apart_until = 0;
        self.join(index, group);
        self.restrict(index, &models);
    }

    /// Moves an account from one group to another.
    fn join(&mut self, index: u32, group: u32) {
        let before = std::mem::replace(&mut self.cold[index as usize].group, group);
        if before == group {
            return;
        }
        self.leave(index, before);
        if let Some(joined) = self.groups.get_mut(group as usize) {
            joined.members.push(index);
            let shared = joined.budget;
            let own = std::mem::replace(&mut self.accounts[index as usize].budget, shared);
            if own != NONE {
                self.free_budgets.push(own);
            }
        }
    }

    /// Takes an account out of its group, and its share of the budget with it.
    fn leave(&mut self, index: u32, group: u32) {
        let budget = std::mem::replace(&mut self.accounts[index as usize].budget, NONE);
        match self.groups.get_mut(group as usize) {
            Some(left) => left.members.retain(|member| *member != index),
            None if budget != NONE => self.free_budgets.push(budget),
            None => {}
        }
    }

    /// Says which models an account serves. None: all.
    fn restrict(&mut self, index: u32, models: &[u32]) {
        let models = self.lists.add(models);
        if self.cold[index as usize].models == models {
            return;
        }
        self.cold[index as usize].models = models;
        for model in 1..self.models.len() as u32 {
            self.look_at_model(index, model, self.now);
        }
    }

    /// Removes the accounts whose id is not one to keep.
    pub fn retain(&mut self, now: Timestamp, keeps: impl Fn(&str) -> bool) {
        let others: Vec<Slot> = self
            .slots()
            .filter(|slot| !self.id(*slot).is_some_and(&keeps))
            .collect();
        for other in others {
            self.remove(other, now);
        }
    }

    /// Removes an account. Its requests under way may still be reported.
    pub fn remove(&mut self, slot: Slot, now: Timestamp) -> bool {
        self.advance(now);
        if !self.holds(slot) {
            return false;
        }
        let index = slot.index;
        let account = &self.accounts[index as usize];
        let (tier, provider) = (account.tier, account.provider);
        let group = self.cold[index as usize].group;
        self.put_ready(tier, index, false);
        self.providers[provider as usize].members.put(index, false);
        self.apart_until = 0;
        self.leave(index, group);
        while self.accounts[index as usize].scopes != NONE {
            let state = self.accounts[index as usize].scopes;
            self.drop_state(index, self.states[state as usize].model);
        }
        for model in &mut self.models {
            model.blocked.put(index, false);
        }
        self.shares.forget(index);
        self.accounts[index as usize] = Account {
            generation: slot.generation.wrapping_add(1),
            ..Account::default()
        };
        self.cold[index as usize] = Cold::default();
        self.refreshing.remove(&index);
        self.forget_peers(slot);
        self.ids.remove(index);
        true
    }

    /// Lets an account serve, or not. Requests under way are not touched.
    pub fn set_enabled(&mut self, slot: Slot, enabled: bool, now: Timestamp) -> bool {
        let now = self.advance(now);
        if !self.holds(slot) {
            return false;
        }
        self.accounts[slot.index as usize].enabled = enabled;
        self.look(slot.index, now);
        true
    }

    /// Forgets every failure of an account, as an operator may ask.
    pub fn reset(&mut self, slot: Slot, now: Timestamp) -> bool {
        let now = self.advance(now);
        let held = self.holds(slot);
        if held {
            self.revive(slot.index, now);
            self.look(slot.index, now);
        }
        held
    }

    fn revive(&mut self, index: u32, now: Timestamp) {
        let slot = self.slot(index);
        let account = &mut self.accounts[index as usize];
        account.lifecycle = Lifecycle::Active;
        account.breaker = breaker::Breaker::default();
        account.learned_cap = 0;
        account.ramp_from = 0;
        self.refreshing.remove(&index);
        self.ended_here(Subject::Account(slot), now);
        self.ended_here(Subject::Credential(slot), now);
        while self.accounts[index as usize].scopes != NONE {
            let state = self.accounts[index as usize].scopes;
            let model = self.states[state as usize].model;
            self.drop_state(index, model);
            self.ended_here(Subject::Model(slot, Model(model)), now);
            self.look_at_model(index, model, now);
        }
    }

    /// The account of an id.
    pub fn find(&self, id: &str) -> Option<Slot> {
        self.ids.find(id).map(|index| self.slot(index))
    }

    /// The id of an account.
    pub fn id(&self, slot: Slot) -> Option<&str> {
        self.ids.name(slot.index).filter(|_| self.holds(slot))
    }

    /// The provider of an account, as its description names it.
    pub fn provider_of(&self, slot: Slot) -> Option<&str> {
        let account = self.accounts.get(slot.index as usize);
        let account = account.filter(|_| self.holds(slot))?;
        self.provider_name(account.provider)
    }

    /// The accounts, in the order of their places.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        let present =
            (0..self.accounts.len() as u32).filter(|index| self.accounts[*index as usize].present);
        present.map(|index| self.slot(index))
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.slots().count()
    }

    /// Whether there are no accounts.
    pub fn is_empty(&self) -> bool {
        self.slots().next().is_none()
    }

    /// How many requests are under way, with one account or with all.
    pub fn inflight(&self, slot: Option<Slot>) -> usize {
        match slot {
            None => self.permits.len(),
            Some(slot) if self.holds(slot) => self.accounts[slot.index as usize].inflight as usize,
            Some(_) => 0,
        }
    }

    /// How many sessions are remembered.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How far an account is usable at all.
    pub fn lifecycle(&self, slot: Slot) -> Option<Lifecycle> {
        self.holds(slot)
            .then(|| self.accounts[slot.index as usize].lifecycle)
    }

    /// The number of a model, for requests. The empty name, and every name beyond some thousands,
    /// is [`Model::ANY`], which has no limits of its own.
    pub fn model(&mut self, name: &str) -> Model {
        if let Some(number) = self.model_names.find(name) {
            return Model(number);
        }
        if self.model_names.len() >= MOST_NAMES {
            return Model::ANY;
        }
        let (number, _) = self.model_names.add(name);
        self.models.push(ModelIndex {
            blocked: Bitset::default(),
            stateful: Bitset::default(),
            used: [1.0; 2],
        });
        for index in 0..self.accounts.len() as u32 {
            if self.cold[index as usize].models != NONE {
                self.look_at_model(index, number, self.now);
            }
        }
        Model(number)
    }

    /// The name of a model.
    pub fn model_name(&self, model: u32) -> Option<&str> {
        self.model_names.name(model)
    }

    fn provider(&mut self, name: &str) -> u16 {
        let full = self.provider_names.len() >= MOST_NAMES;
        let number = match self.provider_names.find(name) {
            Some(number) => number,
            None if full => 0,
            None => self.provider_names.add(name).0,
        };
        if number as usize >= self.providers.len() {
            self.providers.push(Provider::default());
        }
        number as u16
    }

    /// The name of a provider.
    pub fn provider_name(&self, provider: u16) -> Option<&str> {
        self.provider_names.name(provider.into())
    }

    fn group(&mut self, name: &str) -> u32 {
        let (number, new) = self.group_names.add(name);
        if new {
            let budget = self.new_budget();
            self.groups.push(Group {
                budget,
                members: Vec::new(),
            });
        }
        number
    }

    fn slot(&self, index: u32) -> Slot {
        let generation = self.accounts[index as usize].generation;
        Slot { index, generation }
    }

    /// Whether a slot is an account of this pool.
    fn holds(&self, slot: Slot) -> bool {
        let account = self.accounts.get(slot.index as usize);
        account.is_some_and(|account| account.present && account.generation == slot.generation)
    }

    fn new_budget(&mut self) -> u32 {
        if let Some(free) = self.free_budgets.pop() {
            self.budgets[free as usize] = Budget::default();
            return free;
        }
        self.budgets.push(Budget::default());
        (self.budgets.len() - 1) as u32
    }

    /// What happened since the last call, oldest first. At most the last 1,024 events are kept.
    pub fn drain_events(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.events.drain()
    }

    /// How many events were lost since the last call because nobody fetched them.
    pub fn take_dropped_events(&mut self) -> u64 {
        self.events.take_dropped()
    }
}
