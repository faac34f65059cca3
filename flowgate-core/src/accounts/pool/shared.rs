//! One pool for many threads.

use std::sync::{Arc, Mutex, PoisonError};

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
pub struct SharedPool(Arc<Mutex<Pool>>);

impl From<Pool> for SharedPool {
    fn from(pool: Pool) -> Self {
        Self(Arc::new(Mutex::new(pool)))
    }
}

impl SharedPool {
    /// Does something with the pool while nobody else does. Keep it short: decide, do not act.
    pub fn with<T>(&self, use_it: impl FnOnce(&mut Pool) -> T) -> T {
        // A pool is whole after every call of a method, also when the caller panicked.
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
