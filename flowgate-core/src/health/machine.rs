//! The machine: disk, memory, credentials, ports, permissions.

use super::{Check, Status};
use crate::config::Settings;

/// Below this much free space a disk is nearly full, in bytes.
const NEARLY_FULL: u64 = 256 * 1024 * 1024;
/// Below this much free space it is worth a warning, in bytes, if it is little of the disk too.
const GETTING_FULL: u64 = 5 * 1024 * 1024 * 1024;
/// The share of a disk that is worth a warning, in percent.
const LOW_PERCENT: u64 = 20;
/// The share of memory in use that is worth a warning, in percent.
const MEMORY_PERCENT: u64 = 90;

/// Judges a disk: nearly full is unhealthy; little free space, absolutely and of the whole, is
/// degraded. A large disk with a small share free has much space.
pub fn disk(total: u64, free: u64) -> Check {
    let percent = free
        .saturating_mul(100)
        .checked_div(total)
        .unwrap_or_default();
    let message = format!("{} free of {} ({percent}%)", bytes(free), bytes(total));
    let status = if total == 0 {
        Status::Degraded
    } else if free < NEARLY_FULL.min(total / 20) {
        Status::Unhealthy
    } else if free < GETTING_FULL && percent < LOW_PERCENT {
        Status::Degraded
    } else {
        Status::Healthy
    };
    Check::new("disk", status, message)
}

/// A disk that cannot be looked at.
pub fn disk_unseen(reason: &str) -> Check {
    Check::new("disk", Status::Unhealthy, reason)
}

/// Judges the content of `/proc/meminfo`; unknown where there is none or it is not understood.
pub fn memory(meminfo: Option<&str>) -> Check {
    let unknown = || Check::new("memory", Status::Unknown, "this machine does not say");
    let Some(text) = meminfo else {
        return unknown();
    };
    let field = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(key, _)| key.trim() == name);
        let kib: u64 = values.find_map(|(_, rest)| rest.split_whitespace().next()?.parse().ok())?;
        Some(kib.saturating_mul(1024))
    };
    let (Some(total), Some(free)) = (
        field("MemTotal"),
        field("MemAvailable").or_else(|| field("MemFree")),
    ) else {
        return unknown();
    };
    let used = total.saturating_sub(free);
    let high = used.saturating_mul(100) > total.saturating_mul(MEMORY_PERCENT);
    let percent = used
        .saturating_mul(100)
        .checked_div(total)
        .unwrap_or_default();
    let message = format!("{percent}% of {} in use", bytes(total));
    let status = if high {
        Status::Degraded
    } else {
        Status::Healthy
    };
    Check::new("memory", status, message)
}

/// Judges the credentials that are in use: the names of those that cannot be had, and why.
pub fn credentials(in_use: usize, problems: &[(String, String)]) -> Check {
    let list: Vec<String> = problems
        .iter()
        .map(|(name, reason)| format!("{name}: {reason}"))
        .collect();
    match (in_use, list.as_slice()) {
        (0, []) => Check::new("credentials", Status::Healthy, "none are needed"),
        (n, []) => Check::new(
            "credentials",
            Status::Healthy,
            format!("all {n} can be read"),
        ),
        (n, list) => {
            let message = format!("{} of {n} cannot be used: {}", list.len(), list.join("; "));
            Check::new("credentials", Status::Unhealthy, message)
        }
    }
}

/// Judges the ports of a configuration: two services cannot listen on one port of one address, and
/// one that listens everywhere shares its port with nobody.
pub fn ports(settings: &Settings) -> Check {
    let everywhere = |host: &str| matches!(host, "0.0.0.0" | "::" | "*" | "[::]");
    let mut listen = Vec::new();
    for (name, service) in &settings.services {
        if let Some(port) = service.port {
            let host = service.host.as_deref().unwrap_or("127.0.0.1");
            listen.push((u16::from(port), host, name.as_ref() as &str));
        }
    }
    listen.sort_unstable();
    let clash = |(a, b): (&(u16, &str, &str), &(u16, &str, &str))| {
        let same_host = a.1 == b.1 || everywhere(a.1) || everywhere(b.1);
        (a.0 == b.0 && same_host).then(|| format!("port {}: {}, {}", a.0, a.2, b.2))
    };
    let pairs = listen
        .iter()
        .enumerate()
        .flat_map(|(index, a)| listen[index + 1..].iter().map(move |b| (a, b)));
    let clashes: Vec<String> = pairs.filter_map(clash).collect();
    match clashes.as_slice() {
        [] => Check::new(
            "ports",
            Status::Healthy,
            format!("{} in use, none twice", listen.len()),
        ),
        clashes => Check::new("ports", Status::Unhealthy, clashes.join("; ")),
    }
}

/// What is wrong with the permissions of a secret, and what they should be; `None` if nothing is.
///
/// Nobody but the owner may read it; the owner's own bits are the owner's business.
///
/// ```
/// use flowgate_core::health::secret_mode;
///
/// assert_eq!(secret_mode(0o400, false, true), None);
/// assert_eq!(secret_mode(0o644, false, true).unwrap(), ("others can read it (mode 0644)".to_owned(), 0o600));
/// ```
pub fn secret_mode(mode: u32, is_directory: bool, is_ours: bool) -> Option<(String, u32)> {
    let bits = mode & 0o7777;
    let expected = if is_directory { 0o700 } else { 0o600 };
    let what = if !is_ours {
        "it belongs to someone else"
    } else if bits & 0o022 != 0 {
        "others can change it"
    } else if bits & 0o077 != 0 {
        "others can read it"
    } else if !is_directory && bits & 0o7000 != 0 {
        "it has special bits"
    } else {
        return None;
    };
    Some((format!("{what} (mode {bits:04o})"), expected))
}

/// A number of bytes as a person would write it.
fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && value < 100.0);
    format!("{value:.decimals$} {}", UNITS[unit])
}
