//! An operating system that is made up: it knows which processes there are, and looks at every
//! action for what must never be.

use std::collections::{BTreeMap, BTreeSet};

use flowgate_core::supervise::{
    Action, Command, Condition, Event, ExitStatus, Found, Gate, Gen, Millis, Notice, Overlap,
    Phase, PortOwner, ProbeOutcome, ProcessAction, ProcessEvent, ProcessId, PublicState, Purpose,
    Reason, Selection, ServiceId, ServiceSpec, ServiceStatus, Services, Signal, SpawnError,
    SpawnStage, State, Supervisor, Want, What, Why, fold,
};

/// One process, as the system knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    /// The machine asked for it, and waits for an answer.
    pub(crate) asked: bool,
    /// It runs, or at least something that came from it does.
    pub(crate) lives: bool,
    pub(crate) exited: bool,
    pub(crate) killed: bool,
    pub(crate) termed: bool,
    probed_ok: bool,
    since: Millis,
    /// How long it may take to stop, without drain and kill.
    timeout: Millis,
    drain: Millis,
}

#[derive(Clone)]
pub(crate) struct Sim {
    pub(crate) now: Millis,
    pub(crate) machine: Supervisor,
    pub(crate) processes: BTreeMap<(ServiceId, Gen), Process>,
    pub(crate) notices: Vec<Notice>,
    /// Port questions without an answer.
    pub(crate) ports: BTreeSet<(ServiceId, Gen)>,
    pub(crate) drains: BTreeSet<(ServiceId, Gen)>,
    pub(crate) finished: bool,
    /// Everything that was done, for comparison.
    pub(crate) history: Vec<Action>,
    pub(crate) events: Vec<(Millis, Event)>,
    specs: BTreeMap<ServiceId, ServiceSpec>,
    may_spawn: BTreeSet<ServiceId>,
    shutdown: bool,
    /// The services whose main process goes on without its supervisor: who needs them has them.
    left: BTreeSet<ServiceId>,
    /// Since when each process is being stopped, phase `Wait` apart.
    stopping: BTreeMap<(ServiceId, Gen), Millis>,
}

/// Whatever of it is changed while it runs.
fn longest_drain(spec: &ServiceSpec) -> Millis {
    match spec.overlap {
        Overlap::Forward => 60_000,
        Overlap::Socket | Overlap::Never => 700,
    }
}

pub(crate) fn process(service: &str, generation: Gen, event: ProcessEvent) -> Event {
    Event::Process {
        service: service.into(),
        generation,
        event,
    }
}

pub(crate) fn probed(purpose: Purpose, ok: bool) -> ProcessEvent {
    let outcome = match ok {
        true => ProbeOutcome::Ok {
            port: PortOwner::Ours,
        },
        false => ProbeOutcome::Failed {
            why: "503".to_owned(),
        },
    };
    ProcessEvent::Probed { purpose, outcome }
}

pub(crate) fn exited(code: i32) -> ProcessEvent {
    ProcessEvent::Exited {
        status: ExitStatus::Code(code),
        last_lines: vec!["last words".to_owned()],
    }
}

pub(crate) fn spawned() -> ProcessEvent {
    ProcessEvent::Spawned(ProcessId {
        pid: 100,
        started: 1,
    })
}

pub(crate) fn spawn_failed(permanent: bool) -> ProcessEvent {
    ProcessEvent::SpawnFailed(SpawnError {
        stage: SpawnStage::Exec,
        message: "no such file".to_owned(),
        path: Some("/bin/x".to_owned()),
        permanent,
    })
}

pub(crate) fn named(names: &[&str]) -> Selection {
    Selection::Named(names.iter().map(|name| ServiceId::from(*name)).collect())
}

impl Sim {
    pub(crate) fn new(specs: Vec<ServiceSpec>) -> Self {
        Self::at(0, specs)
    }

    pub(crate) fn at(now: Millis, specs: Vec<ServiceSpec>) -> Self {
        let mut actions = Vec::new();
        let known = specs
            .iter()
            .map(|spec| (spec.name.clone(), spec.clone()))
            .collect();
        let machine = Supervisor::new(Services::new(specs).unwrap(), 7, &mut actions);
        let mut sim = Self {
            now,
            machine,
            processes: BTreeMap::new(),
            notices: Vec::new(),
            ports: BTreeSet::new(),
            drains: BTreeSet::new(),
            finished: false,
            history: Vec::new(),
            events: Vec::new(),
            specs: known,
            may_spawn: BTreeSet::new(),
            shutdown: false,
            left: BTreeSet::new(),
            stopping: BTreeMap::new(),
        };
        let before = sim.machine.status();
        sim.look_at(actions, &before);
        sim
    }

