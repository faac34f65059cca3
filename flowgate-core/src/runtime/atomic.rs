//! Writing files so that each is the old one or the new one, and never half of either.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::Error;
use super::regular::regular;

/// A file that is to be written.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Where. A symbolic link is followed, and stays.
    pub path: PathBuf,
    /// Its whole content.
    pub content: String,
    /// Who may read it.
    pub access: Access,
}

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Those who could before; for a new file, as the umask says.
    Keep,
    /// Its owner alone (0600): it holds a secret.
    Private,
}

/// Writes files, all or none: each is complete and on disk before the first takes
/// its place, and if one cannot, those before it are put back.
///
/// Directories that are missing are made with mode 0700.
///
/// # Errors
///
/// [`Error::Write`] names the file that could not be written; nothing has changed then.
pub fn write_all(files: &[Planned]) -> Result<(), Error> {
    write_with(files, Existing::Replace, File::sync_all)
        .map_err(|(file, error)| Error::write(&file.path, &error))
}

/// Writes a file that must not be there yet; false, and nothing is written, if it is. Of several
/// that try at once, one succeeds.
///
/// # Errors
///
/// [`Error::Write`] if it cannot be written; nothing has changed then.
pub fn write_new(file: &Planned) -> Result<bool, Error> {
    if file.path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    match write_with(std::slice::from_ref(file), Existing::Refuse, File::sync_all) {
        Ok(()) => Ok(true),
        Err((_, error)) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err((_, error)) => Err(Error::write(&file.path, &error)),
    }
}

/// What becomes of a file that is there.
#[derive(Clone, Copy)]
enum Existing {
    Refuse,
    Replace,
}

/// As [`write_all`]; `sync` brings a directory to disk.
fn write_with(
    files: &[Planned],
    existing: Existing,
    sync: fn(&File) -> io::Result<()>,
) -> Result<(), (&Planned, io::Error)> {
    let mut staged = Vec::new();
    for file in files {
        staged.push(Staged::new(file).map_err(|error| (file, error))?);
    }
    let mut placed = Vec::new();
    for (staged, file) in staged.into_iter().zip(files) {
        if let Err(error) = staged.place(existing, sync, &mut placed) {
            placed.into_iter().rev().for_each(Placed::put_back);
            return Err((file, error));
        }
    }
    Ok(())
}

/// A new content that waits beside the file it will replace.
struct Staged {
    target: PathBuf,
    new: NamedTempFile,
}

impl Staged {
    fn new(file: &Planned) -> io::Result<Self> {
        // Renaming onto a link would replace the link; the file behind it is meant.
        let target = match fs::canonicalize(&file.path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !file.path.is_symlink() => {
                file.path.clone()
            }
            Err(error) => return Err(error),
        };
        let permissions = regular(&target)?.map(|metadata| metadata.permissions());
        // Renaming would ignore the wish of whoever made it read-only.
        if permissions.as_ref().is_some_and(Permissions::readonly) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the file is read-only",
            ));
        }
        let directory = directory_of(&target);
        make_directory(directory)?;
        let mut new = match (file.access, permissions) {
            // Temporary files are 0600 from the start.
            (Access::Private, _) => temporary().tempfile_in(directory)?,
            (Access::Keep, Some(permissions)) => {
                let new = temporary().tempfile_in(directory)?;
                new.as_file().set_permissions(permissions)?;
                new
            }
            (Access::Keep, None) => new_as_umask_says(directory)?,
        };
        new.write_all(file.content.as_bytes())?;
        new.as_file().sync_all()?;
        Ok(Self { target, new })
    }

    /// Puts the new content in its place and notes in `placed` what was there, as soon as there is
    /// something to put back.
    fn place(
        self,
        existing: Existing,
        sync: fn(&File) -> io::Result<()>,
        placed: &mut Vec<Placed>,
    ) -> io::Result<()> {
        // What can fail goes before the rename, as far as it can.
        let directory = File::open(directory_of(&self.target))?;
        let old = match regular(&self.target)? {
            Some(metadata) => Some((fs::read(&self.target)?, metadata.permissions())),
            None => None,
        };
        let renamed = match existing {
            Existing::Refuse => self.new.persist_noclobber(&self.target),
            Existing::Replace => self.new.persist(&self.target),
        };
        renamed.map_err(|error| error.error)?;
        placed.push(Placed {
            target: self.target,
            old,
        });
        // The rename itself is on disk only when its directory is.
        sync(&directory)
    }
}

/// A file that has its new content, and what it had before.
struct Placed {
    target: PathBuf,
    old: Option<(Vec<u8>, Permissions)>,
}

