//! How a process comes to be: started anew, or taken over from an earlier supervisor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use regex::bytes::Regex;
use tokio::sync::mpsc;

use super::super::logs::{Output, direct};
use super::super::notify::Notify;
use super::super::record::Left;
use super::super::tend::{self, Deed, Start, Tended};
use super::super::wire::{About, Launch};
use super::super::{launch, listen};
use super::held::Held;
use super::{Driver, Key, Process};
use crate::supervise::{
    LogMode, Overlap, Placeholders, Probe, ServiceSpec, SpawnError, SpawnStage,
};

/// The descriptor at which a program finds the socket that it is handed.
const LISTENER: u32 = 3;

/// Where the output of a new process goes: its two ends, and who reads the pipe, if there is one.
struct Ends {
    output: Option<Arc<Output>>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Driver {
    pub(super) fn spawn(&mut self, key: &Key, spec: &Arc<ServiceSpec>) -> Result<(), SpawnError> {
        let root = self.dir.path().to_owned();
        self.held(spec).map_err(|error| no_logs(&error, &root))?;
        let ends = self.output_of(key, spec)?;
        let Some(held) = self.services.get_mut(&key.0) else {
            return Ok(());
        };
        let listener = match (&held.listener, spec.overlap) {
            (Some(listener), Overlap::Socket) => Some(listener.try_clone()),
            _ => None,
        };
        let listener = listener.transpose();
        let listener = listener.map_err(|error| no_logs(&error, &root))?;
        let placeholders = Placeholders {
            generation: key.1,
            port: match spec.overlap {
                Overlap::Forward => listen::free_port().ok(),
                _ => spec.port,
            },
            fd: listener.is_some().then_some(LISTENER),
        };
        let notify = notify_of(spec, held, key)?;
        let about = About {
            service: key.0.clone(),
            generation: key.1,
            port: placeholders.port,
            marker: tend::marker_of(&key.0, key.1),
            fingerprint: spec.fingerprint(),
            log: ends.output.is_some().then(|| held.log.end()).flatten(),
        };
        let added = added_variables(spec, &about, notify.as_ref());
        let env = launch::environment(&spec.command, &placeholders, added)?;
        let args = spec.command.args.iter();
        let args: Vec<String> = args.map(|arg| placeholders.expand(arg)).collect();
        let program = launch::program(args.first().map_or("", String::as_str), &env);
        let start = Start {
            idle: held.idle.take(),
            nursery: Arc::clone(&self.nursery),
            dir: held.dir.path.clone(),
            launch: Launch {
                about: about.clone(),
                program,
                args,
                cwd: spec.command.cwd.clone(),
                env,
                listener: listener.is_some().then(|| key.0.to_string()),
            },
            stdout: ends.stdout,
            stderr: ends.stderr,
            listener,
        };
        // A line may come at once.
        let line = pattern(spec).zip(ends.output.as_ref());
        let line = line.map(|(pattern, output)| output.watch(pattern));
        let (tended, deeds) = self.tended(key, ends.output);
        tokio::spawn(tended.start(start));
        let process = Process {
            deeds,
            probes: BTreeMap::new(),
            notify,
            line,
            ids: None,
            port: placeholders.port,
            spec: Arc::clone(spec),
            about,
        };
        self.processes.insert(key.clone(), process);
        Ok(())
    }

    fn output_of(&mut self, key: &Key, spec: &ServiceSpec) -> Result<Ends, SpawnError> {
        if spec.logs.mode != LogMode::Fifo {
            let path = self.dir.log(&key.0);
            let ends = plain_output(spec.logs.mode, &path);
            let (stdout, stderr) = ends.map_err(|error| no_logs(&error, &path))?;
            return Ok(Ends {
                output: None,
                stdout,
                stderr,
            });
        }
        let path = self.dir.path().to_owned();
        let held = self.services.get(&key.0);
        let held = held.ok_or_else(|| no_logs(&io::ErrorKind::NotFound.into(), &path))?;
        held.log.configure(&spec.logs);
        let path = held.dir.output(key.1);
        let opened = self.logs.open(&path, &held.log);
        let output = opened.map_err(|error| no_logs(&error, &path))?;
        let ends = output.writer().and_then(|out| Ok((out.try_clone()?, out)));
        let (stdout, stderr) = ends.map_err(|error| no_logs(&error, &path))?;
        Ok(Ends {
            output: Some(Arc::new(output)),
            stdout,
            stderr,
        })
    }

    fn tended(
        &self,
        key: &Key,
        output: Option<Arc<Output>>,
    ) -> (Tended, mpsc::UnboundedSender<Deed>) {
        let (deeds, received) = mpsc::unbounded_channel();
        let tended = Tended {
            service: key.0.clone(),
            generation: key.1,
            notes: self.notes.clone(),
            deeds: received,
            output,
        };
        (tended, deeds)
    }

    pub(super) fn adopt(&mut self, key: &Key) {
        let Some(left) = self.left.remove(key) else {
            return;
        };
        let spec = self.machine.spec(&key.0);
        let spec =
            spec.unwrap_or_else(|| Arc::new(ServiceSpec::new(key.0.clone(), Vec::<String>::new())));
        let Left {
            record,
            talk,
            listener,
            ended,
        } = *left;
        let (mut output, mut notify) = (None, None);
        if self.held(&spec).is_ok()
            && let Some(held) = self.services.get_mut(&key.0)
        {
            held.listener = held.listener.take().or(listener);
            let path = held.dir.output(key.1);
            if path.exists() {
                output = self.logs.open(&path, &held.log).ok().map(Arc::new);
            }
            notify = notify_of(&spec, held, key).ok().flatten();
        }
        let line = match (pattern(&spec), &output) {
            (Some(pattern), Some(output)) if !record.ready => {
                Some(output.watch_since(pattern, record.about.log))
            }
            _ => None,
        };
        let (tended, deeds) = self.tended(key, output);
        let main = record.main.into();
        tokio::spawn(tended.adopt(talk, main, record.about.marker.clone(), ended));
        let process = Process {
            deeds,
            probes: BTreeMap::new(),
            notify,
            line,
            ids: Some((record.main, record.shim)),
            port: record.about.port.or(spec.port),
            spec,
            about: record.about,
        };
        self.processes.insert(key.clone(), process);
    }
}

fn no_logs(error: &io::Error, path: &Path) -> SpawnError {
    SpawnError {
        stage: SpawnStage::Logs,
        message: crate::runtime::plain(error),
        path: Some(path.to_string_lossy().into_owned()),
        permanent: false,
    }
}

/// The line that says that a service is ready.
fn pattern(spec: &ServiceSpec) -> Option<Regex> {
    match &spec.readiness.probe {
        Probe::Log(pattern) => Regex::new(pattern).ok(),
        _ => None,
    }
}

/// Where the process says how it is, if it is to.
fn notify_of(
    spec: &ServiceSpec,
    held: &Held,
    key: &Key,
) -> Result<Option<Arc<Notify>>, SpawnError> {
    let live = spec.liveness.as_ref();
    let says_alive = live.is_some_and(|live| live.probe == Probe::Notify);
    if !says_alive && spec.readiness.probe != Probe::Notify {
        return Ok(None);
    }
    let path = held.dir.notify(key.1);
    let bound = Notify::bind(&path).map_err(|error| no_logs(&error, &path))?;
    Ok(Some(Arc::new(bound)))
}

fn added_variables(
    spec: &ServiceSpec,
    about: &About,
    notify: Option<&Arc<Notify>>,
) -> Vec<(&'static str, String)> {
    let mut added = vec![(tend::MARKER, about.marker.clone())];
    if let Some(notify) = notify {
        added.push(("NOTIFY_SOCKET", notify.address.clone()));
    }
    if let Some(live) = &spec.liveness
        && live.probe == Probe::Notify
    {
        added.push(("WATCHDOG_USEC", live.interval.as_micros().to_string()));
    }
    added
}

/// Output that the supervisor does not read.
fn plain_output(mode: LogMode, log: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    match mode {
        LogMode::Fifo | LogMode::File => {
            let file = direct(log)?;
            Ok((file.try_clone()?, file))
        }
        LogMode::Inherit => Ok((
            io::stdout().as_fd().try_clone_to_owned()?,
            io::stderr().as_fd().try_clone_to_owned()?,
        )),
        LogMode::Null => {
            let null = OwnedFd::from(File::options().write(true).open("/dev/null")?);
            Ok((null.try_clone()?, null))
        }
    }
}
