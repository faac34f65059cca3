//! What happened in a pool, for logs and displays.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::Class;
use super::account::Slot;
use crate::Timestamp;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// The event as JSON, with the names that its numbers stand for: `account`, `model`, `provider`.
    pub fn named(&self, pool: &super::Pool) -> Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        let Some(fields) = json.as_object_mut() else {
            return json;
        };
        if let Some(slot) = fields.shift_remove("slot") {
            let slot = Slot::deserialize(slot).ok();
            let id = slot.and_then(|slot| pool.id(slot));
            fields.insert("account".to_owned(), id.into());
        }
        if let Some(model) = fields.get_mut("model") {
            let number = u32::deserialize(&*model).ok();
            *model = number.and_then(|number| pool.model_name(number)).into();
        }
        if let Some(provider) = fields.get_mut("provider") {
            let number = u16::deserialize(&*provider).ok();
            *provider = number.and_then(|number| pool.provider_name(number)).into();
        }
        json
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// An account, or one model of it, rests.
    Cooled {
        /// The account.
        slot: Slot,
        /// The model, as [`Pool::model_name`](super::Pool::model_name) knows it; `None`: all.
        model: Option<u32>,
        /// Why.
        class: Class,
        /// Until when.
        until: Timestamp,
    },
    /// An account, or one model of it, serves again.
    Recovered {
        /// The account.
        slot: Slot,
        /// The model; `None`: all.
        model: Option<u32>,
    },
    /// A credential was refused and is to be refreshed.
    NeedsRefresh {
        /// The account.
        slot: Slot,
    },
    /// A credential was refreshed.
    Refreshed {
        /// The account.
        slot: Slot,
    },
    /// A credential is gone for good.
    Died {
        /// The account.
        slot: Slot,
    },
    /// The provider seems to allow only so many requests at a time.
    CapLearned {
        /// The account.
        slot: Slot,
        /// How many.
        cap: u32,
    },
    /// A provider is overloaded and left alone.
    ProviderOpened {
        /// The provider, as [`Pool::provider_name`](super::Pool::provider_name) knows it.
        provider: u16,
        /// Until when.
        until: Timestamp,
    },
    /// A provider serves again.
    ProviderClosed {
        /// The provider.
        provider: u16,
    },
    /// Nothing was reported about a permit until its lease ended.
    PermitLost {
        /// The account.
        slot: Slot,
        /// The permit.
        permit: u64,
    },
}

/// The events that nobody fetched yet; the oldest make room.
#[derive(Clone, Debug)]
pub(super) struct Events {
    queue: VecDeque<Event>,
    dropped: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            queue: VecDeque::with_capacity(Self::CAPACITY),
            dropped: 0,
        }
    }
}

impl Events {
    const CAPACITY: usize = 1_024;

    pub(super) fn add(&mut self, at: Timestamp, kind: EventKind) {
        if self.queue.len() == Self::CAPACITY {
            self.queue.pop_front();
            self.dropped += 1;
        }
        self.queue.push_back(Event { at, kind });
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.queue.drain(..)
    }

    /// How many made room since the last question.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}
