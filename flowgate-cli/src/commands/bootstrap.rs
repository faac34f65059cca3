//! `flowgate bootstrap`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use flowgate_core::config::Config;
use flowgate_core::event::{Event, Level};
use flowgate_core::runtime::{self, Bootstrap, BootstrapOutcome, Progress, write_litellm_runner};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{now, record};
use crate::output::{DIM, Exit, Failure, Output, Result, STRONG, WARN};
use crate::visible::one_line;

#[derive(Debug, Subcommand)]
pub(crate) enum BootstrapCommand {
    /// Install CLIProxyAPIPlus and what starts LiteLLM.
    Download {
        #[command(flatten)]
        what: WhatArgs,
        /// Install from this file instead of the network.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// With `--from`: the SHA-256 that the file must have.
        #[arg(long, value_name = "HEX", requires = "from")]
        sha256: Option<String>,
        /// Leave LiteLLM alone.
        #[arg(long)]
        no_litellm: bool,
    },
    /// Install the latest CLIProxyAPIPlus if it is newer.
    Update {
        #[command(flatten)]
        what: WhatArgs,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
        /// Only say whether there is something newer. Exit code 1 if there is.
        #[arg(long)]
        check: bool,
    },
    /// List the versions that are installed; `*` marks the active one.
    List,
    /// Put back the version before the active one, or the one that is named.
    Rollback {
        /// The version.
        version: Option<String>,
    },
}

/// What is to be installed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WhatArgs {
    /// The version of CLIProxyAPIPlus, or `latest`. Default: that of the configuration.
    #[arg(long, value_name = "VERSION")]
    cliproxy_version: Option<String>,
    /// The repository it is released in.
    #[arg(long, value_name = "OWNER/NAME")]
    cliproxy_repo: Option<String>,
    /// Refuse what has no checksum.
    #[arg(long, alias = "require-sha256")]
    require_checksum: bool,
}

pub(crate) fn run(
    command: BootstrapCommand,
    config: impl Fn() -> Result<PathBuf>,
    output: &mut Output,
) -> Result {
    let config = runtime::resolve(&runtime::load(&config()?)?)?;
    let usual = Bootstrap::of(config.settings())?;
    match command {
        BootstrapCommand::Download {
            what,
            from,
            sha256,
            no_litellm,
        } => {
            let bootstrap = wanted(usual, &what);
            let done = match &from {
                Some(file) => bootstrap
                    .install_file(file, sha256.as_deref())
                    .map_err(Failure::from),
                None => fetch(&bootstrap, output),
            };
            let outcome = noted(&config, &bootstrap, done, output)?;
            let litellm = if no_litellm {
                None
            } else {
                litellm(&config, output)?
            };
            report(&outcome, litellm.as_deref(), output)
        }
        BootstrapCommand::Update { what, yes, check } => {
            update(&config, &wanted(usual, &what), yes, check, output)
        }
        BootstrapCommand::List => list(&usual, output),
        BootstrapCommand::Rollback { version } => {
            let active = usual.rollback(version.as_deref())?;
            let event = Event::new("bootstrap.rolled_back", Level::Info, "cliproxyapi_plus");
            record(
                &config,
                event.with("version", active.version.as_str()),
                output,
            );
            if output.is_json() {
                output.json(&active)?;
            } else {
                output.text(format_args!(
                    "{STRONG}{}{STRONG:#} is active again; restart the service to use it\n",
                    one_line(&active.version)
                ))?;
            }
            Ok(Exit::Done)
        }
    }
}

fn wanted(mut bootstrap: Bootstrap, what: &WhatArgs) -> Bootstrap {
    if let Some(version) = &what.cliproxy_version {
        if *version != bootstrap.version {
            // What is pinned is pinned for the configured version.
            bootstrap.sha256 = None;
        }
        bootstrap.version.clone_from(version);
    }
    if let Some(repository) = &what.cliproxy_repo {
        bootstrap.repository.clone_from(repository);
    }
    bootstrap.require_checksum |= what.require_checksum;
    bootstrap
}

fn fetch(bootstrap: &Bootstrap, output: &Output) -> Result<BootstrapOutcome> {
    let bar = ProgressBar::hidden();
    let bar = bar.with_style(style());
    if !output.is_json() && std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    let outcome = bootstrap.download(|Progress { done, total, .. }| {
        bar.set_length(total.unwrap_or(done));
        bar.set_position(done);
    });
    bar.finish_and_clear();
    Ok(outcome?)
}

