//! A supervisor in one's own program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::change::repair;
use super::dir::RuntimeDir;
use super::driver::{Ask, Driver, EVENTS_KEPT};
use super::nursery::Nursery;
use super::tend::Note;
use super::{Error, Status, record};
use crate::Timestamp;
use crate::event::{Event, Level};
use crate::runtime::{EventLog, Repaired};
use crate::supervise::{
    Command, Gate, Notice, PublicState, Selection, ServiceId, ServiceSpec, ServiceStatus, Services,
    State, Supervisor as Machine,
};

/// A supervisor that is about to start.
///
/// # Example
///
/// ```no_run
/// use flowgate_core::runtime::process::{RuntimeDir, Supervisor, run_if_asked};
/// use flowgate_core::supervise::{Selection, ServiceSpec, Services};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     run_if_asked();
///     tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
///         let web = ServiceSpec::new("web", ["python3", "-m", "http.server", "8000"]).with_port(8000);
///         let services = Services::new(vec![web])?;
///         let running = Supervisor::new(services, RuntimeDir::new("/tmp/web")?).start().await?;
///         let handle = running.handle();
///         handle.start(Selection::All);
///         handle.settled(&Selection::All).await;
///         println!("{:?}", handle.status().await);
///         running.shutdown().await;
///         Ok(())
///     })
/// }
/// ```
#[derive(Debug)]
pub struct Supervisor {
    services: Services,
    dir: RuntimeDir,
    shim: Option<PathBuf>,
    log: Option<EventLog>,
}

/// A supervisor that works. Dropping it ends it at once, and what it started goes on until the next
/// supervisor in the same directory takes it over; [`shutdown`](Self::shutdown) stops it in order.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    task: Option<JoinHandle<()>>,
    repaired: Option<Repaired>,
}

/// The way to speak to a supervisor. It can be copied, and sent to other tasks.
#[derive(Clone, Debug)]
pub struct Handle {
    asks: mpsc::UnboundedSender<Ask>,
    // Weak, so that listening ends with the supervisor and not with the last handle.
    told: broadcast::WeakSender<Arc<Notice>>,
    dir: RuntimeDir,
}

impl Supervisor {
    /// A supervisor of these services, which keeps what it needs in this directory.
    pub fn new(services: Services, dir: RuntimeDir) -> Self {
        Self {
            services,
            dir,
            shim: None,
            log: None,
        }
    }

    /// The program that calls [`run_if_asked`](super::run_if_asked) in its `main`, such as the
    /// `flowgate` command. Default: this program.
    #[must_use]
    pub fn shim(mut self, program: impl Into<PathBuf>) -> Self {
        self.shim = Some(program.into());
        self
    }

    pub(super) fn program(&self) -> Option<&Path> {
        self.shim.as_deref()
    }

    pub(super) fn dir(&self) -> &RuntimeDir {
        &self.dir
    }

    /// Writes everything that happens to a file of events.
    #[must_use]
    pub fn log(mut self, log: EventLog) -> Self {
        self.log = Some(log);
        self
    }

