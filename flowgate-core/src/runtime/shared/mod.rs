//! A pool of accounts that several processes share through Redis or Valkey.
//!
//! Each process has a pool of its own and decides with it, in nanoseconds. What one learns it tells
//! the others: that an account rests and until when, that it serves again, that a credential is to
//! be refreshed or dead, that a provider is overloaded. One process of all probes what comes back,
//! one refreshes a credential, and quota is used in slices of one bucket. With [`Mode::Strict`]
//! every pick also asks the server whose turn it is.
//!
//! When the server is away each process goes on with what it knows, says so ([`State`]), and tells
//! everything again when the server is back, even if that has forgotten it.

mod blocking;
mod hear;
mod keys;
mod leases;
mod options;
mod scripts;
mod server;
mod session;
mod slices;
mod strict;
mod tell;
mod values;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use blocking::{BlockingFleet, FleetRefresh};
pub use options::{Clock, Mode, Options, OptionsError};

use self::keys::Keys;
use self::session::Session;
use crate::Timestamp;
use crate::accounts::{SharedPool, session as hash};
use crate::event::{Event, Level};

/// How long to wait before the server is tried again: the first time, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long one process may take to get a new credential before another tries.
const REFRESH: Duration = Duration::from_secs(60);

/// Whether what is learned reaches the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The server has not been reached yet.
    Connecting,
    /// It does.
    Shared,
    /// It does not: this process goes on with what it knows.
    Degraded,
}

/// How sharing goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The name of the pool.
    pub pool: String,
    /// How picks are made.
    pub mode: Mode,
    /// Whether what is learned reaches the others.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long the server took to answer the last time, in microseconds: what one process learns
    /// the others know after about that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// What came from the server and made no sense, so far.
    pub ignored: u64,
}

/// A pool that is shared. When the last clone is dropped, it is not shared any more: leases and
/// slices end by themselves within seconds, or at once with [`Fleet::leave`].
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
    task: Arc<Task>,
}

/// What ends with the last clone.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Inner {
    options: Options,
    keys: Keys,
    pool: SharedPool,
    /// This process, for the others.
    who: String,
    /// The pool asks something.
    wake: Notify,
    status: watch::Sender<Status>,
    /// Where the server is asked, while it is there.
    session: Mutex<Option<Arc<Session>>>,
    changed: Box<dyn Fn() + Send + Sync>,
    /// The server answers too late for strict picks.
    late: AtomicBool,
    /// How many marks this process has left on servers.
    marks: AtomicU64,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("status", &*self.inner.status.borrow())
            .finish_non_exhaustive()
    }
}

impl Fleet {
    /// Shares a pool, in the background: this does not wait for the server. It has to be called in
    /// a tokio runtime, which carries on with it.
    ///
    /// * `changed`: is called when something was learned, so that who waits may pick again.
    pub fn join(
        pool: &SharedPool,
        options: Options,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let mut random = [0; 16];
        // Without randomness the time still tells processes apart.
        if getrandom::fill(&mut random).is_err() {
            random = u128::from(options.clock.now())
                .rotate_left(64)
                .to_le_bytes();
        }
        let who = format!("{:032x}", u128::from_le_bytes(random));
        let slice = u64::try_from(options.slice.as_millis()).unwrap_or(u64::MAX);
        pool.lock().share(hash(&who) | 1, slice);
        let status = watch::Sender::new(Status {
            pool: options.pool.clone(),
            mode: options.mode,
            state: State::Connecting,
            since: options.clock.now(),
            error: None,
            round_trip_us: None,
            ignored: 0,
        });
        let inner = Arc::new(Inner {
            keys: Keys::new(&options.pool),
            options,
            pool: pool.clone(),
            who,
            wake: Notify::new(),
            status,
            session: Mutex::default(),
            changed: Box::new(changed),
            late: AtomicBool::new(false),
            marks: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&inner);
        pool.on_asks(move || {
            if let Some(inner) = weak.upgrade() {
                inner.wake.notify_one();
            }
        });
        let task = tokio::spawn(Arc::clone(&inner).run()).abort_handle();
        let task = Arc::new(Task(task));
        Self { inner, task }
    }

    /// How sharing goes.
    pub fn status(&self) -> Status {
        self.inner.status.borrow().clone()
    }

    /// Waits until the server is reached, or was found to be away.
    pub async fn settled(&self) -> Status {
        self.reaches(|state| state != State::Connecting).await
    }

    /// Waits for a state.
    pub async fn reaches(&self, wanted: impl Fn(State) -> bool) -> Status {
        let mut status = self.inner.status.subscribe();
        let reached = status.wait_for(|status| wanted(status.state)).await;
        reached.map_or_else(|_| self.status(), |status| status.clone())
    }

    /// Waits until everything that this pool has to say is said, and everything that others said
    /// before is heard. Answers whether that is so: not while the server is away.
    pub async fn exchanged(&self) -> bool {
        match self.inner.session() {
            Some(session) => session.exchanged().await,
            None => false,
        }
    }

    /// The right to be the only one of all processes that does something, such as a refresh. It ends
    /// after `time`, or when it is given back.
    pub async fn lease(&self, name: &str, time: Duration) -> Lease {
        let Some(session) = self.inner.session() else {
            return Lease::Away;
        };
        let timeout = self.inner.options.timeout;
        match tokio::time::timeout(timeout, session.take_lease(name, time)).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(_)) | Err(_) => Lease::Away,
        }
    }

    /// Gives a lease back.
    pub async fn release(&self, name: &str, token: &str) {
        if let Some(session) = self.inner.session() {
            // If it fails, the lease ends by itself.
            let _ = session.release_lease(name, token).await;
        }
    }

    /// Takes the right to be the only one that refreshes a credential. All that others have said
    /// until then is heard: one that was refreshed meanwhile is not refreshed again.
    pub(crate) async fn lease_refresh(&self, name: &str) -> Lease {
        let lease = self.lease(name, REFRESH).await;
        if matches!(lease, Lease::Mine(_)) {
            self.exchanged().await;
        }
        lease
    }

    /// Gives that right back, once the others can know how it ended.
    pub(crate) async fn release_refresh(&self, name: &str, token: &str) {
        self.exchanged().await;
        self.release(name, token).await;
    }

    /// The time by which this process decides.
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    /// Gives back what this process holds for itself: leases and slices. The pool goes on alone.
    pub async fn leave(self) {
        if let Some(session) = self.inner.session() {
            // What is not given back ends by itself.
            let _ = tokio::time::timeout(Duration::from_secs(1), session.give_back()).await;
        }
        self.task.0.abort();
        self.inner
            .away(State::Degraded, Some("this process has left".to_owned()));
    }
}

