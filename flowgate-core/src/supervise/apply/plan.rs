//! What a change of the services means, before anything is done.

use std::fmt;

use serde::Serialize;

use super::super::graph::Services;
use super::super::spec::{Overlap, ServiceId, ServiceSpec};

/// What becomes of which service when one set of services takes the place of another.
///
/// ```
/// use flowgate_core::supervise::{Plan, ServiceSpec, Services};
///
/// let old = Services::new(vec![ServiceSpec::new("a", ["a"]), ServiceSpec::new("b", ["b"])])?;
/// let new = Services::new(vec![ServiceSpec::new("a", ["a", "--fast"])])?;
/// let plan = Plan::between(&old, &new);
/// assert_eq!(plan.to_string(), "stop     b\nrestart  a  (command)\n");
/// assert!(Plan::between(&new, &new).is_empty());
/// # Ok::<(), flowgate_core::supervise::GraphError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Plan {
    steps: Vec<PlanStep>,
}

/// What becomes of one service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PlanStep {
    /// The service.
    pub service: ServiceId,
    /// What becomes of it.
    pub action: PlanAction,
    /// The keys that differ, or what else is the reason.
    pub because: Vec<String>,
}

/// What can become of a service.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanAction {
    /// It is stopped, and no more.
    Stop,
    /// Its process is replaced: the new one is ready before the old one is stopped.
    Replace,
    /// Its process is stopped and started again.
    Restart,
    /// Its settings change, and its process does not.
    Reconfigure,
    /// It is new, and started.
    Start,
}

impl Plan {
    /// What it takes to get from one set of services to another.
    pub fn between(old: &Services, new: &Services) -> Self {
        let order = |services: &Services| -> Vec<ServiceId> {
            let waves = services.start_order().into_iter().flatten();
            waves.map(ServiceId::from).collect()
        };
        let mut steps = Vec::new();
        for service in order(old).into_iter().rev() {
            if new.get(service.as_str()).is_none() {
                steps.push(step(service, PlanAction::Stop, Vec::new()));
            }
        }
        for service in order(new) {
            let Some(after) = new.get(service.as_str()) else {
                continue;
            };
            match old.get(service.as_str()) {
                None => steps.push(step(service, PlanAction::Start, Vec::new())),
                Some(before) => steps.extend(changed(before, after)),
            }
        }
        steps.sort_by_key(|step| step.action);
        Self { steps }
    }

    /// The same, with these services replaced too, for a reason that is not in their settings: a
    /// file that they read has changed.
    pub fn replacing<'s>(
        mut self,
        services: impl IntoIterator<Item = &'s ServiceSpec>,
        because: &str,
    ) -> Self {
        for spec in services {
            let found = self.steps.iter_mut().find(|step| step.service == spec.name);
            match found {
                Some(step) if step.action == PlanAction::Reconfigure => {
                    step.action = replacement(spec, spec);
                    step.because.push(because.to_owned());
                }
                Some(step) => step.because.push(because.to_owned()),
                None => {
                    let action = replacement(spec, spec);
                    let because = vec![because.to_owned()];
                    self.steps.push(step(spec.name.clone(), action, because));
                }
            }
        }
        self.steps.sort_by_key(|step| step.action);
        self
    }

    /// The steps, in their order.
    pub fn steps(&self) -> &[PlanStep] {
        &self.steps
    }

    /// True if nothing changes.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The services that get another process.
    pub fn replaced(&self) -> impl Iterator<Item = &ServiceId> {
        let replaced =
            |step: &&PlanStep| matches!(step.action, PlanAction::Replace | PlanAction::Restart);
        self.steps.iter().filter(replaced).map(|step| &step.service)
    }
}

fn step(service: ServiceId, action: PlanAction, because: Vec<String>) -> PlanStep {
    PlanStep {
        service,
        action,
        because,
    }
}