    /// Starts the supervisor, in the tokio runtime that this is called in. A change that an earlier
    /// one was killed in is put right, and services that it left behind are taken over; no other is
    /// started yet.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if another supervisor has the directory, [`Error::Io`] if it cannot be
    /// used, [`Error::Config`] if a change cannot be put right.
    pub async fn start(self) -> Result<Running, Error> {
        let lock = self.dir.lock().await?;
        let repaired = repair(&self.dir).await?;
        let at = |error: std::io::Error| Error::io("supervise in", self.dir.path(), &error);
        let program = match self.shim {
            Some(program) => program,
            None => std::env::current_exe().map_err(at)?,
        };
        let (notes, received) = mpsc::unbounded_channel::<Note>();
        let (asks, asked) = mpsc::unbounded_channel();
        let (told, heard) = broadcast::channel(EVENTS_KEPT);
        if let Some(log) = self.log {
            tokio::spawn(write_down(log, Events(heard)));
        }
        let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let mut actions = Vec::new();
        let seed = seed.subsec_nanos().into();
        let machine = Machine::new(self.services, seed, &mut actions);
        let nursery = Nursery::new(program);
        let weak = told.downgrade();
        let driver = Driver::new(machine, self.dir.clone(), nursery, notes, told);
        let mut driver = driver.map_err(at)?;
        driver.perform(actions);
        for left in record::find_all(&self.dir).await {
            driver.found(left);
        }
        if let Some(repaired) = &repaired {
            // They may have read what is not there any more.
            driver.replace(&repaired.services);
        }
        let task = tokio::spawn(async move {
            driver.run(received, asked).await;
            drop(lock);
        });
        let dir = self.dir;
        let handle = Handle {
            asks,
            told: weak,
            dir,
        };
        let task = Some(task);
        Ok(Running {
            handle,
            task,
            repaired,
        })
    }
}

impl Running {
    /// The way to speak to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The change of the configuration that an earlier supervisor was killed in, and that was put
    /// right.
    pub fn repaired(&self) -> Option<&Repaired> {
        self.repaired.as_ref()
    }

    /// Stops everything in order, those that need others first, and returns when all is down.
    pub async fn shutdown(self) {
        self.handle.shutdown(false);
        self.finished().await;
    }

