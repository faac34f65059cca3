//! `flowgate guard hook`: the way that agents take, before every command they run.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flowgate_core::guard::hook::{self, Agent, Answer};
use flowgate_core::runtime::guard::{
    Audited, GuardFiles, audit, governed, place, redeem_or_request, strict,
};
use serde::Deserialize;

use super::now;

/// More input than this is answered with no.
const MOST_INPUT: u64 = 8 << 20;
/// Rules that no exception covers: they keep the agent from opening the guard for itself.
const PROTECTED: &str = "core.guard:";

/// Whether the arguments are those of the hook: `guard hook [--agent NAME]`.
pub(crate) fn asked(arguments: impl Iterator<Item = OsString>) -> Option<Option<Agent>> {
    let arguments: Vec<OsString> = arguments.take(5).collect();
    let words: Vec<&str> = arguments
        .iter()
        .map(|word| word.to_str())
        .collect::<Option<_>>()?;
    match words.as_slice() {
        ["guard", "hook"] => Some(None),
        ["guard", "hook", "--agent", name] => Agent::from_name(name).map(Some),
        _ => None,
    }
}

/// Where the input says that the command will run.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Where {
    cwd: Option<String>,
    workspace_roots: Vec<String>,
}

/// Answers on standard output; a failure to do so stops the agent.
pub(crate) fn answer(agent: Option<Agent>) -> ExitCode {
    let mut input = String::new();
    // What cannot be read is no JSON, and is answered so.
    let mut stdin = io::stdin().lock().take(MOST_INPUT);
    if stdin.read_to_string(&mut input).is_err() {
        input.clear();
    }
    let answer = judge(agent, &input);
    let printed = io::stdout()
        .write_all(answer.stdout.as_bytes())
        .and_then(|()| io::stdout().flush());
    if !answer.stderr.is_empty() {
        say(&answer.stderr);
    }
    ExitCode::from(if printed.is_ok() { answer.exit } else { 2 })
}

fn say(problem: &str) {
    // Nothing can be said about standard error failing.
    let _ = writeln!(io::stderr(), "flowgate: {problem}");
}

fn judge(agent: Option<Agent>, input: &str) -> Answer {
    let told: Where = serde_json::from_str(input).unwrap_or_default();
    let home = std::env::var("HOME").unwrap_or_default();
    let cwd = told
        .cwd
        .or_else(|| told.workspace_roots.into_iter().next())
        .filter(|cwd| !cwd.is_empty())
        .or_else(|| Some(std::env::current_dir().ok()?.to_string_lossy().into_owned()))
        .unwrap_or_default();
    let files = GuardFiles::of(Path::new(&home));
    let (guard, audited) = match governed(&files, &PathBuf::from(&cwd)) {
        Ok(governed) => (governed.guard, governed.policy.audit),
        Err(error) => {
            say(&format!(
                "{error}\nthe guard is strict until that is mended"
            ));
            (strict(), false)
        }
    };
    let now = now();
    let mut answer = hook::answer(&guard, agent, input, &place(&cwd, &home, now));
    let (Some(verdict), Some(command)) = (&answer.verdict, &answer.command) else {
        return answer;
    };
    if verdict.decision.runs() {
        return answer;
    }
    let cwd = answer.cwd.as_deref().unwrap_or_default();
    let protected = verdict
        .rule
        .as_deref()
        .is_some_and(|rule| rule.starts_with(PROTECTED));
    let excepted = !protected
        && redeem_or_request(&files, command, cwd, now).unwrap_or_else(|error| {
            say(&error.to_string());
            false
        });
    if audited {
        let entry = Audited {
            now,
            agent: agent.map(Agent::name),
            command,
            cwd,
            verdict,
            excepted,
        };
        if let Err(error) = audit(&files, &entry) {
            say(&error.to_string());
        }
    }
    if excepted {
        answer.stdout.clear();
        answer.exit = 0;
    }
    answer
}
