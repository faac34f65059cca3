//! Supervisors that are killed, and what the next one makes of it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flowgate_core::supervise::{PublicState, Selection, ServiceSpec, Services, What};
use rustix::process::Signal;

use crate::rig::{self, Rig, exists, kill, script};
use crate::{alive, assert_within, describe, living, ms, stop_all, until};

/// What the supervisor that is killed has to look after; ready at once, with a helper, and writing
/// all the time.
const WRITER: &str = "setsid sleep 60 & i=0; echo ready; \
                      while :; do i=$((i+1)); echo $i || echo $i >>\"$HOME_OF_TEST/broken\"; sleep 0.002; done";

fn services(dir: &Path) -> Services {
    let mut spec = script("web", WRITER);
    spec.logs.max_bytes = 1_000_000_000;
    rig::services([mark(spec, dir)])
}

fn mark(mut spec: ServiceSpec, dir: &Path) -> ServiceSpec {
    let home = dir.to_str().unwrap().to_owned();
    spec.command.env.insert("HOME_OF_TEST".to_owned(), home);
    spec
}

/// Not a test: the process that is killed.
#[tokio::test]
async fn is_a_supervisor() {
    let Some(dir) = std::env::var_os("SUPERVISES") else {
        return;
    };
    let dir = Path::new(&dir);
    let running = rig::supervisor(services(dir), dir).start().await.unwrap();
    let handle = running.handle();
    handle.start(Selection::All);
    handle.settled(&Selection::All).await;
    println!("\nsettled");
    if std::env::var_os("STOPS").is_some() {
        running.shutdown().await;
    } else {
        running.finished().await;
    }
}

/// A supervisor in a process of its own.
fn supervisor(dir: &Path, stops: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["killed::is_a_supervisor", "--exact", "--nocapture"]);
    command
        .env("SUPERVISES", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if stops {
        command.env("STOPS", "1");
    }
    command.spawn().unwrap()
}

/// Waits until its services are up.
fn settled(supervisor: &mut Child) {
    use std::io::BufRead;
    let output = std::io::BufReader::new(supervisor.stdout.as_mut().unwrap());
    assert!(
        output
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "settled")
    );
}

async fn come_back(temp: tempfile::TempDir) -> Rig {
    let running = rig::supervisor(services(temp.path()), temp.path())
        .start()
        .await
        .unwrap();
    let handle = running.handle();
    let events = handle.events();
    Rig {
        temp,
        running,
        handle,
        events,
    }
}

/// What is written down of the first start: its process, and its shim.
fn record(dir: &Path) -> (u32, u32) {
    let text = fs::read_to_string(dir.join("services/web/record.1.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pid = |name: &str| record[name][0].as_u64().unwrap().try_into().unwrap();
    (pid("main"), pid("shim"))
}

/// What a supervisor leaves that was killed when its service ran: its process, and its shim.
fn left_by_a_killed_one(dir: &Path) -> (u32, u32) {
    let mut first = supervisor(dir, false);
    settled(&mut first);
    let left = record(dir);
    first.kill().unwrap();
    first.wait().unwrap();
    left
}

async fn leaves_nothing(rig: Rig) {
    let (_, left) = stop_all(rig).await;
    assert!(left.is_empty(), "{:?}", describe(left));
}

/// The numbers in the log come one after the other.
#[track_caller]
fn assert_complete(log: &str) -> usize {
    let numbers = log.lines().filter(|line| *line != "ready");
    let mut last = 0;
    for line in numbers {
        let number: usize = line.parse().unwrap();
        assert_eq!(number, last + 1, "a line is missing");
        last = number;
    }
    last
}

#[tokio::test]
async fn what_a_killed_supervisor_left_is_taken_over_with_its_log_unbroken() {
    let temp = tempfile::tempdir().unwrap();
    let (pid, _) = left_by_a_killed_one(temp.path());
    tokio::time::sleep(ms(300)).await;
    assert!(exists(pid), "it does not need its supervisor");
    let begun = Instant::now();
    let mut rig = come_back(temp).await;
    let status = rig.becomes("web", PublicState::Running).await.service;
    assert_within(begun.elapsed(), ms(200));
    assert_eq!(status.process.unwrap().pid, pid);
    assert_eq!(status.generation, 1, "no new start");
    let before = rig.log("web").lines().count();
    until("more lines", || {
        rig.log("web").lines().count() > before + 20
    })
    .await;
    let log = rig.log("web");
    let whole = log.rfind('\n').unwrap();
    assert!(assert_complete(&log[..whole]) > 20);
    assert!(!rig.temp.path().join("broken").exists(), "a write failed");
    // It is one of its own from here on.
    kill(pid, Signal::KILL);
    rig.hears(|what| matches!(what, What::Ready { .. })).await;
    until("one life alone", || living(&rig).len() <= 3).await;
    leaves_nothing(rig).await;
}

#[tokio::test]
async fn one_that_ended_while_nobody_looked_is_started_anew() {
    let temp = tempfile::tempdir().unwrap();
    let (pid, _) = left_by_a_killed_one(temp.path());
    kill(pid, Signal::KILL);
    until("its end", || !exists(pid)).await;
    let mut rig = come_back(temp).await;
    rig.handle.start(Selection::All);
    let status = rig.becomes("web", PublicState::Running).await.service;
    assert_ne!(status.process.unwrap().pid, pid);
    leaves_nothing(rig).await;
}

#[tokio::test]
async fn a_record_of_the_process_before_does_not_hide_the_one_that_runs() {
    let temp = tempfile::tempdir().unwrap();
    let (pid, _) = left_by_a_killed_one(temp.path());
    // As if it was killed when this one was started, before that was written down and before the
    // record of the last one, which its shim held too, was removed.
    let mut last = Command::new("true").spawn().unwrap();
    last.wait().unwrap();
    let written = temp.path().join("services/web/record.1.json");
    let mut older: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&written).unwrap()).unwrap();
    older["generation"] = 0.into();
    older["main"] = serde_json::json!([last.id(), 1]);
    let path = temp.path().join("services/web/record.0.json");
    fs::write(&path, older.to_string()).unwrap();
    fs::remove_file(written).unwrap();
    let mut rig = come_back(temp).await;
    rig.handle.start(Selection::All);
    let status = rig.becomes("web", PublicState::Running).await.service;
    assert_eq!((status.process.unwrap().pid, status.generation), (pid, 1));
    until("the old record is gone", || !path.exists()).await;
    leaves_nothing(rig).await;
}

