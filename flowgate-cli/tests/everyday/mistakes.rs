//! Mistakes in the configuration and on the command line, named with the number of the trap that
//! the first FlowGate fell into.

use super::*;

/// What `config check` says about a document.
fn check(document: &str) -> Said {
    Project::new(document).run(&["config", "check"])
}

#[test]
fn r15_what_is_nearly_right_is_not_taken_for_right() {
    for (document, code, says) in [
        (
            "services: { api: { command: { args: [x] }, prot: 4000 } }",
            1,
            &["unknown key `prot`", "did you mean `port`"][..],
        ),
        (
            "services: { api: { command: { args: [x] }, port: yes } }",
            1,
            &["YAML 1.1", "flowgate.yaml:2:50"],
        ),
        (
            "services: { api: { command: { args: [x] }, port: 04000 } }",
            0,
            &["this is decimal here", "04000"],
        ),
        (
            "paths: { runtime_dir: a, runtime_dir: b }",
            1,
            &["duplicate key `runtime_dir`"],
        ),
        (
            "auth: { providers: {}, extra: 1 }",
            1,
            &["unknown key `extra`"],
        ),
        (
            "auth: { providers: { acme: { auth_url: x } } }",
            1,
            &["auth_url_endpoint"],
        ),
    ] {
        let said = check(&format!("config_version: 2\n{document}\n"));
        said.is(code, says);
    }
}

#[test]
fn r22_home_is_where_it_says() {
    let project = Project::new("config_version: 2\npaths: { runtime_dir: ~/deep/run }\n");
    let said = project
        .run(&["config", "resolve", "--format", "json"])
        .is(0, &[]);
    let home = project.path("home/deep/run");
    assert!(said.out.contains(home.to_str().unwrap()), "{}", said.out);
}

#[test]
fn r25_every_problem_is_told_at_once_with_its_place_and_one_exit_code() {
    let said = check(
        "config_version: 2\nservice: {}\nservices:\n  api: { command: { args: [] }, port: 99999 }\nprofiles: { a: 1 }\n",
    );
    let said = said.is(
        1,
        &[
            ":2:1",
            ":4:27",
            ":4:39",
            ":5:16",
            "`services`",
            "65535",
            "4 errors",
        ],
    );
    assert!(!said.err.contains("panicked"));
    for document in ["[", "a: [b", "\t- x", "- 1", "x: &a [*a]"] {
        let said = check(document);
        assert!([1, 2].contains(&said.code), "{document:?}: {}", said.code);
        assert!(
            said.err.contains("flowgate.yaml"),
            "{document:?}: {}",
            said.err
        );
    }
    let project = Project::new("");
    project.write("config/flowgate.yaml", [0xff, 0xfe, b'a']);
    for args in [
        ["status", "--no-color"],
        ["profile", "list"],
        ["config", "show"],
    ] {
        project.run(&args).is(2, &["config/flowgate.yaml"]);
    }
}

#[test]
fn r29_what_would_break_later_is_told_now() {
    for (service, says) in [
        ("command: { args: [x], cwd: 5 }", "cwd"),
        ("command: { args: [x], cwd: '' }", "blank"),
        ("host: ' ', command: { args: [x] }", "must not be blank"),
        ("command: { args: [''] }", "blank"),
    ] {
        let document = format!("config_version: 2\nservices: {{ api: {{ {service} }} }}\n");
        check(&document).is(1, &[says]);
    }
    for (document, says) in [
        ("paths: { runtime_dir: '' }", "blank"),
        (
            "services: { ../evil: { command: { args: [x] } } }",
            "not a name",
        ),
        ("services: { all: { command: { args: [x] } } }", "all"),
    ] {
        check(&format!("config_version: 2\n{document}\n")).is(1, &[says]);
    }
}

#[test]
fn a_file_that_is_none_says_what_to_do() {
    let project = Project::new("config_version: 2\n");
    project
        .run(&["status", "--config", "nope.yaml"])
        .is(2, &["nope.yaml", "flowgate init"]);
    project
        .run(&["status", "--config", "config"])
        .is(2, &["directory"]);
    let nowhere = tempfile::tempdir().unwrap();
    project.run_in(nowhere.path(), &["status"]).is(
        2,
        &["flowgate.yaml", "config/flowgate.yaml", "flowgate init"],
    );
}

#[test]
fn clients_and_providers_that_are_none_are_named_with_those_that_are() {
    let project = Project::new(PROFILES);
    project
        .run(&["integration", "print", "cursor"])
        .is(2, &["cursor", "codex", "claude-code"]);
    project
        .run(&["auth", "login", "nobody"])
        .is(2, &["nobody", "codex", "gemini"]);
    project
        .run(&["auth", "import-headless", "gemini"])
        .is(2, &["gemini", "codex"]);
    project
        .run(&["auth", "import-headless", "codex", "--source", "/nope.json"])
        .is(2, &["/nope.json"]);
    let args = ["auth", "login", "codex", "--timeout", "abc"];
    project.run(&args).is(2, &["--timeout"]);
}
