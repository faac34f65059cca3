//! `flowgate logs`: what services wrote, and what they go on to write.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::output::{DIM, Exit, Failure, Output, Result};
use crate::visible;

/// How much of the end of a file is looked at for its last lines.
const TAIL: u64 = 1 << 20;
/// How often files are looked at while nothing comes.
const PAUSE: Duration = Duration::from_millis(200);

/// One file, and how far it was read.
struct Log {
    name: String,
    path: PathBuf,
    inode: u64,
    at: u64,
}

pub(crate) fn logs(
    file: &Path,
    follow: bool,
    lines: usize,
    names: &[String],
    output: &mut Output,
) -> Result {
    let (_, dir) = super::supervise::place(file)?;
    let mut logs = find(&dir, names)?;
    for log in &mut logs {
        for line in last_lines(log, lines)? {
            print(log, &line, output)?;
        }
    }
    if !follow {
        return Ok(Exit::Done);
    }
    loop {
        let mut quiet = true;
        for log in &mut logs {
            for line in new_lines(log)? {
                quiet = false;
                print(log, &line, output)?;
            }
        }
        if quiet {
            std::thread::sleep(PAUSE);
        }
    }
}

/// The logs that there are, and those of services that have said nothing yet.
fn find(dir: &Path, names: &[String]) -> Result<Vec<Log>> {
    let (services, dir) = (dir.join("services"), dir.join("logs"));
    let entries = fs::read_dir(&dir).map_err(|_| {
        Failure::Usage(
            "cli.no_logs",
            format!("there are no logs in `{}`", dir.display()),
            "`flowgate up` starts the services".to_owned(),
        )
    })?;
    let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
    let silent = fs::read_dir(services).into_iter().flatten().flatten();
    let found = entries.flatten().filter_map(name);
    let found = found.filter_map(|file| file.strip_suffix(".log").map(str::to_owned));
    let mut found: BTreeSet<String> = found.chain(silent.filter_map(name)).collect();
    found.retain(|name| names.is_empty() || names.contains(name));
    let log = |name: String| Log {
        path: dir.join(format!("{name}.log")),
        name,
        inode: 0,
        at: 0,
    };
    let logs: Vec<Log> = found.into_iter().map(log).collect();
    if let Some(name) = names
        .iter()
        .find(|name| logs.iter().all(|log| log.name != **name))
    {
        return Err(Failure::Usage(
            "cli.unknown_service",
            format!("no service `{name}` was ever started here"),
            format!("look in `{}`", dir.display()),
        ));
    }
    Ok(logs)
}

fn failed(log: &Log, error: &io::Error) -> Failure {
    Failure::Environment(
        "cli.cannot_read",
        format!("cannot read `{}`: {error}", log.path.display()),
        String::new(),
    )
}

/// Nothing if it has said nothing yet.
fn open(log: &Log) -> io::Result<Option<File>> {
    match File::open(&log.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

fn last_lines(log: &mut Log, count: usize) -> Result<Vec<String>> {
    let read = |log: &mut Log| -> io::Result<Vec<String>> {
        let Some(mut file) = open(log)? else {
            return Ok(Vec::new());
        };
        let metadata = file.metadata()?;
        (log.inode, log.at) = (metadata.ino(), metadata.len());
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(count);
        Ok(lines[from..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect())
    };
    read(log).map_err(|error| failed(log, &error))
}

/// The whole lines that came since; a file that was put aside is begun anew.
fn new_lines(log: &mut Log) -> Result<Vec<String>> {
    let read = |log: &mut Log| -> io::Result<Vec<String>> {
        let Some(file) = open(log)? else {
            return Ok(Vec::new());
        };
        let metadata = file.metadata()?;
        if metadata.ino() != log.inode || metadata.len() < log.at {
            (log.inode, log.at) = (metadata.ino(), 0);
        }
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(log.at))?;
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            log.at += line.len() as u64;
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
        Ok(lines)
    };
    read(log).map_err(|error| failed(log, &error))
}

fn print(log: &Log, line: &str, output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.line(&serde_json::json!({ "service": log.name, "line": line }));
    }
    let name = visible::one_line(&log.name);
    output.text(format_args!(
        "{DIM}{name}{DIM:#} {}\n",
        visible::one_line(line)
    ))
}
