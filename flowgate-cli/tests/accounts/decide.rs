//! `accounts replay` and `accounts simulate`.

use serde_json::{Value, json};

use crate::{ask, parsed};

fn lines(output: &std::process::Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_trace_is_replayed_pick_by_pick() {
    let trace = json!({
        "accounts": [{"id": "a"}, {"id": "b"}],
        "strategy": "round_robin",
        "events": [
            {"t_ms": 0, "event": "pick"},
            {"t_ms": 10, "event": "error", "pick": 0, "provider": "openai", "status": 429, "headers": {"retry-after": "5"}},
            {"t_ms": 20, "event": "pick"},
            {"t_ms": 30, "event": "success", "pick": 1},
            {"t_ms": 40, "event": "disable", "account": "b"},
            {"t_ms": 50, "event": "pick"},
            {"t_ms": 5_010, "event": "pick"},
        ],
    });
    let output = ask(&["replay", "--jsonl"], &trace.to_string());
    assert_eq!(output.status.code(), Some(0));
    let expected = json!({"results": ["a", "b", {"wait_until": 5_010}, "a"]});
    assert_eq!(lines(&output), [expected]);
}

#[test]
fn a_bad_trace_stops_nothing() {
    let good = json!({"accounts": [{"id": "a"}], "events": [{"t_ms": 0, "event": "pick"}]});
    let bad = [
        "[1]".to_owned(),
        json!({"accounts": [{"id": "a"}], "events": [{"t_ms": 0, "event": "dance"}]}).to_string(),
        json!({"accounts": [], "events": [{"t_ms": 0, "event": "success", "pick": 3}]}).to_string(),
        json!({"accounts": [], "events": [{"t_ms": 0, "event": "reset", "account": "x"}]})
            .to_string(),
        json!({"accounts": [{"id": "a"}], "opts": {"base": 1}, "events": []}).to_string(),
    ];
    let input = [&bad[..], &[good.to_string()]].concat().join("\n");
    let output = ask(&["replay", "--jsonl"], &input);
    let answers = lines(&output);
    for answer in &answers[..bad.len()] {
        assert_eq!(answer["error"]["code"], "cli.bad_line", "{answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(answers[bad.len()..], [json!({"results": ["a"]})]);
    assert_eq!(
        ask(&["replay"], "").status.code(),
        Some(2),
        "there is one form"
    );
}

#[test]
fn a_day_is_simulated_as_a_table_and_as_json() {
    let args = [
        "simulate",
        "--scenario",
        "a1",
        "--shorten",
        "30",
        "--seed",
        "7,8",
    ];
    let two = ["--policy", "auto", "--policy", "round_robin"];
    let args = [&args[..], &two].concat();
    let output = ask(&[&args[..], &["--format", "json"]].concat(), "");
    assert_eq!(output.status.code(), Some(0));
    let rows = parsed(&output);
    let rows = rows.as_array().unwrap();
    let keys: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["policy"].as_str().unwrap(),
                row["seed"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        keys,
        [
            ("auto", 7),
            ("auto", 8),
            ("round_robin", 7),
            ("round_robin", 8)
        ]
    );
    for row in rows {
        assert!(row["success_percent"].as_f64().unwrap() > 99.0, "{row}");
        assert!(row["requests"].as_u64().unwrap() > 50, "{row}");
    }
    let again = ask(&[&args[..], &["--format", "json"]].concat(), "");
    assert_eq!(
        output.stdout, again.stdout,
        "a seed is the same day for ever"
    );
    let text = String::from_utf8(ask(&args, "").stdout).unwrap();
    assert!(
        text.starts_with("A1 ") && text.contains("wait p99"),
        "{text}"
    );
    let [_, _, auto, _] = *text.lines().collect::<Vec<_>>() else {
        panic!("a title, a head and a line for each policy: {text}");
    };
    let warm = |row: &Value| row["warm_percent"].as_f64().unwrap();
    let mean = format!("{:.1}", (warm(&rows[0]) + warm(&rows[1])) / 2.0);
    assert_eq!(auto.split(' ').next_back(), Some(&*mean), "{text}");
    let other = r#"{"affinity": {"enabled": false}}"#;
    let other = [&args[..], &["--settings", other, "--format", "json"]].concat();
    let other = parsed(&ask(&other, ""));
    let warm = |rows: &Value| rows[0]["warm_percent"].as_f64().unwrap();
    assert!(warm(&other) < warm(&parsed(&output)), "{other}");
}

#[test]
fn what_cannot_be_simulated_is_told() {
    for (args, says) in [
        (["--scenario", "Z9"], "there are A1, A2"),
        (["--policy", "best"], "round_robin"),
        (["--seed", "x"], "invalid value"),
        (["--shorten", "0"], "1..=100"),
        (["--settings", r#"{"strategi": 1}"#], "unknown field"),
    ] {
        let output = ask(&[&["simulate"][..], &args].concat(), "");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{said}");
    }
}
