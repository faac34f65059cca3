//! Whether services and machine are well: what is looked at, and what the numbers mean.
//!
//! Nothing is looked up here. [`targets`] says what to ask of each service; the functions below
//! judge what was found; a [`Report`] adds it up honestly: it is unhealthy if anything that was
//! asked for is.

use serde::Serialize;

use crate::config::{Port, Service, Settings, reachable};

/// How well something is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All is well.
    Healthy,
    /// Nobody can say.
    Unknown,
    /// It works, and will not for long.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// What is asked to learn how a service is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Probe {
    /// This URL answers 2xx, without a redirect.
    Http {
        /// The URL.
        url: String,
    },
    /// Something accepts connections.
    Tcp {
        /// The host, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A service and what is asked of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Target {
    /// The service.
    pub service: String,
    /// Whether it lives: `health_path`, or else a connection.
    pub liveness: Option<Probe>,
    /// Whether it can take work: `readiness`, or else as liveness.
    pub readiness: Option<Probe>,
}

/// What to ask of the services of a configuration, by name. Nothing of one without a port.
///
/// # Example
///
/// ```
/// use flowgate_core::{config::Config, health::{Probe, targets}};
///
/// let config = Config::from_yaml("
/// services: { api: { host: '::', port: 4000, readiness: { http: /ready }, command: { args: [api] } } }
/// ")?;
/// let api = &targets(config.settings())[0];
/// assert_eq!(api.readiness, Some(Probe::Http { url: "http://[::1]:4000/ready".to_owned() }));
/// # Ok::<(), flowgate_core::config::Error>(())
/// ```
pub fn targets(settings: &Settings) -> Vec<Target> {
    let of = |(name, service): (&crate::config::ServiceName, &Service)| {
        let (liveness, readiness) = (liveness(service), readiness(service));
        Target {
            service: name.to_string(),
            readiness: readiness.or_else(|| liveness.clone()),
            liveness,
        }
    };
    settings.services.iter().map(of).collect()
}

fn liveness(service: &Service) -> Option<Probe> {
    let own = service.liveness.as_ref();
    let path = own.and_then(|own| own.http.as_deref());
    let port = own.and_then(|own| own.port);
    probe(service, path.or(service.health_path.as_deref()), port)
}

/// What is ready by a program, its output or its own word cannot be asked from outside.
fn readiness(service: &Service) -> Option<Probe> {
    match &service.readiness {
        Some(own) if own.http.is_some() || own.tcp.is_some() => {
            probe(service, own.http.as_deref(), own.port)
        }
        Some(_) => None,
        None => {
            let path = service.readiness_path.as_deref();
            probe(service, path.or(service.health_path.as_deref()), None)
        }
    }
}

fn probe(service: &Service, path: Option<&str>, port: Option<Port>) -> Option<Probe> {
    let port = u16::from(port.or(service.port)?);
    let host = reachable(service.host.as_deref().unwrap_or("127.0.0.1"));
    Some(match path {
        Some(path) => Probe::Http {
            url: format!("http://{host}:{port}{path}"),
        },
        None => Probe::Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        },
    })
}

/// What a probe found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Found {
    /// Whether it is well.
    pub ok: bool,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why it is not well, in words.
    pub reason: Option<String>,
    /// How long it took, in milliseconds.
    pub took: u64,
}

impl Found {
    /// An answer: 2xx is well.
    pub fn answer(status: u16, took: u64) -> Self {
        let ok = (200..300).contains(&status);
        let reason = match status {
            _ if ok => None,
            300..=399 => Some(format!(
                "HTTP {status}: it redirects, which a probe does not follow"
            )),
            401 | 403 => Some(format!(
                "HTTP {status}: it asks for a key, which a probe does not have"
            )),
            404 => Some(format!("HTTP {status}: there is no such path")),
            _ => Some(format!("HTTP {status}")),
        };
        Self {
            ok,
            status: Some(status),
            reason,
            took,
        }
    }

    /// A connection that was made.
    pub fn connected(took: u64) -> Self {
        Self {
            ok: true,
            status: None,
            reason: None,
            took,
        }
    }

    /// Nothing came back.
    pub fn failed(reason: impl Into<String>, took: u64) -> Self {
        Self {
            ok: false,
            status: None,
            reason: Some(reason.into()),
            took,
        }
    }
}

/// How a service is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ServiceHealth {
    /// The service.
    pub service: String,
    /// All in all.
    pub status: Status,
    /// Whether it lives.
    pub liveness: Option<Found>,
    /// Whether it can take work.
    pub readiness: Option<Found>,
    /// Why it is not well, in one line.
    pub reason: Option<String>,
}

