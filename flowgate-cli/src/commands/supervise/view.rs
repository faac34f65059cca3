//! What `up` shows: a table that is kept up to date on a terminal, lines elsewhere, and records for
//! programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flowgate_core::config::Config;
use flowgate_core::event::Record;
use flowgate_core::runtime;
use flowgate_core::runtime::process::{Events, Handle, Heard, Request, ask, follow};
use flowgate_core::supervise::{Notice, What};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::super::quickstart;
use super::screen::{Screen, cut};
use super::table::short_table;
use super::told::{Teller, is_usual, line};
use super::{PROMPT, is_up};
use crate::output::{ADDED, DIM, Failure, Output, Result, STRONG, WARN};
use crate::visible;

/// How often times on the screen go on while nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// How soon the screen shows what happens: several things at once.
const SOON: Duration = Duration::from_millis(40);
/// How many events may wait to be shown.
const QUEUE: usize = 1024;

/// What a supervisor tells.
pub(super) enum Told {
    Notice(Box<Notice>),
    Missed(u64),
}

impl Told {
    /// Whether a service is up now that was not.
    pub(super) fn is_good(&self) -> bool {
        matches!(self, Self::Notice(notice) if matches!(notice.what, What::Ready { .. } | What::Recovered))
    }
}

/// The supervisor that is looked at.
pub(super) enum Watched {
    Own {
        handle: Handle,
        events: Events,
    },
    Other {
        dir: PathBuf,
        told: mpsc::Receiver<Result<Told>>,
    },
}

impl Watched {
    pub(super) fn own(handle: &Handle) -> Self {
        Self::Own {
            handle: handle.clone(),
            events: handle.events(),
        }
    }

    /// That of another process.
    pub(super) async fn other(dir: &Path) -> Result<Self> {
        let mut following = follow(dir, PROMPT).await?;
        let (tell, told) = mpsc::channel(QUEUE);
        // A line that has begun to come in is not to be given up half way.
        tokio::spawn(async move {
            while let Some(next) = following.next().await.transpose() {
                let told = next.map_err(Failure::from).and_then(read);
                if tell.send(told).await.is_err() {
                    return;
                }
            }
        });
        let dir = dir.to_owned();
        Ok(Self::Other { dir, told })
    }

    /// What is told next; `None` when the supervisor has ended.
    pub(super) async fn next(&mut self) -> Result<Option<Told>> {
        match self {
            Self::Own { events, .. } => Ok(match events.next().await {
                Some(Heard::Notice(notice)) => Some(Told::Notice(Box::new((*notice).clone()))),
                Some(Heard::Lagged(missed)) => Some(Told::Missed(missed)),
                None => None,
            }),
            Self::Other { told, .. } => told.recv().await.transpose(),
        }
    }

    async fn services(&self) -> Value {
        match self {
            Self::Own { handle, .. } => {
                serde_json::to_value(handle.status().await).unwrap_or_default()
            }
            Self::Other { dir, .. } => {
                let status = ask(dir, &Request::Status, PROMPT).await;
                // It may be about to end, which is told.
                status.map_or(Value::Null, |mut status| status["services"].take())
            }
        }
    }
}

fn read(event: Value) -> Result<Told> {
    let record: Record = serde_json::from_value(event).map_err(|error| {
        Failure::Environment(
            "control.garbled",
            format!("the supervisor tells what is not known here: {error}"),
            "use the `flowgate` it was started with".to_owned(),
        )
    })?;
    Ok(match Notice::of(&record) {
        Some(notice) => Told::Notice(Box::new(notice)),
        None => Told::Missed(
            record
                .data
                .get("missed")
                .and_then(Value::as_u64)
                .unwrap_or(1),
        ),
    })
}

/// How far it is.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Starting,
    Settled,
    Stopping { force: bool },
}

pub(super) struct View {
    config: Config,
    file: String,
    is_quickstart: bool,
    screen: Option<Screen>,
    teller: Teller,
    stage: Stage,
    /// Whether it was said that some are not up: then it is said when all of them are.
    is_short: bool,
    /// When the screen is drawn anew.
    due: Option<Instant>,
    /// Nobody reads any more. What is supervised does not depend on it.
    is_mute: bool,
}

