//! Which service needs which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::spec::{ServiceId, ServiceSpec};
use crate::diagnostic::nearest;

/// Services that fit together: each name once, every dependency there, none that leads back to
/// where it started.
///
/// ```
/// use flowgate_core::supervise::{ServiceSpec, Services};
///
/// let services = Services::new(vec![
///     ServiceSpec::new("app", ["app"]).needs("db"),
///     ServiceSpec::new("db", ["db"]),
/// ])?;
/// let order: Vec<Vec<&str>> = services.start_order();
/// assert_eq!(order, [["db"], ["app"]]);
/// # Ok::<(), flowgate_core::supervise::GraphError>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Services {
    specs: BTreeMap<ServiceId, Arc<ServiceSpec>>,
}

/// Why services do not fit together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Two have the same name.
    #[error("there are two services `{name}`; give each a name of its own")]
    Duplicate {
        /// The name.
        name: ServiceId,
    },
    /// A service has no program.
    #[error("the service `{name}` has no command; write the program first, then its arguments")]
    NoCommand {
        /// The service.
        name: ServiceId,
    },
    /// A service needs one that is not there.
    #[error("`{name}` depends on `{dependency}`, and there is no such service{}", suggestion.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// The service.
        name: ServiceId,
        /// What it needs.
        dependency: ServiceId,
        /// The nearest name there is.
        suggestion: Option<ServiceId>,
    },
    /// Services wait for each other.
    #[error("these services wait for each other: {}; remove one of the dependencies", path.iter().map(ServiceId::as_str).collect::<Vec<_>>().join(" → "))]
    Cycle {
        /// From one service round to itself.
        path: Vec<ServiceId>,
    },
}

impl GraphError {
    /// The stable name of this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Duplicate { .. } => "supervise.duplicate_service",
            Self::NoCommand { .. } => "supervise.no_command",
            Self::Unknown { .. } => "supervise.unknown_service",
            Self::Cycle { .. } => "supervise.dependency_cycle",
        }
    }
}

impl Services {
    /// Checks that the services fit together.
    ///
    /// # Errors
    ///
    /// [`GraphError`] with the first thing that does not.
    pub fn new(specs: Vec<ServiceSpec>) -> Result<Self, GraphError> {
        let mut services = Self::default();
        for spec in specs {
            let name = spec.name.clone();
            if spec.command.args.is_empty() {
                return Err(GraphError::NoCommand { name });
            }
            if services.specs.contains_key(&name) {
                return Err(GraphError::Duplicate { name });
            }
            services.specs.insert(name, Arc::new(spec));
        }
        services.check_names()?;
        match services.waves().1 {
            waiting if waiting.is_empty() => Ok(services),
            waiting => Err(services.cycle(&waiting)),
        }
    }

    fn check_names(&self) -> Result<(), GraphError> {
        for spec in self.iter() {
            for needed in &spec.depends_on {
                if !self.specs.contains_key(&needed.service) {
                    let names = self.specs.keys().map(ServiceId::as_str);
                    return Err(GraphError::Unknown {
                        name: spec.name.clone(),
                        dependency: needed.service.clone(),
                        suggestion: nearest(needed.service.as_str(), names).map(ServiceId::from),
                    });
                }
            }
        }
        Ok(())
    }

    /// The service of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<ServiceSpec>> {
        self.specs.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ServiceSpec>> {
        self.specs.values()
    }

    /// These and some more. What the others need may be missing; they are on their way out.
    pub(super) fn and<'s>(&self, others: impl Iterator<Item = &'s Arc<ServiceSpec>>) -> Self {
        let mut all = self.clone();
        let others = others.map(|spec| (spec.name.clone(), Arc::clone(spec)));
        all.specs.extend(others);
        all
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// The services in waves: each can be started when those before it are up. Stopping goes the
    /// other way.
    pub fn start_order(&self) -> Vec<Vec<&str>> {
        self.waves().0
    }

    /// The waves, and those that are in none because they wait for each other.
    fn waves(&self) -> (Vec<Vec<&str>>, BTreeSet<&str>) {
        let mut waiting: BTreeSet<&str> = self.specs.keys().map(ServiceId::as_str).collect();
        let mut waves = Vec::new();
        loop {
            let is_free = |name: &&str| {
                let spec = self.specs.get(*name);
                let mut needed = spec.iter().flat_map(|spec| &spec.depends_on);
                !needed.any(|needed| waiting.contains(needed.service.as_str()))
            };
            let wave: Vec<&str> = waiting.iter().copied().filter(is_free).collect();
            if wave.is_empty() {
                return (waves, waiting);
            }
            waiting.retain(|name| !wave.contains(name));
            waves.push(wave);
        }
    }

    /// Each of the waiting needs one that waits: following them comes round.
    fn cycle(&self, waiting: &BTreeSet<&str>) -> GraphError {
        let next = |name: &str| {
            let needed = self.specs.get(name)?.depends_on.iter();
            let mut names = needed.map(|needed| &needed.service);
            names
                .find(|name| waiting.contains(name.as_str()))
                .map(ServiceId::as_str)
        };
        let mut trail: Vec<&str> = Vec::new();
        let mut at = waiting.first().copied();
        while let Some(name) = at {
            if let Some(start) = trail.iter().position(|seen| *seen == name) {
                trail.drain(..start);
                trail.push(name);
                break;
            }
            trail.push(name);
            at = next(name);
        }
        GraphError::Cycle {
            path: trail.into_iter().map(ServiceId::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, needs: &[&str]) -> ServiceSpec {
        let spec = ServiceSpec::new(name, [name]);
        needs.iter().fold(spec, |spec, needed| spec.needs(*needed))
    }

    #[test]
    fn what_does_not_fit_is_named_with_a_way_out() {
        let error = |specs| Services::new(specs).unwrap_err().to_string();
        assert_eq!(
            error(vec![
                spec("a", &["b"]),
                spec("b", &["c"]),
                spec("c", &["b"])
            ]),
            "these services wait for each other: b → c → b; remove one of the dependencies"
        );
        assert_eq!(
            error(vec![spec("a", &["a"])]),
            "these services wait for each other: a → a; remove one of the dependencies"
        );
        assert_eq!(
            error(vec![spec("litellm", &[]), spec("b", &["litelm"])]),
            "`b` depends on `litelm`, and there is no such service; did you mean `litellm`?"
        );
        assert!(error(vec![spec("a", &[]), spec("a", &[])]).contains("two services"));
        let empty = ServiceSpec::new("a", Vec::<String>::new());
        assert!(error(vec![empty]).contains("no command"));
    }

    #[test]
    fn what_needs_nothing_of_each_other_starts_together() {
        let services = Services::new(vec![
            spec("d", &["b", "c"]),
            spec("b", &["a"]),
            spec("c", &["a"]),
            spec("a", &[]),
        ])
        .unwrap();
        assert_eq!(
            services.start_order(),
            [vec!["a"], vec!["b", "c"], vec!["d"]]
        );
    }
}
