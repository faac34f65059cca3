//! Programs in their place: each version in a directory of its own, and a link to the active one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::Outcome;
use crate::bootstrap::{self, Kind, Platform, kind, other_machine, recorded};
use crate::runtime::Error;
use crate::runtime::atomic::{Access, Planned, make_directory, temporary, write_all};

/// The name of the program in `bin`.
const PROGRAM: &str = "CLIProxyAPIPlus";
/// The file beside it that names its version.
const VERSION_FILE: &str = "cliproxyapiplus.version";
/// The directory of versions in `bin`.
const VERSIONS: &str = "versions";
/// How many versions are kept.
const KEPT: usize = 3;
/// Nothing this small is the program, in bytes.
const SMALLEST: usize = 1_000_000;

/// A version that is there.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Installed {
    /// The version.
    pub version: String,
    /// The program.
    pub path: PathBuf,
    /// True if it is the one that is started.
    pub active: bool,
}

/// Puts a program in its place: written beside what is there, complete and on disk, then linked to
/// at once.
pub(super) fn install(
    bin: &Path,
    version: &str,
    asset: &str,
    program: &[u8],
    platform: Platform,
) -> Result<Outcome, Error> {
    check(asset, program, platform)?;
    adopt(bin)?;
    let previous = active(bin);
    let directory = bin.join(VERSIONS).join(directory_name(version));
    let path = directory.join(PROGRAM);
    let failed = |error: io::Error| Error::write(&path, &error);
    make_directory(&directory).map_err(failed)?;
    let mut new = temporary().tempfile_in(&directory).map_err(failed)?;
    io::Write::write_all(&mut new, program).map_err(failed)?;
    executable(new.as_file()).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    new.persist(&path).map_err(|error| failed(error.error))?;
    // The order of installation is that of these moments.
    let now =
        File::open(&directory).and_then(|directory| directory.set_modified(SystemTime::now()));
    drop(now);
    activate(bin, &path, version)?;
    prune(bin);
    Ok(Outcome {
        version: version.to_owned(),
        path: bin.join(PROGRAM),
        previous: previous.filter(|previous| previous != version),
        sha256: String::new(),
        verified_by: None,
    })
}

/// A program that is too small, or for another machine, is none.
fn check(asset: &str, program: &[u8], platform: Platform) -> Result<(), Error> {
    let wrong = |found: String| bootstrap::Error::WrongProgram {
        name: asset.to_owned(),
        found,
    };
    let head = &program[..program.len().min(20)];
    if let Some(other) = other_machine(head, platform.os, platform.arch) {
        return Err(wrong(format!("{other}, and this machine is {platform}")).into());
    }
    if matches!(kind(head), Kind::Other | Kind::Script) {
        return Err(wrong("no program".to_owned()).into());
    }
    if program.len() < SMALLEST {
        return Err(wrong(format!(
            "too small to be the program: {} bytes",
            program.len()
        ))
        .into());
    }
    Ok(())
}

/// Takes a program that an earlier release put in place into the directory of versions.
fn adopt(bin: &Path) -> Result<(), Error> {
    let place = bin.join(PROGRAM);
    let is_plain = place
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file());
    if !is_plain {
        return Ok(());
    }
    let text = fs::read_to_string(bin.join(VERSION_FILE)).unwrap_or_default();
    let version = recorded(&text).unwrap_or("before");
    let directory = bin.join(VERSIONS).join(directory_name(version));
    let path = directory.join(PROGRAM);
    let failed = |error: io::Error| Error::write(&path, &error);
    make_directory(&directory).map_err(failed)?;
    // Linked, not moved: at no moment is there no program.
    drop(fs::remove_file(&path));
    fs::hard_link(&place, &path)
        .or_else(|_| fs::copy(&place, &path).map(drop))
        .map_err(failed)?;
    activate(bin, &path, version)
}

