//! A port of the supervisor's, and behind it the process of a service that serves now.
//!
//! For programs that cannot take a listening socket: each process has a port of its own, and what
//! comes in goes to the one that is ready. A connection on which something was said stays with the
//! process that it went to; one on which nothing was said yet follows a switch.

mod lane;
mod places;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use self::lane::{Heard, Lane, Seat};

/// How long a connection is held while no process is ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long until a process that refuses a connection is asked again.
const REFUSED: Duration = Duration::from_millis(50);
/// How long after a process closed a connection without a word its end may become known.
const CLOSED: Duration = Duration::from_millis(250);

/// Forwards connections. Dropping it ends the listening; connections that are there go on.
#[derive(Debug)]
pub(super) struct Forwarder {
    /// Where connections go from now on.
    target: watch::Sender<Target>,
    /// Where they went before, as long as some are there.
    before: Mutex<Vec<Arc<Lane>>>,
    accepts: JoinHandle<()>,
}

type Target = Option<Arc<Lane>>;

impl Forwarder {
    /// Forwards what comes to this listening socket. Until there is a target, connections wait.
    pub(super) fn start(listener: OwnedFd) -> io::Result<Self> {
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (target, targets) = watch::channel(None);
        let accepts = tokio::spawn(accept(listener, targets));
        Ok(Self {
            target,
            before: Mutex::default(),
            accepts,
        })
    }

    /// Connections go to this process from now on.
    pub(super) fn switch(&self, process: SocketAddr) {
        if !self.leads_to(process) {
            self.replace(Some(Arc::new(Lane::new(process))));
        }
    }

    /// If connections went to this process, they wait for another one from now on.
    pub(super) fn leave(&self, process: SocketAddr) {
        if self.leads_to(process) {
            self.replace(None);
        }
    }

    fn leads_to(&self, process: SocketAddr) -> bool {
        let target = self.target.borrow();
        target.as_ref().is_some_and(|lane| lane.process == process)
    }

    fn replace(&self, target: Target) {
        let old = self.target.send_replace(target);
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        before.retain(|lane| !lane.is_empty());
        before.extend(old);
    }

    /// If this process is not the one that connections go to any more, returns when it has answered
    /// those that it got. A process that closes its socket resets what it has not accepted yet.
    pub(super) fn answered(
        &self,
        process: SocketAddr,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        // A port may have been that of an older one, too.
        let lane = before.iter().rfind(|lane| lane.process == process)?;
        let lane = Arc::clone(lane);
        Some(async move { lane.at_rest().await })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.accepts.abort();
        // Who waits, or has said nothing yet, waits for nothing now.
        self.target.send_replace(None);
    }
}

