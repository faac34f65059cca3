//! What a supervisor tells, as one line for people, or one record for programs.

use flowgate_core::event::Event;
use flowgate_core::supervise::{Notice, ServiceId, SpawnError, What};

use crate::output::{ADDED, DIM, Output, REMOVED, Result, STRONG, WARN};
use crate::visible;

/// Numbers what is told.
#[derive(Default)]
pub(super) struct Teller {
    seq: u64,
}

impl Teller {
    /// The record of a notice, in the form of the file of events.
    pub(super) fn record(&mut self, notice: &Notice, output: &mut Output) -> Result<()> {
        self.seq += 1;
        let record = Event::from(notice).stamp(super::super::now(), self.seq);
        output.line(&record)
    }
}

/// One line for what people want to know, in colours.
pub(super) fn line(notice: &Notice) -> Option<String> {
    let service = visible::one_line(notice.service.as_str());
    let (style, text) = words(&notice.what)?;
    let text = visible::one_line(&text);
    Some(format!(
        "{STRONG}{service}{STRONG:#} {style}{text}{style:#}"
    ))
}

/// True for what a table shows as well: a screen with one need not say it again.
pub(super) fn is_usual(what: &What) -> bool {
    matches!(
        what,
        What::Spawned { .. }
            | What::Ready { .. }
            | What::WaitingFor { .. }
            | What::Exited { expected: true, .. }
            | What::Stopping { .. }
    )
}

fn words(what: &What) -> Option<(anstyle::Style, String)> {
    Some(match what {
        What::Spawned { pid } => (DIM, format!("starts (process {pid})")),
        What::Adopted { pid } => (ADDED, format!("is taken over (process {pid})")),
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
        What::Stopping { .. } => (DIM, "is being stopped".to_owned()),
        What::Exited {
            status,
            expected: false,
        } => (REMOVED, format!("ended: {status}")),
        What::Exited { status, .. } => (DIM, format!("ended: {status}")),
        What::Backoff { attempt, delay_ms } => (
            WARN,
            format!("starts again in {delay_ms} ms (attempt {attempt})"),
        ),
        What::CrashLoop {
            restarts,
            retry_ms,
            last_lines,
        } => {
            let retry = retry_ms.map_or_else(String::new, |ms| {
                format!(", and is tried again in {} s", ms.div_ceil(1000))
            });
            let last = last_lines.last();
            let last = last.map_or_else(String::new, |line| format!("; its last line: {line}"));
            (REMOVED, format!("ended {restarts} times{retry}{last}"))
        }
        What::ProbeFailed { why, .. } => (WARN, format!("is not well: {why}")),
        What::Recovered => (ADDED, "is well again".to_owned()),
        What::Killing => (WARN, "does not end and is killed".to_owned()),
        What::StillThere { processes } => {
            let names: Vec<String> = processes
                .iter()
                .map(|process| format!("{} ({})", process.name, process.pid))
                .collect();
            (WARN, format!("is still there: {}", names.join(", ")))
        }
        What::HandedOver { .. } => (ADDED, "is another process now, and lost nothing".to_owned()),
        What::RolledBack { why } => (WARN, format!("stays as it was: {why}")),
        What::StaleRecord { why } => (DIM, format!("was left by another supervisor: {why}")),
        What::LeftRunning => (ADDED, "goes on without its supervisor".to_owned()),
        _ => return None,
    })
}

fn spawn_error(error: &SpawnError) -> String {
    match &error.path {
        Some(path) => format!("{}: {path}", error.message),
        None => error.message.clone(),
    }
}
