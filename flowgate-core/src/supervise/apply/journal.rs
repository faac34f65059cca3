//! What has to be known after a crash in the middle of a change.

use serde::{Deserialize, Serialize};

use super::super::spec::ServiceId;

/// A change under way, as it is written down.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Journal {
    /// What is changed, in words.
    pub what: String,
    /// How far it is.
    pub phase: JournalPhase,
    /// The files that get another content.
    pub files: Vec<String>,
    /// The services that get another process for it.
    pub services: Vec<ServiceId>,
}

/// How far a change is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalPhase {
    /// New contents may stand beside the files.
    Staging,
    /// New contents may stand in place of the old ones.
    Placing,
    /// It is decided: the new contents stay.
    Committing,
}

/// What is to be done about a journal that a crash left behind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Repair {
    /// Remove what stands beside the files: the change had not begun, or is made.
    Discard,
    /// Put the old contents back, then remove what stands beside the files. Processes of these
    /// services may have read the new contents: they are to be replaced.
    Restore {
        /// Which.
        services: Vec<ServiceId>,
    },
}

impl Journal {
    /// What is to be done; then the journal is removed. Doing it twice is as good as once.
    pub fn repair(&self) -> Repair {
        match self.phase {
            JournalPhase::Staging | JournalPhase::Committing => Repair::Discard,
            JournalPhase::Placing => Repair::Restore {
                services: self.services.clone(),
            },
        }
    }
}