/// The lease of whoever refreshes the credential of an account.
pub(crate) fn refresh_lease(account: &str) -> String {
    format!("r\u{1f}{account}")
}

/// Whether this process is the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It is, and gives the lease back with this.
    Mine(String),
    /// Another is, until then at most.
    Others(Timestamp),
    /// The server is away: nobody can tell.
    Away,
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    fn session(&self) -> Option<Arc<Session>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.clone()
    }

    /// Connects again and again.
    async fn run(self: Arc<Self>) {
        let mut wait = FIRST_WAIT;
        loop {
            let error = match Session::open(&self).await {
                Ok(session) => {
                    wait = FIRST_WAIT;
                    let session = Arc::new(session);
                    self.arrive(&session);
                    session.run().await
                }
                Err(error) => error,
            };
            self.away(State::Degraded, Some(values::describe(&error)));
            tokio::time::sleep(wait + wait.mul_f64(self.chance())).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// The server did not answer a pick in time: until it does again, this process chooses.
    fn late(&self) {
        if !self.late.swap(true, Relaxed) {
            let error = format!("no answer within {:?}", self.options.timeout);
            self.say(State::Degraded, Some(error));
        }
    }

    fn is_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    /// So long the server took to answer.
    fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.status
            .send_modify(|status| status.round_trip_us = Some(time));
    }

    /// The server answered in time.
    fn in_time(&self) {
        if self.late.swap(false, Relaxed) {
            self.say(State::Shared, None);
        }
    }

    /// Differs between processes, so that they do not all come back at once.
    fn chance(&self) -> f64 {
        (hash(&self.who) % 1_000) as f64 / 2_000.0
    }

    fn arrive(&self, session: &Arc<Session>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(session));
        self.pool.lock().set_connected(self.now(), true);
        self.late.store(false, Relaxed);
        self.say(State::Shared, None);
        (self.changed)();
    }

    fn away(&self, state: State, error: Option<String>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.pool.lock().set_connected(self.now(), false);
        self.say(state, error);
        (self.changed)();
    }

    /// The state, for whoever asks and for the log of events.
    fn say(&self, state: State, error: Option<String>) {
        let since = self.now();
        let mut news = None;
        self.status.send_modify(|status| {
            if status.state != state {
                news = Some(state);
                (status.state, status.since) = (state, since);
            }
            status.error.clone_from(&error);
            if state != State::Shared {
                status.round_trip_us = None;
            }
        });
        let Some(state) = news else {
            return;
        };
        let event = match state {
            State::Degraded => Event::new("accounts.degraded", Level::Warn, &self.options.pool)
                .with("reason", error.unwrap_or_default()),
            _ => Event::new("accounts.shared", Level::Info, &self.options.pool),
        };
        self.options.emit(event);
    }

    /// Something came from the server that makes no sense.
    fn ignore(&self, what: &str) {
        let mut first = false;
        self.status.send_modify(|status| {
            first = status.ignored == 0;
            status.ignored += 1;
        });
        // Who fills the server with rubbish does not fill the log with it.
        if first {
            let event = Event::new("accounts.ignored", Level::Warn, &self.options.pool);
            self.options.emit(event.with("what", what));
        }
    }
}
