//! `flowgate up`, `down`, `status` and `service`.

mod screen;
mod table;
mod told;
mod up;
mod view;

use std::path::{Path, PathBuf};
use std::time::Duration;

use flowgate_core::config::Config;
use flowgate_core::health::Supervised;
use flowgate_core::runtime;
use flowgate_core::runtime::process::{ControlError, Request, ask, follow};
use serde_json::{Value, json};

pub(crate) use self::up::{Up, up};
use crate::args::ServiceCommand;
use crate::output::{DIM, Exit, Failure, Output, Result, STRONG};
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

pub(crate) fn down(file: &Path, force: bool, output: &mut Output) -> Result {
    let (_, dir) = place(file)?;
    let ended = block_on(async {
        // It ends when the supervisor does.
        let mut told = follow(&dir, PROMPT).await?;
        ask(&dir, &Request::Shutdown { force }, PROMPT).await?;
        let all = async { while let Ok(Some(_)) = told.next().await {} };
        Ok(tokio::time::timeout(PATIENT, all).await.is_ok())
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
        Ok(answer) => show(&answer, is_well, output),
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
    let (request, wanted): (_, fn(&Value) -> bool) = match command {
        ServiceCommand::Start { services } => {
            let services = named(services);
            (Request::Start { services }, is_up)
        }
        ServiceCommand::Stop { services } => {
            let services = named(services);
            (Request::Stop { services }, is_down)
        }
        ServiceCommand::Restart { services } => {
            let services = named(services);
            (Request::Restart { services }, is_up)
        }
    };
    show(&block_on(ask(&dir, &request, PATIENT))??, wanted, output)
}

/// It runs, or has done its work.
fn is_up(service: &Value) -> bool {
    service["public"] == "running" || service["completed"] == true
}

fn is_down(service: &Value) -> bool {
    service["process"].is_null()
}

/// It does what it shall, or is on its way.
fn is_well(service: &Value) -> bool {
    service["public"] != "error" && service["completed"] != false
}

/// The services as a table. The answer is no if one of them is not as it should be.
fn show(answer: &Value, wanted: impl Fn(&Value) -> bool, output: &mut Output) -> Result {
    let empty = Vec::new();
    let services = answer["services"].as_array().unwrap_or(&empty);
    let failed = !services.iter().all(wanted);
    if output.is_json() {
        let pid = &answer["pid"];
        output.json(&json!({ "running": true, "pid": pid, "services": services }))?;
    } else {
        for line in table::table(services, usize::MAX) {
            output.text(format_args!("{line}\n"))?;
        }
    }
    Ok(if failed { Exit::No } else { Exit::Done })
}
