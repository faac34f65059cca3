//! `flowgate health`, `doctor` and `bootstrap`, run the way a person does.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

/// A service that answers every request with this status.
fn service(status: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
        }
    });
    port
}

fn project(services: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".router/runtime")).unwrap();
    fs::write(
        dir.path().join("flowgate.yaml"),
        format!("services: {{ {services} }}\n"),
    )
    .unwrap();
    dir
}

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowgate"));
    // A proxy that nobody can reach: this machine is asked without it.
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        command.env(name, "http://127.0.0.1:1");
    }
    command
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env_remove("FLOWGATE_CONFIG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn r18_health_is_what_the_services_are_whatever_the_proxy() {
    let ready = service("200 OK");
    let dir = project(&format!(
        "api: {{ port: {ready}, health_path: /h, command: {{ args: [sh] }} }}"
    ));
    let health = run(dir.path(), &["health", "--timeout", "5000"]);
    let shown = text(&health.stdout);
    assert!(
        health.status.success() && shown.contains("1 of 1 services ready"),
        "{shown}"
    );

    let busy = service("503 Busy");
    let dir = project(&format!(
        "api: {{ port: {ready}, health_path: /h, command: {{ args: [sh] }} }}, web: {{ port: {busy}, readiness: {{ http: /r }}, command: {{ args: [sh] }} }}"
    ));
    let health = run(
        dir.path(),
        &["health", "--format", "json", "--timeout", "5000"],
    );
    let answer: Value = serde_json::from_slice(&health.stdout).unwrap();
    assert_eq!(
        (health.status.code(), answer["healthy"].as_bool()),
        (Some(1), Some(false))
    );
    assert_eq!(answer["headline"], "unhealthy: web; 1 of 2 services ready");
    assert_eq!(answer["services"][1]["reason"], "not ready: HTTP 503");
    let verbose = text(&run(dir.path(), &["health", "-v", "--timeout", "5000"]).stdout);
    assert!(
        verbose.contains("liveness") && verbose.contains("it accepts connections"),
        "{verbose}"
    );
}

#[test]
fn r16_commands_that_only_look_write_nothing() {
    let dir = project("api: { port: 1, command: { args: [sh] } }");
    fs::remove_dir_all(dir.path().join(".router")).unwrap();
    for args in [
        &["health"][..],
        &["doctor"],
        &["auth", "list"],
        &["auth", "status"],
        &["bootstrap", "list"],
        &["integration", "print", "codex", "--base-url", "http://h"],
    ] {
        let _ = run(dir.path(), args);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{args:?}");
    }
}

#[test]
fn doctor_names_each_problem_and_fixes_what_is_safe() {
    let dir = project("api: { command: { args: [no-such-program] } }");
    fs::write(dir.path().join("key"), "x").unwrap();
    #[cfg(unix)]
    fs::set_permissions(
        dir.path().join("key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    fs::write(
        dir.path().join("flowgate.yaml"),
        "services: { api: { command: { args: [no-such-program] } } }\nsecret_files: [key]\n",
    )
    .unwrap();
    let doctor = run(dir.path(), &["doctor", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let problems: Vec<&str> = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["level"] == "problem")
        .map(|finding| finding["check"].as_str().unwrap())
        .collect();
    assert_eq!(doctor.status.code(), Some(1));
    assert!(
        problems.contains(&"permissions") && problems.contains(&"programs"),
        "{problems:?}"
    );
    let fixed = text(&run(dir.path(), &["doctor", "--fix"]).stdout);
    assert!(
        fixed.contains("mode 0600") && !fixed.contains("others can read"),
        "{fixed}"
    );
    let missing = run(dir.path(), &["--config", "nosuch.yaml", "doctor"]);
    assert!(
        missing.status.code() == Some(1) && text(&missing.stdout).contains("nosuch.yaml"),
        "{missing:?}"
    );
}

#[test]
fn an_installation_without_the_network_says_so() {
    let dir = project("");
    fs::write(
        dir.path().join("flowgate.yaml"),
        "bootstrap: { api: 'http://127.0.0.1:1' }\n",
    )
    .unwrap();
    for args in [
        &["bootstrap", "update", "--check"][..],
        &["bootstrap", "rollback"],
        &["bootstrap", "download", "--no-such-flag"],
    ] {
        let done = run(dir.path(), args);
        assert!(
            matches!(done.status.code(), Some(2 | 3)) && !text(&done.stderr).contains("panicked"),
            "{done:?}"
        );
    }
    let refused = run(dir.path(), &["bootstrap", "update", "--check"]);
    assert!(
        refused.status.code() == Some(3) && text(&refused.stderr).contains("connection refused"),
        "{refused:?}"
    );
}