/// Notes what was installed, or why nothing was.
fn noted(
    config: &Config,
    bootstrap: &Bootstrap,
    done: Result<BootstrapOutcome>,
    output: &mut Output,
) -> Result<BootstrapOutcome> {
    let name = "cliproxyapi_plus";
    let event = match &done {
        Ok(outcome) => Event::new("bootstrap.installed", Level::Info, name)
            .with("version", outcome.version.as_str())
            .with("previous", outcome.previous.clone())
            .with("sha256", outcome.sha256.as_str())
            .with("verified_by", outcome.verified_by),
        Err(failure) => Event::new("bootstrap.failed", Level::Error, name)
            .with("version", bootstrap.version.as_str())
            .with("error", failure.to_json()),
    };
    record(config, event, output);
    done
}

fn style() -> ProgressStyle {
    let template = "{bar:32} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// LiteLLM may come another way: that it cannot be set up is worth a note.
fn litellm(config: &Config, output: &mut Output) -> Result<Option<PathBuf>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match write_litellm_runner(config.settings(), &path) {
        Ok(path) => Ok(Some(path)),
        Err(error) => {
            output.note(format_args!(
                "{WARN}note{WARN:#}: LiteLLM is not set up: {}\n",
                one_line(&error.to_string())
            ));
            Ok(None)
        }
    }
}

fn report(outcome: &BootstrapOutcome, litellm: Option<&Path>, output: &mut Output) -> Result {
    if output.is_json() {
        output.json(&json!({ "cliproxyapi_plus": outcome, "litellm": litellm }))?;
        return Ok(Exit::Done);
    }
    let path = outcome.path.to_string_lossy();
    output.text(format_args!(
        "installed CLIProxyAPIPlus {STRONG}{}{STRONG:#} as {}\n",
        one_line(&outcome.version),
        one_line(&path)
    ))?;
    match outcome.verified_by {
        Some(who) => output.text(format_args!(
            "{DIM}its checksum is that of the {who}{DIM:#}\n"
        ))?,
        None => output.note(format_args!(
            "{WARN}note{WARN:#}: nobody publishes a checksum for it; its own is {}\n",
            outcome.sha256
        )),
    }
    if let Some(previous) = &outcome.previous {
        output.text(format_args!(
            "{DIM}{} is kept: `flowgate bootstrap rollback` puts it back{DIM:#}\n",
            one_line(previous)
        ))?;
    }
    if let Some(litellm) = litellm {
        output.text(format_args!(
            "wrote {STRONG}{}{STRONG:#}, which starts LiteLLM\n",
            one_line(&litellm.to_string_lossy())
        ))?;
    }
    Ok(Exit::Done)
}

fn update(
    config: &Config,
    bootstrap: &Bootstrap,
    yes: bool,
    check: bool,
    output: &mut Output,
) -> Result {
    let found = bootstrap.check_update(true, now())?;
    let current = found.current.as_deref().unwrap_or("nothing");
    if check || !found.newer {
        if output.is_json() {
            output.json(&found)?;
        } else if found.newer {
            output.text(format_args!(
                "{} is installed, {STRONG}{}{STRONG:#} is the latest\n",
                one_line(current),
                one_line(&found.latest)
            ))?;
        } else {
            output.text(format_args!(
                "{STRONG}{}{STRONG:#} is the latest\n",
                one_line(current)
            ))?;
        }
        return Ok(if check && found.newer {
            Exit::No
        } else {
            Exit::Done
        });
    }
    if !yes && !agreed(current, &found.latest, output)? {
        output.text(format_args!("nothing was changed\n"))?;
        return Ok(Exit::Done);
    }
    let mut latest = bootstrap.clone();
    if latest.version != found.latest {
        // What is pinned is pinned for another version.
        latest.sha256 = None;
    }
    latest.version.clone_from(&found.latest);
    let done = fetch(&latest, output);
    let outcome = noted(config, &latest, done, output)?;
    report(&outcome, None, output)
}

/// Asks a person; whoever says nothing says no.
fn agreed(current: &str, latest: &str, output: &mut Output) -> Result<bool> {
    output.note(format_args!(
        "{} is installed. Install {}? [y/N] ",
        one_line(current),
        one_line(latest)
    ));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn list(bootstrap: &Bootstrap, output: &mut Output) -> Result {
    let all = bootstrap.installed()?;
    if output.is_json() {
        output.json(&json!({ "platform": bootstrap.platform.to_string(), "wanted": bootstrap.version, "installed": all }))?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        output.text(format_args!(
            "nothing is installed; `flowgate bootstrap download` does\n"
        ))?;
    }
    for one in &all {
        let mark = if one.active { '*' } else { ' ' };
        output.text(format_args!(
            "{mark} {STRONG}{:<16}{STRONG:#} {DIM}{}{DIM:#}\n",
            one_line(&one.version),
            one_line(&one.path.to_string_lossy())
        ))?;
    }
    Ok(Exit::Done)
}
