//! Services: up, down, started, stopped, and what is said when they do not work.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::*;

/// A project whose supervisor is brought down when the test ends, however it does.
struct Up(Project);

impl Up {
    fn new(services: &str) -> Self {
        let project = Project::new(&format!(
            "config_version: 2\npaths: {{ runtime_dir: ../run }}\nservices:\n{services}"
        ));
        Self(project)
    }

    fn run(&self, args: &[&str]) -> Said {
        self.0.run(args)
    }

    fn service(&self, name: &str) -> Value {
        let status = self.run(&["status", "--format", "json"]).json();
        let services = status["services"].as_array().unwrap();
        let found = services.iter().find(|service| service["name"] == name);
        found.unwrap().clone()
    }

    fn pid(&self, name: &str) -> u64 {
        self.service(name)["process"]["pid"].as_u64().unwrap()
    }

    /// The names of the events about a service, in their order.
    fn story(&self, name: &str) -> Vec<String> {
        let events = self.0.events();
        let about = events.iter().filter(|event| event["subject"] == name);
        about
            .filter_map(|event| event["event"].as_str()?.strip_prefix("service."))
            .filter(|event| *event != "state")
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.command(&["down", "--force"]).output();
    }
}

fn is_there(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with('Z')
}

fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "it does not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const READY: &str = "  api: { command: { args: [sh, -c, 'echo out; echo err >&2; echo up; exec sleep 600'] }, readiness: { log: '^up' } }\n";

#[test]
fn a_service_comes_up_and_goes_down_and_every_step_is_noted() {
    let up = Up::new(READY);
    up.run(&["service", "start", "api"]).is(3, &["flowgate up"]);
    up.run(&["up", "--detach"]).is(0, &["api", "running"]);
    up.run(&["status"]).is(0, &["running"]);
    let first = up.pid("api");
    // Whoever starts what runs finds it running, with the same process.
    up.run(&["service", "start", "api"]).is(0, &["running"]);
    assert_eq!(up.pid("api"), first);
    up.run(&["service", "restart", "api"]).is(0, &["running"]);
    let second = up.pid("api");
    assert!(second != first && !is_there(first));
    up.run(&["service", "stop", "api"]).is(0, &["stopped"]);
    assert!(!is_there(second));
    up.run(&["service", "stop", "all"]).is(0, &["stopped"]);
    up.run(&["service", "restart", "api"]).is(0, &["running"]);
    up.run(&["logs", "api"]).is(0, &["out", "err"]);
    up.run(&["down"]).is(0, &["everything is down"]);
    up.run(&["down"]).is(0, &["nothing is up"]);
    up.run(&["status"]).is(1, &["nothing is up"]);
    let round = ["spawned", "ready", "stopping", "exited", "gone"];
    let story = up.story("api");
    assert_eq!(story[0], "added");
    let rounds: Vec<&String> = story[1..].iter().filter(|e| *e != "removed").collect();
    assert_eq!(rounds, [round, round, round].concat(), "{story:?}");
}

#[test]
fn a_service_that_has_said_nothing_has_no_lines() {
    let up = Up::new("  quiet: { command: { args: [sleep, '600'] }, readiness: { alive: 1ms } }\n");
    up.run(&["up", "--detach"]).is(0, &["running"]);
    assert_eq!(up.run(&["logs", "quiet"]).is(0, &[]).out, "");
    up.run(&["logs", "loud"])
        .is(2, &["no service `loud` was ever started here"]);
}

#[test]
fn what_does_not_start_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let up = Up::new(&format!(
        "  dies: {{ command: {{ args: [sh, -c, 'echo no luck >&2; exit 3'] }}, restart: {{ policy: never }} }}
  gone: {{ command: {{ args: [/no/such/program] }} }}
  nowhere: {{ command: {{ args: [sleep, '600'], cwd: /no/such/directory }} }}
  late: {{ command: {{ args: [sleep, '600'] }}, port: {port} }}
{READY}"
    ));
    up.run(&["up", "--detach", "api"]).is(0, &["running"]);
    up.run(&["service", "start", "dies"]).is(1, &["code 3"]);
    up.run(&["logs", "dies"]).is(0, &["no luck"]);
    up.run(&["service", "start", "gone"])
        .is(1, &["/no/such/program", "no such file"]);
    up.run(&["service", "start", "nowhere"])
        .is(1, &["/no/such/directory"]);
    up.run(&["service", "start", "redis"])
        .is(2, &["`redis`", "api, dies, gone"]);
    // What fails keeps nobody else from running.
    up.run(&["status"]).is(1, &["running", "error"]);
    up.run(&["health", "-v"]).is(
        1,
        &["✓ api", "supervisor running, process", "/no/such/program"],
    );
    up.run(&["doctor"])
        .is(1, &["`gone`: ", "flowgate logs gone"]);
    assert_eq!(up.service("api")["public"], "running");
    let gone = up.story("gone");
    assert!(gone.contains(&"spawn_failed".to_owned()), "{gone:?}");
    drop(taken);
}

#[test]
fn r24_those_that_are_stubborn_are_stopped_at_the_same_time() {
    let stubborn = "{ command: { args: [sh, -c, 'trap \"\" TERM; echo up; while :; do sleep 1; done'] }, readiness: { log: '^up' }, stop: { timeout: 1s } }";
    let up = Up::new(&format!(
        "  a: {stubborn}\n  b: {stubborn}\n  c: {stubborn}\n"
    ));
    up.run(&["up", "--detach"]).is(0, &[]);
    let begun = Instant::now();
    up.run(&["service", "stop", "all"]).is(0, &["stopped"]);
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(900) && took < Duration::from_millis(2_900),
        "one after another would take three seconds: {took:?}"
    );
    assert!(
        up.story("a").contains(&"killing".to_owned()),
        "{:?}",
        up.story("a")
    );
}

#[test]
fn r27_one_that_was_killed_is_not_running() {
    let up = Up::new(&READY.replace("readiness:", "restart: { policy: never }, readiness:"));
    up.run(&["up", "--detach"]).is(0, &["running"]);
    let pid = up.pid("api");
    let killed = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status();
    assert!(killed.unwrap().success());
    until(|| up.service("api")["public"] != "running");
    let begun = Instant::now();
    up.run(&["service", "stop", "api"]).is(0, &["stopped"]);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "there is nothing to wait for"
    );
    assert!(!is_there(pid));
}

#[test]
fn r32_a_service_that_is_a_script_is_known_and_stopped() {
    use std::os::unix::fs::PermissionsExt;
    let up =
        Up::new("  tool: { command: { args: [../tool.sh], cwd: . }, readiness: { log: '^up' } }\n");
    let script = up.0.path("tool.sh");
    fs::write(&script, "#!/bin/sh\necho up\nwhile :; do sleep 1; done\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    up.run(&["up", "--detach"]).is(0, &["running"]);
    let pid = up.pid("tool");
    assert!(is_there(pid));
    up.run(&["status"]).is(0, &["running"]);
    up.run(&["service", "stop", "tool"]).is(0, &["stopped"]);
    assert!(!is_there(pid));
}
