//! Fetching the secrets that a profile refers to.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use process_control::{ChildExt, Control, ExitStatus};
use secrecy::SecretString;

use super::plain;
use super::regular::regular;
use crate::config::{Config, Credential};
use crate::profile::{CredentialProblem, Error, Profile, Secrets};

/// How long a credential command may take, until its output is closed and it has ended.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest secret.
const MAX_BYTES: u64 = 64 << 10;

/// Fetches every secret that a profile refers to: from files, the environment, and commands, which
/// are started in `directory`.
///
/// The profile's configuration must be resolved, so that the paths of files are absolute.
///
/// # Errors
///
/// [`Error::Credentials`] with every secret that could not be had.
pub fn fetch_secrets(profile: &Profile<'_>, directory: &Path) -> Result<Secrets, Error> {
    let mut secrets = Secrets::new();
    let mut problems = Vec::new();
    for reference in profile.references() {
        let fetched = match &reference.credential {
            Some(credential) => fetch(credential, directory),
            None => Err((
                "the configuration does not describe it".to_owned(),
                "add it under `credentials.upstream`".to_owned(),
            )),
        };
        match fetched {
            Ok(secret) => {
                secrets.insert(reference.name, secret);
            }
            Err((message, hint)) => {
                problems.push(CredentialProblem::new(reference.name, message, hint))
            }
        }
    }
    if problems.is_empty() {
        Ok(secrets)
    } else {
        Err(Error::Credentials { problems })
    }
}

/// Fetches one secret of `credentials.upstream`. Commands run in the directory of the configuration
/// file.
///
/// # Errors
///
/// [`Error::Credentials`] if it is not described or cannot be had; it is never shown.
pub fn fetch_secret(config: &Config, name: &str) -> Result<SecretString, Error> {
    let credential = config.settings().credentials.upstream.get(name);
    let directory = config.file().map(Path::new).and_then(Path::parent);
    let directory = directory.filter(|directory| !directory.as_os_str().is_empty());
    let fetched = match credential {
        Some(credential) => fetch(credential, directory.unwrap_or(Path::new("."))),
        None => Err((
            "the configuration does not describe it".to_owned(),
            "add it under `credentials.upstream`".to_owned(),
        )),
    };
    fetched.map_err(|(message, hint)| Error::Credentials {
        problems: vec![CredentialProblem::new(name, message, hint)],
    })
}

/// What is wrong, and what to do about it.
pub(super) type Problem = (String, String);

/// Whether a credential can be had, as far as that is seen without running a program for it.
pub(super) fn look_at(credential: &Credential) -> Result<(), Problem> {
    match credential {
        Credential::Command(args) => {
            let program = args.first().map(String::as_str).unwrap_or_default();
            let on_path = || {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
            };
            // A program with a path of its own is found from the configuration file's directory.
            match program.contains('/') || on_path() {
                true => Ok(()),
                false => Err((
                    format!("the program `{program}` is not on the `PATH`"),
                    "install it, or name another".to_owned(),
                )),
            }
        }
        other => fetch(other, Path::new(".")).map(drop),
    }
}

fn fetch(credential: &Credential, directory: &Path) -> Result<SecretString, Problem> {
    let (text, from) = match credential {
        Credential::File(path) => (
            from_file(Path::new(path.as_ref() as &str))?,
            format!("`{path}`"),
        ),
        Credential::Env(name) => (from_environment(name)?, format!("the variable `{name}`")),
        Credential::Command(args) => (
            from_command(args, directory, COMMAND_TIMEOUT)?,
            format!("what `{}` prints", args[0]),
        ),
    };
    match text.trim() {
        "" => Err((
            format!("{from} is empty"),
            "put the secret there".to_owned(),
        )),
        secret => Ok(secret.into()),
    }
}

fn from_file(path: &Path) -> Result<String, Problem> {
    let at =
        |reason: &str, hint: &str| (format!("`{}`: {reason}", path.display()), hint.to_owned());
    let read = || -> io::Result<Vec<u8>> {
        // Opening a pipe that nobody writes to would wait for ever.
        regular(path)?;
        read_bounded(File::open(path)?)
    };
    let bytes = read().map_err(|error| {
        at(
            &plain(&error),
            "write the secret into this file, with mode 0600",
        )
    })?;
    text(bytes).map_err(|reason| at(reason, "write only the secret into this file"))
}

fn from_environment(name: &str) -> Result<String, Problem> {
    // `=` and NUL would make `var_os` panic on some systems.
    let value = Some(name)
        .filter(|name| !name.contains(['=', '\0']))
        .and_then(std::env::var_os);
    let value = value.ok_or_else(|| {
        (
            format!("the variable `{name}` is not set"),
            format!("set it: `export {name}=…`"),
        )
    })?;
    value.into_string().map_err(|_| {
        (
            format!("the variable `{name}` is not UTF-8"),
            "set it to text".to_owned(),
        )
    })
}

fn from_command(args: &[String], directory: &Path, limit: Duration) -> Result<String, Problem> {
    let Some((program, arguments)) = args.split_first() else {
        return Err((
            "the command is empty".to_owned(),
            "write the program first".to_owned(),
        ));
    };
    let failed = |reason: &str| {
        (
            format!("`{program}` {reason}"),
            "run the command by hand to see what it says".to_owned(),
        )
    };
    let mut child = Command::new(OsStr::new(program))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("cannot be started: {}", plain(&error))))?;
    let (output, status) = finish(&mut child, limit)
        .map_err(|error| failed(&format!("cannot be waited for: {}", plain(&error))))?;
    match (output, status) {
        (Some(output), _) if is_too_long(&output) => text(output).map_err(failed),
        (_, Some(status)) if !status.success() => Err(failed(&format!("ended with {status}"))),
        (Some(output), Some(_)) => text(output).map_err(failed),
        _ => Err(failed(&format!(
            "takes longer than {} s",
            limit.as_secs_f32()
        ))),
    }
}

