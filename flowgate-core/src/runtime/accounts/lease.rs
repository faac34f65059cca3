//! A pool that many tasks share, and permits that cannot be forgotten.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::Timestamp;
use crate::accounts::{
    Action, Class, Classification, Outcome, Permit, Pool, PoolGuard, QuotaView, Scope, SharedPool,
    Slot, Verdict,
};

/// A pool that many tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pool: SharedPool,
    /// Something was reported: who waits may look again.
    pub(super) changed: Notify,
    /// Why what was learned could not be written.
    unsaved: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn new(pool: Pool) -> Self {
        Self {
            pool: SharedPool::from(pool),
            changed: Notify::new(),
            unsaved: Mutex::new(None),
        }
    }

    pub(super) fn unsaved(&self) -> MutexGuard<'_, Option<String>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pool(&self) -> PoolGuard<'_> {
        self.pool.lock()
    }

    /// The pool itself, for whoever shares it with other processes.
    #[cfg(feature = "redis")]
    pub(super) const fn handle(&self) -> &SharedPool {
        &self.pool
    }
}

/// The time, for a pool that is not in a simulation.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

/// A permit that is reported as cancelled if nothing else is reported.
#[derive(Debug)]
pub(super) struct Lease {
    shared: Arc<Shared>,
    slot: Slot,
    permit: Option<Permit>,
}

/// Whoever asked went away.
const CANCELLED: Classification = Classification {
    class: Class::ClientCancelled,
    scope: Scope::None,
    action: Action::Stop,
    cooldown_ms: None,
};

impl Lease {
    pub(super) fn new(shared: Arc<Shared>, permit: Permit) -> Self {
        Self {
            shared,
            slot: permit.slot(),
            permit: Some(permit),
        }
    }

    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// The headers of a success came.
    pub(super) fn accepted(&self, quota: &QuotaView) {
        if let Some(permit) = &self.permit {
            self.shared.pool().on_headers(now(), permit, true, quota);
            self.shared.changed.notify_waiters();
        }
    }

    /// It is over.
    pub(super) fn report(mut self, outcome: &Outcome<'_>) -> Option<Verdict> {
        self.give_back(outcome)
    }

    fn give_back(&mut self, outcome: &Outcome<'_>) -> Option<Verdict> {
        let permit = self.permit.take()?;
        let verdict = self.shared.pool().report(now(), permit, outcome);
        self.shared.changed.notify_waiters();
        Some(verdict)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back(&Outcome::from(CANCELLED));
    }
}
