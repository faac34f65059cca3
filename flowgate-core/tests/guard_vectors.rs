//! The vectors of the guard that every language runs.

use flowgate_core::guard::{Context, Decision, Guard};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    command: String,
    cwd: String,
    home: String,
    decision: Decision,
    rule: Option<String>,
}

#[test]
fn guard() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../testdata/guard_vectors.json")).unwrap();
    let guard = Guard::default();
    for vector in vectors {
        let verdict = guard.check(&vector.command, &Context::new(vector.cwd, vector.home));
        assert_eq!(
            (verdict.decision, verdict.rule.as_deref()),
            (vector.decision, vector.rule.as_deref()),
            "{}",
            vector.name
        );
    }
}
