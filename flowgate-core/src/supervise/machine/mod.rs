//! The machine: every service, and what they are to each other.

mod instance;
mod restart;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::instance::Context;
use self::service::Service;
use super::Millis;
use super::action::Action;
use super::event::{Command, Event, Found, Selection};
use super::graph::Services;
use super::notice::What;
use super::spec::{Condition, Dependency, Gen, ServiceId, ServiceSpec, fnv1a};
use super::state::{Gate, Phase, Reason, ServiceStatus, State, Want};

/// Keeps services as they shall be: it is told what happened, and says what to do.
///
/// A copy of it is a snapshot; the same events give the same actions.
///
/// # Example
///
/// ```
/// use flowgate_core::supervise::{
///     Action, Command, Event, ProcessAction, Selection, ServiceSpec, Services, Supervisor,
/// };
///
/// let mut actions = Vec::new();
/// let services = Services::new(vec![ServiceSpec::new("worker", ["worker"])])?;
/// let mut supervisor = Supervisor::new(services, 42, &mut actions);
/// supervisor.step(0, Event::Command(Command::Start(Selection::All)), &mut actions);
/// assert!(actions.iter().any(|action| matches!(
///     action,
///     Action::Process { generation: 1, action: ProcessAction::Spawn(_), .. }
/// )));
/// # Ok::<(), flowgate_core::supervise::GraphError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Supervisor {
    services: BTreeMap<ServiceId, Service>,
    /// The last generations of services that are no more: one that comes again goes on from there.
    past: BTreeMap<ServiceId, Gen>,
    seed: u64,
    shutting_down: bool,
    finished: bool,
    dropped: u64,
}

/// What other services mean to one.
enum Change {
    /// Those that need it have ended: its own stop goes on.
    GoOn,
    /// All that it needs is there: it starts.
    Start,
    /// Some that it needs are not there.
    Wait(Vec<ServiceId>),
    /// One that had to complete has failed.
    Fail(ServiceId),
    /// The one that had failed has completed.
    StartAgain,
    /// It is up, and all that it needs is there.
    Met,
    /// That was lost for a while, and it is restarted for it.
    Restart,
    /// It is up, and some that it needs are lost.
    Lost,
}

impl Supervisor {
    /// Knows these services; none shall run yet. The seed is for the chance in the waits between
    /// restarts. The actions are notices that there are these services.
    pub fn new(services: Services, seed: u64, out: &mut Vec<Action>) -> Self {
        let mut supervisor = Self {
            services: BTreeMap::new(),
            past: BTreeMap::new(),
            seed,
            shutting_down: false,
            finished: false,
            dropped: 0,
        };
        for spec in services.iter() {
            supervisor.add(&mut Context { now: 0, out }, spec);
        }
        supervisor
    }

    /// Takes notice of an event at a moment, and adds what is to be done about it to `out`, in order.
    ///
    /// Moments never go back. An event about a process that is no more changes nothing.
    pub fn step(&mut self, now: Millis, event: Event, out: &mut Vec<Action>) {
        let cx = &mut Context { now, out };
        match event {
            Event::Command(command) if !self.shutting_down => self.command(cx, command),
            Event::Command(Command::Shutdown { force: true }) => self.force(cx),
            Event::Command(_) => {}
            Event::Process {
                service,
                generation,
                event,
            } => {
                let known = self.services.get_mut(&service);
                if !known.is_some_and(|known| known.process_event(cx, generation, event)) {
                    self.dropped += 1;
                }
            }
            Event::Record {
                service,
                generation,
                found,
            } if !self.shutting_down => self.record(cx, &service, generation, found),
            Event::Record { .. } => self.dropped += 1,
            Event::Tick => {
                for service in self.services.values_mut() {
                    service.tick(cx);
                }
            }
        }
        while self.settle(cx) {}
        self.tell_states(cx);
        self.finish(cx);
    }

