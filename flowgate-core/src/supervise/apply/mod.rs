//! One change of the configuration, made whole or not at all.
//!
//! compose → stage → place → start → soak → commit, or put everything back and say why. What has
//! to survive a crash is in the [`Journal`], and [`Journal::repair`] says what the next start does
//! about one that it finds.

mod journal;
mod plan;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

pub use self::journal::{Journal, JournalPhase, Repair};
pub use self::plan::{Plan, PlanAction, PlanStep};
pub use self::terms::{ApplyAction, ApplyEvent, FileStep, Limits, Outcome, Proposal};
use super::event::{Command, Selection};
use super::graph::Services;
use super::notice::{Notice, What};
use super::spec::ServiceId;
use super::state::PublicState;
use super::{Millis, millis};

/// A change under way.
///
/// # Example
///
/// ```
/// use flowgate_core::supervise::{Apply, ApplyAction, ApplyEvent, Limits, Outcome, Proposal};
///
/// let mut actions = Vec::new();
/// let mut apply = Apply::begin(Limits::default(), &mut actions);
/// assert_eq!(actions, [ApplyAction::Compose]);
/// actions.clear();
/// let why = "there is no profile `fast`".to_owned();
/// apply.step(0, ApplyEvent::NotComposed { why: why.clone() }, &mut actions);
/// let left = None;
/// assert_eq!(actions, [ApplyAction::Finished(Outcome::RolledBack { why, left })]);
/// ```
#[derive(Clone, Debug)]
pub struct Apply {
    limits: Limits,
    proposal: Proposal,
    plan: Plan,
    state: Step,
    /// The services that get another process, and how far that is.
    touched: BTreeMap<ServiceId, Progress>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Composing,
    Staging,
    Placing,
    /// The services are on their way; until then.
    Starting(Millis),
    /// They are ready; so they must stay until then.
    Soaking(Millis),
    /// The decision is written down.
    Deciding,
    /// What stood beside the files is removed.
    Committing,
    /// The files are put back.
    Restoring {
        why: String,
    },
    /// The services are on their way back; until then.
    Returning {
        why: String,
        until: Millis,
    },
    /// What was staged is removed.
    Discarding {
        why: String,
    },
    Done,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Pending,
    Ready,
    /// Its old process never stopped.
    Kept,
}

impl Apply {
    /// Begins a change.
    pub fn begin(limits: Limits, out: &mut Vec<ApplyAction>) -> Self {
        out.push(ApplyAction::Compose);
        Self {
            limits,
            proposal: Proposal::default(),
            plan: Plan::default(),
            state: Step::Composing,
            touched: BTreeMap::new(),
        }
    }

    /// Takes notice of an event, and adds what is to be done about it to `out`, in order.
    pub fn step(&mut self, now: Millis, event: ApplyEvent, out: &mut Vec<ApplyAction>) {
        match (&self.state, event) {
            (Step::Composing, ApplyEvent::Composed(proposal)) => self.composed(now, proposal, out),
            (Step::Composing, ApplyEvent::NotComposed { why }) => self.finish_back(why, None, out),
            (Step::Composing, ApplyEvent::Cancel) => {
                self.finish_back("it was cancelled".to_owned(), None, out);
            }
            (Step::Staging, ApplyEvent::FilesDone) => self.place(out),
            (Step::Staging, ApplyEvent::FilesFailed { why }) => self.discard(why, out),
            (Step::Placing, ApplyEvent::FilesDone) => self.start(now, out),
            (Step::Placing, ApplyEvent::FilesFailed { why }) => self.roll_back(why, out),
            (Step::Deciding, ApplyEvent::FilesDone) => self.decided(out),
            (Step::Deciding, ApplyEvent::FilesFailed { why }) => self.roll_back(why, out),
            (Step::Committing, ApplyEvent::FilesDone | ApplyEvent::FilesFailed { .. }) => {
                // The decision is in the journal: what could not be removed, the next start removes.
                self.finish(out);
            }
            (Step::Restoring { .. }, ApplyEvent::FilesDone) => self.restored(now, None, out),
            (Step::Restoring { .. }, ApplyEvent::FilesFailed { why }) => {
                self.restored(now, Some(why), out);
            }
            (Step::Discarding { why }, ApplyEvent::FilesDone) => {
                self.finish_back(why.clone(), None, out);
            }
            (Step::Discarding { why }, ApplyEvent::FilesFailed { why: left }) => {
                self.finish_back(why.clone(), Some(left), out);
            }
            (Step::Starting(_) | Step::Soaking(_), ApplyEvent::Cancel) => {
                self.roll_back("it was cancelled".to_owned(), out);
            }
            (_, ApplyEvent::Notice(notice)) => self.heard(now, &notice, out),
            (_, ApplyEvent::Tick) => self.tick(now, out),
            _ => {}
        }
    }

