//! A port of the supervisor's, and behind it the process of a service that serves now.
//!
//! For programs that cannot take a listening socket: each process has a port of its own, and what
//! comes in goes to the one that is ready. A connection stays with the process it went to.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a connection is held while no process is ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// Forwards connections. Dropping it ends the listening; connections that are there go on.
#[derive(Debug)]
pub(super) struct Forwarder {
    target: watch::Sender<Option<SocketAddr>>,
    accepts: JoinHandle<()>,
}

impl Forwarder {
    /// Forwards what comes to this listening socket. Until there is a target, connections wait.
    pub(super) fn start(listener: OwnedFd) -> io::Result<Self> {
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (target, targets) = watch::channel(None);
        let accepts = tokio::spawn(accept(listener, targets));
        Ok(Self { target, accepts })
    }

    /// Where connections go from now on.
    pub(super) fn switch(&self, target: Option<SocketAddr>) {
        self.target.send_replace(target);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

async fn accept(listener: TcpListener, targets: watch::Receiver<Option<SocketAddr>>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(forward(client, targets.clone()));
            }
            // No descriptor is left, for one: others close theirs.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn forward(mut client: TcpStream, mut targets: watch::Receiver<Option<SocketAddr>>) {
    let connected = tokio::time::timeout(PATIENCE, connect(&mut targets)).await;
    let Ok(Some(mut server)) = connected else {
        return;
    };
    // What is small is not held back in the hope of more; the clients decide for themselves.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    // Either side may close at any time, and that is no error of ours.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// A connection to the target. One that refuses may be about to be replaced.
async fn connect(targets: &mut watch::Receiver<Option<SocketAddr>>) -> Option<TcpStream> {
    loop {
        let target = *targets.wait_for(Option::is_some).await.ok()?;
        if let Ok(server) = TcpStream::connect(target?).await {
            return Some(server);
        }
        let changed = tokio::time::timeout(Duration::from_millis(50), targets.changed()).await;
        if let Ok(Err(_)) = changed {
            return None;
        }
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
}
