//! `flowgate health` and `flowgate doctor`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowgate_core::event::{self, Event};
use flowgate_core::health::{Found, Report, Status, Supervised};
use flowgate_core::runtime::{self, Finding, Fix, Level, Patient};
use serde_json::json;

use super::{now, record, supervise};
use crate::output::{ADDED, DIM, Exit, Output, REMOVED, Result, STRONG, WARN, counted};
use crate::visible::one_line;

/// What `health` is asked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// Ask again and again, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// How long to wait between two rounds, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "2", requires = "watch", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// How long a service may take to answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout: u64,
    /// Show what each service answered, and how long it took.
    #[arg(long, short)]
    verbose: bool,
}

pub(crate) fn health(file: &Path, args: &HealthArgs, output: &mut Output) -> Result {
    let config = runtime::resolve(&runtime::load(file)?)?;
    let limit = Duration::from_millis(args.timeout);
    loop {
        let mut report = runtime::check_health_blocking(&config, limit)?;
        if let Some(says) = supervise::supervised(&config) {
            report = report.supervised(&says);
        }
        if args.watch && !output.is_json() && std::io::stdout().is_terminal() {
            output.text(format_args!("\x1b[H\x1b[2J"))?;
        }
        if output.is_json() && args.watch {
            output.line(&answer(&report))?;
        } else if output.is_json() {
            output.json(&answer(&report))?;
        } else {
            show(&report, args.verbose, output)?;
        }
        if !args.watch {
            return Ok(if report.is_healthy() {
                Exit::Done
            } else {
                Exit::No
            });
        }
        std::thread::sleep(Duration::from_secs(args.interval));
    }
}

fn answer(report: &Report) -> serde_json::Value {
    let mut answer = json!(report);
    answer["headline"] = json!(report.headline());
    answer["healthy"] = json!(report.is_healthy());
    answer
}

const fn mark(status: Status) -> (anstyle::Style, &'static str) {
    match status {
        Status::Healthy => (ADDED, "✓"),
        Status::Unknown => (DIM, "?"),
        Status::Degraded => (WARN, "!"),
        Status::Unhealthy => (REMOVED, "✗"),
    }
}

fn show(report: &Report, verbose: bool, output: &mut Output) -> Result<()> {
    output.text(format_args!(
        "{STRONG}{}{STRONG:#}\n",
        one_line(&report.headline())
    ))?;
    for service in &report.services {
        let (style, sign) = mark(service.status);
        let reason = service.reason.as_deref().unwrap_or("ready");
        output.text(format_args!(
            "{style}{sign}{style:#} {:<20} {}\n",
            one_line(&service.service),
            one_line(reason)
        ))?;
        if verbose {
            for (what, found) in [
                ("liveness", &service.liveness),
                ("readiness", &service.readiness),
            ] {
                if let Some(found) = found {
                    output.text(format_args!(
                        "    {DIM}{what:<9} {}{DIM:#}\n",
                        one_line(&told(found))
                    ))?;
                }
            }
            if let Some(says) = &service.supervised {
                output.text(format_args!(
                    "    {DIM}supervisor {}{DIM:#}\n",
                    one_line(&told_supervised(says))
                ))?;
            }
        }
    }
    for check in &report.checks {
        let (style, sign) = mark(check.status);
        output.text(format_args!(
            "{style}{sign}{style:#} {:<20} {}\n",
            check.name,
            one_line(&check.message)
        ))?;
    }
    Ok(())
}

fn told_supervised(says: &Supervised) -> String {
    let pid = says.pid.map(|pid| format!(", process {pid}"));
    let restarts = match says.restarts {
        0 => String::new(),
        n => format!(", started again {n} times"),
    };
    format!("{}{}{restarts}", says.state, pid.unwrap_or_default())
}

fn told(found: &Found) -> String {
    let what = match (found.status, &found.reason) {
        (_, Some(reason)) => reason.clone(),
        (Some(status), None) => format!("HTTP {status}"),
        (None, None) => "it accepts connections".to_owned(),
    };
    format!("{what}, after {} ms", found.took)
}