    /// When to step with [`Event::Tick`] though nothing else has happened; `None` if nothing but
    /// events moves this machine.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.services.values().filter_map(Service::deadline).min()
    }

    /// Where every service stands, by name.
    pub fn status(&self) -> Vec<ServiceStatus> {
        self.services.values().map(Service::status).collect()
    }

    /// Where this one stands, if there is such a service.
    pub fn status_of(&self, service: &ServiceId) -> Option<ServiceStatus> {
        self.services.get(service).map(Service::status)
    }

    /// A service as it shall be, also if it is only ending.
    pub fn spec(&self, service: &ServiceId) -> Option<Arc<ServiceSpec>> {
        let service = self.services.get(service)?;
        Some(Arc::clone(&service.spec))
    }

    /// The services as they shall be, without those that are only ending.
    pub fn specs(&self) -> Vec<ServiceSpec> {
        let kept = self.services.values().filter(|service| !service.removed);
        kept.map(|service| ServiceSpec::clone(&service.spec))
            .collect()
    }

    /// True when everything is down after a shutdown, as far as it can be.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// How many events were about processes that were no more, or could not be.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn add(&mut self, cx: &mut Context<'_>, spec: &Arc<ServiceSpec>) {
        let seed = self.seed ^ fnv1a(spec.name.as_str().as_bytes());
        let past = self.past.get(&spec.name).copied().unwrap_or_default();
        let service = Service::new(Arc::clone(spec), seed, past);
        service.tell(cx, What::Added);
        self.services.insert(spec.name.clone(), service);
    }

    fn command(&mut self, cx: &mut Context<'_>, command: Command) {
        match command {
            Command::Start(selection) => {
                for id in self.selected(&selection) {
                    self.start(cx, &id);
                }
            }
            Command::Stop(selection) => {
                for id in self.selected(&selection) {
                    self.stop(cx, &id);
                }
            }
            Command::Restart(selection) => {
                for id in self.selected(&selection) {
                    if self.is_removed(&id) {
                        continue;
                    }
                    self.start_needed(cx, &id);
                    if let Some(service) = self.services.get_mut(&id) {
                        service.restart(cx);
                    }
                }
            }
            Command::Apply(services) => self.apply(cx, &services),
            Command::Shutdown { force } => {
                self.shutting_down = true;
                for id in self.selected(&Selection::All) {
                    let service = self.services.get_mut(&id);
                    if !service.is_some_and(|service| service.leave(cx)) {
                        self.stop(cx, &id);
                    }
                }
                if force {
                    self.force(cx);
                }
            }
        }
    }

    fn selected(&self, selection: &Selection) -> Vec<ServiceId> {
        match selection {
            Selection::All => self.services.keys().cloned().collect(),
            Selection::Named(names) => {
                let known = |name: &&ServiceId| self.services.contains_key(*name);
                names.iter().filter(known).cloned().collect()
            }
        }
    }

    fn start(&mut self, cx: &mut Context<'_>, id: &ServiceId) {
        if self.is_removed(id) {
            return;
        }
        self.start_needed(cx, id);
        if let Some(service) = self.services.get_mut(id) {
            service.start(cx);
        }
    }

    /// Nothing brings up a service that is on its way out, nor what it needs.
    fn is_removed(&self, id: &ServiceId) -> bool {
        self.services.get(id).is_none_or(|service| service.removed)
    }

    /// Starts what a service needs, and what that needs, unless it shall run or has completed.
    fn start_needed(&mut self, cx: &mut Context<'_>, id: &ServiceId) {
        let mut reached = vec![id.clone()];
        let mut next = 0;
        while let Some(id) = reached.get(next).cloned() {
            next += 1;
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            if next > 1 && service.want == Want::Down {
                service.start(cx);
            }
            for needed in &service.spec.depends_on {
                if !reached.contains(&needed.service) {
                    reached.push(needed.service.clone());
                }
            }
        }
    }

    /// Stops a service, after those that need it and are to be stopped too; [`settle`](Self::settle)
    /// finds out which these are.
    fn stop(&mut self, cx: &mut Context<'_>, id: &ServiceId) {
        if let Some(service) = self.services.get_mut(id) {
            service.stop(cx, true);
        }
    }

    fn force(&mut self, cx: &mut Context<'_>) {
        for service in self.services.values_mut() {
            service.force(cx);
        }
    }

    fn apply(&mut self, cx: &mut Context<'_>, services: &Services) {
        for id in self.selected(&Selection::All) {
            if services.get(id.as_str()).is_none() {
                self.stop(cx, &id);
                if let Some(service) = self.services.get_mut(&id) {
                    service.removed = true;
                }
            }
        }
        for spec in services.iter() {
            match self.services.get_mut(&spec.name) {
                Some(service) => {
                    let was_removed = service.removed;
                    service.apply(cx, Arc::clone(spec));
                    if was_removed {
                        service.start(cx);
                    }
                }
                None => {
                    self.add(cx, spec);
                    self.start(cx, &spec.name);
                }
            }
        }
    }

    fn record(&mut self, cx: &mut Context<'_>, id: &ServiceId, generation: u64, found: Found) {
        if !self.services.contains_key(id) {
            // It is in no configuration any more: it is taken over in order to be stopped.
            let spec = ServiceSpec::new(id.clone(), Vec::<String>::new());
            self.add(cx, &Arc::new(spec));
            if let Some(service) = self.services.get_mut(id) {
                service.removed = true;
            }
        }
        let service = self.services.get_mut(id);
        if !service.is_some_and(|service| service.record(cx, generation, found)) {
            self.dropped += 1;
        }
    }

    /// What services mean to each other; true if something changed, which may mean something again.
    fn settle(&mut self, cx: &mut Context<'_>) -> bool {
        let changed = |(id, service)| Some((ServiceId::clone(id), self.change(id, service)?));
        let changes: Vec<_> = self.services.iter().filter_map(changed).collect();
        let settled = changes.is_empty();
        for (id, change) in changes {
            if let Some(service) = self.services.get_mut(&id) {
                service.change(cx, change);
            }
        }
        let is_gone = |service: &Service| {
            service.removed && !service.main.alive() && service.second.is_none()
        };
        if !self.services.values().any(is_gone) {
            return !settled;
        }
        self.services.retain(|id, service| {
            let gone = is_gone(service);
            if gone {
                service.tell(cx, What::Removed);
                self.past.insert(id.clone(), service.generation());
            }
            !gone
        });
        true
    }

    fn change(&self, id: &ServiceId, service: &Service) -> Option<Change> {
        let mut lost = service
            .spec
            .depends_on
            .iter()
            .filter(|needed| self.is_lost(needed));
        match &service.main.state {
            State::Stopping {
                phase: Phase::Wait, ..
            } => (service.want == Want::Up || !self.is_needed(id)).then_some(Change::GoOn),
            State::Waiting { gate } => {
                let lost: Vec<&Dependency> = lost.collect();
                self.waits(gate, &lost)
            }
            State::Error {
                reason: Reason::DependencyFailed { .. },
                ..
            } if service.want == Want::Up => lost.next().is_none().then_some(Change::StartAgain),
            _ if service.main.is_up() => match (lost.next(), service.met) {
                (None, _) if service.restart_when_met => Some(Change::Restart),
                (None, false) => Some(Change::Met),
                (Some(_), true) => Some(Change::Lost),
                _ => None,
            },
            _ => None,
        }
    }

    fn waits(&self, gate: &Gate, lost: &[&Dependency]) -> Option<Change> {
        let failed = |needed: &&&Dependency| {
            let other = self.services.get(&needed.service);
            needed.condition == Condition::Completed
                && other.is_some_and(|other| other.completed() == Some(false))
        };
        if let Some(failed) = lost.iter().find(failed) {
            return Some(Change::Fail(failed.service.clone()));
        }
        let names = || lost.iter().map(|needed| needed.service.clone()).collect();
        match gate {
            Gate::Dependencies { .. } if lost.is_empty() => Some(Change::Start),
            Gate::Dependencies { services } => {
                let names: Vec<ServiceId> = names();
                (names != *services).then_some(Change::Wait(names))
            }
            // What it needs may have been lost while it waited for its port.
            Gate::Port { .. } => (!lost.is_empty()).then(|| Change::Wait(names())),
        }
    }

    /// True if another service is not what it must be. One that is not known any more is not missed.
    fn is_lost(&self, needed: &Dependency) -> bool {
        let Some(other) = self.services.get(&needed.service) else {
            return false;
        };
        !match needed.condition {
            Condition::Started => other.main.process.is_some() && other.main.is_up(),
            Condition::Ready => other.main.is_ready(),
            Condition::Completed => other.completed() == Some(true),
        }
    }

    /// True if a service that needs this one shall be down and is not yet, and could be.
    fn is_needed(&self, id: &ServiceId) -> bool {
        let mut others = self.services.values();
        others.any(|other| {
            other.want == Want::Down
                && other.main.alive()
                && !other.main.stuck()
                && other
                    .spec
                    .depends_on
                    .iter()
                    .any(|needed| needed.service == *id)
        })
    }

    fn tell_states(&mut self, cx: &mut Context<'_>) {
        for service in self.services.values_mut() {
            let to = service.public();
            if to != service.told {
                let from = std::mem::replace(&mut service.told, to);
                service.tell(cx, What::State { from, to });
            }
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        let down = |service: &Service| {
            let instances = [Some(&service.main), service.second.as_ref()];
            let mut alive = instances.into_iter().flatten();
            alive.all(|instance| !instance.alive() || instance.stuck())
        };
        if self.shutting_down && !self.finished && self.services.values().all(down) {
            self.finished = true;
            cx.out.push(Action::Finished);
        }
    }
}
