//! Copies of files that are about to change, named for the moment.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::atomic::{Access, directory_of, temporary};
use super::{Error, Planned, write_all};
use crate::Timestamp;

const MARK: &str = ".backup-";

/// Writes a copy beside a file. It never replaces an older one: of two in one millisecond, the
/// second is named for the next.
pub(super) fn back_up(
    path: &Path,
    content: &[u8],
    access: Access,
    now: Timestamp,
) -> Result<PathBuf, Error> {
    let failed = |error: io::Error| Error::write(path, &error);
    super::atomic::make_directory(directory_of(path)).map_err(failed)?;
    for moment in now..now.saturating_add(1000) {
        let backup = named(path, moment);
        let write = || -> io::Result<()> {
            let mut file = temporary().tempfile_in(directory_of(path))?;
            file.write_all(content)?;
            if let (Access::Keep, Ok(metadata)) = (access, path.metadata()) {
                file.as_file().set_permissions(metadata.permissions())?;
            }
            file.as_file().sync_all()?;
            file.persist_noclobber(&backup)
                .map(drop)
                .map_err(|error| error.error)
        };
        match write() {
            Ok(()) => return Ok(backup),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::write(&backup, &error)),
        }
    }
    Err(failed(io::ErrorKind::AlreadyExists.into()))
}

/// Writes a file after a copy of what it held.
pub(super) fn write_backed_up(
    file: Planned,
    before: &[u8],
    copy: Access,
    now: Timestamp,
) -> Result<PathBuf, Error> {
    let backup = back_up(&file.path, before, copy, now)?;
    // A copy of what is still there helps nobody, and would be in the way of the next attempt.
    write_all(&[file]).inspect_err(|_| drop(fs::remove_file(&backup)))?;
    Ok(backup)
}

/// The copies of a file, newest first.
pub(super) fn backups(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(directory_of(path)) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_one = |candidate: &String| {
        let moment = candidate
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(MARK));
        let moment = moment.unwrap_or_default();
        moment.len() == "20261231T235959.000".len()
            && moment
                .chars()
                .all(|c| c.is_ascii_digit() || c == 'T' || c == '.')
    };
    let mut found: Vec<String> = names.filter(is_one).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
        .into_iter()
        .map(|name| path.with_file_name(name))
        .collect()
}

fn named(path: &Path, moment: Timestamp) -> PathBuf {
    let moment = crate::rfc3339(moment).replace(['-', ':', 'Z'], "");
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{MARK}{moment}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r04_a_second_copy_in_the_same_moment_is_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        for content in ["a", "b", "c"] {
            back_up(
                &path,
                content.as_bytes(),
                Access::Private,
                1_700_000_000_000,
            )
            .unwrap();
        }
        fs::write(dir.path().join("settings.json.backup-mine"), "x").unwrap();
        fs::write(
            dir.path().join("other.json.backup-20231114T221320.000"),
            "x",
        )
        .unwrap();
        let kept = backups(&path);
        let texts: Vec<_> = kept
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        assert_eq!(texts, ["c", "b", "a"]);
        assert!(
            kept[2]
                .to_string_lossy()
                .ends_with("settings.json.backup-20231114T221320.000")
        );
    }
}
