use std::sync::{Mutex, PoisonError};

use flowgate_core as core;
use flowgate_core::guard::{Context, Decision, Evidence, Policy, Severity, UserPacks};
use napi::bindgen_prelude::*;
use napi_derive::napi;

use crate::document;
use crate::error::guard_into_js;

/// Rules and policy, ready to decide, and the place where the next commands would run.
#[napi]
pub struct Guard {
    guard: core::guard::Guard,
    /// Kept from call to call, for it changes seldom and is dear to convert.
    context: Mutex<Context>,
}

#[napi]
impl Guard {
    /// Makes a guard of a policy and the texts of the user's packs.
    #[napi(factory, catch_unwind)]
    pub fn create(env: &Env, policy: Option<Unknown<'_>>, packs: Vec<String>) -> Result<Self> {
        let policy = match policy {
            Some(policy) => {
                let text = core::yaml::to_yaml(&document::from_js(env, policy)?);
                Policy::from_yaml(&text).map_err(|e| guard_into_js(env, &e, e.code()))?
            }
            None => Policy::default(),
        };
        policy
            .embedded()
            .map_err(|e| guard_into_js(env, &e, e.code()))?;
        let files = core::runtime::guard::pack_texts(&policy)
            .map_err(|e| guard_into_js(env, &e, e.code()))?;
        let packs = UserPacks::from_yaml(files.iter().chain(&packs).map(String::as_str))
            .map_err(|e| guard_into_js(env, &e, e.code()))?;
        let guard = core::guard::Guard::new(&policy, packs)
            .map_err(|e| guard_into_js(env, &e, e.code()))?;
        Ok(Self {
            guard,
            context: Mutex::default(),
        })
    }

    /// Says where the next commands would run.
    #[napi(catch_unwind)]
    pub fn enter(&self, cwd: String, home: String) {
        self.with(|_, context| *context = Context::new(cwd, home));
    }

    /// Decides about one command; nothing if nothing speaks against it.
    #[napi(catch_unwind)]
    pub fn check(&self, command: String, now: f64) -> Option<Verdict> {
        self.with(|guard, context| {
            context.now = now as u64;
            Verdict::new(guard.check(&command, context), &command)
        })
    }

    /// Decides about many commands.
    #[napi(catch_unwind)]
    pub fn check_batch(&self, commands: Vec<String>, now: f64) -> Vec<Option<Verdict>> {
        self.with(|guard, context| {
            context.now = now as u64;
            let verdicts = guard.check_batch(commands.iter().map(String::as_str), context);
            verdicts
                .into_iter()
                .zip(&commands)
                .map(|(verdict, command)| Verdict::new(verdict, command))
                .collect()
        })
    }

    /// Decides about one command, and tells how.
    #[napi(catch_unwind)]
    pub fn explain(&self, command: String, now: f64) -> String {
        self.with(|guard, context| {
            context.now = now as u64;
            guard.explain(&command, context).render(&command)
        })
    }

    /// The built-in packs and those of the user.
    #[napi(catch_unwind)]
    pub fn packs(&self) -> Vec<Pack> {
        self.guard.packs().into_iter().map(Pack::from).collect()
    }
}

impl Guard {
    fn with<T>(&self, call: impl FnOnce(&core::guard::Guard, &mut Context) -> T) -> T {
        // After a panic the context is what it was.
        let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        call(&self.guard, &mut context)
    }
}

/// What to do with a command.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct Verdict {
    pub decision: &'static str,
    pub rule: Option<String>,
    pub severity: Option<&'static str>,
    pub reason: Option<String>,
    pub suggestion: Option<String>,
    pub span: Option<Vec<u32>>,
    pub evidence: &'static str,
}

impl Verdict {
    fn new(verdict: core::guard::Verdict, command: &str) -> Option<Self> {
        if verdict.decision == Decision::Allow && verdict.rule.is_none() {
            return None;
        }
        Some(Self {
            decision: verdict.decision.name(),
            rule: verdict.rule.map(String::from),
            severity: verdict.severity.map(severity),
            reason: verdict.reason.map(String::from),
            suggestion: verdict.suggestion.map(String::from),
            span: verdict
                .span
                .map(|span| vec![units(command, span.start), units(command, span.end)]),
            evidence: match verdict.evidence {
                Evidence::Certain => "certain",
                Evidence::Unresolved => "unresolved",
            },
        })
    }
}

/// A pack of rules.
#[napi(object, object_from_js = false)]
pub struct Pack {
    pub id: String,
    pub name: String,
    pub description: String,
    pub rules: Vec<Rule>,
}

impl From<core::guard::PackInfo> for Pack {
    fn from(pack: core::guard::PackInfo) -> Self {
        Self {
            id: pack.id,
            name: pack.name,
            description: pack.description,
            rules: pack.rules.into_iter().map(Rule::from).collect(),
        }
    }
}

/// A rule of a pack.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct Rule {
    pub id: String,
    pub severity: &'static str,
    pub decision: &'static str,
    pub reason: String,
    pub suggestion: Option<String>,
    pub deny: Vec<String>,
    pub allow: Vec<String>,
}

impl From<core::guard::RuleInfo> for Rule {
    fn from(rule: core::guard::RuleInfo) -> Self {
        Self {
            id: rule.id,
            severity: severity(rule.severity),
            decision: rule.decision.name(),
            reason: rule.reason,
            suggestion: rule.suggestion,
            deny: rule.deny,
            allow: rule.allow,
        }
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// Bytes of a text in the units that JavaScript counts.
fn units(text: &str, bytes: usize) -> u32 {
    let units: usize = text
        .char_indices()
        .take_while(|(at, _)| *at < bytes)
        .map(|(_, character)| character.len_utf16())
        .sum();
    u32::try_from(units).unwrap_or(u32::MAX)
}
