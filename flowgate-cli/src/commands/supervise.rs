//! `flowgate up`, `down`, `status` and `service`.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flowgate_core::config::Config;
use flowgate_core::health::Supervised;
use flowgate_core::runtime;
use flowgate_core::runtime::process::{ControlError, Heard, Request, RuntimeDir, Supervisor, ask};
use flowgate_core::supervise::{Notice, Selection, ServiceId, Services, SpawnError, What};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::ServiceCommand;
use crate::output::{ADDED, DIM, Exit, Failure, Output, REMOVED, Result, STRONG, WARN};
use crate::visible;

/// How long a supervisor that does nothing else may take to answer.
const PROMPT: Duration = Duration::from_secs(5);
/// How long it may take where the answer is not all that is asked for.
const AT_ONCE: Duration = Duration::from_millis(500);
/// How long starting, stopping and replacing may take: services have limits of their own.
const PATIENT: Duration = Duration::from_secs(600);

/// Runs what waits for something, on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Ok(runtime
        .map_err(|error| machine("cli.no_runtime", &error))?
        .block_on(future))
}

fn machine(code: &'static str, error: &impl ToString) -> Failure {
    Failure::Environment(code, error.to_string(), String::new())
}

/// The configuration with its paths absolute, and the directory that its supervisor has.
pub(super) fn place(file: &Path) -> Result<(Config, PathBuf)> {
    let config = runtime::resolve(&runtime::load(file)?)?;
    let dir = PathBuf::from(config.settings().paths.runtime_dir.as_ref() as &str);
    Ok((config, dir))
}

pub(crate) fn up(file: &Path, detach: bool, names: &[String], output: &mut Output) -> Result {
    let (config, dir) = place(file)?;
    let services = runtime::services(&config)
        .map_err(|error| Failure::Usage("cli.services", error.to_string(), String::new()))?;
    let which = selection(&services, names)?;
    if detach {
        return up_detached(file, &dir, names, output);
    }
    make_ready(&config, &services, &dir, output)?;
    block_on(stay_up(&config, services, &which, &dir, output))?
}

/// A service that reads the configuration of the active profile needs one: if none is active, the
/// first becomes it.
fn make_ready(config: &Config, services: &Services, dir: &Path, output: &mut Output) -> Result<()> {
    // A supervisor that runs looks after that itself.
    if block_on(ask(dir, &Request::Status, PROMPT))?.is_ok() {
        return Ok(());
    }
    let active = config.settings().paths.active_config();
    let mut args = services.iter().flat_map(|spec| &spec.command.args);
    let is_read = args.any(|arg| arg.contains(&active));
    let is_there = runtime::active_profile(config)?.is_some() && Path::new(&active).exists();
    if let Some(first) = config
        .profile_names()
        .next()
        .filter(|_| is_read && !is_there)
    {
        runtime::activate(config, first, super::now())?;
        output.note(format_args!(
            "no profile was active: now `{}` is\n",
            visible::one_line(first)
        ));
    }
    Ok(())
}

