//! The answer of the guard.

use serde::{Deserialize, Serialize};

use super::ruleset::Text;

/// What to do with a command; ordered from the mildest.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "GuardDecision")
)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Run it.
    #[default]
    Allow,
    /// Run it, and say something.
    Warn,
    /// Let a person decide.
    Ask,
    /// Do not run it.
    Deny,
}

impl Decision {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }

    /// Whether the command may run without a person.
    pub const fn runs(self) -> bool {
        matches!(self, Self::Allow | Self::Warn)
    }
}

/// How bad a match is; ordered from the mildest.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a remark.
    Low,
    /// Something is lost that can be had back with effort.
    Medium,
    /// Work, data or a service is lost.
    High,
    /// Gone for good, and much of it.
    Critical,
}

/// How sure the guard is of what the command would do.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// It would do what the rule says.
    #[default]
    Certain,
    /// A part of it is known only when it runs.
    Unresolved,
}

/// A range of bytes in the command.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.start, self.end).serialize(serializer)
    }
}

/// The outcome of [`Guard::check`](super::Guard::check): the worst of all simple commands.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// What to do with the command.
    pub decision: Decision,
    /// Identifier of the deciding rule, `pack:rule`.
    pub rule: Option<Text>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// What would be lost.
    pub reason: Option<Text>,
    /// What to do instead.
    pub suggestion: Option<Text>,
    /// The deciding part of the command.
    pub span: Option<Span>,
    /// How sure that is.
    pub evidence: Evidence,
}

impl Verdict {
    /// The verdict on a command that nothing speaks against.
    pub(crate) const fn allow() -> Self {
        Self {
            decision: Decision::Allow,
            rule: None,
            severity: None,
            reason: None,
            suggestion: None,
            span: None,
            evidence: Evidence::Certain,
        }
    }
}

/// Whether a text names a destructive verb anywhere; for texts too large to analyse.
pub(crate) fn has_destructive_verb(text: &str) -> bool {
    const VERBS: &[&str] = &[
        "rm ",
        "rmdir",
        "shred",
        "mkfs",
        "dd ",
        "git reset",
        "git clean",
        "git push",
        "--force",
        "delete",
        "destroy",
        "drop ",
        "truncate",
        "rmtree",
        "wipe",
        "format",
        "unlink",
        "--hard",
        "DROP ",
        "DELETE ",
        "TRUNCATE ",
    ];
    VERBS
        .iter()
        .any(|verb| memchr::memmem::find(text.as_bytes(), verb.as_bytes()).is_some())
}
