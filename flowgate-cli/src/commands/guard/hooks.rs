//! `flowgate guard hook install|uninstall|status`.

use std::path::PathBuf;

use flowgate_core::guard::hook::Agent;
use flowgate_core::runtime::guard::{self as files, HookState};
use serde_json::json;

use crate::args::HookCommand;
use crate::output::{DIM, Exit, Failure, Output, Result, STRONG};

pub(super) fn hook(command: &HookCommand, output: &mut Output) -> Result {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    if !home.is_absolute() {
        return Err(Failure::Usage(
            "cli.no_home",
            "`$HOME` is not an absolute path".to_owned(),
            "set it: the settings of agents are there".to_owned(),
        ));
    }
    match command {
        HookCommand::Install { agent } => {
            let state = files::install_hook(*agent, &home, &program()?)?;
            let did = if state.changed {
                "is installed for"
            } else {
                "was installed already for"
            };
            tell(*agent, &state, did, output)
        }
        HookCommand::Uninstall { agent } => {
            let state = files::uninstall_hook(*agent, &home)?;
            let did = if state.changed {
                "removed from"
            } else {
                "is not installed for"
            };
            tell(*agent, &state, did, output)
        }
        HookCommand::Status { agent } => {
            let agents = agent.map_or(Agent::ALL.to_vec(), |agent| vec![agent]);
            let mut states = Vec::new();
            let mut all = true;
            for agent in agents {
                let state = files::hook_status(agent, &home)?;
                let installed = !state.commands.is_empty();
                all &= installed;
                if !output.is_json() {
                    let did = if installed {
                        "is installed for"
                    } else {
                        "is not installed for"
                    };
                    tell(agent, &state, did, output)?;
                }
                states.push(json!({ "agent": agent, "installed": installed, "file": state.file, "commands": state.commands }));
            }
            if output.is_json() {
                output.json(&states)?;
            }
            Ok(if all || agent.is_none() {
                Exit::Done
            } else {
                Exit::No
            })
        }
    }
}

fn program() -> Result<String> {
    let path = std::env::current_exe().ok();
    path.and_then(|path| path.to_str().map(str::to_owned))
        .ok_or_else(|| {
            Failure::Usage(
                "cli.no_program",
                "the path of this program is not known as text".to_owned(),
                "move it to a directory whose name is text".to_owned(),
            )
        })
}

fn tell(agent: Agent, state: &HookState, did: &str, output: &mut Output) -> Result {
    if output.is_json() {
        output.json(&json!({
            "agent": agent, "file": state.file, "commands": state.commands,
            "changed": state.changed, "backup": state.backup,
        }))?;
        return Ok(Exit::Done);
    }
    output.text(format_args!(
        "the hook {did} {STRONG}{}{STRONG:#} ({})\n",
        agent.name(),
        state.file.display()
    ))?;
    for command in &state.commands {
        output.text(format_args!("  {command}\n"))?;
    }
    if let Some(backup) = &state.backup {
        output.text(format_args!(
            "{DIM}the old file is kept as {}{DIM:#}\n",
            backup.display()
        ))?;
    }
    if agent == Agent::Codex && state.changed && !state.commands.is_empty() {
        output.text(format_args!(
            "Codex asks you to trust the hook when it starts next: say yes with `/hooks`\n"
        ))?;
    }
    Ok(Exit::Done)
}
