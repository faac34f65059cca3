//! One process of a service, or the place where it will be: how it starts, and how it is brought to
//! an end whatever it does.

use std::sync::Arc;

use super::super::action::{Action, ProcessAction};
use super::super::event::{ExitStatus, Owner, PortOwner, ProbeOutcome, ProcessId, Purpose};
use super::super::notice::{Notice, What};
use super::super::spec::{Gen, LivenessSpec, ServiceSpec, Signal};
use super::super::state::{Phase, Reason, State, Why};
use super::super::{Millis, millis};

/// How long killed processes may take to disappear.
pub(super) const KILL_TIMEOUT: Millis = 2_000;

/// What a step knows and makes.
pub(super) struct Context<'a> {
    pub(super) now: Millis,
    pub(super) out: &'a mut Vec<Action>,
}

#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) spec: Arc<ServiceSpec>,
    pub(super) generation: Gen,
    pub(super) state: State,
    /// When something has to happen though nothing else does.
    pub(super) deadline: Option<Millis>,
    pub(super) process: Option<ProcessId>,
    /// A process was asked for, and the answer is not there yet.
    pub(super) spawning: bool,
    /// The leader ended, in this way.
    pub(super) exit: Option<ExitStatus>,
    pub(super) last_lines: Vec<String>,
    pub(super) since: Option<Millis>,
    /// What is wrong with it, in words.
    pub(super) complaint: Option<String>,
    survivors: Vec<Owner>,
    /// It was ready when it was told to stop: there is work to finish.
    drains: bool,
}

/// What a probe showed.
pub(super) enum Finding {
    Nothing,
    Ready,
    Dead,
}

impl Instance {
    pub(super) fn new(spec: Arc<ServiceSpec>, generation: Gen, state: State) -> Self {
        Self {
            spec,
            generation,
            state,
            deadline: None,
            process: None,
            spawning: false,
            exit: None,
            last_lines: Vec::new(),
            since: None,
            complaint: None,
            survivors: Vec::new(),
            drains: false,
        }
    }

    /// True if there is a process, or may be one.
    pub(super) fn alive(&self) -> bool {
        self.process.is_some() || self.spawning
    }

