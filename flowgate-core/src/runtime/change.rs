//! The files of a change: staged, placed and put back step by step, so that a crash between any two
//! of them leaves nothing that the next start cannot repair.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::atomic::{directory_of, make_directory};
use super::regular::regular;
use super::{Access, Error, Planned, write_all};
use crate::supervise::{
    Apply, ApplyAction, ApplyEvent, FileStep, Journal, Limits, Outcome, Proposal, Repair, ServiceId,
};

/// The files of one change, and the journal beside them.
#[derive(Debug)]
pub struct ChangeFiles {
    journal: PathBuf,
    planned: Vec<Planned>,
}

/// A change that a crash had interrupted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Repaired {
    /// What it was, in words.
    pub what: String,
    /// The services whose processes may have read contents that are not there any more: they are to
    /// be replaced.
    pub services: Vec<ServiceId>,
}

impl ChangeFiles {
    /// New contents for files; the journal is kept in `runtime_dir`. Whoever takes the steps holds
    /// the lock of that directory.
    pub fn new(runtime_dir: &Path, planned: Vec<Planned>) -> Self {
        Self {
            journal: journal_path(runtime_dir),
            planned,
        }
    }

    /// Their paths, for [`Proposal::files`].
    pub fn paths(&self) -> Vec<String> {
        let paths = self.planned.iter();
        paths
            .map(|planned| planned.path.to_string_lossy().into_owned())
            .collect()
    }

    /// Takes steps, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] for the first that could not be taken; those after it were not.
    pub fn take(&self, steps: &[FileStep]) -> Result<(), Error> {
        for step in steps {
            match step {
                FileStep::WriteJournal(journal) => write_journal(&self.journal, journal)?,
                FileStep::DeleteJournal => {
                    remove(&self.journal).map_err(|error| Error::write(&self.journal, &error))?
                }
                FileStep::Stage => each(&self.targets(), |target| {
                    let planned = self.planned.iter().find(|file| file.path == *target);
                    planned.map_or(Ok(()), stage)
                })?,
                FileStep::Place => each(&self.targets(), place)?,
                FileStep::Restore => each(&self.targets(), restore)?,
                FileStep::Discard => each(&self.targets(), discard)?,
            }
        }
        Ok(())
    }

    fn targets(&self) -> Vec<PathBuf> {
        self.planned.iter().map(|file| file.path.clone()).collect()
    }
}

/// Whether a change of this directory is under way, or was when a crash came.
#[cfg(all(feature = "process", target_os = "linux"))]
pub(super) fn is_under_way(runtime_dir: &Path) -> bool {
    journal_path(runtime_dir).symlink_metadata().is_ok()
}

/// Repairs what a crash in the middle of a change has left in `runtime_dir`; `None` if nothing has.
/// Whoever calls this holds the lock of that directory.
///
/// # Errors
///
/// [`Error::Read`] or [`Error::Write`] if it cannot be repaired; it can be tried again.
pub fn repair_change(runtime_dir: &Path) -> Result<Option<Repaired>, Error> {
    let path = journal_path(runtime_dir);
    let read = || match regular(&path)? {
        Some(_) => fs::read(&path).map(Some),
        None => Ok(None),
    };
    let Some(bytes) = read().map_err(|error| Error::read(&path, &error))? else {
        return Ok(None);
    };
    let journal: Journal = serde_json::from_slice(&bytes)
        .map_err(|error| Error::read(&path, &io::Error::other(error)))?;
    let targets: Vec<PathBuf> = journal.files.iter().map(PathBuf::from).collect();
    let services = match journal.repair() {
        Repair::Discard => Vec::new(),
        Repair::Restore { services } => {
            each(&targets, restore)?;
            services
        }
    };
    each(&targets, discard)?;
    remove(&path).map_err(|error| Error::write(&path, &error))?;
    let what = journal.what;
    Ok(Some(Repaired { what, services }))
}

