//! The way to one process behind the forwarder, and what goes on in it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long nothing is said until an answer counts as complete: one may come in parts.
pub(super) const QUIET: Duration = Duration::from_millis(200);

/// The connections to one process.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) process: SocketAddr,
    /// How many there are.
    open: AtomicUsize,
    /// How many wait for an answer.
    waiting: AtomicUsize,
    /// When something was said last, in milliseconds since `begun`.
    said: AtomicU64,
    begun: Instant,
    /// None waits any more, or none is there any more.
    changed: Notify,
}

impl Lane {
    pub(super) fn new(process: SocketAddr) -> Self {
        Self {
            process,
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            said: AtomicU64::new(0),
            begun: Instant::now(),
            changed: Notify::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0
    }

    /// Returns when everything was answered: no connection is there, or none waits, and nothing has
    /// been said for a while.
    pub(super) async fn at_rest(&self) {
        loop {
            let changed = self.changed.notified();
            let quiet = self.quiet_until();
            let waits = self.waiting.load(Ordering::SeqCst) > 0;
            if self.is_empty() || (!waits && Instant::now() >= quiet) {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(quiet), if !waits => {}
            }
        }
    }

    fn quiet_until(&self) -> Instant {
        self.begun + Duration::from_millis(self.said.load(Ordering::SeqCst)) + QUIET
    }

    fn says(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.said.store(now, Ordering::SeqCst);
    }

    fn one_less(&self, of: &AtomicUsize) {
        if of.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.changed.notify_waiters();
        }
    }
}

/// The place of one connection in a lane.
#[derive(Clone, Debug)]
pub(super) struct Seat(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    lane: Arc<Lane>,
    waits: AtomicBool,
}

impl Seat {
    pub(super) fn take(lane: Arc<Lane>) -> Self {
        lane.open.fetch_add(1, Ordering::SeqCst);
        let waits = AtomicBool::new(false);
        Self(Arc::new(Taken { lane, waits }))
    }

    pub(super) fn process(&self) -> SocketAddr {
        self.0.lane.process
    }

    pub(super) fn is_of(&self, target: &Option<Arc<Lane>>) -> bool {
        let target = target.as_ref();
        target.is_some_and(|lane| Arc::ptr_eq(lane, &self.0.lane))
    }

    /// Whether an answer is due on this connection, from now on.
    pub(super) fn waits(&self, waits: bool) {
        self.0.waits(waits);
    }
}

impl Taken {
    fn waits(&self, waits: bool) {
        self.lane.says();
        if self.waits.swap(waits, Ordering::SeqCst) == waits {
            return;
        }
        if waits {
            self.lane.waiting.fetch_add(1, Ordering::SeqCst);
        } else {
            self.lane.one_less(&self.lane.waiting);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.waits.swap(false, Ordering::SeqCst) {
            self.lane.one_less(&self.lane.waiting);
        }
        self.lane.one_less(&self.lane.open);
    }
}

/// One side of a connection, which is noticed to say something.
pub(super) struct Heard {
    stream: TcpStream,
    seat: Seat,
    /// What the connection is after that: whether it waits for an answer.
    says: bool,
}

impl Heard {
    pub(super) fn client(stream: TcpStream, seat: &Seat) -> Self {
        let seat = seat.clone();
        Self {
            stream,
            seat,
            says: true,
        }
    }

    pub(super) fn server(stream: TcpStream, seat: &Seat) -> Self {
        let seat = seat.clone();
        Self {
            stream,
            seat,
            says: false,
        }
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if buffer.filled().len() > before {
            self.seat.waits(self.says);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
