//! The output of services: where it is kept, and what it ended with.
//!
//! One thread moves it, so that a disk that takes its time holds up nothing but the logs. It sleeps
//! while nobody writes.

mod file;
mod pipe;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use regex::bytes::Regex;
use rustix::event::{EventfdFlags, epoll, eventfd};

use self::file::LogFile;
use self::pipe::LogPipe;
use super::wire::LogPlace;
use crate::supervise::LogSpec;

/// How much is moved at once.
const BUFFER_BYTES: usize = 256 << 10;
/// The name of the descriptor that ends the thread.
const END: u64 = u64::MAX;

/// Moves the output of all services.
#[derive(Debug)]
pub(super) struct Logs {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    epoll: OwnedFd,
    end: OwnedFd,
    pipes: Mutex<Pipes>,
}

/// The pipes that are read, by a number that is given once.
#[derive(Debug, Default)]
struct Pipes {
    last: u64,
    open: HashMap<u64, Arc<Mutex<LogPipe>>>,
}

/// The log of one service.
#[derive(Clone, Debug)]
pub(super) struct ServiceLog(Arc<Mutex<LogFile>>);

impl ServiceLog {
    pub(super) fn new(path: PathBuf, spec: &LogSpec) -> Self {
        Self(Arc::new(Mutex::new(LogFile::new(path, spec))))
    }

    pub(super) fn configure(&self, spec: &LogSpec) {
        lock(&self.0).configure(spec);
    }

    /// Where it ends now.
    pub(super) fn end(&self) -> Option<LogPlace> {
        lock(&self.0).end().ok()
    }

    /// How many bytes were lost because they could not be written.
    pub(super) fn dropped(&self) -> u64 {
        lock(&self.0).dropped()
    }
}

/// The output of one process. Dropping it leaves the pipe where it is.
#[derive(Debug)]
pub(super) struct Output {
    number: u64,
    pipe: Arc<Mutex<LogPipe>>,
    shared: Arc<Shared>,
}

impl Logs {
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            end: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            pipes: Mutex::default(),
        });
        let end = epoll::EventData::new_u64(END);
        epoll::add(&shared.epoll, &shared.end, end, epoll::EventFlags::IN)?;
        let moves = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("logs".to_owned())
            .stack_size(128 << 10)
            .spawn(move || moves.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Moves what comes through the pipe at `path` into a log from now on.
    pub(super) fn open(&self, path: &Path, log: &ServiceLog) -> io::Result<Output> {
        let pipe = LogPipe::open(path, Arc::clone(&log.0))?;
        let mut pipes = lock(&self.shared.pipes);
        pipes.last += 1;
        let number = pipes.last;
        let data = epoll::EventData::new_u64(number);
        epoll::add(&self.shared.epoll, &pipe, data, epoll::EventFlags::IN)?;
        let pipe = Arc::new(Mutex::new(pipe));
        pipes.open.insert(number, Arc::clone(&pipe));
        Ok(Output {
            number,
            pipe,
            shared: Arc::clone(&self.shared),
        })
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if rustix::io::write(&self.shared.end, &1_u64.to_ne_bytes()).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        // What is never touched takes no memory.
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let waited = epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                None,
            );
            match waited {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            for event in &events {
                let number = event.data.u64();
                if number == END {
                    return;
                }
                let pipe = lock(&self.pipes).open.get(&number).cloned();
                if let Some(pipe) = pipe {
                    lock(&pipe).pump(&mut buffer);
                }
            }
        }
    }
}

impl Output {
    /// The end of the pipe that a program writes to.
    pub(super) fn writer(&self) -> io::Result<OwnedFd> {
        lock(&self.pipe).writer()
    }

    /// Moves what was written up to now, and says what it ended with.
    pub(super) fn last_lines(&self, most: usize) -> Vec<String> {
        let mut pipe = lock(&self.pipe);
        let mut buffer = vec![0; BUFFER_BYTES];
        // Others may go on writing: what the pipe can hold was written before.
        for _ in 0..16 {
            if !pipe.pump(&mut buffer) {
                break;
            }
        }
        pipe.last_lines(most)
    }

