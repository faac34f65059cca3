//! The process that stands between a supervisor and the processes of one service.
//!
//! A program may fork, become a daemon, and die before its helpers do. Whoever started it loses
//! sight of them. The shim does not: it is the nearest subreaper, so every orphan below it becomes
//! its child, and when it has no child left, nothing of the service is left. It starts the program,
//! says how that ended, and sends signals to all that is there. It outlives the supervisor, and tells
//! the next one what it holds.
//!
//! The nursery is the process that all shims of a supervisor are doubled from: the program of
//! FlowGate is read and linked once, not once for each service, and its memory is shared.
//!
//! Both are the program that the supervisor runs in, started with the argument `shim`; see
//! [`run_if_asked`]. They have one thread, and do nothing until there is something to do.

use std::collections::HashSet;
use std::ffi::{CString, NulError};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use flowgate_sys::{Forked, NotStarted};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{WaitOptions, WaitStatus};

use super::identity::{self, Pidfd};
use super::proc::{self, Stat};
use super::wire::{self, About, Ended, Failure, Id, Launch, Report, Request, Stage};
use crate::supervise::{Gen, ProcessId, Signal, SignalTo};

/// The argument that makes a program the shim.
pub(super) const ARGUMENT: &str = "shim";

/// What the names of the sockets of shims begin with.
const DOOR: &str = "shim.";

/// Becomes the shim, if this program was started to be that. A program that has a supervisor calls
/// it first of all in `main`, before it starts a thread, opens a file or makes a runtime; the
/// `flowgate` command does. `#[tokio::main]` makes one before anything else: use a `main` without it.
///
/// # Example
///
/// ```no_run
/// fn main() -> std::io::Result<()> {
///     flowgate_core::runtime::process::run_if_asked();
///     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
///     runtime.block_on(async { /* the program itself */ });
///     Ok(())
/// }
/// ```
pub fn run_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == ARGUMENT) && arguments.next().is_none() {
        std::process::exit(nursery());
    }
}

/// Makes shims until the supervisor hangs up. Its standard input is the socket to that.
fn nursery() -> i32 {
    let done = prepare().and_then(|(socket, slot)| match make_shims(socket)? {
        Some((talk, dir)) => Shim::new(talk, slot, &dir)?.serve(),
        // It stays until the last shim has ended: whoever else got them might not wait for them.
        None => {
            while rustix::process::wait(WaitOptions::empty()).is_ok() {}
            Ok(())
        }
    });
    match done {
        Ok(()) => 0,
        Err(error) => {
            // Standard error is that of the supervisor. Nothing can be said about it failing.
            let hint = match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    "call `run_if_asked` first of all in `main`, before there is a runtime"
                }
                _ => "it is for supervisors alone",
            };
            let _ = writeln!(io::stderr(), "flowgate shim: {error}; {hint}");
            2
        }
    }
}

