//! The log of what was stopped.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{GuardFiles, is_absent, private};
use crate::Timestamp;
use crate::guard::Verdict;
use crate::redact::redact_command;
use crate::runtime::Error;
use crate::runtime::atomic::make_directory;

/// How long the log grows before it is put aside, in bytes.
const LONGEST_LOG: u64 = 4 << 20;
/// How many logs that were put aside are kept: `audit.jsonl.1` is the newest.
const KEPT_LOGS: u32 = 4;

/// What is noted in the log.
#[derive(Clone, Copy, Debug)]
pub struct Audited<'a> {
    /// When.
    pub now: Timestamp,
    /// The name of the agent, if known.
    pub agent: Option<&'a str>,
    /// The command; its secrets are hidden in the log.
    pub command: &'a str,
    /// The directory.
    pub cwd: &'a str,
    /// The verdict.
    pub verdict: &'a Verdict,
    /// Whether it ran all the same, by an exception.
    pub excepted: bool,
}

/// Adds a line to the log.
///
/// # Errors
///
/// [`Error::Write`] if it cannot be written.
pub fn audit(files: &GuardFiles, entry: &Audited<'_>) -> Result<(), Error> {
    let failed = |error: io::Error| Error::write(&files.audit, &error);
    let line = json!({
        "ts": crate::rfc3339(entry.now),
        "event": if entry.excepted { "guard.excepted" } else { "guard.stopped" },
        "level": "warn",
        "subject": entry.verdict.rule,
        "data": {
            "agent": entry.agent,
            "command": redact_command(entry.command),
            "cwd": entry.cwd,
            "decision": entry.verdict.decision,
            "severity": entry.verdict.severity,
        },
    });
    make_directory(files.audit.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    rotate(&files.audit, LONGEST_LOG).map_err(failed)?;
    let mut file = private(&files.audit, true).map_err(failed)?;
    // One write a line: lines of several processes do not mix.
    file.write_all(format!("{line}\n").as_bytes())
        .map_err(failed)
}

/// Puts a log aside that is longer than `longest` bytes. A line of another process may still go
/// to the end of the old one; none is lost.
fn rotate(log: &Path, longest: u64) -> io::Result<()> {
    let long = || fs::metadata(log).is_ok_and(|metadata| metadata.len() >= longest);
    if !long() {
        return Ok(());
    }
    let lock = private(&log.with_extension("lock"), false)?;
    lock.lock()?;
    // Somebody else may have done it while this process waited.
    if !long() {
        return Ok(());
    }
    let aside = |number: u32| {
        let mut name = log.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..KEPT_LOGS).rev() {
        match fs::rename(aside(number), aside(number + 1)) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    fs::rename(log, aside(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{Context, Guard};

    #[test]
    fn a_long_log_is_put_aside_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let files = GuardFiles::of(directory.path());
        let verdict = Guard::default().check("rm -rf /", &Context::new("/srv", "/home/me"));
        let entry = Audited {
            now: 0,
            agent: None,
            command: "rm -rf /",
            cwd: "/srv",
            verdict: &verdict,
            excepted: false,
        };
        for _ in 0..6 {
            audit(&files, &entry).unwrap();
            rotate(&files.audit, 1).unwrap();
        }
        audit(&files, &entry).unwrap();
        let mut names: Vec<String> = fs::read_dir(files.audit.parent().unwrap())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("jsonl"))
            .collect();
        names.sort();
        let wanted = ["", ".1", ".2", ".3", ".4"].map(|end| format!("audit.jsonl{end}"));
        assert_eq!(names, wanted);
        for name in names {
            let path = files.audit.with_file_name(name);
            assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
            #[cfg(unix)]
            assert_eq!(
                std::os::unix::fs::PermissionsExt::mode(
                    &fs::metadata(&path).unwrap().permissions()
                ) & 0o777,
                0o600
            );
        }
    }
}