    /// Tells when a line matches that came in since this place of the log, or comes in from now on.
    pub(super) fn watch_since(
        &self,
        pattern: Regex,
        since: Option<LogPlace>,
    ) -> tokio::sync::oneshot::Receiver<()> {
        lock(&self.pipe).watch_since(pattern, since)
    }

    /// Tells when a line that comes in from now on matches.
    pub(super) fn watch(&self, pattern: Regex) -> tokio::sync::oneshot::Receiver<()> {
        lock(&self.pipe).watch(pattern)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        lock(&self.shared.pipes).open.remove(&self.number);
        let _ = epoll::delete(&self.shared.epoll, lock(&self.pipe).as_fd());
    }
}

/// What a panic of another thread left is whole: every change is made in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a log for a program that writes it by itself.
pub(super) fn direct(log: &Path) -> io::Result<OwnedFd> {
    Ok(file::open(log)?.into())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn output_is_kept_over_a_change_of_supervisors() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, log) = (dir.path().join("pipe"), dir.path().join("web.log"));
        let log_file = ServiceLog::new(log.clone(), &LogSpec::default());
        let first = Logs::start().unwrap();
        let service = first.open(&pipe, &log_file).unwrap();
        let mut program = File::from(service.writer().unwrap());
        let ready = service.watch(Regex::new("^ready").unwrap());
        program.write_all(b"boot\nrea").unwrap();
        program.write_all(b"dy\n").unwrap();
        ready.await.unwrap();
        assert_eq!(service.last_lines(5), ["boot", "ready"]);
        assert_eq!(service.last_lines(1), ["ready"]);
        drop((service, first));
        program.write_all(b"nobody reads\n").unwrap();
        let second = Logs::start().unwrap();
        let service = second.open(&pipe, &log_file).unwrap();
        assert_eq!(service.last_lines(5), ["nobody reads"]);
        assert_eq!(
            fs::read_to_string(log).unwrap(),
            "boot\nready\nnobody reads\n"
        );
        assert_eq!(log_file.dropped(), 0);
    }

    #[tokio::test]
    async fn a_line_is_found_whoever_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, log) = (dir.path().join("pipe"), dir.path().join("web.log"));
        let spec = LogSpec {
            max_bytes: 40,
            ..LogSpec::default()
        };
        let log_file = ServiceLog::new(log.clone(), &spec);
        fs::write(&log, "ready, the one before\n").unwrap();
        let place = log_file.end();
        let ready = || Regex::new("^ready$").unwrap();
        let logs = Logs::start().unwrap();
        let service = logs.open(&pipe, &log_file).unwrap();
        let mut program = File::from(service.writer().unwrap());
        // An end without a line, which the next supervisor sees the other half of.
        program.write_all(b"boot\nrea").unwrap();
        service.last_lines(1);
        drop(service);
        let service = logs.open(&pipe, &log_file).unwrap();
        let mut found = service.watch_since(ready(), place);
        assert!(found.try_recv().is_err());
        program
            .write_all(b"dy\nlong after that, in another file\n")
            .unwrap();
        found.await.unwrap();
        service.last_lines(1);
        assert!(file::aside(&log, 1).exists());
        // And one that came in before anybody looked.
        service.watch_since(ready(), place).await.unwrap();
        let nothing = service.watch_since(Regex::new("before$").unwrap(), place);
        assert!({ nothing }.try_recv().is_err(), "that was another process");
    }

    #[test]
    fn what_is_no_pipe_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        fs::write(&path, "mine").unwrap();
        let logs = Logs::start().unwrap();
        let error = logs.open(
            &path,
            &ServiceLog::new(dir.path().join("log"), &LogSpec::default()),
        );
        assert!(error.is_err() && fs::read(&path).unwrap() == b"mine");
    }
}