fn prepare() -> io::Result<(OwnedFd, OwnedFd)> {
    let slot = flowgate_sys::take_descriptor_3()?;
    flowgate_sys::close_inherited()?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    if rustix::net::sockopt::socket_type(&socket)? != SocketType::SEQPACKET {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::stdio::dup2_stdin(&slot)?;
    // What a terminal sends to the group of the supervisor is not meant for this.
    rustix::process::setsid()?;
    // No directory is kept from being unmounted.
    rustix::process::chdir("/")?;
    flowgate_sys::forget_children();
    // Shims outlive the supervisor, and whoever reads its output waits for that to end.
    rustix::stdio::dup2_stdout(&slot)?;
    rustix::stdio::dup2_stderr(&slot)?;
    Ok((socket, slot))
}

/// In each shim that is made, the socket and the directory it is made for; in the nursery `None`.
fn make_shims(socket: OwnedFd) -> io::Result<Option<(OwnedFd, PathBuf)>> {
    while let Some((request, fds)) = wire::receive::<Request>(&socket)? {
        let (Request::Shim { dir }, Some(talk)) = (request, fds.into_iter().next()) else {
            continue;
        };
        match flowgate_sys::fork() {
            Ok(Forked::Child) => return Ok(Some((talk, dir))),
            Ok(Forked::Parent(_)) => {}
            Err(error) => {
                let failure = Report::Failed(Failure::new(Stage::Fork, &error));
                // If it cannot be told, it sees the socket close.
                let _ = wire::send(&talk, &failure, &[]);
            }
        }
    }
    Ok(None)
}

/// What the shim holds.
struct Shim {
    id: ProcessId,
    dir: PathBuf,
    /// The supervisor, as long as there is one.
    talk: Option<OwnedFd>,
    /// Where the next supervisor knocks.
    door: OwnedFd,
    door_name: String,
    /// Can be read when a child has ended.
    children: OwnedFd,
    /// Descriptor 3, where a program finds its listening socket: nothing else may be there.
    _slot: OwnedFd,
    tree: Option<Tree>,
    /// How the last program ended, until a supervisor says that it knows.
    last: Option<(Gen, Ended)>,
}

/// A program, and everything that came from it.
struct Tree {
    about: About,
    main: ProcessId,
    ended: Option<Ended>,
    listener: Option<OwnedFd>,
    sweep: Option<Sweep>,
}

struct Sweep {
    signal: Signal,
    told: HashSet<(u32, u64)>,
}

impl Shim {
    fn new(talk: OwnedFd, slot: OwnedFd, dir: &Path) -> io::Result<Self> {
        rustix::process::setsid()?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        flowgate_sys::reset_signals()?;
        let children = flowgate_sys::hold_signals()?;
        let id = identity::own()?;
        let door = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let door_name = door_name(id.pid);
        // One that had this number before, and was killed.
        let _ = fs::remove_file(dir.join(&door_name));
        rustix::net::bind(&door, &wire::address(&wire::directory(dir)?, &door_name)?)?;
        rustix::net::listen(&door, 4)?;
        Ok(Self {
            id,
            dir: dir.to_owned(),
            talk: Some(talk),
            door,
            door_name,
            children,
            _slot: slot,
            tree: None,
            last: None,
        })
    }

    fn serve(mut self) -> io::Result<()> {
        while self.talk.is_some() || self.tree.is_some() {
            let (children, door, talk) = self.wait()?;
            // What was asked for comes before what it may be the cause of.
            if talk {
                self.listen();
            }
            if children {
                self.reap();
            }
            if door {
                self.open_door();
            }
        }
        self.leave_word();
        // The directory may be gone already.
        let _ = fs::remove_file(self.dir.join(&self.door_name));
        Ok(())
    }

    /// Waits until there is something to do: with children, with the door, with the supervisor.
    fn wait(&self) -> io::Result<(bool, bool, bool)> {
        let mut fds = vec![
            PollFd::new(&self.children, PollFlags::IN),
            PollFd::new(&self.door, PollFlags::IN),
        ];
        fds.extend(
            self.talk
                .iter()
                .map(|talk| PollFd::new(talk, PollFlags::IN)),
        );
        while let Err(error) = poll(&mut fds, None) {
            if error != rustix::io::Errno::INTR {
                return Err(error.into());
            }
        }
        let ready = |i: usize| fds.get(i).is_some_and(|fd| !fd.revents().is_empty());
        Ok((ready(0), ready(1), ready(2)))
    }

    fn tell(&mut self, report: &Report, fds: &[BorrowedFd<'_>]) {
        if let Some(talk) = &self.talk
            && wire::send(talk, report, fds).is_err()
        {
            self.talk = None;
        }
    }

    fn listen(&mut self) {
        let Some(talk) = &self.talk else { return };
        match wire::receive::<Request>(talk) {
            Ok(Some((request, fds))) => self.obey(request, fds),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Ok(None) | Err(_) => self.talk = None,
        }
    }

    fn obey(&mut self, request: Request, fds: Vec<OwnedFd>) {
        match request {
            Request::Launch => self.launch(fds),
            Request::Signal { signal, to } => self.signal(signal, to),
            Request::Sweep { signal } => {
                if let Some(tree) = &mut self.tree {
                    let told = HashSet::new();
                    tree.sweep = Some(Sweep { signal, told });
                }
                self.sweep();
            }
            Request::Members => {
                let members = proc::descendants(self.id.pid);
                let processes = members.into_iter().map(|stat| (stat.id.pid, stat.name));
                let report = Report::Members {
                    processes: processes.collect(),
                };
                self.tell(&report, &[]);
            }
            Request::Forget => self.last = None,
            Request::Shim { .. } => {}
        }
    }

    fn launch(&mut self, fds: Vec<OwnedFd>) {
        if !self.is_heard() {
            // The next supervisor may be there already, and would not look here again.
            return self.talk = None;
        }
        // Nothing new comes up while something old is there.
        let report = if self.tree.is_some() {
            Err(io::ErrorKind::AlreadyExists.into())
        } else {
            self.last = None;
            start(fds)
        };
        match report {
            Ok(Ok(tree)) => {
                let main = Id::from(tree.main);
                self.tree = Some(tree);
                let shim = Id::from(self.id);
                self.tell(&Report::Launched { main, shim }, &[]);
            }
            Ok(Err(failure)) => self.tell(&Report::Failed(failure), &[]),
            Err(error) => self.tell(&Report::Failed(Failure::new(Stage::Fork, &error)), &[]),
        }
    }

    /// Whether the supervisor still lives. What it asked for can be read after its end, too.
    fn is_heard(&self) -> bool {
        let Some(talk) = &self.talk else { return false };
        let mut fds = [PollFd::new(talk, PollFlags::empty())];
        let now = rustix::event::Timespec::default();
        // Its end is told without being asked for.
        matches!(poll(&mut fds, Some(&now)), Ok(0))
    }

    fn signal(&self, signal: Signal, to: SignalTo) {
        let Some(tree) = &self.tree else { return };
        let group = tree.main.pid;
        let meant = |stat: &Stat| match to {
            SignalTo::Leader => stat.id == tree.main,
            SignalTo::Group => stat.group == group,
            SignalTo::Tree => true,
        };
        let leader_is_there = tree.ended.is_none();
        if to == SignalTo::Group && leader_is_there {
            // It has not been waited for, so that its number still is its own, and the group's.
            if let Some(group) = identity::pid(group) {
                let _ = rustix::process::kill_process_group(group, identity::raw(signal));
            }
            return;
        }
        for stat in proc::descendants(self.id.pid)
            .iter()
            .filter(|stat| meant(stat))
        {
            send(stat, signal);
        }
    }

    /// Tells everybody who is there and was not told, until nobody new turns up.
    fn sweep(&mut self) {
        let Some(Sweep { signal, told }) = self.tree.as_mut().and_then(|tree| tree.sweep.as_mut())
        else {
            return;
        };
        loop {
            let members = proc::descendants(self.id.pid);
            let new: Vec<&Stat> = members
                .iter()
                .filter(|stat| told.insert((stat.id.pid, stat.id.started)))
                .collect();
            if new.is_empty() {
                return;
            }
            for stat in new {
                send(stat, *signal);
                if *signal != Signal::Kill {
                    // One that is frozen could not act on it.
                    send(stat, Signal::Cont);
                }
            }
        }
    }

    /// Waits for every child that has ended; says so of the first process, and when it was the last.
    fn reap(&mut self) {
        // Which child it was, the wait says; the descriptor only that there was one.
        let _ = rustix::io::read(&self.children, &mut [0_u8; 1024]);
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.reaped(pid.as_raw_pid(), status),
                Ok(None) => break,
                Err(_) => return self.emptied(),
            }
        }
        self.sweep();
    }

    fn reaped(&mut self, pid: i32, status: WaitStatus) {
        let Some(ended) = ended(status) else { return };
        let Some(tree) = &mut self.tree else { return };
        if identity::pid(tree.main.pid).is_some_and(|main| main.as_raw_pid() == pid)
            && tree.ended.is_none()
        {
            tree.ended = Some(ended);
            self.last = Some((tree.about.generation, ended));
            self.tell(&Report::Exited { status: ended }, &[]);
        }
    }

    fn emptied(&mut self) {
        if self.tree.take().is_some() {
            self.tell(&Report::Empty, &[]);
        }
    }

    /// Lets the next supervisor in, if it is the same user.
    fn open_door(&mut self) {
        let Ok(talk) = rustix::net::accept_with(&self.door, SocketFlags::CLOEXEC) else {
            return;
        };
        let peer = rustix::net::sockopt::socket_peercred(&talk);
        if !peer.is_ok_and(|peer| peer.uid == rustix::process::geteuid()) {
            return;
        }
        let Some(tree) = &self.tree else { return };
        let state = Report::State {
            about: tree.about.clone(),
            main: tree.main.into(),
            ended: tree.ended,
        };
        let fds: Vec<BorrowedFd<'_>> = tree.listener.iter().map(AsFd::as_fd).collect();
        if wire::send(&talk, &state, &fds).is_ok() {
            self.talk = Some(talk);
        }
    }

    /// Nobody was there to hear how it ended: the next supervisor reads it.
    fn leave_word(&self) {
        if let Some((generation, ended)) = self.last {
            let word = serde_json::json!([generation, ended]);
            // There is nobody to tell that it cannot be written.
            let _ = fs::write(self.dir.join(word_name(generation)), word.to_string());
        }
    }
}

