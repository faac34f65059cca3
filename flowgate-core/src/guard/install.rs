//! The hook in the settings of the agents: put in, taken out, looked for.
//!
//! Text in, text out. Everything else in the settings stays, in its order; text that is not
//! understood is refused and not touched.

use jsonc_parser::cst::CstNode;
use serde_json::{Value, json};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use super::hook::Agent;
use crate::jsonc::{Document, Mistake, push, value_of};

/// Settings that cannot be edited.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The text is not what the agent reads.
    #[error("the settings are not understood: {detail}")]
    Format {
        /// What is wrong, as the reader says it.
        detail: String,
    },
    /// A part of the settings has another shape than the hook needs.
    #[error("`{path}` is not {expected}")]
    Shape {
        /// Where.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl InstallError {
    /// A stable, machine-readable name for this kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format { .. } => "guard.install.format",
            Self::Shape { .. } => "guard.install.shape",
        }
    }
}

/// Where an agent keeps its hooks, seen from the home directory; the first whose directory is
/// there is meant, or else the first.
pub const fn settings_files(agent: Agent) -> &'static [&'static str] {
    match agent {
        Agent::Claude => &[".claude/settings.json"],
        Agent::Codex => &[".codex/hooks.json"],
        Agent::Copilot => &[".copilot/hooks/flowgate.json"],
        Agent::Cursor => &[".cursor/hooks.json"],
        Agent::Gemini => &[".gemini/settings.json"],
        Agent::Kimi => &[".kimi-code/config.toml", ".kimi/config.toml"],
    }
}

/// What the agent is to run, given the path of the program.
///
/// Where exit code 2 stops the agent, a program that is missing or broken stops it too.
pub fn command(agent: Agent, program: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let program = if program.chars().all(plain) {
        program.to_owned()
    } else {
        format!("'{}'", program.replace('\'', r"'\''"))
    };
    let command = format!("{program} guard hook --agent {}", agent.name());
    match agent {
        Agent::Claude | Agent::Codex | Agent::Gemini | Agent::Kimi => {
            format!("{command} || exit 2")
        }
        Agent::Copilot | Agent::Cursor => command,
    }
}

/// The settings with the hook in them; the same text if it is there already.
///
/// # Errors
///
/// [`InstallError`] if the settings are not understood.
pub fn install(agent: Agent, settings: &str, command: &str) -> Result<String, InstallError> {
    if commands(agent, settings)? == [command] {
        return Ok(settings.to_owned());
    }
    let clean = uninstall(agent, settings)?;
    if agent == Agent::Kimi {
        return Ok(add_table(&clean, command)?.to_string());
    }
    let document = Document::read(&clean)?;
    if let Some(version) = version(agent)
        && document.get(&["version"]).is_none()
    {
        document.set(&["version"], &json!(version))?;
    }
    let list = document.list(&["hooks", event(agent)])?;
    push(&list, &entry(agent, command));
    Ok(document.text())
}

/// The settings without the hook; the same text if it is not there.
///
/// # Errors
///
/// [`InstallError`] if the settings are not understood.
pub fn uninstall(agent: Agent, settings: &str) -> Result<String, InstallError> {
    if commands(agent, settings)?.is_empty() {
        return Ok(settings.to_owned());
    }
    if agent == Agent::Kimi {
        return remove_tables(settings);
    }
    let document = Document::read(settings)?;
    let path = ["hooks", event(agent)];
    if let Some(list) = document.existing_list(&path) {
        list.elements().into_iter().for_each(take_out);
        if list.elements().is_empty() {
            document.remove(&path);
        }
    }
    if document.get(&["hooks"]) == Some(json!({})) {
        document.remove(&["hooks"]);
    }
    Ok(document.text())
}

