//! Directories, permissions, disk and what was left behind.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Finding, Fix, Level, Subject};
use crate::health::{self, Status, secret_mode};
use crate::runtime::atomic::directory_of;
use crate::runtime::{active_profile, auth_dir, plain};

/// How old a temporary file is that nobody can be writing any more.
const ABANDONED: Duration = Duration::from_secs(3600);

pub(super) fn paths(subject: &Subject<'_>) -> Vec<Finding> {
    let settings = subject.config.settings();
    let runtime_dir = PathBuf::from(settings.paths.runtime_dir.to_string());
    let shown = runtime_dir.display();
    let finding = match fs::metadata(&runtime_dir) {
        Ok(metadata) if !metadata.is_dir() => Finding::new(
            "paths",
            Level::Problem,
            format!("`{shown}` is not a directory"),
            "move the file away, or name another directory under `paths.runtime_dir`",
        ),
        Ok(metadata) if metadata.permissions().readonly() => Finding::new(
            "paths",
            Level::Problem,
            format!("`{shown}` cannot be written to"),
            "give yourself permission to write there",
        ),
        Ok(_) => Finding::good("paths", format!("`{shown}` is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::new(
            "paths",
            Level::Problem,
            format!("`{shown}` is not there"),
            "`flowgate bootstrap download` makes it",
        )
        .fixed_by(Fix::MakeDirectory {
            path: runtime_dir.clone(),
        }),
        Err(error) => Finding::new(
            "paths",
            Level::Problem,
            format!("`{shown}`: {}", plain(&error)),
            "look at the disk",
        ),
    };
    vec![finding]
}

/// Files with secrets in them, and whether the configuration names each of them.
fn secrets(subject: &Subject<'_>) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let settings = subject.config.settings();
    let named = settings.secret_files.iter().map(ToString::to_string);
    let named: BTreeSet<PathBuf> = named.map(PathBuf::from).collect();
    let mut known = BTreeSet::from([PathBuf::from(settings.paths.active_config())]);
    known.extend(settings.credentials.upstream.values().filter_map(
        |credential| match credential {
            crate::config::Credential::File(path) => Some(PathBuf::from(path.to_string())),
            _ => None,
        },
    ));
    known.extend(
        settings
            .auth
            .seal_key_file
            .iter()
            .map(|file| PathBuf::from(file.to_string())),
    );
    let auth_dir = auth_dir(settings);
    known.extend(json_files(&auth_dir));
    known.insert(auth_dir);
    (named, known)
}

fn json_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect()
}

pub(super) fn permissions(subject: &Subject<'_>) -> Vec<Finding> {
    let (named, known) = secrets(subject);
    let mut findings = Vec::new();
    let mut looked_at = 0;
    for path in named.union(&known) {
        let shown = path.display();
        match fs::metadata(path) {
            Ok(metadata) => {
                looked_at += 1;
                findings.extend(permission(path, &metadata));
            }
            // What the configuration names must be there; the rest is made when it is needed.
            Err(error) if named.contains(path) => findings.push(Finding::new(
                "permissions",
                Level::Problem,
                format!(
                    "`{shown}`, a secret file, cannot be looked at: {}",
                    plain(&error)
                ),
                "put it there, or take it out of `secret_files`",
            )),
            Err(_) => {}
        }
    }
    if findings.is_empty() {
        findings.push(Finding::good(
            "permissions",
            format!("{looked_at} files with secrets are for their owner alone"),
        ));
    }
    findings
}

#[cfg(unix)]
fn permission(path: &Path, metadata: &Metadata) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let (problem, mode) = secret_mode(metadata.mode(), metadata.is_dir(), is_ours)?;
    let message = format!("`{}`: {problem}", path.display());
    let hint = format!("`chmod {mode:o} {}`", path.display());
    if !is_ours {
        return Some(Finding::new(
            "permissions",
            Level::Problem,
            message,
            "make it your own, or let its owner start FlowGate",
        ));
    }
    let fix = Fix::ChangeMode {
        path: path.to_owned(),
        mode,
    };
    Some(Finding::new("permissions", Level::Problem, message, &hint).fixed_by(fix))
}

#[cfg(not(unix))]
fn permission(_: &Path, _: &Metadata) -> Option<Finding> {
    None
}

