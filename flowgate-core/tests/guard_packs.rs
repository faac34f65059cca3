//! The examples of every built-in rule, end to end.

use flowgate_core::guard::{Guard, pack};

#[test]
fn every_example_and_suggestion_comes_out_as_written() {
    let guard = Guard::default();
    let wrong = pack::test(&guard, &guard.packs());
    assert!(
        wrong.is_empty(),
        "{} examples are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_rule_has_a_reason_and_examples() {
    for rule in Guard::default().packs().iter().flat_map(|p| &p.rules) {
        assert!(
            rule.reason.ends_with('.'),
            "{}: the reason is a sentence",
            rule.id
        );
        assert!(
            !rule.deny.is_empty() && !rule.allow.is_empty(),
            "{}",
            rule.id
        );
    }
}
