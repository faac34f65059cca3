//! The loop that turns actions into deeds, and what comes of them into events.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use regex::bytes::Regex;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::dir::{RuntimeDir, ServiceDir};
use super::forward::Forwarder;
use super::logs::{Logs, ServiceLog, direct};
use super::notify::Notify;
use super::nursery::{Nursery, Talk};
use super::probes::{Asked, ExecProbe, reachable, run};
use super::record::{Left, Record};
use super::tend::{self, Deed, Note, Start, Tended};
use super::wire::{Id, Launch};
use super::{launch, listen, metrics, ports};
use crate::supervise::{
    Action, Command, DrainHook, Event, Gen, LogMode, Millis, Notice, Overlap, Placeholders, Probe,
    ProbeOutcome, ProcessAction, ProcessEvent, Purpose, ServiceId, ServiceSpec, ServiceStatus,
    SpawnError, SpawnStage, State, Supervisor as Machine, Want,
};

/// The descriptor at which a program finds the socket that it is handed.
const LISTENER: u32 = 3;
/// How many events somebody who reads slowly may be behind before some are skipped.
pub(super) const EVENTS_KEPT: usize = 1024;

/// What is asked of the driver.
#[derive(Debug)]
pub(super) enum Ask {
    Command(Command),
    Status(oneshot::Sender<Vec<metrics::Status>>),
    Specs(oneshot::Sender<Vec<ServiceSpec>>),
}