/// Gives files new contents while no service runs: all of them or none, also if the machine crashes.
pub(super) fn change_files(files: &ChangeFiles, what: &str) -> Result<(), Error> {
    let mut actions = Vec::new();
    let mut apply = Apply::begin(Limits::default(), &mut actions);
    let mut failed = None;
    while let Some(action) = actions.pop() {
        let event = match action {
            ApplyAction::Compose => ApplyEvent::Composed(Proposal {
                what: what.to_owned(),
                files: files.paths(),
                ..Proposal::default()
            }),
            ApplyAction::Files(steps) => match files.take(&steps) {
                Ok(()) => ApplyEvent::FilesDone,
                Err(error) => {
                    let why = error.to_string();
                    failed = failed.or(Some(error));
                    ApplyEvent::FilesFailed { why }
                }
            },
            ApplyAction::Finished(Outcome::Committed { .. }) => return Ok(()),
            ApplyAction::Finished(Outcome::RolledBack { .. }) | ApplyAction::Command(_) => break,
        };
        apply.step(0, event, &mut actions);
    }
    failed.map_or(Ok(()), Err)
}

fn journal_path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("change.json")
}

fn write_journal(path: &Path, journal: &Journal) -> Result<(), Error> {
    let content = serde_json::to_string_pretty(journal)
        .map_err(|error| Error::write(path, &io::Error::other(error)))?;
    write_all(&[Planned {
        path: path.to_owned(),
        content,
        access: Access::Private,
    }])
}

fn each(targets: &[PathBuf], step: impl Fn(&Path) -> io::Result<()>) -> Result<(), Error> {
    for target in targets {
        step(target).map_err(|error| Error::write(target, &error))?;
        // What was renamed or removed is on disk only when its directory is.
        sync(target).map_err(|error| Error::write(target, &error))?;
    }
    Ok(())
}

fn sync(target: &Path) -> io::Result<()> {
    match File::open(directory_of(&behind_link(target)?)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        directory => directory?.sync_all(),
    }
}

/// The file that is meant: renaming onto a link would replace the link.
fn behind_link(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            Ok(path.to_owned())
        }
        found => found,
    }
}

/// What stands beside a file while it changes.
#[derive(Clone, Copy)]
enum Beside {
    /// Its new content.
    Next,
    /// Its old content.
    Before,
    /// The mark that there was no file.
    Absent,
}

fn beside(target: &Path, what: Beside) -> io::Result<PathBuf> {
    let target = behind_link(target)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let what = match what {
        Beside::Next => "next",
        Beside::Before => "before",
        Beside::Absent => "absent",
    };
    Ok(directory_of(&target).join(format!(".{name}.flowgate-{what}")))
}