impl ServiceHealth {
    /// Judges what was found. What has no port can only be seen by its supervisor.
    pub fn new(service: String, liveness: Option<Found>, readiness: Option<Found>) -> Self {
        let failed = |found: &Option<Found>| found.as_ref().is_some_and(|found| !found.ok);
        let status = match (&liveness, &readiness) {
            (None, None) => Status::Unknown,
            _ if failed(&liveness) || failed(&readiness) => Status::Unhealthy,
            _ => Status::Healthy,
        };
        let because = |what: &str, found: &Option<Found>| {
            let found = found.as_ref().filter(|found| !found.ok)?;
            Some(format!(
                "{what}: {}",
                found.reason.as_deref().unwrap_or("it fails")
            ))
        };
        let reason = match status {
            Status::Unknown => Some("it has no port to ask".to_owned()),
            _ => because("not alive", &liveness).or_else(|| because("not ready", &readiness)),
        };
        Self {
            service,
            status,
            liveness,
            readiness,
            reason,
        }
    }
}

/// Something about the machine.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// What was looked at: `disk`, `memory`, `credentials`, `ports`.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// In one line.
    pub message: String,
}

impl Check {
    fn new(name: &'static str, status: Status, message: impl Into<String>) -> Self {
        Self {
            name,
            status,
            message: message.into(),
        }
    }
}

/// How everything is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Report {
    /// The worst of all, where what nobody knows does not count.
    pub status: Status,
    /// The services, by name.
    pub services: Vec<ServiceHealth>,
    /// The machine.
    pub checks: Vec<Check>,
}

impl Report {
    /// Adds it up.
    pub fn new(services: Vec<ServiceHealth>, checks: Vec<Check>) -> Self {
        let all = services.iter().map(|service| service.status);
        let all = all.chain(checks.iter().map(|check| check.status));
        let worst = all.filter(|status| *status != Status::Unknown).max();
        Self {
            status: worst.unwrap_or(Status::Healthy),
            services,
            checks,
        }
    }

    /// True if nothing is unhealthy. What is degraded still works.
    pub fn is_healthy(&self) -> bool {
        self.status < Status::Unhealthy
    }

