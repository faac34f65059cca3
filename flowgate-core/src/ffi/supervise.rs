//! The pure supervisor as a handle: it is told what happened, and says what to do. The caller is the
//! driver: it starts, signals and watches the processes, and brings the time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Config, FlowgateError};
use crate::supervise::{
    self, Action, Command, Event, ExitStatus, Found, Gen, Millis, Owner, PortOwner, ProbeOutcome,
    ProcessAction, ProcessId, Purpose, Selection, Signal, SignalTo, SpawnError, SpawnStage,
};

/// Something that is to be done. See [`crate::supervise::Action`].
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct SupervisorAction {
    /// For which service; nothing if for none.
    pub service: Option<String>,
    /// For which of its processes; nothing if for none.
    pub generation: Option<Gen>,
    /// What.
    pub effect: Effect,
}

/// What is to be done. See [`ProcessAction`].
#[derive(Clone, Debug, PartialEq, uniffi::Enum)]
pub enum Effect {
    /// Find out whether the port can be had; answer `PortFree` or `PortBusy`.
    CheckPort {
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// True if it is to be taken and held.
        hold: bool,
    },
    /// Start the process; answer `Spawned` or `SpawnFailed`.
    Spawn {
        /// The service as it shall be, a `ServiceSpec` as JSON.
        spec: String,
    },
    /// Watch a process that an earlier supervisor started.
    Adopt {
        /// Its number.
        pid: u32,
        /// When it began, in the unit of the kernel.
        started: u64,
    },
    /// Ask the process now and then, and answer `ProbeOk` or `ProbeFailed` each time.
    StartProbe {
        /// Why.
        purpose: Purpose,
        /// How, a `Probe` as JSON.
        probe: String,
        /// The service, for intervals and port, as JSON.
        spec: String,
    },
    /// Ask no more.
    StopProbe {
        /// Why it was asked.
        purpose: Purpose,
    },
    /// Tell the process to take no new work; answer `Drained`.
    Drain {
        /// How, a `DrainHook` as JSON.
        hook: String,
    },
    /// Send a signal.
    SendSignal {
        /// Which.
        signal: Signal,
        /// To whom.
        to: SignalTo,
    },
    /// Send a signal to every process of this generation until none is left; answer `TreeEmpty`.
    Sweep {
        /// Which.
        signal: Signal,
    },
    /// The process is ready: new work goes to it.
    Handover {
        /// The generation that got it so far.
        from: Option<Gen>,
    },
    /// Write, or replace, the record by which the next supervisor finds this process.
    WriteRecord {
        /// Whether it is ready.
        ready: bool,
        /// The fingerprint of its service.
        fingerprint: u64,
    },
    /// Remove the record.
    DeleteRecord,
    /// Forget the process: it is gone.
    Forget,
    /// Forget the process, and leave it and its record alone.
    Leave,
    /// Close the listening socket of the service.
    ReleasePort,
    /// Something that people and programs may want to know.
    Tell {
        /// What, such as `service.ready`.
        event: String,
        /// What else there is to know, as JSON.
        data: String,
    },
    /// Everything is down after a shutdown.
    Finished,
}

/// What happened to one process. See [`supervise::ProcessEvent`].
#[derive(Clone, Debug, Eq, PartialEq, uniffi::Enum)]
pub enum ProcessEvent {
    /// The port is free, and held if that was asked for.
    PortFree,
    /// Somebody has the port.
    PortBusy {
        /// Who, if it can be found out.
        owner: Option<Owner>,
    },
    /// It runs.
    Spawned {
        /// Its number.
        pid: u32,
        /// When it began, in the unit of the kernel: no other process shares both.
        started: u64,
    },
    /// It does not run.
    SpawnFailed {
        /// At which step.
        stage: SpawnStage,
        /// Why, in words.
        reason: String,
        /// What it is about: the program, the directory, the file.
        path: Option<String>,
        /// Whether trying again soon is of no use.
        permanent: bool,
    },
    /// A probe was answered well.
    ProbeOk {
        /// Why it was asked.
        purpose: Purpose,
        /// True if it is known that the port belongs to a process of this generation.
        port_is_ours: bool,
        /// Who has the port, if it is somebody else.
        port_owner: Option<Owner>,
    },
    /// A probe was not answered well.
    ProbeFailed {
        /// Why it was asked.
        purpose: Purpose,
        /// What is wrong, in words.
        why: String,
    },
    /// The drain hook is done.
    Drained,
    /// The first process ended. With neither a code nor a signal, nobody can tell how.
    Exited {
        /// Its exit code.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
        /// The last lines it wrote.
        last_lines: Vec<String>,
    },
    /// No process of this generation is left. Comes after `Exited`, exactly once.
    TreeEmpty,
    /// Some are left though they were told to end.
    Survivors {
        /// Which.
        processes: Vec<Owner>,
    },
}

