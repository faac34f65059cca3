//! What a pool of accounts has learned, in a file: to continue after a restart, and to be looked at.
//!
//! The file holds no secret; it is private all the same, since it says which accounts there are.

use std::path::Path;

use super::{Access, Error, Planned, read_document, write_all};
use crate::Timestamp;
use crate::accounts::{Pool, PoolState, SnapshotError};
use crate::config;

/// Why what was learned cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] Error),
    /// The file is not what was written.
    #[error("the saved state of the accounts is damaged ({0}); delete it to start anew")]
    Json(serde_json::Error),
    /// What it says does not fit together.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl StateError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::File(error) => error.code(),
            Self::Json(_) => "accounts.state_damaged",
            Self::Snapshot(error) => error.code(),
        }
    }
}

/// Writes what a pool has learned to a file (0600): whole, or not at all.
///
/// # Errors
///
/// If the file cannot be written; the old one is there, then.
pub fn save_pool(file: &Path, state: &PoolState) -> Result<(), StateError> {
    let content = serde_json::to_string(state).map_err(StateError::Json)?;
    write_all(&[Planned {
        path: file.to_owned(),
        content,
        access: Access::Private,
    }])?;
    Ok(())
}

/// What [`save_pool`] wrote; `None` if there is no such file.
///
/// # Errors
///
/// If the file cannot be read, or is no state.
pub fn saved_pool(file: &Path) -> Result<Option<PoolState>, StateError> {
    if matches!(file.try_exists(), Ok(false)) {
        return Ok(None);
    }
    let text = read_document(file)?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(StateError::Json)
}

/// A pool of the accounts that a configuration has, with what was learned about them before.
///
/// Accounts that are new start with the quota of their `limits`; of accounts that are no longer
/// there, nothing is kept.
///
/// # Errors
///
/// If the saved state does not fit together, or is of another release.
///
/// # Example
///
/// ```
/// use flowgate_core::config::Config;
/// use flowgate_core::runtime::configured_pool;
///
/// let config = Config::from_yaml("accounts: { pool: [{ id: work, provider: openai }] }").unwrap();
/// let pool = configured_pool(config.settings().accounts.as_ref(), None, 0).unwrap();
/// assert!(pool.find("work").is_some());
/// ```
pub fn configured_pool(
    accounts: Option<&config::Accounts>,
    saved: Option<&PoolState>,
    now: Timestamp,
) -> Result<Pool, SnapshotError> {
    let settings = accounts.map_or_else(Default::default, config::Accounts::settings);
    let mut pool = match saved {
        Some(state) => Pool::restore(settings, state, now)?,
        None => Pool::new(settings),
    };
    let listed = accounts.map_or(&[][..], |accounts| &accounts.pool);
    for account in listed {
        let spec = account.spec();
        let quota = account.quota().filter(|_| pool.find(&spec.id).is_none());
        let slot = pool.upsert(&spec, now);
        if let Some(quota) = quota {
            pool.observe_quota(now, slot, &quota);
        }
    }
    pool.retain(now, |id| listed.iter().any(|account| *account.id == *id));
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::accounts::{
        AccountState, Action, Class, Classification, Outcome, Pick, Request, Scope,
    };
    use crate::config::Config;

    const NOW: Timestamp = 1_700_000_000_000;

    fn accounts(pool: &str) -> config::Accounts {
        let config = Config::from_yaml(&format!("accounts: {{ pool: [{pool}] }}")).unwrap();
        config.settings().accounts.clone().unwrap()
    }

    fn refused(pool: &mut Pool) {
        let Pick::Use(permit) = pool.pick(NOW, &Request::default()) else {
            panic!("somebody serves");
        };
        let answer = Classification {
            class: Class::Quota,
            scope: Scope::Account,
            action: Action::Next,
            cooldown_ms: Some(600_000),
        };
        pool.report(NOW, permit, &Outcome::from(answer));
    }

    #[test]
    fn what_was_learned_comes_back_for_the_accounts_that_are_still_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new/accounts.json");
        assert_eq!(saved_pool(&file).unwrap(), None);
        let before = accounts("{id: a, provider: x}");
        let mut pool = configured_pool(Some(&before), None, NOW).unwrap();
        refused(&mut pool);
        save_pool(&file, &pool.snapshot()).unwrap();

        let saved = saved_pool(&file).unwrap().unwrap();
        assert_eq!(saved.saved_at(), NOW);
        let more = accounts("{id: a, provider: x}, {id: b, provider: x}");
        let seen = configured_pool(Some(&more), Some(&saved), NOW + 1)
            .unwrap()
            .view(NOW + 1);
        let states: Vec<_> = seen.iter().map(|a| (a.id.as_str(), a.state)).collect();
        assert_eq!(
            states,
            [("a", AccountState::Cooling), ("b", AccountState::Ready)]
        );
        let none = configured_pool(None, Some(&saved), NOW + 1).unwrap();
        assert!(none.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("accounts.json");
        let pool = Pool::new(crate::accounts::Settings::default());
        save_pool(&file, &pool.snapshot()).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_state_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("accounts.json");
        for damaged in ["", "[]", "{\"version\": 1}"] {
            fs::write(&file, damaged).unwrap();
            let error = saved_pool(&file).unwrap_err();
            assert_eq!(error.code(), "accounts.state_damaged", "{damaged}");
        }
    }
}
