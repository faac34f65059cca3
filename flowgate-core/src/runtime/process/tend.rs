//! Looking after one process: what its shim reports becomes events, what is to be done becomes
//! requests to its shim.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::identity::Pidfd;
use super::logs::Output;
use super::nursery::{Idle, Nursery, Talk};
use super::proc::{self, Stat};
use super::wire::{self, Ended, Failure, Id, Launch, Report, Request, Stage};
use crate::supervise::{
    Event, ExitStatus, Gen, ProcessEvent, ProcessId, ServiceId, Signal, SignalTo, SpawnError,
};

/// How many of its last lines are told when a process has ended.
const LAST_LINES: usize = 20;
/// How often it is told who is still there.
const SURVIVORS_EVERY: Duration = Duration::from_secs(2);
/// The first time.
const SURVIVORS_FIRST: Duration = Duration::from_secs(1);

/// What is to be done with a process.
#[derive(Debug)]
pub(super) enum Deed {
    Signal {
        signal: Signal,
        to: SignalTo,
    },
    Sweep(Signal),
    /// It is over. The shim, if there is one, is free for the next process.
    Forget(oneshot::Sender<Idle>),
}

/// What comes of it.
#[derive(Debug)]
pub(super) enum Note {
    Event(Event),
    /// It runs, in this shim.
    Launched {
        service: ServiceId,
        generation: Gen,
        main: Id,
        shim: Id,
    },
    /// The start failed, and the shim is free for the next process of the service.
    Idle {
        service: ServiceId,
        idle: Idle,
    },
}

/// One process, and how its story is told.
pub(super) struct Tended {
    pub(super) service: ServiceId,
    pub(super) generation: Gen,
    pub(super) notes: UnboundedSender<Note>,
    pub(super) deeds: UnboundedReceiver<Deed>,
    pub(super) output: Option<Arc<Output>>,
}

/// A shim that has nothing to do, or will have nothing to do in a moment.
pub(super) type Spare = oneshot::Receiver<Idle>;

/// What is needed to start a process.
pub(super) struct Start {
    pub(super) idle: Option<Spare>,
    pub(super) nursery: Arc<Mutex<Nursery>>,
    pub(super) dir: PathBuf,
    pub(super) launch: Launch,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) listener: Option<OwnedFd>,
}

impl Tended {
    fn tell(&self, event: ProcessEvent) {
        // A driver that is gone needs no more notes.
        let _ = self.notes.send(Note::Event(Event::Process {
            service: self.service.clone(),
            generation: self.generation,
            event,
        }));
    }

    /// Starts the process and looks after it to its end.
    pub(super) async fn start(self, start: Start) {
        match self.launch(start).await {
            Ok((talk, main, shim)) => {
                let _ = self.notes.send(Note::Launched {
                    service: self.service.clone(),
                    generation: self.generation,
                    main,
                    shim,
                });
                self.tell(ProcessEvent::Spawned(main.into()));
                self.talk(talk, main.into(), None).await;
            }
            Err((error, talk)) => {
                self.tell(ProcessEvent::SpawnFailed(error));
                if let Some(talk) = talk {
                    let (service, idle) = (self.service.clone(), Idle::new(talk));
                    let _ = self.notes.send(Note::Idle { service, idle });
                }
            }
        }
    }

