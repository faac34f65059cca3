//! The output of one process: from a named pipe into the log of its service.
//!
//! The pipe has a name so that it outlives the supervisor: a service that writes while none is there
//! fills it (1 MiB) and then waits, and loses nothing. Whoever holds it open can read and write, so
//! that neither side ever sees the other's end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use regex::bytes::Regex;
use rustix::fs::{FileType, Mode, OFlags};

use super::super::wire::LogPlace;
use super::file::{LogFile, is_match};
use super::lock;

/// How much the pipe holds.
const PIPE_BYTES: usize = 1 << 20;
/// How much of the end of the output is kept in memory.
const TAIL_BYTES: usize = 16 << 10;

/// The output of one process, and of all that comes from it.
#[derive(Debug)]
pub(super) struct LogPipe {
    pipe: File,
    path: PathBuf,
    log: Arc<Mutex<LogFile>>,
    tail: VecDeque<u8>,
    watches: Vec<Watch>,
}

/// Somebody waits for a line.
#[derive(Debug)]
struct Watch {
    pattern: Regex,
    line: Vec<u8>,
    found: tokio::sync::oneshot::Sender<()>,
}

impl LogPipe {
    pub(super) fn open(path: &Path, log: Arc<Mutex<LogFile>>) -> io::Result<Self> {
        make(path)?;
        let pipe = open(path, OFlags::NONBLOCK)?;
        // An ordinary user may have no more room for pipes: then it is smaller.
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
        Ok(Self {
            pipe: pipe.into(),
            path: path.to_owned(),
            log,
            tail: VecDeque::new(),
            watches: Vec::new(),
        })
    }

    /// The other end, for a program to write to.
    pub(super) fn writer(&self) -> io::Result<OwnedFd> {
        open(&self.path, OFlags::empty())
    }

    /// Moves one bufferful to the log. False if there was nothing to move.
    pub(super) fn pump(&mut self, buffer: &mut [u8]) -> bool {
        let Ok(length @ 1..) = self.pipe.read(buffer) else {
            return false;
        };
        let output = buffer.get(..length).unwrap_or_default();
        self.keep(output);
        lock(&self.log).write(output);
        if !self.watches.is_empty() {
            self.watches.retain_mut(|watch| !watch.sees(output));
            let waiting = std::mem::take(&mut self.watches);
            self.watches = waiting
                .into_iter()
                .filter(|w| !w.found.is_closed())
                .collect();
        }
        true
    }

    fn keep(&mut self, output: &[u8]) {
        let end = output.len().saturating_sub(TAIL_BYTES);
        let end = output.get(end..).unwrap_or(output);
        let excess = (self.tail.len() + end.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess.min(self.tail.len()));
        self.tail.extend(end);
    }

    /// The last lines, the newest last; broken ones only if nothing else is there.
    pub(super) fn last_lines(&self, most: usize) -> Vec<String> {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&tail);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(most);
        let lines = lines.get(from..).unwrap_or_default();
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    /// Tells when a line that comes in from now on matches.
    pub(super) fn watch(&mut self, pattern: Regex) -> tokio::sync::oneshot::Receiver<()> {
        self.watch_after(pattern, Vec::new())
    }

    /// The same, for a line that came in since this place of the log as well. Nothing is moved
    /// meanwhile: who has this has the pipe.
    pub(super) fn watch_since(
        &mut self,
        pattern: Regex,
        since: Option<LogPlace>,
    ) -> tokio::sync::oneshot::Receiver<()> {
        let found = since.map(|since| lock(&self.log).find(&pattern, since));
        match found {
            Some(Ok(())) => {
                let (found, answer) = tokio::sync::oneshot::channel();
                let _ = found.send(());
                answer
            }
            Some(Err(line)) => self.watch_after(pattern, line),
            None => self.watch(pattern),
        }
    }

    fn watch_after(&mut self, pattern: Regex, line: Vec<u8>) -> tokio::sync::oneshot::Receiver<()> {
        let (found, answer) = tokio::sync::oneshot::channel();
        self.watches.push(Watch {
            pattern,
            line,
            found,
        });
        answer
    }
}

impl Watch {
    /// True if the line is there, or nobody waits for it any more.
    fn sees(&mut self, output: &[u8]) -> bool {
        for part in output.split_inclusive(|byte| *byte == b'\n') {
            // A line as long as this is not what somebody waits for.
            if self.line.len() < TAIL_BYTES {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                if is_match(&self.pattern, &self.line) {
                    let (found, _) = tokio::sync::oneshot::channel();
                    let _ = std::mem::replace(&mut self.found, found).send(());
                    return true;
                }
                self.line.clear();
            }
        }
        false
    }
}

impl AsFd for LogPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Makes the pipe, if it is not there from an earlier supervisor.
fn make(path: &Path) -> io::Result<()> {
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    );
    match made {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST)
            if FileType::from_raw_mode(rustix::fs::lstat(path)?.st_mode) == FileType::Fifo =>
        {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}
