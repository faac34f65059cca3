//! Decides whether a shell command may run: the destructive-command guard.
//!
//! The guard reads a command as the shell would (quotes, substitutions, heredocs, pipes, loops,
//! variables), follows what runs what (`sudo`, `sh -c`, `xargs`, `python -c`, `ssh` …), and
//! applies rules to each simple command that comes out. Everything that is not code is data, so
//! a commit message about `rm -rf /` is no more than a message.
//!
//! It is a pure function: no clock, no files, no environment. [`Guard::check`] is total, and its
//! work is bounded by the length of the command.
//!
//! # Example
//!
//! ```
//! # use flowgate_core::guard;
//! use guard::{Context, Decision, Guard};
//!
//! let guard = Guard::default();
//! let context = Context::new("/home/dev/project", "/home/dev");
//! let verdict = guard.check("X=/; sudo rm -rf $X", &context);
//! assert_eq!(verdict.decision, Decision::Deny);
//! assert_eq!(verdict.rule.as_deref(), Some("core.filesystem:rm-root"));
//! assert_eq!(guard.check("git commit -m 'never rm -rf /'", &context).decision, Decision::Allow);
//! ```

mod brace;
mod checks;
mod code;
mod compile;
mod exception;
mod expand;
mod explain;
pub mod format;
mod glob;
pub mod hook;
mod http;
pub mod install;
mod lex;
mod options;
pub mod pack;
mod path;
mod policy;
mod reader;
mod rules;
mod ruleset;
mod run;
pub mod scan;
mod skip;
mod sql;
mod value;
mod verdict;
mod walk;
mod wrap;

use built_in::BUILT_IN;
use ruleset::{Name, RuleSet, Text};

pub use exception::{Exceptions, Grant, Request};
pub use explain::{Explanation, Step};
pub use pack::{PackError, PackInfo, RuleInfo, UserPacks};
pub use policy::{Allow, Mode, Policy, PolicyError, Scope};
pub use verdict::{Decision, Evidence, Severity, Span, Verdict};

use policy::Compiled;
use rules::Set;
use walk::Walker;

/// The built-in packs, compiled by `build.rs`.
mod built_in {
    #[allow(unused_imports)]
    use super::format::{Action, Language, Level};
    #[allow(unused_imports)]
    use super::ruleset::{
        Candidate, Code, Entry, Flag, List, Matcher, Pack, Pattern, Rule, RuleSet, Spelling, Text,
        Tool,
    };

    include!(concat!(env!("OUT_DIR"), "/packs.rs"));
}

/// The most bytes of a command that the guard reads.
pub const LONGEST: usize = 1 << 20;

/// What the guard must be told about the place where a command will run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Context {
    /// Absolute path of the directory the command starts in: the project.
    pub cwd: String,
    /// Absolute path of the user's home.
    pub home: String,
    /// Other directories that belong to the project.
    #[cfg_attr(feature = "uniffi", uniffi(default = []))]
    pub roots: Vec<String>,
    /// Milliseconds since the Unix epoch, for allowlist entries that expire; 0 if unknown, and
    /// then an entry that expires does not apply.
    #[cfg_attr(feature = "uniffi", uniffi(default = 0))]
    pub now: u64,
}

impl Context {
    /// A context with nothing but a directory and a home.
    pub fn new(cwd: impl Into<String>, home: impl Into<String>) -> Self {
        Self {
            cwd: cwd.into(),
            home: home.into(),
            ..Self::default()
        }
    }
}

/// Rules and policy, ready to decide.
#[derive(Debug)]
pub struct Guard {
    user: UserPacks,
    compiled: Compiled,
}

impl Default for Guard {
    /// All built-in packs, each with its own severities.
    fn default() -> Self {
        Self {
            user: UserPacks::default(),
            compiled: Compiled::everything(),
        }
    }
}

impl Guard {
    /// Makes a guard of a policy and the user's packs.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if the policy names a pack or rule that does not exist.
    pub fn new(policy: &Policy, user: UserPacks) -> Result<Self, PolicyError> {
        let compiled = Compiled::new(policy, &user)?;
        Ok(Self { user, compiled })
    }

    /// Decides what to do with one command.
    ///
    /// Total: every text gets an answer, and the answer depends on nothing but the text, the
    /// context and the policy. Allocates nothing for an allowed plain command.
    pub fn check(&self, command: &str, context: &Context) -> Verdict {
        if command.len() > LONGEST {
            return self.unanalyzable("the command is longer than the guard reads", command);
        }
        if !self.compiled.exact.is_empty() && self.compiled.allows_exactly(command, context) {
            return Verdict::allow();
        }
        let mut walker = Walker::new(self, context, command);
        walker.whole();
        self.verdict(&walker)
    }