/// The name of the socket of a shim.
pub(super) fn door_name(shim: u32) -> String {
    format!("{DOOR}{shim}")
}

/// The number of the shim that a socket leads to, by the name of that.
pub(super) fn behind_door(name: &str) -> Option<u32> {
    name.strip_prefix(DOOR)?.parse().ok()
}

/// The name of the file that says how a process ended while no supervisor was there.
pub(super) fn word_name(generation: Gen) -> String {
    format!("exit.{generation}")
}

/// Sends a signal to a process that was seen, and to no other that has its number by now.
fn send(stat: &Stat, signal: Signal) {
    // One that is gone needs no signal.
    let _ = Pidfd::open(stat.id).and_then(|held| held.signal(signal));
}

fn ended(status: WaitStatus) -> Option<Ended> {
    let code = status.exit_status().map(Ended::Code);
    code.or_else(|| status.terminating_signal().map(Ended::Signal))
}

/// Starts a program. The outer error is one of the conversation, the inner one of the start.
fn start(fds: Vec<OwnedFd>) -> io::Result<Result<Tree, Failure>> {
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or(io::ErrorKind::InvalidData);
    let launch = Launch::read(next()?)?;
    let (stdout, stderr) = (next()?, next()?);
    let listener = fds.next();
    let pid = match run(&launch, &stdout, &stderr, listener.as_ref()) {
        Ok(pid) => pid,
        Err(failure) => return Ok(Err(failure)),
    };
    Ok(Ok(Tree {
        about: launch.about,
        main: proc::stat(pid)?.id,
        ended: None,
        listener,
        sweep: None,
    }))
}

