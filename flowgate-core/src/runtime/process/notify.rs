//! What a process says about itself: the datagrams of sd_notify(3).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::path::Path;

use tokio::net::UnixDatagram;

/// The longest path that a socket address has room for.
const LONGEST_PATH: usize = 107;

/// Where one process says how it is.
#[derive(Debug)]
pub(super) struct Notify {
    socket: UnixDatagram,
    /// The value of `NOTIFY_SOCKET`.
    pub(super) address: String,
}

/// What it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// It is ready.
    Ready,
    /// It lives.
    Alive,
    /// Something else.
    Other,
}

impl Notify {
    /// Listens at this path; if that is too long for an address, at a name made from it.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        let (address, bound) = if bytes.len() <= LONGEST_PATH {
            // One of an earlier supervisor; whoever writes to it finds this one.
            let _ = std::fs::remove_file(path);
            let address = path.to_string_lossy().into_owned();
            (address, SocketAddr::from_pathname(path)?)
        } else {
            let end = bytes
                .get(bytes.len() - (LONGEST_PATH - 10)..)
                .unwrap_or(bytes);
            let name = String::from_utf8_lossy(end).replace('\u{fffd}', "_");
            let address = SocketAddr::from_abstract_name(name.as_bytes())?;
            (format!("@{name}"), address)
        };
        let socket = StdDatagram::bind_addr(&bound)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixDatagram::from_std(socket)?,
            address,
        })
    }

    /// What is said next.
    pub(super) async fn next(&self) -> io::Result<Said> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).await?;
        let message = message.get(..length).unwrap_or_default();
        let mut lines = message.split(|byte| *byte == b'\n');
        Ok(lines
            .find_map(|line| match line {
                b"READY=1" => Some(Said::Ready),
                b"WATCHDOG=1" => Some(Said::Alive),
                _ => None,
            })
            .unwrap_or(Said::Other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_heard_however_long_the_path_is() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        for path in [dir.path().join("notify"), long] {
            let notify = Notify::bind(&path).unwrap();
            let sender = StdDatagram::unbound().unwrap();
            let to = match notify.address.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name).unwrap(),
                None => SocketAddr::from_pathname(&notify.address).unwrap(),
            };
            sender.send_to_addr(b"STATUS=warm\nREADY=1\n", &to).unwrap();
            sender.send_to_addr(b"WATCHDOG=1", &to).unwrap();
            sender.send_to_addr(b"READY=0", &to).unwrap();
            assert_eq!(notify.next().await.unwrap(), Said::Ready);
            assert_eq!(notify.next().await.unwrap(), Said::Alive);
            assert_eq!(notify.next().await.unwrap(), Said::Other);
        }
    }
}
