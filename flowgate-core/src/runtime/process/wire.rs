//! What a supervisor and a shim say to each other: one JSON object a message, over a socket that
//! keeps messages whole and carries descriptors.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, recv, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::supervise::{
    ExitStatus, Gen, Owner, ProcessId, ServiceId, Signal, SignalTo, SpawnError, SpawnStage,
};

/// More than any message carries.
const MOST_FDS: usize = 4;

/// What is known of a process from before its start on. Its shim keeps it for whoever comes back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct About {
    pub(super) service: ServiceId,
    pub(super) generation: Gen,
    /// The port of this process, if it is not that of the service.
    pub(super) port: Option<u16>,
    /// What its variables say, if nothing else is left to know it by.
    pub(super) marker: String,
    pub(super) fingerprint: u64,
    /// Where its output begins.
    #[serde(default)]
    pub(super) log: Option<LogPlace>,
}

/// A place in a log: the file, by its number, since files are put aside, and how far into it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct LogPlace {
    pub(super) file: u64,
    pub(super) at: u64,
}

/// What a supervisor asks of the nursery, or of a shim.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// To the nursery: make a shim that listens to the socket sent along, and that can be found in
    /// this directory.
    Shim { dir: PathBuf },
    /// Start a process. Sent along: the [`Launch`], standard output, standard error, and the
    /// listening socket, if it gets one.
    Launch,
    /// Send a signal.
    Signal { signal: Signal, to: SignalTo },
    /// Send a signal to all there are and to those that come up later.
    Sweep { signal: Signal },
    /// Say who is there.
    Members,
    /// What was said about the last process has arrived: it need not be kept.
    Forget,
}

/// What a shim says.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// It runs.
    Launched { main: Id, shim: Id },
    /// It does not.
    Failed(Failure),
    /// The first process ended.
    Exited { status: Ended },
    /// Nobody is left.
    Empty,
    /// Who is there.
    Members { processes: Vec<(u32, String)> },
    /// To a supervisor that comes back: what runs here, and how the first process ended. Sent along:
    /// the listening socket, if there is one.
    State {
        about: About,
        main: Id,
        ended: Option<Ended>,
    },
}

/// A [`ProcessId`]: number and beginning.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Id(pub(super) u32, pub(super) u64);

impl From<ProcessId> for Id {
    fn from(id: ProcessId) -> Self {
        Self(id.pid, id.started)
    }
}

impl From<Id> for ProcessId {
    fn from(id: Id) -> Self {
        Self {
            pid: id.0,
            started: id.1,
        }
    }
}

/// An [`ExitStatus`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
}

impl From<Ended> for ExitStatus {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Code(code) => Self::Code(code),
            Ended::Signal(signal) => Self::Signal(signal),
        }
    }
}

/// Where a start failed, and the number of the reason.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) errno: i32,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    Cwd,
    Fork,
    Exec,
}

impl Failure {
    pub(super) fn new(stage: Stage, error: &io::Error) -> Self {
        Self {
            stage,
            errno: error.raw_os_error().unwrap_or(0),
        }
    }

    /// As the machine is told.
    pub(super) fn describe(self, launch: &Launch) -> SpawnError {
        let error = io::Error::from_raw_os_error(self.errno);
        let (stage, path) = match self.stage {
            Stage::Cwd => (SpawnStage::Cwd, launch.cwd.clone()),
            Stage::Fork => (SpawnStage::Fork, None),
            Stage::Exec => (SpawnStage::Exec, Some(launch.program.clone())),
        };
        SpawnError {
            stage,
            message: crate::runtime::plain(&error),
            path,
            permanent: is_permanent(self.stage, self.errno),
        }
    }
}

