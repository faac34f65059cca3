//! What people decide about the rules: packs, modes, exceptions that last.

use serde::{Deserialize, Serialize};

use super::pack::UserPacks;
use super::rules::{Set, default_decision};
use super::ruleset::RuleSet;
use super::walk::Arg;
use super::{BUILT_IN, Context, Decision, Severity, glob, run};

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

/// A policy, ready to use.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    built_in: Vec<Decision>,
    user: Vec<Decision>,
    pub(crate) exact: Vec<Allow>,
    entries: Vec<Allow>,
    pub(crate) unanalyzable: Decision,
    pub(crate) unanalyzable_destructive: Decision,
}

/// Rules that no policy switches off: they protect the guard from the agent.
const PROTECTED: &str = "core.guard";

impl Compiled {
    /// Every built-in rule as it says.
    pub(crate) fn everything() -> Self {
        Self {
            built_in: BUILT_IN.rules.iter().map(default_decision).collect(),
            user: Vec::new(),
            exact: Vec::new(),
            entries: Vec::new(),
            unanalyzable: Decision::Ask,
            unanalyzable_destructive: Decision::Deny,
        }
    }

    pub(crate) fn new(policy: &Policy, user: &UserPacks) -> Result<Self, PolicyError> {
        for one in std::iter::once(policy).chain(&policy.tightened) {
            check_names(one, user.rules())?;
        }
        for (index, allow) in policy.allow.iter().enumerate() {
            check_allow(index, allow)?;
        }
        let (exact, entries) = policy
            .allow
            .iter()
            .cloned()
            .partition(|a| a.exact.is_some());
        Ok(Self {
            built_in: decisions(policy, &BUILT_IN),
            user: decisions(policy, user.rules()),
            exact,
            entries,
            unanalyzable: policy.unanalyzable,
            unanalyzable_destructive: policy.unanalyzable_destructive,
        })
    }

    /// Whether the whole command is on the allowlist.
    pub(crate) fn allows_exactly(&self, command: &str, context: &Context) -> bool {
        self.exact.iter().any(|a| {
            a.exact.as_deref() == Some(command.trim()) && applies(a, context, Some(&context.cwd))
        })
    }