    /// When to step with [`ApplyEvent::Tick`] though nothing else has happened.
    pub fn next_deadline(&self) -> Option<Millis> {
        match &self.state {
            Step::Starting(until) | Step::Soaking(until) | Step::Returning { until, .. } => {
                Some(*until)
            }
            _ => None,
        }
    }

    /// True when it has ended.
    pub fn is_finished(&self) -> bool {
        self.state == Step::Done
    }

    /// What it means for the services; known once it is composed.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    // Forward.

    fn composed(&mut self, now: Millis, proposal: Proposal, out: &mut Vec<ApplyAction>) {
        let readers = proposal.readers.intersection(&proposal.running);
        let readers = readers.filter_map(|id| proposal.new.get(id.as_str()));
        let readers: Vec<_> = readers.map(|spec| &**spec).collect();
        self.plan = Plan::between(&proposal.old, &proposal.new)
            .replacing(readers, "a file that it reads changes");
        self.proposal = proposal;
        if self.proposal.files.is_empty() {
            return self.start(now, out);
        }
        self.state = Step::Staging;
        let journal = self.journal(JournalPhase::Staging);
        out.push(ApplyAction::Files(vec![
            FileStep::WriteJournal(journal),
            FileStep::Stage,
        ]));
    }

    fn journal(&self, phase: JournalPhase) -> Journal {
        Journal {
            what: self.proposal.what.clone(),
            phase,
            files: self.proposal.files.clone(),
            services: self.plan.replaced().cloned().collect(),
        }
    }

    fn place(&mut self, out: &mut Vec<ApplyAction>) {
        self.state = Step::Placing;
        let journal = self.journal(JournalPhase::Placing);
        out.push(ApplyAction::Files(vec![
            FileStep::WriteJournal(journal),
            FileStep::Place,
        ]));
    }

    fn start(&mut self, now: Millis, out: &mut Vec<ApplyAction>) {
        let services = self.plan.steps().iter();
        let services = services.filter(|step| match step.action {
            PlanAction::Start => true,
            PlanAction::Replace | PlanAction::Restart => {
                self.proposal.running.contains(&step.service)
            }
            PlanAction::Stop | PlanAction::Reconfigure => false,
        });
        self.touched = services
            .map(|step| (step.service.clone(), Progress::Pending))
            .collect();
        self.state = Step::Starting(now + self.longest());
        if self.proposal.old != self.proposal.new {
            out.push(ApplyAction::Command(Command::Apply(self.together())));
        }
        self.restart_readers(out, |_| true);
        self.all_ready(now, out);
    }

    /// How long to wait for all of them: no shorter than the slowest may take by its own settings.
    fn longest(&self) -> Millis {
        let (old, new) = (&self.proposal.old, &self.proposal.new);
        let specs = self.touched.keys().flat_map(|id| {
            let id = id.as_str();
            [old.get(id), new.get(id)]
        });
        let own = specs.flatten().map(|spec| {
            let drain = spec.drain_when_replaced();
            let drain = drain.map_or(0, |drain| millis(drain.timeout));
            let stop = drain + millis(spec.stop.timeout) + millis(spec.stop.orphan_grace);
            // The kill, and some time for the answers.
            millis(spec.start_timeout) + stop + 5_000
        });
        own.max().unwrap_or(0).max(millis(self.limits.ready))
    }

