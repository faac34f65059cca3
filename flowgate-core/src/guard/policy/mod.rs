//! What people decide about the rules: packs, modes, exceptions that last.

mod compiled;

use serde::{Deserialize, Serialize};

use super::Decision;
pub(super) use compiled::Compiled;

/// What happens when a rule of some kind matches.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Let a person decide.
    Ask,
    /// What each rule says.
    Default,
    /// Do not run the command.
    Deny,
    /// The rule does not exist.
    Off,
    /// Run the command, and say something.
    Warn,
}

/// What people write to govern the guard.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "GuardPolicy")
)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Packs that are on: `all`, groups (`database`), packs (`database.redis`); `-id` takes one out.
    pub packs: Vec<String>,
    /// Mode of everything that no other mode speaks of.
    pub mode: Mode,
    /// Modes by pack, group or rule.
    pub modes: std::collections::BTreeMap<String, Mode>,
    /// Modes by severity.
    pub severities: std::collections::BTreeMap<String, Mode>,
    /// Commands that may run although a rule matches.
    pub allow: Vec<Allow>,
    /// What to do with what cannot be analysed and names a destructive verb.
    pub unanalyzable_destructive: Decision,
    /// What to do with other things that cannot be analysed.
    pub unanalyzable: Decision,
    /// Files with packs of one's own; relative to the file of the policy. The host reads them.
    pub pack_files: Vec<String>,
    /// Policies of projects ([`tightened_by`](Self::tightened_by)): what they say of a rule counts
    /// where it is stricter.
    #[serde(skip)]
    pub tightened: Vec<Self>,
    /// Note every command that is stopped, and every exception, in a file. The host writes it.
    pub audit: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            packs: vec!["all".to_owned()],
            mode: Mode::Default,
            modes: Default::default(),
            severities: Default::default(),
            allow: Vec::new(),
            unanalyzable_destructive: Decision::Deny,
            unanalyzable: Decision::Ask,
            pack_files: Vec::new(),
            tightened: Vec::new(),
            audit: false,
        }
    }
}

/// An entry of the allowlist. Exactly one of `rule`, `exact` and `prefix` is given, or `path` alone.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "GuardAllow")
)]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// Matches of this rule (`pack:rule`, globs allowed).
    pub rule: Option<String>,
    /// This very command, the whole line.
    pub exact: Option<String>,
    /// Simple commands that begin with these words.
    pub prefix: Option<String>,
    /// Simple commands all of whose paths match this glob; narrows `rule` and `prefix`.
    pub path: Option<String>,
    /// Why; required.
    pub reason: String,
    /// Until when: a day (`2027-01-31`), or a moment (`2027-01-31T12:00:00Z`); in milliseconds since
    /// the Unix epoch once read.
    #[serde(with = "moment")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub expires: Option<u64>,
    /// Where it applies.
    pub scope: Scope,
}

/// Moments as people write them.
mod moment {
    use std::time::{Duration, UNIX_EPOCH};

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        moment: &Option<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let time = moment.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        time.map(|time| humantime::format_rfc3339_millis(time).to_string())
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let full = if text.len() == 10 {
            format!("{text}T00:00:00Z")
        } else {
            text
        };
        let time = humantime::parse_rfc3339_weak(&full).map_err(|_| {
            de::Error::custom(
                "this is no moment\nwrite a day such as `2027-01-31`, or `2027-01-31T12:00:00Z`",
            )
        })?;
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_millis()).ok())
    }
}

/// Where an allowlist entry applies.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "GuardScope")
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everywhere.
    #[default]
    Anywhere,
    /// In this directory and below.
    Directory(String),
}

/// A policy that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// An allowlist entry asks for nothing, for too much, or has no reason.
    #[error("allow[{index}]: {detail}")]
    Allow {
        /// Which entry, counted from 0.
        index: usize,
        /// What is wrong.
        detail: String,
    },
    /// The text is not YAML, or does not fit the type.
    #[error("{detail}")]
    Format {
        /// Every mistake and its place.
        detail: String,
    },
    /// A key that means nothing to a guard that is part of a program.
    #[error("`{key}` has no effect in a program: {hint}")]
    Embedded {
        /// The key.
        key: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// A pack, group, rule or severity that does not exist.
    #[error("{place}: there is no pack, group or rule called `{name}`")]
    Unknown {
        /// Where in the policy.
        place: String,
        /// The name.
        name: String,
    },
}

impl PolicyError {
    /// A stable, machine-readable name for this kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "guard.policy.allow",
            Self::Embedded { .. } => "guard.policy.embedded",
            Self::Format { .. } => "guard.policy.format",
            Self::Unknown { .. } => "guard.policy.unknown",
        }
    }
}

impl Policy {
    /// Refuses what only the hook does, for a guard that is part of a program.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Embedded`] if the policy asks for the log of the hook.
    pub const fn embedded(&self) -> Result<(), PolicyError> {
        if self.audit {
            return Err(PolicyError::Embedded {
                key: "audit",
                hint: "`flowgate guard hook` writes that log; leave it out, and log the verdicts",
            });
        }
        Ok(())
    }

    /// Joins a project's policy to the user's: the project may switch packs on and make modes
    /// stricter; nothing it says makes the guard milder, and its allowlist does not count.
    #[must_use]
    pub fn tightened_by(&self, project: &Self) -> Self {
        let mut joined = self.clone();
        for pack in project
            .packs
            .iter()
            .filter(|p| !p.starts_with('-') && *p != "all")
        {
            joined.packs.retain(|p| p.strip_prefix('-') != Some(pack));
            if !joined.packs.contains(pack) {
                joined.packs.push(pack.clone());
            }
        }
        joined.tightened.push(project.clone());
        joined.audit |= project.audit;
        joined.pack_files.extend(
            project
                .pack_files
                .iter()
                .filter(|file| !self.pack_files.contains(file))
                .cloned(),
        );
        joined.unanalyzable = self.unanalyzable.max(project.unanalyzable);
        joined.unanalyzable_destructive = self
            .unanalyzable_destructive
            .max(project.unanalyzable_destructive);
        joined
    }
}
