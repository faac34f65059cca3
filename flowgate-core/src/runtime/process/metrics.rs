//! How services do: what the machine knows, and what the kernel counts.

use serde::Serialize;

use super::proc;
use crate::supervise::{Millis, ServiceStatus};

/// The ticks of the processor time in `/proc`, a second: `USER_HZ`, which is 100 on every
/// architecture of Linux that Rust runs on.
const TICKS: u64 = 100;

/// Where a service stands, and what it uses.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Where it stands.
    #[serde(flatten)]
    pub service: ServiceStatus,
    /// For how long its process has run, in milliseconds.
    pub uptime_ms: Option<Millis>,
    /// The memory of all of its processes, in bytes. What they share counts for each.
    pub rss_bytes: Option<u64>,
    /// The time its processes have spent on a processor, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// How many bytes of output were lost because they could not be written.
    pub log_bytes_lost: u64,
}

impl Status {
    pub(super) fn of(
        service: ServiceStatus,
        now: Millis,
        shim: Option<u32>,
        log_bytes_lost: u64,
    ) -> Self {
        let runs = service.process.is_some();
        let used = shim.filter(|_| runs).map(|shim| {
            let page = rustix::param::page_size() as u64;
            let processes = proc::descendants(shim);
            let pages: u64 = processes.iter().map(|stat| stat.pages).sum();
            let ticks: u64 = processes.iter().map(|stat| stat.ticks).sum();
            (pages * page, ticks * 1000 / TICKS)
        });
        let since = service.since.filter(|_| runs);
        Self {
            uptime_ms: since.map(|since| now.saturating_sub(since)),
            rss_bytes: used.map(|used| used.0),
            cpu_ms: used.map(|used| used.1),
            log_bytes_lost,
            service,
        }
    }
}
