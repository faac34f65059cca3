//! Fetching the secrets that a profile refers to.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use process_control::{ChildExt, Control};
use secrecy::SecretString;

use super::plain;
use crate::config::Credential;
use crate::profile::{CredentialProblem, Error, Profile, Secrets};

/// How long a credential command may take.
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

/// What is wrong, and what to do about it.
type Problem = (String, String);

fn fetch(credential: &Credential, directory: &Path) -> Result<SecretString, Problem> {
    let (text, from) = match credential {
        Credential::File(path) => (
            from_file(Path::new(path.as_ref() as &str))?,
            format!("`{path}`"),
        ),
        Credential::Env(name) => (from_environment(name)?, format!("the variable `{name}`")),
        Credential::Command(args) => (
            from_command(args, directory)?,
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
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
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

fn from_command(args: &[String], directory: &Path) -> Result<String, Problem> {
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
    let child = Command::new(OsStr::new(program))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&format!("cannot be started: {}", plain(&error))))?;
    let output = child
        .controlled_with_output()
        .time_limit(COMMAND_TIMEOUT)
        .terminate_for_timeout()
        .wait()
        .map_err(|error| failed(&format!("cannot be waited for: {}", plain(&error))))?
        .ok_or_else(|| {
            failed(&format!(
                "takes longer than {} s",
                COMMAND_TIMEOUT.as_secs()
            ))
        })?;
    if !output.status.success() {
        return Err(failed(&format!("ended with {}", output.status)));
    }
    text(output.stdout).map_err(&failed)
}

fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    if bytes.len() as u64 > MAX_BYTES {
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
        let names: Vec<&str> = upstream.split(':').next().into_iter().collect();
        drop(names);
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
}
