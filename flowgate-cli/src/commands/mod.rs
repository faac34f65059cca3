//! What each command does.

mod accounts;
pub(crate) mod auth;
pub(crate) mod bootstrap;
mod config;
mod dev;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
mod guard;
pub(crate) mod health;
pub(crate) mod hook;
mod init;
mod integration;
#[cfg(target_os = "linux")]
mod logs;
mod profile;
mod quickstart;
#[cfg(target_os = "linux")]
mod supervise;
#[cfg(not(target_os = "linux"))]
use elsewhere as logs;
#[cfg(not(target_os = "linux"))]
use elsewhere as supervise;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::CommandFactory;
use flowgate_core::Timestamp;
use flowgate_core::config::Config;
use flowgate_core::event::Event;
use flowgate_core::runtime::EventLog;

use crate::args::{Args, Command, ConfigCommand, ProfileCommand};
use crate::output::{Exit, Failure, Output, Result, WARN};

pub(crate) fn run(args: Args, output: &mut Output) -> Result {
    let named = args.config();
    let file = || config_file(named.as_deref());
    match args.command {
        Command::Init {
            file,
            force,
            quickstart,
        } => {
            let file = file.or_else(|| named.clone());
            let file = file.unwrap_or_else(|| USUAL[0].into());
            init::init(&file, force, quickstart, output)
        }
        Command::Completions { shell } => completions(shell, output),
        Command::Accounts(command) => accounts::run(&command, file, output),
        Command::Auth(command) => auth::run(command, file, output),
        Command::Bootstrap(command) => bootstrap::run(command, file, output),
        Command::Health(args) => health::health(&file()?, &args, output),
        Command::Doctor(args) => health::doctor(&file()?, &args, output),
        Command::Dev(command) => dev::run(&command, output),
        Command::Guard(command) => guard::run(command, output),
        Command::Integration(command) => integration::run(command, file, output),
        Command::Up {
            detach,
            no_attach,
            services,
        } => {
            let how = supervise::Up {
                detach,
                no_attach,
                names: services,
            };
            supervise::up(named.clone().or_else(usual_file), how, output)
        }
        Command::Down { force } => supervise::down(&file()?, force, output),
        Command::Status => supervise::status(&file()?, output),
        Command::Apply { dry_run } => supervise::apply(&file()?, dry_run, output),
        Command::Service(command) => supervise::service(&file()?, command, output),
        Command::Logs {
            follow,
            lines,
            services,
        } => logs::logs(&file()?, follow, lines, &services, output),
        Command::Config(command) => match command {
            ConfigCommand::Check { jsonl: true } => config::check_lines(),
            ConfigCommand::Check { jsonl: false } => config::check(&file()?, output),
            ConfigCommand::Show => config::show(&file()?, output),
            ConfigCommand::Resolve { jsonl: true } => config::resolve_lines(),
            ConfigCommand::Resolve { jsonl: false } => config::resolve(&file()?, output),
            ConfigCommand::Migrate { dry_run } => config::migrate(&file()?, dry_run, output),
            ConfigCommand::Schema => config::schema(output),
        },
        Command::Profile(command) => match command {
            ProfileCommand::List => profile::list(&file()?, output),
            ProfileCommand::Show { name, explain } => {
                profile::show(&file()?, &name, explain, output)
            }
            ProfileCommand::Diff { from, to } => profile::diff(&file()?, &from, &to, output),
            ProfileCommand::Set { name } => profile::set(&file()?, &name, output),
            ProfileCommand::Merge {
                base: Some(base),
                overlay: Some(overlay),
                ..
            } => profile::merge(&base, &overlay, output),
            ProfileCommand::Merge { .. } => profile::merge_lines(),
        },
    }
}

/// Where the configuration is if nobody says so.
const USUAL: [&str; 2] = ["flowgate.yaml", "config/flowgate.yaml"];

/// The file that was named, or the first of the usual ones that is there, or what `flowgate up`
/// wrote where there was none.
fn config_file(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let written = || Some(PathBuf::from(quickstart::FILE)).filter(|path| path.exists());
    usual_file().or_else(written).ok_or_else(|| {
        Failure::Usage(
            "cli.no_config",
            format!("there is no `{}` and no `{}` here", USUAL[0], USUAL[1]),
            "name a file with `--config`, write one with `flowgate init`, or try the quickstart with `flowgate up`".to_owned(),
        )
    })
}

fn usual_file() -> Option<PathBuf> {
    if std::env::current_dir().is_err() {
        // There is nothing to look for; reading it says why.
        return Some(USUAL[0].into());
    }
    let mut usual = USUAL.iter().map(PathBuf::from);
    usual.find(|path| path.exists())
}

fn completions(shell: clap_complete::Shell, output: &mut Output) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "flowgate", &mut script);
    output.text(format_args!("{}", String::from_utf8_lossy(&script)))?;
    Ok(Exit::Done)
}

/// The time, which the library is told and never asks for.
fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

/// The home directory.
fn home() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    home.filter(|home| home.is_absolute()).ok_or_else(|| {
        Failure::Usage(
            "cli.no_home",
            "`HOME` does not say where the home directory is".to_owned(),
            "set it, or name the file".to_owned(),
        )
    })
}

/// Notes in the event log what was done. That it cannot be noted does not undo it.
fn record(config: &Config, event: Event, output: &mut Output) {
    let path = config.settings().paths.log_file();
    if let Err(error) = EventLog::new(path).append(now(), event) {
        let message = crate::visible::one_line(&error.to_string()).into_owned();
        output.note(format_args!("{WARN}note{WARN:#}: {message}\n"));
    }
}