pub(super) fn disk(subject: &Subject<'_>) -> Vec<Finding> {
    let runtime_dir = PathBuf::from(subject.config.settings().paths.runtime_dir.to_string());
    // A directory that is not there yet will be on the disk of the one above it.
    let there = runtime_dir.ancestors().find(|path| path.exists());
    vec![judged(
        crate::runtime::machine::disk_at(there.unwrap_or(Path::new("/"))),
        "make room on the disk",
    )]
}

pub(super) fn memory(_: &Subject<'_>) -> Vec<Finding> {
    let check = crate::runtime::machine::memory_now();
    match check.status {
        Status::Unknown => Vec::new(),
        _ => vec![judged(check, "stop what is not needed")],
    }
}

fn judged(check: health::Check, hint: &str) -> Finding {
    match check.status {
        Status::Healthy | Status::Unknown => Finding::good(check.name, check.message),
        Status::Degraded => Finding::new(check.name, Level::Note, check.message, hint),
        Status::Unhealthy => Finding::new(check.name, Level::Problem, check.message, hint),
    }
}

/// What an earlier run left behind, and what does not fit together.
pub(super) fn state(subject: &Subject<'_>) -> Vec<Finding> {
    let settings = subject.config.settings();
    let mut findings = Vec::new();
    match active_profile(&subject.config) {
        Err(error) => findings.push(Finding::new("state", Level::Problem, error.to_string(), "")),
        Ok(None) => findings.push(Finding::new(
            "state",
            Level::Note,
            "no profile is active",
            "`flowgate profile set NAME`",
        )),
        Ok(Some(state)) => findings.push(active(subject, &state.current_profile)),
    }
    let active_config = PathBuf::from(settings.paths.active_config());
    let runtime_dir = PathBuf::from(settings.paths.runtime_dir.to_string());
    let mut directories =
        BTreeSet::from([runtime_dir.clone(), directory_of(&active_config).to_owned()]);
    directories.insert(auth_dir(settings));
    findings.extend(
        directories
            .iter()
            .flat_map(|directory| abandoned(directory)),
    );
    findings.extend(dead(&runtime_dir.join("pids")));
    findings
}

fn active(subject: &Subject<'_>, name: &str) -> Finding {
    let settings = subject.config.settings();
    let active_config = PathBuf::from(settings.paths.active_config());
    let again = format!("`flowgate profile set {name}`");
    let newer = |a: &Path, b: &Path| {
        let time = |path: &Path| fs::metadata(path).ok()?.modified().ok();
        matches!((time(a), time(b)), (Some(a), Some(b)) if a > b)
    };
    if !settings.profiles.contains_key(name) {
        let message = format!("the active profile `{name}` is not in the configuration any more");
        return Finding::new(
            "state",
            Level::Problem,
            message,
            "`flowgate profile set NAME` with one that is",
        );
    }
    if !active_config.exists() {
        let message = format!(
            "the profile `{name}` is active, but `{}` is not there",
            active_config.display()
        );
        return Finding::new("state", Level::Problem, message, &again);
    }
    if newer(subject.patient.config, &active_config) {
        let message = format!("the configuration changed since the profile `{name}` was set");
        return Finding::new("state", Level::Note, message, &again);
    }
    Finding::good("state", format!("the profile `{name}` is active"))
}

/// Temporary files of a write that never ended.
fn abandoned(directory: &Path) -> Vec<Finding> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let left = entries.filter(|entry| {
        let name = entry.file_name();
        let age = entry
            .metadata()
            .ok()
            .and_then(|metadata| metadata.modified().ok()?.elapsed().ok());
        let is_ours = name.to_string_lossy().starts_with(".flowgate-");
        is_ours && age.is_some_and(|age| age > ABANDONED) && entry.path().is_file()
    });
    left.map(|entry| {
        let path = entry.path();
        let message = format!(
            "`{}` was left behind by a write that never ended",
            path.display()
        );
        Finding::new("state", Level::Note, message, "delete it").fixed_by(Fix::Delete { path })
    })
    .collect()
}

/// Files of the first FlowGate that name processes which are gone.
fn dead(directory: &Path) -> Vec<Finding> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let pid_files = entries.filter(|entry| {
        entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "pid")
    });
    let dead = pid_files.filter(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        match text.trim().parse::<u32>() {
            // Where there is no `/proc`, nobody can say.
            Ok(pid) => {
                Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{pid}")).exists()
            }
            Err(_) => false,
        }
    });
    dead.map(|entry| {
        let path = entry.path();
        let message = format!("`{}` names a process that is gone", path.display());
        Finding::new("state", Level::Note, message, "delete it").fixed_by(Fix::Delete { path })
    })
    .collect()
}