/// Whether to try again soon is of no use. Short memory, processes and descriptors come back, and a
/// program that is being written is complete in a moment.
fn is_permanent(stage: Stage, errno: i32) -> bool {
    use rustix::io::Errno;
    const PASSING: [Errno; 6] = [
        Errno::AGAIN,
        Errno::NOMEM,
        Errno::MFILE,
        Errno::NFILE,
        Errno::TXTBSY,
        Errno::INTR,
    ];
    stage != Stage::Fork
        && !PASSING
            .iter()
            .any(|passing| passing.raw_os_error() == errno)
}

/// What is to be started. `{:?}` shows nothing of it: it has secrets.
pub(super) struct Launch {
    pub(super) about: About,
    /// Where the program is; a relative path starts at `cwd`.
    pub(super) program: String,
    /// What it is called, and its arguments.
    pub(super) args: Vec<String>,
    pub(super) cwd: Option<String>,
    /// All variables, as `NAME=value`, which need not be UTF-8.
    pub(super) env: Vec<Vec<u8>>,
    /// What the program is told its listening socket is called.
    pub(super) listener: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Head {
    about: About,
    program: String,
    args: Vec<String>,
    cwd: Option<String>,
    listener: Option<String>,
}

impl Launch {
    /// As a file in memory that has no name: a launch can be longer than a message, and nobody else
    /// should read it.
    pub(super) fn write(&self) -> io::Result<OwnedFd> {
        let head = Head {
            about: self.about.clone(),
            program: self.program.clone(),
            args: self.args.clone(),
            cwd: self.cwd.clone(),
            listener: self.listener.clone(),
        };
        let mut bytes = serde_json::to_vec(&head)?;
        for variable in &self.env {
            bytes.push(0);
            bytes.extend_from_slice(variable);
        }
        let mut file = File::from(memfd_create("launch", MemfdFlags::CLOEXEC)?);
        file.write_all(&bytes)?;
        Ok(file.into())
    }

    pub(super) fn read(file: OwnedFd) -> io::Result<Self> {
        let mut file = File::from(file);
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut parts = bytes.split(|byte| *byte == 0);
        let head: Head = serde_json::from_slice(parts.next().unwrap_or_default())?;
        Ok(Self {
            about: head.about,
            program: head.program,
            args: head.args,
            cwd: head.cwd,
            env: parts.map(<[u8]>::to_vec).collect(),
            listener: head.listener,
        })
    }
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch")
            .field("about", &self.about)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// Sends one message.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(
        socket,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives one message, and `None` at the end of the conversation.
pub(super) fn receive<M: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    // Room for the longest there could be is not touched for one of a few bytes.
    let (_, length) = recv(&socket, &mut [0; 0][..], RecvFlags::PEEK | RecvFlags::TRUNC)?;
    let mut bytes = vec![0; length];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let message = bytes.get(..received.bytes).unwrap_or_default();
    Ok(Some((serde_json::from_slice(message)?, fds)))
}

/// The address of a socket in a directory, however long the path of that is: a socket address has
/// room for 107 bytes.
pub(super) fn address(dir: &impl AsFd, name: &str) -> io::Result<SocketAddrUnix> {
    use std::os::fd::AsRawFd;
    let dir = dir.as_fd().as_raw_fd();
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{dir}/{name}"))?)
}

/// A directory, to name what is in it.
pub(super) fn directory(path: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}

pub(super) fn owners(processes: Vec<(u32, String)>) -> Vec<Owner> {
    let owner = |(pid, name)| Owner { pid, name };
    processes.into_iter().map(owner).collect()
}

/// A variable in the form in which a program gets it.
pub(super) fn variable(name: &std::ffi::OsStr, value: &std::ffi::OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}

/// Name and value of a variable. A name may start with `=`.
pub(super) fn name_and_value(variable: &[u8]) -> Option<(std::ffi::OsString, std::ffi::OsString)> {
    let start = variable.get(1..)?;
    let end = 1 + start.iter().position(|byte| *byte == b'=')?;
    let (name, value) = variable.split_at(end);
    Some((
        std::ffi::OsString::from_vec(name.to_vec()),
        std::ffi::OsString::from_vec(value.get(1..)?.to_vec()),
    ))
}