    pub(crate) fn status(&self, service: &str) -> ServiceStatus {
        let mut all = self.machine.status().into_iter();
        all.find(|status| status.name.as_str() == service).unwrap()
    }

    pub(crate) fn state(&self, service: &str) -> State {
        self.status(service).state
    }

    pub(crate) fn public(&self, service: &str) -> PublicState {
        self.status(service).public
    }

    pub(crate) fn generation(&self, service: &str) -> Gen {
        self.status(service).generation
    }

    /// What happened to the main process of a service.
    pub(crate) fn main(&mut self, service: &str, event: ProcessEvent) -> Vec<Action> {
        let generation = self.generation(service);
        self.step(process(service, generation, event))
    }

    /// What happened to the second one.
    pub(crate) fn second(&mut self, service: &str, event: ProcessEvent) -> Vec<Action> {
        let generation = self.status(service).other.unwrap().generation;
        self.step(process(service, generation, event))
    }

    pub(crate) fn command(&mut self, command: Command) -> Vec<Action> {
        self.step(Event::Command(command))
    }

    pub(crate) fn start(&mut self) {
        self.command(Command::Start(Selection::All));
    }

    /// Brings a service to where it is ready.
    pub(crate) fn bring_up(&mut self, service: &str) {
        let generation = self.generation(service);
        if self.ports.contains(&(service.into(), generation)) {
            self.main(service, ProcessEvent::PortFree);
        }
        self.main(service, spawned());
        self.main(service, probed(Purpose::Readiness, true));
        assert_eq!(self.state(service), State::Ready);
    }

    /// Its process ends, and nothing of it is left.
    pub(crate) fn end(&mut self, service: &str, code: i32) {
        let generation = self.generation(service);
        self.step(process(service, generation, exited(code)));
        self.step(process(service, generation, ProcessEvent::TreeEmpty));
    }

    pub(crate) fn tick(&mut self) -> bool {
        let Some(at) = self.machine.next_deadline() else {
            return false;
        };
        self.now = self.now.max(at);
        self.step(Event::Tick);
        true
    }

    /// Lets time pass, and ticks when it is time to.
    pub(crate) fn pass(&mut self, time: Millis) {
        let until = self.now + time;
        while self.machine.next_deadline().is_some_and(|at| at <= until) {
            self.tick();
        }
        self.now = until;
    }

    pub(crate) fn step(&mut self, event: Event) -> Vec<Action> {
        let before = self.machine.status();
        let stale = self.is_stale(&event);
        self.hear(&event);
        self.events.push((self.now, event.clone()));
        let mut actions = Vec::new();
        self.machine.step(self.now, event.clone(), &mut actions);
        self.follow(&event);
        if stale {
            assert_eq!(
                actions,
                [],
                "I5: {event:?} is about a process that is no more"
            );
            assert_eq!(before, self.machine.status(), "I5: {event:?}");
        }
        self.look_at(actions.clone(), &before);
        actions
    }

    /// True if it is about a process that the machine knows nothing of, or not any more.
    fn is_stale(&self, event: &Event) -> bool {
        let Event::Process {
            service,
            generation,
            ..
        } = event
        else {
            return false;
        };
        let known = self
            .processes
            .get(&(service.clone(), *generation))
            .is_some_and(|process| process.asked || process.lives);
        !known && !self.ports.contains(&(service.clone(), *generation))
    }

