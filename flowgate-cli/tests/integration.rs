//! `flowgate integration`, run the way a person does.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const CONFIG: &str = "
services: { litellm: { host: 0.0.0.0, port: 4000, command: { args: [litellm] } } }
integration: { default_model: balanced, fast_model: cheap }
";

fn flowgate(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowgate"));
    for name in [
        "FLOWGATE_CONFIG",
        "CODEX_HOME",
        "CLAUDE_CONFIG_DIR",
        "KIMI_CODE_HOME",
    ] {
        command.env_remove(name);
    }
    command
        .args(args)
        .current_dir(home)
        .env("HOME", home)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn settings_are_printed_applied_and_put_back() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    fs::write(home.join("flowgate.yaml"), CONFIG).unwrap();
    fs::create_dir(home.join(".codex")).unwrap();
    let path = home.join(".codex/config.toml");
    let before = "# mine\nmodel = \"gpt-9\"\n\n[projects.\"/src\"]\ntrust_level = \"trusted\"\n";
    fs::write(&path, before).unwrap();

    let printed = flowgate(home, &["integration", "print", "codex"]);
    assert!(
        text(&printed.stdout).contains("base_url = \"http://127.0.0.1:4000/v1\"\n"),
        "{printed:?}"
    );

    let dry = flowgate(home, &["integration", "apply", "codex", "--dry-run"]);
    assert!(
        text(&dry.stdout).contains("-model = \"gpt-9\"\n+model = \"balanced\"\n"),
        "{dry:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), before);

    let applied = flowgate(home, &["integration", "apply", "codex", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&applied.stdout).unwrap();
    assert_eq!(
        (
            answer["written"].as_bool(),
            answer["changes"][0]["key"].as_str()
        ),
        (Some(true), Some("model_provider"))
    );
    let again = flowgate(home, &["integration", "apply", "codex"]);
    assert!(text(&again.stdout).contains("already") && again.status.success());

    let reverted = flowgate(home, &["integration", "revert", "codex"]);
    assert!(reverted.status.success(), "{reverted:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert_eq!(
        flowgate(home, &["integration", "revert", "codex"])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn a_token_goes_into_the_file_and_nowhere_else() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    fs::write(home.join("token"), "tok-secret-1\n").unwrap();
    fs::create_dir(home.join(".kimi-code")).unwrap();
    for (client, file) in [
        ("claude-code", ".claude/settings.json"),
        ("kimi", ".kimi-code/config.toml"),
        ("gemini", ".gemini/.env"),
    ] {
        let arguments = |more: &'static str| {
            vec![
                "integration",
                "apply",
                client,
                "--base-url",
                "http://127.0.0.1:4000",
                "--token-file",
                "token",
                more,
            ]
        };
        for more in ["--dry-run", "--format=json", "--no-color"] {
            let done = flowgate(home, &arguments(more));
            assert!(done.status.success(), "{done:?}");
            let shown = text(&done.stdout) + &text(&done.stderr);
            assert!(!shown.contains("tok-secret"), "{client} {more}: {shown}");
        }
        assert!(
            fs::read_to_string(home.join(file))
                .unwrap()
                .contains("tok-secret-1"),
            "{client}"
        );
        // Taking it out shows as little.
        let reverted = flowgate(home, &["integration", "revert", client, "--dry-run"]);
        assert!(
            reverted.status.success() && !text(&reverted.stdout).contains("tok-secret"),
            "{reverted:?}"
        );
    }
}

#[test]
fn what_cannot_be_done_says_why() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    fs::write(home.join("flowgate.yaml"), "services: {}\n").unwrap();
    fs::write(home.join("settings.json"), "{\n  \"env\": 5\n}\n").unwrap();
    let url = ["--base-url", "http://127.0.0.1:4000"];
    for (args, expected) in [
        (vec!["apply", "codex"], "integration.base_url"),
        (vec!["apply", "codex", "--base-url", "h:4000"], "not usable"),
        (vec!["apply", "nosuch"], "known agents are"),
        (
            vec!["apply", "copilot", url[0], url[1]],
            "integration print copilot",
        ),
        (
            vec![
                "apply",
                "claude-code",
                "--target",
                "settings.json",
                url[0],
                url[1],
            ],
            "`env` is not an object",
        ),
    ] {
        let mut all = vec!["integration"];
        all.extend(args);
        let done = flowgate(home, &all);
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        assert!(text(&done.stderr).contains(expected), "{done:?}");
    }
    assert_eq!(fs::read_dir(home).unwrap().count(), 2, "no stray file");
}
