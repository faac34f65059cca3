//! The guard's files: policies, exceptions, the log, and the settings of the agents.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::atomic::make_directory;
use super::{Access, Error, Planned, write_all};
use crate::Timestamp;
use crate::guard::hook::Agent;
use crate::guard::{
    Context, Exceptions, Grant, Guard, Policy, PolicyError, Request, UserPacks, Verdict, install,
};
use crate::redact::redact_command;
use crate::yaml::MAX_BYTES;

/// How long a stopped command waits for a person's decision, in milliseconds.
const REQUEST_LIFETIME: u64 = 60 * 60 * 1000;
/// How long a granted command may run, in milliseconds.
const GRANT_LIFETIME: u64 = 10 * 60 * 1000;
/// How long the log grows before it is put aside, in bytes.
const LONGEST_LOG: u64 = 4 << 20;
/// How many logs that were put aside are kept: `audit.jsonl.1` is the newest.
const KEPT_LOGS: u32 = 4;

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

/// The exceptions that are open, oldest first.
///
/// # Errors
///
/// [`Error::Read`] if they cannot be read.
pub fn exceptions(files: &GuardFiles) -> Result<Exceptions, Error> {
    let Some(text) = text_of(&files.exceptions)? else {
        return Ok(Exceptions::default());
    };
    serde_json::from_str(&text)
        .map_err(|error| Error::read(&files.exceptions, &io::Error::other(error)))
}

/// Uses up the grant for a command in a directory, or notes that a person may want to give one.
///
/// Says whether the command may run.
///
/// # Errors
///
/// [`Error::Read`] and [`Error::Write`]; the command may not run then.
pub fn redeem_or_request(
    files: &GuardFiles,
    command: &str,
    cwd: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    update(files, |exceptions| {
        if exceptions.redeem(command, cwd, now) {
            return true;
        }
        let random = getrandom::u64().unwrap_or_default();
        // Without randomness there is no code, and nothing to grant.
        if random != 0 {
            exceptions.request(command, cwd, random, now, REQUEST_LIFETIME);
        }
        false
    })
}

/// Grants the request of a code; `None` if no such request is open.
///
/// # Errors
///
/// [`Error::Read`] and [`Error::Write`].
pub fn grant(files: &GuardFiles, code: &str, now: Timestamp) -> Result<Option<Grant>, Error> {
    update(files, |exceptions| {
        exceptions.grant(code, now, GRANT_LIFETIME).cloned()
    })
}

/// The requests that wait at a moment.
///
/// # Errors
///
/// [`Error::Read`] if they cannot be read.
pub fn requests(files: &GuardFiles, now: Timestamp) -> Result<Vec<Request>, Error> {
    let mut requests = exceptions(files)?.requests;
    requests.retain(|request| now < request.expires);
    Ok(requests)
}

/// Reads, changes and writes the exceptions while no other process does.
fn update<T>(files: &GuardFiles, change: impl FnOnce(&mut Exceptions) -> T) -> Result<T, Error> {
    let path = &files.exceptions;
    let failed = |error: io::Error| Error::write(path, &error);
    let directory = path.parent().unwrap_or(Path::new("."));
    make_directory(directory).map_err(failed)?;
    let lock = private(&path.with_extension("lock"), false).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let before = exceptions(files)?;
    let mut after = before.clone();
    let result = change(&mut after);
    if after != before {
        let content = serde_json::to_string_pretty(&after).map_err(|error| failed(error.into()))?;
        write_all(&[Planned {
            path: path.clone(),
            content: content + "\n",
            access: Access::Private,
        }])?;
    }
    Ok(result)
}

fn private(path: &Path, append: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(append).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

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

/// How the hook stands in an agent's settings.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HookState {
    /// The file.
    pub file: PathBuf,
    /// The commands of ours in it.
    pub commands: Vec<String>,
    /// Whether the file was changed.
    pub changed: bool,
    /// The copy of the old file, if one was written.
    pub backup: Option<PathBuf>,
}

/// Looks whether the hook is in an agent's settings.
///
/// # Errors
///
/// [`Error::Read`] and [`Error::Install`] if the settings cannot be read.
pub fn hook_status(agent: Agent, home: &Path) -> Result<HookState, Error> {
    let file = settings_file(agent, home);
    let text = text_of(&file)?.unwrap_or_default();
    let commands = install::commands(agent, &text).map_err(|error| Error::install(&file, error))?;
    Ok(HookState {
        file,
        commands,
        changed: false,
        backup: None,
    })
}

/// Puts the hook into an agent's settings; `program` is the path of this program.
///
/// # Errors
///
/// [`Error::Install`] if the settings are not understood, [`Error::Read`], [`Error::Write`].
/// Nothing has changed then.
pub fn install_hook(agent: Agent, home: &Path, program: &str) -> Result<HookState, Error> {
    edit(agent, home, |text| {
        install::install(agent, text, &install::command(agent, program))
    })
}

/// Takes the hook out of an agent's settings.
///
/// # Errors
///
/// As [`install_hook`].
pub fn uninstall_hook(agent: Agent, home: &Path) -> Result<HookState, Error> {
    edit(agent, home, |text| install::uninstall(agent, text))
}

fn edit(
    agent: Agent,
    home: &Path,
    change: impl FnOnce(&str) -> Result<String, install::InstallError>,
) -> Result<HookState, Error> {
    let file = settings_file(agent, home);
    let refused = |error| Error::install(&file, error);
    let before = text_of(&file)?;
    let after = change(before.as_deref().unwrap_or_default()).map_err(refused)?;
    let commands = install::commands(agent, &after).map_err(refused)?;
    let changed = after != before.as_deref().unwrap_or_default();
    let mut backup = None;
    if changed {
        let mut planned = Vec::new();
        if let Some(before) = before {
            let mut name = file.as_os_str().to_owned();
            name.push(".flowgate.bak");
            let path = PathBuf::from(name);
            planned.push(Planned {
                path: path.clone(),
                content: before,
                access: Access::Private,
            });
            backup = Some(path);
        }
        planned.push(Planned {
            path: file.clone(),
            content: after,
            access: Access::Keep,
        });
        write_all(&planned)?;
    }
    Ok(HookState {
        file,
        commands,
        changed,
        backup,
    })
}

fn settings_file(agent: Agent, home: &Path) -> PathBuf {
    let names = install::settings_files(agent);
    let there = names
        .iter()
        .map(|name| home.join(name))
        .find(|path| path.parent().is_some_and(Path::is_dir));
    there.unwrap_or_else(|| home.join(names.first().copied().unwrap_or_default()))
}

impl Error {
    fn policy(path: &Path, error: PolicyError) -> Self {
        Self::Policy {
            path: path.to_owned(),
            error,
        }
    }

    fn install(path: &Path, error: install::InstallError) -> Self {
        Self::Install {
            path: path.to_owned(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
