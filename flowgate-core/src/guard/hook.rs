//! What the agents ask before they run a tool, and how each wants the answer.
//!
//! Pure: the text of standard input goes in, what to print and the exit code come out. An
//! allowed command prints nothing and exits with 0 for every agent.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Context, Decision, Guard, Verdict};

/// An agent whose hook protocol is spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Agent {
    /// Claude Code, `PreToolUse`.
    Claude,
    /// Codex, `PreToolUse`.
    Codex,
    /// Copilot CLI, `preToolUse`.
    Copilot,
    /// Cursor, `preToolUse` and `beforeShellExecution`.
    Cursor,
    /// Gemini CLI, `BeforeTool`.
    Gemini,
    /// Kimi, in the form of Claude Code.
    Kimi,
}

impl Agent {
    /// All of them, for help texts and tests.
    pub const ALL: [Self; 6] = [
        Self::Claude,
        Self::Codex,
        Self::Copilot,
        Self::Cursor,
        Self::Gemini,
        Self::Kimi,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Copilot => "copilot",
            Self::Cursor => "cursor",
            Self::Gemini => "gemini",
            Self::Kimi => "kimi",
        }
    }

    /// Finds the agent by its name on the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|agent| agent.name() == name)
    }

    /// Tells the agent from the shape of what it sends.
    ///
    /// Kimi sends what Claude Code sends and wants the same answer.
    pub fn from_input(input: &Value) -> Option<Self> {
        if input.get("toolName").is_some() || input.get("toolArgs").is_some() {
            return Some(Self::Copilot);
        }
        match input["hook_event_name"].as_str() {
            Some("BeforeTool") => Some(Self::Gemini),
            Some("beforeShellExecution" | "preToolUse") => Some(Self::Cursor),
            Some("PreToolUse") if input.get("turn_id").is_some() => Some(Self::Codex),
            Some("PreToolUse") => Some(Self::Claude),
            _ if input.get("conversation_id").is_some()
                && input.get("workspace_roots").is_some() =>
            {
                Some(Self::Cursor)
            }
            _ => None,
        }
    }

    /// Whether the agent is known to put a question to the person. Others run the command when
    /// they do not understand the answer, or (Cursor) in some of their modes.
    const fn asks(self) -> bool {
        matches!(self, Self::Claude | Self::Copilot)
    }
}

/// What the hook does: print, and exit.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Answer {
    /// Text for standard output; empty if the tool may run.
    pub stdout: String,
    /// Text for standard error.
    pub stderr: String,
    /// Exit code.
    pub exit: u8,
    /// The command that was judged, if the input held one.
    pub command: Option<String>,
    /// The directory it would run in.
    pub cwd: Option<String>,
    /// The verdict on it.
    pub verdict: Option<Verdict>,
}

/// Answers one hook call.
///
/// `agent` may be left out: then the input tells. `context` gives the home, and the directory
/// where the input names none. Input that is not understood is denied, in the form of the agent
/// if it is known and with exit code 2 otherwise, which blocks the tool for the agents that
/// look at it.
pub fn answer(guard: &Guard, agent: Option<Agent>, input: &str, context: &Context) -> Answer {
    let parsed: Value = match serde_json::from_str(input) {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => return malformed(agent, "the hook input is not a JSON object"),
        Err(error) => return malformed(agent, &format!("the hook input is not JSON: {error}")),
    };
    let Some(agent) = agent.or_else(|| Agent::from_input(&parsed)) else {
        return malformed(None, "the hook input has no form that is known");
    };
    let command = match command_of(agent, &parsed) {
        Ok(Some(command)) => command,
        Ok(None) => return allowed(),
        Err(problem) => return malformed(Some(agent), problem),
    };
    let cwd = [
        "/cwd",
        "/workspace_roots/0",
        "/tool_input/cwd",
        "/tool_input/workdir",
    ]
    .iter()
    .find_map(|p| parsed.pointer(p)?.as_str())
    .filter(|c| !c.is_empty());
    let mut context = context.clone();
    if let Some(cwd) = cwd {
        cwd.clone_into(&mut context.cwd);
    }
    let verdict = guard.check(&command, &context);
    let mut answer = if verdict.decision.runs() {
        allowed()
    } else {
        stopped(agent, &verdict)
    };
    answer.command = Some(command);
    answer.cwd = Some(context.cwd);
    answer.verdict = Some(verdict);
    answer
}

