//! A supervisor for programs that have no tokio runtime, such as those in Python and Node: it has a
//! thread of its own, and whoever asks is called back with the answer.
//!
//! What is asked goes through the socket that everybody else uses, so that a supervisor in this
//! process and one in another are spoken to alike.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc as threads;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle as Task, JoinSet};

use super::control::ControlError;
use super::serve::{Following, Request, ask, follow};
use super::supervisor::{Handle, Supervisor};
use super::{Error, RuntimeDir};
use crate::config::{self, Config};
use crate::diagnostic::Span;
use crate::runtime::{self, EventLog, resolve, services};
use crate::supervise::{Selection, ServiceId, Services};
use crate::yaml::{Entry, Node, Value as Yaml};

/// How long a supervisor may take to say that it is there.
const PROMPT: Duration = Duration::from_secs(5);
/// As good as for ever: what has no limit of its own.
const PATIENT: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long the last answers may take to get out.
const GOODBYE: Duration = Duration::from_millis(200);

/// A supervisor with a thread of its own, or a way to one in another process.
///
/// Every answer comes by calling back, on that thread: what is called should be short. If there
/// will be no answer, that is said, so every call back comes exactly once. Dropping a supervisor of
/// this process brings its services down in order and waits for that; dropping the way to another
/// one changes nothing there. A copy of this process made by `fork` has no part in it: there every
/// question is answered with `control.forked`, and nothing happens on drop.
///
/// # Example
///
/// ```no_run
/// use std::path::Path;
/// use flowgate_core::runtime::process::{Embedded, Request, Supervisor, given_services};
/// use flowgate_core::yaml;
///
/// let (services, _) = yaml::parse("web: [python3, -m, http.server, '8000']").unwrap();
/// let services = given_services(services.unwrap_or_default(), Path::new("/tmp/web"))?;
/// let supervisor = Supervisor::in_directory(services, Path::new("/tmp/web"))?;
/// let embedded = Embedded::start(supervisor.shim("/usr/local/bin/flowgate"))?;
/// let (told, answer) = std::sync::mpsc::channel();
/// let request = Request::Start { services: Vec::new() };
/// embedded.ask(request, None, move |status| drop(told.send(status)));
/// println!("{}", answer.recv()??);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Embedded {
    dir: PathBuf,
    jobs: Option<mpsc::UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
    pid: u32,
}

/// What happens, as it happens, from when this was made.
#[derive(Debug)]
pub struct Follower {
    wanted: mpsc::UnboundedSender<Then<Option<Value>>>,
    // Its end ends a wait for the next event.
    _open: oneshot::Sender<()>,
    pid: u32,
}

type Answer<T> = Result<T, ControlError>;

/// Who is called back. Dropping it calls, too: nobody waits for ever.
struct Then<T> {
    then: Option<Box<dyn FnOnce(Answer<T>) + Send>>,
    if_dropped: fn() -> Answer<T>,
}

impl<T> Then<T> {
    fn new(then: impl FnOnce(Answer<T>) + Send + 'static) -> Self {
        Self {
            then: Some(Box::new(then)),
            if_dropped: || {
                Err(ControlError::Lost {
                    reason: "it has ended".to_owned(),
                })
            },
        }
    }

    fn call(mut self, answer: Answer<T>) {
        if let Some(then) = self.then.take() {
            then(answer);
        }
    }
}

impl<T> Then<Option<T>> {
    /// The end of the supervisor is the end of its events, and no error.
    fn next(then: impl FnOnce(Answer<Option<T>>) + Send + 'static) -> Self {
        Self {
            then: Some(Box::new(then)),
            if_dropped: || Ok(None),
        }
    }
}

impl<T> Drop for Then<T> {
    fn drop(&mut self) {
        if let Some(then) = self.then.take() {
            then((self.if_dropped)());
        }
    }
}

impl<T> std::fmt::Debug for Then<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Then")
    }
}

#[derive(Debug)]
enum Job {
    Ask(Request, Duration, Then<Value>),
    Apply(Services, Then<Value>),
    Follow {
        wanted: mpsc::UnboundedReceiver<Then<Option<Value>>>,
        closed: oneshot::Receiver<()>,
    },
    AtEnd(Then<()>),
}

