//! Making a profile the active one.

use std::fs::{self, File, Metadata, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::atomic::make_directory;
use super::change::change_files;
use super::regular::regular;
use super::{Access, ChangeFiles, Error, Planned, fetch_secrets, repair_change};
use crate::Timestamp;
use crate::config::Config;
use crate::profile::{State, state_json};

/// How long [`activate`] waits for another one to end.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// What [`activate`] did.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Activation {
    /// The profile that is active now.
    pub profile: String,
    /// The LiteLLM configuration that was written, mode 0600.
    pub active_config: PathBuf,
    /// The file that says which profile is active.
    pub state_file: PathBuf,
    /// False if everything was as it should be already, and nothing was written.
    pub changed: bool,
}

/// Makes a profile the active one: fetches its secrets and writes the LiteLLM configuration and
/// `state.json`, both or neither.
///
/// `config` must be resolved; `now` is what `state.json` will say. Only one activation writes at a
/// time, across processes.
///
/// # Errors
///
/// [`Error::Profile`] if the profile or one of its secrets is missing, [`Error::Write`] if a file
/// cannot be written or another activation takes longer than [`LOCK_TIMEOUT`]; the active profile
/// stays as it was.
pub fn activate(config: &Config, name: &str, now: Timestamp) -> Result<Activation, Error> {
    let planned = activation(config, name, now)?;
    let [active_config, state] = &planned;
    let runtime_dir = runtime_dir(config);
    let _held = lock(runtime_dir, LOCK_TIMEOUT)?;
    repair_change(runtime_dir)?;
    let up_to_date = is_active(config, name, active_config)?;
    let activation = Activation {
        profile: name.to_owned(),
        active_config: active_config.path.clone(),
        state_file: state.path.clone(),
        changed: !up_to_date,
    };
    if !up_to_date {
        let files = ChangeFiles::new(runtime_dir, planned.into());
        change_files(&files, &format!("profile {name}"))?;
    }
    Ok(activation)
}

/// The files that make a profile the active one: the LiteLLM configuration, and `state.json`.
pub(super) fn activation(
    config: &Config,
    name: &str,
    now: Timestamp,
) -> Result<[Planned; 2], Error> {
    let profile = config.profile(name)?;
    let paths = &config.settings().paths;
    let directory = config.file().map_or(Path::new("."), |file| {
        Path::new(file).parent().unwrap_or(Path::new("."))
    });
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let secrets = fetch_secrets(&profile, directory)?;
    let active_config = Planned {
        path: PathBuf::from(paths.active_config()),
        content: header(name) + &profile.render(&secrets)?,
        access: Access::Private,
    };
    let state = Planned {
        path: PathBuf::from(paths.state_file()),
        content: state_json(name, now),
        access: Access::Keep,
    };
    Ok([active_config, state])
}

fn runtime_dir(config: &Config) -> &Path {
    Path::new(config.settings().paths.runtime_dir.as_ref() as &str)
}

/// True if this profile is the active one already, with this content.
fn is_active(config: &Config, name: &str, active_config: &Planned) -> Result<bool, Error> {
    let named = active_profile(config)?.is_some_and(|state| state.current_profile == name);
    Ok(named && is_written(active_config)?)
}

/// The first line of the active configuration. A line break in the name would end the comment.
fn header(name: &str) -> String {
    let name = name.escape_debug();
    format!("# Written by FlowGate for the profile `{name}`. Changes made here are lost.\n")
}

/// True if the file has this content already, and nobody but its owner may read it.
fn is_written(file: &Planned) -> Result<bool, Error> {
    let found = regular(&file.path).map_err(|error| Error::write(&file.path, &error))?;
    Ok(found.is_some_and(|metadata| {
        is_private(&metadata)
            && metadata.len() == file.content.len() as u64
            && fs::read_to_string(&file.path).is_ok_and(|text| text == file.content)
    }))
}

#[cfg(unix)]
fn is_private(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o177 == 0
}

#[cfg(not(unix))]
fn is_private(_: &Metadata) -> bool {
    true
}

