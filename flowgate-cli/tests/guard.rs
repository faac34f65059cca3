//! The guard's verbs, with the built binary, the way people and agents call it.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// A home directory with a project in it.
struct Home(tempfile::TempDir);

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic_with(self))
    }
}

#[expect(clippy::panic, reason = "a test may stop at the first surprise")]
fn panic_with(answer: &Answer) -> Value {
    panic!("no JSON: {:?} {:?}", answer.out, answer.err)
}

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.path("project")).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn project(&self) -> String {
        self.path("project").to_str().unwrap().to_owned()
    }

    fn run(&self, args: &[&str]) -> Answer {
        self.ask(args, "")
    }

    fn ask(&self, args: &[&str], input: &str) -> Answer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flowgate"))
            .args(args)
            .current_dir(self.path("project"))
            .env("HOME", self.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        Answer {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn claude(&self, command: &str) -> Answer {
        let input = json!({
            "session_id": "s", "cwd": self.project(), "hook_event_name": "PreToolUse",
            "tool_name": "Bash", "tool_input": { "command": command },
        });
        self.ask(&["guard", "hook"], &input.to_string())
    }

    /// Runs a verb as a person does: at a terminal.
    fn at_a_terminal(&self, verb: &str) -> String {
        let line = format!("{} {verb}", env!("CARGO_BIN_EXE_flowgate"));
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .current_dir(self.path("project"))
            .env("HOME", self.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn check_says_what_why_and_what_instead() {
    let home = Home::new();
    let answer = home.run(&["guard", "check", "ls && git reset --hard"]);
    assert_eq!(answer.code, 1);
    let expected = "deny by core.git:reset-hard\n  | ls && git reset --hard\n  |       ^^^^^^^^^^^^^^^^\n  why: ";
    assert!(answer.out.starts_with(expected), "{}", answer.out);
    assert!(answer.out.contains("\n  instead: "), "{}", answer.out);

    let answer = home.run(&["guard", "check", "git", "commit", "-m", "never rm -rf /"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, "allow\n"));
    assert_eq!(home.ask(&["guard", "check"], "rm -rf /").code, 1);
    assert_eq!(
        home.run(&["guard", "check", "--packs", "cor", "ls"]).code,
        2
    );

    let answer = home.run(&["--format", "json", "guard", "check", "rm -rf /"]);
    let json = answer.json();
    assert_eq!(json["decision"], "deny");
    assert_eq!(json["span"], json!([0, 8]));
}

#[test]
fn check_answers_lines_even_after_a_bad_one() {
    let home = Home::new();
    let input = "{\"command\": \"ls\"}\nnonsense\n{\"command\": \"rm -rf ../x\", \"cwd\": \"/tmp/a/b\"}\n{\"command\": \"git clean -fdx\"}\n";
    let args = [
        "guard",
        "check",
        "--jsonl",
        "--packs",
        "all",
        "--cwd",
        "/home/dev/project",
        "--home",
        "/home/dev",
    ];
    let answer = home.ask(&args, input);
    assert_eq!(answer.code, 0);
    let lines: Vec<Value> = answer
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["decision"], "allow");
    assert_eq!(lines[1]["error"]["code"], "cli.bad_line");
    assert_eq!(lines[2]["decision"], "allow");
    assert_eq!(lines[3]["decision"], "deny");
    for key in ["rule", "severity", "reason", "suggestion", "span"] {
        assert!(!lines[3][key].is_null(), "{key}");
    }
}

#[test]
fn explain_shows_the_steps() {
    let home = Home::new();
    let answer = home.run(&["guard", "explain", "X=/; sudo rm -rf $X"]);
    assert_eq!(answer.code, 1);
    assert!(
        answer.out.contains("deny by core.filesystem:rm-root"),
        "{}",
        answer.out
    );
    assert!(answer.out.lines().count() > 5, "{}", answer.out);
    let json = home
        .run(&["--format", "json", "guard", "explain", "ls"])
        .json();
    assert!(json["steps"].is_array() && json["verdict"]["decision"] == "allow");
}

#[test]
fn a_corpus_is_measured() {
    let home = Home::new();
    home.write(
        "project/corpus.jsonl",
        "{\"command\": \"rm -rf /\", \"expect\": \"deny\"}\n{\"command\": \"ls\", \"expect\": \"allow\"}\n",
    );
    let answer = home.run(&["guard", "test", "corpus.jsonl"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(
        answer.out,
        "recall 100.0 % (1 of 1), false positives 0.0 % (0 of 1)\n"
    );
    let answer = home.ask(
        &["guard", "test", "-"],
        "{\"command\": \"ls\", \"expect\": \"deny\"}\n",
    );
    assert_eq!(answer.code, 1);
    assert!(
        answer.out.contains("-:1: expected deny, got allow\n  ls\n"),
        "{}",
        answer.out
    );
    assert_eq!(home.ask(&["guard", "test", "-"], "{}\n").code, 2);
}

const PACK: &str = "\
id: my.tool
name: My tool
description: What my tool destroys.
rules:
  - id: wipe
    severity: high
    reason: Wipes the test machine.
    match: { command: mytool, subcommand: wipe }
    deny: [mytool wipe now]
    allow: [mytool status]
";

#[test]
fn packs_of_ones_own_are_tested_and_used() {
    let home = Home::new();
    home.write("project/my.yaml", PACK);
    assert_eq!(home.run(&["guard", "test", "--pack", "my.yaml"]).code, 0);
    home.write(
        "project/bad.yaml",
        &PACK.replace("[mytool wipe now]", "[mytool status]"),
    );
    let answer = home.run(&["guard", "test", "--pack", "bad.yaml"]);
    assert!(
        answer.code == 1 && answer.out.contains("my.tool:wipe: not stopped"),
        "{}",
        answer.out
    );
    home.write(
        "project/broken.yaml",
        &PACK.replace("severity: high", "severity: hi"),
    );
    let answer = home.run(&["guard", "test", "--pack", "broken.yaml"]);
    assert!(
        answer.code == 2 && answer.err.contains("6:15"),
        "{}",
        answer.err
    );

    assert_eq!(home.claude("mytool wipe all").out, "");
    home.write(
        "project/flowgate.yaml",
        "config_version: 2\nguard: { pack_files: [my.yaml] }\n",
    );
    assert!(home.claude("mytool wipe all").out.contains("my.tool:wipe"));
    assert!(
        home.run(&["guard", "packs", "my.tool"])
            .out
            .contains("What my tool destroys.")
    );
}

#[test]
fn packs_are_listed_and_filtered() {
    let home = Home::new();
    let all = home.run(&["guard", "packs"]);
    assert!(all.code == 0 && all.out.contains("core.git") && all.out.contains("system.disk"));
    let git = home.run(&["guard", "packs", "core.git", "--rules"]);
    assert!(
        git.out.contains("core.git:reset-hard") && !git.out.contains("system.disk"),
        "{}",
        git.out
    );
    assert_eq!(home.run(&["guard", "packs", "no such pack"]).code, 1);
    let json = home
        .run(&["--format", "json", "guard", "packs", "core.git"])
        .json();
    assert_eq!(json[0]["id"], "core.git");
}

#[test]
fn files_are_scanned_for_what_would_run() {
    let home = Home::new();
    home.write(
        "project/a.sh",
        "#!/bin/sh\necho 'rm -rf /'\ngit reset --hard\n",
    );
    home.write(
        "project/.github/workflows/ci.yml",
        "jobs:\n  a:\n    steps:\n      - run: git clean -fdx\n",
    );
    home.write("project/node_modules/x/b.sh", "rm -rf /\n");
    home.write("project/notes.md", "rm -rf /\n");
    let answer = home.run(&["guard", "scan", "."]);
    assert_eq!(answer.code, 1);
    assert!(
        answer
            .out
            .contains("./a.sh:3:1: deny by core.git:reset-hard"),
        "{}",
        answer.out
    );
    assert!(
        answer.out.ends_with("2 findings in 2 files\n"),
        "{}",
        answer.out
    );
    let sarif = home.run(&["guard", "scan", "--sarif", "a.sh"]).json();
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(
        sarif["runs"][0]["results"][0]["ruleId"],
        "core.git:reset-hard"
    );
    let json = home
        .run(&["--format", "json", "guard", "scan", "a.sh"])
        .json();
    assert_eq!(
        (json["files"].as_u64(), json["findings"][0]["line"].as_u64()),
        (Some(1), Some(3))
    );
    home.write("project/clean.sh", "ls\n");
    assert_eq!(home.run(&["guard", "scan", "clean.sh"]).code, 0);
    assert_eq!(home.run(&["guard", "scan", "nowhere"]).code, 2);
}

/// What each agent sends, and the exact answer to a command that is stopped.
#[test]
fn every_agent_is_answered_in_its_protocol() {
    let home = Home::new();
    let command = "git reset --hard";
    let reason = home
        .run(&["--format", "json", "guard", "check", command])
        .json();
    let text = format!(
        "Stopped by the command guard (core.git:reset-hard). {} Instead: {} Only the person can let it run, once: `flowgate guard allow list`.",
        reason["reason"].as_str().unwrap(),
        reason["suggestion"].as_str().unwrap()
    );
    let arguments = json!({ "command": command }).to_string();
    let claude = json!({ "hookSpecificOutput": {
        "hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": text } });
    let cursor = json!({ "permission": "deny", "user_message": text, "agent_message": text });
    let cases = [
        (
            "claude",
            json!({ "session_id": "s", "cwd": "/p", "hook_event_name": "PreToolUse", "tool_name": "Bash",
            "tool_input": { "command": command } }),
            claude.clone(),
        ),
        (
            "codex",
            json!({ "session_id": "s", "turn_id": "t", "cwd": "/p", "hook_event_name": "PreToolUse",
            "tool_name": "Bash", "tool_input": { "command": command } }),
            claude.clone(),
        ),
        (
            "kimi",
            json!({ "session_id": "s", "cwd": "/p", "hook_event_name": "PreToolUse", "tool_name": "Shell",
            "tool_input": { "command": command } }),
            claude,
        ),
        (
            "gemini",
            json!({ "hook_event_name": "BeforeTool", "tool_name": "run_shell_command", "cwd": "/p",
            "tool_input": { "command": command } }),
            json!({ "decision": "deny", "reason": text, "systemMessage": text }),
        ),
        (
            "copilot",
            json!({ "timestamp": 1, "cwd": "/p", "toolName": "bash", "toolArgs": arguments }),
            json!({ "permissionDecision": "deny", "permissionDecisionReason": text }),
        ),
        (
            "cursor",
            json!({ "conversation_id": "c", "hook_event_name": "beforeShellExecution",
            "workspace_roots": ["/p"], "command": command, "cwd": "/p" }),
            cursor.clone(),
        ),
        (
            "cursor",
            json!({ "conversation_id": "c", "hook_event_name": "preToolUse", "workspace_roots": ["/p"],
            "tool_name": "Shell", "tool_input": { "command": command } }),
            cursor,
        ),
    ];
    for (agent, input, expected) in cases {
        for args in [&["guard", "hook"][..], &["guard", "hook", "--agent", agent]] {
            let answer = home.ask(args, &input.to_string());
            assert_eq!(answer.code, 0, "{agent}");
            assert_eq!(answer.json(), expected, "{agent}");
            let harmless = input.to_string().replace(command, "git status");
            let answer = home.ask(args, &harmless);
            assert_eq!(
                (answer.code, answer.out.as_str(), answer.err.as_str()),
                (0, "", ""),
                "{agent}"
            );
        }
        let answer = home.ask(&["guard", "hook", "--agent", agent], "{");
        assert!(answer.code == 2 || answer.out.contains("deny"), "{agent}");
    }
    assert_eq!(home.ask(&["guard", "hook"], "not json").code, 2);
    assert_eq!(
        home.ask(&["--no-color", "guard", "hook"], "not json").code,
        2
    );
}

#[test]
fn the_hook_is_installed_once_and_taken_out_again() {
    let home = Home::new();
    let before = "{\n  \"model\": \"opus\",\n  \"hooks\": {\n    \"Stop\": []\n  }\n}\n";
    home.write(".claude/settings.json", before);
    let first = home.run(&["guard", "hook", "install", "claude"]);
    assert_eq!(first.code, 0, "{}", first.err);
    let with = home.read(".claude/settings.json");
    assert!(
        with.contains("guard hook --agent claude || exit 2") && with.contains("\"Stop\": []"),
        "{with}"
    );
    assert_eq!(home.read(".claude/settings.json.flowgate.bak"), before);
    home.run(&["guard", "hook", "install", "claude"]);
    assert_eq!(home.read(".claude/settings.json"), with);
    assert_eq!(home.run(&["guard", "hook", "status", "claude"]).code, 0);
    assert_eq!(home.run(&["guard", "hook", "uninstall", "claude"]).code, 0);
    assert_eq!(home.read(".claude/settings.json"), before);
    assert_eq!(home.run(&["guard", "hook", "status", "claude"]).code, 1);

    for agent in ["codex", "copilot", "cursor", "gemini", "kimi"] {
        assert_eq!(
            home.run(&["guard", "hook", "install", agent]).code,
            0,
            "{agent}"
        );
        assert_eq!(
            home.run(&["guard", "hook", "status", agent]).code,
            0,
            "{agent}"
        );
    }
    let all = home
        .run(&["--format", "json", "guard", "hook", "status"])
        .json();
    let installed = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["installed"] == true);
    assert_eq!(installed.count(), 5);

    home.write(".gemini/settings.json", "{ \"mine\": ");
    let answer = home.run(&["guard", "hook", "install", "gemini"]);
    assert!(
        answer.code == 2 && answer.err.contains("settings.json"),
        "{}",
        answer.err
    );
    assert_eq!(home.read(".gemini/settings.json"), "{ \"mine\": ");
    assert_eq!(home.run(&["guard", "hook", "install", "nano"]).code, 2);
}

#[test]
fn the_project_can_only_be_stricter() {
    let home = Home::new();
    assert_eq!(home.claude("rm -rf /tmp/x").out, "");
    home.write("project/flowgate.yaml", "config_version: 2\nguard:\n  mode: \"off\"\n  packs: []\n  allow: [{ rule: core.git:reset-hard, reason: mine }]\n");
    assert!(home.claude("git reset --hard").out.contains("deny"));
    home.write(
        ".config/flowgate/guard.yaml",
        "allow: [{ rule: core.git:reset-hard, reason: I know, expires: 2999-01-01 }]\n",
    );
    assert_eq!(home.claude("git reset --hard").out, "");
    home.write(
        ".config/flowgate/guard.yaml",
        "allow: [{ rule: core.git:reset-hard, reason: I knew, expires: 2020-01-01 }]\n",
    );
    assert!(home.claude("git reset --hard").out.contains("deny"));
    home.write(".config/flowgate/guard.yaml", "packs: [-all]\n");
    assert_eq!(home.claude("git reset --hard").out, "");
    home.write(
        "project/flowgate.yaml",
        "config_version: 2\nguard: { packs: [core.git] }\n",
    );
    assert!(home.claude("git reset --hard").out.contains("deny"));
}

#[test]
fn a_broken_policy_makes_the_guard_strict() {
    let home = Home::new();
    home.write(".config/flowgate/guard.yaml", "mood: off\n");
    let answer = home.claude("git reset --hard");
    assert!(
        answer.out.contains("deny") && answer.err.contains("guard.yaml"),
        "{}",
        answer.err
    );
    assert_eq!(home.claude("ls").out, "");
    assert_eq!(home.run(&["guard", "check", "ls"]).code, 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_person_lets_a_command_run_once() {
    use std::os::unix::fs::PermissionsExt;

    let home = Home::new();
    let denied = home.claude("git reset --hard");
    let stored: Value =
        serde_json::from_str(&home.read(".config/flowgate/guard/exceptions.json")).unwrap();
    let code = stored["requests"][0]["code"].as_str().unwrap();
    assert!(!denied.out.contains(code) && !denied.err.contains(code));
    let path = home.path(".config/flowgate/guard/exceptions.json");
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );

    // The agent cannot, neither through the hook nor without a terminal.
    assert!(
        home.claude(&format!("flowgate guard allow {code}"))
            .out
            .contains("deny")
    );
    let answer = home.run(&["guard", "allow", code]);
    assert!(
        answer.code == 2 && answer.err.contains("terminal"),
        "{}",
        answer.err
    );
    assert!(home.claude("git reset --hard").out.contains("deny"));

    assert!(home.at_a_terminal("guard allow list").contains(code));
    assert!(
        home.at_a_terminal("guard allow XXXX-XXXX")
            .contains("no command waits")
    );
    assert!(
        home.at_a_terminal(&format!("guard allow {code}"))
            .contains("may run once")
    );
    assert!(home.claude("git reset --hard HEAD~1").out.contains("deny"));
    assert_eq!(home.claude("git reset --hard").out, "");
    assert!(home.claude("git reset --hard").out.contains("deny"));
}

#[cfg(unix)]
#[test]
fn the_log_is_private_and_hides_secrets() {
    use std::os::unix::fs::PermissionsExt;

    let home = Home::new();
    home.write(".config/flowgate/guard.yaml", "audit: true\n");
    home.claude("PGPASSWORD=hunter2 psql -c 'DROP DATABASE prod'; git reset --hard");
    home.claude("ls");
    home.claude("git clean -fdx");
    let log = home.read(".local/state/flowgate/guard/audit.jsonl");
    let lines: Vec<Value> = log
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert_eq!(lines[0]["event"], "guard.stopped");
    assert!(
        !log.contains("hunter2") && log.contains("PGPASSWORD=********"),
        "{log}"
    );
    let path = home.path(".local/state/flowgate/guard/audit.jsonl");
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
