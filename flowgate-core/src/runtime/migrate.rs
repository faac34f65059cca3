//! Rewriting a configuration file as version 2.

use std::path::{Path, PathBuf};

use super::backup::write_backed_up;
use super::load::read_proxy_file;
use super::{Access, Error, Planned, read_document};
use crate::Timestamp;
use crate::config::{Config, Migration, migrate_with_proxy};
use crate::yaml::{self, Node};

/// A configuration file and what [`migrate_file`] made of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MigratedFile {
    /// The text before.
    pub before: String,
    /// The text after, what changed, and what is still wrong.
    pub migration: Migration,
    /// The copy of the old file, if one was written.
    pub backup: Option<PathBuf>,
}

/// Rewrites a configuration file as version 2, after a copy of it is written beside it.
///
/// The copy is named for the moment `now`, and is as private as the original. With `dry_run`, or
/// if there is nothing to change, no file is touched.
///
/// # Errors
///
/// As [`migrate_with_proxy`] and [`super::load`]; and [`Error::Write`] if the copy or the new file cannot be
/// written. The original is untouched then.
pub fn migrate_file(path: &Path, dry_run: bool, now: Timestamp) -> Result<MigratedFile, Error> {
    let bytes = read_document(path)?;
    let file = path.to_string_lossy();
    let named = |error: crate::config::Error| Error::from(error.in_file(&file));
    let before = Config::text(&file, &bytes)?.to_owned();
    let proxy = proxy_settings(path, &bytes)?;
    let migration = migrate_with_proxy(&before, &proxy).map_err(named)?;
    if dry_run || migration.changes.is_empty() {
        return Ok(MigratedFile {
            before,
            migration,
            backup: None,
        });
    }
    let planned = Planned {
        path: path.to_owned(),
        content: migration.text.clone(),
        access: Access::Keep,
    };
    let backup = write_backed_up(planned, before.as_bytes(), Access::Keep, now)?;
    Ok(MigratedFile {
        before,
        migration,
        backup: Some(backup),
    })
}

/// The proxy's own configuration, if a version 3 document refers to one; null otherwise.
fn proxy_settings(path: &Path, bytes: &[u8]) -> Result<Node, Error> {
    // What is wrong with the document is said by the migration.
    let Ok(config) = Config::from_file(&path.to_string_lossy(), bytes) else {
        return Ok(Node::default());
    };
    let Some((proxy, bytes)) = read_proxy_file(&config, path)? else {
        return Ok(Node::default());
    };
    // Refuses what loading would refuse.
    config.with_proxy_file(&proxy, &bytes)?;
    let text = Config::text(&proxy, &bytes)?;
    Ok(yaml::read(text).root.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_old_file_is_kept_and_a_dry_run_touches_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flowgate.yaml");
        let old = "config_version: 1  # mine\nsecrets: []\n";
        fs::write(&path, old).unwrap();
        let dry = migrate_file(&path, true, 0).unwrap();
        assert_eq!((dry.migration.changes.len(), dry.backup), (2, None));
        assert_eq!(fs::read_to_string(&path).unwrap(), old);

        let done = migrate_file(&path, false, 1_771_200_000_123).unwrap();
        let backup = done.backup.unwrap();
        assert!(
            backup
                .to_string_lossy()
                .ends_with("flowgate.yaml.backup-20260216T000000.123"),
            "{backup:?}"
        );
        assert_eq!(fs::read_to_string(backup).unwrap(), old);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "config_version: 2  # mine\nsecret_files: []\n"
        );
        assert_eq!(migrate_file(&path, false, 2).unwrap().backup, None);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_no_copy_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "config_version: 1\n").unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        assert!(migrate_file(&path, false, 0).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn version_3_keeps_the_address_of_its_proxy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flowgate.yaml");
        let old = "config_version: 3\npaths: {runtime_dir: run}\ncliproxyapi_plus: {config_file: proxy.yaml}\n";
        fs::write(&path, old).unwrap();
        assert!(migrate_file(&path, false, 0).is_err());
        fs::write(
            dir.path().join("proxy.yaml"),
            "port: 9000\nhost: localhost\n",
        )
        .unwrap();
        let before = super::super::load(&path).unwrap();
        migrate_file(&path, false, 0).unwrap();
        let after = super::super::load(&path).unwrap();
        assert_eq!(before.settings().services, after.settings().services);
    }

    #[test]
    fn a_backup_that_is_there_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "config_version: 1\n").unwrap();
        let precious = dir.path().join("a.yaml.backup-19700101T000000.000");
        fs::write(&precious, "precious").unwrap();
        let backup = migrate_file(&path, false, 0).unwrap().backup.unwrap();
        assert!(backup.ends_with("a.yaml.backup-19700101T000000.001"));
        assert_eq!(fs::read_to_string(&backup).unwrap(), "config_version: 1\n");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }
}