fn stage(planned: &Planned) -> io::Result<()> {
    let target = behind_link(&planned.path)?;
    make_directory(directory_of(&target))?;
    let found = regular(&target)?;
    if found
        .as_ref()
        .is_some_and(|found| found.permissions().readonly())
    {
        let reason = "the file is read-only";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    let permissions = found.map(|found| found.permissions());
    match &permissions {
        Some(permissions) => {
            let old = fs::read(&target)?;
            let before = beside(&target, Beside::Before)?;
            write(&before, &old, Some(permissions))?;
        }
        None => write(&beside(&target, Beside::Absent)?, b"", None)?,
    }
    let keep = permissions
        .as_ref()
        .filter(|_| planned.access == Access::Keep);
    write(
        &beside(&target, Beside::Next)?,
        planned.content.as_bytes(),
        keep,
    )
}

/// Writes a file that nobody but its owner can read until it has its permissions.
fn write(path: &Path, content: &[u8], permissions: Option<&Permissions>) -> io::Result<()> {
    // What an earlier change left behind may have other permissions.
    remove(path)?;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    if let Some(permissions) = permissions {
        file.set_permissions(permissions.clone())?;
    }
    file.sync_all()
}

fn place(target: &Path) -> io::Result<()> {
    fs::rename(beside(target, Beside::Next)?, behind_link(target)?)
}

/// Puts back what was there. What was put back already has nothing beside it any more and stays.
fn restore(target: &Path) -> io::Result<()> {
    let before = beside(target, Beside::Before)?;
    if before.symlink_metadata().is_ok() {
        return fs::rename(before, behind_link(target)?);
    }
    let absent = beside(target, Beside::Absent)?;
    if absent.symlink_metadata().is_ok() {
        remove(target)?;
        remove(&absent)?;
    }
    Ok(())
}

fn discard(target: &Path) -> io::Result<()> {
    for what in [Beside::Next, Beside::Before, Beside::Absent] {
        remove(&beside(target, what)?)?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::JournalPhase;

    fn planned(path: &Path, content: &str) -> Planned {
        Planned {
            path: path.to_owned(),
            content: content.to_owned(),
            access: Access::Private,
        }
    }

    fn journal(files: &ChangeFiles, phase: JournalPhase) -> FileStep {
        FileStep::WriteJournal(Journal {
            what: "profile b".to_owned(),
            phase,
            files: files.paths(),
            services: vec!["litellm".into()],
        })
    }

    /// The steps of a change that is made, and of one that is put back.
    fn ways(files: &ChangeFiles) -> [Vec<FileStep>; 2] {
        let begin = [
            journal(files, JournalPhase::Staging),
            FileStep::Stage,
            journal(files, JournalPhase::Placing),
            FileStep::Place,
        ];
        let end = [FileStep::Discard, FileStep::DeleteJournal];
        let made = [journal(files, JournalPhase::Committing)];
        [
            [&begin[..], &made, &end].concat(),
            [&begin[..], &[FileStep::Restore], &end].concat(),
        ]
    }

    #[test]
    fn a_crash_after_any_step_is_repaired_to_all_old_or_all_new() {
        for way in 0..2 {
            for crash in 0..=7 {
                let dir = tempfile::tempdir().unwrap();
                let (there, fresh) = (dir.path().join("there"), dir.path().join("fresh"));
                fs::write(&there, "old").unwrap();
                let new = vec![planned(&there, "new"), planned(&fresh, "new")];
                let files = ChangeFiles::new(dir.path(), new);
                let steps = ways(&files)[way].clone();
                files.take(&steps[..crash.min(steps.len())]).unwrap();
                repair_change(dir.path()).unwrap();
                let committed = way == 0 && crash >= 5;
                let found = (fs::read_to_string(&there).unwrap(), fresh.exists());
                let expected = match committed {
                    true => ("new".to_owned(), true),
                    false => ("old".to_owned(), false),
                };
                assert_eq!(found, expected, "way {way}, crash after step {crash}");
                let left = fs::read_dir(dir.path()).unwrap().count();
                assert_eq!(left, if committed { 2 } else { 1 }, "nothing lies about");
                assert_eq!(repair_change(dir.path()).unwrap(), None);
            }
        }
    }

    #[test]
    fn a_crash_between_two_files_is_repaired_and_so_is_one_during_the_repair() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
        fs::write(&paths[0], "old").unwrap();
        fs::write(&paths[2], "old").unwrap();
        let new = paths.iter().map(|path| planned(path, "new")).collect();
        let files = ChangeFiles::new(dir.path(), new);
        let begin = ways(&files)[0][..3].to_vec();
        files.take(&begin).unwrap();
        place(&paths[0]).unwrap();
        place(&paths[1]).unwrap();
        // The repair itself is cut off.
        restore(&paths[0]).unwrap();
        restore(&paths[1]).unwrap();
        let repaired = repair_change(dir.path()).unwrap().unwrap();
        assert_eq!(repaired.services, ["litellm".into()]);
        assert_eq!(fs::read_to_string(&paths[0]).unwrap(), "old");
        assert_eq!(fs::read_to_string(&paths[2]).unwrap(), "old");
        assert!(!paths[1].exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay_and_secrets_are_private_at_every_step() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let kept = Planned {
            access: Access::Keep,
            ..planned(&link, "new")
        };
        let files = ChangeFiles::new(dir.path(), vec![kept]);
        change_files(&files, "x").unwrap();
        assert!(link.is_symlink());
        assert_eq!(
            (fs::read_to_string(&real).unwrap().as_str(), mode(&real)),
            ("new", 0o640)
        );

        let files = ChangeFiles::new(dir.path(), vec![planned(&real, "secret")]);
        files.take(&ways(&files)[0][..2]).unwrap();
        assert_eq!(mode(&dir.path().join(".real.flowgate-next")), 0o600);
        files.take(&ways(&files)[1][2..]).unwrap();
        assert_eq!(
            (fs::read_to_string(&real).unwrap().as_str(), mode(&real)),
            ("new", 0o640)
        );
    }

    #[test]
    fn what_cannot_be_staged_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let good = dir.path().join("good");
        fs::write(&good, "old").unwrap();
        let bad = dir.path().join("bad");
        fs::create_dir(&bad).unwrap();
        let new = vec![planned(&good, "new"), planned(&bad, "new")];
        let error = change_files(&ChangeFiles::new(dir.path(), new), "x").unwrap_err();
        assert!(
            error.is_environment() && error.to_string().contains("bad"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&good).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
