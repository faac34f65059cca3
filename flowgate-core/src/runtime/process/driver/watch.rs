//! Asking a process how it is, and telling it to take no new work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::super::launch::environment;
use super::super::probes::{Asked, ExecProbe, post, run};
use super::super::tend::Note;
use super::{Aborting, Driver, Key, Process};
use crate::supervise::{
    DrainHook, Event, Gen, Overlap, Placeholders, Probe, ProbeOutcome, ProcessEvent, Purpose,
    ServiceSpec,
};

impl Driver {
    pub(super) fn start_probe(
        &mut self,
        key: &Key,
        purpose: Purpose,
        probe: Probe,
        spec: Arc<ServiceSpec>,
    ) {
        let notes = self.notes.clone();
        let Some(process) = self.processes.get_mut(key) else {
            return;
        };
        let exec = match &probe {
            Probe::Exec(args) => Some(exec_of(process, key.1, args)),
            _ => None,
        };
        let asked = Asked {
            purpose,
            probe,
            port: process.port,
            root: process.ids.map_or(0, |(_, shim)| shim.0),
            exec,
            notify: process.notify.clone(),
            line: process.line.take(),
            spec,
        };
        let key = key.clone();
        let tell = move |outcome: ProbeOutcome| {
            let _ = notes.send(Note::Event(Event::Process {
                service: key.0.clone(),
                generation: key.1,
                event: ProcessEvent::Probed { purpose, outcome },
            }));
        };
        let task = tokio::spawn(asked.run(tell));
        process
            .probes
            .insert(purpose, Aborting(task.abort_handle()));
    }

    /// Lets a process finish its work: what the forwarder sent it first, since a hook may make it
    /// refuse that.
    pub(super) fn drain(&mut self, key: &Key, hook: DrainHook) {
        self.turn_away(key);
        let answered = self.answered(key);
        let Some(process) = self.processes.get(key) else {
            return;
        };
        let (host, port) = (process.spec.host.clone(), process.port);
        let drain = process.spec.drain_when_replaced();
        let limit = drain.map_or(Duration::ZERO, |drain| drain.timeout);
        let exec = match &hook {
            DrainHook::Exec(args) => Some(exec_of(process, key.1, args)),
            DrainHook::Http(_) | DrainHook::Wait => None,
        };
        let (notes, (service, generation)) = (self.notes.clone(), key.clone());
        let forwards = process.spec.overlap == Overlap::Forward;
        tokio::spawn(async move {
            let begun = Instant::now();
            if let Some(answered) = answered
                && timeout(limit, answered).await.is_err()
            {
                // The signal has followed.
                return;
            }
            let limit = limit.saturating_sub(begun.elapsed());
            match (hook, exec) {
                // Whatever they say: the signal follows.
                (_, Some(exec)) => drop(run(exec, limit).await),
                (DrainHook::Http(path), _) => drop(post(&host, port, &path, limit).await),
                // It is over when all is answered, if that can be seen; else time passes.
                _ if forwards => {}
                _ => return,
            }
            let event = ProcessEvent::Drained;
            let _ = notes.send(Note::Event(Event::Process {
                service,
                generation,
                event,
            }));
        });
    }
}

fn exec_of(process: &Process, generation: Gen, args: &[String]) -> ExecProbe {
    let placeholders = Placeholders {
        generation,
        port: process.port,
        fd: None,
    };
    let command = &process.spec.command;
    ExecProbe {
        args: args.iter().map(|arg| placeholders.expand(arg)).collect(),
        cwd: command.cwd.clone(),
        // A file of variables that is gone by now leaves it with fewer, and it says what it makes
        // of that.
        env: environment(command, &placeholders, Vec::new()).unwrap_or_default(),
    }
}
