//! Telling regular files from what only looks like one.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

/// Why a device, a pipe or a socket is refused: reading one can wait for ever, and a file that is
/// renamed onto one replaces it.
#[derive(Debug, thiserror::Error)]
#[error("it is a device, a pipe or a socket")]
pub(super) struct NotRegular;

/// What is known of a regular file; `None` if there is nothing of this name.
pub(super) fn regular(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Err(io::Error::other(NotRegular)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
