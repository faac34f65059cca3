//! The supervisor's side of the conversation with [shims](super::shim).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::shim::{ARGUMENT, door_name};
use super::wire::{self, Report, Request};

/// What shims come from.
#[derive(Debug)]
pub(super) struct Nursery {
    program: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    socket: Option<OwnedFd>,
    child: Child,
}

/// How long the end of the supervisor waits for that of the nursery, which follows that of the last
/// shim. Services that go on without us hold it up longer than that.
const GOODBYE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

impl Drop for Running {
    fn drop(&mut self) {
        self.socket = None;
        if let Ok(held) = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()) {
            let _ = poll(&mut [PollFd::new(&held, PollFlags::IN)], Some(&GOODBYE));
        }
        let _ = self.child.try_wait();
    }
}

impl Nursery {
    /// `program` calls [`run_if_asked`](super::run_if_asked) in its `main`. It is started when the
    /// first shim is needed.
    pub(super) fn new(program: PathBuf) -> Self {
        Self {
            program,
            running: None,
        }
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Makes a shim that can be found in this directory later.
    pub(super) fn shim(&mut self, dir: &Path) -> io::Result<Talk> {
        let (ours, its) = pair()?;
        let request = Request::Shim {
            dir: dir.to_owned(),
        };
        let ask = |running: &Running| match &running.socket {
            Some(socket) => wire::send(socket, &request, &[its.as_fd()]),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        let asked = self.running.as_ref().map(ask);
        if !matches!(asked, Some(Ok(()))) {
            // There is none yet, or somebody killed it.
            self.running = None;
            ask(self.running.insert(self.start()?))?;
        }
        Talk::new(ours)
    }

    fn start(&self) -> io::Result<Running> {
        let (socket, its) = pair()?;
        let child = Command::new(&self.program)
            .arg(ARGUMENT)
            .env_clear()
            .stdin(Stdio::from(its))
            .spawn()?;
        Ok(Running {
            socket: Some(socket),
            child,
        })
    }
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = SocketType::SEQPACKET;
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// A conversation with one shim.
#[derive(Debug)]
pub(super) struct Talk {
    // Not a stream of bytes; it is used for its place in the event loop alone.
    socket: UnixStream,
}

impl Talk {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = StdStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
        })
    }

    /// Knocks at the shim that an earlier supervisor made.
    pub(super) fn knock(dir: &Path, shim: u32) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // The address leads through the directory: it has to stay open.
        let dir = wire::directory(dir)?;
        rustix::net::connect(&socket, &wire::address(&dir, &door_name(shim))?)?;
        let peer = rustix::net::sockopt::socket_peercred(&socket)?;
        if u32::try_from(peer.pid.as_raw_pid()) != Ok(shim) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Self::new(socket)
    }

    /// Sends what need not arrive.
    fn send_now(&self, request: &Request) {
        let _ = wire::send(&self.socket, request, &[]);
    }

    pub(super) async fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let send = || wire::send(&self.socket, request, fds);
        self.socket.async_io(Interest::WRITABLE, send).await
    }

    /// What the shim says next; `None` if it is gone.
    pub(super) async fn receive(&self) -> Option<(Report, Vec<OwnedFd>)> {
        let receive = || wire::receive(&self.socket);
        let received = self.socket.async_io(Interest::READABLE, receive).await;
        received.ok().flatten()
    }
}

/// A shim whose process is over. Whoever lets go of it has heard how that ended: nobody needs to be
/// told of it later.
#[derive(Debug)]
pub(super) struct Idle(Option<Talk>);

impl Idle {
    pub(super) fn new(talk: Talk) -> Self {
        Self(Some(talk))
    }

    /// For the next process. It forgets the last one over that by itself.
    pub(super) fn take(mut self) -> Option<Talk> {
        self.0.take()
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        if let Some(talk) = &self.0 {
            talk.send_now(&Request::Forget);
        }
    }
}