/// The command in the input; none if the tool is not a shell.
fn command_of(agent: Agent, input: &Value) -> Result<Option<String>, &'static str> {
    let shell = |tool: &str| {
        matches!(
            tool.to_ascii_lowercase().as_str(),
            "bash"
                | "shell"
                | "run_shell_command"
                | "execute"
                | "exec_command"
                | "local_shell"
                | "unified_exec"
                | "powershell"
                | "run_command"
                | "terminal"
        )
    };
    if agent == Agent::Copilot {
        let tool = input["toolName"].as_str().ok_or("`toolName` is missing")?;
        if !shell(tool) {
            return Ok(None);
        }
        // The arguments are JSON inside a JSON string.
        let inner: Value = match &input["toolArgs"] {
            Value::String(text) => {
                serde_json::from_str(text).map_err(|_| "`toolArgs` is not JSON")?
            }
            Value::Object(map) => Value::Object(map.clone()),
            _ => return Err("`toolArgs` is missing"),
        };
        return text_of(&inner["command"])
            .map(Some)
            .ok_or("`toolArgs.command` is missing");
    }
    if agent == Agent::Cursor && input["hook_event_name"].as_str() != Some("preToolUse") {
        return text_of(&input["command"])
            .map(Some)
            .ok_or("`command` is missing");
    }
    let tool = input["tool_name"]
        .as_str()
        .ok_or("`tool_name` is missing")?;
    if !shell(tool) {
        return Ok(None);
    }
    let found = ["command", "cmd", "input"]
        .iter()
        .find_map(|key| text_of(&input["tool_input"][*key]));
    found.map(Some).ok_or("`tool_input.command` is missing")
}

/// A command is a text, or a list of words of which the last may be shell code.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => {
            let quoted: Option<Vec<String>> = words
                .iter()
                .map(|w| Some(format!("'{}'", w.as_str()?.replace('\'', r"'\''"))))
                .collect();
            quoted.map(|words| words.join(" "))
        }
        _ => None,
    }
}

fn allowed() -> Answer {
    Answer {
        stdout: String::new(),
        stderr: String::new(),
        exit: 0,
        command: None,
        cwd: None,
        verdict: None,
    }
}

/// The message for the agent: what was stopped, why, and what to do instead.
fn message(verdict: &Verdict) -> String {
    let rule = verdict.rule.as_deref().unwrap_or("guard");
    let mut text = format!("Stopped by the command guard ({rule}).");
    if let Some(reason) = &verdict.reason {
        text.push(' ');
        text.push_str(reason);
    }
    if let Some(suggestion) = &verdict.suggestion {
        text.push_str(" Instead: ");
        text.push_str(suggestion);
    }
    if !rule.starts_with("core.guard:") {
        text.push_str(" Only the person can let it run, once: `flowgate guard allow list`.");
    }
    text
}

fn stopped(agent: Agent, verdict: &Verdict) -> Answer {
    let ask = verdict.decision == Decision::Ask && agent.asks();
    Answer {
        stdout: render(agent, if ask { "ask" } else { "deny" }, &message(verdict)),
        ..allowed()
    }
}

/// The answer in the form of an agent.
fn render(agent: Agent, decision: &str, reason: &str) -> String {
    let value = match agent {
        Agent::Claude | Agent::Codex | Agent::Kimi => json!({
            "hookSpecificOutput": { "hookEventName": "PreToolUse", "permissionDecision": decision, "permissionDecisionReason": reason }
        }),
        Agent::Copilot => {
            json!({ "permissionDecision": decision, "permissionDecisionReason": reason })
        }
        Agent::Cursor => {
            json!({ "permission": decision, "user_message": reason, "agent_message": reason })
        }
        Agent::Gemini => json!({ "decision": decision, "reason": reason, "systemMessage": reason }),
    };
    value.to_string()
}

