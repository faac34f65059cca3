//! The program that starts LiteLLM: a pinned version, through uv or an interpreter that has it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use process_control::{ChildExt, Control};

use crate::config::Settings;
use crate::runtime::Error;
use crate::runtime::atomic::{Access, Planned, write_all};

/// The version of LiteLLM that is used if nobody says otherwise.
pub const LITELLM_VERSION: &str = "1.106.2";
/// How long an interpreter may take to say what it has.
const ASK_TIMEOUT: Duration = Duration::from_secs(20);

/// Writes `bin/litellm` in the runtime directory: a script that starts the pinned version with uv,
/// or with the interpreter of `bootstrap.litellm.python`, which must have that version.
///
/// # Errors
///
/// [`Error::Read`] if there is neither, or the interpreter has another version; [`Error::Write`].
pub fn write_litellm_runner(
    settings: &Settings,
    path_variable: &std::ffi::OsStr,
) -> Result<PathBuf, Error> {
    let wanted = &settings.bootstrap.litellm;
    let pinned = wanted.version.as_ref().map(ToString::to_string);
    let script = match &wanted.python {
        Some(python) => {
            let python = PathBuf::from(python.to_string());
            let found = version_in(&python)?;
            if let Some(pinned) = pinned.filter(|pinned| *pinned != found) {
                return Err(problem(
                    &python,
                    &format!("it has LiteLLM {found}, not {pinned}"),
                    "install that version there, or correct `bootstrap.litellm.version`",
                ));
            }
            with_python(&python)
        }
        None => {
            let uv = std::env::split_paths(path_variable)
                .map(|directory| directory.join("uv"))
                .find(|uv| uv.is_file());
            let Some(uv) = uv else {
                return Err(problem(
                    Path::new("uv"),
                    "it is not on the `PATH`",
                    "install uv, or name an interpreter that has LiteLLM under `bootstrap.litellm.python`",
                ));
            };
            with_uv(&uv, &pinned.unwrap_or_else(|| LITELLM_VERSION.to_owned()))
        }
    };
    let path = PathBuf::from(settings.paths.runtime_dir.to_string()).join("bin/litellm");
    write_all(&[Planned {
        path: path.clone(),
        content: script,
        access: Access::Keep,
    }])?;
    executable(&path).map_err(|error| Error::write(&path, &error))?;
    Ok(path)
}

fn problem(path: &Path, reason: &str, hint: &str) -> Error {
    Error::Read {
        path: path.to_owned(),
        reason: reason.to_owned(),
        hint: hint.to_owned(),
        environment: true,
    }
}

fn with_uv(uv: &Path, version: &str) -> String {
    let from = quoted(&format!("litellm[proxy]=={version}"));
    format!(
        "{HEADER}exec {} tool run --from {from} litellm \"$@\"\n",
        quoted(&uv.to_string_lossy())
    )
}

fn with_python(python: &Path) -> String {
    let code = "import sys; from litellm import run_server; sys.exit(run_server())";
    format!(
        "{HEADER}exec {} -c {} \"$@\"\n",
        quoted(&python.to_string_lossy()),
        quoted(code)
    )
}

const HEADER: &str =
    "#!/bin/sh\n# Written by `flowgate bootstrap`; it is written anew each time.\n";

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The version of LiteLLM that an interpreter has. LiteLLM itself is not loaded, which takes long.
fn version_in(python: &Path) -> Result<String, Error> {
    let hint = "install it there, or leave `bootstrap.litellm.python` out to use uv";
    let failed = |error: io::Error| problem(python, &crate::runtime::plain(&error), hint);
    let code = "import importlib.metadata as m; print(m.version('litellm'))";
    let child = Command::new(python)
        .args(["-c", code])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let output = child
        .controlled_with_output()
        .time_limit(ASK_TIMEOUT)
        .terminate_for_timeout()
        .wait()
        .map_err(failed)?;
    let output = output.ok_or_else(|| problem(python, "it takes too long", hint))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match version.as_str() {
        "" => Err(problem(python, "it has no LiteLLM", hint)),
        _ => Ok(version),
    }
}

#[cfg(unix)]
fn executable(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

#[cfg(not(unix))]
fn executable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::Config;

    fn runner(dir: &Path, more: &str, path: &Path) -> Result<String, Error> {
        let text = format!(
            "paths: {{ runtime_dir: '{}/run' }}\nbootstrap: {{ litellm: {{ {more} }} }}",
            dir.display()
        );
        let config = Config::from_yaml(&text).unwrap();
        let path = write_litellm_runner(config.settings(), path.as_os_str())?;
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o111,
            0o111
        );
        Ok(fs::read_to_string(path).unwrap())
    }

    fn program(path: &Path, script: &str) {
        fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_pinned_version_is_started_wherever_the_directory_is() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("it's here");
        fs::create_dir(&bin).unwrap();
        program(&bin.join("uv"), "printf '%s|' \"$@\"");
        runner(dir.path(), "version: '1.2.3'", &bin).unwrap();
        let ran = Command::new(dir.path().join("run/bin/litellm"))
            .args(["--port", "4 0"])
            .current_dir("/")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&ran.stdout),
            "tool|run|--from|litellm[proxy]==1.2.3|litellm|--port|4 0|"
        );
    }

    #[test]
    fn an_interpreter_must_have_the_version() {
        let dir = tempfile::tempdir().unwrap();
        let python = dir.path().join("python");
        program(&python, "echo 1.2.3");
        let with = |version: &str| {
            runner(
                dir.path(),
                &format!("python: '{}', version: '{version}'", python.display()),
                Path::new(""),
            )
        };
        assert!(with("1.2.3").unwrap().contains("run_server"));
        assert!(
            with("2.0.0")
                .unwrap_err()
                .to_string()
                .contains("it has LiteLLM 1.2.3, not 2.0.0")
        );
        program(&python, "exit 1");
        assert!(
            with("1.2.3")
                .unwrap_err()
                .to_string()
                .contains("it has no LiteLLM")
        );
        let neither = runner(dir.path(), "", Path::new("/nosuch")).unwrap_err();
        assert!(
            neither.is_environment() && neither.to_string().contains("install uv"),
            "{neither}"
        );
    }
}
