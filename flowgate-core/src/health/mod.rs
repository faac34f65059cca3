//! Whether services and machine are well: what is looked at, and what the numbers mean.
//!
//! Nothing is looked up here. [`targets`] says what to ask of each service; the functions below
//! judge what was found; a [`Report`] adds it up honestly: it is unhealthy if anything that was
//! asked for is.

mod machine;
mod probe;
#[cfg(test)]
mod tests;

pub use machine::{credentials, disk, disk_unseen, memory, ports, secret_mode};
pub use probe::{Found, Probe, Target, targets};

use serde::{Deserialize, Serialize};

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
    /// What its supervisor says, if one runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervised: Option<Supervised>,
}

/// What a supervisor says about a service of its own.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Supervised {
    /// The service.
    pub service: String,
    /// Where it stands: `running`, `starting`, `stopping`, `restarting`, `stopped` or `error`.
    pub state: String,
    /// Its process, if there is one.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// What went wrong the last time.
    pub last_error: Option<String>,
}

impl Supervised {
    /// Whether it works, or is on its way, or shall not.
    pub fn is_error(&self) -> bool {
        self.state == "error"
    }

    fn told(&self) -> String {
        match &self.last_error {
            Some(error) if self.state != "running" => format!("{}: {error}", self.state),
            _ => self.state.clone(),
        }
    }
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
            supervised: None,
        }
    }

    /// Adds what the supervisor says. It knows about a service that nobody can ask, and why one that
    /// does not answer does not.
    fn supervised(&mut self, says: Supervised) {
        let told = says.told();
        match self.status {
            _ if says.is_error() => {
                self.status = Status::Unhealthy;
                self.reason = Some(told);
            }
            Status::Unknown if says.state == "running" => {
                self.status = Status::Healthy;
                self.reason = None;
            }
            Status::Unknown => self.reason = Some(told),
            Status::Unhealthy if says.state != "running" => {
                let reason = self.reason.take().unwrap_or_default();
                self.reason = Some(format!("{reason}; its supervisor says: {told}"));
            }
            Status::Unhealthy | Status::Degraded | Status::Healthy => {}
        }
        self.supervised = Some(says);
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

    /// The same, with what a supervisor says about the services that it has.
    #[must_use]
    pub fn supervised(self, says: &[Supervised]) -> Self {
        let Self {
            mut services,
            checks,
            ..
        } = self;
        for service in &mut services {
            let about = says.iter().find(|one| one.service == service.service);
            if let Some(about) = about {
                service.supervised(about.clone());
            }
        }
        Self::new(services, checks)
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
