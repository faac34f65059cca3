//! What is written down about a process that runs, so that the next supervisor finds it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::dir::{RuntimeDir, ServiceDir};
use super::nursery::Talk;
use super::wire::{Ended, Id, Report};
use super::{identity, proc, shim};
use crate::supervise::{Gen, ProcessId, ServiceId};

/// The record of one process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) service: ServiceId,
    pub(super) generation: Gen,
    /// Numbers of processes count only within this.
    pub(super) boot: String,
    pub(super) main: Id,
    pub(super) shim: Id,
    /// The port of this process, if it is not that of the service.
    pub(super) port: Option<u16>,
    /// What its variables say, if nothing else is left to know it by.
    pub(super) marker: String,
    pub(super) ready: bool,
    pub(super) fingerprint: u64,
}

impl Record {
    /// Writes the record; whoever reads sees the old one or the new one. It need not survive the
    /// machine, so it is not brought to disk.
    pub(super) fn write(&self, dir: &ServiceDir) -> io::Result<()> {
        let path = dir.record(self.generation);
        let new = path.with_extension("new");
        let mut file = fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(new, path)
    }
}

/// Reads any bytes as what is written down about a process, for the fuzzer.
#[cfg(fuzzing)]
pub(in crate::runtime) fn fuzz(bytes: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(bytes) {
        let written = serde_json::to_vec(&record).expect("a record can be written");
        serde_json::from_slice::<Record>(&written).expect("what is written can be read");
    }
    let _ = serde_json::from_slice::<(Gen, Ended)>(bytes);
}

/// A process of an earlier supervisor, and how it is held.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) record: Record,
    /// Its shim; `None` if somebody killed that.
    pub(super) talk: Option<Talk>,
    pub(super) listener: Option<std::os::fd::OwnedFd>,
    pub(super) ended: Option<Ended>,
}

/// What a record turned out to be.
#[derive(Debug)]
pub(super) enum Verified {
    /// Its process is ours beyond doubt.
    Ours(Box<Left>),
    /// It is not, or is gone.
    Stale {
        service: ServiceId,
        generation: Gen,
        why: String,
    },
}

/// Reads every record of an earlier supervisor. What cannot be read is removed: it says nothing
/// that could be relied on.
pub(super) async fn read_all(dir: &RuntimeDir) -> Vec<Verified> {
    let mut found = Vec::new();
    let directories = fs::read_dir(dir.services()).into_iter().flatten().flatten();
    for directory in directories {
        let files = fs::read_dir(directory.path())
            .into_iter()
            .flatten()
            .flatten();
        for file in files {
            let name = file.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with("record.")) else {
                continue;
            };
            if !name.ends_with(".json") {
                continue;
            }
            let read = fs::read(file.path());
            match read
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok())
            {
                Some(record) => found.push(verify(record, &directory.path()).await),
                // Not worth a word if it cannot be removed: it is read again next time.
                None => drop(fs::remove_file(file.path())),
            }
        }
    }
    found
}

async fn verify(record: Record, dir: &Path) -> Verified {
    match hold(&record, dir).await {
        Ok((talk, listener, ended)) => Verified::Ours(Box::new(Left {
            record,
            talk,
            listener,
            ended,
        })),
        Err(why) => Verified::Stale {
            why: word(dir, record.generation).unwrap_or(why),
            service: record.service,
            generation: record.generation,
        },
    }
}

type Hold = (Option<Talk>, Option<std::os::fd::OwnedFd>, Option<Ended>);

async fn hold(record: &Record, dir: &Path) -> Result<Hold, String> {
    if identity::boot().ok().as_ref() != Some(&record.boot) {
        return Err("the machine was started anew since".to_owned());
    }
    let (main, shim) = (ProcessId::from(record.main), ProcessId::from(record.shim));
    if proc::is_alive(shim)
        && let Ok(talk) = Talk::knock(dir, shim)
        && let Some((state, fds)) = talk.receive().await
        && let Report::State {
            generation,
            main: held,
            ended,
        } = state
        && (generation, held) == (record.generation, record.main)
    {
        return Ok((Some(talk), fds.into_iter().next(), ended));
    }
    if proc::is_alive(main) {
        return Ok((None, None, None));
    }
    Err(match proc::stat(main.pid) {
        Ok(other) if other.id != main => format!(
            "process {} is another now ({}), which began later",
            main.pid, other.name
        ),
        _ => format!("process {} is gone", main.pid),
    })
}

/// How it ended, if its shim could write that down.
fn word(dir: &Path, generation: Gen) -> Option<String> {
    let text = fs::read(dir.join(shim::word_name(generation))).ok()?;
    let (of, ended): (Gen, Ended) = serde_json::from_slice(&text).ok()?;
    let status = crate::supervise::ExitStatus::from(ended);
    (of == generation).then(|| format!("it ended {status} while no supervisor was there"))
}