fn run(
    launch: &Launch,
    stdout: &OwnedFd,
    stderr: &OwnedFd,
    listener: Option<&OwnedFd>,
) -> Result<u32, Failure> {
    let mut variables = launch.env.clone();
    if listener.is_some() {
        let name = launch.listener.as_deref().unwrap_or("listen");
        let added = ["LISTEN_FDS=1".to_owned(), format!("LISTEN_FDNAMES={name}")];
        variables.extend(added.map(String::into_bytes));
    }
    let arguments = launch.args.iter().map(|arg| arg.clone().into_bytes());
    let texts = |texts: Vec<Vec<u8>>| -> Result<Vec<CString>, NulError> {
        texts.into_iter().map(CString::new).collect()
    };
    let no_text = |error: NulError| Failure::new(Stage::Exec, &error.into());
    let directory = launch.cwd.as_deref().map(CString::new).transpose();
    let directory = directory.map_err(|error| Failure::new(Stage::Cwd, &error.into()))?;
    let program = flowgate_sys::Program {
        path: &CString::new(launch.program.as_str()).map_err(no_text)?,
        arguments: &texts(arguments.collect()).map_err(no_text)?,
        variables: &texts(variables).map_err(no_text)?,
        directory: directory.as_deref(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
        listener: listener.map(AsFd::as_fd),
    };
    flowgate_sys::spawn(&program).map_err(|not_started| match not_started {
        NotStarted::Fork(error) => Failure::new(Stage::Fork, &error),
        NotStarted::Directory(error) => Failure::new(Stage::Cwd, &error),
        NotStarted::Program(error) => Failure::new(Stage::Exec, &error),
    })
}
