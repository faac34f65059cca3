//! `flowgate up`: supervise, or look at one that does already.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flowgate_core::config::Config;
use flowgate_core::runtime;
use flowgate_core::runtime::process::{
    self, ControlError, Request, Running, RuntimeDir, Supervisor, ask, follow,
};
use flowgate_core::supervise::{Selection, Services};
use rustix::process::Pid;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::quickstart;
use super::view::{View, Watched};
use super::{PATIENT, PROMPT, block_on, is_up, machine, place, show};
use crate::output::{Exit, Failure, Output, Result};
use crate::visible;

/// How to bring services up.
pub(crate) struct Up {
    pub(crate) detach: bool,
    pub(crate) no_attach: bool,
    pub(crate) names: Vec<String>,
}

/// `file` is `None` where there is no configuration.
pub(crate) fn up(file: Option<PathBuf>, mut how: Up, output: &mut Output) -> Result {
    let is_quickstart = file.is_none();
    let file = match file {
        Some(file) => file,
        None => quickstart::place()?,
    };
    how.names.retain(|name| name != "all");
    let (config, dir) = place(&file)?;
    let view = |live| View::new(&config, &file, is_quickstart, live);
    let other = match how.no_attach {
        true => None,
        false => block_on(running(&dir))??,
    };
    if let Some(other) = other {
        if how.detach {
            say_who(&other, &dir, output);
            let request = Request::Start {
                services: how.names,
            };
            return show(&block_on(ask(&dir, &request, PATIENT))??, is_up, output);
        }
        say_who(&other, &dir, output);
        return block_on(attach(&dir, how.names, view(output.is_live()), output))?;
    }
    let services = runtime::services(&config)
        .map_err(|error| Failure::Usage("cli.services", error.to_string(), String::new()))?;
    let which = selection(&services, &how.names)?;
    if how.detach {
        let exit = detach(&file, &dir, &how.names, output)?;
        view(false).hints(output)?;
        return Ok(exit);
    }
    block_on(async {
        let running = match start(&config, services, &dir).await {
            // Another one was quicker.
            Err(process::Error::Locked { .. }) if !how.no_attach && is_coming(&dir).await? => {
                return attach(&dir, how.names, view(output.is_live()), output).await;
            }
            started => started?,
        };
        make_ready(&config, &running, output)?;
        stay_up(running, &which, view(output.is_live()), output).await
    })?
}

fn selection(services: &Services, names: &[String]) -> Result<Selection> {
    if let Some(name) = names.iter().find(|name| services.get(name).is_none()) {
        return Err(Failure::Usage(
            "cli.unknown_service",
            format!("there is no service `{name}`"),
            "`flowgate config show` shows which there are".to_owned(),
        ));
    }
    Ok(Selection::of(names))
}

// One that runs already.

