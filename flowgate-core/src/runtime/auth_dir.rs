//! Places that are found by looking what is there.

use std::path::PathBuf;

use super::atomic::directory_of;
use crate::config::Settings;

/// The directory of stored credentials: `auth.dir`, or else `auth` beside the runtime directory, or
/// `auths` if that is there and `auth` is not.
pub(super) fn auth_dir(settings: &Settings) -> PathBuf {
    if let Some(dir) = &settings.auth.dir {
        return PathBuf::from(dir.to_string());
    }
    let runtime_dir = PathBuf::from(settings.paths.runtime_dir.to_string());
    let beside = directory_of(&runtime_dir).to_owned();
    let (usual, old) = (beside.join("auth"), beside.join("auths"));
    if !usual.exists() && old.is_dir() {
        old
    } else {
        usual
    }
}
