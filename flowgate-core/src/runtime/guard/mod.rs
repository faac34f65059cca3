//! The guard's files: policies, exceptions, the log, and the settings of the agents.

mod audit;
mod exceptions;
mod hooks;

pub use audit::{Audited, audit};
pub use exceptions::{exceptions, grant, redeem_or_request, requests};
pub use hooks::{HookState, hook_status, install_hook, uninstall_hook};

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::Error;
use crate::Timestamp;
use crate::guard::{Context, Guard, Policy, PolicyError, UserPacks};
use crate::yaml::MAX_BYTES;

/// Where the guard keeps its files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GuardFiles {
    /// The policy of the user.
    pub policy: PathBuf,
    /// The commands that wait for a person, and those that were granted.
    pub exceptions: PathBuf,
    /// The log of what was stopped. At 4 MiB it is put aside as `….1`; four of those are kept.
    pub audit: PathBuf,
}

impl GuardFiles {
    /// The usual places under a home directory.
    pub fn of(home: &Path) -> Self {
        let config = home.join(".config/flowgate");
        Self {
            policy: config.join("guard.yaml"),
            exceptions: config.join("guard/exceptions.json"),
            audit: home.join(".local/state/flowgate/guard/audit.jsonl"),
        }
    }
}

/// Where a command would run. The repository that the directory is in belongs to the project.
pub fn place(cwd: &str, home: &str, now: Timestamp) -> Context {
    let mut context = Context::new(cwd, home);
    context.now = now;
    let above = Path::new(cwd)
        .ancestors()
        .take_while(|path| path.as_os_str() != home);
    let repository = above
        .filter(|path| path.parent().is_some())
        .find(|path| path.join(".git").exists());
    let root = repository.map(|path| path.to_string_lossy().into_owned());
    context.roots.extend(root.filter(|root| root != cwd));
    context
}

/// The policy that holds in a directory, and the packs it names.
#[derive(Debug)]
#[non_exhaustive]
pub struct Governed {
    /// The policy of the user, tightened by that of the project.
    pub policy: Policy,
    /// Rules and policy, ready to decide.
    pub guard: Guard,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

/// The guard as the user's policy and the project's (the `guard` section of the nearest
/// `flowgate.yaml` at or above `directory`) want it.
///
/// Without either it has all packs on and costs a look for the files.
///
/// # Errors
///
/// [`Error::Policy`] names the file that is wrong, [`Error::Read`] the one that cannot be read.
pub fn governed(files: &GuardFiles, directory: &Path) -> Result<Governed, Error> {
    let mut read = Vec::new();
    let mut policy = None;
    if let Some(text) = text_of(&files.policy)? {
        let mut own =
            Policy::from_yaml(&text).map_err(|error| Error::policy(&files.policy, error))?;
        absolute_packs(&mut own, &files.policy);
        policy = Some(own);
        read.push(files.policy.clone());
    }
    if let Some((file, text)) = project_file(directory)? {
        let section = Policy::from_config(&text).map_err(|error| Error::policy(&file, error))?;
        if let Some(mut project) = section {
            absolute_packs(&mut project, &file);
            policy = Some(policy.unwrap_or_default().tightened_by(&project));
            read.push(file);
        }
    }
    let Some(policy) = policy else {
        return Ok(Governed {
            policy: Policy::default(),
            guard: Guard::default(),
            files: read,
        });
    };
    let guard = build(
        &policy,
        read.last().map_or(files.policy.as_path(), PathBuf::as_path),
    )?;
    Ok(Governed {
        policy,
        guard,
        files: read,
    })
}

/// The guard of a policy whose packs are in files.
///
/// # Errors
///
/// [`Error::Read`] and [`Error::Pack`] for the files of packs, [`Error::Policy`] if the policy
/// names what does not exist.
pub fn build(policy: &Policy, file: &Path) -> Result<Guard, Error> {
    let texts = pack_texts(policy)?;
    let packs =
        UserPacks::from_yaml(texts.iter().map(String::as_str)).map_err(|error| Error::Pack {
            path: file.to_owned(),
            error,
        })?;
    Guard::new(policy, packs).map_err(|error| Error::policy(file, error))
}

/// The packs that a policy names, as texts. Relative paths are relative to the current directory.
///
/// # Errors
///
/// [`Error::Read`] for a file that cannot be read, [`Error::Pack`] for one with mistakes.
pub fn pack_texts(policy: &Policy) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    for pack in &policy.pack_files {
        let path = Path::new(pack);
        let text =
            text_of(path)?.ok_or_else(|| Error::read(path, &io::ErrorKind::NotFound.into()))?;
        // One by one, so that a mistake names its file.
        UserPacks::from_yaml([text.as_str()]).map_err(|error| Error::Pack {
            path: path.to_owned(),
            error,
        })?;
        texts.push(text);
    }
    Ok(texts)
}

/// The guard while a policy cannot be read: at least as strict as anything that could stand there.
pub fn strict() -> Guard {
    use crate::guard::{Decision, Mode};

    let policy = Policy {
        mode: Mode::Deny,
        unanalyzable: Decision::Deny,
        ..Policy::default()
    };
    Guard::new(&policy, UserPacks::default()).unwrap_or_default()
}

fn absolute_packs(policy: &mut Policy, file: &Path) {
    let directory = file.parent().unwrap_or(Path::new("."));
    for pack in &mut policy.pack_files {
        *pack = directory.join(&*pack).to_string_lossy().into_owned();
    }
}

fn project_file(directory: &Path) -> Result<Option<(PathBuf, String)>, Error> {
    for ancestor in directory.ancestors() {
        for name in ["flowgate.yaml", "config/flowgate.yaml"] {
            let path = ancestor.join(name);
            if let Some(text) = text_of(&path)? {
                return Ok(Some((path, text)));
            }
        }
    }
    Ok(None)
}

/// The text of a file; `None` if there is none.
fn text_of(path: &Path) -> Result<Option<String>, Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_BYTES as u64 => {
            return Err(Error::read(path, &io::ErrorKind::FileTooLarge.into()));
        }
        Ok(_) => {}
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(Error::read(path, &error)),
    }
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| {
            Error::read(
                path,
                &io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"),
            )
        }),
        Err(error) => Err(Error::read(path, &error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn private(path: &Path, append: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(append).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Error {
    fn policy(path: &Path, error: PolicyError) -> Self {
        Self::Policy {
            path: path.to_owned(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_packs_in_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.yaml");
        let pack = "id: mine.files\nname: Mine\ndescription: What we lose.\nrules:\n  \
                    - {id: lost, severity: high, reason: Loses it., match: {command: wreck}, \
                    deny: [wreck all], allow: [ls]}\n";
        fs::write(&path, pack).unwrap();
        let mut policy = Policy {
            pack_files: vec![path.to_string_lossy().into_owned()],
            ..Policy::default()
        };
        let guard = build(&policy, &path).unwrap();
        let context = Context::new("/srv", "/home/me");
        assert!(!guard.check("wreck all", &context).decision.runs());
        policy.pack_files.push("/nowhere/at.yaml".to_owned());
        assert!(matches!(pack_texts(&policy), Err(Error::Read { .. })));
    }
}
