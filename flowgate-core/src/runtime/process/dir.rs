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
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Error, identity, proc};
use crate::supervise::{Gen, ProcessId, ServiceId};

/// Where a supervisor keeps what it needs.
#[derive(Clone, Debug)]
pub struct RuntimeDir {
    root: PathBuf,
}

/// The right to supervise in a directory. It is lost when this is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    fn write(&self, own: ProcessId) -> io::Result<()> {
        self.file.set_len(0)?;
        writeln!(&self.file, "{} {}", own.pid, own.started)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // So that nobody takes this process for one that was killed.
        let _ = self.file.set_len(0);
    }
}

/// The name of the lock.
const LOCK: &str = "supervisor.lock";
/// How long one that was killed may take to end.
const DYING: Duration = Duration::from_secs(5);
/// How long a copy of a descriptor lives in a program that is being started.
const STARTING: Duration = Duration::from_millis(200);
/// How often the lock is tried.
const PAUSE: Duration = Duration::from_millis(2);

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
    /// One that was killed may take a moment to let go of it, and so may a program that is being
    /// started, which has a copy of every descriptor until it is what it shall be.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] with the process that has it.
    pub(super) async fn lock(&self) -> Result<Lock, Error> {
        let begun = Instant::now();
        loop {
            let error = match self.try_lock() {
                Ok((lock, before)) => {
                    // The lock of one that was killed goes before its conversations do.
                    while before.is_some_and(proc::is_alive) && begun.elapsed() < DYING {
                        sleep(PAUSE).await;
                    }
                    return Ok(lock);
                }
                Err(error) => error,
            };
            let limit = match self.holder() {
                Some(holder) if proc::is_alive(holder) && !proc::is_dying(holder) => STARTING,
                _ => DYING,
            };
            if !matches!(error, Error::Locked { .. }) || begun.elapsed() >= limit {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    /// The lock, and who had it before and did not give it back.
    fn try_lock(&self) -> Result<(Lock, Option<ProcessId>), Error> {
        let path = self.root.join(LOCK);
        let at = |error: io::Error| Error::io("lock", &path, &error);
        let mut options = File::options();
        let options = options.create(true).truncate(false).read(true).write(true);
        let file = options.open(&path).map_err(at)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    dir: self.root.clone(),
                    pid: self.holder().map(|holder| holder.pid),
                });
            }
            Err(TryLockError::Error(error)) => return Err(at(error)),
        }
        let own = identity::own().map_err(at)?;
        let before = self.holder().filter(|before| *before != own);
        let lock = Lock { file };
        lock.write(own).map_err(at)?;
        Ok((lock, before))
    }

    /// Who has the lock, by what that wrote into it. Empty if it was given back.
    fn holder(&self) -> Option<ProcessId> {
        let text = fs::read_to_string(self.root.join(LOCK)).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        Some(ProcessId {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
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

    /// What belonged to one process, apart from its record. Most of it is not there.
    pub(super) fn litter(&self, generation: Gen) -> [PathBuf; 3] {
        let word = self.path.join(super::shim::word_name(generation));
        [self.output(generation), self.notify(generation), word]
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

    #[tokio::test]
    async fn one_supervisor_has_a_directory_and_the_other_is_told_who() {
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::new(temp.path().join("a/b")).unwrap();
        let held = dir.lock().await.unwrap();
        let error = dir.lock().await.unwrap_err();
        assert!(
            matches!(&error, Error::Locked { pid: Some(pid), .. } if *pid == std::process::id())
        );
        assert!(error.to_string().contains(&std::process::id().to_string()));
        drop(held);
        assert_eq!(dir.holder(), None);
        dir.lock().await.unwrap();
    }

    #[tokio::test]
    async fn who_lets_go_in_a_moment_is_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::new(temp.path()).unwrap();
        let held = dir.lock().await.unwrap();
        let (ours, theirs) = tokio::join!(dir.lock(), async {
            sleep(STARTING / 4).await;
            drop(held);
        });
        assert!(ours.is_ok(), "{theirs:?}");
    }

    #[tokio::test]
    async fn one_that_was_killed_is_waited_for_until_it_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::new(temp.path()).unwrap();
        drop(dir.lock().await.unwrap());
        let mut holder = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let id = proc::stat(holder.id()).unwrap().id;
        fs::write(
            dir.path().join(LOCK),
            format!("{} {}\n", id.pid, id.started),
        )
        .unwrap();
        let (lock, killed) = tokio::join!(dir.lock(), async {
            sleep(PAUSE * 10).await;
            holder.kill()
        });
        killed.unwrap();
        assert!(lock.is_ok() && !proc::is_alive(id));
        holder.wait().unwrap();
    }

    #[test]
    fn no_name_leaves_its_directory() {
        assert_eq!(file_name("lite-llm_2.x"), "lite-llm_2.x");
        assert_eq!(file_name("../a b"), "%2E.%2Fa%20b");
        assert_eq!(file_name("ü"), "%C3%BC");
    }
}
