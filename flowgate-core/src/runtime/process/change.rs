//! A change of the configuration, carried out while the services run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::sleep_until;

use super::Error;
use super::dir::RuntimeDir;
use super::supervisor::{Handle, Heard};
use crate::Timestamp;
use crate::runtime::activate::{LOCK_TIMEOUT, activation, lock};
use crate::runtime::change::is_under_way;
use crate::runtime::{
    ChangeFiles, Repaired, active_profile, load, repair_change, resolve, services,
};
use crate::supervise::{
    Apply, ApplyAction, ApplyEvent, Limits, Millis, Outcome, Plan, Proposal, ServiceId,
    ServiceSpec, Services, Want,
};

/// What a configuration is to become.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// What its file says now, with the profile that is active.
    Reload,
    /// What its file says now, with this profile.
    Profile(String),
}

impl Handle {
    /// Makes the services be what a configuration file says, with the files they read: all of it,
    /// or everything stays as it is and the outcome says why. Services that overlap serve all the
    /// while, and those that nothing changes for are not touched.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if another change of the same directory does not end.
    pub async fn change(
        &self,
        file: &Path,
        change: Change,
        limits: Limits,
    ) -> Result<Outcome, Error> {
        let dir = self.dir().path().to_owned();
        // Another change, also one by a process that knows no supervisor, is kept out meanwhile.
        let held = blocking(move || Ok(lock(&dir, LOCK_TIMEOUT)?)).await?;
        let composed = compose(self, file, change).await;
        let outcome = apply(self, limits, composed.map_err(|error| error.to_string())).await;
        drop(held);
        Ok(outcome)
    }

    /// What [`change`](Self::change) would mean for the services.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with what is wrong in the file.
    pub async fn plan(&self, file: &Path, change: Change) -> Result<Plan, Error> {
        let (proposal, _) = compose(self, file, change).await?;
        let readers = proposal.readers.iter();
        let readers = readers.filter_map(|id| proposal.new.get(id.as_str()));
        let readers: Vec<&ServiceSpec> = readers.map(|spec| &**spec).collect();
        let plan = Plan::between(&proposal.old, &proposal.new);
        Ok(plan.replacing(readers, "a file that it reads changes"))
    }
}

/// Puts right what a crash in the middle of a change has left. Whoever calls this has the lock of the
/// supervisor.
pub(super) async fn repair(dir: &RuntimeDir) -> Result<Option<Repaired>, Error> {
    let dir = dir.path().to_owned();
    if !is_under_way(&dir) {
        return Ok(None);
    }
    blocking(move || {
        let _held = lock(&dir, LOCK_TIMEOUT)?;
        Ok(repair_change(&dir)?)
    })
    .await
}

async fn compose(
    handle: &Handle,
    file: &Path,
    change: Change,
) -> Result<(Proposal, ChangeFiles), Error> {
    let now = Now::of(handle).await;
    let (file, dir) = (file.to_owned(), handle.dir().path().to_owned());
    blocking(move || propose(&file, &dir, change, now)).await
}

/// Reads the file, and fetches the secrets that its profile needs.
fn propose(
    file: &Path,
    dir: &Path,
    change: Change,
    now: Now,
) -> Result<(Proposal, ChangeFiles), Error> {
    let config = resolve(&load(file)?)?;
    let new = services(&config).map_err(Error::Services)?;
    let profile = match change {
        Change::Profile(name) => Some(name),
        Change::Reload => active_profile(&config)?.map(|state| state.current_profile),
    };
    let mut planned = Vec::new();
    if let Some(profile) = &profile {
        planned.extend(activation(&config, profile, moment())?);
    }
    let active = config.settings().paths.active_config();
    let written = std::fs::read_to_string(&active).ok();
    let changed = planned
        .first()
        .is_some_and(|file| Some(&file.content) != written.as_ref());
    let readers = new.iter().filter(|spec| changed && reads(spec, &active));
    let files = ChangeFiles::new(dir, planned);
    let proposal = Proposal {
        what: profile.map_or("the configuration".to_owned(), |name| {
            format!("profile {name}")
        }),
        files: files.paths(),
        old: now.services,
        running: now.running,
        readers: readers.map(|spec| spec.name.clone()).collect(),
        new,
    };
    Ok((proposal, files))
}

/// Files and programs that are waited for are not waited for on the supervisor's thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Error::Io {
            what: "change",
            path: PathBuf::from("."),
            reason: error.to_string(),
        })
    })
}

fn moment() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

/// What a change starts from: the services as they are, and those of them that shall run.
struct Now {
    services: Services,
    running: BTreeSet<ServiceId>,
}

impl Now {
    async fn of(handle: &Handle) -> Self {
        let status = handle.standing().await.into_iter();
        let running = status.filter(|status| status.want == Want::Up);
        Self {
            // They fit together, since a supervisor has them.
            services: Services::new(handle.specs().await).unwrap_or_default(),
            running: running.map(|status| status.name).collect(),
        }
    }
}

/// Makes a change whole, or not at all.
async fn apply(
    handle: &Handle,
    limits: Limits,
    composed: Result<(Proposal, ChangeFiles), String>,
) -> Outcome {
    let begun = Instant::now();
    let now = || Millis::try_from(begun.elapsed().as_millis()).unwrap_or(Millis::MAX);
    // Listened to before the first command, so that nothing is missed.
    let mut events = handle.events();
    let mut actions = Vec::new();
    let mut apply = Apply::begin(limits, &mut actions);
    let (mut proposal, files) = match composed {
        Ok((proposal, files)) => (Ok(Some(proposal)), Some(files)),
        Err(why) => (Err(why), None),
    };
    loop {
        let mut next = Vec::new();
        for action in std::mem::take(&mut actions) {
            match action {
                ApplyAction::Compose => {
                    let event = match &mut proposal {
                        Ok(proposal) => ApplyEvent::Composed(proposal.take().unwrap_or_default()),
                        Err(why) => ApplyEvent::NotComposed { why: why.clone() },
                    };
                    apply.step(now(), event, &mut next);
                }
                ApplyAction::Files(steps) => {
                    let taken = files.as_ref().map_or(Ok(()), |files| files.take(&steps));
                    let event = match taken {
                        Ok(()) => ApplyEvent::FilesDone,
                        Err(error) => ApplyEvent::FilesFailed {
                            why: error.to_string(),
                        },
                    };
                    apply.step(now(), event, &mut next);
                }
                ApplyAction::Command(command) => handle.command(command),
                ApplyAction::Finished(outcome) => return outcome,
            }
        }
        actions = next;
        if !actions.is_empty() {
            continue;
        }
        let deadline = apply.next_deadline();
        let tick = async {
            match deadline {
                Some(at) => sleep_until((begun + Duration::from_millis(at)).into()).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            heard = events.next() => match heard {
                Some(Heard::Notice(notice)) => ApplyEvent::Notice(notice.as_ref().clone()),
                // What was missed shows when the time is up.
                Some(Heard::Lagged(_)) => continue,
                None => return ended(),
            },
            () = tick => ApplyEvent::Tick,
        };
        apply.step(now(), event, &mut actions);
    }
}

fn ended() -> Outcome {
    Outcome::RolledBack {
        why: "the supervisor ended meanwhile".to_owned(),
        left: Some("the next start puts the files back".to_owned()),
    }
}

/// Whether a service is started with this path: then it reads the file, and has to be replaced when
/// that changes.
fn reads(spec: &ServiceSpec, path: &str) -> bool {
    let args = spec.command.args.iter();
    let mut texts = args.chain(spec.command.env.values());
    texts.any(|text| text.contains(path))
}
