//! What is written down about a process that runs, so that the next supervisor finds it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::dir::{RuntimeDir, ServiceDir};
use super::nursery::Talk;
use super::wire::{About, Ended, Id, Report};
use super::{identity, proc, shim};
use crate::supervise::{Gen, ProcessId, ServiceId};

/// How long a shim may take to answer; one that is frozen never does.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the length of a record is a multiple of: room for what changes in it.
const BLOCK: usize = 1024;

/// The record of one process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) about: About,
    /// Numbers of processes count only within this.
    pub(super) boot: String,
    pub(super) main: Id,
    pub(super) shim: Id,
    pub(super) ready: bool,
}

impl Record {
    /// Writes the record, over the one of the same process. It need not survive the machine, so it is
    /// not brought to disk. Each is as long as the one before, and written in one go: one that is not
    /// whole was never written before, and its process is found through the door of its shim.
    pub(super) fn write(&self, dir: &ServiceDir) -> io::Result<()> {
        let path = dir.record(self.about.generation);
        let mut text = serde_json::to_vec(self)?;
        text.resize(text.len().next_multiple_of(BLOCK), b' ');
        let mut options = fs::File::options();
        let file = options.write(true).create(true).truncate(false);
        let file = file.open(path)?;
        file.write_all_at(&text, 0)?;
        match file.metadata()?.len() > text.len() as u64 {
            true => file.set_len(text.len() as u64),
            false => Ok(()),
        }
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
    pub(super) listener: Option<OwnedFd>,
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

/// Everything an earlier supervisor left: what it wrote down, and what it had no time to write down.
pub(super) async fn find_all(dir: &RuntimeDir) -> Vec<Verified> {
    let mut found = Vec::new();
    for directory in entries(&dir.services()) {
        let mut known = Vec::new();
        for record in records(&directory) {
            let shim = record.shim.0;
            let verified = verify(record, &directory).await;
            if matches!(verified, Verified::Ours(_)) {
                known.push(shim);
            }
            found.push(verified);
        }
        // Between the start of a process and its record a supervisor can be killed. The record of the
        // one before, of the same shim, may still be there.
        for shim in doors(&directory).filter(|shim| !known.contains(shim)) {
            let unrecorded = behind_door(&directory, shim).await;
            found.extend(unrecorded.map(|left| Verified::Ours(Box::new(left))));
        }
    }
    found
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// The records in a directory. What cannot be read is removed: it says nothing that could be relied
/// on.
fn records(directory: &Path) -> Vec<Record> {
    let mut found = Vec::new();
    for path in entries(directory) {
        if !name(&path).starts_with("record.") || !name(&path).ends_with(".json") {
            continue;
        }
        let bytes = fs::read(&path).ok();
        match bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(record) => found.push(record),
            // Not worth a word if it cannot be removed: it is read again next time.
            None => drop(fs::remove_file(&path)),
        }
    }
    found
}

fn doors(directory: &Path) -> impl Iterator<Item = u32> {
    let entries = entries(directory).into_iter();
    entries.filter_map(|path| shim::behind_door(name(&path)))
}

/// What a shim holds that no record tells of.
async fn behind_door(dir: &Path, shim: u32) -> Option<Left> {
    let Ok(talk) = Talk::knock(dir, shim) else {
        // It was killed, or holds nothing and leaves: then it takes its door with it.
        if proc::stat(shim).is_err() {
            let _ = fs::remove_file(dir.join(shim::door_name(shim)));
        }
        return None;
    };
    let own = proc::stat(shim).ok()?.id;
    let state = timeout(PATIENCE, talk.receive()).await.ok()??;
    let (Report::State { about, main, ended }, fds) = state else {
        return None;
    };
    let record = Record {
        about,
        boot: identity::boot().ok()?,
        main,
        shim: own.into(),
        ready: false,
    };
    Some(Left {
        record,
        talk: Some(talk),
        listener: fds.into_iter().next(),
        ended,
    })
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
            why: word(dir, record.about.generation).unwrap_or(why),
            service: record.about.service,
            generation: record.about.generation,
        },
    }
}

type Hold = (Option<Talk>, Option<OwnedFd>, Option<Ended>);

async fn hold(record: &Record, dir: &Path) -> Result<Hold, String> {
    if identity::boot().ok().as_ref() != Some(&record.boot) {
        return Err("the machine was started anew since".to_owned());
    }
    let (main, shim) = (ProcessId::from(record.main), ProcessId::from(record.shim));
    if proc::is_alive(shim)
        && let Ok(talk) = Talk::knock(dir, shim.pid)
        && let Ok(Some((state, fds))) = timeout(PATIENCE, talk.receive()).await
        && let Report::State { about, main, ended } = state
        && (about.generation, main) == (record.about.generation, record.main)
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