async fn accept(listener: TcpListener, targets: watch::Receiver<Target>) {
    loop {
        // What there is no place for waits in the queue of the socket.
        let place = places::take().await;
        match listener.accept().await {
            Ok((client, _)) => {
                let targets = targets.clone();
                tokio::spawn(async move {
                    forward(client, targets).await;
                    drop(place);
                });
            }
            // No descriptor is left, for one: others close theirs.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn forward(client: TcpStream, mut targets: watch::Receiver<Target>) {
    let Some((server, seat)) = settle(&client, &mut targets).await else {
        return;
    };
    // What is small is not held back in the hope of more; the clients decide for themselves.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let mut client = Heard::client(client, &seat);
    let mut server = Heard::server(server, &seat);
    // Either side may close at any time, and that is no error of ours.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Connects, and waits until one side says something: from then on, the connection stays where it
/// is. Until then it follows the target, and outlives a process that closes it without a word.
async fn settle(
    client: &TcpStream,
    targets: &mut watch::Receiver<Target>,
) -> Option<(TcpStream, Seat)> {
    loop {
        let (server, seat) = connect(targets).await?;
        let mut byte = [0];
        tokio::select! {
            biased;
            () = changed(targets) => continue,
            // To be readable is not enough: that may be said of one that has nothing to read.
            _ = client.peek(&mut byte) => {}
            closed = closed(&server) => if closed {
                // It ends, and will be replaced, or it wants nothing to do with this one.
                timeout(CLOSED, changed(targets)).await.ok()?;
                continue;
            },
        }
        seat.waits(true);
        // Only now is it sure that nobody thinks that this process has nothing to answer any more.
        if seat.is_of(&targets.borrow()) {
            return Some((server, seat));
        }
    }
}

/// Whether a server closes the connection before it says anything. Returns when it does either.
async fn closed(server: &TcpStream) -> bool {
    !matches!(server.peek(&mut [0]).await, Ok(1..))
}

/// A connection to the target. One that refuses may be about to be replaced.
async fn connect(targets: &mut watch::Receiver<Target>) -> Option<(TcpStream, Seat)> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let wait = timeout_at(until, targets.wait_for(Option::is_some));
        let lane = wait.await.ok()?.ok()?.clone()?;
        let seat = Seat::take(lane);
        tokio::select! {
            biased;
            () = changed(targets) => {}
            server = TcpStream::connect(seat.process()) => match server {
                Ok(server) => return Some((server, seat)),
                Err(_) => drop(timeout(REFUSED, changed(targets)).await),
            }
        }
    }
    None
}

/// Returns when there is another target, or none. If there is no forwarder any more, it never does.
async fn changed(targets: &mut watch::Receiver<Target>) {
    if targets.changed().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::listen;
    use super::*;

    async fn server(name: u8) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut byte = [0];
                    while client.read_exact(&mut byte).await.is_ok() {
                        client.write_all(&[name]).await.unwrap();
                    }
                });
            }
        });
        address
    }

    async fn ask(client: &mut TcpStream) -> u8 {
        let mut answer = [0];
        client.write_all(b"?").await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        answer[0]
    }

    fn forwarder() -> (Forwarder, u16) {
        let port = listen::free_port().unwrap();
        let listener = listen::listen("127.0.0.1", port).unwrap();
        (Forwarder::start(listener).unwrap(), port)
    }

    async fn client(port: u16) -> TcpStream {
        TcpStream::connect(("127.0.0.1", port)).await.unwrap()
    }

    #[tokio::test]
    async fn a_connection_stays_where_it_went_and_new_ones_follow_the_switch() {
        let (forwarder, port) = forwarder();
        let mut early = client(port).await;
        forwarder.switch(server(b'a').await);
        assert_eq!(ask(&mut early).await, b'a');
        forwarder.switch(server(b'b').await);
        assert_eq!(ask(&mut client(port).await).await, b'b');
        assert_eq!(ask(&mut early).await, b'a');
        drop(forwarder);
        assert_eq!(ask(&mut early).await, b'a');
        tokio::task::yield_now().await;
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    }

    #[tokio::test]
    async fn a_process_is_not_left_before_it_has_answered() {
        // It takes no connection yet, as one that has too much to do.
        let busy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let process = busy.local_addr().unwrap();
        let (forwarder, port) = forwarder();
        forwarder.switch(process);
        assert!(forwarder.answered(process).is_none());
        let mut asking = client(port).await;
        asking.write_all(b"?").await.unwrap();
        let (mut taken, _) = busy.accept().await.unwrap();
        taken.read_exact(&mut [0]).await.unwrap();
        assert!(forwarder.answered(process).is_none(), "it is the one");
        forwarder.switch(server(b'b').await);
        let answered = tokio::spawn(forwarder.answered(process).unwrap());
        for _ in 0..3 {
            // The beginning of an answer is no answer.
            tokio::time::sleep(lane::QUIET / 4).await;
            assert!(!answered.is_finished());
            taken.write_all(b"a").await.unwrap();
        }
        answered.await.unwrap();
        drop((taken, asking));
    }

    #[tokio::test]
    async fn a_process_that_nobody_asked_anything_is_left_at_once() {
        let (forwarder, port) = forwarder();
        let (first, second) = (server(b'a').await, server(b'b').await);
        forwarder.switch(first);
        let mut silent = client(port).await;
        let mut done = client(port).await;
        assert_eq!(ask(&mut done).await, b'a');
        forwarder.switch(second);
        let before = Instant::now();
        forwarder.answered(first).unwrap().await;
        assert!(before.elapsed() < Duration::from_secs(10));
        assert_eq!(ask(&mut silent).await, b'b', "it had said nothing yet");
    }

    #[tokio::test]
    async fn a_connection_that_nothing_was_said_on_outlives_the_process() {
        let (forwarder, port) = forwarder();
        let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
        forwarder.switch(closing.local_addr().unwrap());
        let mut early = client(port).await;
        let (accepted, _) = closing.accept().await.unwrap();
        forwarder.leave(closing.local_addr().unwrap());
        drop((accepted, closing));
        let mut late = client(port).await;
        forwarder.switch(server(b'b').await);
        assert_eq!(ask(&mut early).await, b'b');
        assert_eq!(ask(&mut late).await, b'b');
    }

    #[tokio::test]
    async fn a_process_that_closes_every_connection_is_believed() {
        let (forwarder, port) = forwarder();
        let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
        forwarder.switch(closing.local_addr().unwrap());
        let accepts = tokio::spawn(async move {
            while let Ok((client, _)) = closing.accept().await {
                drop(client);
            }
        });
        let mut refused = client(port).await;
        assert_eq!(refused.read(&mut [0]).await.unwrap_or(0), 0);
        accepts.abort();
    }

    #[tokio::test]
    async fn a_server_may_speak_first() {
        let (forwarder, port) = forwarder();
        let greeting = TcpListener::bind("127.0.0.1:0").await.unwrap();
        forwarder.switch(greeting.local_addr().unwrap());
        let mut client = client(port).await;
        let (mut accepted, _) = greeting.accept().await.unwrap();
        accepted.write_all(b"!").await.unwrap();
        let mut byte = [0];
        client.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"!");
    }
}
