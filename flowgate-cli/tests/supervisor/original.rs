//! What the FlowGate before this one got wrong, by the numbers of the report on it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::quickstart::{Down, Up, flowgate, run, text};
use crate::rig::{alive_in, exists, free_port};
use crate::switch::{Load, Request};

/// A project, whose services end with the test, however that ends.
struct Project(tempfile::TempDir);

impl Project {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        drop(Down(self.path()));
    }
}

/// A project with these services, and two profiles.
fn project(services: &str) -> Project {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "config_version: 2\nservices:\n{services}litellm_base: {{litellm_settings: {{num_retries: 1}}}}\n\
         profiles: {{good: {{}}, cost: {{litellm_settings: {{num_retries: 2}}}}, bad: {{litellm_settings: {{broken: true}}}}}}\n"
    );
    fs::write(dir.path().join("flowgate.yaml"), config).unwrap();
    Project(dir)
}

/// One that sleeps.
const SLEEPER: &str = "  web: {command: {args: [sleep, '600']}, readiness: {alive: 10ms}}\n";

/// One that reads the active configuration, and ends if that is broken.
fn reader(port: u16) -> String {
    let this = std::env::current_exe().unwrap();
    format!(
        "  web:
    command:
      args: [{:?}, 'program::does_what_it_is_told', --exact]
      env: {{FAULT: 'serve_if {{active_config}} {{port}}', GENERATION: '{{gen}}'}}
    port: {port}
    overlap: forward
    readiness: {{http: /}}
",
        this.to_str().unwrap()
    )
}

fn status(dir: &Path) -> Value {
    let out = run(dir, &["status", "--format", "json"]);
    serde_json::from_slice(&out.stdout).unwrap()
}

fn supervisor(dir: &Path) -> u32 {
    status(dir)["pid"].as_u64().unwrap().try_into().unwrap()
}

/// Everything that was started to supervise in the background here.
fn supervisors(dir: &Path) -> Vec<u32> {
    let file = dir.canonicalize().unwrap().join("flowgate.yaml");
    let is_one = |pid: &u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains(file.to_str().unwrap()) && line.contains("--no-attach")
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_one).collect()
}

fn pid(dir: &Path) -> u32 {
    let pid = status(dir)["services"][0]["process"]["pid"].as_u64();
    pid.unwrap().try_into().unwrap()
}

fn detached(dir: &Path) {
    let out = run(dir, &["up", "--detach"]);
    assert!(
        out.status.success(),
        "{}{}",
        text(&out.stdout),
        text(&out.stderr)
    );
}

fn down(dir: &Path) {
    assert!(run(dir, &["down"]).status.success());
    assert!(alive_in(dir).is_empty());
}

