//! What there is of one service beside its processes: its log, its port, a shim to spare.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use super::super::dir::ServiceDir;
use super::super::forward::Forwarder;
use super::super::listen;
use super::super::logs::ServiceLog;
use super::super::ports;
use super::super::probes::reachable;
use super::super::tend::Spare;
use super::{Driver, Key};
use crate::supervise::{Overlap, ProcessEvent, ServiceId, ServiceSpec};

/// What is kept of a service between its processes.
pub(super) struct Held {
    pub(super) dir: ServiceDir,
    pub(super) log: ServiceLog,
    /// A shim that has nothing to do: the next process starts sooner.
    pub(super) idle: Option<Spare>,
    pub(super) listener: Option<OwnedFd>,
    forwarder: Option<Forwarder>,
}

impl Held {
    pub(super) fn release_port(&mut self) {
        self.listener = None;
        self.forwarder = None;
    }
}

impl Driver {
    /// What is kept of a service, made when it is needed first.
    pub(super) fn held(&mut self, spec: &ServiceSpec) -> io::Result<&mut Held> {
        let name = &spec.name;
        if !self.services.contains_key(name) {
            let held = Held {
                dir: self.dir.service(name)?,
                log: ServiceLog::new(self.dir.log(name), &spec.logs),
                idle: None,
                listener: None,
                forwarder: None,
            };
            self.services.insert(name.clone(), held);
        }
        let held = self.services.get_mut(name);
        held.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn check_port(&mut self, key: &Key, host: &str, port: u16, hold: bool) {
        let is_free = match hold {
            true => self.hold_port(&key.0, host, port).is_ok(),
            false => ports::is_free(host, port),
        };
        self.tell(
            key,
            match is_free {
                true => ProcessEvent::PortFree,
                false => ProcessEvent::PortBusy {
                    owner: ports::listener(port),
                },
            },
        );
    }

    fn hold_port(&mut self, service: &ServiceId, host: &str, port: u16) -> io::Result<()> {
        let spec = self.machine.spec(service);
        let spec = spec.ok_or(io::ErrorKind::NotFound)?;
        let held = self.held(&spec)?;
        if held.listener.is_some() || held.forwarder.is_some() {
            return Ok(());
        }
        let listener = listen::listen(host, port)?;
        if spec.overlap == Overlap::Forward {
            held.forwarder = Some(Forwarder::start(listener)?);
        } else {
            held.listener = Some(listener);
        }
        Ok(())
    }

    /// Lets the forwarder of a service lead to this process.
    pub(super) fn hand_over(&mut self, key: &Key) {
        if let Some((forwarder, address)) = self.way_to(key) {
            forwarder.switch(address);
        }
    }

    /// Connections do not go to this process any more: it is on its way down.
    pub(super) fn turn_away(&self, key: &Key) {
        if let Some((forwarder, address)) = self.way_to(key) {
            forwarder.leave(address);
        }
    }

    /// Returns when this process has answered what the forwarder sent it.
    pub(super) fn answered(&self, key: &Key) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (forwarder, address) = self.way_to(key)?;
        forwarder.answered(address)
    }

    /// The forwarder in front of a process, and where it forwards to.
    fn way_to(&self, key: &Key) -> Option<(&Forwarder, SocketAddr)> {
        let forwarder = self.services.get(&key.0)?.forwarder.as_ref()?;
        let process = self.processes.get(key)?;
        let ip = reachable(&process.spec.host).parse::<IpAddr>();
        let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Some((forwarder, SocketAddr::new(ip, process.port?)))
    }
}