    /// Returns when everything is down after a shutdown that somebody asked for.
    pub async fn finished(mut self) {
        if let Some(task) = self.task.take() {
            // It ends by itself, and a panic in it has been told by the runtime.
            let _ = task.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Handle {
    /// Brings services up, and those they need.
    pub fn start(&self, which: Selection) {
        self.command(Command::Start(which));
    }

    /// Brings services down.
    pub fn stop(&self, which: Selection) {
        self.command(Command::Stop(which));
    }

    /// Replaces the processes of services by new ones.
    pub fn restart(&self, which: Selection) {
        self.command(Command::Restart(which));
    }

    /// Lets go of the memory that holds the code of this program. One that does little but supervise
    /// asks for it when nothing happens any more; what is needed again comes back by itself.
    pub fn release_memory(&self) {
        // It is a kindness, and nothing depends on it.
        let _ = flowgate_sys::release_code();
    }

    /// Brings everything down; with `force` at once, without asking.
    pub fn shutdown(&self, force: bool) {
        self.command(Command::Shutdown { force });
    }

    /// Makes the services be these.
    pub fn apply(&self, services: Services) {
        self.command(Command::Apply(services));
    }

    pub(super) fn command(&self, command: Command) {
        // A supervisor that has ended has nothing left to do.
        let _ = self.asks.send(Ask::Command(command));
    }

    /// Where every service stands, by name. Nothing if the supervisor has ended.
    pub async fn status(&self) -> Vec<Status> {
        self.ask(Ask::Status).await
    }

    /// The services as they shall be.
    pub async fn specs(&self) -> Vec<ServiceSpec> {
        self.ask(Ask::Specs).await
    }

    async fn ask<T: Default>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> T {
        let (answer, answered) = oneshot::channel();
        if self.asks.send(ask(answer)).is_err() {
            return T::default();
        }
        answered.await.unwrap_or_default()
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        let told = self.told.upgrade();
        Events(told.map_or_else(|| broadcast::channel(1).1, |told| told.subscribe()))
    }

    /// Where the supervisor keeps what it needs.
    pub fn dir(&self) -> &RuntimeDir {
        &self.dir
    }

    /// Waits until none of these services is on its way anywhere: each runs, is stopped, has done
    /// its work, has failed, or waits for one that has, or for a port that another process has.
    /// Returns where they stand.
    pub async fn settled(&self, which: &Selection) -> Vec<Status> {
        let mut events = self.events();
        loop {
            let all = self.standing().await;
            let resting = at_rest(&all);
            let mut meant = all.iter().filter(|one| is_meant(which, &one.name));
            if meant.all(|one| resting.contains(&one.name)) || events.next().await.is_none() {
                return selected(self.status().await, which);
            }
        }
    }

    /// Where every service stands, without what it uses: that is asked of the kernel, and takes time.
    pub(super) async fn standing(&self) -> Vec<ServiceStatus> {
        self.ask(Ask::Standing).await
    }

    /// As [`settled`](Self::settled), for so long at most.
    pub async fn settled_within(&self, which: &Selection, limit: Duration) -> Vec<Status> {
        match tokio::time::timeout(limit, self.settled(which)).await {
            Ok(status) => status,
            Err(_) => selected(self.status().await, which),
        }
    }
}

/// The services that go nowhere by themselves.
fn at_rest(all: &[ServiceStatus]) -> BTreeSet<ServiceId> {
    let mut resting = BTreeSet::new();
    loop {
        let rests = |status: &&ServiceStatus| match (&status.public, &status.state) {
            (PublicState::Running, _) => status.other.is_none(),
            (PublicState::Stopped | PublicState::Error, _) => true,
            (_, State::Waiting { gate }) => match gate {
                Gate::Port { owner } => owner.is_some(),
                // One that runs by now lets it go on in a moment.
                Gate::Dependencies { services } => services.iter().all(|id| {
                    let needed = all.iter().find(|status| status.name == *id);
                    resting.contains(id)
                        && needed.is_none_or(|needed| needed.public != PublicState::Running)
                }),
            },
            _ => false,
        };
        let found: BTreeSet<ServiceId> = all
            .iter()
            .filter(rests)
            .map(|status| status.name.clone())
            .collect();
        if found.len() == resting.len() {
            return found;
        }
        resting = found;
    }
}

/// Writes down what happens, until the supervisor ends. A disk that is full holds up nothing.
async fn write_down(mut log: EventLog, mut events: Events) {
    while let Some(heard) = events.next().await {
        // What follows from it is begun first; and what comes at once is written at once.
        tokio::task::yield_now().await;
        let mut all = vec![Event::from(&heard)];
        all.extend(std::iter::from_fn(|| events.next_now()).map(|heard| Event::from(&heard)));
        let _ = log.append_all(moment(), all);
    }
}

/// The time, as records have it.
pub(super) fn moment() -> Timestamp {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::try_from(now.as_millis()).unwrap_or(Timestamp::MAX)
}

fn is_meant(which: &Selection, name: &ServiceId) -> bool {
    match which {
        Selection::All => true,
        Selection::Named(names) => names.contains(name),
    }
}

fn selected(mut status: Vec<Status>, which: &Selection) -> Vec<Status> {
    status.retain(|status| is_meant(which, &status.service.name));
    status
}

/// What happens, as it happens. Who reads more than 1,024 events late misses the oldest, and never
/// holds up the supervisor.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Arc<Notice>>);

/// One of [`Events`].
#[derive(Clone, Debug)]
pub enum Heard {
    /// Something happened.
    Notice(Arc<Notice>),
    /// So many events were missed.
    Lagged(u64),
}

impl From<&Heard> for Event {
    fn from(heard: &Heard) -> Self {
        match heard {
            Heard::Notice(notice) => notice.as_ref().into(),
            Heard::Lagged(missed) => lagged(*missed),
        }
    }
}

/// So many events were missed.
pub(super) fn lagged(missed: u64) -> Event {
    Event::new("supervisor.lagged", Level::Warn, "").with("missed", missed)
}

impl Events {
    /// The next one, if it is there already.
    fn next_now(&mut self) -> Option<Heard> {
        match self.0.try_recv() {
            Ok(notice) => Some(Heard::Notice(notice)),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(Heard::Lagged(missed)),
            Err(_) => None,
        }
    }

    /// The next one; `None` when the supervisor has ended.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(notice) => Some(Heard::Notice(notice)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Heard::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