impl View {
    pub(super) fn new(config: &Config, file: &Path, is_quickstart: bool, is_live: bool) -> Self {
        Self {
            config: config.clone(),
            file: visible::one_line(&file.to_string_lossy()).into_owned(),
            is_quickstart: is_quickstart || file.ends_with(quickstart::FILE),
            screen: is_live.then(Screen::default),
            teller: Teller::default(),
            stage: Stage::Starting,
            is_short: false,
            due: is_live.then(Instant::now),
            is_mute: false,
        }
    }

    /// Something has changed that can be seen.
    pub(super) fn touch(&mut self) {
        if self.screen.is_some() {
            let soon = Instant::now() + SOON;
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        }
    }

    /// Returns when the screen is to be drawn.
    pub(super) fn is_due(&self) -> impl Future<Output = ()> + use<> {
        let due = self.due;
        async move {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        }
    }

    pub(super) fn tell(&mut self, told: &Told, output: &mut Output) -> Result<()> {
        self.touch();
        match told {
            Told::Missed(missed) => self.say(
                &format!("{DIM}{missed} events are not shown{DIM:#}"),
                output,
            ),
            Told::Notice(notice) if output.is_json() => {
                let written = self.teller.record(notice, output);
                self.heed(written)
            }
            Told::Notice(notice) if self.screen.is_some() && is_usual(&notice.what) => Ok(()),
            Told::Notice(notice) => match line(notice) {
                Some(line) => self.say(&line, output),
                None => Ok(()),
            },
        }
    }

    fn say(&mut self, line: &str, output: &mut Output) -> Result<()> {
        if self.is_mute || output.is_json() {
            return Ok(());
        }
        let said = match &mut self.screen {
            Some(screen) => screen.say(line, output),
            None => output.text(format_args!("{line}\n")),
        };
        self.heed(said)
    }

    /// That nobody reads is no reason to end.
    fn heed(&mut self, printed: Result<()>) -> Result<()> {
        match printed {
            Err(Failure::Print(_)) => {
                self.is_mute = true;
                self.screen = None;
                self.due = None;
                Ok(())
            }
            other => other,
        }
    }

    /// All that was asked for is up, or has failed.
    pub(super) fn settled(&mut self, services: Value, output: &mut Output) -> Result<()> {
        self.stage = Stage::Settled;
        self.touch();
        if self.screen.is_some() || output.is_json() {
            return Ok(());
        }
        let services = services.as_array().cloned().unwrap_or_default();
        self.is_short = !services.iter().all(is_up);
        self.say(&standing(&services), output)?;
        self.hints(output)
    }

    /// One that was not up may have been the last.
    pub(super) async fn look_again(
        &mut self,
        watched: &Watched,
        output: &mut Output,
    ) -> Result<()> {
        if !self.is_short {
            return Ok(());
        }
        let services = watched.services().await;
        let services = services.as_array().cloned().unwrap_or_default();
        if !services.is_empty() && services.iter().all(is_up) {
            self.is_short = false;
            self.say(&standing(&services), output)?;
        }
        Ok(())
    }

    pub(super) fn stopping(&mut self, force: bool, output: &mut Output) -> Result<()> {
        self.stage = Stage::Stopping { force };
        self.touch();
        if self.screen.is_none() && !output.is_json() {
            output.note(format_args!(
                "{}\n",
                match force {
                    true => "killing what is left",
                    false => "stopping; once more to force",
                }
            ));
        }
        Ok(())
    }

    /// What there is to do next, where there is no screen for it.
    pub(super) fn hints(&mut self, output: &mut Output) -> Result<()> {
        for hint in self.next_commands() {
            self.say(&hint, output)?;
        }
        Ok(())
    }