/// What a command prints, up to one byte more than a secret can have, and how it ends; `None` for
/// what does not come in time. It is ended then, or if it prints too much.
///
/// It stays in our process group: one of its own would be in the background of the terminal, where
/// it may not ask for a passphrase, and Ctrl-C would not reach it. So what it started itself may
/// live on, but is not waited for.
fn finish(child: &mut Child, limit: Duration) -> io::Result<(Option<Vec<u8>>, Option<ExitStatus>)> {
    let deadline = Instant::now() + limit;
    let (send, receive) = mpsc::channel();
    let stdout = child.stdout.take();
    // In a thread, because whoever has inherited the pipe can keep it open for ever.
    let read = move || drop(send.send(stdout.map_or(Ok(Vec::new()), read_bounded)));
    thread::Builder::new().spawn(read)?;
    let output = receive.recv_timeout(limit).ok().transpose()?;
    let left = match &output {
        Some(output) if !is_too_long(output) => deadline.saturating_duration_since(Instant::now()),
        _ => Duration::ZERO,
    };
    let status = child
        .controlled()
        .time_limit(left)
        .terminate_for_timeout()
        .wait()?;
    if status.is_none() {
        // It has been ended; this takes it off the list of processes.
        child.wait()?;
    }
    Ok((output, status))
}

fn read_bounded(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_too_long(bytes: &[u8]) -> bool {
    bytes.len() as u64 > MAX_BYTES
}

fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    if is_too_long(&bytes) {
        return Err("gives more than a secret can be long");
    }
    String::from_utf8(bytes).map_err(|_| "does not give UTF-8 text")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::Config;

    fn fetch_all(upstream: &str) -> Result<Secrets, String> {
        let config = Config::from_yaml(&format!(
            "config_version: 2\ncredentials: {{ upstream: {{ {upstream} }} }}\nprofiles: {{ p: {{}} }}\nlitellm_base:\n  model_list:\n    - {{ model_name: m, litellm_params: {{ api_key_ref: a }} }}\n    - {{ model_name: m, litellm_params: {{ api_key_ref: b }} }}\n"
        ))
        .unwrap();
        let profile = config.profile("p").unwrap();
        fetch_secrets(&profile, Path::new("/")).map_err(|error| error.to_string())
    }

    #[test]
    fn files_and_commands_give_their_text_without_blanks_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        fs::write(&key, " sk-from-file\n").unwrap();
        let secrets = fetch_all(&format!(
            "a: {{ file: '{}' }}, b: {{ command: [sh, -c, 'echo \"$0\"', sk-from-command] }}",
            key.display()
        ))
        .unwrap();
        assert_eq!(secrets["a"].expose_secret(), "sk-from-file");
        assert_eq!(secrets["b"].expose_secret(), "sk-from-command");
    }

    #[test]
    fn everything_that_is_missing_is_reported_together_and_no_secret_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        fs::write(&key, b"sk-\xff").unwrap();
        let error = fetch_all(&format!(
            "a: {{ file: '{}' }}, b: {{ env: FLOWGATE_TEST_NOT_SET }}",
            key.display()
        ))
        .unwrap_err();
        assert!(
            error.contains("`a`:")
                && error.contains("UTF-8")
                && error.contains("FLOWGATE_TEST_NOT_SET"),
            "{error}"
        );
        let error = fetch_all("a: { command: [sh, -c, 'echo sk-secret; exit 3'] }, b: { command: [/no/such/program] }").unwrap_err();
        assert!(
            error.contains("ended with exit code: 3") && error.contains("cannot be started"),
            "{error}"
        );
        assert!(!error.contains("sk-"), "{error}");
        fs::write(&key, " \n").unwrap();
        let error = fetch_all(&format!(
            "a: {{ file: '{}' }}, b: {{ file: '{}' }}",
            key.display(),
            dir.path().display()
        ))
        .unwrap_err();
        assert!(
            error.contains("is empty") && error.contains("is a directory"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_never_stops_printing_is_ended() {
        let args = ["yes", "aaa"].map(str::to_owned);
        let start = Instant::now();
        let (message, _) = from_command(&args, Path::new("/"), COMMAND_TIMEOUT).unwrap_err();
        assert!(message.contains("more than a secret"), "{message}");
        assert!(start.elapsed() < COMMAND_TIMEOUT / 2);
    }

    #[cfg(unix)]
    #[test]
    fn the_time_limit_holds_for_what_the_command_started_too() {
        for script in ["echo sk; sleep 20 &", "echo sk; exec >&-; sleep 20"] {
            let args = ["sh", "-c", script].map(str::to_owned);
            let start = Instant::now();
            let limit = Duration::from_millis(500);
            let (message, _) = from_command(&args, Path::new("/"), limit).unwrap_err();
            assert!(message.contains("takes longer than 0.5 s"), "{message}");
            assert!(start.elapsed() < Duration::from_secs(10), "{script}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_read_as_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for file in [pipe.as_path(), Path::new("/dev/zero")] {
            let (message, _) = from_file(file).unwrap_err();
            assert!(message.contains("a pipe"), "{message}");
        }
    }
}