    /// The answer in one line.
    pub fn headline(&self) -> String {
        let services = self.services.len();
        let well = |status| self.services.iter().filter(|s| s.status == status).count();
        let bad: Vec<&str> = self
            .services
            .iter()
            .filter(|service| service.status == Status::Unhealthy)
            .map(|service| service.service.as_str())
            .chain(
                self.checks
                    .iter()
                    .filter(|check| check.status == Status::Unhealthy)
                    .map(|check| check.name),
            )
            .collect();
        let word = match self.status {
            Status::Unhealthy => "unhealthy",
            Status::Degraded => "degraded",
            Status::Healthy | Status::Unknown => "healthy",
        };
        let ready = format!("{} of {services} services ready", well(Status::Healthy));
        match bad.as_slice() {
            [] => format!("{word}: {ready}"),
            bad => format!("{word}: {}; {ready}", bad.join(", ")),
        }
    }
}

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
pub(crate) fn bytes(number: u64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const GIB: u64 = 1024 * 1024 * 1024;

    #[test]
    fn only_2xx_is_well() {
        for status in [200, 201, 204, 299] {
            assert!(Found::answer(status, 0).ok, "{status}");
        }
        for status in [300, 302, 304, 400, 401, 403, 404, 418, 429, 500, 502, 503] {
            let found = Found::answer(status, 0);
            assert!(!found.ok && found.reason.unwrap().contains(&status.to_string()));
        }
    }

    #[test]
    fn disks_are_judged_by_share_and_size() {
        for (total, free, status) in [
            (100 * GIB, 90 * GIB, Status::Healthy),
            (100 * GIB, 20 * GIB, Status::Healthy),
            (1000 * GIB, 199 * GIB, Status::Healthy),
            (1000 * GIB, 150 * GIB, Status::Healthy),
            (100 * GIB, 4 * GIB, Status::Degraded),
            (10 * GIB, GIB, Status::Degraded),
            (100 * GIB, 200 * 1024 * 1024, Status::Unhealthy),
            (100 * GIB, 0, Status::Unhealthy),
            (1000, 500, Status::Healthy),
            (0, 0, Status::Degraded),
        ] {
            assert_eq!(disk(total, free).status, status, "{free} of {total}");
        }
        assert_eq!(
            disk(100 * GIB, 25 * GIB).message,
            "25.0 GiB free of 100 GiB (25%)"
        );
    }

    #[test]
    fn memory_is_read_as_linux_writes_it() {
        for (text, status, message) in [
            (
                "MemTotal: 16000000 kB\nMemFree: 1000000 kB\nMemAvailable: 8000000 kB\n",
                Status::Healthy,
                "50%",
            ),
            (
                "MemTotal: 1000000 kB\nMemFree: 0 kB\nMemAvailable: 100000 kB\n",
                Status::Healthy,
                "90%",
            ),
            (
                "MemTotal: 1000000 kB\nMemFree: 0 kB\nMemAvailable: 99999 kB\n",
                Status::Degraded,
                "90%",
            ),
            (
                "MemTotal: 1000000 kB\nMemFree: 500000 kB\n",
                Status::Healthy,
                "50%",
            ),
            (
                "MemTotal: 0 kB\nMemFree: 0 kB\nMemAvailable: 0 kB\n",
                Status::Healthy,
                "0%",
            ),
            (
                "MemTotal: 1000000 kB\nMemFree: 1 kB\nMemAvailable: 600000 kB\nHugePages_Total: 0\n",
                Status::Healthy,
                "40%",
            ),
            (
                "MemTotal:\nMemFree: 1 kB\n",
                Status::Unknown,
                "does not say",
            ),
        ] {
            let check = memory(Some(text));
            assert!(
                check.status == status && check.message.contains(message),
                "{text}: {check:?}"
            );
        }
        assert_eq!(memory(None).status, Status::Unknown);
    }

    #[test]
    fn secrets_are_for_their_owner() {
        for mode in [0o600, 0o400, 0o700, 0o200, 0o0] {
            assert_eq!(secret_mode(mode, false, true), None, "{mode:o}");
        }
        for mode in [0o644, 0o640, 0o666, 0o604, 0o777, 0o4600] {
            assert_eq!(secret_mode(mode, false, true).unwrap().1, 0o600, "{mode:o}");
        }
        assert_eq!(secret_mode(0o700, true, true), None);
        assert_eq!(secret_mode(0o755, true, true).unwrap().1, 0o700);
        assert!(
            secret_mode(0o600, false, false)
                .unwrap()
                .0
                .contains("someone else")
        );
    }

    fn services(text: &str) -> Config {
        let service = |(name, listens): (usize, &str)| {
            format!("s{name}: {{ {listens}, command: {{ args: [x] }} }}")
        };
        let all: Vec<String> = text.split(';').enumerate().map(service).collect();
        Config::from_yaml(&format!("services: {{ {} }}", all.join(", ")))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn r18_the_headline_counts_the_services() {
        let dead = ServiceHealth::new(
            "api".to_owned(),
            Some(Found::failed("connection refused", 1)),
            None,
        );
        let well = ServiceHealth::new(
            "db".to_owned(),
            Some(Found::connected(1)),
            Some(Found::answer(200, 1)),
        );
        let silent = ServiceHealth::new("job".to_owned(), None, None);
        let fine = vec![disk(100 * GIB, 90 * GIB)];
        let report = Report::new(
            vec![dead.clone(), well.clone(), silent.clone()],
            fine.clone(),
        );
        assert_eq!(report.headline(), "unhealthy: api; 1 of 3 services ready");
        assert!(!report.is_healthy() && dead.reason.unwrap() == "not alive: connection refused");
        let report = Report::new(vec![well.clone(), silent], fine);
        assert_eq!(
            (report.is_healthy(), report.status),
            (true, Status::Healthy)
        );
        let report = Report::new(vec![well], vec![disk(10 * GIB, GIB)]);
        assert!(
            report.is_healthy() && report.headline().starts_with("degraded"),
            "what is low still works"
        );
        let unready = ServiceHealth::new(
            "a".to_owned(),
            Some(Found::connected(1)),
            Some(Found::answer(503, 1)),
        );
        assert_eq!(unready.reason.as_deref(), Some("not ready: HTTP 503"));
    }

    #[test]
    fn each_service_is_asked_what_its_configuration_says() {
        let config = services(
            "port: 1; host: '::', port: 2, health_path: /live; port: 3, readiness: { http: /r }, health_path: /live; port: 4, readiness: { log: up }, liveness: { http: /live, port: 9 }; host: 0.0.0.0",
        );
        let targets = targets(config.settings());
        let http = |url: &str| {
            Some(Probe::Http {
                url: url.to_owned(),
            })
        };
        let tcp = Some(Probe::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 1,
        });
        assert_eq!((&targets[0].liveness, &targets[0].readiness), (&tcp, &tcp));
        assert_eq!(targets[1].readiness, http("http://[::1]:2/live"));
        assert_eq!(
            (&targets[2].liveness, &targets[2].readiness),
            (
                &http("http://127.0.0.1:3/live"),
                &http("http://127.0.0.1:3/r")
            )
        );
        assert_eq!(
            (&targets[3].liveness, &targets[3].readiness),
            (
                &http("http://127.0.0.1:9/live"),
                &http("http://127.0.0.1:9/live")
            )
        );
        assert_eq!(
            (&targets[4].liveness, &targets[4].readiness),
            (&None, &None)
        );
    }

    #[test]
    fn ports_clash_only_where_addresses_do() {
        let check = |text: &str| {
            let check = ports(services(text).settings());
            (check.status, check.message)
        };
        assert_eq!(
            check("port: 1; port: 2"),
            (Status::Healthy, "2 in use, none twice".to_owned())
        );
        assert_eq!(
            check("host: 127.0.0.1, port: 1; host: 10.0.0.1, port: 1").0,
            Status::Healthy
        );
        let config = Config::from_yaml("services: { a: { command: { args: [x] } } }").unwrap();
        assert_eq!(ports(config.settings()).message, "0 in use, none twice");
    }

    #[test]
    fn credentials_that_cannot_be_had_are_named() {
        assert_eq!(credentials(0, &[]).message, "none are needed");
        assert_eq!(credentials(2, &[]).message, "all 2 can be read");
        let check = credentials(3, &[("b".to_owned(), "the file is empty".to_owned())]);
        assert_eq!(
            (check.status, check.message.as_str()),
            (
                Status::Unhealthy,
                "1 of 3 cannot be used: b: the file is empty"
            )
        );
    }
}
