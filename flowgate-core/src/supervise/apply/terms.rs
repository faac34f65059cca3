//! What is said to a change, and what it says.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::super::event::Command;
use super::super::graph::Services;
use super::super::notice::Notice;
use super::super::spec::ServiceId;
use super::journal::Journal;
use super::plan::Plan;

/// What is to be changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proposal {
    /// In words, such as `profile cost`.
    pub what: String,
    /// The files that get another content.
    pub files: Vec<String>,
    /// The services as they are.
    pub old: Services,
    /// The services as they shall be.
    pub new: Services,
    /// The services that shall run: no other is started by a change.
    pub running: BTreeSet<ServiceId>,
    /// The services that read one of the files, so that their process has to be replaced.
    pub readers: BTreeSet<ServiceId>,
}

/// What happened to a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ApplyEvent {
    /// The layers are merged, the result is right, its secrets are at hand.
    Composed(Proposal),
    /// They are not.
    NotComposed {
        /// Why, in words.
        why: String,
    },
    /// The steps of the last [`ApplyAction::Files`] are done.
    FilesDone,
    /// One of them could not be done, and those after it were not.
    FilesFailed {
        /// Why, in words.
        why: String,
    },
    /// The supervisor said something.
    Notice(Notice),
    /// Somebody does not want it any more.
    Cancel,
    /// [`Apply::next_deadline`](super::Apply::next_deadline) is reached.
    Tick,
}

/// What is to be done for a change.
#[derive(Clone, Debug, PartialEq)]
pub enum ApplyAction {
    /// Merge the layers, check the result, fetch its secrets; answer `Composed` or `NotComposed`.
    Compose,
    /// Take these steps in order; answer `FilesDone` or `FilesFailed`.
    Files(Vec<FileStep>),
    /// Tell the supervisor.
    Command(Command),
    /// It is over.
    Finished(Outcome),
}

/// A step with files. Each must be on disk before the next begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileStep {
    /// Write, or replace, the journal.
    WriteJournal(Journal),
    /// Write every new content beside the file it is for, and a copy of what that is now.
    Stage,
    /// Put every new content in its place.
    Place,
    /// Put every copy back in its place; where there was no file, remove what is there.
    Restore,
    /// Remove what was written beside the files.
    Discard,
    /// Remove the journal.
    DeleteJournal,
}

/// How a change ended.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is made.
    Committed {
        /// What it meant for the services.
        plan: Plan,
    },
    /// Everything is as it was.
    RolledBack {
        /// Why, in words.
        why: String,
        /// What is not as it was, in words; the next start repairs it.
        left: Option<String>,
    },
}

/// How long a change may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Until every service it touches is ready. Default: a minute.
    pub ready: Duration,
    /// How long they must stay so before it counts. Default: two seconds.
    pub soak: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ready: Duration::from_secs(60),
            soak: Duration::from_secs(2),
        }
    }
}