impl Embedded {
    /// Starts a supervisor on a thread of its own, and returns when it answers. No service is
    /// started yet, but those that an earlier one left behind are taken over.
    ///
    /// # Errors
    ///
    /// [`Error::Shim`] if the program that was named as its [`shim`](Supervisor::shim) is not the
    /// `flowgate` of this version, and those of [`Supervisor::start`].
    pub fn start(supervisor: Supervisor) -> Result<Self, Error> {
        if let Some(program) = supervisor.program() {
            check_shim(program)?;
        }
        let dir = supervisor.dir().path().to_owned();
        Self::on_thread(&dir, async move |began, jobs| {
            let running = match supervisor.start().await {
                Ok(running) => running,
                Err(error) => return drop(began.send(Err(error))),
            };
            let handle = running.handle();
            match running.listen() {
                Ok(serving) => {
                    let serving = tokio::spawn(serving);
                    // Who started it waits for this, and for nothing else.
                    drop(began.send(Ok(())));
                    Loop::new(handle.dir().path(), Some((handle.clone(), serving)))
                        .run(jobs)
                        .await;
                }
                Err(error) => drop(began.send(Err(error))),
            }
        })
    }

    /// The way to the supervisor of a runtime directory, whichever process it lives in.
    ///
    /// # Errors
    ///
    /// [`ControlError::NotRunning`] if there is none, and the others if it cannot be asked.
    pub fn connect(dir: &Path) -> Result<Self, runtime::Error> {
        let place = dir.to_owned();
        let (told, asked) = threads::channel();
        let embedded = Self::on_thread(dir, async move |began, jobs| {
            drop(began.send(Ok(())));
            drop(told.send(ask(&place, &Request::Status, PROMPT).await));
            Loop::new(&place, None).run(jobs).await;
        })?;
        match asked.recv() {
            Ok(Err(error)) => Err(error.into()),
            _ => Ok(embedded),
        }
    }

    fn on_thread<W>(dir: &Path, work: W) -> Result<Self, Error>
    where
        W: AsyncFnOnce(threads::Sender<Result<(), Error>>, mpsc::UnboundedReceiver<Job>)
            + Send
            + 'static,
    {
        let at = |error: std::io::Error| Error::io("supervise in", dir, &error);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(at)?;
        let (jobs, received) = mpsc::unbounded_channel();
        let (began, beginning) = threads::channel();
        let thread = std::thread::Builder::new()
            .name("flowgate".to_owned())
            .spawn(move || runtime.block_on(work(began, received)))
            .map_err(at)?;
        let embedded = Self {
            dir: dir.to_owned(),
            jobs: Some(jobs),
            thread: Some(thread),
            pid: std::process::id(),
        };
        // Without a word it panicked, and said so on standard error.
        let lost = || Error::io("supervise in", dir, &std::io::ErrorKind::Other.into());
        beginning.recv().map_err(|_| lost())??;
        Ok(embedded)
    }

    /// Where the supervisor keeps what it needs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file that the output of a service goes to. Older output is beside it, in `….log.1` and
    /// so on.
    pub fn log_file(&self, service: &ServiceId) -> PathBuf {
        RuntimeDir::at(&self.dir).log(service)
    }

    /// Asks the supervisor. A start, a stop and the like are answered when they are done, however
    /// long that takes, or with `control.timeout` after the given time.
    pub fn ask(
        &self,
        request: Request,
        timeout: Option<Duration>,
        then: impl FnOnce(Answer<Value>) + Send + 'static,
    ) {
        let timeout = timeout.unwrap_or(PATIENT).min(PATIENT);
        self.send(Then::new(then), |then| Job::Ask(request, timeout, then));
    }

    /// Makes the services be these, and answers when they are what they shall be, or have failed. A
    /// supervisor in another process takes a configuration file instead, with [`Request::Change`].
    pub fn apply(&self, services: Services, then: impl FnOnce(Answer<Value>) + Send + 'static) {
        self.send(Then::new(then), |then| Job::Apply(services, then));
    }

    /// Calls back when the supervisor has ended and its directory is free. For one in another
    /// process: when this is dropped.
    pub fn at_end(&self, then: impl FnOnce() + Send + 'static) {
        self.send(Then::new(|_| then()), Job::AtEnd);
    }

