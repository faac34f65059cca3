//! A supervisor on a thread of its own, for programs without a tokio runtime.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use flowgate_core::runtime::Error;
use flowgate_core::runtime::process::{
    ControlError, Embedded, Follower, Request, Supervisor, given_services,
};
use flowgate_core::supervise::Services;
use flowgate_core::yaml;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowgate");

fn given(text: &str, dir: &Path) -> Result<Services, Error> {
    given_services(yaml::parse(text).unwrap().0.unwrap(), dir)
}

fn start(text: &str, dir: &Path) -> Embedded {
    let services = given(text, dir).unwrap();
    let supervisor = Supervisor::in_directory(services, dir).unwrap();
    Embedded::start(supervisor.shim(PROGRAM)).unwrap()
}

fn ask(embedded: &Embedded, request: Request) -> Result<Value, ControlError> {
    let (told, answer) = channel();
    embedded.ask(request, Some(Duration::from_secs(60)), move |answer| {
        told.send(answer).unwrap();
    });
    answer.recv().unwrap()
}

fn next(events: &Follower) -> Option<Value> {
    let (told, event) = channel();
    events.next(move |event| told.send(event).unwrap());
    event.recv().unwrap().unwrap()
}

fn all() -> Vec<String> {
    Vec::new()
}

#[test]
fn it_is_spoken_to_from_inside_and_from_outside_alike() {
    let temp = tempfile::tempdir().unwrap();
    let ready =
        "{command: {args: [sh, -c, 'echo ready; exec sleep 100']}, readiness: {log: ready}}";
    let text = format!(
        "a: {ready}\nb: {{command: {{args: [sleep, '100']}}, readiness: {{alive: 1ms}}, depends_on: [a]}}"
    );
    let inside = start(&text, temp.path());
    let events = inside.follow();
    let outside = Embedded::connect(temp.path()).unwrap();
    let answer = ask(&inside, Request::Start { services: all() }).unwrap();
    assert_eq!(answer["services"][0]["public"], "running");
    let seen = ask(&outside, Request::Status).unwrap();
    assert_eq!(
        answer["services"][1]["process"],
        seen["services"][1]["process"]
    );
    let mut ready = Vec::new();
    while ready.len() < 2 {
        let event = next(&events).unwrap();
        if event["event"] == "service.ready" {
            ready.push(event["subject"].clone());
        }
    }
    assert_eq!(ready, ["a", "b"]);
    let unknown = ask(
        &outside,
        Request::Stop {
            services: vec!["c".to_owned()],
        },
    );
    assert_eq!(unknown.unwrap_err().code(), "supervise.unknown_service");
    // Whoever ends it, everybody is told.
    let (told, ended) = channel();
    inside.at_end(move || told.send(()).unwrap());
    ask(&outside, Request::Shutdown { force: false }).unwrap();
    ended.recv_timeout(Duration::from_secs(60)).unwrap();
    while next(&events).is_some() {}
    for end in [&inside, &outside] {
        let error = ask(end, Request::Status).unwrap_err();
        assert!(["control.not_running", "control.lost"].contains(&error.code()));
    }
    assert_eq!(
        Embedded::connect(temp.path()).unwrap_err().code(),
        "control.not_running"
    );
}

#[test]
fn dropping_it_brings_everything_down_and_frees_the_directory() {
    let temp = tempfile::tempdir().unwrap();
    let text = "a: {command: {args: [sleep, '100']}, readiness: {alive: 1ms}}";
    let embedded = start(text, temp.path());
    let answer = ask(&embedded, Request::Start { services: all() }).unwrap();
    let pid = answer["services"][0]["process"]["pid"].as_u64().unwrap();
    let events = embedded.follow();
    drop(embedded);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    // Nobody waits for an event that will not come.
    while next(&events).is_some() {}
    drop(start(text, temp.path()));
}

#[test]
fn services_can_be_others_without_a_file() {
    let temp = tempfile::tempdir().unwrap();
    let embedded = start("a: [sleep, '100']", temp.path());
    let others = "b: {command: {args: [sleep, '100']}, readiness: {alive: 1ms}}";
    let others = given(others, temp.path()).unwrap();
    let (told, applied) = channel();
    embedded.apply(others, move |answer| told.send(answer).unwrap());
    let answer = applied.recv().unwrap().unwrap();
    assert_eq!(answer["services"][0]["name"], "b");
    assert_eq!(answer["services"].as_array().unwrap().len(), 1);
}

#[test]
fn a_program_that_cannot_hold_services_is_named() {
    let temp = tempfile::tempdir().unwrap();
    for (program, why) in [
        ("/bin/true", "it says `true"),
        ("/nowhere/flowgate", "no such file"),
    ] {
        let services = given("a: [sleep, '1']", temp.path()).unwrap();
        let supervisor = Supervisor::in_directory(services, temp.path()).unwrap();
        let error = Embedded::start(supervisor.shim(program)).unwrap_err();
        assert_eq!(error.code(), "supervise.no_shim");
        let text = error.to_string();
        assert!(text.contains(program) && text.contains(why), "{text}");
    }
    let _held = start("a: [sleep, '1']", temp.path());
    let services = given("a: [sleep, '1']", temp.path()).unwrap();
    let supervisor = Supervisor::in_directory(services, temp.path()).unwrap();
    let error = Embedded::start(supervisor.shim(PROGRAM)).unwrap_err();
    assert_eq!(error.code(), "supervise.locked");
}

#[test]
fn what_is_wrong_with_given_services_is_told_by_its_place_in_them() {
    let dir = Path::new("/tmp");
    let error = given("a: {command: {args: [x]}, prot: 80}\nb: []", dir).unwrap_err();
    let problems = error.diagnostics();
    assert_eq!(problems[0].path, "services.a.prot");
    assert_eq!(problems[0].span.line, 0);
    assert!(
        problems
            .iter()
            .any(|problem| problem.path.starts_with("services.b"))
    );
    let plain = given("a: [sleep, '1']", dir).unwrap();
    let spec = plain.get("a").unwrap();
    assert_eq!(spec.command.args, ["sleep", "1"]);
    assert_eq!(
        spec.command.cwd.as_deref(),
        std::env::current_dir().unwrap().to_str()
    );
}
