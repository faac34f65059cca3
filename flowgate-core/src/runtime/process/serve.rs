//! A supervisor that others can speak to, from the command line or another program.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Error;
use super::change::Change;
use super::control::{Call, Client, Control, ControlError, Followed, Refusal};
use super::dir::SOCKET;
use super::supervisor::{Handle, Running, lagged, moment};
use crate::event::Event;
use crate::supervise::{Limits, Selection, ServiceStatus};

/// How many requests may wait for the supervisor.
const REQUESTS: usize = 64;

/// What a supervisor can be asked.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Request {
    /// Where the services stand.
    Status,
    /// Bring services up, and answer when they are, or have failed. No names: all of them.
    Start {
        /// Their names.
        services: Vec<String>,
    },
    /// Bring services down, and answer when they are.
    Stop {
        /// Their names.
        services: Vec<String>,
    },
    /// Replace the processes of services, and answer when the new ones are ready, or have failed.
    Restart {
        /// Their names.
        services: Vec<String>,
    },
    /// Make the services be what a configuration file says, and answer with the outcome when that
    /// is done, or put back.
    Change {
        /// The file.
        file: PathBuf,
        /// The profile; `None` is the one that is active.
        profile: Option<String>,
        /// Only answer what that would mean for the services.
        dry_run: bool,
    },
    /// Bring everything down and end.
    Shutdown {
        /// At once, without asking the services.
        force: bool,
    },
    /// Tell what happens from now on.
    Follow,
}

impl Running {
    /// Answers who asks through the socket in the runtime directory, until everything is down after
    /// a shutdown that somebody asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the socket cannot be made.
    pub async fn serve(self) -> Result<(), Error> {
        self.listen()?.await;
        Ok(())
    }

    /// As [`serve`](Self::serve), in two steps: when this returns, the socket is there.
    pub(super) fn listen(self) -> Result<impl Future<Output = ()> + Send + 'static, Error> {
        let handle = self.handle();
        let socket = handle.dir().socket();
        let (calls, mut called) = mpsc::channel(REQUESTS);
        let control = Control::listen(&socket, calls);
        let control = control.map_err(|error| Error::io("listen at", &socket, &error))?;
        let mut events = handle.events();
        Ok(async move {
            let mut told = 0;
            loop {
                tokio::select! {
                    Some(call) = called.recv() => answer(call, &handle, &control),
                    heard = events.next() => match heard {
                        Some(heard) => {
                            told += 1;
                            control.publish(&Event::from(&heard).stamp(moment(), told));
                        }
                        None => break,
                    },
                }
            }
            self.finished().await;
            control.close().await;
        })
    }
}

fn answer(call: Call<Request, Value>, handle: &Handle, control: &Control) {
    let names = match call.request.clone() {
        Request::Follow => return call.answer_and_follow(Value::Null, control),
        Request::Shutdown { force } => {
            handle.shutdown(force);
            return call.answer(Ok(Value::Null));
        }
        Request::Change {
            file,
            profile,
            dry_run,
        } => {
            let handle = handle.clone();
            tokio::spawn(async move {
                let answer = change(&handle, &file, profile, dry_run).await;
                let refusal = |error: Error| Refusal::new(error.code(), error.to_string());
                call.answer(answer.map_err(refusal));
            });
            return;
        }
        Request::Status => Vec::new(),
        Request::Start { services }
        | Request::Stop { services }
        | Request::Restart { services } => services,
    };
    let handle = handle.clone();
    // It may take as long as the services do, and others want answers meanwhile.
    tokio::spawn(async move {
        if !names.is_empty()
            && let Some(refusal) = unknown(&names, &handle.standing().await)
        {
            return call.answer(Err(refusal));
        }
        let which = Selection::of(&names);
        match &call.request {
            Request::Start { .. } => handle.start(which.clone()),
            Request::Stop { .. } => handle.stop(which.clone()),
            Request::Restart { .. } => handle.restart(which.clone()),
            Request::Status
            | Request::Change { .. }
            | Request::Shutdown { .. }
            | Request::Follow => {
                let (pid, services) = (std::process::id(), handle.status().await);
                return call.answer(Ok(json!({ "pid": pid, "services": services })));
            }
        }
        let status = handle.settled(&which).await;
        let pid = std::process::id();
        call.answer(Ok(json!({ "pid": pid, "services": status })));
    });
}

async fn change(
    handle: &Handle,
    file: &Path,
    profile: Option<String>,
    dry_run: bool,
) -> Result<Value, Error> {
    let change = profile.map_or(Change::Reload, Change::Profile);
    if dry_run {
        return Ok(json!({ "plan": handle.plan(file, change).await? }));
    }
    Ok(json!(handle.change(file, change, Limits::default()).await?))
}

fn unknown(names: &[String], known: &[ServiceStatus]) -> Option<Refusal> {
    let known: Vec<&str> = known.iter().map(|status| status.name.as_str()).collect();
    let name = names.iter().find(|name| !known.contains(&name.as_str()))?;
    Some(Refusal::new(
        "supervise.unknown_service",
        format!(
            "there is no service `{name}`; there are: {}",
            known.join(", ")
        ),
    ))
}

/// Asks the supervisor of a runtime directory. `timeout` is for the whole answer, which for a start
/// or a stop comes when that is done.
///
/// # Errors
///
/// [`ControlError`], such as `control.not_running` where there is no supervisor.
pub async fn ask(dir: &Path, request: &Request, timeout: Duration) -> Result<Value, ControlError> {
    let mut client = Client::connect(&dir.join(SOCKET)).await?;
    client.call(request, timeout).await
}

/// What a supervisor tells, as it happens.
#[derive(Debug)]
pub struct Following {
    client: Client,
}

/// Follows what the supervisor of a runtime directory tells.
///
/// # Errors
///
/// [`ControlError`], such as `control.not_running` where there is no supervisor.
pub async fn follow(dir: &Path, timeout: Duration) -> Result<Following, ControlError> {
    let mut client = Client::connect(&dir.join(SOCKET)).await?;
    let _: Value = client.call(&Request::Follow, timeout).await?;
    Ok(Following { client })
}

impl Following {
    /// The next event, a [`Record`](crate::event::Record) as JSON, `supervisor.lagged` where some
    /// were lost. `None`: the supervisor ended.
    ///
    /// # Errors
    ///
    /// [`ControlError::Lost`] or [`ControlError::Garbled`] if the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Value>, ControlError> {
        let next = self.client.next::<Value>().await?;
        Ok(next.map(|followed| match followed {
            Followed::Event(event) => event,
            Followed::Lagged(missed) => json!(lagged(missed).stamp(moment(), 0)),
        }))
    }
}