    fn send<T>(&self, then: Then<T>, job: impl FnOnce(Then<T>) -> Job) {
        if self.is_forked() {
            return then.call(Err(ControlError::Forked { pid: self.pid }));
        }
        if let Some(jobs) = &self.jobs {
            // If it has ended, dropping the job says so.
            drop(jobs.send(job(then)));
        }
    }

    /// What happens from now on.
    pub fn follow(&self) -> Follower {
        let (wanted, received) = mpsc::unbounded_channel();
        let (open, closed) = oneshot::channel();
        if let Some(jobs) = self.jobs.as_ref().filter(|_| !self.is_forked()) {
            // As above.
            drop(jobs.send(Job::Follow {
                wanted: received,
                closed,
            }));
        }
        Follower {
            wanted,
            _open: open,
            pid: self.pid,
        }
    }

    fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let (jobs, thread) = (self.jobs.take(), self.thread.take());
        if self.is_forked() {
            // The thread is not here, and a lock that it held will stay locked.
            return std::mem::forget((jobs, thread));
        }
        drop(jobs);
        // A panic on it has been told already.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Follower {
    /// Calls back with the next event, a [`Record`](crate::event::Record); with nothing when there
    /// will be none. `supervisor.lagged` says how many were lost because nobody asked for them.
    pub fn next(&self, then: impl FnOnce(Answer<Option<Value>>) + Send + 'static) {
        let then = Then::next(then);
        if self.pid != std::process::id() {
            return then.call(Err(ControlError::Forked { pid: self.pid }));
        }
        // If it has ended, dropping the wish says so.
        drop(self.wanted.send(then));
    }
}

/// What the thread does.
struct Loop {
    dir: PathBuf,
    own: Option<(Handle, Task<()>)>,
    tasks: JoinSet<()>,
    ends: Vec<Then<()>>,
}

impl Loop {
    fn new(dir: &Path, own: Option<(Handle, Task<()>)>) -> Self {
        Self {
            dir: dir.to_owned(),
            own,
            tasks: JoinSet::new(),
            ends: Vec::new(),
        }
    }

    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        loop {
            let ended = async {
                match &mut self.own {
                    // A panic in it has been told by the runtime.
                    Some((_, serving)) => drop(serving.await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => self.take(job).await,
                    None => break self.shut_down().await,
                },
                () = ended => break,
                Some(_) = self.tasks.join_next() => {}
            }
        }
        jobs.close();
        let tasks = async { while self.tasks.join_next().await.is_some() {} };
        // Who is not answered by then is told that there is no answer.
        drop(tokio::time::timeout(GOODBYE, tasks).await);
    }

    async fn take(&mut self, job: Job) {
        match job {
            // The end of one's own supervisor depends on no socket, which somebody may have removed.
            Job::Ask(Request::Shutdown { force }, _, then) if self.own.is_some() => {
                if let Some((handle, _)) = &self.own {
                    handle.shutdown(force);
                    then.call(Ok(Value::Null));
                }
            }
            Job::Ask(request, timeout, then) => {
                let dir = self.dir.clone();
                let task = async move { then.call(ask(&dir, &request, timeout).await) };
                self.tasks.spawn(task);
            }
            Job::Apply(services, then) => {
                if let Some((handle, _)) = &self.own {
                    self.tasks.spawn(apply(handle.clone(), services, then));
                }
            }
            // Waited for here: what is asked after this comes after it.
            Job::Follow { wanted, closed } => {
                let following = follow(&self.dir, PROMPT).await;
                self.tasks.spawn(tell(following, wanted, closed));
            }
            Job::AtEnd(then) => self.ends.push(then),
        }
    }

    /// Nobody is there to ask any more.
    async fn shut_down(&mut self) {
        if let Some((handle, serving)) = self.own.take() {
            handle.shutdown(false);
            drop(serving.await);
        }
        self.tasks.abort_all();
    }
}

async fn apply(handle: Handle, services: Services, then: Then<Value>) {
    handle.apply(services);
    let status = handle.settled(&Selection::All).await;
    then.call(Ok(json!({ "services": status })));
}

