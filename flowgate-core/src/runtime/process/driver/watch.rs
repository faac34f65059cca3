//! Asking a process how it is, and telling it to take no new work.

use std::sync::Arc;
use std::time::Duration;

use super::super::launch::environment;
use super::super::probes::{Asked, ExecProbe, post, run};
use super::super::tend::Note;
use super::{Aborting, Driver, Key, Process};
use crate::supervise::{
    DrainHook, Event, Gen, Placeholders, Probe, ProbeOutcome, ProcessEvent, Purpose, ServiceSpec,
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

    pub(super) fn drain(&mut self, key: &Key, hook: DrainHook) {
        let Some(process) = self.processes.get(key) else {
            return;
        };
        let drain = process.spec.stop.drain.as_ref();
        let limit = drain.map_or(Duration::ZERO, |drain| drain.timeout);
        let (notes, name) = (self.notes.clone(), key.clone());
        let done = move || {
            let _ = notes.send(Note::Event(Event::Process {
                service: name.0,
                generation: name.1,
                event: ProcessEvent::Drained,
            }));
        };
        match hook {
            DrainHook::Wait => {}
            DrainHook::Exec(args) => {
                let exec = exec_of(process, key.1, &args);
                tokio::spawn(async move {
                    // Whatever it says: the signal follows.
                    let _ = run(exec, limit).await;
                    done();
                });
            }
            DrainHook::Http(path) => {
                let (host, port) = (process.spec.host.clone(), process.port);
                tokio::spawn(async move {
                    let _ = post(&host, port, &path, limit).await;
                    done();
                });
            }
        }
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