/// The commands of ours that the settings run before a tool.
///
/// # Errors
///
/// [`InstallError`] if the settings are not understood.
pub fn commands(agent: Agent, settings: &str) -> Result<Vec<String>, InstallError> {
    if agent == Agent::Kimi {
        let document = read_toml(settings)?;
        let tables = document.get("hooks").and_then(Item::as_array_of_tables);
        let commands = tables.into_iter().flatten().filter_map(table_command);
        return Ok(commands.filter(|c| is_ours(c)).map(str::to_owned).collect());
    }
    let document = Document::read(settings)?;
    let list = document.get(&["hooks", event(agent)]);
    let entries = list
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut found = Vec::new();
    for entry in entries {
        let inner = entry.get("hooks").and_then(Value::as_array);
        let handlers = inner.into_iter().flatten().chain([entry]);
        found.extend(
            handlers
                .filter_map(handler_command)
                .filter(|c| is_ours(c))
                .map(str::to_owned),
        );
    }
    Ok(found)
}

/// Also of a program that goes by another name, as [`command`] writes it.
fn is_ours(command: &str) -> bool {
    command.contains(" guard hook")
        && (command.contains("flowgate") || command.contains(" guard hook --agent "))
}

fn handler_command(handler: &Value) -> Option<&str> {
    ["command", "bash"]
        .iter()
        .find_map(|key| handler.get(key)?.as_str())
}

/// Takes our handlers out of an entry, and the entry with them if nothing is left of it.
fn take_out(entry: CstNode) {
    let handlers = entry
        .as_object()
        .and_then(|entry| entry.array_value("hooks"));
    let Some(handlers) = handlers else {
        if handler_command(&value_of(&entry)).is_some_and(is_ours) {
            entry.remove();
        }
        return;
    };
    let before = handlers.elements().len();
    for handler in handlers.elements() {
        if handler_command(&value_of(&handler)).is_some_and(is_ours) {
            handler.remove();
        }
    }
    if handlers.elements().is_empty() && before > 0 {
        entry.remove();
    }
}

const fn event(agent: Agent) -> &'static str {
    match agent {
        Agent::Claude | Agent::Codex | Agent::Kimi => "PreToolUse",
        Agent::Copilot => "preToolUse",
        Agent::Cursor => "beforeShellExecution",
        Agent::Gemini => "BeforeTool",
    }
}

const fn version(agent: Agent) -> Option<u32> {
    match agent {
        Agent::Copilot | Agent::Cursor => Some(1),
        Agent::Claude | Agent::Codex | Agent::Gemini | Agent::Kimi => None,
    }
}

fn entry(agent: Agent, command: &str) -> Value {
    match agent {
        Agent::Claude | Agent::Codex | Agent::Kimi => json!({
            "matcher": "Bash",
            "hooks": [{ "type": "command", "command": command, "timeout": 10 }],
        }),
        Agent::Copilot => json!({ "type": "command", "bash": command, "timeoutSec": 10 }),
        Agent::Cursor => json!({ "command": command }),
        Agent::Gemini => json!({
            "matcher": "run_shell_command",
            "hooks": [{ "type": "command", "command": command, "timeout": 10_000 }],
        }),
    }
}

impl From<Mistake> for InstallError {
    fn from(mistake: Mistake) -> Self {
        match mistake {
            Mistake::Shape { path, expected } => Self::Shape { path, expected },
            Mistake::Syntax {
                line: 0, message, ..
            } => Self::Format { detail: message },
            Mistake::Syntax {
                line,
                column,
                message,
            } => Self::Format {
                detail: format!("line {line}, column {column}: {message}"),
            },
        }
    }
}

fn read_toml(settings: &str) -> Result<DocumentMut, InstallError> {
    settings
        .parse()
        .map_err(|error: toml_edit::TomlError| InstallError::Format {
            detail: error.to_string(),
        })
}

fn table_command(table: &Table) -> Option<&str> {
    table.get("command")?.as_str()
}

fn add_table(settings: &str, command: &str) -> Result<DocumentMut, InstallError> {
    let mut document = read_toml(settings)?;
    let hooks = document
        .entry("hooks")
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let hooks = hooks.as_array_of_tables_mut().ok_or(InstallError::Shape {
        path: "hooks".to_owned(),
        expected: "a list of tables",
    })?;
    let mut table = Table::new();
    table["event"] = toml_edit::value("PreToolUse");
    table["matcher"] = toml_edit::value("Bash|Shell");
    table["command"] = toml_edit::value(command);
    table["timeout"] = toml_edit::value(10);
    hooks.push(table);
    Ok(document)
}