/// What the supervisor of a directory says, if there is one.
async fn running(dir: &Path) -> Result<Option<Value>> {
    match ask(dir, &Request::Status, PROMPT).await {
        Ok(status) => Ok(Some(status)),
        Err(ControlError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a supervisor that has the directory, and does not answer yet.
async fn is_coming(dir: &Path) -> Result<bool> {
    let began = Instant::now();
    while began.elapsed() < PROMPT {
        if running(dir).await?.is_some() {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(false)
}

fn say_who(status: &Value, dir: &Path, output: &mut Output) {
    let pid = status["pid"].as_u64();
    let who = pid.map_or_else(String::new, |pid| format!(" by process {pid}"));
    output.note(format_args!(
        "`{}` is supervised already{who}; `flowgate down` ends it\n",
        visible::one_line(&dir.to_string_lossy())
    ));
}

/// Shows what another supervisor does, after it was asked to start these.
async fn attach(dir: &Path, names: Vec<String>, mut view: View, output: &mut Output) -> Result {
    let mut signals = Signals::new()?;
    let mut watched = Watched::other(dir).await?;
    let asked = async {
        match names.is_empty() {
            true => at_rest(dir).await,
            false => ask(dir, &Request::Start { services: names }, PATIENT).await,
        }
    };
    let mut asked = std::pin::pin!(asked);
    let mut is_answered = false;
    loop {
        tokio::select! {
            answer = &mut asked, if !is_answered => {
                is_answered = true;
                view.settled(answer?["services"].take(), output)?;
            }
            told = watched.next() => match told? {
                Some(told) => {
                    view.tell(&told, output)?;
                    if told.is_good() {
                        view.look_again(&watched, output).await?;
                    }
                }
                None => break,
            },
            () = view.is_due() => view.draw(&watched, output).await?,
            _ = signals.resized.recv() => view.touch(),
            _ = signals.interrupted.recv() => {
                view.leave();
                output.note(format_args!("the services go on; `flowgate down` ends them\n"));
                return Ok(Exit::Interrupted);
            }
            _ = signals.ended.recv() => return Ok(Exit::Done),
        }
    }
    view.down(output)?;
    Ok(Exit::Done)
}

/// Where the services stand when none of them is on its way.
async fn at_rest(dir: &Path) -> std::result::Result<Value, ControlError> {
    let mut following = follow(dir, PROMPT).await?;
    loop {
        let status = ask(dir, &Request::Status, PROMPT).await?;
        let mut services = status["services"].as_array().into_iter().flatten();
        let rests = |service: &Value| {
            let public = service["public"].as_str();
            matches!(public, Some("running" | "stopped" | "error")) && service["other"].is_null()
        };
        if services.all(rests) || following.next().await?.is_none() {
            return Ok(status);
        }
    }
}

// One's own.

async fn start(
    config: &Config,
    services: Services,
    dir: &Path,
) -> std::result::Result<Running, process::Error> {
    let log = runtime::EventLog::new(config.settings().paths.log_file());
    let supervisor = Supervisor::new(services, RuntimeDir::new(dir)?).log(log);
    supervisor.start().await
}

/// A service that reads the configuration of the active profile needs one: if none is active, the
/// first becomes it.
fn make_ready(config: &Config, running: &Running, output: &mut Output) -> Result<()> {
    if let Some(repaired) = running.repaired() {
        output.note(format_args!(
            "a change was interrupted ({}): what it had begun is put back\n",
            visible::one_line(&repaired.what)
        ));
    }
    let active = config.settings().paths.active_config();
    let services = runtime::services(config);
    let services = services
        .map_err(|error| Failure::Usage("cli.services", error.to_string(), String::new()))?;
    let mut texts = services.iter().flat_map(|spec| {
        let command = &spec.command;
        command.args.iter().chain(command.env.values())
    });
    let is_read = texts.any(|text| text.contains(&active));
    let is_there = runtime::active_profile(config)?.is_some() && Path::new(&active).exists();
    let first = config.profile_names().next();
    if let Some(first) = first.filter(|_| is_read && !is_there) {
        runtime::activate(config, first, super::super::now())?;
        output.note(format_args!(
            "no profile was active: now `{}` is\n",
            visible::one_line(first)
        ));
    }
    Ok(())
}

struct Signals {
    interrupted: Signal,
    ended: Signal,
    hung_up: Signal,
    resized: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let on = |kind| signal(kind).map_err(|error| machine("cli.signal", &error));
        Ok(Self {
            interrupted: on(SignalKind::interrupt())?,
            ended: on(SignalKind::terminate())?,
            hung_up: on(SignalKind::hangup())?,
            resized: on(SignalKind::window_change())?,
        })
    }
}

/// How long nothing has happened when what only the last thing needed is let go of.
const QUIET: Duration = Duration::from_secs(2);

async fn until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Supervises until everything is down. The first Ctrl-C stops in order, the second at once.
async fn stay_up(
    running: Running,
    which: &Selection,
    mut view: View,
    output: &mut Output,
) -> Result {
    use std::io::IsTerminal;
    let mut signals = Signals::new()?;
    let handle = running.handle();
    let mut watched = Watched::own(&handle);
    let mut serving = std::pin::pin!(running.serve());
    handle.start(which.clone());
    let mut settled = std::pin::pin!(handle.settled(which));
    let mut is_settled = false;
    let mut stops = 0;
    let mut quiet = None;
    let served = loop {
        tokio::select! {
            served = &mut serving => break served,
            status = &mut settled, if !is_settled => {
                is_settled = true;
                let services = serde_json::to_value(status).unwrap_or_default();
                view.settled(services, output)?;
            }
            () = until(quiet) => {
                quiet = None;
                handle.release_memory();
            }
            told = watched.next() => match told? {
                Some(told) => {
                    quiet = Some(tokio::time::Instant::now() + QUIET);
                    view.tell(&told, output)?;
                    if told.is_good() {
                        view.look_again(&watched, output).await?;
                    }
                }
                None => break serving.await,
            },
            () = view.is_due() => view.draw(&watched, output).await?,
            _ = signals.resized.recv() => view.touch(),
            _ = signals.interrupted.recv() => {
                stops += 1;
                is_settled = true;
                handle.shutdown(stops > 1);
                view.stopping(stops > 1, output)?;
            }
            _ = signals.ended.recv() => {
                is_settled = true;
                handle.shutdown(false);
                view.stopping(false, output)?;
            }
            // Its terminal is gone. In the background it never had one.
            _ = signals.hung_up.recv(), if io::stdin().is_terminal() => handle.shutdown(false),
        }
    };
    view.down(output)?;
    served?;
    Ok(if stops > 0 {
        Exit::Interrupted
    } else {
        Exit::Done
    })
}

/// Starts the same in the background, and waits until it answers and the services rest.
fn detach(file: &Path, dir: &Path, names: &[String], output: &mut Output) -> Result {
    RuntimeDir::new(dir)?;
    let log = dir.join("logs").join("flowgate.log");
    let file_error = |error: io::Error| machine("cli.cannot_log", &error);
    let to = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(file_error)?;
    let program = std::env::current_exe().map_err(|error| machine("cli.no_program", &error))?;
    let mut child = Command::new(program)
        .arg("--config")
        .arg(fs::canonicalize(file).unwrap_or_else(|_| file.to_owned()))
        .args(["up", "--no-attach"])
        .args(names)
        .stdin(Stdio::null())
        .stdout(to.try_clone().map_err(file_error)?)
        .stderr(to)
        .process_group(0)
        .spawn()
        .map_err(|error| machine("cli.cannot_start", &error))?;
    let request = Request::Start {
        services: names.to_vec(),
    };
    let began = Instant::now();
    let answer = loop {
        match block_on(ask(dir, &request, PATIENT))? {
            Err(ControlError::NotRunning { .. }) if began.elapsed() < PROMPT => {}
            answer => break answer?,
        }
        if let Ok(Some(_)) = child.try_wait() {
            let why = fs::read_to_string(&log).unwrap_or_default();
            let last = why
                .lines()
                .rev()
                .find(|line| line.contains("error"))
                .unwrap_or("");
            return Err(machine("cli.ended", &format!("it ended at once; {last}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    if answer["pid"] != child.id() {
        // Another one was quicker. Ours still waits for its place, and would take it when that one is
        // brought down.
        let _ =
            rustix::process::kill_process(Pid::from_child(&child), rustix::process::Signal::TERM);
        let _ = child.wait();
    }
    show(&answer, is_up, output)
}
