//! What the pool of an executor has learned, in a file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::lease::{Shared, now};
use super::{Client, Executor};
use crate::accounts::Pool;
use crate::runtime::saved_pool::{StateError, save_pool, saved_pool};

/// How long changes are collected before they are written.
const COLLECTED: Duration = Duration::from_secs(1);
/// Writing may take that part of the time.
const SHARE: u32 = 20;

impl<C: Client> Executor<C> {
    /// Writes what the pool has learned to a file (0600): whole, or not at all. It holds no secret.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; the old one is there, then.
    pub fn save(&self, file: &Path) -> Result<(), StateError> {
        self.inner.shared.save(file)
    }

    /// Takes over what a file says about the accounts that this executor has. Requests that were
    /// under way in the process that wrote it are over. False: there is no such file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is damaged; the pool is as it was, then.
    pub fn load(&self, file: &Path) -> Result<bool, StateError> {
        let Some(state) = saved_pool(file)? else {
            return Ok(false);
        };
        let now = now();
        let mut pool = self.inner.shared.pool();
        let mut restored = Pool::restore(*pool.settings(), &state, now)?;
        restored.lose_all(now);
        let accounts = self.inner.accounts.read();
        let accounts = accounts.unwrap_or_else(PoisonError::into_inner);
        for account in accounts.values() {
            restored.upsert(&account.spec, now);
        }
        restored.retain(now, |id| accounts.contains_key(id));
        restored.share_like(&pool);
        *pool = restored;
        drop(pool);
        self.inner.shared.changed.notify_waiters();
        Ok(true)
    }

    /// [`load`](Self::load), and from now on [`save`](Self::save) within a second of every change,
    /// and once more when the last clone of this executor, or the runtime, ends. `flowgate accounts
    /// list` and `explain` look at the file that
    /// [`Paths::accounts_file`](crate::config::Paths::accounts_file) names.
    ///
    /// Must be called in a runtime of tokio. That a file cannot be written later holds nobody up;
    /// [`save_error`](Self::save_error) says so.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is damaged; nothing is kept, then.
    pub fn keep_state(&self, file: impl Into<PathBuf>) -> Result<bool, StateError> {
        let file = file.into();
        let found = self.load(&file)?;
        let shared = Arc::clone(&self.inner.shared);
        let alive = Arc::downgrade(&self.inner);
        let keeper = Keeper { shared, file };
        tokio::spawn(async move {
            loop {
                let mut changed = std::pin::pin!(keeper.shared.changed.notified());
                // What changes from here on is written in the next round.
                changed.as_mut().enable();
                if alive.strong_count() == 0 {
                    return;
                }
                let took = keeper.write().await;
                tokio::time::sleep(COLLECTED.max(took * SHARE)).await;
                changed.await;
            }
        });
        Ok(found)
    }

    /// Why what was learned could not be written the last time, if it could not.
    pub fn save_error(&self) -> Option<String> {
        self.inner.shared.unsaved().clone()
    }
}

impl Shared {
    fn save(&self, file: &Path) -> Result<(), StateError> {
        let state = self.pool().snapshot();
        save_pool(file, &state)
    }

    /// Writes the file, one at a time, so that the latest comes last; and remembers why if it cannot.
    fn keep(&self, file: &Path) {
        let mut unsaved = self.unsaved();
        *unsaved = self.save(file).err().map(|error| error.to_string());
    }
}

/// Keeps a file up to date, and writes it once more at the end.
struct Keeper {
    shared: Arc<Shared>,
    file: PathBuf,
}

impl Keeper {
    /// Writes the file. Answers how long that took.
    async fn write(&self) -> Duration {
        let (shared, file) = (Arc::clone(&self.shared), self.file.clone());
        let begun = Instant::now();
        // A runtime that ends takes no more work; then the end of the keeper writes.
        let _ = tokio::task::spawn_blocking(move || shared.keep(&file)).await;
        begun.elapsed()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.keep(&self.file);
    }
}
