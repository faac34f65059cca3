//! Who has a port: from the kernel's tables of sockets to the process that has one open.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};

use super::proc;
use crate::supervise::{Owner, PortOwner};

/// What `/proc/net/tcp` calls a socket that waits for connections.
const LISTENS: &str = "0A";

/// A line of `/proc/net/tcp`.
struct Socket {
    local: u16,
    remote: u16,
    listens: bool,
    number: u64,
}

/// The TCP sockets of this machine, as far as this network namespace goes.
fn sockets() -> Vec<Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    texts
        .iter()
        .flat_map(|text| text.lines().skip(1))
        .filter_map(parse)
        .collect()
}

fn parse(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    Some(Socket {
        local: port(fields.next()?)?,
        remote: port(fields.next()?)?,
        listens: fields.next()? == LISTENS,
        number: fields.nth(5)?.parse().ok()?,
    })
}

/// Whether a port can be listened on now, by trying.
pub(super) fn is_free(host: &str, port: u16) -> bool {
    let Ok(ip) = host.parse::<IpAddr>() else {
        return TcpListener::bind((host, port)).is_ok();
    };
    TcpListener::bind(SocketAddr::new(ip, port)).is_ok()
}

/// The process that listens on a port, if it can be seen: those of other users cannot.
pub(super) fn listener(port: u16) -> Option<Owner> {
    let numbers: Vec<u64> = sockets()
        .iter()
        .filter(|socket| socket.listens && socket.local == port)
        .map(|socket| socket.number)
        .collect();
    if numbers.is_empty() {
        return None;
    }
    proc::all()
        .find(|stat| has_one_of(stat.id.pid, &numbers))
        .map(|stat| proc::owner(&stat))
}

/// Whether a process that comes from `root` listens on a port, or who else does.
pub(super) fn listens_below(root: u32, port: u16) -> PortOwner {
    let numbers: Vec<u64> = sockets()
        .iter()
        .filter(|socket| socket.listens && socket.local == port)
        .map(|socket| socket.number)
        .collect();
    whose(root, &numbers, || listener(port))
}

/// Which of these connections to `port` on this machine, known by their own local ports, a process
/// that comes from `root` has the other end of; and whether all are taken by somebody.
pub(super) fn taken_below(root: u32, from: &[u16], port: u16) -> (Option<usize>, bool) {
    let sockets: Vec<Socket> = sockets()
        .into_iter()
        .filter(|socket| socket.local == port)
        .collect();
    // A socket that nobody has accepted yet has the number 0, and no process.
    let taken = |from: &u16| sockets.iter().find(|s| s.remote == *from && s.number != 0);
    let numbers: Vec<u64> = from
        .iter()
        .map(|from| taken(from).map_or(0, |s| s.number))
        .collect();
    let below = proc::descendants(root);
    let open: Vec<u64> = below
        .iter()
        .flat_map(|stat| proc::sockets(stat.id.pid))
        .collect();
    let ours = numbers
        .iter()
        .position(|number| *number != 0 && open.contains(number));
    (ours, numbers.iter().all(|number| *number != 0))
}

fn whose(root: u32, numbers: &[u64], other: impl Fn() -> Option<Owner>) -> PortOwner {
    let below = proc::descendants(root);
    if below.iter().any(|stat| has_one_of(stat.id.pid, numbers)) {
        return PortOwner::Ours;
    }
    other().map_or(PortOwner::Unknown, PortOwner::Other)
}

fn has_one_of(pid: u32, numbers: &[u64]) -> bool {
    // A socket that nobody has accepted yet has the number 0, and no process.
    let open = proc::sockets(pid);
    numbers
        .iter()
        .any(|number| *number != 0 && open.contains(number))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn the_process_that_has_a_port_is_named() {
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listening.local_addr().unwrap().port();
        assert!(!is_free("127.0.0.1", port));
        let owner = listener(port).unwrap();
        assert_eq!(owner.pid, std::process::id());
        assert!(!owner.name.is_empty());
        // This process does not come from itself.
        let below = listens_below(std::process::id(), port);
        assert_eq!(below, PortOwner::Other(owner.clone()));

        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let from = client.local_addr().unwrap().port();
        let root = proc::stat(std::process::id()).unwrap().parent;
        assert_eq!(
            taken_below(root, &[from], port),
            (None, false),
            "nobody took it yet"
        );
        let taken = listening.accept().unwrap();
        assert_eq!(taken_below(root, &[from], port), (Some(0), true));
        drop((listening, client, taken));
        assert_eq!(listener(port), None);
        assert!(is_free("127.0.0.1", port));
    }
}
