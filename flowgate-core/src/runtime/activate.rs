//! Making a profile the active one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::atomic::make_directory;
use super::{Access, Error, Planned, fetch_secrets, write_all};
use crate::Timestamp;
use crate::config::Config;
use crate::profile::{State, state_json};

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
/// cannot be written; the active profile stays as it was.
pub fn activate(config: &Config, name: &str, now: Timestamp) -> Result<Activation, Error> {
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
    let header =
        format!("# Written by FlowGate for the profile `{name}`. Changes made here are lost.\n");
    let active_config = Planned {
        path: PathBuf::from(paths.active_config()),
        content: header + &profile.render(&secrets)?,
        access: Access::Private,
    };
    let state = Planned {
        path: PathBuf::from(paths.state_file()),
        content: state_json(name, now),
        access: Access::Keep,
    };

    let _held = lock(Path::new(paths.runtime_dir.as_ref() as &str))?;
    let up_to_date = active_profile(config)?.is_some_and(|state| state.current_profile == name)
        && fs::read_to_string(&active_config.path).is_ok_and(|text| text == active_config.content);
    let activation = Activation {
        profile: name.to_owned(),
        active_config: active_config.path.clone(),
        state_file: state.path.clone(),
        changed: !up_to_date,
    };
    if !up_to_date {
        write_all(&[active_config, state])?;
    }
    Ok(activation)
}

/// Which profile is active; `None` if none is, or if `state.json` does not say.
///
/// # Errors
///
/// [`Error::Read`] if `state.json` is there and cannot be read.
pub fn active_profile(config: &Config) -> Result<Option<State>, Error> {
    let path = PathBuf::from(config.settings().paths.state_file());
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::read(&path, &error)),
    }
}

/// Waits for the lock of the runtime directory; it is given back when the file is dropped.
fn lock(runtime_dir: &Path) -> Result<File, Error> {
    let path = runtime_dir.join("profile.lock");
    let acquire = || {
        make_directory(runtime_dir)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        file.lock()?;
        Ok(file)
    };
    acquire().map_err(|error| Error::write(&path, &error))
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
            for i in 0..8 {
                let config = &config;
                scope.spawn(move || {
                    for j in 0..10 {
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