fn activate(bin: &Path, program: &Path, version: &str) -> Result<(), Error> {
    let place = bin.join(PROGRAM);
    let failed = |error: io::Error| Error::write(&place, &error);
    let target = program.strip_prefix(bin).unwrap_or(program);
    let link = bin.join(format!(
        ".flowgate-{}",
        getrandom::u32().unwrap_or_default()
    ));
    symbolic_link(target, &link).map_err(failed)?;
    if let Err(error) = fs::rename(&link, &place) {
        drop(fs::remove_file(&link));
        return Err(failed(error));
    }
    write_all(&[Planned {
        path: bin.join(VERSION_FILE),
        content: format!("{version}\n"),
        access: Access::Keep,
    }])
}

/// The version that is started.
fn active(bin: &Path) -> Option<String> {
    let target = fs::read_link(bin.join(PROGRAM)).ok()?;
    let directory = target.parent()?.file_name()?.to_str()?.to_owned();
    Some(directory)
}

pub(super) fn installed(bin: &Path) -> Result<Vec<Installed>, Error> {
    let versions = bin.join(VERSIONS);
    let place = bin.join(PROGRAM);
    let entries = match fs::read_dir(&versions) {
        Ok(entries) => entries,
        // One that an earlier release put in place.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = fs::read_to_string(bin.join(VERSION_FILE)).unwrap_or_default();
            let there = place.is_file().then(|| Installed {
                version: recorded(&text).unwrap_or("unknown").to_owned(),
                path: place,
                active: true,
            });
            return Ok(there.into_iter().collect());
        }
        Err(error) => return Err(Error::read(&versions, &error)),
    };
    let active = active(bin);
    let one = |entry: fs::DirEntry| {
        let version = entry.file_name().into_string().ok()?;
        let path = entry.path().join(PROGRAM);
        let time = entry.metadata().ok()?.modified().ok()?;
        let active = active.as_ref() == Some(&version);
        path.is_file().then_some((
            time,
            Installed {
                version,
                path,
                active,
            },
        ))
    };
    let mut found: Vec<(SystemTime, Installed)> = entries.flatten().filter_map(one).collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| b.1.version.cmp(&a.1.version)));
    Ok(found.into_iter().map(|(_, one)| one).collect())
}

pub(super) fn rollback(bin: &Path, version: Option<&str>) -> Result<Installed, Error> {
    let all = installed(bin)?;
    let wanted = match version {
        Some(version) => all.iter().find(|one| one.version == version),
        None => {
            // The one that was installed before the active one.
            let active = all.iter().position(|one| one.active);
            all.get(active.map_or(0, |place| place + 1))
        }
    };
    let Some(wanted) = wanted else {
        let there: Vec<&str> = all.iter().map(|one| one.version.as_str()).collect();
        return Err(Error::Read {
            path: bin.join(VERSIONS),
            reason: match version {
                Some(version) => format!("the version `{version}` is not there"),
                None => "there is no version before the active one".to_owned(),
            },
            hint: format!(
                "there are: {}",
                if there.is_empty() {
                    "none".to_owned()
                } else {
                    there.join(", ")
                }
            ),
            environment: false,
        });
    };
    activate(bin, &wanted.path, &wanted.version)?;
    Ok(Installed {
        active: true,
        ..wanted.clone()
    })
}

/// Deletes the oldest versions. That one stays does no harm.
fn prune(bin: &Path) {
    let all = installed(bin).unwrap_or_default();
    for old in all.iter().skip(KEPT).filter(|one| !one.active) {
        if let Some(directory) = old.path.parent() {
            drop(fs::remove_dir_all(directory));
        }
    }
}

/// A version as the name of a directory.
fn directory_name(version: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    let name: String = version
        .chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect();
    match name.trim_matches('.') {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(unix)]
fn executable(file: &File) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

#[cfg(not(unix))]
fn executable(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn symbolic_link(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symbolic_link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
