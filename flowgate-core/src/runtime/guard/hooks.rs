//! The settings of the agents that call the hook.

use std::path::{Path, PathBuf};

use super::text_of;
use crate::guard::hook::Agent;
use crate::guard::install;
use crate::runtime::{Access, Error, Planned, write_all};

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
    fn install(path: &Path, error: install::InstallError) -> Self {
        Self::Install {
            path: path.to_owned(),
            error,
        }
    }
}
