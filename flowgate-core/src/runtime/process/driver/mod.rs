//! The loop that turns actions into deeds, and what comes of them into events.

mod begin;
mod held;
mod watch;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep_until, timeout};

use self::held::Held;
use super::dir::RuntimeDir;
use super::logs::Logs;
use super::metrics;
use super::notify::Notify;
use super::nursery::Nursery;
use super::record::{Left, Record, Verified};
use super::tend::{Deed, Note};
use super::wire::{About, Id};
use crate::supervise::{
    Action, Command, Event, Found, Gen, Millis, Notice, ProcessAction, ProcessEvent, Purpose,
    Selection, ServiceId, ServiceSpec, ServiceStatus, State, Supervisor as Machine, Want,
};

/// How many events somebody who reads slowly may be behind before some are skipped.
pub(super) const EVENTS_KEPT: usize = 1024;

/// How long the end waits for those who look after processes.
const LETTING_GO: Duration = Duration::from_millis(200);

/// What is asked of the driver.
#[derive(Debug)]
pub(super) enum Ask {
    Command(Command),
    Status(oneshot::Sender<Vec<metrics::Status>>),
    Standing(oneshot::Sender<Vec<ServiceStatus>>),
    Specs(oneshot::Sender<Vec<ServiceSpec>>),
}

/// One process.
struct Process {
    deeds: mpsc::UnboundedSender<Deed>,
    probes: BTreeMap<Purpose, Aborting>,
    notify: Option<Arc<Notify>>,
    line: Option<oneshot::Receiver<()>>,
    ids: Option<(Id, Id)>,
    port: Option<u16>,
    spec: Arc<ServiceSpec>,
    about: About,
}

/// A task that ends when nobody wants it any more.
struct Aborting(AbortHandle);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Key = (ServiceId, Gen);

pub(super) struct Driver {
    machine: Machine,
    dir: RuntimeDir,
    boot: String,
    nursery: Arc<Mutex<Nursery>>,
    logs: Logs,
    services: HashMap<ServiceId, Held>,
    processes: HashMap<Key, Process>,
    left: HashMap<Key, Box<Left>>,
    /// Services that had a process until now.
    freed: Vec<ServiceId>,
    /// Processes that are to be started.
    starts: VecDeque<(Key, Arc<ServiceSpec>)>,
    /// Files of processes that are no more.
    litter: Vec<PathBuf>,
    notes: mpsc::UnboundedSender<Note>,
    told: broadcast::Sender<Arc<Notice>>,
    begun: Instant,
    finished: bool,
}

