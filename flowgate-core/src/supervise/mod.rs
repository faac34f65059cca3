//! Services that stay up, as decisions: what is to be done when a process ends, hangs, is not ready,
//! or shall be another.
//!
//! A [`ServiceSpec`] says what a service is. A driver tells the machine each [`Event`] that
//! happened, and carries out the [`Action`]s it gets back. Time is an argument, in monotonic
//! milliseconds, so no change of the clock moves a deadline; chance comes from a seed. The same
//! events give the same actions.

mod action;
mod apply;
mod event;
mod graph;
mod machine;
mod notice;
mod spec;
mod state;

pub use action::{Action, ProcessAction};
pub use apply::{
    Apply, ApplyAction, ApplyEvent, FileStep, Journal, JournalPhase, Limits, Outcome, Plan,
    PlanAction, PlanStep, Proposal, Repair,
};
pub use event::{
    Command, Event, ExitStatus, Found, Owner, PortOwner, ProbeOutcome, ProcessEvent, ProcessId,
    Purpose, Selection, SpawnError, SpawnStage,
};
pub use graph::{GraphError, Services};
pub use machine::Supervisor;
pub use notice::{Notice, What, fold};
pub use spec::{
    CommandSpec, Condition, Dependency, DrainHook, DrainSpec, Gen, LivenessSpec, LogMode, LogSpec,
    OnLoss, OnPortConflict, OnSupervisorExit, Overlap, Placeholders, Probe, ReadinessSpec,
    RestartPolicy, RestartSpec, ServiceId, ServiceSpec, Signal, SignalTo, StopSpec,
};
pub use state::{Gate, OtherInstance, Phase, PublicState, Reason, ServiceStatus, State, Want, Why};

/// A moment or a span of the monotonic clock, in milliseconds. Where it begins does not matter.
pub type Millis = u64;

/// As milliseconds of the monotonic clock; what is longer than it can hold is its end.
fn millis(duration: std::time::Duration) -> Millis {
    // Far from overflow when added to a moment.
    Millis::try_from(duration.as_millis())
        .unwrap_or(Millis::MAX)
        .min(1 << 50)
}
