//! `flowgate accounts …` with the built binary.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod decide;
mod shared;
mod state;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn ask(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowgate"))
        .arg("accounts")
        .args(args)
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
    child.wait_with_output().unwrap()
}

fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn one_answer_is_classified() {
    let args = [
        "classify",
        "--provider",
        "openai",
        "--status",
        "429",
        "--header",
        "retry-after-ms: 1250",
    ];
    let text = ask(&args, "");
    assert_eq!(text.status.code(), Some(1));
    let shown = String::from_utf8(text.stdout).unwrap();
    assert!(
        shown.starts_with("rate\n") && shown.contains("1250 ms"),
        "{shown}"
    );

    let body = [&args[..], &["--body", "-", "--format", "json"]].concat();
    let output = ask(&body, r#"{"error":{"code":"insufficient_quota"}}"#);
    assert_eq!(
        parsed(&output),
        json!({"class": "quota", "scope": "account", "action": "next", "cooldown_ms": 1250})
    );
    assert_eq!(
        ask(&["classify", "--status", "200"], "").status.code(),
        Some(0)
    );
    let cancelled = ask(
        &["classify", "--transport", "cancelled", "--format", "json"],
        "",
    );
    assert_eq!(parsed(&cancelled)["class"], "client_cancelled");
}

#[test]
fn wrong_usage_is_told() {
    for args in [
        &["classify"][..],
        &["classify", "--status", "99"],
        &["classify", "--status", "429", "--header", "retry-after"],
        &["classify", "--transport", "lost"],
        &["classify", "--status", "429", "--body", "/no/such/file"],
        &["classify", "--status", "429", "--jsonl"],
    ] {
        let output = ask(args, "");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn many_are_classified_and_a_bad_line_stops_nothing() {
    let lines = [
        r#"{"provider":"anthropic","status":429,"headers":{"Retry-After":"Tue, 14 Nov 2023 22:14:50 GMT"},"body":"","now_ms":1700000000000}"#,
        "not json",
        r#"{"provider":"openai","status":null,"headers":{},"body":null,"transport":"reset"}"#,
        r#"{"status":429,"headers":{"retry-after":3},"body":{"error":{"code":"rate_limit_exceeded"}}}"#,
    ];
    let output = ask(&["classify", "--jsonl"], &lines.join("\n"));
    let answers: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers[0]["cooldown_ms"], 90_000);
    assert_eq!(answers[1]["error"]["code"], "cli.bad_line");
    assert_eq!(answers[2]["class"], "network");
    assert_eq!(
        (&answers[3]["class"], &answers[3]["cooldown_ms"]),
        (&json!("rate"), &json!(3_000))
    );
    assert_eq!(answers.len(), 4);
}
