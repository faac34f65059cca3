//! A port of the supervisor's, and behind it the process of a service that serves now.
//!
//! For programs that cannot take a listening socket: each process has a port of its own, and what
//! comes in goes to the one that is ready. A connection stays with the process it went to.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a connection is held while no process is ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// Forwards connections. Dropping it ends the listening; connections that are there go on.
#[derive(Debug)]
pub(super) struct Forwarder {
    target: watch::Sender<Option<SocketAddr>>,
    open: Open,
    accepts: JoinHandle<()>,
}

/// How many connections to each process wait for an answer: something was sent, or nothing has
/// happened yet.
type Open = Arc<watch::Sender<HashMap<SocketAddr, usize>>>;

impl Forwarder {
    /// Forwards what comes to this listening socket. Until there is a target, connections wait.
    pub(super) fn start(listener: OwnedFd) -> io::Result<Self> {
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (target, targets) = watch::channel(None);
        let open = Open::default();
        let accepts = tokio::spawn(accept(listener, targets, Arc::clone(&open)));
        Ok(Self {
            target,
            open,
            accepts,
        })
    }

    /// Where connections go from now on.
    pub(super) fn switch(&self, target: Option<SocketAddr>) {
        self.target.send_replace(target);
    }

    /// If this process is not the one that connections go to any more, returns when those that it
    /// has got were answered, or at least taken up. A process that closes its socket resets what it
    /// has not accepted yet.
    pub(super) fn answered(
        &self,
        process: SocketAddr,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut open = self.open.subscribe();
        let is_current = *self.target.borrow() == Some(process);
        let waits = open.borrow().contains_key(&process);
        (!is_current && waits).then_some(async move {
            // An error is that there is no forwarder any more.
            let _ = open.wait_for(|open| !open.contains_key(&process)).await;
        })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

async fn accept(listener: TcpListener, targets: watch::Receiver<Option<SocketAddr>>, open: Open) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(forward(client, targets.clone(), Arc::clone(&open)));
            }
            // No descriptor is left, for one: others close theirs.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn forward(client: TcpStream, mut targets: watch::Receiver<Option<SocketAddr>>, open: Open) {
    let connected = tokio::time::timeout(PATIENCE, connect(&mut targets, &open)).await;
    let Ok(Some((server, waits))) = connected else {
        return;
    };
    // What is small is not held back in the hope of more; the clients decide for themselves.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let waits = Arc::new(waits);
    let mut client = Heard {
        stream: client,
        waits: Arc::clone(&waits),
        says: true,
    };
    let mut server = Heard {
        stream: server,
        waits,
        says: false,
    };
    // Either side may close at any time, and that is no error of ours.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// A connection to the target. One that refuses may be about to be replaced.
async fn connect(
    targets: &mut watch::Receiver<Option<SocketAddr>>,
    open: &Open,
) -> Option<(TcpStream, Waits)> {
    loop {
        let target = *targets.wait_for(Option::is_some).await.ok()?;
        let target = target?;
        // Before it is made, so that nobody thinks that there is none.
        let waits = Waits::new(target, Arc::clone(open));
        if let Ok(server) = TcpStream::connect(target).await {
            return Some((server, waits));
        }
        drop(waits);
        let changed = tokio::time::timeout(Duration::from_millis(50), targets.changed()).await;
        if let Ok(Err(_)) = changed {
            return None;
        }
    }
}

/// Whether one connection waits for an answer, which is counted.
#[derive(Debug)]
struct Waits {
    process: SocketAddr,
    open: Open,
    waits: Mutex<bool>,
}

impl Waits {
    fn new(process: SocketAddr, open: Open) -> Self {
        let waits = Mutex::new(false);
        let new = Self {
            process,
            open,
            waits,
        };
        new.set(true);
        new
    }

    fn set(&self, waits: bool) {
        let mut now = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == waits {
            return;
        }
        *now = waits;
        self.open.send_modify(|open| {
            let count = open.entry(self.process).or_default();
            *count = if waits {
                *count + 1
            } else {
                count.saturating_sub(1)
            };
            if *count == 0 {
                open.remove(&self.process);
            }
        });
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// One side of a connection, which is noticed to say something.
struct Heard {
    stream: TcpStream,
    waits: Arc<Waits>,
    /// What the connection is after that: whether it waits for an answer.
    says: bool,
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
            self.waits.set(self.says);
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

    #[tokio::test]
    async fn a_connection_stays_where_it_went_and_new_ones_follow_the_switch() {
        let port = listen::free_port().unwrap();
        let forwarder = Forwarder::start(listen::listen("127.0.0.1", port).unwrap()).unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", port));
        let mut early = connect().await.unwrap();
        forwarder.switch(Some(server(b'a').await));
        assert_eq!(ask(&mut early).await, b'a');
        forwarder.switch(Some(server(b'b').await));
        assert_eq!(ask(&mut connect().await.unwrap()).await, b'b');
        assert_eq!(ask(&mut early).await, b'a');
        drop(forwarder);
        assert_eq!(ask(&mut early).await, b'a');
        tokio::task::yield_now().await;
        assert!(connect().await.is_err());
    }

    #[tokio::test]
    async fn a_process_is_not_left_before_it_has_answered() {
        // It takes no connection yet, as one that has too much to do.
        let busy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let process = busy.local_addr().unwrap();
        let port = listen::free_port().unwrap();
        let forwarder = Forwarder::start(listen::listen("127.0.0.1", port).unwrap()).unwrap();
        forwarder.switch(Some(process));
        assert!(forwarder.answered(process).is_none());
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        client.write_all(b"?").await.unwrap();
        let mut counted = forwarder.open.subscribe();
        counted
            .wait_for(|open| open.get(&process) == Some(&1))
            .await
            .unwrap();
        assert!(forwarder.answered(process).is_none(), "it is the one");
        forwarder.switch(Some(server(b'b').await));
        let answered = tokio::spawn(forwarder.answered(process).unwrap());
        let (mut taken, _) = busy.accept().await.unwrap();
        assert!(!answered.is_finished());
        taken.write_all(b"a").await.unwrap();
        answered.await.unwrap();
        assert!(forwarder.answered(process).is_none());
    }
}