impl Placed {
    /// The best that can be done after another file failed; the failure itself is what is reported.
    fn put_back(self) {
        let restore = |(content, permissions): (Vec<u8>, Permissions)| {
            let mut file = temporary().tempfile_in(directory_of(&self.target))?;
            file.write_all(&content)?;
            file.as_file().set_permissions(permissions)?;
            file.persist(&self.target)
                .map(drop)
                .map_err(|error| error.error)
        };
        drop(match self.old {
            None => fs::remove_file(&self.target),
            Some(old) => restore(old),
        });
    }
}

pub(super) fn temporary() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".flowgate-");
    builder
}

/// A temporary file with the permissions that the umask leaves to new files.
fn new_as_umask_says(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = temporary();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory)
}

pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(path: &Path, content: &str) -> Planned {
        Planned {
            path: path.to_owned(),
            content: content.to_owned(),
            access: Access::Private,
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_directories_too_and_links_stay() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        let deep = dir.path().join("a/b/c.yaml");
        write_all(&[planned(&deep, "x")]).unwrap();
        assert_eq!((mode(&deep), mode(&dir.path().join("a"))), (0o600, 0o700));

        let open = dir.path().join("open");
        fs::write(&open, "old").unwrap();
        fs::set_permissions(&open, PermissionsExt::from_mode(0o640)).unwrap();
        let keep = Planned {
            access: Access::Keep,
            ..planned(&open, "new")
        };
        write_all(&[keep]).unwrap();
        assert_eq!(
            (mode(&open), fs::read_to_string(&open).unwrap().as_str()),
            (0o640, "new")
        );

        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&deep, &link).unwrap();
        write_all(&[planned(&link, "y")]).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&deep).unwrap(), "y");
    }

    #[test]
    fn one_failure_leaves_every_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
        fs::write(&good, "old").unwrap();
        fs::create_dir(&bad).unwrap();
        let error = write_all(&[planned(&good, "new"), planned(&bad, "new")]).unwrap_err();
        assert!(
            error.to_string().contains("bad") && error.is_environment(),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&good).unwrap(), "old");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            2,
            "nothing is left lying about"
        );

        let mut permissions = fs::metadata(&good).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&good, permissions).unwrap();
        let error = write_all(&[planned(&good, "new")]).unwrap_err();
        assert!(error.to_string().contains("read-only"), "{error}");
    }

    #[test]
    fn a_file_that_fails_late_puts_the_earlier_ones_back() {
        let dir = tempfile::tempdir().unwrap();
        let (first, fresh) = (dir.path().join("first"), dir.path().join("fresh"));
        fs::write(&first, "old").unwrap();
        let files = [planned(&first, "new"), planned(&fresh, "new")];
        let staged = files.each_ref().map(|file| Staged::new(file).unwrap());
        let mut placed = Vec::new();
        for file in staged {
            file.place(Existing::Replace, File::sync_all, &mut placed)
                .unwrap();
        }
        placed.into_iter().rev().for_each(Placed::put_back);
        assert_eq!(fs::read_to_string(&first).unwrap(), "old");
        assert!(!fresh.exists());
    }

    #[test]
    fn a_directory_that_cannot_be_synced_puts_the_file_just_placed_back_too() {
        let dir = tempfile::tempdir().unwrap();
        let (old, fresh) = (dir.path().join("old"), dir.path().join("fresh"));
        fs::write(&old, "old").unwrap();
        let fails = |_: &File| Err(io::Error::other("the disk is on fire"));
        for path in [&old, &fresh] {
            let files = [planned(path, "new")];
            let (_, error) = write_with(&files, Existing::Replace, fails).unwrap_err();
            assert!(error.to_string().contains("fire"), "{error}");
        }
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        assert!(!fresh.exists());
    }

    #[test]
    fn of_many_that_write_a_new_file_one_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let staged: Vec<_> = (0..8)
            .map(|i| Staged::new(&planned(&path, &i.to_string())).unwrap())
            .collect();
        // All have seen that there is no file before the first one writes it.
        let won: Vec<_> = staged
            .into_iter()
            .map(|file| file.place(Existing::Refuse, File::sync_all, &mut Vec::new()))
            .map(|placed| placed.is_ok())
            .collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), "0");
        assert!(!write_new(&planned(&path, "x")).unwrap());
        assert!(write_new(&planned(&dir.path().join("other"), "x")).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = write_all(&[planned(&path, "new")]).unwrap_err();
        assert!(error.to_string().contains("a socket"), "{error}");
        assert!(!fs::metadata(&path).unwrap().is_file());
    }
}