fn changed(before: &ServiceSpec, after: &ServiceSpec) -> Option<PlanStep> {
    // Every key, and whether the process has to be another for it; `fingerprint` is of the latter.
    let keys = [
        ("command", before.command != after.command),
        ("host", before.host != after.host),
        ("port", before.port != after.port),
        ("overlap", before.overlap != after.overlap),
        ("logs.mode", before.logs.mode != after.logs.mode),
        ("logs", before.logs != after.logs),
        (
            "on_port_conflict",
            before.on_port_conflict != after.on_port_conflict,
        ),
        ("restart", before.restart != after.restart),
        ("start_timeout", before.start_timeout != after.start_timeout),
        ("readiness", before.readiness != after.readiness),
        ("liveness", before.liveness != after.liveness),
        ("stop", before.stop != after.stop),
        ("depends_on", before.depends_on != after.depends_on),
        (
            "on_supervisor_exit",
            before.on_supervisor_exit != after.on_supervisor_exit,
        ),
    ];
    let names = keys.iter().filter(|(_, differs)| *differs);
    let because: Vec<String> = names.map(|(name, _)| (*name).to_owned()).collect();
    let action = match before.fingerprint() == after.fingerprint() {
        true if because.is_empty() => return None,
        true => PlanAction::Reconfigure,
        false => replacement(before, after),
    };
    Some(step(after.name.clone(), action, because))
}

fn replacement(before: &ServiceSpec, after: &ServiceSpec) -> PlanAction {
    let same = (&before.host, before.port) == (&after.host, after.port);
    match same && before.overlap == after.overlap && after.overlap != Overlap::Never {
        true => PlanAction::Replace,
        false => PlanAction::Restart,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let action = match step.action {
                PlanAction::Stop => "stop",
                PlanAction::Replace => "replace",
                PlanAction::Restart => "restart",
                PlanAction::Reconfigure => "adjust",
                PlanAction::Start => "start",
            };
            write!(f, "{action:<8} {}", step.service)?;
            match step.because.as_slice() {
                [] => writeln!(f)?,
                because => writeln!(f, "  ({})", because.join(", "))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn services(specs: Vec<ServiceSpec>) -> Services {
        Services::new(specs).unwrap()
    }

    #[test]
    fn a_plan_says_what_becomes_of_whom_and_why() {
        let mut litellm = ServiceSpec::new("litellm", ["litellm"]).with_port(4000);
        litellm.overlap = Overlap::Forward;
        let old = services(vec![
            litellm.clone(),
            ServiceSpec::new("db", ["db"]),
            ServiceSpec::new("same", ["same"]),
            ServiceSpec::new("old", ["old"]).needs("older"),
            ServiceSpec::new("older", ["older"]),
        ]);
        litellm.command.args.push("--debug".to_owned());
        let mut db = ServiceSpec::new("db", ["db"]);
        db.stop.timeout = Duration::from_secs(1);
        let new = services(vec![
            litellm,
            db,
            ServiceSpec::new("same", ["same"]),
            ServiceSpec::new("app", ["app"]).needs("web"),
            ServiceSpec::new("web", ["web"]),
        ]);
        let plan = Plan::between(&old, &new);
        let same = new.get("same").unwrap();
        let plan = plan.replacing([&**same], "a file it reads");
        assert_eq!(
            plan.to_string(),
            "stop     old
stop     older
replace  litellm  (command)
restart  same  (a file it reads)
adjust   db  (stop)
start    web
start    app
"
        );
    }

    #[test]
    fn every_key_of_a_spec_is_seen() {
        let plain = ServiceSpec::new("a", ["a"]).with_port(1);
        let changes: [fn(&mut ServiceSpec); 12] = [
            |a| a.command.inherit_env = false,
            |a| a.host = "0.0.0.0".to_owned(),
            |a| a.port = None,
            |a| a.on_port_conflict = super::super::super::OnPortConflict::Fail,
            |a| a.overlap = Overlap::Socket,
            |a| a.restart.give_up = true,
            |a| a.start_timeout = Duration::ZERO,
            |a| a.readiness.verify_owner = false,
            |a| a.stop.orphan_grace = Duration::ZERO,
            |a| a.depends_on = vec![],
            |a| a.logs.keep = 1,
            |a| a.on_supervisor_exit = super::super::super::OnSupervisorExit::Leave,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut other = plain.clone();
            change(&mut other);
            let (old, new) = (services(vec![plain.clone()]), services(vec![other.clone()]));
            let plan = Plan::between(&old, &new);
            assert_eq!(plan.is_empty(), other == plain, "{index}");
            assert!(plan.steps().iter().all(|step| !step.because.is_empty()));
        }
    }
}