/// See [`crate::supervise::Supervisor`]. Moments are in milliseconds of a clock that never goes
/// back. Every call answers with what is to be done, in order. May be shared by threads.
#[derive(Debug, uniffi::Object)]
pub struct Supervisor {
    machine: Mutex<supervise::Supervisor>,
    begun: Mutex<Vec<Action>>,
}

#[uniffi::export]
impl Supervisor {
    /// The supervisor of the services of a configuration, whose paths were resolved. Chance comes
    /// from `seed`.
    ///
    /// # Errors
    ///
    /// [`FlowgateError::SuperviseError`] if the services do not fit together.
    #[uniffi::constructor]
    pub fn new(config: &Config, seed: u64) -> Result<Self, FlowgateError> {
        let services = crate::services::services(&config.0)?;
        let mut begun = Vec::new();
        let machine = supervise::Supervisor::new(services, seed, &mut begun);
        Ok(Self {
            machine: Mutex::new(machine),
            begun: Mutex::new(begun),
        })
    }

    /// Brings services up, and those they need; all of them, if none is named.
    pub fn start(&self, now: Millis, services: Vec<String>) -> Vec<SupervisorAction> {
        self.step(
            now,
            Event::Command(Command::Start(Selection::of(&services))),
        )
    }

    /// Brings services down, those that need others first.
    pub fn stop(&self, now: Millis, services: Vec<String>) -> Vec<SupervisorAction> {
        self.step(now, Event::Command(Command::Stop(Selection::of(&services))))
    }

    /// Replaces the processes of services by new ones.
    pub fn restart(&self, now: Millis, services: Vec<String>) -> Vec<SupervisorAction> {
        self.step(
            now,
            Event::Command(Command::Restart(Selection::of(&services))),
        )
    }

    /// Makes the services be those of a configuration.
    ///
    /// # Errors
    ///
    /// [`FlowgateError::SuperviseError`] if the services do not fit together.
    pub fn apply(
        &self,
        now: Millis,
        config: &Config,
    ) -> Result<Vec<SupervisorAction>, FlowgateError> {
        let services = crate::services::services(&config.0)?;
        Ok(self.step(now, Event::Command(Command::Apply(services))))
    }

    /// Brings everything down, and takes no other command; with `force` at once.
    pub fn shutdown(&self, now: Millis, force: bool) -> Vec<SupervisorAction> {
        self.step(now, Event::Command(Command::Shutdown { force }))
    }

    /// Something happened to a process.
    pub fn happened(
        &self,
        now: Millis,
        service: &str,
        generation: Gen,
        event: ProcessEvent,
    ) -> Vec<SupervisorAction> {
        let event = Event::Process {
            service: service.into(),
            generation,
            event: event.into(),
        };
        self.step(now, event)
    }

    /// An earlier supervisor left a process behind that runs, and is ours beyond doubt.
    #[allow(clippy::too_many_arguments, reason = "they are what a record holds")]
    pub fn found(
        &self,
        now: Millis,
        service: &str,
        generation: Gen,
        pid: u32,
        started: u64,
        ready: bool,
        fingerprint: u64,
    ) -> Vec<SupervisorAction> {
        let id = ProcessId { pid, started };
        let found = Found::Alive {
            id,
            ready,
            fingerprint,
        };
        self.record(now, service, generation, found)
    }

    /// An earlier supervisor left a record whose process is not there any more, or is not ours.
    pub fn found_stale(
        &self,
        now: Millis,
        service: &str,
        generation: Gen,
        why: String,
    ) -> Vec<SupervisorAction> {
        self.record(now, service, generation, Found::Stale { why })
    }

    /// Time passed.
    pub fn tick(&self, now: Millis) -> Vec<SupervisorAction> {
        self.step(now, Event::Tick)
    }

    /// When [`tick`](Self::tick) is to be called next, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.lock().next_deadline()
    }

    /// Where every service stands, by name: an array of `ServiceStatus` as JSON.
    pub fn status(&self) -> String {
        write(&self.lock().status())
    }

    /// Whether everything is down after a shutdown.
    pub fn is_finished(&self) -> bool {
        self.lock().is_finished()
    }
}