    /// What a match of a rule comes to; `here` is the directory the command runs in, if known.
    pub(crate) fn decide(
        &self,
        set: Set,
        id: &str,
        rule: u16,
        args: &[Arg<'_>],
        context: &Context,
        here: Option<&str>,
    ) -> Decision {
        let decisions = match set {
            Set::BuiltIn => &self.built_in,
            Set::User => &self.user,
        };
        let decision = decisions
            .get(rule as usize)
            .copied()
            .unwrap_or(Decision::Deny);
        if self.entries.is_empty() || decision == Decision::Allow {
            return decision;
        }
        if id.starts_with(PROTECTED) {
            return decision;
        }
        if self
            .entries
            .iter()
            .any(|a| applies(a, context, here) && covers(a, id, args, here == Some(&*context.cwd)))
        {
            Decision::Allow
        } else {
            decision
        }
    }
}

fn decisions(policy: &Policy, set: &RuleSet) -> Vec<Decision> {
    let decide = |rule: &super::Rule| {
        let pack = &set.packs[rule.pack as usize].id;
        if &**pack == PROTECTED {
            return default_decision(rule);
        }
        if !selected(&policy.packs, pack) {
            return Decision::Allow;
        }
        let own = mode_of(policy, rule, pack).unwrap_or(policy.mode);
        let theirs = policy
            .tightened
            .iter()
            .filter_map(|p| mode_of(p, rule, pack).or((p.mode != Mode::Default).then_some(p.mode)));
        theirs.fold(outcome(own, rule), |worst, mode| {
            worst.max(outcome(mode, rule))
        })
    };
    set.rules.iter().map(decide).collect()
}

/// What a policy says of a rule by name, pack, group or severity.
fn mode_of(policy: &Policy, rule: &super::Rule, pack: &str) -> Option<Mode> {
    let group = pack.split('.').next().unwrap_or_default();
    let by_name = policy
        .modes
        .get(&*rule.id)
        .or_else(|| policy.modes.get(pack))
        .or_else(|| policy.modes.get(group));
    by_name
        .or_else(|| {
            policy
                .severities
                .get(severity_name(Severity::of(rule.severity)))
        })
        .copied()
}

fn outcome(mode: Mode, rule: &super::Rule) -> Decision {
    match mode {
        Mode::Default => default_decision(rule),
        Mode::Off => Decision::Allow,
        Mode::Warn => Decision::Warn,
        Mode::Ask => Decision::Ask,
        Mode::Deny => Decision::Deny,
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
    }
}

/// Whether a pack is on; the last word that names it counts.
fn selected(packs: &[String], pack: &str) -> bool {
    let names = |name: &str| {
        name == "all"
            || name == pack
            || pack
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
    };
    let mut on = false;
    for entry in packs {
        match entry.strip_prefix('-') {
            Some(name) if names(name) => on = false,
            None if names(entry) => on = true,
            _ => {}
        }
    }
    on
}

fn check_names(policy: &Policy, user: &RuleSet) -> Result<(), PolicyError> {
    let sets = [&BUILT_IN, user];
    let pack = |name: &str| {
        name == "all"
            || sets.iter().any(|s| {
                s.packs.iter().any(|p| {
                    p.id == name || p.id.strip_prefix(name).is_some_and(|r| r.starts_with('.'))
                })
            })
    };
    let rule = |name: &str| sets.iter().any(|s| s.rules.iter().any(|r| r.id == name));
    let unknown = |place: &str, name: &String| {
        Err(PolicyError::Unknown {
            place: place.to_owned(),
            name: name.clone(),
        })
    };
    for name in &policy.packs {
        if !pack(name.trim_start_matches('-')) {
            return unknown("packs", name);
        }
    }
    for name in policy.modes.keys() {
        if !pack(name) && !rule(name) {
            return unknown("modes", name);
        }
    }
    for name in policy.severities.keys() {
        if !["critical", "high", "medium", "low"].contains(&name.as_str()) {
            return unknown("severities", name);
        }
    }
    Ok(())
}

fn check_allow(index: usize, allow: &Allow) -> Result<(), PolicyError> {
    let fail = |detail: &str| {
        Err(PolicyError::Allow {
            index,
            detail: detail.to_owned(),
        })
    };
    let selectors = [&allow.rule, &allow.exact, &allow.prefix]
        .into_iter()
        .flatten()
        .count();
    if selectors > 1 {
        return fail("give one of `rule`, `exact` and `prefix`");
    }
    if selectors == 0 && allow.path.is_none() {
        return fail("give `rule`, `exact`, `prefix` or `path`");
    }
    if allow.reason.trim().is_empty() {
        return fail("give a `reason`");
    }
    if [&allow.rule, &allow.prefix, &allow.path]
        .into_iter()
        .flatten()
        .any(|p| p.trim_matches(['*', '/', ' ']).is_empty())
    {
        return fail("it would allow everything");
    }
    Ok(())
}

fn applies(allow: &Allow, context: &Context, here: Option<&str>) -> bool {
    let in_time = allow
        .expires
        .is_none_or(|until| context.now != 0 && context.now < until);
    let in_place = match &allow.scope {
        Scope::Anywhere => true,
        Scope::Directory(directory) => {
            let directory = directory.trim_end_matches('/');
            here.is_some_and(|here| {
                !leaves(here)
                    && (here == directory
                        || here
                            .strip_prefix(directory)
                            .is_some_and(|rest| rest.starts_with('/')))
            })
        }
    };
    in_time && in_place
}

/// Whether a path goes up, or may.
fn leaves(path: &str) -> bool {
    path.contains(super::value::UNKNOWN) || path.split(['/', '\\']).any(|part| part == "..")
}

/// Whether an entry speaks of this match; relative paths count only where the command was started.
fn covers(allow: &Allow, id: &str, args: &[Arg<'_>], at_start: bool) -> bool {
    if allow
        .rule
        .as_ref()
        .is_some_and(|rule| !glob::matches(rule, id, false))
    {
        return false;
    }
    if let Some(prefix) = &allow.prefix {
        let text = run::join(args);
        if !(text == *prefix
            || text
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.starts_with(' ')))
        {
            return false;
        }
    }
    let Some(path) = &allow.path else { return true };
    let mut paths = args
        .iter()
        .skip(1)
        .filter(|a| !a.text.starts_with('-'))
        .peekable();
    paths.peek().is_some()
        && paths.all(|a| {
            !leaves(a.text)
                && (at_start || a.text.starts_with('/'))
                && glob::matches(path, a.text, false)
        })
}