/// What a supervisor that runs makes of a change of the configuration; `None` if there is none.
pub(super) fn change(file: &Path, profile: Option<&str>, dry_run: bool) -> Result<Option<Value>> {
    let (_, dir) = place(file)?;
    let request = Request::Change {
        file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
        profile: profile.map(str::to_owned),
        dry_run,
    };
    match block_on(ask(&dir, &request, PATIENT))? {
        Ok(answer) => Ok(Some(answer)),
        Err(ControlError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Shows how a change ended. The answer is no if it was put back.
pub(super) fn outcome(answer: &Value, done: &str, output: &mut Output) -> Result {
    let committed = answer["outcome"] == "committed";
    if output.is_json() {
        output.json(answer)?;
    } else if committed {
        output.text(format_args!("{done}\n"))?;
        plan(&answer["plan"], output)?;
    } else {
        let why = answer["why"].as_str().unwrap_or_default();
        let why = visible::one_line(why);
        output.text(format_args!("everything is as it was: {why}\n"))?;
        if let Some(left) = answer["left"].as_str() {
            output.text(format_args!(
                "  but for this: {}\n",
                visible::one_line(left)
            ))?;
        }
    }
    Ok(if committed { Exit::Done } else { Exit::No })
}

fn plan(plan: &Value, output: &mut Output) -> Result<()> {
    for step in plan.as_array().into_iter().flatten() {
        let text =
            |key: &str| visible::one_line(step[key].as_str().unwrap_or_default()).into_owned();
        let because = step["because"].as_array().into_iter().flatten();
        let because: Vec<&str> = because.filter_map(Value::as_str).collect();
        output.text(format_args!(
            "  {:<12} {STRONG}{}{STRONG:#}  {DIM}{}{DIM:#}\n",
            text("action"),
            text("service"),
            visible::one_line(&because.join(", "))
        ))?;
    }
    Ok(())
}

pub(crate) fn apply(file: &Path, dry_run: bool, output: &mut Output) -> Result {
    let Some(answer) = change(file, None, dry_run)? else {
        return Err(Failure::Environment(
            "control.not_running",
            "nothing is up".to_owned(),
            "`flowgate up` starts it with the configuration as it is now".to_owned(),
        ));
    };
    if !dry_run {
        return outcome(&answer, "the configuration is in force", output);
    }
    if output.is_json() {
        output.json(&answer)?;
    } else if answer["plan"].as_array().is_none_or(Vec::is_empty) {
        output.text(format_args!("nothing would change\n"))?;
    } else {
        plan(&answer["plan"], output)?;
    }
    Ok(Exit::Done)
}

fn selection(services: &Services, names: &[String]) -> Result<Selection> {
    let names: Vec<&String> = names.iter().filter(|name| *name != "all").collect();
    if let Some(name) = names.iter().find(|name| services.get(name).is_none()) {
        return Err(Failure::Usage(
            "cli.unknown_service",
            format!("there is no service `{name}`"),
            "`flowgate config show` shows which there are".to_owned(),
        ));
    }
    Ok(match names.as_slice() {
        [] => Selection::All,
        names => Selection::Named(
            names
                .iter()
                .map(|name| ServiceId::from(name.as_str()))
                .collect(),
        ),
    })
}

/// Supervises until everything is down. The first Ctrl-C stops in order, the second at once.
async fn stay_up(
    config: &Config,
    services: Services,
    which: &Selection,
    dir: &Path,
    output: &mut Output,
) -> Result {
    let signals = |kind| signal(kind).map_err(|error| machine("cli.signal", &error));
    let mut interrupted = signals(SignalKind::interrupt())?;
    let mut ended = signals(SignalKind::terminate())?;
    let running = Supervisor::new(services, RuntimeDir::new(dir)?)
        .log(runtime::EventLog::new(config.settings().paths.log_file()))
        .start()
        .await?;
    let handle = running.handle();
    let mut events = handle.events();
    let mut serving = std::pin::pin!(running.serve());
    handle.start(which.clone());
    let mut stops = 0;
    loop {
        tokio::select! {
            served = &mut serving => {
                served?;
                return Ok(Exit::Done);
            }
            heard = events.next() => match heard {
                Some(Heard::Notice(notice)) => tell(&notice, output)?,
                Some(Heard::Lagged(missed)) => {
                    output.note(format_args!("{missed} events are not shown\n"));
                }
                None => {
                    serving.await?;
                    return Ok(if stops > 0 { Exit::Interrupted } else { Exit::Done });
                }
            },
            _ = interrupted.recv() => {
                stops += 1;
                handle.shutdown(stops > 1);
                if stops == 1 && io::stderr().is_terminal() {
                    output.note(format_args!("stopping; once more to force\n"));
                }
            }
            _ = ended.recv() => handle.shutdown(false),
        }
    }
}

/// One line for what people want to know.
fn tell(notice: &Notice, output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.line(&notice);
    }
    let service = visible::one_line(notice.service.as_str()).into_owned();
    let (style, text) = match &notice.what {
        What::Spawned { pid } => (DIM, format!("starts (process {pid})")),
        What::Ready { after_ms } => (ADDED, format!("is ready after {after_ms} ms")),
        What::WaitingFor { services } => {
            let names: Vec<&str> = services.iter().map(ServiceId::as_str).collect();
            (DIM, format!("waits for {}", names.join(", ")))
        }
        What::PortBusy { port, owner } => {
            let owner = owner.as_ref().map_or_else(String::new, |owner| {
                format!(", which process {} ({}) has", owner.pid, owner.name)
            });
            (WARN, format!("waits for port {port}{owner}"))
        }
        What::SpawnFailed { error } => (REMOVED, format!("cannot start: {}", spawn_error(error))),
        What::Exited {
            status,
            expected: false,
        } => (REMOVED, format!("ended: {status}")),
        What::Exited { status, .. } => (DIM, format!("ended: {status}")),
        What::Backoff { attempt, delay_ms } => (
            WARN,
            format!("starts again in {delay_ms} ms (attempt {attempt})"),
        ),
        What::CrashLoop { restarts, .. } => (REMOVED, format!("ended {restarts} times and rests")),
        What::ProbeFailed { why, .. } => (WARN, format!("is not well: {why}")),
        What::Killing => (WARN, "does not end and is killed".to_owned()),
        _ => return Ok(()),
    };
    let text = visible::one_line(&text).into_owned();
    output.text(format_args!(
        "{STRONG}{service}{STRONG:#} {style}{text}{style:#}\n"
    ))
}

fn spawn_error(error: &SpawnError) -> String {
    match &error.path {
        Some(path) => format!("{}: {path}", error.message),
        None => error.message.clone(),
    }
}

/// Starts the same in the background, and waits until it answers and the services rest.
fn up_detached(file: &Path, dir: &Path, names: &[String], output: &mut Output) -> Result {
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
        .arg("up")
        .args(names)
        .stdin(Stdio::null())
        .stdout(to.try_clone().map_err(file_error)?)
        .stderr(to)
        .process_group(0)
        .spawn()
        .map_err(|error| machine("cli.cannot_start", &error))?;
    let services: Vec<String> = names
        .iter()
        .filter(|name| *name != "all")
        .cloned()
        .collect();
    let began = Instant::now();
    let answer = loop {
        let request = Request::Start {
            services: services.clone(),
        };
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
    show(&answer, output)
}

pub(crate) fn down(file: &Path, force: bool, output: &mut Output) -> Result {
    let (_, dir) = place(file)?;
    let ended = block_on(async {
        ask(&dir, &Request::Shutdown { force }, PROMPT).await?;
        let began = Instant::now();
        while began.elapsed() < PATIENT {
            match ask(&dir, &Request::Status, PROMPT).await {
                Ok(_) | Err(ControlError::Refused(_)) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(_) => return Ok(true),
            }
        }
        Ok(false)
    })?;
    match ended {
        Ok(true) if output.is_json() => output.json(&json!({ "running": false }))?,
        Ok(true) => output.text(format_args!("everything is down\n"))?,
        Ok(false) => return Err(machine("cli.still_up", &"it is still on its way down")),
        Err(ControlError::NotRunning { .. }) if output.is_json() => {
            output.json(&json!({ "running": false }))?;
        }
        Err(ControlError::NotRunning { .. }) => output.text(format_args!("nothing is up\n"))?,
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

pub(crate) fn status(file: &Path, output: &mut Output) -> Result {
    let (_, dir) = place(file)?;
    match block_on(ask(&dir, &Request::Status, PROMPT))? {
        Ok(answer) => show(&answer, output),
        Err(ControlError::NotRunning { .. }) => {
            if output.is_json() {
                output.json(&json!({ "running": false, "services": [] }))?;
            } else {
                output.text(format_args!("nothing is up; `flowgate up` starts it\n"))?;
            }
            Ok(Exit::No)
        }
        Err(error) => Err(error.into()),
    }
}

/// What a supervisor that runs says about its services; `None` if none does, or it says nothing in
/// time: whoever looks for what is wrong looks at the rest, then.
pub(super) fn supervised(config: &Config) -> Option<Vec<Supervised>> {
    let dir: &str = config.settings().paths.runtime_dir.as_ref();
    let answer = block_on(ask(Path::new(dir), &Request::Status, AT_ONCE))
        .ok()?
        .ok()?;
    let services = answer["services"].as_array()?.iter();
    let of = |service: &Value| {
        let text = |key: &str| service[key].as_str().map(str::to_owned);
        Some(Supervised {
            service: text("name")?,
            state: text("public")?,
            pid: service["process"]["pid"]
                .as_u64()
                .and_then(|pid| pid.try_into().ok()),
            restarts: service["restarts"].as_u64().unwrap_or(0),
            last_error: text("last_error"),
        })
    };
    Some(services.filter_map(of).collect())
}

pub(crate) fn service(file: &Path, command: ServiceCommand, output: &mut Output) -> Result {
    let (_, dir) = place(file)?;
    let named = |services: Vec<String>| {
        let all = services.iter().any(|name| name == "all");
        if all { Vec::new() } else { services }
    };
    let request = match command {
        ServiceCommand::Start { services } => Request::Start {
            services: named(services),
        },
        ServiceCommand::Stop { services } => Request::Stop {
            services: named(services),
        },
        ServiceCommand::Restart { services } => Request::Restart {
            services: named(services),
        },
    };
    show(&block_on(ask(&dir, &request, PATIENT))??, output)
}

/// The services as a table. The answer is no if one of them does not work.
fn show(answer: &Value, output: &mut Output) -> Result {
    let empty = Vec::new();
    let services = answer["services"].as_array().unwrap_or(&empty);
    let failed = services.iter().any(|service| service["public"] == "error");
    if output.is_json() {
        output.json(&json!({ "running": true, "services": services }))?;
    } else {
        let head = [
            "service",
            "state",
            "pid",
            "port",
            "uptime",
            "restarts",
            "last error",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(services.iter().map(row));
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            let style = match row[1].as_str() {
                _ if number == 0 => DIM,
                "running" => ADDED,
                "error" => REMOVED,
                _ => WARN,
            };
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            output.text(format_args!("{style}{}{style:#}\n", line.trim_end()))?;
        }
    }
    Ok(if failed { Exit::No } else { Exit::Done })
}

fn row(service: &Value) -> [String; 7] {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => visible::one_line(text).into_owned(),
        value => value.to_string(),
    };
    let uptime = service["uptime_ms"].as_u64().map(|ms| {
        let seconds = ms / 1000;
        match seconds {
            0..60 => format!("{}.{}s", seconds, ms % 1000 / 100),
            60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
            _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        }
    });
    [
        text(&service["name"]),
        text(&service["public"]),
        text(&service["process"]["pid"]),
        text(&service["port"]),
        uptime.unwrap_or_else(|| "-".to_owned()),
        text(&service["restarts"]),
        text(&service["last_error"]),
    ]
}