impl Driver {
    pub(super) fn new(
        machine: Machine,
        dir: RuntimeDir,
        nursery: Nursery,
        notes: mpsc::UnboundedSender<Note>,
        told: broadcast::Sender<Arc<Notice>>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            machine,
            dir,
            boot: super::identity::boot()?,
            nursery: Arc::new(Mutex::new(nursery)),
            logs: Logs::start()?,
            services: HashMap::new(),
            processes: HashMap::new(),
            left: HashMap::new(),
            freed: Vec::new(),
            starts: VecDeque::new(),
            litter: Vec::new(),
            notes,
            told,
            begun: Instant::now(),
            finished: false,
        })
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.begun.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    /// Works until everything is down after a shutdown.
    pub(super) async fn run(
        mut self,
        mut notes: mpsc::UnboundedReceiver<Note>,
        mut asks: mpsc::UnboundedReceiver<Ask>,
    ) {
        while !self.finished {
            if let Some((key, spec)) = self.starts.pop_front() {
                self.begin(&key, &spec);
                // Its shim is at work while the next one is prepared.
                yield_now().await;
                continue;
            }
            let deadline = self.machine.next_deadline();
            let deadline = deadline.map(|at| self.begun + Duration::from_millis(at));
            let tick = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // What has happened comes before the passing of time.
            tokio::select! {
                biased;
                Some(note) = notes.recv() => self.note(note),
                Some(ask) = asks.recv() => self.ask(ask),
                () = tick => self.step(Event::Tick),
                // What follows an end is begun before anything is tidied up.
                () = yield_now(), if !self.litter.is_empty() => self.tidy(),
            }
        }
        self.let_go(notes).await;
    }

    /// Everybody who looks after a process still has to let go of its shim. The nursery ends with the
    /// last of those, and is waited for when it is dropped: in vain if that came first.
    async fn let_go(self, mut notes: mpsc::UnboundedReceiver<Note>) {
        let nursery = Arc::clone(&self.nursery);
        drop(self);
        let all = async { while notes.recv().await.is_some() {} };
        // What does not end is a hook that hangs, and holds no shim.
        let _ = timeout(LETTING_GO, all).await;
        drop(nursery);
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Command(command) => {
                self.step(Event::Command(command));
                let held = self.services.iter();
                let idle = held.filter(|(_, held)| held.idle.is_some());
                for service in idle.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                    self.drop_idle(&service);
                }
            }
            // Who asked may be gone.
            Ask::Status(answer) => drop(answer.send(self.status())),
            Ask::Standing(answer) => drop(answer.send(self.machine.status())),
            Ask::Specs(answer) => drop(answer.send(self.machine.specs())),
        }
    }

    fn status(&self) -> Vec<metrics::Status> {
        let now = self.now();
        let status = self.machine.status().into_iter().map(|status| {
            let key = (status.name.clone(), status.generation);
            let process = self.processes.get(&key);
            let shim = process
                .and_then(|process| process.ids)
                .map(|(_, shim)| shim.0);
            let dropped = self
                .services
                .get(&status.name)
                .map(|held| held.log.dropped());
            metrics::Status::of(status, now, shim, dropped.unwrap_or(0))
        });
        status.collect()
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Event(event) => self.step(event),
            Note::Launched {
                service,
                generation,
                main,
                shim,
            } => {
                if let Some(process) = self.processes.get_mut(&(service, generation)) {
                    process.ids = Some((main, shim));
                }
            }
            Note::Idle { service, idle } => {
                let (spare, comes) = oneshot::channel();
                // The other end is kept.
                let _ = spare.send(idle);
                if let Some(held) = self.services.get_mut(&service) {
                    held.idle = Some(comes);
                }
                self.drop_idle(&service);
            }
        }
    }

    /// Lets go of a shim that will not be needed soon.
    fn drop_idle(&mut self, service: &ServiceId) {
        let rests = self.machine.status_of(service).is_none_or(|status| {
            status.want == Want::Down
                || matches!(status.state, State::Exited { .. } | State::Error { .. })
        });
        if rests && let Some(held) = self.services.get_mut(service) {
            held.idle = None;
        }
    }

    /// What an earlier supervisor left: what is alive can be taken over.
    pub(super) fn found(&mut self, left: Verified) {
        let (service, generation, found) = match left {
            Verified::Stale {
                service,
                generation,
                why,
            } => (service, generation, Found::Stale { why }),
            Verified::Ours(left) => {
                let record = &left.record;
                let found = Found::Alive {
                    id: record.main.into(),
                    ready: record.ready,
                    fingerprint: record.about.fingerprint,
                };
                let key = (record.about.service.clone(), record.about.generation);
                let (service, generation) = key.clone();
                self.left.insert(key, left);
                (service, generation, found)
            }
        };
        let is_stale = matches!(found, Found::Stale { .. });
        self.step(Event::Record {
            service: service.clone(),
            generation,
            found,
        });
        if is_stale && let Ok(dir) = self.dir.service(&service) {
            // Whatever it was, it has been told.
            self.litter.push(dir.record(generation));
            self.litter.extend(dir.litter(generation));
        }
    }

    /// Gives those of these services that run another process.
    pub(super) fn replace(&mut self, services: &[ServiceId]) {
        let status = self.machine.status().into_iter();
        let up = status.filter(|status| status.want == Want::Up && services.contains(&status.name));
        let up = up.map(|status| status.name).collect();
        self.step(Event::Command(Command::Restart(Selection::Named(up))));
    }

    pub(super) fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.machine.step(self.now(), event, &mut actions);
        self.perform(actions);
    }

    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Process {
                    service,
                    generation,
                    action,
                } => self.act((service, generation), action),
                Action::ReleasePort { service } => {
                    if let Some(held) = self.services.get_mut(&service) {
                        held.release_port();
                    }
                }
                // With nobody to hear it there is nothing to do.
                Action::Emit(notice) => drop(self.told.send(Arc::new(notice))),
                Action::Finished => self.finished = true,
            }
        }
        // What is started right after an end has taken its shim by now.
        for service in std::mem::take(&mut self.freed) {
            self.drop_idle(&service);
        }
    }

    fn tell(&self, key: &Key, event: ProcessEvent) {
        let _ = self.notes.send(Note::Event(Event::Process {
            service: key.0.clone(),
            generation: key.1,
            event,
        }));
    }

    fn act(&mut self, key: Key, action: ProcessAction) {
        match action {
            ProcessAction::CheckPort { host, port, hold } => {
                self.check_port(&key, &host, port, hold)
            }
            ProcessAction::Spawn(spec) => self.starts.push_back((key, spec)),
            ProcessAction::Adopt(_) => self.adopt(&key),
            ProcessAction::StartProbe {
                purpose,
                probe,
                spec,
            } => self.start_probe(&key, purpose, probe, spec),
            ProcessAction::StopProbe(purpose) => {
                if let Some(process) = self.processes.get_mut(&key) {
                    process.probes.remove(&purpose);
                }
            }
            ProcessAction::Drain(hook) => self.drain(&key, hook),
            ProcessAction::Signal { signal, to } => {
                self.turn_away(&key);
                self.deed(&key, Deed::Signal { signal, to });
            }
            ProcessAction::Sweep(signal) => {
                self.turn_away(&key);
                self.deed(&key, Deed::Sweep(signal));
            }
            ProcessAction::Handover { .. } => self.hand_over(&key),
            ProcessAction::WriteRecord { ready, fingerprint } => {
                self.write_record(&key, ready, fingerprint);
            }
            ProcessAction::DeleteRecord => {
                let held = self.services.get(&key.0).map(|held| held.dir.clone());
                let dir = held.or_else(|| self.dir.service(&key.0).ok());
                self.litter.extend(dir.map(|dir| dir.record(key.1)));
            }
            ProcessAction::Forget => {
                let (spare, comes) = oneshot::channel();
                self.deed(&key, Deed::Forget(spare));
                self.processes.remove(&key);
                if let Some(held) = self.services.get_mut(&key.0) {
                    self.litter.extend(held.dir.litter(key.1));
                    held.idle = Some(comes);
                }
                self.freed.push(key.0);
            }
            ProcessAction::Leave => drop(self.processes.remove(&key)),
        }
    }

    fn begin(&mut self, key: &Key, spec: &Arc<ServiceSpec>) {
        if let Err(error) = self.spawn(key, spec) {
            self.tell(key, ProcessEvent::SpawnFailed(error));
        }
    }

    fn deed(&self, key: &Key, deed: Deed) {
        if let Some(process) = self.processes.get(key) {
            // A task that has ended has nothing left to do it to.
            let _ = process.deeds.send(deed);
        }
    }

    fn tidy(&mut self) {
        for file in self.litter.drain(..) {
            // Most of these were never there.
            let _ = std::fs::remove_file(file);
        }
    }

    fn write_record(&self, key: &Key, ready: bool, fingerprint: u64) {
        let (Some(process), Some(held)) = (self.processes.get(key), self.services.get(&key.0))
        else {
            return;
        };
        let Some((main, shim)) = process.ids else {
            return;
        };
        let about = About {
            fingerprint,
            ..process.about.clone()
        };
        let record = Record {
            about,
            boot: self.boot.clone(),
            main,
            shim,
            ready,
        };
        // Without it the next supervisor finds the process through the door of its shim.
        let _ = record.write(&held.dir);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.tidy();
    }
}
