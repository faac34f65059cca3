//! Runs the Rust examples and the scripts; those in Python and Node are run by the tests of their
//! packages.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn the_profile_example_explains_the_starter() {
    let printed = stdout(&example("profile"));
    let retries = printed
        .lines()
        .find(|line| line.contains("num_retries"))
        .unwrap();
    assert!(
        retries.starts_with("  num_retries: 2 ") && retries.contains("# profiles.balanced, line "),
        "{retries}"
    );
}

#[test]
fn the_guard_example_runs_one_and_stops_the_other() {
    let output = example("guard");
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("rm -rf / is a text here\n"), "{printed}");
    assert!(
        printed.contains("stopped: X=/; sudo rm -rf $X\n  Deletes the whole file system."),
        "{printed}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn the_supervisor_example_brings_back_what_is_killed() {
    let printed = stdout(&example("supervisor"));
    assert_eq!(
        printed.matches("worker: service.ready").count(),
        2,
        "{printed}"
    );
    assert!(
        printed.ends_with("queue: running, restarts 0\nworker: running, restarts 1\n"),
        "{printed}"
    );
}

#[test]
fn the_rule_pack_passes_its_tests() {
    let printed = stdout(&script("rule-pack/run.sh"));
    assert!(
        printed.contains("deny by acme.deploy:teardown"),
        "{printed}"
    );
}

#[test]
fn the_hook_for_claude_stops_one_command_and_leaves_no_trace() {
    let printed = stdout(&script("claude-hook/run.sh"));
    let denied = printed.matches("\"permissionDecision\":\"deny\"").count();
    assert_eq!(denied, 1, "{printed}");
    assert!(
        printed.ends_with("{\"model\": \"opus\"}\n")
            || printed.ends_with("{\n  \"model\": \"opus\"\n}\n"),
        "{printed}"
    );
}

fn example(name: &str) -> Output {
    let mut run = Command::new(built().join("examples").join(name));
    run.output().unwrap()
}

/// Runs a script with the `flowgate` of this repository on the path.
fn script(name: &str) -> Output {
    let mut path = vec![built()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    let mut sh = Command::new("sh");
    sh.arg(Path::new(ROOT).join("examples").join(name));
    sh.env("PATH", env::join_paths(path).unwrap());
    sh.output().unwrap()
}

/// The folder with `flowgate` and the examples. They are built as the workspace is tested, so that
/// nothing is compiled twice.
fn built() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--workspace", "--bin", "flowgate"]);
        for example in ["guard", "profile", "supervisor"] {
            cargo.args(["--example", example]);
        }
        cargo.args(["--features", "flowgate-core/schema", "--target-dir"]);
        assert!(cargo.arg(target).status().unwrap().success());
        target.join("debug")
    };
    BUILT.get_or_init(build).clone()
}

fn stdout(output: &Output) -> String {
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}\n{said}");
    printed
}