    /// The new services, and the old ones that are to go: they go when it is sure that they may. One
    /// whose port is needed has to go at once.
    fn together(&self) -> Services {
        let (old, new) = (&self.proposal.old, &self.proposal.new);
        let port_needed =
            |port: Option<u16>| port.is_some() && new.iter().any(|spec| spec.port == port);
        let gone = old
            .iter()
            .filter(|spec| new.get(spec.name.as_str()).is_none() && !port_needed(spec.port));
        new.and(gone)
    }

    /// The readers whose settings stay need to be told that they are to be replaced.
    fn restart_readers(&self, out: &mut Vec<ApplyAction>, which: impl Fn(&ServiceId) -> bool) {
        let (old, new) = (&self.proposal.old, &self.proposal.new);
        let same = |id: &&ServiceId| {
            let (old, new) = (old.get(id.as_str()), new.get(id.as_str()));
            let fingerprints = old
                .zip(new)
                .map(|(old, new)| old.fingerprint() == new.fingerprint());
            fingerprints == Some(true)
        };
        let readers = self.proposal.readers.intersection(&self.proposal.running);
        let readers: Vec<ServiceId> = readers
            .filter(same)
            .filter(|id| which(id))
            .cloned()
            .collect();
        if !readers.is_empty() {
            let command = Command::Restart(Selection::Named(readers));
            out.push(ApplyAction::Command(command));
        }
    }

    fn heard(&mut self, now: Millis, notice: &Notice, out: &mut Vec<ApplyAction>) {
        let Some(progress) = self.touched.get_mut(&notice.service) else {
            return;
        };
        match (&self.state, &notice.what) {
            (Step::Starting(_) | Step::Returning { .. }, What::Ready { .. }) => {
                *progress = Progress::Ready;
                self.all_ready(now, out);
            }
            (Step::Starting(_), What::RolledBack { why }) => {
                *progress = Progress::Kept;
                let why = format!("`{}`: {why}", notice.service);
                self.roll_back(why, out);
            }
            (Step::Starting(_) | Step::Soaking(_), what) => {
                if let Some(why) = failure(what) {
                    let why = format!("`{}` {why}", notice.service);
                    self.roll_back(why, out);
                }
            }
            _ => {}
        }
    }

    fn all_ready(&mut self, now: Millis, out: &mut Vec<ApplyAction>) {
        let ready = |progress: &Progress| *progress != Progress::Pending;
        if !self.touched.values().all(ready) {
            return;
        }
        match &self.state {
            // Nothing runs that could fail.
            Step::Starting(_) if self.touched.is_empty() => self.commit(out),
            Step::Starting(_) => self.state = Step::Soaking(now + millis(self.limits.soak)),
            Step::Returning { why, .. } => self.finish_back(why.clone(), None, out),
            _ => {}
        }
    }

    fn tick(&mut self, now: Millis, out: &mut Vec<ApplyAction>) {
        match &self.state {
            Step::Starting(until) if *until <= now => {
                let pending = self.pending();
                self.roll_back(format!("{pending} not ready in time"), out);
            }
            Step::Soaking(until) if *until <= now => self.commit(out),
            Step::Returning { why, until } if *until <= now => {
                let left = format!("{} not ready again", self.pending());
                self.finish_back(why.clone(), Some(left), out);
            }
            _ => {}
        }
    }

    fn pending(&self) -> String {
        let pending = self.touched.iter();
        let pending = pending.filter(|(_, progress)| **progress == Progress::Pending);
        let names: Vec<String> = pending.map(|(id, _)| format!("`{id}`")).collect();
        let are = if names.len() == 1 { "is" } else { "are" };
        format!("{} {are}", names.join(", "))
    }