/// Some live for a moment only.
fn kill_if_there(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, Signal::KILL);
}

#[tokio::test]
async fn strangers_that_a_record_names_are_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let (pid, shim) = left_by_a_killed_one(temp.path());
    // Everything is gone, as after a crash of the machine, but the record.
    let file = temp.path().join("services/web/record.1.json");
    let text = fs::read_to_string(&file).unwrap();
    // The shim first: it would write down how its service ended.
    kill_if_there(shim);
    // One that becomes another program shows no variables in that moment: asked until none is left.
    until("the end of all", || {
        let left = alive(temp.path());
        left.iter().copied().for_each(kill_if_there);
        left.is_empty()
    })
    .await;
    // A stranger of the same name and arguments, under the number that the record has.
    let mut stranger = Command::new("sh")
        .args(["-c", WRITER])
        .env("HOME_OF_TEST", "/tmp")
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let forged = text.replace(&pid.to_string(), &stranger.id().to_string());
    assert_ne!(forged, text);
    fs::write(&file, forged).unwrap();
    let mut rig = come_back(temp).await;
    rig.handle.start(Selection::All);
    let status = rig.becomes("web", PublicState::Running).await.service;
    assert_ne!(status.process.unwrap().pid, stranger.id());
    leaves_nothing(rig).await;
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    let group = rustix::process::Pid::from_child(&stranger);
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn killed_at_any_moment_there_is_one_service_in_the_end() {
    kill_at_moments(16).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn killed_at_a_hundred_moments_there_is_one_service_in_the_end() {
    kill_at_moments(100).await;
}

/// While they start and stop their service, each a little later than the last.
async fn kill_at_moments(times: u32) {
    let mut temp = tempfile::tempdir().unwrap();
    for number in 0..times {
        let mut supervisor = supervisor(temp.path(), number % 2 == 1);
        if number % 2 == 1 {
            settled(&mut supervisor);
        }
        tokio::time::sleep(Duration::from_micros(
            u64::from(number) * 60_000 / u64::from(times),
        ))
        .await;
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
        let mut rig = come_back(temp).await;
        rig.handle.start(Selection::All);
        rig.becomes("web", PublicState::Running).await;
        let begun = Instant::now();
        while !is_alone(&rig) {
            let waited = begun.elapsed() > rig::PATIENCE;
            assert!(
                !waited,
                "{number}: {:?} {:?}",
                rig.status("web").await,
                describe(living(&rig))
            );
            tokio::time::sleep(ms(5)).await;
        }
        let (_, dir) = rig.down().await;
        let left = alive(dir.path());
        assert!(left.is_empty(), "{number}: {:?}", describe(left));
        temp = dir;
    }
}

/// There is one writer, its helper, and what it runs at the moment.
fn is_alone(rig: &Rig) -> bool {
    let all = living(rig);
    let is_writer = |pid: &&u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"sh\0-c\0setsid")
    };
    all.iter().filter(is_writer).count() == 1 && all.len() <= 3
}