impl Supervisor {
    fn lock(&self) -> MutexGuard<'_, supervise::Supervisor> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, now: Millis, event: Event) -> Vec<SupervisorAction> {
        // What it said when it was made comes first.
        let begun = self.begun.lock();
        let mut actions = std::mem::take(&mut *begun.unwrap_or_else(PoisonError::into_inner));
        self.lock().step(now, event, &mut actions);
        actions.into_iter().map(SupervisorAction::from).collect()
    }

    fn record(
        &self,
        now: Millis,
        service: &str,
        generation: Gen,
        found: Found,
    ) -> Vec<SupervisorAction> {
        let event = Event::Record {
            service: service.into(),
            generation,
            found,
        };
        self.step(now, event)
    }
}

impl From<ProcessEvent> for supervise::ProcessEvent {
    fn from(event: ProcessEvent) -> Self {
        match event {
            ProcessEvent::PortFree => Self::PortFree,
            ProcessEvent::PortBusy { owner } => Self::PortBusy { owner },
            ProcessEvent::Spawned { pid, started } => Self::Spawned(ProcessId { pid, started }),
            ProcessEvent::SpawnFailed {
                stage,
                reason,
                path,
                permanent,
            } => Self::SpawnFailed(SpawnError {
                stage,
                message: reason,
                path,
                permanent,
            }),
            ProcessEvent::ProbeOk {
                purpose,
                port_is_ours,
                port_owner,
            } => Self::Probed {
                purpose,
                outcome: ProbeOutcome::Ok {
                    port: match port_owner {
                        Some(owner) => PortOwner::Other(owner),
                        None if port_is_ours => PortOwner::Ours,
                        None => PortOwner::Unknown,
                    },
                },
            },
            ProcessEvent::ProbeFailed { purpose, why } => Self::Probed {
                purpose,
                outcome: ProbeOutcome::Failed { why },
            },
            ProcessEvent::Drained => Self::Drained,
            ProcessEvent::Exited {
                code,
                signal,
                last_lines,
            } => Self::Exited {
                status: match (code, signal) {
                    (Some(code), _) => ExitStatus::Code(code),
                    (None, Some(signal)) => ExitStatus::Signal(signal),
                    (None, None) => ExitStatus::Unknown,
                },
                last_lines,
            },
            ProcessEvent::TreeEmpty => Self::TreeEmpty,
            ProcessEvent::Survivors { processes } => Self::Survivors(processes),
        }
    }
}

impl From<Action> for SupervisorAction {
    fn from(action: Action) -> Self {
        let (service, generation, effect) = match action {
            Action::Process {
                service,
                generation,
                action,
            } => (Some(service), Some(generation), action.into()),
            Action::ReleasePort { service } => (Some(service), None, Effect::ReleasePort),
            Action::Emit(notice) => {
                let event = crate::event::Event::from(&notice);
                let tell = Effect::Tell {
                    event: event.event.into_owned(),
                    data: write(&event.data),
                };
                (Some(notice.service), Some(notice.generation), tell)
            }
            Action::Finished => (None, None, Effect::Finished),
        };
        Self {
            service: service.map(String::from),
            generation,
            effect,
        }
    }
}

impl From<ProcessAction> for Effect {
    fn from(action: ProcessAction) -> Self {
        match action {
            ProcessAction::CheckPort { host, port, hold } => Self::CheckPort { host, port, hold },
            ProcessAction::Spawn(spec) => Self::Spawn {
                spec: write(&*spec),
            },
            ProcessAction::Adopt(ProcessId { pid, started }) => Self::Adopt { pid, started },
            ProcessAction::StartProbe {
                purpose,
                probe,
                spec,
            } => Self::StartProbe {
                purpose,
                probe: write(&probe),
                spec: write(&*spec),
            },
            ProcessAction::StopProbe(purpose) => Self::StopProbe { purpose },
            ProcessAction::Drain(hook) => Self::Drain { hook: write(&hook) },
            ProcessAction::Signal { signal, to } => Self::SendSignal { signal, to },
            ProcessAction::Sweep(signal) => Self::Sweep { signal },
            ProcessAction::Handover { from } => Self::Handover { from },
            ProcessAction::WriteRecord { ready, fingerprint } => {
                Self::WriteRecord { ready, fingerprint }
            }
            ProcessAction::DeleteRecord => Self::DeleteRecord,
            ProcessAction::Forget => Self::Forget,
            ProcessAction::Leave => Self::Leave,
        }
    }
}

fn write(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