    /// What an event means for the system itself, before the machine hears of it.
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Command(command) => self.hear_command(command),
            Event::Process {
                service,
                generation,
                event,
            } => {
                let key = (service.clone(), *generation);
                if matches!(
                    event,
                    ProcessEvent::PortFree | ProcessEvent::PortBusy { .. }
                ) {
                    self.ports.remove(&key);
                    return;
                }
                let Some(process) = self.processes.get_mut(&key) else {
                    return;
                };
                match event {
                    ProcessEvent::Spawned(_) => {
                        process.asked = false;
                        process.lives = true;
                        process.since = self.now;
                    }
                    ProcessEvent::SpawnFailed(_) => process.asked = false,
                    ProcessEvent::Exited { .. } => process.exited = true,
                    ProcessEvent::Drained => drop(self.drains.remove(&key)),
                    ProcessEvent::Probed {
                        purpose: Purpose::Readiness,
                        outcome: ProbeOutcome::Ok { port },
                    } => process.probed_ok |= !matches!(port, PortOwner::Other(_)),
                    _ => {}
                }
            }
            Event::Record {
                service,
                generation,
                found: Found::Alive { ready, .. },
            } => {
                // One that is in no configuration is stopped by the defaults.
                let known = self.machine.specs().into_iter();
                let known = { known }.find(|spec| spec.name == *service);
                let process = Process {
                    timeout: known.as_ref().map_or(10_000, |_| 3_000),
                    drain: known.as_ref().map_or(0, longest_drain),
                    lives: true,
                    probed_ok: *ready,
                    since: self.now,
                    ..Process::default()
                };
                self.processes
                    .insert((service.clone(), *generation), process);
                self.may_spawn.insert(service.clone());
            }
            _ => {}
        }
    }

    fn hear_command(&mut self, command: &Command) {
        if self.shutdown {
            return;
        }
        match command {
            Command::Start(selection) | Command::Restart(selection) => {
                self.may_spawn_with_needs(self.selected(selection));
            }
            Command::Stop(selection) => {
                for id in self.selected(selection) {
                    self.may_spawn.remove(&id);
                }
            }
            Command::Apply(services) => {
                let old = std::mem::take(&mut self.specs);
                self.specs = services
                    .iter()
                    .map(|spec| (spec.name.clone(), ServiceSpec::clone(spec)))
                    .collect();
                let running = self.machine.specs();
                for id in old.keys().filter(|id| !self.specs.contains_key(*id)) {
                    self.may_spawn.remove(id);
                }
                let names = self.specs.keys();
                let new = names.filter(|name| running.iter().all(|known| known.name != **name));
                self.may_spawn_with_needs(new.cloned().collect());
            }
            Command::Shutdown { .. } => {
                self.shutdown = true;
                self.may_spawn.clear();
            }
        }
    }

    fn may_spawn_with_needs(&mut self, mut reached: Vec<ServiceId>) {
        let mut next = 0;
        while let Some(id) = reached.get(next).cloned() {
            next += 1;
            if let Some(spec) = self.specs.get(&id) {
                reached.extend(spec.depends_on.iter().map(|needed| needed.service.clone()));
                self.may_spawn.insert(id);
            }
        }
    }

    fn selected(&self, selection: &Selection) -> Vec<ServiceId> {
        match selection {
            Selection::All => self.specs.keys().cloned().collect(),
            Selection::Named(names) => names.clone(),
        }
    }

    /// What an event means after the machine has heard of it.
    fn follow(&mut self, event: &Event) {
        if let Event::Process {
            service,
            generation,
            event: ProcessEvent::TreeEmpty,
        } = event
            && let Some(process) = self.processes.get_mut(&(service.clone(), *generation))
        {
            process.lives = false;
        }
    }

    fn look_at(&mut self, actions: Vec<Action>, before: &[ServiceStatus]) {
        for action in &actions {
            match action {
                Action::Process {
                    service,
                    generation,
                    action,
                } => self.look_at_one(service, *generation, action, before),
                Action::Emit(notice) => self.look_at_notice(notice),
                Action::ReleasePort { .. } => {}
                Action::Finished => {
                    assert!(self.shutdown && !self.finished);
                    self.finished = true;
                }
            }
        }
        self.history.extend(actions);
        self.look_at_states(before);
    }

    fn look_at_one(
        &mut self,
        service: &ServiceId,
        generation: Gen,
        action: &ProcessAction,
        before: &[ServiceStatus],
    ) {
        let key = (service.clone(), generation);
        match action {
            ProcessAction::Spawn(spec) => {
                self.look_at_spawn(service, generation, spec, before);
                let process = Process {
                    asked: true,
                    timeout: 3_000,
                    drain: longest_drain(spec),
                    ..Process::default()
                };
                self.processes.insert(key, process);
            }
            ProcessAction::CheckPort { .. } => drop(self.ports.insert(key)),
            ProcessAction::Signal { .. } | ProcessAction::Sweep(_) | ProcessAction::Drain(_) => {
                let process = self.processes.get_mut(&key);
                let process = process.filter(|process| process.lives);
                let process = process.unwrap_or_else(|| panic!("I6: {action:?} to {key:?}"));
                process.termed = true;
                process.killed |= matches!(action, ProcessAction::Sweep(Signal::Kill));
                if matches!(action, ProcessAction::Drain(_)) {
                    self.drains.insert(key);
                }
            }
            ProcessAction::Forget => {
                let process = self.processes.get(&key).unwrap();
                assert!(!process.lives, "I4: {key:?} is forgotten and lives");
            }
            ProcessAction::Leave => {
                let process = self.processes.get_mut(&key).unwrap();
                assert!(process.lives && self.shutdown);
                self.left.insert(service.clone());
                process.lives = false;
            }
            _ => {}
        }
    }

    fn look_at_spawn(
        &self,
        service: &ServiceId,
        generation: Gen,
        spec: &ServiceSpec,
        before: &[ServiceStatus],
    ) {
        assert!(
            self.may_spawn.contains(service),
            "I3: {service} is started and was stopped"
        );
        let all = self.processes.iter();
        let of_service = all.filter(|((name, _), _)| name == service);
        let mut living = 0;
        for ((_, old), process) in of_service {
            assert!(*old < generation, "{service}: generations only grow");
            living += usize::from(process.asked || process.lives);
        }
        let overlaps = spec.overlap != Overlap::Never;
        assert!(
            living <= usize::from(overlaps),
            "I1, I2: {service} has {living} processes and gets another"
        );
        if living > 0 {
            let ready = |status: &&ServiceStatus| status.name == *service;
            let main = before.iter().find(ready).unwrap();
            assert!(main.process.is_some(), "I2: {main:?}");
            return;
        }
        let now = self.machine.status();
        for needed in &spec.depends_on {
            let meets = |all: &[ServiceStatus]| {
                let status = all.iter().find(|status| status.name == needed.service);
                status.is_some_and(|status| match needed.condition {
                    Condition::Started => status.process.is_some(),
                    Condition::Ready => {
                        matches!(status.state, State::Ready | State::Unhealthy { .. })
                    }
                    Condition::Completed => matches!(
                        status.state,
                        State::Exited {
                            status: ExitStatus::Code(0)
                        }
                    ),
                })
            };
            assert!(
                meets(before) || meets(&now),
                "I12: {service} starts before {}",
                needed.service
            );
        }
    }

    fn look_at_notice(&mut self, notice: &Notice) {
        let key = (notice.service.clone(), notice.generation);
        match notice.what {
            What::Ready { .. } => {
                let process = &self.processes[&key];
                assert!(
                    process.probed_ok,
                    "I11: {key:?} is ready and nobody said so"
                );
            }
            What::Backoff { attempt, delay_ms } => {
                let spec = &self.specs[&notice.service].restart;
                let grown = spec.initial.as_millis() as f64
                    * spec.factor.powi(i32::try_from(attempt).unwrap() - 1);
                let wait = grown.min(spec.max.as_millis() as f64);
                let allowed =
                    (wait * (1.0 - spec.jitter)).floor()..=(wait * (1.0 + spec.jitter)).ceil();
                assert!(
                    allowed.contains(&(delay_ms as f64)),
                    "I9: {delay_ms} ms at {attempt}"
                );
            }
            _ => {}
        }
        self.notices.push(notice.clone());
    }

    fn look_at_states(&mut self, before: &[ServiceStatus]) {
        let after = self.machine.status();
        let public: BTreeMap<_, _> = after
            .iter()
            .map(|status| (status.name.clone(), status.public))
            .collect();
        assert_eq!(fold(&self.notices), public, "I14");
        for status in &after {
            self.look_at_state(status, before, &after);
        }
        self.look_at_stops(&after);
    }

    fn look_at_state(
        &self,
        status: &ServiceStatus,
        before: &[ServiceStatus],
        after: &[ServiceStatus],
    ) {
        let name = &status.name;
        let key = (name.clone(), status.generation);
        let asked = self
            .processes
            .get(&key)
            .is_some_and(|process| process.asked);
        match &status.state {
            State::Waiting {
                gate: Gate::Dependencies { services },
            } => assert!(!services.is_empty(), "I7: {name} waits for nothing"),
            State::Waiting { .. } if self.ports.contains(&key) => {}
            State::Stopping {
                phase: Phase::Wait, ..
            } => {
                let others = after.iter().any(|other| {
                    let needed = self.specs.get(&other.name);
                    let alive = other.process.is_some()
                        || self
                            .processes
                            .get(&(other.name.clone(), other.generation))
                            .is_some_and(|process| process.asked);
                    // One that was removed is not known here any more.
                    alive
                        && needed.is_none_or(|spec| {
                            spec.depends_on.iter().any(|needed| needed.service == *name)
                        })
                });
                assert!(others, "I7: {name} waits for nobody: {after:?}");
            }
            State::Starting
            | State::Stopping { .. }
            | State::Backoff { .. }
            | State::Waiting { .. }
            | State::Error {
                retry_at: Some(_), ..
            } => assert!(
                self.machine.next_deadline().is_some() || asked,
                "I7: {name} is stuck in {:?}",
                status.state
            ),
            _ => {}
        };
        // The order of a stop.
        let was = before.iter().find(|old| old.name == *name);
        let begins = was.is_some_and(|was| {
            matches!(
                was.state,
                State::Starting
                    | State::Ready
                    | State::Unhealthy { .. }
                    | State::Stopping {
                        phase: Phase::Wait,
                        ..
                    }
            )
        });
        if let (
            true,
            State::Stopping {
                why: Why::Command,
                phase: Phase::Drain | Phase::Term,
            },
        ) = (begins, &status.state)
        {
            for other in after.iter().filter(|other| other.want == Want::Down) {
                let spec = self.specs.get(&other.name);
                let needs = spec.is_some_and(|spec| {
                    spec.depends_on.iter().any(|needed| needed.service == *name)
                });
                let stuck = matches!(
                    other.state,
                    State::Error {
                        reason: Reason::Unkillable { .. },
                        ..
                    }
                );
                assert!(
                    !needs
                        || other.process.is_none()
                        || stuck
                        || status.want == Want::Up
                        || self.left.contains(name),
                    "I12: {name} stops before {}",
                    other.name
                );
            }
        }
    }

    /// I8: no stop takes longer than it may.
    fn look_at_stops(&mut self, after: &[ServiceStatus]) {
        let mut stopping = BTreeMap::new();
        for status in after {
            let second = status.other.as_ref();
            let instances = [(status.generation, &status.state)]
                .into_iter()
                .chain(second.map(|other| (other.generation, &other.state)));
            for (generation, state) in instances {
                let key = (status.name.clone(), generation);
                let State::Stopping { phase, .. } = state else {
                    continue;
                };
                if *phase == Phase::Wait {
                    continue;
                }
                let since = self.stopping.get(&key).copied().unwrap_or(self.now);
                let process = self.processes.get(&key);
                let since = since.max(process.map_or(0, |process| process.since));
                // Drain, stop timeout, grace for what is left, kill.
                let longest = process.map_or(0, |process| process.drain + process.timeout);
                let longest = longest + 500 + 2_000;
                assert!(
                    self.now - since <= longest,
                    "I8: {key:?} takes {} ms to stop",
                    self.now - since
                );
                stopping.insert(key, since);
            }
        }
        self.stopping = stopping;
    }

    /// Everything that can happen to processes as they are, for a good system: what was asked for
    /// is done, and what was killed is gone. True if something did.
    pub(crate) fn oblige(&mut self) -> bool {
        if let Some((service, generation)) = self.ports.first().cloned() {
            self.step(process(
                service.as_str(),
                generation,
                ProcessEvent::PortFree,
            ));
            // A port that was asked for and then not needed is no question any more.
            self.ports.remove(&(service, generation));
            return true;
        }
        let waiting = self.processes.iter().find(|(_, process)| process.asked);
        if let Some(((service, generation), _)) = waiting {
            let (service, generation) = (service.clone(), *generation);
            self.step(process(service.as_str(), generation, spawned()));
            return true;
        }
        let told = |process: &Process| process.lives && process.termed;
        let ending = self.processes.iter().find(|(_, process)| told(process));
        if let Some(((service, generation), found)) = ending {
            let (service, generation, exits) = (service.clone(), *generation, !found.exited);
            if exits {
                self.step(process(service.as_str(), generation, exited(0)));
            }
            let empty = process(service.as_str(), generation, ProcessEvent::TreeEmpty);
            self.step(empty);
            return true;
        }
        false
    }
}
