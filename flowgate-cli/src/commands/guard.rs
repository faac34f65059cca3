//! `flowgate guard …`.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use flowgate_core::guard::hook::Agent;
use flowgate_core::guard::pack::check_user_packs;
use flowgate_core::guard::scan::{FileKind, ScanFinding, sarif, scan};
use flowgate_core::guard::{Context, Decision, Guard, PackInfo, Policy};
use flowgate_core::runtime;
use flowgate_core::runtime::guard::{self as files, GuardFiles, HookState};
use serde::Deserialize;
use serde_json::json;

use super::now;
use crate::args::{GuardCommand, HookCommand, Place};
use crate::jsonl::answer_lines;
use crate::output::{DIM, Exit, Failure, Output, Result, STRONG};

/// Files larger than this are not scanned.
const LARGEST_FILE: u64 = 1 << 20;
/// Directories that hold what others wrote or a build made.
const SKIPPED: [&str; 8] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "__pycache__",
    "node_modules",
    "target",
    "vendor",
];

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

fn user_files() -> GuardFiles {
    GuardFiles::of(Path::new(&std::env::var_os("HOME").unwrap_or_default()))
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

/// A line of a corpus.
#[derive(Deserialize)]
struct Row {
    command: String,
    expect: Decision,
}

fn test(place: &Place, corpus: &Path, output: &mut Output) -> Result {
    let seat = Seat::of(place)?;
    let text = if corpus == Path::new("-") {
        text_of(Vec::new())?
    } else {
        let bytes = runtime::read_document(corpus)?;
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (mut stop, mut stopped, mut run, mut ran) = (0, 0, 0, 0);
    let mut misses = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let row: Row = serde_json::from_str(line).map_err(|error| {
            Failure::Usage(
                "cli.bad_line",
                format!("{}:{}: {error}", corpus.display(), index + 1),
                "a line is {\"command\": \"…\", \"expect\": \"allow\" or \"deny\"}".to_owned(),
            )
        })?;
        let verdict = seat.guard.check(&row.command, &seat.context);
        let right = verdict.decision.runs() == row.expect.runs();
        let (all, good) = if row.expect.runs() {
            (&mut run, &mut ran)
        } else {
            (&mut stop, &mut stopped)
        };
        *all += 1;
        *good += usize::from(right);
        if !right {
            misses.push(json!({
                "line": index + 1,
                "command": row.command,
                "expect": row.expect,
                "decision": verdict.decision,
                "rule": verdict.rule,
            }));
        }
    }
    if output.is_json() {
        output.json(&json!({
            "to_stop": stop, "stopped": stopped, "to_run": run, "stopped_wrongly": run - ran, "misses": misses,
        }))?;
    } else {
        for miss in &misses {
            output.text(format_args!(
                "{STRONG}{}:{}{STRONG:#}: expected {}, got {}{}\n  {}\n",
                corpus.display(),
                miss["line"],
                miss["expect"].as_str().unwrap_or_default(),
                miss["decision"].as_str().unwrap_or_default(),
                miss["rule"]
                    .as_str()
                    .map(|rule| format!(" by {rule}"))
                    .unwrap_or_default(),
                miss["command"].as_str().unwrap_or_default().escape_debug(),
            ))?;
        }
        output.text(format_args!(
            "recall {} ({stopped} of {stop}), false positives {} ({} of {run})\n",
            percent(stopped, stop),
            percent(run - ran, run),
            run - ran
        ))?;
    }
    Ok(if misses.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of lines are small")]
    let share = part as f64 * 100.0 / whole as f64;
    format!("{share:.1} %")
}

fn test_packs(files: &[PathBuf], output: &mut Output) -> Result {
    let mut texts = Vec::new();
    for file in files {
        let bytes = runtime::read_document(file)?;
        texts.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    let wrong = check_user_packs(texts.iter().map(String::as_str)).map_err(|error| {
        let names: Vec<String> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        Failure::Usage(
            error.code(),
            format!("{}: {error}", names.join(", ")),
            "docs/packs.md describes the format".to_owned(),
        )
    })?;
    if output.is_json() {
        output.json(&json!({ "wrong": wrong }))?;
    } else if wrong.is_empty() {
        output.text(format_args!("every example comes out as written\n"))?;
    } else {
        for line in &wrong {
            output.text(format_args!("{line}\n"))?;
        }
    }
    Ok(if wrong.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}

fn packs(filter: Option<&str>, rules: bool, output: &mut Output) -> Result {
    let home = std::env::var("HOME").unwrap_or_default();
    let guard = files::governed(&GuardFiles::of(Path::new(&home)), Path::new(&here()))?.guard;
    let mut packs = guard.packs();
    if let Some(filter) = filter {
        let filter = filter.to_lowercase();
        packs.retain(|pack| has(pack, &filter));
    }
    if output.is_json() {
        output.json(&packs)?;
    } else {
        let width = packs.iter().map(|pack| pack.id.len()).max().unwrap_or(0);
        for pack in &packs {
            output.text(format_args!(
                "{STRONG}{:width$}{STRONG:#}  {:3} rules  {}\n",
                pack.id,
                pack.rules.len(),
                pack.description
            ))?;
            for rule in pack.rules.iter().filter(|_| rules) {
                output.text(format_args!(
                    "  {} {DIM}({}, {:?}){DIM:#}\n      {}\n",
                    rule.id,
                    rule.decision.name(),
                    rule.severity,
                    rule.reason
                ))?;
                if let Some(suggestion) = &rule.suggestion {
                    output.text(format_args!("      {DIM}instead: {suggestion}{DIM:#}\n"))?;
                }
                for example in &rule.deny {
                    output.text(format_args!(
                        "      {DIM}e.g. {}{DIM:#}\n",
                        example.escape_debug()
                    ))?;
                }
            }
        }
        let count: usize = packs.iter().map(|pack| pack.rules.len()).sum();
        output.text(format_args!("{} packs, {count} rules\n", packs.len()))?;
    }
    Ok(if packs.is_empty() {
        Exit::No
    } else {
        Exit::Done
    })
}

fn has(pack: &PackInfo, filter: &str) -> bool {
    let rules = pack.rules.iter().map(|rule| rule.id.as_str());
    [pack.id.as_str(), &pack.name, &pack.description]
        .into_iter()
        .chain(rules)
        .any(|text| text.to_lowercase().contains(filter))
}

fn scan_paths(place: &Place, as_sarif: bool, paths: &[PathBuf], output: &mut Output) -> Result {
    let seat = Seat::of(place)?;
    let mut found: Vec<ScanFinding> = Vec::new();
    let mut scanned = 0_usize;
    for file in walk(paths)? {
        let Ok(bytes) = fs::read(&file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let name = file.to_string_lossy();
        if let Some(kind) = FileKind::of(&name, &text) {
            scanned += 1;
            found.extend(scan(&seat.guard, kind, &name, &text, &seat.context));
        }
    }
    if as_sarif {
        output.json(&sarif(&found, env!("CARGO_PKG_VERSION")))?;
    } else if output.is_json() {
        output.json(&json!({ "files": scanned, "findings": found }))?;
    } else {
        for finding in &found {
            output.text(format_args!(
                "{STRONG}{}:{}:{}{STRONG:#}: {} by {}\n  | {}\n  why: {}\n",
                finding.path,
                finding.line,
                finding.column,
                finding.verdict.decision.name(),
                finding.verdict.rule.as_deref().unwrap_or_default(),
                finding.snippet,
                finding.verdict.reason.as_deref().unwrap_or_default()
            ))?;
        }
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        output.text(format_args!(
            "{} finding{} in {scanned} file{}\n",
            found.len(),
            plural(found.len()),
            plural(scanned)
        ))?;
    }
    Ok(if found.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}

/// The files named and those below directories named, in order; links are not followed.
fn walk(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| {
            Failure::Usage(
                "cli.no_file",
                format!("cannot read `{}`: {error}", path.display()),
                "name files or directories that are there".to_owned(),
            )
        })?;
        if metadata.is_file() {
            files.push(path.clone());
            continue;
        }
        let mut directories = vec![path.clone()];
        while let Some(directory) = directories.pop() {
            // A directory that may not be read is left out.
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            let mut entries: Vec<_> = entries.flatten().collect();
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
            for entry in entries {
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                let name = entry.file_name();
                if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
                    directories.push(entry.path());
                } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() <= LARGEST_FILE)
                {
                    files.push(entry.path());
                }
            }
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn hook(command: &HookCommand, output: &mut Output) -> Result {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    if !home.is_absolute() {
        return Err(Failure::Usage(
            "cli.no_home",
            "`$HOME` is not an absolute path".to_owned(),
            "set it: the settings of agents are there".to_owned(),
        ));
    }
    match command {
        HookCommand::Install { agent } => {
            let state = files::install_hook(*agent, &home, &program()?)?;
            let did = if state.changed {
                "is installed for"
            } else {
                "was installed already for"
            };
            tell(*agent, &state, did, output)
        }
        HookCommand::Uninstall { agent } => {
            let state = files::uninstall_hook(*agent, &home)?;
            let did = if state.changed {
                "removed from"
            } else {
                "is not installed for"
            };
            tell(*agent, &state, did, output)
        }
        HookCommand::Status { agent } => {
            let agents = agent.map_or(Agent::ALL.to_vec(), |agent| vec![agent]);
            let mut states = Vec::new();
            let mut all = true;
            for agent in agents {
                let state = files::hook_status(agent, &home)?;
                let installed = !state.commands.is_empty();
                all &= installed;
                if !output.is_json() {
                    let did = if installed {
                        "is installed for"
                    } else {
                        "is not installed for"
                    };
                    tell(agent, &state, did, output)?;
                }
                states.push(json!({ "agent": agent, "installed": installed, "file": state.file, "commands": state.commands }));
            }
            if output.is_json() {
                output.json(&states)?;
            }
            Ok(if all || agent.is_none() {
                Exit::Done
            } else {
                Exit::No
            })
        }
    }
}

fn program() -> Result<String> {
    let path = std::env::current_exe().ok();
    path.and_then(|path| path.to_str().map(str::to_owned))
        .ok_or_else(|| {
            Failure::Usage(
                "cli.no_program",
                "the path of this program is not known as text".to_owned(),
                "move it to a directory whose name is text".to_owned(),
            )
        })
}

fn tell(agent: Agent, state: &HookState, did: &str, output: &mut Output) -> Result {
    if output.is_json() {
        output.json(&json!({
            "agent": agent, "file": state.file, "commands": state.commands,
            "changed": state.changed, "backup": state.backup,
        }))?;
        return Ok(Exit::Done);
    }
    output.text(format_args!(
        "the hook {did} {STRONG}{}{STRONG:#} ({})\n",
        agent.name(),
        state.file.display()
    ))?;
    for command in &state.commands {
        output.text(format_args!("  {command}\n"))?;
    }
    if let Some(backup) = &state.backup {
        output.text(format_args!(
            "{DIM}the old file is kept as {}{DIM:#}\n",
            backup.display()
        ))?;
    }
    if agent == Agent::Codex && state.changed && !state.commands.is_empty() {
        output.text(format_args!(
            "Codex asks you to trust the hook when it starts next: say yes with `/hooks`\n"
        ))?;
    }
    Ok(Exit::Done)
}

fn allow(code: &str, output: &mut Output) -> Result {
    // The hook refuses these verbs to agents; a shell without a terminal is probably one.
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "cli.no_terminal",
            "only a person at a terminal can grant an exception".to_owned(),
            "run it in a terminal of your own".to_owned(),
        ));
    }
    let files = user_files();
    if code == "list" {
        let requests = files::requests(&files, now())?;
        if output.is_json() {
            output.json(&requests)?;
        } else if requests.is_empty() {
            output.text(format_args!("no command waits for you\n"))?;
        }
        let shown = if output.is_json() {
            &[]
        } else {
            requests.as_slice()
        };
        for request in shown {
            let minutes = request.expires.saturating_sub(now()) / 60_000;
            output.text(format_args!(
                "{STRONG}{}{STRONG:#}  {}\n           {DIM}in {}, for {minutes} more minutes{DIM:#}\n",
                request.code,
                request.command.escape_debug(),
                request.cwd
            ))?;
        }
        return Ok(Exit::Done);
    }
    match files::grant(&files, code, now())? {
        Some(grant) if output.is_json() => output.json(&grant)?,
        Some(grant) => output.text(format_args!(
            "may run once in {}, within ten minutes:\n  {}\n",
            grant.cwd,
            grant.command.escape_debug()
        ))?,
        None => {
            return Err(Failure::Usage(
                "guard.unknown_code",
                "no command waits under this code".to_owned(),
                "`flowgate guard allow list` shows those that do".to_owned(),
            ));
        }
    }
    Ok(Exit::Done)
}
