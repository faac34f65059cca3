//! Ports that the supervisor listens on for its services.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections wait while nobody accepts: enough for the moment of a restart.
const BACKLOG: i32 = 2048;

/// Listens on a port. Several processes can accept from the socket, and what waits in it is lost
/// only when the last of them closes it.
///
/// # Errors
///
/// What the system says; [`io::ErrorKind::AddrInUse`] if another process has the port.
pub(super) fn listen(host: &str, port: u16) -> io::Result<OwnedFd> {
    let mut addresses = (host, port).to_socket_addrs()?;
    let address = addresses
        .next()
        .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A port of this machine that is free now.
pub(super) fn free_port() -> io::Result<u16> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(std::net::TcpListener::bind(any)?.local_addr()?.port())
}
