//! One service: its process, the second one while a restart overlaps, and what follows when one of
//! them ends.

mod found;
mod over;
mod way_up;

use std::sync::Arc;

use super::super::Millis;
use super::super::action::Action;
use super::super::event::ProcessEvent;
use super::super::notice::{Notice, What};
use super::super::spec::{Gen, OnLoss, OnSupervisorExit, Overlap, ServiceSpec};
use super::super::state::{
    Gate, OtherInstance, Phase, PublicState, ServiceStatus, State, Want, Why,
};
use super::instance::{Context, Finding, Instance};
use super::restart::Restarts;

/// How often a port that is taken is looked at again.
const PORT_POLL: Millis = 250;
/// How long until a program that could not be started is tried again.
const SPAWN_RETRY: Millis = 30_000;

/// Where a service is reached, and how.
type Address = (String, Option<u16>, Overlap);

fn address(spec: &ServiceSpec) -> Address {
    (spec.host.clone(), spec.port, spec.overlap)
}

/// A new process is given up, and the old one stays. Said before what the new one goes through on
/// its way out, so that nobody takes that for the service's.
fn give_up(error: &mut Option<String>, candidate: &Instance, cx: &mut Context<'_>, why: String) {
    *error = Some(format!("the new process was given up: {why}"));
    candidate.tell(cx, What::RolledBack { why });
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    /// What it shall be; its process may still be what it was.
    pub(super) spec: Arc<ServiceSpec>,
    pub(super) want: Want,
    pub(super) main: Instance,
    /// The process that is to replace the main one, or that the main one replaced.
    pub(super) second: Option<Instance>,
    /// It is not in the configuration any more, and goes when its processes are gone.
    pub(super) removed: bool,
    /// Every service it needs was there at once since it was started.
    pub(super) met: bool,
    /// A service it needs was lost: when that is back, this one is restarted.
    pub(super) restart_when_met: bool,
    /// The last state that was told.
    pub(super) told: PublicState,
    generation: Gen,
    restarts: Restarts,
    /// The address that the supervisor listens on for it.
    held: Option<Address>,
    /// A restart was asked for while two processes lived already.
    restart_again: bool,
    /// Its main process ended while an old one was still ending: what follows when that is gone.
    ended: Option<(Why, Instance)>,
    last: Option<Instance>,
    last_error: Option<String>,
}

impl Service {
    pub(super) fn new(spec: Arc<ServiceSpec>, seed: u64, generation: Gen) -> Self {
        Self {
            main: Instance::new(Arc::clone(&spec), generation, State::Stopped),
            spec,
            want: Want::Down,
            second: None,
            removed: false,
            met: false,
            restart_when_met: false,
            told: PublicState::Stopped,
            generation,
            restarts: Restarts::new(seed),
            held: None,
            restart_again: false,
            ended: None,
            last: None,
            last_error: None,
        }
    }

    // What is asked for.

    pub(super) fn start(&mut self, cx: &mut Context<'_>) {
        self.want = Want::Up;
        match self.main.state {
            _ if self.main.stuck() => self.main.kill(cx),
            State::Stopped | State::Exited { .. } | State::Backoff { .. } | State::Error { .. } => {
                self.restarts.forgive();
                self.wait(cx);
            }
            _ => {}
        }
    }

    /// `wait` is true if services that need it have to end first.
    pub(super) fn stop(&mut self, cx: &mut Context<'_>, wait: bool) {
        self.want = Want::Down;
        self.restart_again = false;
        self.restart_when_met = false;
        match self.main.state {
            _ if self.main.stuck() => self.main.kill(cx),
            _ if self.main.is_up() => self.main.stop(cx, Why::Command, wait),
            State::Stopping { phase, .. } => {
                self.main.state = State::Stopping {
                    why: Why::Command,
                    phase,
                };
            }
            _ => self.down(cx),
        }
        match self.second.as_mut() {
            Some(second) if second.is_up() => second.stop(cx, Why::Command, false),
            Some(second) => second.hurry(cx),
            None => {}
        }
    }

    /// Ends it without asking.
    pub(super) fn force(&mut self, cx: &mut Context<'_>) {
        for instance in [Some(&mut self.main), self.second.as_mut()] {
            let stopping = |instance: &Instance| match instance.state {
                State::Stopping { phase, .. } => phase != Phase::Kill,
                _ => false,
            };
            if let Some(instance) = instance.filter(|instance| stopping(instance)) {
                instance.kill(cx);
            }
        }
    }

