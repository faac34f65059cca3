//! A clock that is set, and a machine that slept.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::quickstart::{Up, flowgate, run};
use crate::rig::kill;

/// Comes before the C library, and lies about the time as soon as a file is there: the clock on the
/// wall was set back by an hour, and the one that goes on in a machine that sleeps is an hour ahead.
const LIES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, time);
    const char *file = getenv("CLOCK_WAS_SET");
    if (!failed && file && !access(file, F_OK)) {
        if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) time->tv_sec -= 3600;
        if (clock == CLOCK_BOOTTIME) time->tv_sec += 3600;
    }
    return failed;
}
"#;

const SERVICES: &str = "config_version: 2
services:
  web:
    command: {args: [sh, -c, 'echo ready; exec sleep 600']}
    readiness: {log: ready}
    restart: {backoff: {initial: 1s, jitter: 0}}
  deaf:
    command: {args: [sh, -c, \"trap '' TERM; echo ready; while :; do sleep 1; done\"]}
    readiness: {log: ready}
    stop: {timeout: 1s}
";

/// Where Rust is linked, there is a compiler for C: it is what links.
fn library(dir: &Path) -> std::path::PathBuf {
    let library = dir.join("clock.so");
    let mut compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-x", "c", "-o"])
        .arg(&library)
        .args(["-", "-ldl"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut source = compiler.stdin.take().unwrap();
    source.write_all(LIES.as_bytes()).unwrap();
    drop(source);
    assert!(compiler.wait().unwrap().success());
    library
}

#[test]
fn a_clock_that_is_set_back_and_a_sleep_move_no_deadline() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("flowgate.yaml"), SERVICES).unwrap();
    let set = dir.path().join("set");
    let mut command = flowgate(dir.path(), &["up"]);
    command
        .env("LD_PRELOAD", library(dir.path()))
        .env("CLOCK_WAS_SET", &set);
    let mut up = Up::of(dir.path(), command);
    up.says("everything is up (2)");
    let status = run(dir.path(), &["status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let web = &status["services"][1];
    assert_eq!(web["name"], "web");

    let begun = Instant::now();
    kill(
        web["process"]["pid"].as_u64().unwrap().try_into().unwrap(),
        Signal::KILL,
    );
    up.says("web ended");
    fs::write(&set, "").unwrap();
    // Not in an hour, and not at once.
    up.says("web is ready");
    assert!(begun.elapsed() >= Duration::from_millis(990));

    let begun = Instant::now();
    assert!(
        run(dir.path(), &["service", "stop", "deaf"])
            .status
            .success()
    );
    assert!(begun.elapsed() >= Duration::from_millis(990));
    assert!(run(dir.path(), &["down"]).status.success());
    assert_eq!(up.code(), 0);

    // It was set indeed.
    let events = fs::read_to_string(dir.path().join(".router/runtime/events.log")).unwrap();
    let events = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ready: Vec<String> = events
        .filter(|event| event["event"] == "service.ready" && event["subject"] == "web")
        .map(|event| event["ts"].as_str().unwrap().to_owned())
        .collect();
    assert!(ready[1] < ready[0], "{ready:?}");
}