    /// True if it is alive and nothing more can be done about it.
    pub(super) fn stuck(&self) -> bool {
        self.alive() && matches!(self.state, State::Error { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Unhealthy { .. })
    }

    /// True if it is on its way up or there.
    pub(super) fn is_up(&self) -> bool {
        self.is_ready() || self.state == State::Starting
    }

    /// Why it is being stopped, or was when it turned out that it cannot be.
    pub(super) fn why(&self) -> Why {
        match self.state {
            State::Stopping { why, .. } => why,
            State::Error { .. } => Why::Command,
            _ => Why::Exit,
        }
    }

    pub(super) fn act(&self, cx: &mut Context<'_>, action: ProcessAction) {
        cx.out.push(Action::Process {
            service: self.spec.name.clone(),
            generation: self.generation,
            action,
        });
    }

    pub(super) fn tell(&self, cx: &mut Context<'_>, what: What) {
        cx.out.push(Action::Emit(Notice {
            service: self.spec.name.clone(),
            generation: self.generation,
            what,
        }));
    }

    // Up.

    pub(super) fn spawn(&mut self, cx: &mut Context<'_>) {
        self.state = State::Starting;
        self.spawning = true;
        self.since = Some(cx.now);
        self.deadline = Some(cx.now + millis(self.spec.start_timeout));
        self.act(cx, ProcessAction::Spawn(Arc::clone(&self.spec)));
    }

    /// It runs. If it was told to stop meanwhile, it hears of it now.
    pub(super) fn spawned(&mut self, cx: &mut Context<'_>, id: ProcessId) {
        self.spawning = false;
        self.process = Some(id);
        self.tell(cx, What::Spawned { pid: id.pid });
        self.record(cx, false);
        match &self.state {
            State::Stopping {
                phase: Phase::Term, ..
            } => self.term(cx),
            State::Stopping {
                phase: Phase::Wait, ..
            } => {}
            State::Stopping { .. } | State::Error { .. } => self.kill(cx),
            _ => self.start_readiness(cx),
        }
    }

    pub(super) fn adopt(&mut self, cx: &mut Context<'_>, id: ProcessId, ready: bool) {
        self.process = Some(id);
        self.since = Some(cx.now);
        self.act(cx, ProcessAction::Adopt(id));
        self.tell(cx, What::Adopted { pid: id.pid });
        if ready {
            self.ready(cx);
        } else {
            self.state = State::Starting;
            self.deadline = Some(cx.now + millis(self.spec.start_timeout));
            self.start_readiness(cx);
        }
    }

    fn record(&self, cx: &mut Context<'_>, ready: bool) {
        let fingerprint = self.spec.fingerprint();
        self.act(cx, ProcessAction::WriteRecord { ready, fingerprint });
    }

    fn start_readiness(&self, cx: &mut Context<'_>) {
        let probe = self.spec.readiness.probe.clone();
        self.start_probe(cx, Purpose::Readiness, probe);
    }

    fn start_probe(
        &self,
        cx: &mut Context<'_>,
        purpose: Purpose,
        probe: super::super::spec::Probe,
    ) {
        let spec = Arc::clone(&self.spec);
        self.act(
            cx,
            ProcessAction::StartProbe {
                purpose,
                probe,
                spec,
            },
        );
    }

    /// It is ready: from now on it is asked whether it lives, and it may become well.
    pub(super) fn ready(&mut self, cx: &mut Context<'_>) {
        if self.state == State::Starting {
            self.act(cx, ProcessAction::StopProbe(Purpose::Readiness));
        }
        self.state = State::Ready;
        self.complaint = None;
        self.deadline = Some(cx.now + millis(self.spec.restart.reset_after));
        self.record(cx, true);
        let after_ms = cx.now - self.since.unwrap_or(cx.now);
        self.tell(cx, What::Ready { after_ms });
        if let Some(LivenessSpec { probe, .. }) = self.spec.liveness.clone() {
            self.start_probe(cx, Purpose::Liveness, probe);
        }
    }

    /// The answer of a probe. One that comes too late, after its probe was stopped, is no answer.
    pub(super) fn probed(
        &mut self,
        cx: &mut Context<'_>,
        purpose: Purpose,
        outcome: ProbeOutcome,
    ) -> Finding {
        let failed = match outcome {
            ProbeOutcome::Failed { why } => Some(why),
            ProbeOutcome::Ok {
                port: PortOwner::Other(owner),
            } if self.spec.readiness.verify_owner => Some(format!(
                "what answers on port {} is another process: {} ({})",
                self.spec.port.unwrap_or_default(),
                owner.name,
                owner.pid
            )),
            ProbeOutcome::Ok { .. } => None,
        };
        match (&self.state, purpose, failed) {
            (State::Starting, Purpose::Readiness, None) if self.process.is_some() => Finding::Ready,
            (State::Starting, Purpose::Readiness, Some(why)) => {
                self.complain(cx, purpose, why);
                Finding::Nothing
            }
            (State::Unhealthy { .. }, Purpose::Liveness, None) => {
                self.state = State::Ready;
                self.deadline = Some(cx.now + millis(self.spec.restart.reset_after));
                self.complaint = None;
                self.tell(cx, What::Recovered);
                Finding::Nothing
            }
            (State::Ready | State::Unhealthy { .. }, Purpose::Liveness, Some(why)) => {
                self.complain(cx, purpose, why);
                self.failed_liveness()
            }
            _ => Finding::Nothing,
        }
    }

    /// Says what is wrong, once: a probe that is made often says the same often.
    fn complain(&mut self, cx: &mut Context<'_>, purpose: Purpose, why: String) {
        if self.complaint.as_ref() != Some(&why) {
            self.complaint = Some(why.clone());
            self.tell(cx, What::ProbeFailed { purpose, why });
        }
    }

    fn failed_liveness(&mut self) -> Finding {
        let before = match self.state {
            State::Unhealthy { failures } => failures,
            _ => 0,
        };
        let failures = before.saturating_add(1);
        self.state = State::Unhealthy { failures };
        self.deadline = None;
        let allowed = self.spec.liveness.as_ref().map_or(1, |live| live.failures);
        if failures >= allowed {
            Finding::Dead
        } else {
            Finding::Nothing
        }
    }

    // Down.

    /// Begins to stop what is up. With `wait`, services that need it end first.
    pub(super) fn stop(&mut self, cx: &mut Context<'_>, why: Why, wait: bool) {
        self.drains = match why {
            Why::Replaced => self.is_ready(),
            _ => self.state == State::Ready,
        };
        self.stop_probes(cx);
        self.tell(cx, What::Stopping { why });
        if wait {
            self.enter(Phase::Wait, why, None);
            return;
        }
        self.drain_or_term(cx, why);
    }

    fn drain_or_term(&mut self, cx: &mut Context<'_>, why: Why) {
        let drain = match why {
            Why::Replaced => self.spec.drain_when_replaced(),
            _ => self.spec.stop.drain.clone(),
        };
        let Some(drain) = drain.filter(|_| self.drains) else {
            return self.term_because(cx, why);
        };
        self.enter(Phase::Drain, why, Some(cx.now + millis(drain.timeout)));
        self.act(cx, ProcessAction::Drain(drain.hook));
    }

    /// Services that need it have ended.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>) {
        let State::Stopping {
            why,
            phase: Phase::Wait,
        } = self.state
        else {
            return;
        };
        self.drain_or_term(cx, why);
    }

    pub(super) fn drained(&mut self, cx: &mut Context<'_>) {
        if let State::Stopping {
            why,
            phase: Phase::Drain,
        } = self.state
        {
            self.term_because(cx, why);
        }
    }

    /// It has been replaced, and what comes next cannot wait for the last of its work.
    pub(super) fn hurry(&mut self, cx: &mut Context<'_>) {
        if let State::Stopping {
            why: why @ Why::Replaced,
            phase: Phase::Drain,
        } = self.state
        {
            self.term_because(cx, why);
        }
    }