    /// Leaves its process alone, if that is what is wanted and it has a good one.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>) -> bool {
        let left = self.spec.on_supervisor_exit == OnSupervisorExit::Leave
            && self.main.is_up()
            && self.main.process.is_some();
        if left {
            self.want = Want::Down;
            self.main.leave(cx);
            if let Some(second) = self.second.as_mut().filter(|second| second.is_up()) {
                second.stop(cx, Why::Command, false);
            }
            if let Some(second) = self.second.take() {
                self.main = second;
            } else {
                self.down(cx);
            }
        }
        left
    }

    pub(super) fn restart(&mut self, cx: &mut Context<'_>) {
        self.want = Want::Up;
        self.restart_because(cx, Why::Restart);
    }

    pub(super) fn restart_because(&mut self, cx: &mut Context<'_>, why: Why) {
        self.restart_when_met = false;
        match self.second.as_mut() {
            Some(candidate) if candidate.is_up() => return candidate.stop(cx, Why::Restart, false),
            Some(_) if self.main.is_up() => {
                self.restart_again = true;
                return;
            }
            _ => {}
        }
        match self.main.state {
            _ if self.main.stuck() => self.main.kill(cx),
            _ if self.main.is_ready() && self.can_overlap() => self.spawn_candidate(cx),
            _ if self.main.is_up() => self.main.stop(cx, why, false),
            State::Stopping { phase, .. } => {
                self.main.state = State::Stopping { why, phase };
            }
            State::Waiting { .. } => {}
            _ => {
                self.restarts.forgive();
                self.wait(cx);
            }
        }
    }

    /// A service that it needs is lost. `met` was true until now.
    fn lose(&mut self, cx: &mut Context<'_>) {
        self.met = false;
        let lost = |on_loss| {
            self.spec
                .depends_on
                .iter()
                .any(|needed| needed.on_loss == on_loss)
        };
        self.restart_when_met |= lost(OnLoss::Restart);
        if !lost(OnLoss::Stop) {
            return;
        }
        self.main.stop(cx, Why::DependencyLost, false);
        if let Some(second) = self.second.as_mut().filter(|second| second.is_up()) {
            second.stop(cx, Why::Command, false);
        }
    }

    /// True if the old and the new process can run side by side.
    fn can_overlap(&self) -> bool {
        self.held.as_ref() == Some(&address(&self.spec))
    }

    fn spawn_candidate(&mut self, cx: &mut Context<'_>) {
        self.generation += 1;
        let mut candidate = Instance::new(Arc::clone(&self.spec), self.generation, State::Starting);
        candidate.spawn(cx);
        self.second = Some(candidate);
    }

    /// It shall be something else from now on.
    pub(super) fn apply(&mut self, cx: &mut Context<'_>, spec: Arc<ServiceSpec>) {
        self.removed = false;
        if self.spec == spec {
            return;
        }
        if self.spec.depends_on != spec.depends_on {
            self.met = false;
        }
        self.spec = Arc::clone(&spec);
        let fits = |instance: &Instance| instance.spec.fingerprint() == spec.fingerprint();
        // A newer process that is on its way is what counts.
        let newest = self.second.as_ref().filter(|second| second.is_up());
        if newest.is_some_and(|second| !fits(second))
            && fits(&self.main)
            && let Some(candidate) = self.second.as_mut()
        {
            candidate.stop(cx, Why::Command, false);
        }
        let newest = self.second.as_ref().filter(|second| second.is_up());
        let newest_fits = fits(newest.unwrap_or(&self.main));
        for instance in [Some(&mut self.main), self.second.as_mut()] {
            if let Some(instance) = instance.filter(|instance| fits(instance)) {
                instance.reconfigure(cx, Arc::clone(&spec));
            }
        }
        match self.main.state {
            _ if newest_fits => self.tell(cx, What::Reconfigured),
            // What waits to be started is started as what it is then.
            State::Waiting { .. } => self.wait(cx),
            _ if self.want == Want::Up => self.restart_because(cx, Why::Restart),
            _ => {}
        }
    }

    // What has happened.

    /// False if it is about a process that is no more.
    pub(super) fn process_event(
        &mut self,
        cx: &mut Context<'_>,
        generation: Gen,
        event: ProcessEvent,
    ) -> bool {
        let is_second = self
            .second
            .as_ref()
            .is_some_and(|second| second.generation == generation);
        let instance = match self.second.as_mut().filter(|_| is_second) {
            Some(second) => second,
            None if self.main.generation == generation => &mut self.main,
            None => return false,
        };
        // Until it is asked again, an answer about the port is none.
        let waits = instance.deadline.is_none()
            && matches!(
                instance.state,
                State::Waiting {
                    gate: Gate::Port { .. }
                }
            );
        match event {
            ProcessEvent::PortFree if waits => self.port_is_free(cx),
            ProcessEvent::PortBusy { owner } if waits => self.port_is_busy(cx, owner),
            ProcessEvent::PortFree if instance.process.is_some() => self.port_is_back(cx),
            ProcessEvent::Spawned(id) if instance.spawning => instance.spawned(cx, id),
            ProcessEvent::SpawnFailed(error) if instance.spawning => {
                instance.spawning = false;
                self.spawn_failed(cx, is_second, error);
            }
            ProcessEvent::Exited { status, last_lines }
                if instance.process.is_some() && instance.exit.is_none() =>
            {
                if is_second && instance.is_up() {
                    let why = format!("it ended {status}");
                    give_up(&mut self.last_error, instance, cx, why);
                }
                instance.exited(cx, status, last_lines);
            }
            ProcessEvent::TreeEmpty if instance.process.is_some() => {
                instance.gone(cx);
                self.gone(cx, is_second);
            }
            ProcessEvent::Probed { purpose, outcome } => {
                match instance.probed(cx, purpose, outcome) {
                    Finding::Nothing => {}
                    Finding::Ready => self.ready(cx, is_second),
                    Finding::Dead => instance.stop(cx, Why::Liveness, false),
                }
            }
            ProcessEvent::Drained => instance.drained(cx),
            ProcessEvent::Survivors(processes) => instance.survivors(cx, processes),
            _ => return false,
        }
        true
    }

    /// A deadline has come.
    pub(super) fn tick(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        let due = |instance: &&mut Instance| instance.deadline.is_some_and(|at| at <= now);
        if let Some(second) = self.second.as_mut().filter(due) {
            second.deadline = None;
            match second.state {
                State::Starting => {
                    let complaint = second.complaint.as_deref().unwrap_or("no answer");
                    let limit = second.spec.start_timeout;
                    let why = format!("it was not ready within {limit:?}: {complaint}");
                    give_up(&mut self.last_error, second, cx, why);
                    second.stop(cx, Why::StartTimeout, false);
                }
                _ => second.stop_is_late(cx),
            }
        }
        if !due(&&mut self.main) {
            return;
        }
        self.main.deadline = None;
        match &self.main.state {
            State::Waiting { .. } => self.check_port(cx),
            State::Starting => self.main.stop(cx, Why::StartTimeout, false),
            State::Ready => self.restarts.is_well(),
            State::Stopping { .. } => self.main.stop_is_late(cx),
            State::Backoff { .. } => self.restart_now(cx),
            State::Error { .. } => {
                self.restarts.retry();
                self.wait(cx);
            }
            State::Stopped | State::Exited { .. } | State::Unhealthy { .. } => {}
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        let second = self.second.as_ref().and_then(|second| second.deadline);
        self.main.deadline.into_iter().chain(second).min()
    }

    // What others see.

    pub(super) fn tell(&self, cx: &mut Context<'_>, what: What) {
        cx.out.push(Action::Emit(Notice {
            service: self.spec.name.clone(),
            generation: self.main.generation,
            what,
        }));
    }

    pub(super) fn generation(&self) -> Gen {
        self.generation
    }

    pub(super) fn public(&self) -> PublicState {
        match self.main.state {
            State::Stopped | State::Exited { .. } => PublicState::Stopped,
            State::Waiting { .. } | State::Starting => PublicState::Starting,
            State::Ready | State::Unhealthy { .. } => PublicState::Running,
            State::Stopping { .. } if self.want == Want::Up => PublicState::Restarting,
            State::Stopping { .. } => PublicState::Stopping,
            State::Backoff { .. } => PublicState::Restarting,
            State::Error { .. } => PublicState::Error,
        }
    }

    pub(super) fn status(&self) -> ServiceStatus {
        let last = self.last.as_ref();
        let running = Some(&self.main).filter(|main| main.alive());
        let now = running.and_then(|main| main.complaint.clone());
        ServiceStatus {
            name: self.spec.name.clone(),
            public: self.public(),
            state: self.main.state.clone(),
            want: self.want,
            generation: self.main.generation,
            process: self.main.process,
            port: self.main.spec.port,
            since: running.and_then(|main| main.since),
            restarts: self.restarts.total(),
            last_exit: last.and_then(|last| last.exit),
            completed: self.completed(),
            last_error: now.or(self.last_error.clone()),
            other: self.second.as_ref().map(|second| OtherInstance {
                generation: second.generation,
                process: second.process,
                state: second.state.clone(),
            }),
        }
    }
}
