//! What people and programs are told: the log of a supervisor, which says where every service
//! stands to whoever reads it from the beginning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{ExitStatus, Owner, Purpose, SpawnError};
use super::spec::{Gen, ServiceId};
use super::state::{PublicState, Why};
use crate::event::{Event, Level, Record};

/// Something worth knowing about a service.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Notice {
    /// The service.
    pub service: ServiceId,
    /// The process it is about, or the last one.
    pub generation: Gen,
    /// What.
    pub what: What,
}

/// What there is to know.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The service is new.
    Added,
    /// The service is no more.
    Removed,
    /// It stands elsewhere now.
    State {
        /// Where it stood.
        from: PublicState,
        /// Where it stands.
        to: PublicState,
    },
    /// It waits for these.
    WaitingFor {
        /// Other services.
        services: Vec<ServiceId>,
    },
    /// Another process has its port.
    PortBusy {
        /// The port.
        port: u16,
        /// Who.
        owner: Option<Owner>,
    },
    /// Its process runs.
    Spawned {
        /// The number of the process.
        pid: u32,
    },
    /// Its process could not be started.
    SpawnFailed {
        /// Why.
        error: SpawnError,
    },
    /// It is ready.
    Ready {
        /// How long after its start.
        after_ms: u64,
    },
    /// It is not well.
    ProbeFailed {
        /// What was asked.
        purpose: Purpose,
        /// What is wrong.
        why: String,
    },
    /// It is well again.
    Recovered,
    /// It is being stopped.
    Stopping {
        /// Why.
        why: Why,
    },
    /// Its process ended.
    Exited {
        /// How.
        status: ExitStatus,
        /// Whether that was to be.
        expected: bool,
    },
    /// Nothing is left of its process, nor of what came from that.
    Gone,
    /// It does not end, and is killed.
    Killing,
    /// Processes of it that are still there.
    StillThere {
        /// Which.
        processes: Vec<Owner>,
    },
    /// It will be started again.
    Backoff {
        /// The number of the attempt since it was last well.
        attempt: u32,
        /// In how many milliseconds.
        delay_ms: u64,
    },
    /// It ended too often in too short a time.
    CrashLoop {
        /// How many restarts there were.
        restarts: u32,
        /// In how many milliseconds it is tried again.
        retry_ms: Option<u64>,
        /// The last lines it wrote.
        last_lines: Vec<String>,
    },
    /// Its new process took over from the old one.
    HandedOver {
        /// The generation of the old one.
        from: Gen,
    },
    /// Its new process did not become ready, and the old one stays.
    RolledBack {
        /// Why, in words.
        why: String,
    },
    /// A process of an earlier supervisor was taken over.
    Adopted {
        /// Its number.
        pid: u32,
    },
    /// An earlier supervisor left a record of a process that is not there any more.
    StaleRecord {
        /// How that is known.
        why: String,
    },
    /// It goes on without its supervisor.
    LeftRunning,
    /// Its settings changed, without a restart.
    Reconfigured,
}

impl What {
    /// The name of the record, such as `service.exited`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Added => "service.added",
            Self::Removed => "service.removed",
            Self::State { .. } => "service.state",
            Self::WaitingFor { .. } => "service.waiting",
            Self::PortBusy { .. } => "service.port_busy",
            Self::Spawned { .. } => "service.spawned",
            Self::SpawnFailed { .. } => "service.spawn_failed",
            Self::Ready { .. } => "service.ready",
            Self::ProbeFailed { .. } => "service.probe_failed",
            Self::Recovered => "service.recovered",
            Self::Stopping { .. } => "service.stopping",
            Self::Exited { .. } => "service.exited",
            Self::Gone => "service.gone",
            Self::Killing => "service.killing",
            Self::StillThere { .. } => "service.stop_waiting",
            Self::Backoff { .. } => "service.backoff",
            Self::CrashLoop { .. } => "service.crash_loop",
            Self::HandedOver { .. } => "service.handed_over",
            Self::RolledBack { .. } => "service.rolled_back",
            Self::Adopted { .. } => "service.adopted",
            Self::StaleRecord { .. } => "service.stale_record",
            Self::LeftRunning => "service.left_running",
            Self::Reconfigured => "service.reconfigured",
        }
    }
}

impl What {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::CrashLoop { .. }
            | Self::SpawnFailed { .. }
            | Self::State {
                to: PublicState::Error,
                ..
            } => Level::Error,
            Self::Backoff { .. }
            | Self::Exited {
                expected: false, ..
            }
            | Self::Killing
            | Self::PortBusy { .. }
            | Self::RolledBack { .. }
            | Self::StaleRecord { .. }
            | Self::StillThere { .. } => Level::Warn,
            Self::ProbeFailed { purpose, .. } => match purpose {
                Purpose::Readiness => Level::Debug,
                Purpose::Liveness => Level::Warn,
            },
            _ => Level::Info,
        }
    }
}