    /// Decides many commands, in order.
    pub fn check_batch<'c>(
        &self,
        commands: impl IntoIterator<Item = &'c str>,
        context: &Context,
    ) -> Vec<Verdict> {
        commands
            .into_iter()
            .map(|command| self.check(command, context))
            .collect()
    }

    /// Gives the verdict on every part of a command that some rule matches, in their order.
    pub fn check_all(&self, command: &str, context: &Context) -> Vec<Verdict> {
        if command.len() > LONGEST {
            return vec![self.check(command, context)];
        }
        let mut walker = Walker::new(self, context, command);
        walker.all = Some(Vec::new());
        walker.whole();
        let mut found = walker.all.take().unwrap_or_default();
        // One verdict a place: the worst.
        found.sort_by_key(|f| (f.span, std::cmp::Reverse((f.decision, f.severity))));
        found.dedup_by_key(|f| f.span);
        let mut verdicts: Vec<Verdict> = found.into_iter().map(|f| self.found(f)).collect();
        if let Some(why) = walker.unanalyzable {
            verdicts.push(self.unanalyzable(why, command));
        }
        verdicts
    }

    /// The work that a decision takes, in steps that are the same on every machine.
    ///
    /// It grows with the length of the command and no faster; beyond some fifty steps a byte, the
    /// guard answers that it cannot analyse the command.
    ///
    /// ```
    /// # use flowgate_core::guard::{Context, Guard};
    /// let (guard, context) = (Guard::default(), Context::new("/home/dev/project", "/home/dev"));
    /// assert!(guard.cost("ls", &context) < guard.cost("for f in a b; do ls $f; done", &context));
    /// ```
    pub fn cost(&self, command: &str, context: &Context) -> u64 {
        if command.len() > LONGEST {
            return 0;
        }
        let mut walker = Walker::new(self, context, command);
        walker.whole();
        walker.done()
    }

    /// Decides like [`check`](Self::check), and tells how.
    pub fn explain(&self, command: &str, context: &Context) -> Explanation {
        if command.len() > LONGEST {
            return Explanation {
                steps: Vec::new(),
                verdict: self.check(command, context),
            };
        }
        let mut walker = Walker::new(self, context, command);
        walker.trace = Some(Vec::new());
        walker.whole();
        let mut verdict = self.verdict(&walker);
        if self.compiled.allows_exactly(command, context) {
            verdict = Verdict::allow();
        }
        Explanation {
            steps: walker.trace.unwrap_or_default(),
            verdict,
        }
    }

    /// The built-in packs and those of the user, with the rules in each.
    pub fn packs(&self) -> Vec<PackInfo> {
        pack::describe(&BUILT_IN)
            .into_iter()
            .chain(pack::describe(self.user.rules()))
            .collect()
    }

    /// What happens to a command in which a rule matched.
    fn decide(
        &self,
        set: Set,
        rule: u16,
        args: &[walk::Arg<'_>],
        context: &Context,
        here: Option<&str>,
    ) -> Decision {
        let rules = if set == Set::BuiltIn {
            &BUILT_IN
        } else {
            self.user_rules()
        };
        let id = rules.rules.get(rule as usize).map_or("", |r| &*r.id);
        self.compiled.decide(set, id, rule, args, context, here)
    }

    fn user_rules(&self) -> &RuleSet {
        self.user.rules()
    }

    fn has_user_rules(&self) -> bool {
        !self.user.rules().rules.is_empty()
    }

    fn user_regex(&self, matcher: u16) -> Option<&regex::Regex> {
        self.user.regex(matcher)
    }

    /// Whether some pack says something about a command word.
    fn knows<'n>(&self, name: impl Into<Name<'n>>) -> bool {
        let name = name.into();
        BUILT_IN.entry(name).is_some() || self.user.rules().entry(name).is_some()
    }

    fn verdict(&self, walker: &Walker<'_>) -> Verdict {
        let found = walker.best.map(|finding| self.found(finding));
        match (walker.unanalyzable, found) {
            (Some(_), Some(found)) if found.decision >= Decision::Ask => found,
            (Some(why), _) => self.unanalyzable(why, walker.command),
            (None, found) => found.unwrap_or_else(Verdict::allow),
        }
    }

    fn found(&self, finding: rules::Finding) -> Verdict {
        let set = if finding.set == Set::BuiltIn {
            &BUILT_IN
        } else {
            self.user_rules()
        };
        let rule = &set.rules[finding.rule as usize];
        Verdict {
            decision: finding.decision,
            rule: Some(rule.id.clone()),
            severity: Some(finding.severity),
            reason: Some(rule.reason.clone()),
            suggestion: rule.suggestion.clone(),
            span: Some(Span {
                start: finding.span.0 as usize,
                end: finding.span.1 as usize,
            }),
            evidence: if finding.certain {
                Evidence::Certain
            } else {
                Evidence::Unresolved
            },
        }
    }

    /// The answer where the analysis could not go to the end.
    fn unanalyzable(&self, why: &'static str, command: &str) -> Verdict {
        let destructive = verdict::has_destructive_verb(command);
        Verdict {
            decision: if destructive {
                self.compiled.unanalyzable_destructive
            } else {
                self.compiled.unanalyzable
            },
            rule: Some(Text::Borrowed("guard:unanalyzable")),
            severity: Some(if destructive {
                Severity::High
            } else {
                Severity::Medium
            }),
            reason: Some(Text::Borrowed(why)),
            suggestion: Some(Text::Borrowed("Run it in smaller, plainer pieces.")),
            span: Some(Span {
                start: 0,
                end: command.len(),
            }),
            evidence: Evidence::Unresolved,
        }
    }
}
