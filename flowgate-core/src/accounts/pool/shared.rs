//! One pool for many threads.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Pool;

/// A pool that many threads use. A decision takes less time than a thread needs to fall asleep, so
/// one lock is enough.
///
/// # Example
///
/// ```
/// use flowgate_core::accounts::{AccountSpec, Outcome, Pick, Pool, Request, Settings, SharedPool};
///
/// let mut pool = Pool::new(Settings::default());
/// pool.upsert(&AccountSpec::new("claude-1", "anthropic"), 0);
/// let pool = SharedPool::from(pool);
/// let other = pool.clone();
/// if let Pick::Use(permit) = other.with(|pool| pool.pick(1, &Request::default())) {
///     assert_eq!(pool.with(|pool| pool.inflight(None)), 1);
///     // Send the request: nobody waits for the lock meanwhile.
///     other.with(|pool| pool.report(2, permit, &Outcome::ok(None)));
/// }
/// assert_eq!(pool.with(|pool| pool.inflight(None)), 0);
/// ```
#[derive(Clone, Debug)]
pub struct SharedPool(Arc<Mutex<Held>>);

struct Held {
    pool: Pool,
    /// Called when the pool asks something of whoever shares it with other processes.
    wake: Option<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

impl From<Pool> for SharedPool {
    fn from(pool: Pool) -> Self {
        Self(Arc::new(Mutex::new(Held { pool, wake: None })))
    }
}

impl SharedPool {
    /// Does something with the pool while nobody else does. Keep it short: decide, do not act.
    pub fn with<T>(&self, use_it: impl FnOnce(&mut Pool) -> T) -> T {
        use_it(&mut self.lock())
    }

    /// The pool, while nobody else has it. Keep it short: decide, do not act.
    pub fn lock(&self) -> PoolGuard<'_> {
        // A pool is whole after every call of a method, also when the caller panicked.
        PoolGuard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls `wake`, and nobody who was called before, whenever the pool has something to ask of
    /// its driver: see [`Pool::take_asks`]. The pool is locked meanwhile: only wake somebody.
    pub fn on_asks(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.lock().0.wake = Some(Box::new(wake));
    }
}

/// A pool that nobody else has meanwhile.
#[derive(Debug)]
pub struct PoolGuard<'p>(MutexGuard<'p, Held>);

impl Deref for PoolGuard<'_> {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.0.pool
    }
}

impl DerefMut for PoolGuard<'_> {
    fn deref_mut(&mut self) -> &mut Pool {
        &mut self.0.pool
    }
}

impl Drop for PoolGuard<'_> {
    fn drop(&mut self) {
        if self.has_asks()
            && let Some(wake) = &self.0.wake
        {
            wake();
        }
    }
}