/// Which profile is active; `None` if none is, or if `state.json` does not say.
///
/// # Errors
///
/// [`Error::Read`] if `state.json` is there and cannot be read, or is not a regular file.
pub fn active_profile(config: &Config) -> Result<Option<State>, Error> {
    let path = PathBuf::from(config.settings().paths.state_file());
    let read = || match regular(&path)? {
        Some(_) => fs::read(&path).map(Some),
        None => Ok(None),
    };
    let bytes = read().map_err(|error| Error::read(&path, &error))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Waits for the lock of the runtime directory; it is given back when the file is dropped.
pub(super) fn lock(runtime_dir: &Path, limit: Duration) -> Result<File, Error> {
    let path = runtime_dir.join("profile.lock");
    let open = || {
        make_directory(runtime_dir)?;
        regular(&path)?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true).open(&path)
    };
    let file = open().map_err(|error| Error::write(&path, &error))?;
    let deadline = Instant::now() + limit;
    // `File::lock` waits without end, so the lock is asked for now and then. An activation holds
    // it for milliseconds.
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(Error::write(&path, &error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(held(path, limit));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn held(path: PathBuf, limit: Duration) -> Error {
    Error::Write {
        path,
        reason: format!(
            "another process has held this lock for {} s",
            limit.as_secs_f32()
        ),
        hint: "end the other `flowgate profile set`, and try again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{load, resolve};
    use super::*;

    fn project(text: &str) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flowgate.yaml");
        fs::write(&path, text).unwrap();
        let config = resolve(&load(&path).unwrap()).unwrap();
        (dir, config)
    }

    const TWO: &str = "config_version: 2\nlitellm_base: {litellm_settings: {num_retries: 1}}\nprofiles: {a: {}, b: {litellm_settings: {num_retries: 2}}}\n";

    #[test]
    fn the_active_profile_is_written_and_known() {
        let (dir, config) = project(TWO);
        assert_eq!(active_profile(&config).unwrap(), None);
        let done = activate(&config, "b", 0).unwrap();
        assert_eq!(
            done.active_config,
            dir.path().join(".router/runtime/litellm.active.yaml")
        );
        assert!(
            fs::read_to_string(&done.active_config)
                .unwrap()
                .ends_with("litellm_settings:\n  num_retries: 2\n")
        );
        let state = active_profile(&config).unwrap().unwrap();
        assert_eq!(
            (state.current_profile.as_str(), state.updated_at.as_str()),
            ("b", "1970-01-01T00:00:00.000Z")
        );
        assert!(!activate(&config, "b", 1).unwrap().changed);
        assert!(activate(&config, "a", 1).unwrap().changed);
    }

    #[test]
    fn many_at_once_leave_one_whole_result() {
        let (_dir, config) = project(TWO);
        std::thread::scope(|scope| {
            // Each waits for the disk, several times, and nobody for the lock without end.
            for i in 0..4 {
                let config = &config;
                scope.spawn(move || {
                    for j in 0..5 {
                        activate(config, ["a", "b"][(i + j) % 2], 1).unwrap();
                    }
                });
            }
        });
        let state = active_profile(&config).unwrap().unwrap();
        let active = fs::read_to_string(config.settings().paths.active_config()).unwrap();
        assert!(active.contains(&format!("the profile `{}`", state.current_profile)));
        let retries = if state.current_profile == "a" {
            "num_retries: 1"
        } else {
            "num_retries: 2"
        };
        assert!(active.contains(retries), "{active}");
    }

    #[cfg(unix)]
    #[test]
    fn an_active_config_that_others_may_read_is_made_private_again() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, config) = project(TWO);
        let active = activate(&config, "a", 0).unwrap().active_config;
        fs::set_permissions(&active, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(activate(&config, "a", 1).unwrap().changed);
        let mode = fs::metadata(&active).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!activate(&config, "a", 2).unwrap().changed);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_a_regular_file_is_refused_and_stays() {
        use std::os::unix::fs::FileTypeExt;
        let names = ["active_config", "state_file", "lock"];
        for (name, file) in
            names
                .into_iter()
                .zip(["litellm.active.yaml", "state.json", "profile.lock"])
        {
            let (dir, config) = project(TWO);
            let runtime = dir.path().join(".router/runtime");
            fs::create_dir_all(&runtime).unwrap();
            let fifo = runtime.join(file);
            assert!(mkfifo(&fifo));
            let error = activate(&config, "a", 0).unwrap_err();
            assert!(
                error.is_environment() && error.to_string().contains("a pipe"),
                "{name}: {error}"
            );
            assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo(), "{name}");
        }
    }

    #[cfg(unix)]
    fn mkfifo(path: &Path) -> bool {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        made.is_ok_and(|status| status.success())
    }

    #[test]
    fn a_lock_that_another_holds_is_waited_for_so_long_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path(), Duration::ZERO).unwrap();
        let error = lock(dir.path(), Duration::from_millis(50)).unwrap_err();
        assert!(
            error.is_environment() && error.to_string().contains("profile.lock"),
            "{error}"
        );
        thread::scope(|scope| {
            let waits = scope.spawn(|| lock(dir.path(), LOCK_TIMEOUT).map(drop));
            thread::sleep(Duration::from_millis(30));
            drop(held);
            waits.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_name_cannot_leave_the_comment_it_stands_in() {
        let line = header("a\nmaster_key: x\r\u{85}\u{2028}b");
        assert_eq!(line.matches(['\n', '\r', '\u{85}', '\u{2028}']).count(), 1);
        assert!(line.ends_with('\n') && header("größe 1").contains("`größe 1`"));
    }

    #[test]
    fn a_state_file_that_is_not_ours_counts_as_none() {
        let (_dir, config) = project(TWO);
        activate(&config, "a", 0).unwrap();
        for text in ["", "[]", "{", "\u{0}"] {
            fs::write(config.settings().paths.state_file(), text).unwrap();
            assert_eq!(active_profile(&config).unwrap(), None);
        }
    }
}
