//! What is to be done: the output of the machine.
//!
//! A driver carries actions out in their order and reports what came of them. No action names a
//! process by its number: it names the service and the generation, and the driver knows the process
//! by the handle it got when it started it or took it over.

use std::sync::Arc;

use super::event::{ProcessId, Purpose};
use super::notice::Notice;
use super::spec::{DrainHook, Gen, Probe, ServiceId, ServiceSpec, Signal, SignalTo};

/// Something that is to be done for a service.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// For a process, or the attempt to have one.
    Process {
        /// The service.
        service: ServiceId,
        /// Which process.
        generation: Gen,
        /// What.
        action: ProcessAction,
    },
    /// Close the listening socket of the service, and end its forwarder.
    ReleasePort {
        /// The service.
        service: ServiceId,
    },
    /// Something that people and programs may want to know.
    Emit(Notice),
    /// Everything is down after [`Shutdown`](super::Command::Shutdown): the driver may end.
    Finished,
}

/// What is to be done for one process.
#[derive(Clone, Debug, PartialEq)]
pub enum ProcessAction {
    /// Find out whether the port can be had; answer `PortFree` or `PortBusy`. With
    /// [`Overlap::Socket`](super::Overlap::Socket) or [`Overlap::Forward`](super::Overlap::Forward)
    /// take it and keep it, if it is not held already.
    CheckPort {
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// True if it is to be held.
        hold: bool,
    },
    /// Start the process, with its output going to the logs of the service; answer `Spawned` or
    /// `SpawnFailed`, always.
    Spawn(Arc<ServiceSpec>),
    /// Watch a process that an earlier supervisor started, and read its logs on: report `Exited`
    /// and `TreeEmpty` as for one of our own.
    Adopt(ProcessId),
    /// Ask the process now and then, and answer `Probed` each time, until it is ready (readiness)
    /// or `StopProbe` comes.
    StartProbe {
        /// Why.
        purpose: Purpose,
        /// How.
        probe: Probe,
        /// The spec, for the intervals and the port.
        spec: Arc<ServiceSpec>,
    },
    /// Ask no more.
    StopProbe(Purpose),
    /// Tell the process to take no new work; answer `Drained` when that is done.
    Drain(DrainHook),
    /// Send a signal.
    Signal {
        /// Which.
        signal: Signal,
        /// To whom.
        to: SignalTo,
    },
    /// Send a signal to every process of this generation, however far it went from the first; look
    /// again until none is left, and answer `TreeEmpty`. Answer `Survivors` now and then while some
    /// are. A second `Sweep` replaces the first.
    Sweep(Signal),
    /// This process is ready: send what the forwarder gets from now on to it. What the old one is
    /// working on, it finishes. Only for services whose port the supervisor holds.
    Handover {
        /// The generation that got it so far, if one lives.
        from: Option<Gen>,
    },
    /// Write, or replace, the record by which the next supervisor finds this process.
    WriteRecord {
        /// Whether it is ready.
        ready: bool,
        /// The fingerprint of its spec.
        fingerprint: u64,
    },
    /// Remove the record.
    DeleteRecord,
    /// Forget the process: it is gone, its output is read to the end, its handles can be closed.
    Forget,
    /// Forget the process and leave it and its record alone: the next supervisor takes it over.
    Leave,
}