    pub(super) async fn draw(&mut self, watched: &Watched, output: &mut Output) -> Result<()> {
        self.due = Some(Instant::now() + TICK);
        let services = watched.services().await;
        let services = services.as_array().cloned().unwrap_or_default();
        let (width, height) = Screen::size();
        // Beside the title, the head of the table, how it stands, and the line of the cursor.
        let room = height.saturating_sub(4).max(2);
        let below = match self.stage {
            Stage::Settled => self.next_commands(),
            Stage::Starting | Stage::Stopping { .. } => Vec::new(),
        };
        let below = match services.len() + below.len() <= room {
            true => below,
            false => Vec::new(),
        };
        let mut lines = vec![self.title()];
        lines.extend(short_table(&services, width, room));
        lines.push(match self.stage {
            Stage::Starting => format!("{DIM}starting; Ctrl-C stops everything{DIM:#}"),
            Stage::Settled => standing(&services),
            Stage::Stopping { force } => stopping(&services, force),
        });
        lines.extend(below);
        let lines: Vec<String> = lines.iter().map(|line| cut(line, width)).collect();
        let Some(screen) = &mut self.screen else {
            return Ok(());
        };
        let drawn = screen.draw(&lines, output);
        self.heed(drawn)
    }

    /// The picture stays as it is.
    pub(super) fn leave(&mut self) {
        self.screen = None;
        self.due = None;
    }

    /// There is nothing to look at any more.
    pub(super) fn down(&mut self, output: &mut Output) -> Result<()> {
        if let Some(screen) = &mut self.screen {
            let cleared = screen.clear(output);
            self.heed(cleared)?;
        }
        self.leave();
        self.say("everything is down", output)
    }

    fn title(&self) -> String {
        let active = runtime::active_profile(&self.config).ok().flatten();
        let profile = active.map_or_else(String::new, |state| {
            let name = visible::one_line(&state.current_profile).into_owned();
            format!("{DIM} · profile {DIM:#}{STRONG}{name}{STRONG:#}")
        });
        let file = match self.is_quickstart {
            true => "the quickstart",
            false => &self.file,
        };
        format!("{STRONG}flowgate{STRONG:#}{DIM} · {file}{DIM:#}{profile}")
    }

    fn next_commands(&self) -> Vec<String> {
        let hint = |what: &str, command: &str| format!("{DIM}  {what:<8}{DIM:#}{command}");
        let mut hints = Vec::new();
        if self.is_quickstart {
            hints.push(hint("try", quickstart::TRY));
        }
        let active = runtime::active_profile(&self.config).ok().flatten();
        let active = active.map(|state| state.current_profile);
        let mut others = self.config.profile_names();
        let preferred = self.config.profile_names().find(|name| *name == "cost");
        let other = preferred.filter(|name| active.as_deref() != Some(*name));
        let other = other.or_else(|| others.find(|name| active.as_deref() != Some(*name)));
        if let Some(other) = other {
            let other = visible::one_line(other);
            hints.push(hint("switch", &format!("flowgate profile set {other}")));
        }
        hints.push(hint("look", "flowgate status · flowgate logs -f"));
        hints.push(hint("end", "flowgate down"));
        if self.is_quickstart {
            let own = "flowgate init --quickstart";
            hints.push(hint(
                "keep",
                &format!(
                    "{own} (there is no flowgate.yaml here: this is {})",
                    quickstart::FILE
                ),
            ));
        }
        hints
    }
}

/// How many are up.
fn standing(services: &[Value]) -> String {
    let up = |service: &&Value| is_up(service);
    let (all, well) = (services.len(), services.iter().filter(up).count());
    match all - well {
        0 => format!("{ADDED}everything is up ({all}){ADDED:#}"),
        _ => format!("{WARN}{well} of {all} are up{WARN:#}"),
    }
}

fn stopping(services: &[Value], force: bool) -> String {
    let down = |service: &&Value| {
        service["process"].is_null()
            && matches!(service["public"].as_str(), Some("stopped" | "error"))
    };
    let (all, done) = (services.len(), services.iter().filter(down).count());
    match force {
        true => format!("{WARN}killing: {done} of {all} are down{WARN:#}"),
        false => {
            format!("{WARN}stopping: {done} of {all} are down; Ctrl-C again kills the rest{WARN:#}")
        }
    }
}