#[test]
fn r07_a_stranger_with_a_number_that_is_written_down_is_left_alone() {
    let dir = project(SLEEPER);
    detached(dir.path());
    let record = dir
        .path()
        .join(".router/runtime/services/web/record.1.json");
    let written = fs::read_to_string(&record).unwrap();
    let old = pid(dir.path());
    down(dir.path());
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    let forged = written.replace(
        &format!("\"main\":[{old},"),
        &format!("\"main\":[{},", stranger.id()),
    );
    assert_ne!(forged, written);
    fs::write(&record, forged).unwrap();
    detached(dir.path());
    assert_ne!(pid(dir.path()), stranger.id());
    assert!(
        run(dir.path(), &["service", "stop", "all"])
            .status
            .success()
    );
    down(dir.path());
    assert!(stranger.try_wait().unwrap().is_none(), "it lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn r08_a_start_of_what_dies_at_once_is_no_success() {
    let dir = project(
        "  web: {command: {args: [sh, -c, 'echo no key >&2; exit 3']}, restart: {policy: never}}\n  \
         ok: {command: {args: [sleep, '600']}, readiness: {alive: 10ms}}\n",
    );
    let out = run(dir.path(), &["up", "--detach"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    let out = run(dir.path(), &["service", "start", "web"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("it ended with code 3"));
    assert_eq!(run(dir.path(), &["status"]).status.code(), Some(1));
    assert!(
        run(dir.path(), &["service", "start", "ok"])
            .status
            .success()
    );
    // A process that has ended and that nobody waits for does not count as one that runs.
    let all = status(dir.path());
    let web = all["services"]
        .as_array()
        .unwrap()
        .iter()
        .find(|service| service["name"] == "web");
    assert_eq!(web.unwrap()["process"], Value::Null);
    down(dir.path());
}

#[test]
fn r09_a_stop_leaves_no_child_that_keeps_the_port() {
    let port = free_port();
    let dir = project(&format!(
        "  web:\n    command: {{args: [{:?}, dev, provider, --port, '{port}']}}\n    port: {port}\n    readiness: {{http: /health}}\n  \
         wrapped:\n    command: {{args: [sh, -c, 'setsid sleep 600 & trap \"exit 0\" TERM; echo ready; wait']}}\n    readiness: {{log: ready}}\n",
        env!("CARGO_BIN_EXE_flowgate")
    ));
    detached(dir.path());
    assert!(
        run(dir.path(), &["service", "stop", "all"])
            .status
            .success()
    );
    let alive = alive_in(dir.path());
    assert_eq!(alive.len(), 0, "{alive:?}");
    assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
    down(dir.path());
}

#[test]
fn r10_starts_at_the_same_time_start_one_process() {
    let dir = project(SLEEPER);
    let ups: Vec<_> = (0..4)
        .map(|_| {
            flowgate(dir.path(), &["up", "--detach"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut up in ups {
        up.wait().unwrap();
    }
    // Those that were late do not wait for the first one to end.
    assert_eq!(supervisors(dir.path()), [supervisor(dir.path())]);
    let starts: Vec<_> = (0..8)
        .map(|_| {
            flowgate(dir.path(), &["service", "start", "web"])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut start in starts {
        assert!(start.wait().unwrap().success());
    }
    assert_eq!(alive_in(dir.path()), [pid(dir.path())].into());
    down(dir.path());
}

#[test]
fn r11_profiles_that_are_set_at_the_same_time_leave_one_whole_result() {
    let dir = project(SLEEPER);
    let sets: Vec<_> = (0..16)
        .map(|i| {
            flowgate(dir.path(), &["profile", "set", ["good", "cost"][i % 2]])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut set in sets {
        assert!(set.wait().unwrap().success());
    }
    let runtime = dir.path().join(".router/runtime");
    let state: Value =
        serde_json::from_slice(&fs::read(runtime.join("state.json")).unwrap()).unwrap();
    let active = fs::read_to_string(runtime.join("litellm.active.yaml")).unwrap();
    let retries = if state["current_profile"] == "good" {
        "num_retries: 1"
    } else {
        "num_retries: 2"
    };
    assert!(active.contains(retries), "{state} {active}");
    let left = fs::read_dir(&runtime)
        .unwrap()
        .flatten()
        .filter(|file| file.file_name().to_string_lossy().contains("flowgate-"));
    assert_eq!(left.count(), 0);
}

#[test]
fn r12_a_restart_is_no_outage() {
    let port = free_port();
    let dir = project(&reader(port));
    assert!(
        run(dir.path(), &["profile", "set", "good"])
            .status
            .success()
    );
    detached(dir.path());
    let load = Load::start(
        port,
        [Request::get("/"), Request::get("/"), Request::get("/slow")],
    );
    let before = pid(dir.path());
    for _ in 0..2 {
        assert!(
            run(dir.path(), &["service", "restart", "web"])
                .status
                .success()
        );
    }
    assert_ne!(pid(dir.path()), before);
    let (asked, failed) = load.end();
    assert!(failed.is_empty(), "{} of {asked}: {failed:?}", failed.len());
    down(dir.path());
}

#[test]
fn r13_a_profile_that_does_not_work_is_put_back_with_its_files() {
    let port = free_port();
    let dir = project(&reader(port));
    assert!(
        run(dir.path(), &["profile", "set", "good"])
            .status
            .success()
    );
    let mut up = Up::new(dir.path(), &["up"]);
    up.says("everything is up (1)");
    assert!(
        run(dir.path(), &["profile", "set", "cost"])
            .status
            .success()
    );
    let before = pid(dir.path());
    let out = run(dir.path(), &["profile", "set", "bad"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stdout).starts_with("everything is as it was: `web`"),
        "{}",
        text(&out.stdout)
    );
    assert_eq!(pid(dir.path()), before);
    assert!(Request::get("/").send(port).is_ok());
    let runtime = dir.path().join(".router/runtime");
    assert!(
        fs::read_to_string(runtime.join("state.json"))
            .unwrap()
            .contains("\"cost\"")
    );
    assert!(
        fs::read_to_string(runtime.join("litellm.active.yaml"))
            .unwrap()
            .contains("num_retries: 2")
    );
    // A supervisor that is killed in the middle of a change: the next puts right what it had begun.
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_child(&up.child),
        rustix::process::Signal::KILL,
    );
    up.child.wait().unwrap();
    let active = runtime.join("litellm.active.yaml");
    let old = fs::read(&active).unwrap();
    fs::write(runtime.join(".litellm.active.yaml.flowgate-before"), &old).unwrap();
    fs::write(&active, "broken: true\n").unwrap();
    let journal = serde_json::json!({"what": "profile bad", "phase": "placing", "files": [active], "services": ["web"]});
    fs::write(runtime.join("change.json"), journal.to_string()).unwrap();
    let mut up = Up::new(dir.path(), &["up"]);
    up.says("a change was interrupted (profile bad)");
    up.says("everything is up (1)");
    assert_eq!(fs::read(&active).unwrap(), old);
    assert!(!runtime.join("change.json").exists());
    // Its process may have read what is not there any more.
    assert!(pid(dir.path()) != before && !exists(before));
    down(dir.path());
}

#[test]
fn r14_what_is_wrong_with_a_configuration_is_said_and_nothing_is_started() {
    let cases: [(&[u8], &str); 5] = [
        (b"services: [", "error"),
        (b"config_version: 2\nservices: {web: 3}\n", "error"),
        (
            b"config_version: 2\nservices: {web: {command: {args: []}}}\n",
            "error",
        ),
        (b"\xff\xfe\x00", "error"),
        (
            b"config_version: 2\nservices: {a: {command: {args: [x]}, depends_on: [a]}}\n",
            "wait for each other",
        ),
    ];
    for (config, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("flowgate.yaml"), config).unwrap();
        for args in [
            &["up"][..],
            &["up", "--detach"],
            &["service", "start", "all"],
            &["profile", "set", "x"],
        ] {
            let out = run(dir.path(), args);
            let said = text(&out.stderr);
            assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
            assert!(
                said.contains(expected) && !said.contains("panicked"),
                "{said}"
            );
        }
        assert!(!dir.path().join(".router").exists());
    }
}
