//! The hook in the settings of the agents: put in, taken out, looked for.
//!
//! Text in, text out. Everything else in the settings stays, in its order; text that is not
//! understood is refused and not touched.

use serde::Serialize;
use serde_json::{Map, Value, json};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use super::hook::Agent;

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
        path: &'static str,
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
    let mut root = read(&clean)?;
    if let Some(version) = version(agent) {
        root.entry("version").or_insert_with(|| json!(version));
    }
    let hooks = root.entry("hooks").or_insert_with(|| json!({}));
    let hooks = hooks.as_object_mut().ok_or(InstallError::Shape {
        path: "hooks",
        expected: "an object",
    })?;
    let list = hooks.entry(event(agent)).or_insert_with(|| json!([]));
    let list = list.as_array_mut().ok_or(InstallError::Shape {
        path: event(agent),
        expected: "a list",
    })?;
    list.push(entry(agent, command));
    write(&root, settings)
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
    let mut root = read(settings)?;
    if let Some(hooks) = root.get_mut("hooks").and_then(Value::as_object_mut) {
        if let Some(list) = hooks.get_mut(event(agent)).and_then(Value::as_array_mut) {
            list.retain_mut(|entry| !take_out(entry));
            if list.is_empty() {
                hooks.shift_remove(event(agent));
            }
        }
        if hooks.is_empty() {
            root.shift_remove("hooks");
        }
    }
    write(&root, settings)
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
    let root = read(settings)?;
    let list = root.get("hooks").and_then(|hooks| hooks.get(event(agent)));
    let entries = list.and_then(Value::as_array).into_iter().flatten();
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

fn is_ours(command: &str) -> bool {
    command.contains("flowgate") && command.contains(" guard hook")
}

fn handler_command(handler: &Value) -> Option<&str> {
    ["command", "bash"]
        .iter()
        .find_map(|key| handler.get(key)?.as_str())
}

/// Takes our handlers out of an entry; says whether nothing is left of it.
fn take_out(entry: &mut Value) -> bool {
    if let Some(handlers) = entry.get_mut("hooks").and_then(Value::as_array_mut) {
        let before = handlers.len();
        handlers.retain(|handler| !handler_command(handler).is_some_and(is_ours));
        return handlers.is_empty() && before > 0;
    }
    handler_command(entry).is_some_and(is_ours)
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

fn read(settings: &str) -> Result<Map<String, Value>, InstallError> {
    if settings.trim().is_empty() {
        return Ok(Map::new());
    }
    let detail = match serde_json::from_str(settings) {
        Ok(Value::Object(root)) => return Ok(root),
        Ok(_) => "it is JSON, but not an object".to_owned(),
        Err(error) => format!("{error}; comments are not JSON"),
    };
    Err(InstallError::Format { detail })
}

/// JSON with the indentation that the settings had.
fn write(root: &Map<String, Value>, before: &str) -> Result<String, InstallError> {
    let indented = before.lines().find(|line| line.starts_with([' ', '\t']));
    let indent = indented.map_or("  ", |line| &line[..line.len() - line.trim_start().len()]);
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    root.serialize(&mut serde_json::Serializer::with_formatter(
        &mut out, formatter,
    ))
    .map_err(|error| InstallError::Format {
        detail: error.to_string(),
    })?;
    out.push(b'\n');
    String::from_utf8(out).map_err(|error| InstallError::Format {
        detail: error.to_string(),
    })
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
        path: "hooks",
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
            "{ // comment\n}",
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
