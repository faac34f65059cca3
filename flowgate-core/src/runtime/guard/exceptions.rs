//! The commands that wait for a person, and those that one granted.

use std::io;
use std::path::Path;

use super::{GuardFiles, private, text_of};
use crate::Timestamp;
use crate::guard::{Exceptions, Grant, Request};
use crate::runtime::atomic::make_directory;
use crate::runtime::{Access, Error, Planned, write_all};

/// How long a stopped command waits for a person's decision, in milliseconds.
const REQUEST_LIFETIME: u64 = 60 * 60 * 1000;
/// How long a granted command may run, in milliseconds.
const GRANT_LIFETIME: u64 = 10 * 60 * 1000;

/// The exceptions that are open, oldest first.
///
/// # Errors
///
/// [`Error::Read`] if they cannot be read.
pub fn exceptions(files: &GuardFiles) -> Result<Exceptions, Error> {
    let Some(text) = text_of(&files.exceptions)? else {
        return Ok(Exceptions::default());
    };
    serde_json::from_str(&text)
        .map_err(|error| Error::read(&files.exceptions, &io::Error::other(error)))
}

/// Uses up the grant for a command in a directory, or notes that a person may want to give one.
///
/// Says whether the command may run.
///
/// # Errors
///
/// [`Error::Read`] and [`Error::Write`]; the command may not run then.
pub fn redeem_or_request(
    files: &GuardFiles,
    command: &str,
    cwd: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    update(files, |exceptions| {
        if exceptions.redeem(command, cwd, now) {
            return true;
        }
        let random = getrandom::u64().unwrap_or_default();
        // Without randomness there is no code, and nothing to grant.
        if random != 0 {
            exceptions.request(command, cwd, random, now, REQUEST_LIFETIME);
        }
        false
    })
}

/// Grants the request of a code; `None` if no such request is open.
///
/// # Errors
///
/// [`Error::Read`] and [`Error::Write`].
pub fn grant(files: &GuardFiles, code: &str, now: Timestamp) -> Result<Option<Grant>, Error> {
    update(files, |exceptions| {
        exceptions.grant(code, now, GRANT_LIFETIME).cloned()
    })
}

/// The requests that wait at a moment.
///
/// # Errors
///
/// [`Error::Read`] if they cannot be read.
pub fn requests(files: &GuardFiles, now: Timestamp) -> Result<Vec<Request>, Error> {
    let mut requests = exceptions(files)?.requests;
    requests.retain(|request| now < request.expires);
    Ok(requests)
}

/// Reads, changes and writes the exceptions while no other process does.
fn update<T>(files: &GuardFiles, change: impl FnOnce(&mut Exceptions) -> T) -> Result<T, Error> {
    let path = &files.exceptions;
    let failed = |error: io::Error| Error::write(path, &error);
    let directory = path.parent().unwrap_or(Path::new("."));
    make_directory(directory).map_err(failed)?;
    let lock = private(&path.with_extension("lock"), false).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let before = exceptions(files)?;
    let mut after = before.clone();
    let result = change(&mut after);
    if after != before {
        let content = serde_json::to_string_pretty(&after).map_err(|error| failed(error.into()))?;
        write_all(&[Planned {
            path: path.clone(),
            content: content + "\n",
            access: Access::Private,
        }])?;
    }
    Ok(result)
}