/// Answers with one event each time that one is wanted.
async fn tell(
    following: Answer<Following>,
    mut wanted: mpsc::UnboundedReceiver<Then<Option<Value>>>,
    mut closed: oneshot::Receiver<()>,
) {
    let mut following = match following {
        Ok(following) => following,
        Err(error) => {
            if let Some(then) = wanted.recv().await {
                then.call(Err(error));
            }
            return;
        }
    };
    while let Some(then) = wanted.recv().await {
        let next = tokio::select! {
            next = following.next() => next,
            _ = &mut closed => return then.call(Ok(None)),
        };
        let is_last = !matches!(next, Ok(Some(_)));
        then.call(next);
        if is_last {
            break;
        }
    }
    // Who wants more is told that there is none.
    wanted.close();
    while let Ok(then) = wanted.try_recv() {
        then.call(Ok(None));
    }
}

/// Whether a program is the `flowgate` of this version, which knows how to hold services.
fn check_shim(program: &Path) -> Result<(), Error> {
    let unfit = |reason: String| Error::Shim {
        program: program.to_owned(),
        reason,
    };
    let asked = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unfit(runtime::plain(&error)))?;
    let said = String::from_utf8_lossy(&asked.stdout);
    let said = said.lines().next().unwrap_or_default().trim();
    if said == VERSION {
        return Ok(());
    }
    let said: String = said.chars().take(80).collect();
    Err(unfit(format!("asked for its version it says `{said}`")))
}

/// What `flowgate --version` says.
pub(super) const VERSION: &str = concat!("flowgate ", env!("CARGO_PKG_VERSION"));

impl Supervisor {
    /// The supervisor of a configuration: its services, in its runtime directory, with its log of
    /// events.
    ///
    /// # Errors
    ///
    /// [`runtime::Error::Config`] if a path cannot be resolved, [`Error::Io`] if the directory
    /// cannot be made.
    pub fn of_config(config: &Config) -> Result<Self, runtime::Error> {
        let config = resolve(config)?;
        let paths = &config.settings().paths;
        let dir = Path::new(paths.runtime_dir.as_ref() as &str);
        let services = services(&config).map_err(Error::Services)?;
        let log = EventLog::new(paths.log_file());
        Ok(Self::in_directory(services, dir)?.log(log))
    }

    /// A supervisor of these services, in the directory at this path.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the directory cannot be made.
    pub fn in_directory(services: Services, dir: &Path) -> Result<Self, Error> {
        Ok(Self::new(services, RuntimeDir::new(dir)?))
    }
}

/// Services as a program gives them: a mapping of names to what stands under `services` of a
/// configuration, or to the words of a command alone. Paths are relative to the current directory.
///
/// # Errors
///
/// [`runtime::Error::Config`] with everything that is wrong with them, by their place in the
/// mapping, and [`Error::Services`] if they do not fit together.
pub fn given_services(services: Node, dir: &Path) -> Result<Services, runtime::Error> {
    let dir = std::path::absolute(dir).map_err(|error| Error::io("find", dir, &error))?;
    let text = |text: &str| Node::new(Yaml::String(text.to_owned()));
    let mapping = |entries: Vec<(&str, Node)>| {
        let entries = entries.into_iter();
        Node::new(Yaml::Mapping(
            entries
                .map(|(key, value)| Entry::new(key.to_owned(), value))
                .collect(),
        ))
    };
    let mut services = services;
    if let Yaml::Mapping(entries) = &mut services.value {
        for Entry { value, .. } in entries {
            if matches!(value.value, Yaml::Sequence(_)) {
                let args = std::mem::take(value);
                *value = mapping(vec![("command", mapping(vec![("args", args)]))]);
            }
        }
    }
    let paths = mapping(vec![("runtime_dir", text(&dir.to_string_lossy()))]);
    let document = mapping(vec![
        ("config_version", Node::new(Yaml::Integer(2))),
        ("paths", paths),
        ("services", services),
    ]);
    // JSON is YAML; the places in it mean nothing to anybody.
    let document = serde_json::to_string(&document).unwrap_or_default();
    let config = Config::from_yaml(&document).map_err(without_places)?;
    Ok(runtime::services(&resolve(&config)?).map_err(Error::Services)?)
}

fn without_places(error: config::Error) -> config::Error {
    let mut diagnostics = error.diagnostics().to_vec();
    for diagnostic in &mut diagnostics {
        diagnostic.span = Span::default();
        for related in &mut diagnostic.related {
            related.span = Span::default();
        }
    }
    config::invalid(None, diagnostics)
}
