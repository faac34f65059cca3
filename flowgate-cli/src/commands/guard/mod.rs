//! `flowgate guard …`.

mod allow;
mod corpus;
mod hooks;
mod packs;
mod scan;

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use flowgate_core::guard::{Context, Decision, Guard, Policy};
use flowgate_core::runtime::guard::{self as files, GuardFiles};
use serde::Deserialize;

use super::now;
use crate::args::{GuardCommand, Place};
use crate::jsonl::answer_lines;
use crate::output::{Exit, Failure, Output, Result};
use allow::allow;
use corpus::{test, test_packs};
use hooks::hook;
use packs::packs;
use scan::scan_paths;

pub(crate) fn run(command: GuardCommand, output: &mut Output) -> Result {
    match command {
        GuardCommand::Check {
            place, jsonl: true, ..
        } => check_lines(&place),
        GuardCommand::Check { place, command, .. } => check(&place, &text_of(command)?, output),
        GuardCommand::Explain { place, command } => explain(&place, &text_of(command)?, output),
        GuardCommand::Test { pack, .. } if !pack.is_empty() => test_packs(&pack, output),
        GuardCommand::Test { place, corpus, .. } => test(
            &place,
            &corpus.unwrap_or_else(|| PathBuf::from("-")),
            output,
        ),
        GuardCommand::Packs { filter, rules } => packs(filter.as_deref(), rules, output),
        GuardCommand::Scan {
            place,
            sarif,
            paths,
        } => scan_paths(&place, sarif, &paths, output),
        GuardCommand::Hook {
            command: Some(command),
            ..
        } => hook(&command, output),
        // Reached when there are global options before `guard`.
        GuardCommand::Hook {
            agent,
            command: None,
        } => std::process::exit(
            i32::from(super::hook::answer(agent) != std::process::ExitCode::SUCCESS) * 2,
        ),
        GuardCommand::Allow { code } => allow(&code, output),
    }
}

/// A guard and where it decides.
struct Seat {
    guard: Guard,
    context: Context,
}

impl Seat {
    fn of(place: &Place) -> Result<Self> {
        let home = home(place);
        let cwd = match &place.cwd {
            Some(cwd) => cwd.clone(),
            None => here(),
        };
        let guard = match &place.packs {
            Some(packs) => {
                let policy = Policy {
                    packs: packs.clone(),
                    ..Policy::default()
                };
                files::build(&policy, Path::new("--packs"))?
            }
            None => files::governed(&GuardFiles::of(Path::new(&home)), Path::new(&cwd))?.guard,
        };
        Ok(Self {
            guard,
            context: files::place(&cwd, &home, now()),
        })
    }
}

fn home(place: &Place) -> String {
    let given = place.home.clone();
    given.unwrap_or_else(|| std::env::var("HOME").unwrap_or_default())
}

fn here() -> String {
    std::env::current_dir()
        .map(|path| path.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The command of the arguments: one is shell code, several are words; none is standard input.
fn text_of(command: Vec<String>) -> Result<String> {
    match command.as_slice() {
        [] => {
            if io::stdin().is_terminal() {
                return Err(Failure::Usage(
                    "cli.no_command",
                    "no command is given".to_owned(),
                    "write it behind the verb, or into standard input".to_owned(),
                ));
            }
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(|error| {
                Failure::Usage(
                    "cli.bad_input",
                    format!("cannot read the command: {error}"),
                    "a command is UTF-8 text".to_owned(),
                )
            })?;
            Ok(text)
        }
        [one] => Ok(one.clone()),
        words => Ok(words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ")),
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

const fn exit(decision: Decision) -> Exit {
    if decision.runs() {
        Exit::Done
    } else {
        Exit::No
    }
}

fn check(place: &Place, command: &str, output: &mut Output) -> Result {
    let seat = Seat::of(place)?;
    let verdict = seat.guard.check(command, &seat.context);
    if output.is_json() {
        output.json(&verdict)?;
    } else {
        let mut explanation = seat.guard.explain(command, &seat.context);
        explanation.steps.clear();
        output.text(format_args!("{}", explanation.render(command)))?;
    }
    Ok(exit(verdict.decision))
}

fn explain(place: &Place, command: &str, output: &mut Output) -> Result {
    let seat = Seat::of(place)?;
    let explanation = seat.guard.explain(command, &seat.context);
    if output.is_json() {
        output.json(&explanation)?;
    } else {
        output.text(format_args!("{}", explanation.render(command)))?;
    }
    Ok(exit(explanation.verdict.decision))
}

/// A line of `guard check --jsonl`.
#[derive(Deserialize)]
struct CheckLine {
    command: String,
    cwd: Option<String>,
    home: Option<String>,
}

fn check_lines(place: &Place) -> Result {
    let seat = Seat::of(place)?;
    answer_lines(|line: CheckLine| {
        if line.cwd.is_none() && line.home.is_none() {
            return Ok(seat.guard.check(&line.command, &seat.context));
        }
        let cwd = line.cwd.as_deref().unwrap_or(&seat.context.cwd);
        let home = line.home.as_deref().unwrap_or(&seat.context.home);
        let context = files::place(cwd, home, seat.context.now);
        Ok(seat.guard.check(&line.command, &context))
    })
}