/// Input that is not understood must not let a tool run.
fn malformed(agent: Option<Agent>, problem: &str) -> Answer {
    let text = format!("Stopped by the command guard: {problem}.");
    match agent {
        Some(agent) => Answer {
            stdout: render(agent, "deny", &text),
            ..allowed()
        },
        None => Answer {
            stderr: text,
            exit: 2,
            ..allowed()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(agent: Option<Agent>, input: &str) -> Answer {
        answer(
            &Guard::default(),
            agent,
            input,
            &Context::new("/p", "/home/dev"),
        )
    }

    fn parsed(answer: &Answer) -> Value {
        serde_json::from_str(&answer.stdout).expect("an answer is JSON")
    }

    #[test]
    fn claude_is_denied_in_its_form() {
        let answer = ask(
            None,
            r#"{"session_id":"s","cwd":"/p","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"git reset --hard"}}"#,
        );
        assert_eq!(answer.exit, 0);
        let output = &parsed(&answer)["hookSpecificOutput"];
        assert_eq!(output["hookEventName"], "PreToolUse");
        assert_eq!(output["permissionDecision"], "deny");
        assert!(
            output["permissionDecisionReason"]
                .as_str()
                .is_some_and(|r| r.contains("core.git:reset-hard"))
        );
        assert_eq!(
            parsed(&answer).as_object().map(serde_json::Map::len),
            Some(1)
        );
    }

    #[test]
    fn codex_is_never_asked() {
        let answer = ask(
            None,
            r#"{"turn_id":"t","cwd":"/p","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"git stash drop"}}"#,
        );
        assert_eq!(
            parsed(&answer)["hookSpecificOutput"]["permissionDecision"],
            "deny"
        );
        assert_eq!(answer.verdict.map(|v| v.decision), Some(Decision::Ask));
    }

    #[test]
    fn gemini_copilot_and_cursor_have_forms_of_their_own() {
        let gemini = ask(
            None,
            r#"{"hook_event_name":"BeforeTool","tool_name":"run_shell_command","tool_input":{"command":"rm -rf /"},"cwd":"/p"}"#,
        );
        assert_eq!(parsed(&gemini)["decision"], "deny");
        assert!(parsed(&gemini)["systemMessage"].is_string());
        let copilot = ask(
            None,
            r#"{"timestamp":1,"cwd":"/p","toolName":"bash","toolArgs":"{\"command\":\"rm -rf /\"}"}"#,
        );
        assert_eq!(parsed(&copilot)["permissionDecision"], "deny");
        let cursor = ask(
            None,
            r#"{"conversation_id":"c","hook_event_name":"beforeShellExecution","workspace_roots":["/p"],"command":"rm -rf /","cwd":"/p"}"#,
        );
        assert_eq!(parsed(&cursor)["permission"], "deny");
        let tool = ask(
            None,
            r#"{"conversation_id":"c","hook_event_name":"preToolUse","workspace_roots":["/p"],"tool_name":"Shell","tool_input":{"command":"rm -rf /"}}"#,
        );
        assert_eq!(parsed(&tool)["permission"], "deny");
        assert_eq!(tool.cwd.as_deref(), Some("/p"));
    }

    #[test]
    fn an_allowed_command_and_another_tool_print_nothing() {
        for input in [
            r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls"}}"#,
            r#"{"hook_event_name":"PreToolUse","tool_name":"Read","tool_input":{"file_path":"/x"}}"#,
            r#"{"toolName":"view","toolArgs":"{}"}"#,
        ] {
            let answer = ask(None, input);
            assert_eq!(
                (answer.stdout.as_str(), answer.stderr.as_str(), answer.exit),
                ("", "", 0),
                "{input}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_stopped() {
        assert_eq!(ask(None, "rm -rf").exit, 2);
        assert_eq!(ask(None, r#"{"a":1}"#).exit, 2);
        for agent in Agent::ALL {
            assert!(
                ask(Some(agent), "{").stdout.contains("deny"),
                "{}",
                agent.name()
            );
        }
        let answer = ask(
            None,
            r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{}}"#,
        );
        assert_eq!(
            parsed(&answer)["hookSpecificOutput"]["permissionDecision"],
            "deny"
        );
        let answer = ask(None, r#"{"toolName":"bash","toolArgs":"not json"}"#);
        assert_eq!(parsed(&answer)["permissionDecision"], "deny");
    }

    #[test]
    fn a_list_of_words_is_a_command() {
        let answer = ask(
            Some(Agent::Codex),
            r#"{"tool_name":"shell","tool_input":{"command":["bash","-lc","git reset --hard"]}}"#,
        );
        assert!(answer.stdout.contains("deny"));
        let answer = ask(
            Some(Agent::Codex),
            r#"{"tool_name":"shell","tool_input":{"command":["echo","rm -rf /; it's"]}}"#,
        );
        assert_eq!(answer.stdout, "");
    }
}
