//! Commands as people and agents write them, by somebody who did not know the rules.

use flowgate_core::guard::{Context, Guard};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    command: String,
    expect: Expect,
    #[allow(dead_code, reason = "for people who look for a kind")]
    kind: String,
    /// The guard is known to be wrong about it.
    #[serde(default)]
    missed: bool,
}

#[derive(Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Allow,
    /// It must not run without a human.
    Deny,
}

#[test]
fn what_destroys_is_stopped_and_what_does_not_is_not() {
    let guard = Guard::default();
    let context = Context::new("/home/dev/project", "/home/dev");
    let rows: Vec<Row> = include_str!("../testdata/guard_commands.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let wrong: Vec<&str> = rows
        .iter()
        .filter(|row| {
            let runs = guard.check(&row.command, &context).decision.runs();
            let right = runs == (row.expect == Expect::Allow);
            // What comes out right now is known to be wrong no more.
            right == row.missed
        })
        .map(|row| row.command.as_str())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
