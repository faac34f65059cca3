//! `flowgate guard scan`: the files that hold commands.

use std::fs;
use std::path::PathBuf;

use flowgate_core::guard::scan::{FileKind, ScanFinding, sarif, scan};
use serde_json::json;

use super::Seat;
use crate::args::Place;
use crate::output::{Exit, Failure, Output, Result, STRONG, counted};

/// Files larger than this are not scanned.
const LARGEST_FILE: u64 = 1 << 20;
/// Directories that hold what others wrote or a build made.
const SKIPPED: [&str; 8] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "__pycache__",
    "node_modules",
    "target",
    "vendor",
];

pub(super) fn scan_paths(
    place: &Place,
    as_sarif: bool,
    paths: &[PathBuf],
    output: &mut Output,
) -> Result {
    let seat = Seat::of(place)?;
    let mut found: Vec<ScanFinding> = Vec::new();
    let mut scanned = 0_usize;
    for file in walk(paths)? {
        let Ok(bytes) = fs::read(&file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let name = file.to_string_lossy();
        if let Some(kind) = FileKind::of(&name, &text) {
            scanned += 1;
            found.extend(scan(&seat.guard, kind, &name, &text, &seat.context));
        }
    }
    if as_sarif {
        output.json(&sarif(&found, env!("CARGO_PKG_VERSION")))?;
    } else if output.is_json() {
        output.json(&json!({ "files": scanned, "findings": found }))?;
    } else {
        for finding in &found {
            output.text(format_args!(
                "{STRONG}{}:{}:{}{STRONG:#}: {} by {}\n  | {}\n  why: {}\n",
                finding.path,
                finding.line,
                finding.column,
                finding.verdict.decision.name(),
                finding.verdict.rule.as_deref().unwrap_or_default(),
                finding.snippet,
                finding.verdict.reason.as_deref().unwrap_or_default()
            ))?;
        }
        output.text(format_args!(
            "{} in {}\n",
            counted(found.len(), "finding"),
            counted(scanned, "file")
        ))?;
    }
    Ok(if found.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}

/// The files named and those below directories named, in order; links are not followed.
fn walk(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| {
            Failure::Usage(
                "cli.no_file",
                format!("cannot read `{}`: {error}", path.display()),
                "name files or directories that are there".to_owned(),
            )
        })?;
        if metadata.is_file() {
            files.push(path.clone());
            continue;
        }
        let mut directories = vec![path.clone()];
        while let Some(directory) = directories.pop() {
            // A directory that may not be read is left out.
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            let mut entries: Vec<_> = entries.flatten().collect();
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
            for entry in entries {
                let Ok(kind) = entry.file_type() else {
                    continue;
                };
                let name = entry.file_name();
                if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
                    directories.push(entry.path());
                } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() <= LARGEST_FILE)
                {
                    files.push(entry.path());
                }
            }
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}
