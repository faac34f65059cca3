//! One service: its process, the second one while a restart overlaps, and what follows when one of
//! them ends.

use std::sync::Arc;

use super::super::Millis;
use super::super::action::{Action, ProcessAction};
use super::super::event::{Found, Owner, ProcessEvent, SpawnError};
use super::super::notice::{Notice, What};
use super::super::spec::{
    Gen, OnLoss, OnPortConflict, OnSupervisorExit, Overlap, RestartPolicy, ServiceId, ServiceSpec,
};
use super::super::state::{
    Gate, OtherInstance, Phase, PublicState, Reason, ServiceStatus, State, Want, Why,
};
use super::Change;
use super::instance::{Context, Finding, Instance};
use super::restart::{Next, Restarts};

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
        if let Some(second) = self.second.as_mut().filter(|second| second.is_up()) {
            second.stop(cx, Why::Command, false);
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

    // On the way up.

    /// Waits for what it needs; nothing is known about that yet, nor about the port.
    fn wait(&mut self, cx: &mut Context<'_>) {
        self.met = false;
        if self.held.is_some() && !self.can_overlap() {
            self.release_port(cx);
        }
        let services = Vec::new();
        let waiting = State::Waiting {
            gate: Gate::Dependencies { services },
        };
        self.main = Instance::new(Arc::clone(&self.spec), self.generation, waiting);
    }

    /// Some services it needs are not there.
    fn waits_for(&mut self, cx: &mut Context<'_>, services: Vec<ServiceId>) {
        self.main.deadline = None;
        self.main.state = State::Waiting {
            gate: Gate::Dependencies {
                services: services.clone(),
            },
        };
        self.tell(cx, What::WaitingFor { services });
    }

    /// What other services mean to it.
    pub(super) fn change(&mut self, cx: &mut Context<'_>, change: Change) {
        match change {
            Change::GoOn => self.main.go_on(cx),
            Change::Start => self.dependencies_met(cx),
            Change::Wait(services) => self.waits_for(cx, services),
            Change::Fail(service) => self.fail(cx, Reason::DependencyFailed { service }, None),
            Change::StartAgain => self.start(cx),
            Change::Met => self.met = true,
            Change::Restart => {
                self.met = true;
                self.restart_because(cx, Why::Restart);
            }
            Change::Lost => self.lose(cx),
        }
    }

    /// Whether it ended with success; `None` if it has not ended.
    pub(super) fn completed(&self) -> Option<bool> {
        match self.main.state {
            State::Exited { status } => Some(status.is_success(&self.spec.restart.success_codes)),
            _ => None,
        }
    }

    /// Every service it needs is there.
    fn dependencies_met(&mut self, cx: &mut Context<'_>) {
        self.met = true;
        self.generation += 1;
        self.main.generation = self.generation;
        if self.spec.port.is_none() || self.held.is_some() {
            self.main.spawn(cx);
            return;
        }
        self.main.state = State::Waiting {
            gate: Gate::Port { owner: None },
        };
        self.check_port(cx);
    }

    fn check_port(&mut self, cx: &mut Context<'_>) {
        let Some(port) = self.spec.port else { return };
        let action = ProcessAction::CheckPort {
            host: self.spec.host.clone(),
            port,
            hold: self.spec.overlap.holds_port(),
        };
        self.main.act(cx, action);
    }

    fn port_is_free(&mut self, cx: &mut Context<'_>) {
        self.hold_port();
        self.main.spawn(cx);
    }

    /// The port of a process that was taken over is held again.
    fn port_is_back(&mut self, cx: &mut Context<'_>) {
        if self.spec.overlap.holds_port() && self.held.is_none() {
            self.hold_port();
            self.main.act(cx, ProcessAction::Handover { from: None });
        }
    }

    fn hold_port(&mut self) {
        self.held = self.spec.overlap.holds_port().then(|| address(&self.spec));
    }

    fn release_port(&mut self, cx: &mut Context<'_>) {
        self.held = None;
        cx.out.push(Action::ReleasePort {
            service: self.spec.name.clone(),
        });
    }

    fn port_is_busy(&mut self, cx: &mut Context<'_>, owner: Option<Owner>) {
        let port = self.spec.port.unwrap_or_default();
        let known = State::Waiting {
            gate: Gate::Port {
                owner: owner.clone(),
            },
        };
        // The first answer, and one that differs.
        if self.main.state != known || self.main.complaint.is_none() {
            let holder = owner.as_ref();
            let holder = holder.map_or("another process".to_owned(), |owner| {
                format!("{} ({})", owner.name, owner.pid)
            });
            let message = format!("port {port} is taken by {holder}");
            self.main.complaint = Some(message.clone());
            self.last_error = Some(message);
            let owner = owner.clone();
            self.tell(cx, What::PortBusy { port, owner });
        }
        if self.spec.on_port_conflict == OnPortConflict::Fail {
            return self.fail(cx, Reason::PortBusy { port, owner }, None);
        }
        self.main.state = known;
        self.main.deadline = Some(cx.now + PORT_POLL);
    }

    fn ready(&mut self, cx: &mut Context<'_>, is_second: bool) {
        if !is_second {
            self.main.ready(cx);
            if self.held.is_some() {
                self.main.act(cx, ProcessAction::Handover { from: None });
            }
            return;
        }
        let Some(mut new) = self.second.take() else {
            return;
        };
        new.ready(cx);
        let from = self.main.generation;
        new.act(cx, ProcessAction::Handover { from: Some(from) });
        new.tell(cx, What::HandedOver { from });
        let mut old = std::mem::replace(&mut self.main, new);
        if old.is_up() {
            old.stop(cx, Why::Replaced, false);
        } else if let State::Stopping { phase, .. } = old.state {
            old.state = State::Stopping {
                why: Why::Replaced,
                phase,
            };
        }
        self.second = Some(old);
    }

    fn spawn_failed(&mut self, cx: &mut Context<'_>, is_second: bool, error: SpawnError) {
        let message = match &error.path {
            Some(path) => format!("cannot start `{path}`: {}", error.message),
            None => format!("cannot start: {}", error.message),
        };
        let what = What::SpawnFailed {
            error: error.clone(),
        };
        if is_second {
            if let Some(second) = self.second.take() {
                if second.is_up() {
                    give_up(&mut self.last_error, &second, cx, message);
                }
                second.tell(cx, what);
                self.second_gone(cx, &second);
            }
            return;
        }
        self.last_error = Some(message);
        self.main.tell(cx, what);
        if self.main.state != State::Starting {
            // It was to be stopped, and now there is nothing to stop.
            self.main_gone(cx);
        } else if error.permanent {
            let retry = (!self.spec.restart.give_up).then_some(cx.now + SPAWN_RETRY);
            self.fail(cx, Reason::SpawnFailed { error }, retry);
        } else {
            self.back_off(cx);
        }
    }

    // When it is over.

    fn gone(&mut self, cx: &mut Context<'_>, is_second: bool) {
        if !is_second {
            return self.main_gone(cx);
        }
        if let Some(second) = self.second.take() {
            self.second_gone(cx, &second);
        }
    }

    fn second_gone(&mut self, cx: &mut Context<'_>, second: &Instance) {
        let again = second.why() == Why::Restart;
        if (std::mem::take(&mut self.restart_again) || again) && self.want == Want::Up {
            self.restart_because(cx, Why::Restart);
        }
    }

    fn main_gone(&mut self, cx: &mut Context<'_>) {
        let why = self.main.why();
        if let Some(second) = self.second.take() {
            let ended = std::mem::replace(&mut self.main, second);
            let replaced = self.main.why() == Why::Replaced && !self.main.is_up();
            self.last = Some(ended.clone());
            // If that was the process it had become, what follows has to wait for the old one.
            self.ended = replaced.then_some((why, ended));
            return;
        }
        let (why, ended) = self.ended.take().unwrap_or((why, self.main.clone()));
        self.last = Some(ended);
        if self.want == Want::Down {
            return self.down(cx);
        }
        match why {
            Why::Command | Why::Restart | Why::DependencyLost | Why::Replaced => self.wait(cx),
            Why::Exit | Why::StartTimeout | Why::Liveness => self.ended_by_itself(cx, why),
        }
    }

    /// It ended, or was ended since it did not work: what its policy says follows.
    fn ended_by_itself(&mut self, cx: &mut Context<'_>, why: Why) {
        let last = self.last.as_ref();
        let status = last.and_then(|last| last.exit);
        let status = status.unwrap_or(super::super::event::ExitStatus::Unknown);
        let success = why == Why::Exit && status.is_success(&self.spec.restart.success_codes);
        if !success {
            let complaint = last.and_then(|last| last.complaint.clone());
            self.last_error = Some(match (why, complaint) {
                (Why::Exit, _) => format!("it ended {status}"),
                (Why::StartTimeout, Some(why)) => format!("it was not ready in time: {why}"),
                (Why::StartTimeout, None) => "it was not ready in time".to_owned(),
                (_, Some(why)) => format!("it did not answer: {why}"),
                (_, None) => "it did not answer".to_owned(),
            });
        }
        match self.spec.restart.policy {
            RestartPolicy::Never => self.rest(cx, State::Exited { status }),
            RestartPolicy::OnFailure if success => self.rest(cx, State::Exited { status }),
            _ => self.back_off(cx),
        }
    }

    fn back_off(&mut self, cx: &mut Context<'_>) {
        match self.restarts.failed(&self.spec.restart) {
            Next::After { delay: 0, .. } => self.restart_now(cx),
            Next::After { attempt, delay } => {
                let until = cx.now + delay;
                self.main.state = State::Backoff { until };
                self.main.deadline = Some(until);
                let delay_ms = delay;
                self.tell(cx, What::Backoff { attempt, delay_ms });
            }
            rest => self.crash_loop(cx, rest),
        }
    }

    fn restart_now(&mut self, cx: &mut Context<'_>) {
        match self.restarts.restart(cx.now, &self.spec.restart) {
            None => self.wait(cx),
            Some(rest) => self.crash_loop(cx, rest),
        }
    }

    fn crash_loop(&mut self, cx: &mut Context<'_>, next: Next) {
        let Next::Rest { restarts, cooldown } = next else {
            return;
        };
        let last = self.last.as_ref();
        let status = last.and_then(|last| last.exit);
        let last_lines = last.map(|last| last.last_lines.clone()).unwrap_or_default();
        let what = What::CrashLoop {
            restarts,
            retry_ms: cooldown,
            last_lines: last_lines.clone(),
        };
        self.tell(cx, what);
        let reason = Reason::CrashLoop {
            restarts,
            status,
            last_lines,
        };
        self.fail(cx, reason, cooldown.map(|cooldown| cx.now + cooldown));
    }

    fn fail(&mut self, cx: &mut Context<'_>, reason: Reason, retry_at: Option<Millis>) {
        self.rest(cx, State::Error { reason, retry_at });
        self.main.deadline = retry_at;
    }

    fn down(&mut self, cx: &mut Context<'_>) {
        self.rest(cx, State::Stopped);
    }

    /// There is no process, and none on its way: nobody shall wait at its port.
    fn rest(&mut self, cx: &mut Context<'_>, state: State) {
        self.main.state = state;
        self.main.deadline = None;
        self.met = false;
        if self.spec.overlap.holds_port() || self.held.is_some() {
            self.release_port(cx);
        }
    }

    // What an earlier supervisor left behind.

    pub(super) fn record(&mut self, cx: &mut Context<'_>, generation: Gen, found: Found) -> bool {
        self.generation = self.generation.max(generation);
        let mut instance = Instance::new(Arc::clone(&self.spec), generation, State::Starting);
        match found {
            Found::Stale { why } => {
                instance.act(cx, ProcessAction::DeleteRecord);
                instance.tell(cx, What::StaleRecord { why });
                true
            }
            Found::Alive {
                id,
                ready,
                fingerprint,
            } => {
                if self.second.is_some()
                    || !self.can_take_over()
                    || self.main.alive() && self.main.generation == generation
                {
                    return false;
                }
                self.want = Want::Up;
                instance.adopt(cx, id, ready);
                self.take_over(cx, instance);
                if self.spec.overlap.holds_port() {
                    self.check_port(cx);
                }
                if self.removed {
                    self.stop(cx, false);
                } else if self.main.generation == generation
                    && fingerprint != self.spec.fingerprint()
                {
                    self.restart_because(cx, Why::Restart);
                }
                true
            }
        }
    }

    fn can_take_over(&self) -> bool {
        self.main.is_up()
            || matches!(
                self.main.state,
                State::Stopped | State::Waiting { .. } | State::Exited { .. }
            )
    }

    /// Of two processes the newer one stays if it is ready, and the older one if it is not.
    fn take_over(&mut self, cx: &mut Context<'_>, found: Instance) {
        if !self.main.is_up() {
            self.main = found;
            return;
        }
        let known = std::mem::replace(&mut self.main, found);
        let (older, newer) = match known.generation < self.main.generation {
            true => (known, self.main.clone()),
            false => (self.main.clone(), known),
        };
        let newer_stays = newer.is_ready() || !older.is_ready();
        let (stays, mut goes) = match newer_stays {
            true => (newer, older),
            false => (older, newer),
        };
        goes.stop(cx, Why::Replaced, false);
        self.main = stays;
        self.second = Some(goes);
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
