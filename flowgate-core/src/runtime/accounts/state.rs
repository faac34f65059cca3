//! What a pool has learned, in a file.

use std::path::Path;

use super::lease::now;
use super::{Client, Executor};
use crate::accounts::{Pool, PoolState, SnapshotError};
use crate::runtime::{self, Access, Planned, read_document, write_all};

/// Why what was learned cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] runtime::Error),
    /// The file is not what was written.
    #[error("the saved state of the accounts is damaged ({0}); delete it to start anew")]
    Json(serde_json::Error),
    /// What it says does not fit together.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl StateError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Json(_) => "accounts.state_damaged",
            Self::Snapshot(error) => error.code(),
        }
    }
}

impl<C: Client> Executor<C> {
    /// Writes what the pool has learned to a file: whole, or not at all. It holds no secret.
    ///
    /// # Errors
    ///
    /// If the file cannot be written; the old one is there, then.
    pub fn save(&self, file: &Path) -> Result<(), StateError> {
        let state = self.with_pool(|pool, _| pool.snapshot());
        let content = serde_json::to_string(&state).map_err(StateError::Json)?;
        write_all(&[Planned {
            path: file.to_owned(),
            content,
            access: Access::Private,
        }])?;
        Ok(())
    }

    /// Takes over what a file says about the accounts that this executor has. Requests that were
    /// under way in the process that wrote it are over. False: there is no such file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is damaged; the pool is as it was, then.
    pub fn load(&self, file: &Path) -> Result<bool, StateError> {
        if matches!(file.try_exists(), Ok(false)) {
            return Ok(false);
        }
        let text = read_document(file)?;
        let state: PoolState = serde_json::from_slice(&text).map_err(StateError::Json)?;
        let now = now();
        let mut pool = self.inner.shared.pool();
        let mut restored = Pool::restore(*pool.settings(), &state, now)?;
        restored.lose_all(now);
        let accounts = self.inner.accounts.read();
        let accounts = accounts.unwrap_or_else(std::sync::PoisonError::into_inner);
        for account in accounts.values() {
            restored.upsert(&account.spec, now);
        }
        let strangers: Vec<_> = restored
            .slots()
            .filter(|slot| {
                restored
                    .id(*slot)
                    .is_none_or(|id| !accounts.contains_key(id))
            })
            .collect();
        for stranger in strangers {
            restored.remove(stranger, now);
        }
        *pool = restored;
        drop(pool);
        self.inner.shared.changed.notify_waiters();
        Ok(true)
    }
}