    fn term_because(&mut self, cx: &mut Context<'_>, why: Why) {
        self.enter(Phase::Term, why, None);
        self.term(cx);
    }

    /// Tells it to end. A process that is frozen hears nothing, so it is thawed.
    fn term(&mut self, cx: &mut Context<'_>) {
        self.deadline = Some(cx.now + millis(self.spec.stop.timeout));
        if self.process.is_none() {
            return;
        }
        let to = self.spec.stop.to;
        for signal in [self.spec.stop.signal, Signal::Cont] {
            self.act(cx, ProcessAction::Signal { signal, to });
        }
    }

    /// The leader ended: what it left behind is told to end as well.
    pub(super) fn exited(&mut self, cx: &mut Context<'_>, status: ExitStatus, lines: Vec<String>) {
        self.last_lines = lines;
        if self.note_exit(cx, status) {
            self.act(cx, ProcessAction::Sweep(Signal::Term));
        }
    }

    /// True if it is swept from now on.
    fn note_exit(&mut self, cx: &mut Context<'_>, status: ExitStatus) -> bool {
        let expected = matches!(self.state, State::Stopping { .. } | State::Error { .. });
        self.exit = Some(status);
        self.tell(cx, What::Exited { status, expected });
        let killed = State::Stopping {
            why: self.why(),
            phase: Phase::Kill,
        };
        let sweeps = self.state != killed && !matches!(self.state, State::Error { .. });
        if sweeps {
            let (why, grace) = (self.why(), millis(self.spec.stop.orphan_grace));
            self.stop_probes(cx);
            self.enter(Phase::Sweep, why, Some(cx.now + grace));
        }
        sweeps
    }

    /// Kills all of it.
    pub(super) fn kill(&mut self, cx: &mut Context<'_>) {
        let why = self.why();
        self.enter(Phase::Kill, why, Some(cx.now + KILL_TIMEOUT));
        if self.process.is_some() {
            self.tell(cx, What::Killing);
            self.act(cx, ProcessAction::Sweep(Signal::Kill));
        }
    }

    /// A phase of the stop took too long.
    pub(super) fn stop_is_late(&mut self, cx: &mut Context<'_>) {
        let State::Stopping { why, phase } = self.state else {
            return;
        };
        match phase {
            Phase::Wait => {}
            Phase::Drain => self.term_because(cx, why),
            Phase::Term | Phase::Sweep => self.kill(cx),
            Phase::Kill => {
                let survivors = self.survivors.clone();
                self.deadline = None;
                self.state = State::Error {
                    reason: Reason::Unkillable { survivors },
                    retry_at: None,
                };
            }
        }
    }

    pub(super) fn survivors(&mut self, cx: &mut Context<'_>, processes: Vec<Owner>) {
        if let State::Stopping { .. } = self.state {
            self.survivors.clone_from(&processes);
            self.tell(cx, What::StillThere { processes });
        }
    }

    /// Nothing is left of it.
    pub(super) fn gone(&mut self, cx: &mut Context<'_>) {
        if self.exit.is_none() {
            // Who lost sight of the leader still sees that nobody is left.
            self.note_exit(cx, ExitStatus::Unknown);
        }
        self.process = None;
        self.deadline = None;
        self.act(cx, ProcessAction::DeleteRecord);
        self.act(cx, ProcessAction::Forget);
        self.tell(cx, What::Gone);
    }

    /// It goes on without us.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>) {
        self.stop_probes(cx);
        self.act(cx, ProcessAction::Leave);
        self.tell(cx, What::LeftRunning);
        self.process = None;
        self.deadline = None;
        self.state = State::Stopped;
    }

    fn stop_probes(&self, cx: &mut Context<'_>) {
        match self.state {
            State::Starting if self.process.is_some() => {
                self.act(cx, ProcessAction::StopProbe(Purpose::Readiness));
            }
            State::Ready | State::Unhealthy { .. } if self.spec.liveness.is_some() => {
                self.act(cx, ProcessAction::StopProbe(Purpose::Liveness));
            }
            _ => {}
        }
    }

    /// Goes on with other settings, of those that need no other process.
    pub(super) fn reconfigure(&mut self, cx: &mut Context<'_>, spec: Arc<ServiceSpec>) {
        let (ready, starting) = (self.is_ready(), self.state == State::Starting);
        let new_liveness = ready && self.spec.liveness != spec.liveness;
        let new_readiness =
            starting && self.process.is_some() && self.spec.readiness != spec.readiness;
        if new_liveness || new_readiness {
            self.stop_probes(cx);
        }
        self.spec = spec;
        if new_readiness {
            self.start_readiness(cx);
        }
        if let (true, Some(live)) = (new_liveness, self.spec.liveness.clone()) {
            self.start_probe(cx, Purpose::Liveness, live.probe);
        }
    }

    fn enter(&mut self, phase: Phase, why: Why, deadline: Option<Millis>) {
        self.state = State::Stopping { why, phase };
        self.deadline = deadline;
    }
}
