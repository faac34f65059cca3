//! What is wrong with an installation, and what to do about it. Looking changes nothing: not a file
//! is made or touched, no program is run, the network is not used.

mod files;
mod programs;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Error, load, resolve};
use crate::Timestamp;
use crate::clients::Gateway;
use crate::config::Config;
use crate::health::Supervised;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is as it should be.
    Good,
    /// It is worth knowing.
    Note,
    /// It is wrong.
    Problem,
}

/// Something that was looked at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at: `config`, `paths`, `permissions`, `ports`, `programs`, `services`,
    /// `disk`, `memory`, `credentials`, `sign_in`, `clients`, `state`.
    pub check: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What was found, in one line.
    pub message: String,
    /// What to do about it; empty if nothing.
    pub hint: String,
    /// What [`fix`] would do about it, if that is safe.
    pub fix: Option<Fix>,
}

impl Finding {
    fn new(check: &'static str, level: Level, message: impl Into<String>, hint: &str) -> Self {
        Self {
            check,
            level,
            message: message.into(),
            hint: hint.to_owned(),
            fix: None,
        }
    }

    fn good(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Good, message, "")
    }

    fn fixed_by(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}

/// A change that is safe to make without asking: it takes nothing away that anyone can miss.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Fix {
    /// Change who may read a file or directory.
    ChangeMode {
        /// The file.
        path: PathBuf,
        /// Its mode afterwards.
        mode: u32,
    },
    /// Make a directory, for its owner alone.
    MakeDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Delete a file that nobody uses any more.
    Delete {
        /// The file.
        path: PathBuf,
    },
}

/// What an examination is told about the world.
#[derive(Clone, Debug)]
pub struct Patient<'a> {
    /// The configuration file.
    pub config: &'a Path,
    /// The home directory, if it is known.
    pub home: Option<&'a Path>,
    /// The value of `PATH`.
    pub path: Option<std::ffi::OsString>,
    /// The time.
    pub now: Timestamp,
    /// What the supervisor says about its services, if one runs.
    pub supervised: Option<&'a [Supervised]>,
}

/// What the checks look at.
struct Subject<'a> {
    patient: &'a Patient<'a>,
    config: Config,
    gateway: Option<Gateway>,
}

impl Subject<'_> {
    /// Whether the supervisor says that a service has a process.
    fn is_running(&self, name: &str) -> bool {
        let mut says = self.patient.supervised.into_iter().flatten();
        says.any(|service| service.service == name && service.pid.is_some())
    }
}

/// Looks at everything. The findings are in the order of the checks; what is good is among them.
pub fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let read = load(patient.config).and_then(|config| resolve(&config));
    let config = match read {
        Ok(config) => config,
        Err(error) => return vec![broken_config(&error)],
    };
    let gateway = Gateway::from_settings(config.settings()).ok();
    let subject = Subject {
        patient,
        config,
        gateway,
    };
    let checks = [
        settings::config,
        files::paths,
        files::permissions,
        programs::ports,
        programs::programs,
        programs::services,
        files::disk,
        files::memory,
        settings::credentials,
        settings::sign_in,
        settings::clients,
        files::state,
    ];
    checks.iter().flat_map(|check| check(&subject)).collect()
}

fn broken_config(error: &Error) -> Finding {
    let problems = error.diagnostics().iter().filter(|d| d.is_error()).count();
    let message = match problems {
        0 => error.to_string(),
        1 => "the configuration has a mistake".to_owned(),
        n => format!("the configuration has {n} mistakes"),
    };
    let hint = if problems > 0 {
        "see `flowgate config check`"
    } else {
        ""
    };
    Finding::new("config", Level::Problem, message, hint)
}

/// Carries out the safe fixes among findings; gives back those that were, each with how it went.
pub fn fix(findings: &[Finding]) -> Vec<(Fix, Result<(), Error>)> {
    let fixes = findings.iter().filter_map(|finding| finding.fix.clone());
    fixes
        .map(|fix| {
            let done = carry_out(&fix);
            (fix, done)
        })
        .collect()
}

fn carry_out(fix: &Fix) -> Result<(), Error> {
    let (path, done) = match fix {
        Fix::ChangeMode { path, mode } => (path, change_mode(path, *mode)),
        Fix::MakeDirectory { path } => (path, super::atomic::make_directory(path)),
        Fix::Delete { path } => (path, fs::remove_file(path)),
    };
    done.map_err(|error| Error::write(path, &error))
}

#[cfg(unix)]
fn change_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn change_mode(_: &Path, _: u32) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
