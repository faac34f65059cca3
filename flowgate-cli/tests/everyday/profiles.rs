//! Profiles: switching, what is remembered, and what goes wrong.

use super::*;

fn with_key(key: &str) -> Project {
    let project = Project::new(PROFILES);
    project.write("main.key", key);
    project
}

#[test]
fn a_switch_is_done_once_and_noted() {
    let project = with_key("sk-first");
    project
        .run(&["profile", "set", "balanced"])
        .is(0, &["balanced is active"]);
    let written = project.read("run/litellm.active.yaml");
    project
        .run(&["profile", "set", "balanced"])
        .is(0, &["active already"]);
    assert_eq!(project.read("run/litellm.active.yaml"), written);
    project
        .run(&["profile", "set", "cost"])
        .is(0, &["cost is active"]);
    project
        .run(&["profile", "list"])
        .is(0, &["  balanced\n* cost\n"]);
    let events = project.events();
    let noted: Vec<_> = events
        .iter()
        .map(|e| (&e["event"], &e["subject"]))
        .collect();
    let switched = Value::from("profile.switched");
    let [balanced, cost] = ["balanced", "cost"].map(Value::from);
    assert_eq!(noted, [(&switched, &balanced), (&switched, &cost)]);
    assert!(!project.read("run/events.log").contains("sk-first"));
}

#[test]
fn r23_a_key_that_was_changed_is_used_and_never_written_into_the_configuration() {
    let project = with_key("sk-first\n");
    project.run(&["profile", "set", "balanced"]).is(0, &[]);
    project.write("main.key", "sk-second\n");
    project
        .run(&["profile", "set", "balanced"])
        .is(0, &["balanced is active\n"]);
    let written = project.read("run/litellm.active.yaml");
    assert!(written.contains("sk-second") && !written.contains("sk-first"));
    assert_eq!(project.read("config/flowgate.yaml"), PROFILES);
}

#[test]
fn what_cannot_be_switched_to_changes_nothing() {
    let project = with_key("sk-first");
    project.run(&["profile", "set"]).is(2, &["Usage"]);
    project
        .run(&["profile", "set", "turbo"])
        .is(2, &["`turbo`", "balanced, cost"]);
    project.run(&["profile", "set", "cost"]).is(0, &[]);
    let before = project.read("run/litellm.active.yaml");
    fs::remove_file(project.path("main.key")).unwrap();
    project
        .run(&["profile", "set", "balanced"])
        .is(3, &["main.key", "write the secret"]);
    project.write("main.key", " \n");
    project
        .run(&["profile", "set", "balanced"])
        .is(3, &["empty"]);
    assert_eq!(project.read("run/litellm.active.yaml"), before);
    project.run(&["profile", "list"]).is(0, &["* cost"]);
    assert_eq!(project.events().len(), 1);
}

#[test]
fn a_state_that_says_nothing_is_told_and_written_anew() {
    let project = with_key("sk-first");
    for damaged in [&b"["[..], b"[1]", b"\xff", b"", b"{}"] {
        project.write("run/state.json", damaged);
        project
            .run(&["profile", "list"])
            .is(0, &["  balanced\n  cost\n", "does not say which is active"]);
        project.run(&["status"]).is(1, &["nothing is up"]);
    }
    project.run(&["profile", "set", "cost"]).is(0, &[]);
    project.run(&["profile", "list"]).is(0, &["* cost"]);

    let fewer = PROFILES.replace(", cost: { litellm_settings: { num_retries: 0 } }", "");
    project.write("config/flowgate.yaml", fewer);
    project
        .run(&["profile", "list"])
        .is(0, &["`cost` is no longer in the configuration"]);
    project.run(&["doctor"]).is(1, &["cost"]);
}
