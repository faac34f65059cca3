//! Packs of rules: those of the user, loaded and checked at run time, and descriptions of all.

use regex::{Regex, RegexBuilder};
use serde::Serialize;

use super::compile::compile;
use super::reader::read;
use super::rules::default_decision;
use super::ruleset::RuleSet;
use super::{BUILT_IN, Context, Decision, Guard, Policy, Severity};

/// The most bytes that a compiled pattern may take.
const REGEX_SIZE: usize = 256 * 1024;

/// A pack that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The text is not YAML, or does not fit the format.
    #[error("{detail}")]
    Format {
        /// What is wrong and where, as the reader says it.
        detail: String,
        /// Line, counted from 1, if known.
        line: Option<usize>,
    },
    /// The rules do not fit together; every problem is named.
    #[error("{}", .0.join("; "))]
    Rules(Vec<String>),
}

impl PackError {
    /// A stable, machine-readable name for this kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format { .. } => "guard.pack.format",
            Self::Rules(_) => "guard.pack.rules",
        }
    }
}

/// Packs that the user wrote.
#[derive(Debug, Default)]
pub struct UserPacks {
    rules: RuleSet,
    regexes: Vec<Option<Regex>>,
}

impl UserPacks {
    /// Reads packs from the texts of their YAML files.
    ///
    /// # Errors
    ///
    /// [`PackError::Format`] for the first text that cannot be read, [`PackError::Rules`] with
    /// every problem of the rules.
    pub fn from_yaml<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, PackError> {
        let files = texts.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let mut problems: Vec<String> = files
            .iter()
            .filter(|f| BUILT_IN.packs.iter().any(|p| p.id == f.id))
            .map(|f| format!("`{}` is the id of a built-in pack", f.id))
            .collect();
        let rules = match compile(&files, Some(&BUILT_IN)) {
            Ok(rules) => rules,
            Err(more) => {
                problems.extend(more);
                return Err(PackError::Rules(problems));
            }
        };
        let mut regexes = Vec::new();
        for matcher in rules.matchers.iter() {
            regexes.push(match &*matcher.regex {
                "" => None,
                pattern => match RegexBuilder::new(pattern)
                    .size_limit(REGEX_SIZE)
                    .dfa_size_limit(REGEX_SIZE)
                    .build()
                {
                    Ok(regex) => Some(regex),
                    Err(error) => {
                        problems.push(format!(
                            "rule `{}`: {error}",
                            rules.rules[matcher.rule as usize].id
                        ));
                        None
                    }
                },
            });
        }
        if problems.is_empty() {
            Ok(Self { rules, regexes })
        } else {
            Err(PackError::Rules(problems))
        }
    }

    pub(crate) fn rules(&self) -> &RuleSet {
        &self.rules
    }

    pub(crate) fn regex(&self, matcher: u16) -> Option<&Regex> {
        self.regexes.get(matcher as usize)?.as_ref()
    }
}

/// A pack, for people.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct PackInfo {
    /// Dotted identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// What it protects.
    pub description: String,
    /// Its rules.
    pub rules: Vec<RuleInfo>,
}

/// A rule, for people.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct RuleInfo {
    /// `pack:rule`.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// What it decides by itself.
    pub decision: Decision,
    /// What is lost.
    pub reason: String,
    /// What to do instead.
    pub suggestion: Option<String>,
    /// Commands that it stops.
    pub deny: Vec<String>,
    /// Commands that the guard lets through.
    pub allow: Vec<String>,
}

/// Describes a set of packs.
pub(crate) fn describe(set: &RuleSet) -> Vec<PackInfo> {
    let rules_of = |pack: usize| set.rules.iter().filter(move |r| r.pack as usize == pack);
    let own = |texts: &[super::Text]| texts.iter().map(|t| t.clone().into_owned()).collect();
    set.packs
        .iter()
        .enumerate()
        .map(|(index, pack)| PackInfo {
            id: pack.id.clone().into_owned(),
            name: pack.name.clone().into_owned(),
            description: pack.description.clone().into_owned(),
            rules: rules_of(index)
                .map(|r| RuleInfo {
                    id: r.id.clone().into_owned(),
                    severity: Severity::of(r.severity),
                    decision: default_decision(r),
                    reason: r.reason.clone().into_owned(),
                    suggestion: r.suggestion.clone().map(std::borrow::Cow::into_owned),
                    deny: own(&r.deny),
                    allow: own(&r.allow),
                })
                .collect(),
        })
        .collect()
}

/// Runs the examples of packs through a guard; gives every example that comes out wrong.
pub fn test(guard: &Guard, packs: &[PackInfo]) -> Vec<String> {
    let context = Context::new("/home/dev/project", "/home/dev");
    let mut wrong = Vec::new();
    for rule in packs.iter().flat_map(|p| &p.rules) {
        for command in &rule.deny {
            let verdict = guard.check(command, &context);
            let stopped = if rule.decision == Decision::Warn {
                verdict.decision >= Decision::Warn
            } else {
                !verdict.decision.runs()
            };
            if !stopped {
                wrong.push(format!(
                    "{}: not stopped ({}): {command}",
                    rule.id,
                    verdict.decision.name()
                ));
            } else if verdict.rule.as_deref() != Some(&rule.id) {
                wrong.push(format!(
                    "{}: stopped by {} instead: {command}",
                    rule.id,
                    verdict.rule.as_deref().unwrap_or_default()
                ));
            }
        }
        let suggested = rule
            .suggestion
            .as_deref()
            .unwrap_or_default()
            .split('`')
            .skip(1)
            .step_by(2);
        for command in rule.allow.iter().map(String::as_str).chain(suggested) {
            let verdict = guard.check(command, &context);
            if !verdict.decision.runs() {
                wrong.push(format!(
                    "{}: stopped by {}: {command}",
                    rule.id,
                    verdict.rule.as_deref().unwrap_or_default()
                ));
            }
        }
    }
    wrong
}

/// Loads user packs and runs their examples with the built-in packs on.
///
/// # Errors
///
/// [`PackError`] if a pack cannot be loaded.
pub fn check_user_packs<'t>(
    texts: impl IntoIterator<Item = &'t str>,
) -> Result<Vec<String>, PackError> {
    let user = UserPacks::from_yaml(texts)?;
    let described = describe(user.rules());
    match Guard::new(&Policy::default(), user) {
        Ok(guard) => Ok(test(&guard, &described)),
        Err(error) => Ok(vec![error.to_string()]),
    }
}