    fn commit(&mut self, out: &mut Vec<ApplyAction>) {
        if self.proposal.files.is_empty() {
            return self.decided(out);
        }
        self.state = Step::Deciding;
        let journal = self.journal(JournalPhase::Committing);
        out.push(ApplyAction::Files(vec![FileStep::WriteJournal(journal)]));
    }

    /// From here on there is no way back.
    fn decided(&mut self, out: &mut Vec<ApplyAction>) {
        let (old, new) = (&self.proposal.old, &self.proposal.new);
        if old != new && self.together() != *new {
            out.push(ApplyAction::Command(Command::Apply(new.clone())));
        }
        if self.proposal.files.is_empty() {
            return self.finish(out);
        }
        self.state = Step::Committing;
        out.push(ApplyAction::Files(vec![
            FileStep::Discard,
            FileStep::DeleteJournal,
        ]));
    }

    fn finish(&mut self, out: &mut Vec<ApplyAction>) {
        self.state = Step::Done;
        let plan = self.plan.clone();
        out.push(ApplyAction::Finished(Outcome::Committed { plan }));
    }

    // Back.

    fn roll_back(&mut self, why: String, out: &mut Vec<ApplyAction>) {
        self.state = Step::Restoring { why };
        let steps = match self.proposal.files.is_empty() {
            true => Vec::new(),
            false => vec![
                FileStep::Restore,
                FileStep::Discard,
                FileStep::DeleteJournal,
            ],
        };
        out.push(ApplyAction::Files(steps));
    }

    /// The files are as they were, or as near as they come: now the services.
    fn restored(&mut self, now: Millis, left: Option<String>, out: &mut Vec<ApplyAction>) {
        let Step::Restoring { why } = &self.state else {
            return;
        };
        let why = why.clone();
        if let Some(left) = left {
            // Who is restarted would read the new files: those that serve go on.
            return self.finish_back(why, Some(left), out);
        }
        let kept: BTreeSet<ServiceId> = self
            .touched
            .iter()
            .filter(|(_, progress)| **progress == Progress::Kept)
            .map(|(id, _)| id.clone())
            .collect();
        let begun = !self.touched.is_empty();
        if begun && self.proposal.old != self.proposal.new {
            let old = self.proposal.old.clone();
            out.push(ApplyAction::Command(Command::Apply(old)));
        }
        self.restart_readers(out, |id| begun && !kept.contains(id));
        let old = &self.proposal.old;
        self.touched
            .retain(|id, progress| *progress != Progress::Kept && old.get(id.as_str()).is_some());
        self.touched
            .values_mut()
            .for_each(|progress| *progress = Progress::Pending);
        let until = now + self.longest();
        self.state = Step::Returning { why, until };
        self.all_ready(now, out);
    }

    fn discard(&mut self, why: String, out: &mut Vec<ApplyAction>) {
        self.state = Step::Discarding { why };
        out.push(ApplyAction::Files(vec![
            FileStep::Discard,
            FileStep::DeleteJournal,
        ]));
    }

    fn finish_back(&mut self, why: String, left: Option<String>, out: &mut Vec<ApplyAction>) {
        self.state = Step::Done;
        out.push(ApplyAction::Finished(Outcome::RolledBack { why, left }));
    }
}

/// What shows that a change is not good.
fn failure(what: &What) -> Option<String> {
    match what {
        What::Exited {
            status,
            expected: false,
        } => Some(format!("ended {status}")),
        What::SpawnFailed { error } => Some(match &error.path {
            Some(path) => format!("cannot be started: `{path}`: {}", error.message),
            None => format!("cannot be started: {}", error.message),
        }),
        What::ProbeFailed {
            purpose: super::event::Purpose::Liveness,
            why,
        } => Some(format!("does not answer: {why}")),
        What::Stopping {
            why: super::state::Why::StartTimeout,
        } => Some("was not ready in time".to_owned()),
        What::State {
            to: PublicState::Error,
            ..
        } => Some("does not work".to_owned()),
        _ => None,
    }
}