    async fn launch(&self, start: Start) -> Result<(Talk, Id, Id), (SpawnError, Option<Talk>)> {
        let failed =
            |error: &std::io::Error| Failure::new(Stage::Fork, error).describe(&start.launch);
        let file = start
            .launch
            .write()
            .map_err(|error| (failed(&error), None))?;
        let mut fds: Vec<BorrowedFd<'_>> =
            vec![file.as_fd(), start.stdout.as_fd(), start.stderr.as_fd()];
        fds.extend(start.listener.iter().map(AsFd::as_fd));
        let mut idle = start.idle;
        loop {
            let spare = match idle.take() {
                Some(spare) => spare.await.ok().and_then(Idle::take),
                None => None,
            };
            let was_idle = spare.is_some();
            let talk = match spare {
                Some(talk) => talk,
                None => {
                    let mut nursery = start.nursery.lock().unwrap_or_else(PoisonError::into_inner);
                    let made = nursery.shim(&start.dir);
                    made.map_err(|error| (shim_failed(&error, &nursery), None))?
                }
            };
            let sent = talk.send(&Request::Launch, &fds).await;
            match (sent, talk.receive().await) {
                (Ok(()), Some((Report::Launched { main, shim }, _))) => {
                    return Ok((talk, main, shim));
                }
                (Ok(()), Some((Report::Failed(failure), _))) => {
                    return Err((failure.describe(&start.launch), Some(talk)));
                }
                // Somebody killed it while it had nothing to do: another one will do.
                _ if was_idle => {}
                _ => {
                    let error = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
                    return Err((failed(&error), None));
                }
            }
        }
    }

    /// Looks after a process that an earlier supervisor started.
    pub(super) async fn adopt(
        self,
        talk: Option<Talk>,
        main: ProcessId,
        marker: String,
        ended: Option<Ended>,
    ) {
        match talk {
            Some(talk) => {
                if let Some(ended) = ended {
                    self.exited(ended.into());
                }
                self.talk(talk, main, Some(marker)).await;
            }
            None => self.without_shim(main, &marker).await,
        }
    }

    fn exited(&self, status: ExitStatus) {
        let last_lines = self
            .output
            .as_ref()
            .map(|output| output.last_lines(LAST_LINES));
        self.tell(ProcessEvent::Exited {
            status,
            last_lines: last_lines.unwrap_or_default(),
        });
    }