fn remove_tables(settings: &str) -> Result<String, InstallError> {
    let mut document = read_toml(settings)?;
    if let Some(hooks) = document
        .get_mut("hooks")
        .and_then(Item::as_array_of_tables_mut)
    {
        hooks.retain(|table| !table_command(table).is_some_and(is_ours));
        if hooks.is_empty() {
            document.remove("hooks");
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_goes_in_once_and_comes_out_again() {
        for agent in Agent::ALL {
            let command = command(agent, "/usr/bin/flowgate");
            let once = install(agent, "", &command).unwrap();
            assert_eq!(
                install(agent, &once, &command).unwrap(),
                once,
                "{}",
                agent.name()
            );
            assert_eq!(commands(agent, &once).unwrap(), [command.as_str()]);
            // A program that moved replaces the old one.
            let moved = install(
                agent,
                &once,
                &super::command(agent, "/opt/my tools/flowgate"),
            )
            .unwrap();
            assert_eq!(commands(agent, &moved).unwrap().len(), 1);
            assert!(moved.contains("my tools"));
            let renamed = install(agent, &once, &super::command(agent, "/opt/fg")).unwrap();
            assert_eq!(commands(agent, &renamed).unwrap().len(), 1, "{renamed}");
            assert_eq!(uninstall(agent, &renamed), uninstall(agent, &once));
            let out = uninstall(agent, &once).unwrap();
            assert!(
                commands(agent, &out).unwrap().is_empty() && !out.contains("hook"),
                "{out}"
            );
        }
    }

    #[test]
    fn what_others_wrote_stays_in_its_order() {
        let before = "{\n\t\"zeta\": 1.50,\n\t\"hooks\": {\n\t\t\"PreToolUse\": [\n\t\t\t{\n\t\t\t\t\"matcher\": \"Edit\",\n\t\t\t\t\"hooks\": [\n\t\t\t\t\t{\n\t\t\t\t\t\t\"type\": \"command\",\n\t\t\t\t\t\t\"command\": \"lint\"\n\t\t\t\t\t}\n\t\t\t\t]\n\t\t\t}\n\t\t]\n\t},\n\t\"alpha\": true\n}\n".replace("1.50", "1.5");
        let command = command(Agent::Claude, "/usr/bin/flowgate");
        let with = install(Agent::Claude, &before, &command).unwrap();
        assert!(with.find("zeta") < with.find("hooks") && with.find("hooks") < with.find("alpha"));
        assert!(with.contains("\"lint\"") && with.contains("\n\t\"alpha\""));
        assert_eq!(uninstall(Agent::Claude, &with).unwrap(), before);
    }

    #[test]
    fn comments_and_the_spelling_of_numbers_stay() {
        let before = "{\n  // mine\n  \"a\": 1.50, /* b */\n  \"hooks\": {\"PreToolUse\": []}\n}\n";
        let with = install(Agent::Claude, before, "/x/flowgate guard hook").unwrap();
        assert!(
            with.starts_with("{\n  // mine\n  \"a\": 1.50, /* b */\n"),
            "{with}"
        );
        assert!(!uninstall(Agent::Claude, &with).unwrap().contains("hook"));
    }

    #[test]
    fn comments_of_toml_stay() {
        let before =
            "# mine\nmodel = \"k2\" # fast\n\n[[hooks]]\nevent = \"Stop\"\ncommand = \"beep\"\n";
        let with = install(Agent::Kimi, before, "/x/flowgate guard hook --agent kimi").unwrap();
        assert!(
            with.starts_with("# mine\nmodel = \"k2\" # fast\n") && with.contains("beep"),
            "{with}"
        );
        assert_eq!(uninstall(Agent::Kimi, &with).unwrap(), before);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "{ comment: 1 }",
            "[1]",
            "{",
            "{\"hooks\": []}",
            "{\"hooks\": {\"PreToolUse\": {}}}",
        ] {
            assert!(
                install(Agent::Claude, text, "flowgate guard hook").is_err(),
                "{text}"
            );
        }
        assert!(install(Agent::Kimi, "a = ", "flowgate guard hook").is_err());
        assert!(install(Agent::Kimi, "hooks = []", "flowgate guard hook").is_err());
    }
}
