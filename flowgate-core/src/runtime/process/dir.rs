//! The runtime directory: what a supervisor keeps while it runs, and who it belongs to.
//!
//! ```text
//! supervisor.lock        held as long as the supervisor lives
//! flowgate.sock          where it is spoken to, 0600
//! logs/NAME.log          the output of a service, and NAME.log.1 …
//! services/NAME/         0700
//!     record.GEN.json    a process that runs
//!     output.GEN         the pipe that its output goes through
//!     notify.GEN         the socket through which it says how it is
//!     exit.GEN           how it ended while no supervisor was there
//!     shim.PID           where its shim is found
//! ```

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::Error;
use crate::supervise::{Gen, ServiceId};

/// Where a supervisor keeps what it needs.
#[derive(Clone, Debug)]
pub struct RuntimeDir {
    root: PathBuf,
}

/// The right to supervise in a directory. It is lost when this is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl RuntimeDir {
    /// The directory at this path, which is made (0700) if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be made.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        let absolute = std::path::absolute(&root).map_err(|e| Error::io("find", &root, &e))?;
        let dir = Self { root: absolute };
        for path in [dir.root.clone(), dir.services(), dir.logs()] {
            make(&path).map_err(|error| Error::io("make", &path, &error))?;
        }
        Ok(dir)
    }

    /// The directory at this path, whether it is there or not.
    pub(super) fn at(root: &Path) -> Self {
        let root = root.to_owned();
        Self { root }
    }

    /// Takes the right to supervise here.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] with the process that has it.
    pub(super) fn lock(&self) -> Result<Lock, Error> {
        let path = self.root.join("supervisor.lock");
        let at = |error: io::Error| Error::io("lock", &path, &error);
        let mut options = File::options();
        let mut file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(at)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who it is helps people only.
                let _ = file.read_to_string(&mut holder);
                return Err(Error::Locked {
                    dir: self.root.clone(),
                    pid: holder.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(at(error)),
        }
        file.set_len(0).map_err(at)?;
        writeln!(file, "{}", std::process::id()).map_err(at)?;
        Ok(Lock { _file: file })
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where the supervisor is spoken to.
    pub fn socket(&self) -> PathBuf {
        self.root.join(SOCKET)
    }

    /// The output of a service. Older output is beside it, in `….log.1` and so on.
    pub fn log(&self, service: &ServiceId) -> PathBuf {
        self.logs().join(file_name(service.as_str()) + ".log")
    }

    /// What belongs to one service; it is made if it is not there.
    pub(super) fn service(&self, service: &ServiceId) -> io::Result<ServiceDir> {
        let path = self.services().join(file_name(service.as_str()));
        make(&path)?;
        Ok(ServiceDir { path })
    }

    pub(super) fn services(&self) -> PathBuf {
        self.root.join("services")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
}

/// The name of the socket that the supervisor is spoken to through.
pub(super) const SOCKET: &str = "flowgate.sock";

/// What is kept of one service.
#[derive(Clone, Debug)]
pub(super) struct ServiceDir {
    pub(super) path: PathBuf,
}

impl ServiceDir {
    pub(super) fn record(&self, generation: Gen) -> PathBuf {
        self.path.join(format!("record.{generation}.json"))
    }

    pub(super) fn output(&self, generation: Gen) -> PathBuf {
        self.path.join(format!("output.{generation}"))
    }

    pub(super) fn notify(&self, generation: Gen) -> PathBuf {
        self.path.join(format!("notify.{generation}"))
    }

    /// Removes what belonged to one process.
    pub(super) fn forget(&self, generation: Gen) {
        let word = self.path.join(super::shim::word_name(generation));
        for path in [self.output(generation), self.notify(generation), word] {
            // Most of these are not there.
            let _ = fs::remove_file(path);
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A name of a service as that of a file: what could mean something else is written as `%2F`.
fn file_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut encoded = String::new();
    for (i, byte) in name.bytes().enumerate() {
        if plain(byte) || (byte == b'.' && i > 0) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_supervisor_has_a_directory_and_the_other_is_told_who() {
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::new(temp.path().join("a/b")).unwrap();
        let held = dir.lock().unwrap();
        let error = dir.lock().unwrap_err();
        assert!(
            matches!(&error, Error::Locked { pid: Some(pid), .. } if *pid == std::process::id())
        );
        assert!(error.to_string().contains(&std::process::id().to_string()));
        drop(held);
        dir.lock().unwrap();
    }

    #[test]
    fn no_name_leaves_its_directory() {
        assert_eq!(file_name("lite-llm_2.x"), "lite-llm_2.x");
        assert_eq!(file_name("../a b"), "%2E.%2Fa%20b");
        assert_eq!(file_name("ü"), "%C3%BC");
    }
}