    async fn talk(mut self, talk: Talk, main: ProcessId, marker: Option<String>) {
        let marker = marker.unwrap_or_else(|| marker_of(&self.service, self.generation));
        let mut look = None;
        let (mut ended, mut empty) = (false, false);
        loop {
            let timer = async {
                match look {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                report = talk.receive() => match report {
                    Some((Report::Exited { status }, _)) => {
                        ended = true;
                        self.exited(status.into());
                    }
                    Some((Report::Empty, _)) => {
                        (look, empty) = (None, true);
                        self.tell(ProcessEvent::TreeEmpty);
                    }
                    Some((Report::Members { processes }, _)) => {
                        if look.is_some() && !processes.is_empty() {
                            self.tell(ProcessEvent::Survivors(wire::owners(processes)));
                        }
                    }
                    Some(_) => {}
                    None if ended && marked(&marker).next().is_none() => {
                        self.tell(ProcessEvent::TreeEmpty);
                        return self.until_forgotten().await;
                    }
                    None => return self.without_shim(main, &marker).await,
                },
                deed = self.deeds.recv() => match deed {
                    // Asked for when it was not known yet that nobody is left.
                    Some(Deed::Signal { .. } | Deed::Sweep(_)) if empty => {}
                    Some(Deed::Signal { signal, to }) => {
                        // A shim that is gone shows when it is listened to.
                        let _ = talk.send(&Request::Signal { signal, to }, &[]).await;
                    }
                    Some(Deed::Sweep(signal)) => {
                        let _ = talk.send(&Request::Sweep { signal }, &[]).await;
                        look = Some(Instant::now() + SURVIVORS_FIRST);
                    }
                    Some(Deed::Forget(spare)) => {
                        // If nobody wants it, it hears that, and leaves.
                        let _ = spare.send(Idle::new(talk));
                        return;
                    }
                    None => return,
                },
                () = timer => {
                    let _ = talk.send(&Request::Members, &[]).await;
                    look = Some(Instant::now() + SURVIVORS_EVERY);
                }
            }
        }
    }

    async fn until_forgotten(mut self) {
        while let Some(deed) = self.deeds.recv().await {
            if matches!(deed, Deed::Forget(_)) {
                return;
            }
        }
    }

    /// Somebody killed the shim: what it held is known by the mark in its variables, and how it
    /// ends nobody hears.
    async fn without_shim(mut self, main: ProcessId, marker: &str) {
        let mut sweep = None;
        let mut ended = false;
        loop {
            if !ended && !proc::is_alive(main) {
                ended = true;
                self.exited(ExitStatus::Unknown);
            }
            let members: Vec<Stat> = marked(marker).collect();
            if ended && members.is_empty() {
                self.tell(ProcessEvent::TreeEmpty);
                return self.until_forgotten().await;
            }
            if let Some(signal) = sweep {
                send_all(&members, signal);
            }
            let watched = if ended {
                members.first().map(|stat| stat.id)
            } else {
                Some(main)
            };
            tokio::select! {
                () = end_of(watched) => {}
                deed = self.deeds.recv() => match deed {
                    Some(Deed::Signal { signal, to }) => {
                        let meant: Vec<Stat> = members
                            .into_iter()
                            .filter(|stat| match to {
                                SignalTo::Leader => stat.id == main,
                                SignalTo::Group => stat.group == main.pid,
                                SignalTo::Tree => true,
                            })
                            .collect();
                        send_all(&meant, signal);
                    }
                    Some(Deed::Sweep(signal)) => {
                        sweep = Some(signal);
                        ended |= !proc::is_alive(main);
                    }
                    Some(Deed::Forget(_)) | None => return,
                },
            }
        }
    }
}

fn shim_failed(error: &std::io::Error, nursery: &Nursery) -> SpawnError {
    SpawnError {
        stage: crate::supervise::SpawnStage::Fork,
        message: crate::runtime::plain(error),
        path: Some(nursery.program().to_string_lossy().into_owned()),
        permanent: error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The variable by which the processes of one start are known if nothing else is left to know them
/// by.
pub(super) const MARKER: &str = "FLOWGATE_INSTANCE";

/// The value of [`MARKER`] for a start. The supervisor's own number and beginning make it unlike
/// that of any other supervisor on this machine.
pub(super) fn marker_of(service: &ServiceId, generation: Gen) -> String {
    // It is the same for the life of a process, and a copy of it has another number.
    static OWN: Mutex<Option<ProcessId>> = Mutex::new(None);
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = own.filter(|own| own.pid == std::process::id());
    let own = *own.insert(
        known.unwrap_or_else(|| super::identity::own().unwrap_or(ProcessId { pid: 0, started: 0 })),
    );
    format!("{}-{}-{service}-{generation}", own.pid, own.started)
}

/// Every process that has this mark and can be looked at.
fn marked(marker: &str) -> impl Iterator<Item = Stat> {
    let wanted = format!("{MARKER}={marker}").into_bytes();
    proc::all().filter(move |stat| {
        !matches!(stat.state, 'Z' | 'X')
            && std::fs::read(format!("/proc/{}/environ", stat.id.pid))
                .is_ok_and(|env| env.split(|byte| *byte == 0).any(|one| one == wanted))
    })
}

fn send_all(processes: &[Stat], signal: Signal) {
    for stat in processes {
        // One that is gone needs no signal.
        let _ = Pidfd::open(stat.id).and_then(|held| {
            held.signal(signal)?;
            held.signal(Signal::Cont)
        });
    }
}

/// Returns when this process has ended.
async fn end_of(process: Option<ProcessId>) {
    let Some(Ok(held)) = process.map(Pidfd::open) else {
        return;
    };
    #[expect(deprecated, reason = "an owned descriptor stays open, so it is sound")]
    let watched = AsyncFd::with_interest(held.into_fd(), Interest::READABLE);
    if let Ok(watched) = watched {
        let _ = watched.readable().await;
    }
}
