//! A policy made ready: one decision a rule, and the allowlist as it is asked.

use super::{Allow, Mode, Policy, PolicyError, Scope};
use crate::guard::pack::UserPacks;
use crate::guard::rules::{Set, default_decision};
use crate::guard::ruleset::{Rule, RuleSet};
use crate::guard::value::UNKNOWN;
use crate::guard::walk::Arg;
use crate::guard::{BUILT_IN, Context, Decision, Severity, glob, run};

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
    let decide = |rule: &Rule| {
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
fn mode_of(policy: &Policy, rule: &Rule, pack: &str) -> Option<Mode> {
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

fn outcome(mode: Mode, rule: &Rule) -> Decision {
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
    path.contains(UNKNOWN) || path.split(['/', '\\']).any(|part| part == "..")
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