/// Where every service stands after these notices, from the first one of a supervisor on.
///
/// ```
/// use flowgate_core::supervise::{
///     Action, PublicState, ServiceSpec, Services, Supervisor, fold,
/// };
///
/// let mut actions = Vec::new();
/// let services = Services::new(vec![ServiceSpec::new("web", ["web"])])?;
/// Supervisor::new(services, 0, &mut actions);
/// let notices = actions.iter().filter_map(|action| match action {
///     Action::Emit(notice) => Some(notice),
///     _ => None,
/// });
/// assert_eq!(fold(notices)["web"], PublicState::Stopped);
/// # Ok::<(), flowgate_core::supervise::GraphError>(())
/// ```
pub fn fold<'n>(notices: impl IntoIterator<Item = &'n Notice>) -> BTreeMap<ServiceId, PublicState> {
    let mut states = BTreeMap::new();
    for notice in notices {
        let service = notice.service.clone();
        match notice.what {
            What::Added => {
                states.insert(service, PublicState::Stopped);
            }
            What::State { to, .. } => {
                states.insert(service, to);
            }
            What::Removed => {
                states.remove(&service);
            }
            _ => {}
        }
    }
    states
}

impl From<&Notice> for Event {
    fn from(notice: &Notice) -> Self {
        let mut event = Self::new(
            notice.what.name(),
            notice.what.level(),
            notice.service.as_str(),
        );
        // A unit variant is its name, and any other a mapping of its name to its fields.
        if let Ok(Value::Object(what)) = serde_json::to_value(&notice.what)
            && let Some((_, Value::Object(fields))) = what.into_iter().next()
        {
            event.data = fields;
        }
        event.with("generation", notice.generation)
    }
}

impl Notice {
    /// The notice that a record is of; `None` if it is of something else.
    ///
    /// ```
    /// use flowgate_core::event::Event;
    /// use flowgate_core::supervise::{Notice, What};
    ///
    /// let what = What::Spawned { pid: 7 };
    /// let notice = Notice { service: "web".into(), generation: 1, what };
    /// let record = Event::from(&notice).stamp(0, 1);
    /// assert_eq!(Notice::of(&record), Some(notice));
    /// ```
    pub fn of(record: &Record) -> Option<Self> {
        let what = match record.event.strip_prefix("service.")? {
            "waiting" => "waiting_for",
            "stop_waiting" => "still_there",
            what => what,
        };
        let mut fields = record.data.clone();
        let generation = fields.remove("generation")?.as_u64()?;
        let what = match fields.is_empty() {
            true => Value::from(what),
            false => Value::Object(
                [(what.to_owned(), Value::Object(fields))]
                    .into_iter()
                    .collect(),
            ),
        };
        Some(Self {
            service: record.subject.as_str().into(),
            generation,
            what: serde_json::from_value(what).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_notice_that_it_was_made_of() {
        let all = [
            What::WaitingFor {
                services: vec!["db".into()],
            },
            What::StillThere {
                processes: vec![Owner {
                    pid: 1,
                    name: "x".to_owned(),
                }],
            },
            What::State {
                from: PublicState::Starting,
                to: PublicState::Running,
            },
            What::ProbeFailed {
                purpose: Purpose::Liveness,
                why: "no".to_owned(),
            },
            What::CrashLoop {
                restarts: 3,
                retry_ms: None,
                last_lines: Vec::new(),
            },
            What::Stopping { why: Why::Command },
            What::Gone,
            What::Recovered,
        ];
        for what in all {
            let notice = Notice {
                service: "web".into(),
                generation: 3,
                what,
            };
            let record = Event::from(&notice).stamp(0, 1);
            assert_eq!(Notice::of(&record), Some(notice));
        }
        let other = Event::new("profile.switched", Level::Info, "cost").stamp(0, 1);
        assert_eq!(Notice::of(&other), None);
    }

    #[test]
    fn a_notice_is_an_event_with_its_fields() {
        let notice = Notice {
            service: "web".into(),
            generation: 3,
            what: What::Exited {
                status: ExitStatus::Code(1),
                expected: false,
            },
        };
        let line = Event::from(&notice).stamp(0, 1).line();
        let expected = "\"event\":\"service.exited\",\"level\":\"warn\",\"subject\":\"web\",\
             \"data\":{\"status\":{\"code\":1},\"expected\":false,\"generation\":3}}\n";
        assert!(line.ends_with(expected), "{line}");
        let what = What::Recovered;
        let line = Event::from(&Notice { what, ..notice }).stamp(0, 1).line();
        assert!(line.contains("\"data\":{\"generation\":3}"), "{line}");
    }
}
