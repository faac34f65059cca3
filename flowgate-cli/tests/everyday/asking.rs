//! Commands that only ask, and how they are spelled.

use super::*;

#[test]
fn who_names_no_command_is_shown_which_there_are() {
    let project = Project::new("config_version: 2\n");
    project
        .run(&[])
        .is(2, &["Usage: flowgate", "profile", "service"]);
    for group in [
        "profile",
        "service",
        "config",
        "auth",
        "accounts",
        "integration",
    ] {
        project.run(&[group]).is(2, &["Usage: flowgate"]);
    }
    project.run(&["--help"]).is(0, &["completions", "--format"]);
    project
        .run(&["--version"])
        .is(0, &[concat!("flowgate ", env!("CARGO_PKG_VERSION"))]);
}

#[test]
fn a_command_that_is_nearly_one_is_found() {
    let project = Project::new("config_version: 2\n");
    project.run(&["frobnicate"]).is(2, &["frobnicate"]);
    project.run(&["stats"]).is(2, &["similar", "status"]);
    project
        .run(&["bootstrap", "download", "--litellm-versio", "1"])
        .is(2, &["--litellm-versio"]);
}

#[test]
fn what_holds_everywhere_may_stand_anywhere() {
    let project = Project::new(PROFILES);
    let file = "config/flowgate.yaml";
    for args in [
        ["--config", file, "profile", "list"],
        ["profile", "--config", file, "list"],
        ["profile", "list", "--config", file],
    ] {
        project.run(&args).is(0, &["balanced", "cost"]);
    }
    let json = ["profile", "list", "--format", "json"];
    assert_eq!(project.run(&json).is(0, &[]).json()["active"], Value::Null);
    project
        .run(&["profile", "list"])
        .is(0, &["  balanced\n  cost\n"]);
}

#[test]
fn asking_leaves_no_trace_wherever_it_is_done() {
    let project = Project::new(PROFILES);
    fs::create_dir(project.path("elsewhere")).unwrap();
    let elsewhere = project.path("elsewhere");
    let file = "../config/flowgate.yaml";
    for (args, code) in [
        (["status", "--config", file].as_slice(), 1),
        (&["health", "--config", file], 1),
        (&["doctor", "--config", file], 1),
        (&["profile", "list", "--config", file], 0),
        (&["accounts", "list", "--config", file], 0),
        (&["auth", "list", "--config", file], 0),
        (&["auth", "status", "--config", file], 0),
        (&["integration", "print", "codex", "--config", file], 0),
    ] {
        let said = project.run_in(&elsewhere, args);
        assert_eq!(said.code, code, "{args:?}: {}{}", said.out, said.err);
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert!(!project.path("run").exists() && !project.path("config/.router").exists());
}

#[test]
fn every_answer_can_be_json() {
    let project = Project::new(PROFILES);
    for (args, code, key) in [
        (["status"].as_slice(), 1, "services"),
        (&["health"], 1, "headline"),
        (&["doctor"], 1, "findings"),
        (&["profile", "list"], 0, "profiles"),
        (&["profile", "set", "turbo"], 2, "error"),
        (&["service", "start", "all"], 3, "error"),
        (&["accounts", "list"], 0, "accounts"),
        (&["auth", "login", "nobody"], 2, "error"),
        (&["integration", "print", "codex"], 0, "snippet"),
    ] {
        let args = [args, &["--format", "json"]].concat();
        let said = project.run(&args).is(code, &[]);
        assert!(said.json().get(key).is_some(), "{args:?}: {}", said.out);
    }
}

#[test]
fn doctor_asks_the_same_wherever_it_is_asked_from() {
    let project = Project::new(PROFILES);
    let here = project.run(&["doctor"]).is(1, &["main"]);
    fs::create_dir(project.path("elsewhere")).unwrap();
    let args = ["doctor", "--config", "../config/flowgate.yaml"];
    let there = project
        .run_in(&project.path("elsewhere"), &args)
        .is(1, &["main"]);
    assert_eq!(here.out.lines().count(), there.out.lines().count());
    project.write("main.key", "sk-1");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(project.path("main.key"), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::create_dir(project.path("run")).unwrap();
    project.run(&["doctor"]).is(0, &["0 problems"]);
}