/// Everything there is of one service beside its processes.
struct Held {
    dir: ServiceDir,
    log: ServiceLog,
    /// A shim that has nothing to do: the next process starts sooner.
    idle: Option<Talk>,
    listener: Option<OwnedFd>,
    forwarder: Option<Forwarder>,
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
    env: Vec<Vec<u8>>,
    marker: String,
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
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Command(command) => {
                self.step(Event::Command(command));
                self.drop_idle();
            }
            // Who asked may be gone.
            Ask::Status(answer) => drop(answer.send(self.status())),
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
            Note::Idle { service, talk } => {
                if let Some(held) = self.services.get_mut(&service) {
                    held.idle = Some(talk);
                }
                self.drop_idle();
            }
        }
    }

    /// Lets go of shims that will not be needed soon.
    fn drop_idle(&mut self) {
        if self.services.values().all(|held| held.idle.is_none()) {
            return;
        }
        let rests = |status: &ServiceStatus| {
            status.want == Want::Down
                || matches!(status.state, State::Exited { .. } | State::Error { .. })
        };
        for status in self.machine.status().iter().filter(|status| rests(status)) {
            if let Some(held) = self.services.get_mut(&status.name) {
                held.idle = None;
            }
        }
    }

    /// What an earlier supervisor left: what is alive can be taken over.
    pub(super) fn found(&mut self, left: super::record::Verified) {
        use super::record::Verified;
        use crate::supervise::Found;
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
                    fingerprint: record.fingerprint,
                };
                let key = (record.service.clone(), record.generation);
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
            let _ = std::fs::remove_file(dir.record(generation));
            dir.forget(generation);
        }
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
                        held.listener = None;
                        held.forwarder = None;
                    }
                }
                // With nobody to hear it there is nothing to do.
                Action::Emit(notice) => drop(self.told.send(Arc::new(notice))),
                Action::Finished => self.finished = true,
            }
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
            ProcessAction::Spawn(spec) => {
                if let Err(error) = self.spawn(&key, &spec) {
                    self.tell(&key, ProcessEvent::SpawnFailed(error));
                }
            }
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
            ProcessAction::Signal { signal, to } => self.deed(&key, Deed::Signal { signal, to }),
            ProcessAction::Sweep(signal) => self.deed(&key, Deed::Sweep(signal)),
            ProcessAction::Handover { .. } => self.hand_over(&key),
            ProcessAction::WriteRecord { ready, fingerprint } => {
                self.write_record(&key, ready, fingerprint);
            }
            ProcessAction::DeleteRecord => {
                if let Ok(dir) = self.dir.service(&key.0) {
                    // It is not there if it could not be written.
                    let _ = std::fs::remove_file(dir.record(key.1));
                }
            }
            ProcessAction::Forget => {
                self.deed(&key, Deed::Forget);
                self.processes.remove(&key);
                if let Some(held) = self.services.get(&key.0) {
                    held.dir.forget(key.1);
                }
            }
            ProcessAction::Leave => drop(self.processes.remove(&key)),
        }
    }

    fn deed(&self, key: &Key, deed: Deed) {
        if let Some(process) = self.processes.get(key) {
            // A task that has ended has nothing left to do it to.
            let _ = process.deeds.send(deed);
        }
    }

    /// What is kept of a service, made when it is needed first.
    fn held(&mut self, spec: &ServiceSpec) -> std::io::Result<&mut Held> {
        let name = &spec.name;
        if !self.services.contains_key(name) {
            let held = Held {
                dir: self.dir.service(name)?,
                log: ServiceLog::new(self.dir.log(name), &spec.logs),
                idle: None,
                listener: None,
                forwarder: None,
            };
            self.services.insert(name.clone(), held);
        }
        let held = self.services.get_mut(name);
        held.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn check_port(&mut self, key: &Key, host: &str, port: u16, hold: bool) {
        let event = if hold {
            match self.hold_port(&key.0, host, port) {
                Ok(()) => ProcessEvent::PortFree,
                Err(_) => ProcessEvent::PortBusy {
                    owner: ports::listener(port),
                },
            }
        } else if ports::is_free(host, port) {
            ProcessEvent::PortFree
        } else {
            ProcessEvent::PortBusy {
                owner: ports::listener(port),
            }
        };
        self.tell(key, event);
    }

    fn hold_port(&mut self, service: &ServiceId, host: &str, port: u16) -> std::io::Result<()> {
        let specs = self.machine.specs();
        let spec = specs.iter().find(|spec| spec.name == *service);
        let spec = spec.ok_or(std::io::ErrorKind::NotFound)?;
        let held = self.held(spec)?;
        if held.listener.is_some() || held.forwarder.is_some() {
            return Ok(());
        }
        let listener = listen::listen(host, port)?;
        if spec.overlap == Overlap::Forward {
            held.forwarder = Some(Forwarder::start(listener)?);
        } else {
            held.listener = Some(listener);
        }
        Ok(())
    }

    fn spawn(&mut self, key: &Key, spec: &Arc<ServiceSpec>) -> Result<(), SpawnError> {
        let logs = |error: &std::io::Error, path: &std::path::Path| SpawnError {
            stage: SpawnStage::Logs,
            message: crate::runtime::plain(error),
            path: Some(path.to_string_lossy().into_owned()),
            permanent: false,
        };
        let root = self.dir.path().to_owned();
        self.held(spec).map_err(|error| logs(&error, &root))?;
        let Some(held) = self.services.get_mut(&key.0) else {
            return Ok(());
        };
        held.log.configure(&spec.logs);
        let port = match spec.overlap {
            Overlap::Forward => listen::free_port().ok(),
            _ => spec.port,
        };
        let (output, stdout, stderr) = match spec.logs.mode {
            LogMode::Fifo => {
                let path = held.dir.output(key.1);
                let opened = self.logs.open(&path, &held.log);
                let output = opened.map_err(|error| logs(&error, &path))?;
                let ends = output.writer().and_then(|out| Ok((out.try_clone()?, out)));
                let (stdout, stderr) = ends.map_err(|error| logs(&error, &path))?;
                (Some(Arc::new(output)), stdout, stderr)
            }
            mode => {
                let path = self.dir.log(&key.0);
                let (stdout, stderr) =
                    plain_output(mode, &path).map_err(|error| logs(&error, &path))?;
                (None, stdout, stderr)
            }
        };
        let listener = match (&held.listener, spec.overlap) {
            (Some(listener), Overlap::Socket) => {
                Some(listener.try_clone().map_err(|error| logs(&error, &root))?)
            }
            _ => None,
        };
        let placeholders = Placeholders {
            generation: key.1,
            port,
            fd: listener.is_some().then_some(LISTENER),
        };
        let notify = needs_notify(spec).then(|| Notify::bind(&held.dir.notify(key.1)));
        let notify = notify
            .transpose()
            .map_err(|error| logs(&error, &held.dir.notify(key.1)))?;
        let marker = tend::marker_of(&key.0, key.1);
        let mut added = vec![(tend::MARKER, marker.clone())];
        if let Some(notify) = &notify {
            added.push(("NOTIFY_SOCKET", notify.address.clone()));
        }
        if let Some(live) = &spec.liveness
            && live.probe == Probe::Notify
        {
            added.push(("WATCHDOG_USEC", live.interval.as_micros().to_string()));
        }
        let env = launch::environment(&spec.command, &placeholders, added)?;
        let args: Vec<String> = spec
            .command
            .args
            .iter()
            .map(|arg| placeholders.expand(arg))
            .collect();
        let start = Start {
            idle: held.idle.take(),
            nursery: Arc::clone(&self.nursery),
            dir: held.dir.path.clone(),
            launch: Launch {
                generation: key.1,
                program: launch::program(args.first().map_or("", String::as_str), &env),
                args,
                cwd: spec.command.cwd.clone(),
                env: env.clone(),
                listener: listener.is_some().then(|| key.0.to_string()),
            },
            stdout,
            stderr,
            listener,
        };
        // A line may come at once.
        let line = match (&spec.readiness.probe, &output) {
            (Probe::Log(pattern), Some(output)) => Regex::new(pattern)
                .ok()
                .map(|pattern| output.watch(pattern)),
            _ => None,
        };
        let (deeds, received) = mpsc::unbounded_channel();
        let tended = Tended {
            service: key.0.clone(),
            generation: key.1,
            notes: self.notes.clone(),
            deeds: received,
            output,
        };
        tokio::spawn(tended.start(start));
        let process = Process {
            deeds,
            probes: BTreeMap::new(),
            notify: notify.map(Arc::new),
            line,
            ids: None,
            port,
            spec: Arc::clone(spec),
            env,
            marker,
        };
        self.processes.insert(key.clone(), process);
        Ok(())
    }

    fn adopt(&mut self, key: &Key) {
        let Some(left) = self.left.remove(key) else {
            return;
        };
        let specs = self.machine.specs();
        let spec = specs.into_iter().find(|spec| spec.name == key.0);
        let spec = spec.unwrap_or_else(|| ServiceSpec::new(key.0.clone(), Vec::<String>::new()));
        let Left {
            record,
            talk,
            listener,
            ended,
        } = *left;
        let (mut output, mut notify) = (None, None);
        if self.held(&spec).is_ok()
            && let Some(held) = self.services.get_mut(&key.0)
        {
            held.listener = held.listener.take().or(listener);
            let path = held.dir.output(key.1);
            if path.exists() {
                output = self.logs.open(&path, &held.log).ok().map(Arc::new);
            }
            if needs_notify(&spec) {
                notify = Notify::bind(&held.dir.notify(key.1)).ok().map(Arc::new);
            }
        }
        let line = match (&spec.readiness.probe, &output) {
            (Probe::Log(pattern), Some(output)) => Regex::new(pattern)
                .ok()
                .map(|pattern| output.watch(pattern)),
            _ => None,
        };
        let (deeds, received) = mpsc::unbounded_channel();
        let tended = Tended {
            service: key.0.clone(),
            generation: key.1,
            notes: self.notes.clone(),
            deeds: received,
            output,
        };
        tokio::spawn(tended.adopt(talk, record.main.into(), record.marker.clone(), ended));
        let process = Process {
            deeds,
            probes: BTreeMap::new(),
            notify,
            line,
            ids: Some((record.main, record.shim)),
            port: record.port.or(spec.port),
            env: launch::environment(&spec.command, &Placeholders::default(), Vec::new())
                .unwrap_or_default(),
            spec: Arc::new(spec),
            marker: record.marker,
        };
        self.processes.insert(key.clone(), process);
    }

    fn start_probe(&mut self, key: &Key, purpose: Purpose, probe: Probe, spec: Arc<ServiceSpec>) {
        let notes = self.notes.clone();
        let Some(process) = self.processes.get_mut(key) else {
            return;
        };
        let exec = match &probe {
            Probe::Exec(args) => Some(exec_of(process, key.1, args)),
            _ => None,
        };
        let asked = Asked {
            purpose,
            probe,
            port: process.port,
            root: process.ids.map_or(0, |(_, shim)| shim.0),
            exec,
            notify: process.notify.clone(),
            line: process.line.take(),
            spec,
        };
        let key = key.clone();
        let tell = move |outcome: ProbeOutcome| {
            let _ = notes.send(Note::Event(Event::Process {
                service: key.0.clone(),
                generation: key.1,
                event: ProcessEvent::Probed { purpose, outcome },
            }));
        };
        let task = tokio::spawn(asked.run(tell));
        process
            .probes
            .insert(purpose, Aborting(task.abort_handle()));
    }

    fn drain(&mut self, key: &Key, hook: DrainHook) {
        let Some(process) = self.processes.get(key) else {
            return;
        };
        let limit = process
            .spec
            .stop
            .drain
            .as_ref()
            .map_or(Duration::ZERO, |drain| drain.timeout);
        let (notes, name) = (self.notes.clone(), key.clone());
        let done = move || {
            let _ = notes.send(Note::Event(Event::Process {
                service: name.0,
                generation: name.1,
                event: ProcessEvent::Drained,
            }));
        };
        match hook {
            DrainHook::Wait => {}
            DrainHook::Exec(args) => {
                let exec = exec_of(process, key.1, &args);
                tokio::spawn(async move {
                    // Whatever it says: the signal follows.
                    let _ = run(exec, limit).await;
                    done();
                });
            }
            DrainHook::Http(path) => {
                let (host, port) = (process.spec.host.clone(), process.port);
                tokio::spawn(async move {
                    let _ = super::probes::post(&host, port, &path, limit).await;
                    done();
                });
            }
        }
    }

    fn hand_over(&mut self, key: &Key) {
        let port = self.processes.get(key).and_then(|process| process.port);
        if let Some(forwarder) = self
            .services
            .get(&key.0)
            .and_then(|held| held.forwarder.as_ref())
        {
            let host = self
                .processes
                .get(key)
                .map(|process| reachable(&process.spec.host));
            let ip = host.and_then(|host| host.parse::<IpAddr>().ok());
            let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            forwarder.switch(port.map(|port| SocketAddr::new(ip, port)));
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
        let record = Record {
            service: key.0.clone(),
            generation: key.1,
            boot: self.boot.clone(),
            main,
            shim,
            port: process.port,
            marker: process.marker.clone(),
            ready,
            fingerprint,
        };
        if let Err(error) = record.write(&held.dir) {
            // It is stopped with the supervisor, and only lost if that is killed.
            let _ = error;
        }
    }
}

fn needs_notify(spec: &ServiceSpec) -> bool {
    let alive = spec
        .liveness
        .as_ref()
        .is_some_and(|live| live.probe == Probe::Notify);
    alive || spec.readiness.probe == Probe::Notify
}

fn exec_of(process: &Process, generation: Gen, args: &[String]) -> ExecProbe {
    let placeholders = Placeholders {
        generation,
        port: process.port,
        fd: None,
    };
    ExecProbe {
        args: args.iter().map(|arg| placeholders.expand(arg)).collect(),
        cwd: process.spec.command.cwd.clone(),
        env: process.env.clone(),
    }
}

/// Output that the supervisor does not read.
fn plain_output(mode: LogMode, log: &std::path::Path) -> std::io::Result<(OwnedFd, OwnedFd)> {
    use std::os::fd::AsFd;
    match mode {
        LogMode::Fifo | LogMode::File => {
            let file = direct(log)?;
            Ok((file.try_clone()?, file))
        }
        LogMode::Inherit => Ok((
            std::io::stdout().as_fd().try_clone_to_owned()?,
            std::io::stderr().as_fd().try_clone_to_owned()?,
        )),
        LogMode::Null => {
            let null = OwnedFd::from(std::fs::File::options().write(true).open("/dev/null")?);
            Ok((null.try_clone()?, null))
        }
    }
}
