//! Which process is meant: a number alone says nothing, since the kernel gives it out again.
//!
//! A process is known by its number and the moment it began, within one boot of one machine. It is
//! held by a pidfd, and signals go through that: never to a number.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use super::proc;
use crate::supervise::{ProcessId, Signal};

/// A hold on one process, which no other can slip into.
#[derive(Debug)]
pub(super) struct Pidfd {
    fd: OwnedFd,
}

impl Pidfd {
    /// Takes hold of this very process.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if it has ended, also if its number belongs to another now.
    pub(super) fn open(id: ProcessId) -> io::Result<Self> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let pid = pid(id.pid).ok_or_else(gone)?;
        let fd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
        let held = Self { fd };
        // What is read here belongs to the process that is held, if that lives on after it.
        let same = proc::stat(id.pid).is_ok_and(|stat| stat.id == id);
        if !same || held.has_ended() {
            return Err(gone());
        }
        Ok(held)
    }

    /// True if the process has ended. It may still have to be waited for.
    pub(super) fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let now = rustix::event::Timespec::default();
        matches!(poll(&mut fds, Some(&now)), Ok(1..))
    }

    /// Sends a signal to this process, and to no other.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.fd, raw(signal))?)
    }

    /// The descriptor; it can be read when the process has ended.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A number as the system has it.
pub(super) fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// The name of this process.
pub(super) fn own() -> io::Result<ProcessId> {
    Ok(proc::stat(std::process::id())?.id)
}

/// What a signal is called by the system.
pub(super) fn raw(signal: Signal) -> rustix::process::Signal {
    use rustix::process::Signal as System;
    match signal {
        Signal::Cont => System::CONT,
        Signal::Hup => System::HUP,
        Signal::Int => System::INT,
        Signal::Kill => System::KILL,
        Signal::Quit => System::QUIT,
        Signal::Term => System::TERM,
        Signal::Usr1 => System::USR1,
        Signal::Usr2 => System::USR2,
    }
}

/// The name of this boot of this machine, and of the space in which process numbers count: only
/// within both does a [`ProcessId`] say something.
pub(super) fn boot() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let space = fs::read_link("/proc/self/ns/pid")?;
    Ok(format!("{} {}", boot.trim(), space.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_the_very_process_gets_the_signal() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = proc::stat(child.id()).unwrap().id;
        let other = ProcessId {
            started: id.started + 1,
            ..id
        };
        assert_eq!(
            Pidfd::open(other).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        let held = Pidfd::open(id).unwrap();
        assert!(!held.has_ended() && proc::is_alive(id));
        held.signal(Signal::Kill).unwrap();
        child.wait().unwrap();
        assert!(held.has_ended() && !proc::is_alive(id));
        assert!(
            held.signal(Signal::Kill).is_err(),
            "the number may be another's by now"
        );
        assert!(Pidfd::open(id).is_err());
    }

    #[test]
    fn a_zombie_has_ended() {
        let mut child = Command::new("true").spawn().unwrap();
        let id = proc::stat(child.id()).unwrap().id;
        let held = Pidfd::open(id);
        if let Ok(held) = &held {
            let mut fds = [PollFd::new(held, PollFlags::IN)];
            poll(&mut fds, None).unwrap();
        }
        // Nobody has waited for it yet.
        assert!(!proc::is_alive(id) && Pidfd::open(id).is_err());
        child.wait().unwrap();
    }
}