/// What `doctor` is asked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Carry out the fixes that are safe: permissions, missing directories, abandoned files.
    #[arg(long)]
    fix: bool,
}

pub(crate) fn doctor(file: &Path, args: &DoctorArgs, output: &mut Output) -> Result {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute());
    let read = runtime::load(file).and_then(|config| runtime::resolve(&config));
    let supervised = read.ok().and_then(|config| supervise::supervised(&config));
    let patient = Patient {
        config: file,
        home: home.as_deref(),
        path: std::env::var_os("PATH"),
        now: now(),
        supervised: supervised.as_deref(),
    };
    let mut findings = runtime::examine(&patient);
    let mut fixed = Vec::new();
    if args.fix {
        fixed = runtime::fix(&findings);
        note_fixes(file, &fixed, output);
        findings = runtime::examine(&patient);
    }
    let worst = findings.iter().map(|finding| finding.level).max();
    let exit = if worst == Some(Level::Problem) {
        Exit::No
    } else {
        Exit::Done
    };
    if output.is_json() {
        let fixed = fixed.iter().map(|(fix, done)| json!({ "fix": fix, "error": done.as_ref().err().map(ToString::to_string) }));
        output.json(&json!({
            "healthy": exit == Exit::Done,
            "findings": findings,
            "fixed": fixed.collect::<Vec<_>>(),
        }))?;
        return Ok(exit);
    }
    for (fix, done) in &fixed {
        match done {
            Ok(()) => output.text(format_args!(
                "{ADDED}fixed{ADDED:#} {}\n",
                one_line(&told_fix(fix))
            ))?,
            Err(error) => output.error(&error.to_string(), ""),
        }
    }
    for finding in &findings {
        show_finding(finding, output)?;
    }
    conclude(&findings, args.fix, output)?;
    Ok(exit)
}

fn note_fixes(
    file: &Path,
    fixed: &[(Fix, std::result::Result<(), runtime::Error>)],
    output: &mut Output,
) {
    let Ok(config) = runtime::load(file).and_then(|config| runtime::resolve(&config)) else {
        return;
    };
    for (fix, done) in fixed {
        let level = if done.is_ok() {
            event::Level::Info
        } else {
            event::Level::Warn
        };
        let event = Event::new("doctor.fixed", level, told_fix(fix));
        let error = done.as_ref().err().map(ToString::to_string);
        record(&config, event.with("error", error), output);
    }
}

fn told_fix(fix: &Fix) -> String {
    match fix {
        Fix::ChangeMode { path, mode } => format!("{}: mode {mode:04o}", path.display()),
        Fix::MakeDirectory { path } => format!("{}: made", path.display()),
        Fix::Delete { path } => format!("{}: deleted", path.display()),
    }
}

fn show_finding(finding: &Finding, output: &mut Output) -> Result<()> {
    let (style, sign) = match finding.level {
        Level::Good => (ADDED, "✓"),
        Level::Note => (WARN, "!"),
        Level::Problem => (REMOVED, "✗"),
    };
    output.text(format_args!(
        "{style}{sign}{style:#} {DIM}{:<12}{DIM:#} {}\n",
        finding.check,
        one_line(&finding.message)
    ))?;
    if !finding.hint.is_empty() {
        output.text(format_args!(
            "{:15}{DIM}→ {}{DIM:#}\n",
            "",
            one_line(&finding.hint)
        ))?;
    }
    Ok(())
}

fn conclude(findings: &[Finding], fixed: bool, output: &mut Output) -> Result<()> {
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let problems = count(Level::Problem);
    let fixable = findings
        .iter()
        .filter(|finding| finding.fix.is_some())
        .count();
    output.text(format_args!(
        "{}, {}",
        counted(problems, "problem"),
        counted(count(Level::Note), "note")
    ))?;
    if fixable > 0 && !fixed {
        output.text(format_args!(
            "; `flowgate doctor --fix` takes care of {fixable}"
        ))?;
    }
    output.text(format_args!("\n"))
}
