//! A shared pool for programs without a tokio runtime, such as those in other languages: it brings
//! a thread that carries what is said and heard.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::{Fleet, Lease, Options, Status, refresh_lease};
use crate::accounts::{Lifecycle, Pick, RefreshLease, Refreshed, Request, SharedPool, Slot};

/// How long [`BlockingFleet::leave`] waits at most.
const LEAVE: Duration = Duration::from_secs(2);

/// A [`Fleet`] whose methods block, and which brings a thread of its own. When it is dropped, the
/// pool is not shared any more.
///
/// A process that was forked does not have the thread: see [`is_here`](Self::is_here).
pub struct BlockingFleet {
    pool: SharedPool,
    fleet: Fleet,
    changes: Arc<Changes>,
    thread: Handle,
    process: u32,
    /// Ends the thread when it is dropped.
    _end: oneshot::Sender<()>,
}

/// What was learned so far, as a number that grows, and who wants to know.
#[derive(Default)]
struct Changes {
    number: Mutex<u64>,
    grew: Condvar,
    hook: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

impl Changes {
    fn number(&self) -> MutexGuard<'_, u64> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grow(&self) {
        *self.number() += 1;
        self.grew.notify_all();
        if let Some(hook) = &*self.hook.lock().unwrap_or_else(PoisonError::into_inner) {
            hook();
        }
    }
}

impl fmt::Debug for BlockingFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fleet.fmt(f)
    }
}

/// The right to refresh one credential, of all processes.
#[must_use = "nobody else refreshes the credential while this is held"]
#[derive(Debug)]
pub struct FleetRefresh {
    lease: RefreshLease,
    /// The lease of the server and its token, where the server was there.
    held: Option<(String, String)>,
}

impl BlockingFleet {
    /// Shares a pool, in the background: this does not wait for the server.
    ///
    /// # Errors
    ///
    /// If the system has no thread to give.
    pub fn join(pool: &SharedPool, options: Options) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let thread = runtime.handle().clone();
        let changes = Arc::new(Changes::default());
        let fleet = {
            let _entered = runtime.enter();
            let changes = Arc::clone(&changes);
            Fleet::join(pool, options, move || changes.grow())
        };
        let (_end, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("flowgate-shared".to_owned())
            .spawn(move || {
                // It ends when the other half is dropped, which is no error.
                let _ = runtime.block_on(ended);
            })?;
        Ok(Self {
            pool: pool.clone(),
            fleet,
            changes,
            thread,
            process: std::process::id(),
            _end,
        })
    }

    /// Whether this is the process that shares the pool. One that was forked from it has its memory,
    /// perhaps with a lock that nobody will ever open, and must not touch the pool.
    pub fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    /// How sharing goes.
    pub fn status(&self) -> Status {
        self.fleet.status()
    }

    /// Waits until the server is reached, or was found to be away.
    pub fn settled(&self) -> Status {
        self.thread.block_on(self.fleet.settled())
    }

    /// Whether the server says whose turn it is: then [`pick`](Self::pick) asks it.
    pub fn is_strict(&self) -> bool {
        self.fleet.is_strict()
    }

    /// Calls `hook`, and nobody who was called before, whenever something was learned, from the
    /// thread that carries it: who waits may pick again.
    pub fn on_change(&self, hook: impl Fn() + Send + Sync + 'static) {
        let place = self.changes.hook.lock();
        *place.unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    /// Waits until something is learned after the change of that number, for so long at most.
    /// Answers the number of the last change; the first is 1.
    pub fn changed(&self, seen: u64, time: Duration) -> u64 {
        let end = Instant::now() + time;
        let mut number = self.changes.number();
        while *number <= seen {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changes.grew.wait_timeout(number, left);
            (number, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *number
    }

    /// Decides who serves a request, as [`Fleet::pick`] does.
    pub fn pick(&self, request: &Request<'_>) -> Pick {
        self.thread.block_on(self.fleet.pick(request))
    }

    /// Asks to refresh the credential of an account. `None`: another request, or another process,
    /// does or just did, or there is no such account, or it is dead.
    pub fn refresh_begin(&self, slot: Slot) -> Option<FleetRefresh> {
        let (lease, name, was_refused) = {
            let mut pool = self.pool.lock();
            let lease = pool.refresh_begin(self.fleet.now(), slot)?;
            let name = refresh_lease(pool.id(slot).unwrap_or_default());
            (lease, name, pool.lifecycle(slot))
        };
        match self.thread.block_on(self.fleet.lease_refresh(&name)) {
            // Nobody can tell whether another does: better twice than never.
            Lease::Away => return Some(FleetRefresh { lease, held: None }),
            Lease::Mine(token) => {
                let is_refused = self.pool.lock().lifecycle(slot);
                if was_refused == is_refused || is_refused == Some(Lifecycle::NeedsRefresh) {
                    let held = Some((name, token));
                    return Some(FleetRefresh { lease, held });
                }
                self.thread.block_on(self.fleet.release(&name, &token));
            }
            Lease::Others(_) => {}
        }
        let mut pool = self.pool.lock();
        pool.refresh_end(self.fleet.now(), lease, Refreshed::Failed);
        None
    }

    /// The refresh is over, and all processes know. Answers whether it counted.
    pub fn refresh_end(&self, refresh: FleetRefresh, how: Refreshed) -> bool {
        let FleetRefresh { lease, held } = refresh;
        let counted = self.pool.lock().refresh_end(self.fleet.now(), lease, how);
        if let Some((name, token)) = held {
            self.thread
                .block_on(self.fleet.release_refresh(&name, &token));
        }
        counted
    }

    /// Gives back what this process holds for itself: leases and slices. The pool goes on alone.
    pub fn leave(&self) {
        let left = self.fleet.clone().leave();
        // What is not given back ends by itself.
        let _ = self
            .thread
            .block_on(async { tokio::time::timeout(LEAVE, left).await });
    }
}
