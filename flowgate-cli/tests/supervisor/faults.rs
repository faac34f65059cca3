//! What services do when everything goes wrong.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flowgate_core::runtime::process::Error;
use flowgate_core::supervise::{
    Gate, LivenessSpec, OnPortConflict, Probe, PublicState, Reason, RestartPolicy, Selection,
    ServiceSpec, SpawnStage, State, What,
};
use rustix::process::Signal;

use crate::program::{counting, fault};
use crate::rig::{
    PATIENCE, Rig, assert_within, exists, free_port, get, kill, mark, marked, marked_are, script,
    services, supervisor, until,
};

/// How a service was stopped.
struct Stop {
    took: Duration,
    /// It had to be killed.
    killed: bool,
    /// How many processes are left.
    left: usize,
}

/// Stops a service that is ready.
async fn stopped(spec: ServiceSpec) -> Stop {
    let (spec, mark) = mark(spec);
    let mut rig = Rig::up([spec]).await;
    until("its processes", || !marked(&mark).is_empty()).await;
    rig.events = rig.handle.events();
    let before = Instant::now();
    rig.handle.stop(Selection::All);
    let mut killed = false;
    rig.hears(|what| {
        killed |= matches!(what, What::Killing);
        matches!(what, What::Gone)
    })
    .await;
    let (took, left) = (before.elapsed(), marked(&mark).len());
    rig.down().await;
    Stop { took, killed, left }
}

#[tokio::test]
async fn one_that_ignores_the_signal_is_killed_in_time() {
    let spec = script(
        "deaf",
        "trap '' TERM; echo ready; while :; do sleep 60; done",
    );
    let stop = stopped(spec).await;
    assert!(stop.killed && stop.left == 0);
    assert!(stop.took >= Duration::from_millis(500));
    assert_within(stop.took, Duration::from_millis(600));
}

#[tokio::test]
async fn one_that_is_frozen_is_thawed_to_end() {
    let mut spec = script("frozen", "echo ready; kill -STOP $$");
    spec.stop.timeout = PATIENCE;
    let stop = stopped(spec).await;
    assert!(!stop.killed && stop.left == 0);
    assert_within(stop.took, Duration::from_millis(100));
}

#[tokio::test]
async fn nothing_is_left_of_one_that_has_helpers() {
    let scripts = [
        ("same_group", "sleep 60 & sleep 60 & echo ready; wait"),
        ("own_session", "setsid sleep 60 & echo ready; exec sleep 60"),
        (
            "daemon",
            "(setsid sh -c 'sleep 60 & wait' &) & echo ready; exec sleep 60",
        ),
        (
            "deaf_helper",
            "(trap '' TERM; exec sleep 60) & trap 'exit 0' TERM; echo ready; wait",
        ),
    ];
    for (name, text) in scripts {
        let stop = stopped(script(name, text)).await;
        assert_eq!(stop.left, 0, "{name}");
        assert_within(stop.took, Duration::from_millis(500 + 600));
    }
}

#[tokio::test]
async fn helpers_of_one_that_crashed_are_gone_before_the_next_starts() {
    let (mut spec, mark) = mark(script("web", "setsid sleep 60 & echo ready; exec sleep 60"));
    spec.restart.initial = Duration::ZERO;
    let mut rig = Rig::up([spec]).await;
    for _ in 0..3 {
        let pid = rig.pid("web").await;
        rig.events = rig.handle.events();
        kill(pid, Signal::KILL);
        rig.hears(|what| matches!(what, What::Spawned { .. })).await;
        rig.becomes("web", PublicState::Running).await;
        // One and its helper.
        marked_are(&mark, 2).await;
    }
    rig.down().await;
    assert_eq!(marked(&mark).len(), 0);
}

#[tokio::test]
async fn a_daemon_that_was_not_asked_for_is_ended() {
    let (mut spec, mark) = mark(script("forks", "(setsid sleep 60 &) & echo ready; exit 0"));
    spec.restart.initial = Duration::from_millis(300);
    let mut rig = Rig::new([spec]).await;
    rig.handle.start(Selection::All);
    for _ in 0..2 {
        rig.hears(|what| matches!(what, What::Backoff { .. })).await;
        assert_eq!(marked(&mark).len(), 0);
    }
    rig.down().await;
    assert_eq!(marked(&mark).len(), 0);
}

#[tokio::test]
async fn one_that_crashes_again_and_again_ends_in_an_error_that_says_why() {
    let mut spec = script("loop", "echo 'no key' >&2; exit 3");
    spec.restart.initial = Duration::from_millis(1);
    spec.restart.max_restarts = 3;
    let mut rig = Rig::new([spec]).await;
    rig.handle.start(Selection::All);
    let status = rig.becomes("loop", PublicState::Error).await;
    let State::Error {
        reason:
            Reason::CrashLoop {
                restarts,
                last_lines,
                ..
            },
        retry_at: Some(_),
    } = status.service.state
    else {
        panic!("{status:?}");
    };
    assert_eq!(
        (restarts, last_lines.last().map(String::as_str)),
        (3, Some("no key"))
    );
    assert_eq!(rig.log("loop").matches("no key").count(), 4);
    rig.down().await;
}

#[tokio::test]
async fn one_that_has_done_its_work_is_not_started_again() {
    let mut spec = script("once", "echo done");
    spec.restart.policy = RestartPolicy::OnFailure;
    let mut rig = Rig::new([spec]).await;
    rig.handle.start(Selection::All);
    rig.hears(|what| matches!(what, What::Exited { .. })).await;
    rig.becomes("once", PublicState::Stopped).await;
    assert_eq!(rig.log("once"), "done\n");
    rig.down().await;
}

#[tokio::test]
async fn one_that_cannot_be_started_says_what_is_wrong_and_where() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text"), "words").unwrap();
    fs::write(path("garbage"), b"\x7fELF nonsense").unwrap();
    fs::set_permissions(path("garbage"), fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        (
            path("missing"),
            None,
            SpawnStage::Exec,
            "no such file or directory",
        ),
        (path("text"), None, SpawnStage::Exec, "permission denied"),
        (path("garbage"), None, SpawnStage::Exec, "exec format error"),
        (
            "no-such-program".to_owned(),
            None,
            SpawnStage::Exec,
            "no such file or directory",
        ),
        (
            "true".to_owned(),
            Some(path("nowhere")),
            SpawnStage::Cwd,
            "no such file or directory",
        ),
    ];
    let mut specs = vec![script("other", "echo ready; exec sleep 60")];
    for (i, (program, cwd, ..)) in cases.iter().enumerate() {
        let mut spec = ServiceSpec::new(format!("bad{i}"), [program.clone()]);
        spec.command.cwd = cwd.clone();
        specs.push(spec);
    }
    let before = Instant::now();
    let rig = Rig::up(specs).await;
    assert_within(before.elapsed(), Duration::from_millis(50));
    for (i, (program, cwd, stage, message)) in cases.iter().enumerate() {
        let status = rig.status(&format!("bad{i}")).await;
        let State::Error {
            reason: Reason::SpawnFailed { error },
            ..
        } = status.service.state
        else {
            panic!("{program}: {status:?}");
        };
        let path = cwd.clone().unwrap_or_else(|| program.clone());
        assert_eq!(
            (error.stage, error.message.as_str()),
            (*stage, *message),
            "{program}"
        );
        assert_eq!(
            (error.path, error.permanent),
            (Some(path), true),
            "{program}"
        );
        assert_eq!(status.service.restarts, 0);
    }
    assert_eq!(
        rig.status("other").await.service.public,
        PublicState::Running
    );
    rig.down().await;
}

#[tokio::test]
async fn one_that_closes_its_output_goes_on() {
    let mut spec = script("quiet", "exec >&- 2>&-; exec sleep 60");
    spec.readiness.probe = Probe::Alive(Duration::from_millis(50));
    spec.stop.timeout = PATIENCE;
    let stop = stopped(spec).await;
    assert!(!stop.killed && stop.left == 0);
    assert_within(stop.took, Duration::from_millis(100));
}

#[tokio::test]
async fn a_flood_of_output_is_kept_within_its_budget() {
    let flood = "yes 'a line that is repeated for ever and ever' | head -c 50000000; echo; echo ready; exec sleep 60";
    let mut spec = script("flood", flood);
    spec.logs.max_bytes = 1_000_000;
    spec.logs.keep = 2;
    let rig = Rig::up([spec]).await;
    assert_eq!(
        rig.status("flood").await.service.public,
        PublicState::Running
    );
    assert!(rig.log("flood").ends_with("ready\n"));
    let logs = fs::read_dir(rig.temp.path().join("logs"))
        .unwrap()
        .flatten();
    let sizes: Vec<u64> = logs.map(|log| log.metadata().unwrap().len()).collect();
    assert!(
        sizes.len() == 3 && sizes.iter().all(|size| *size <= 1_000_000),
        "{sizes:?}"
    );
    assert_eq!(rig.status("flood").await.log_bytes_lost, 0);
    rig.down().await;
}

#[tokio::test]
async fn one_that_hangs_before_it_is_ready_never_runs() {
    let mut spec = script("hangs", "echo almost; exec sleep 60");
    spec.start_timeout = Duration::from_millis(200);
    let mut rig = Rig::new([spec]).await;
    rig.handle.start(Selection::All);
    let mut ready = false;
    let mut spawned = 0;
    rig.hears(|what| {
        ready |= matches!(what, What::Ready { .. });
        spawned += usize::from(matches!(what, What::Spawned { .. }));
        spawned == 2
    })
    .await;
    assert!(!ready);
    rig.down().await;
}

#[tokio::test]
async fn one_that_needs_another_starts_when_that_is_ready() {
    let port = free_port();
    let late = fault("late", &format!("serve_late {port} 300")).with_port(port);
    let user = script("user", "echo ready; exec sleep 60").needs("late");
    let mut rig = Rig::new([late, user]).await;
    rig.handle.start(Selection::All);
    let before = Instant::now();
    rig.hears(|what| matches!(what, What::Ready { .. })).await;
    rig.hears(|what| matches!(what, What::Spawned { .. })).await;
    let took = before.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert_within(took, Duration::from_millis(450));
    rig.settled().await;
    rig.down().await;
}

#[tokio::test]
async fn one_that_no_longer_answers_is_replaced() {
    let port = free_port();
    let temp = tempfile::tempdir().unwrap();
    let flag = temp.path().join("hang");
    let mut spec = fault("web", &format!("serve {port}")).with_port(port);
    spec.command
        .env
        .insert("HANG_FILE".to_owned(), flag.to_str().unwrap().to_owned());
    spec.stop.timeout = Duration::from_millis(200);
    spec.liveness = Some(LivenessSpec {
        probe: Probe::Http {
            path: "/".to_owned(),
            port: None,
        },
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(1),
        failures: 2,
    });
    let mut rig = Rig::up([spec]).await;
    rig.events = rig.handle.events();
    let before = Instant::now();
    fs::write(&flag, "").unwrap();
    rig.hears(|what| matches!(what, What::Stopping { .. }))
        .await;
    let took = before.elapsed();
    assert_within(took, Duration::from_millis(2 * 1_100 + 500));
    fs::remove_file(&flag).unwrap();
    rig.becomes("web", PublicState::Running).await;
    let answer = tokio::task::spawn_blocking(move || get(port, "/"))
        .await
        .unwrap();
    assert!(answer.is_ok());
    rig.down().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_waited_for_and_its_owner_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let web = fault("web", &format!("serve {port}")).with_port(port);
    let mut fails = web.clone();
    fails.name = "fails".into();
    fails.on_port_conflict = OnPortConflict::Fail;
    let mut rig = Rig::new([web, fails]).await;
    rig.handle.start(Selection::All);
    rig.becomes("fails", PublicState::Error).await;
    rig.hears(|what| matches!(what, What::PortBusy { .. }))
        .await;
    let status = rig.status("web").await.service;
    let State::Waiting {
        gate: Gate::Port { owner: Some(owner) },
    } = status.state
    else {
        panic!("{status:?}");
    };
    assert_eq!((owner.pid, status.process), (std::process::id(), None));
    rig.handle.stop(Selection::Named(vec!["fails".into()]));
    drop(taken);
    let before = Instant::now();
    rig.becomes("web", PublicState::Running).await;
    assert_within(before.elapsed(), Duration::from_millis(500));
    rig.down().await;
}

#[tokio::test]
async fn one_whose_port_another_process_answers_at_is_not_ready() {
    let port = free_port();
    let mut spec = script("thief", "echo up; exec sleep 60").with_port(port);
    spec.readiness.probe = Probe::Tcp { port: None };
    let mut rig = Rig::new([spec]).await;
    rig.handle.start(Selection::All);
    rig.hears(|what| matches!(what, What::Spawned { .. })).await;
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut ready = false;
    rig.hears(|what| {
        ready |= matches!(what, What::Ready { .. });
        matches!(what, What::ProbeFailed { why, .. } if why.contains("another process"))
    })
    .await;
    assert!(!ready);
    drop(stranger);
    rig.down().await;
}

#[tokio::test]
async fn children_that_end_leave_no_zombies() {
    let text = "for i in 1 2 3 4 5; do (setsid true &) & done; wait; echo ready; exec sleep 60";
    let (spec, mark) = mark(script("breeder", text));
    let rig = Rig::up([spec]).await;
    let before = Instant::now();
    // A zombie has no variables any more, so it is counted by its parent: the shim.
    let shim = parent_of(rig.pid("breeder").await);
    while zombies_of(shim) > 0 {
        assert_within(before.elapsed(), Duration::from_millis(100));
        tokio::task::yield_now().await;
    }
    rig.down().await;
    assert!(marked(&mark).is_empty());
    // It ends by itself, after the supervisor.
    until("the end of the shim", || !exists(shim)).await;
}

fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(1).unwrap().parse().unwrap()
}

fn zombies_of(parent: u32) -> usize {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children = children.unwrap_or_default();
    let is_zombie = |pid: &&str| {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    };
    children.split_ascii_whitespace().filter(is_zombie).count()
}

#[tokio::test]
async fn a_stranger_that_has_the_number_of_an_old_process_is_left_alone() {
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    let temp = tempfile::tempdir().unwrap();
    let first = Rig::in_dir([ServiceSpec::new("web", ["sleep", "60"])], temp).await;
    let (_, temp) = first.down().await;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let space = fs::read_link("/proc/self/ns/pid").unwrap();
    let record = format!(
        r#"{{"service":"web","generation":7,"boot":"{} {}","main":[{},12],"shim":[{},11],"port":null,"marker":"m","ready":true,"fingerprint":0}}"#,
        boot.trim(),
        space.display(),
        stranger.id(),
        stranger.id()
    );
    let path = temp.path().join("services/web/record.7.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, record).unwrap();
    let mut spec = ServiceSpec::new("web", ["sleep", "60"]);
    spec.readiness.probe = Probe::Alive(Duration::from_millis(10));
    let mut rig = Rig::in_dir([spec], temp).await;
    rig.handle.start(Selection::All);
    rig.becomes("web", PublicState::Running).await;
    assert!(!path.exists());
    assert_ne!(rig.pid("web").await, stranger.id());
    rig.down().await;
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_supervisor_that_was_killed_comes_back_to_what_still_runs() {
    let temp = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let mut first = Command::new(this)
        .args(["program::does_what_it_is_told", "--exact"])
        .env("FAULT", format!("supervise {}", temp.path().display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let log = temp.path().join("logs/counting.log");
    let lines = |n: usize| {
        let deadline = Instant::now() + PATIENCE;
        while fs::read_to_string(&log).unwrap_or_default().lines().count() < n {
            assert!(Instant::now() < deadline, "it writes nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    lines(20);
    first.kill().unwrap();
    first.wait().unwrap();
    let record = fs::read_dir(temp.path().join("services/counting"))
        .unwrap()
        .flatten()
        .find(|file| file.file_name().to_string_lossy().starts_with("record."))
        .unwrap();
    let record = fs::read_to_string(record.path()).unwrap();
    // It goes on writing while nobody reads.
    std::thread::sleep(Duration::from_millis(200));
    let before = Instant::now();
    let rig = Rig::in_dir([counting()], temp).await;
    rig.handle.start(Selection::All);
    let status = rig.status("counting").await;
    assert_within(before.elapsed(), Duration::from_millis(200));
    let pid = status.service.process.unwrap().pid;
    assert!(
        record.contains(&format!("\"main\":[{pid},")),
        "{record} {pid}"
    );
    assert_eq!(status.service.public, PublicState::Running);
    lines(60);
    let text = fs::read_to_string(&log).unwrap();
    for (i, line) in text.lines().skip(1).enumerate() {
        assert_eq!(line, format!("line {}", i + 1));
    }
    assert!(!rig.temp.path().join("failed").exists());
    rig.down().await;
    assert!(!exists(pid));
}

#[tokio::test]
async fn a_full_disk_stops_neither_the_service_nor_the_supervisor() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("logs")).unwrap();
    let log = temp.path().join("logs/counting.log");
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    let mut rig = Rig::in_dir([counting()], temp).await;
    rig.handle.start(Selection::All);
    rig.becomes("counting", PublicState::Running).await;
    while rig.status("counting").await.log_bytes_lost < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fs::remove_file(&log).unwrap();
    let before = Instant::now();
    while !rig.log("counting").contains("line") {
        assert_within(before.elapsed(), Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let text = rig.log("counting");
    assert!(text.starts_with("[flowgate: "), "{text}");
    rig.down().await;
}

#[tokio::test]
async fn one_that_is_stopped_on_the_way_up_does_not_come_up() {
    let mut slow = script("slow", "sleep 60");
    slow.restart.initial = Duration::from_secs(60);
    let crashes = ServiceSpec {
        name: "crashes".into(),
        ..script("crashes", "exit 1")
    };
    let mut crashes = crashes;
    crashes.restart.initial = Duration::from_millis(200);
    let mut rig = Rig::new([slow, crashes]).await;
    rig.handle.start(Selection::All);
    rig.hears(|what| matches!(what, What::Backoff { .. })).await;
    let before = Instant::now();
    rig.handle.stop(Selection::All);
    rig.becomes("slow", PublicState::Stopped).await;
    rig.becomes("crashes", PublicState::Stopped).await;
    assert_within(before.elapsed(), Duration::from_millis(100));
    let spawned = rig.hears(|what| matches!(what, What::Spawned { .. }));
    let later = tokio::time::timeout(Duration::from_millis(400), spawned).await;
    assert!(later.is_err(), "nothing is started any more");
    rig.down().await;
}

#[tokio::test]
async fn two_supervisors_do_not_share_a_directory() {
    let rig = Rig::up([script("web", "echo ready; exec sleep 60")]).await;
    let second = supervisor(services([]), rig.temp.path()).start().await;
    let error = second.unwrap_err();
    assert!(matches!(error, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()));
    rig.down().await;
}

#[tokio::test]
async fn a_shutdown_stops_everything_in_time() {
    let (good, mark_good) = mark(script("good", "echo ready; exec sleep 60"));
    let (helped, mark_helped) = mark(script(
        "helped",
        "setsid sleep 60 & echo ready; exec sleep 60",
    ));
    let (deaf, mark_deaf) = mark(script(
        "deaf",
        "trap '' TERM; echo ready; while :; do sleep 60; done",
    ));
    let rig = Rig::up([good, helped, deaf]).await;
    let (took, _temp) = rig.down().await;
    assert_within(took, Duration::from_millis(500 + 700));
    for mark in [mark_good, mark_helped, mark_deaf] {
        assert_eq!(marked(&mark).len(), 0);
    }
}

#[tokio::test]
async fn a_service_inherits_its_output_and_nothing_else() {
    let text = "for fd in /proc/$$/fd/*; do [ -e $fd ] && echo fd ${fd##*/}; done; (exec grep -E '^Sig(Blk|Ign):' /proc/self/status); ps -o pgid= $$ | xargs echo group; echo pid $$; echo ready; exec sleep 60";
    let rig = Rig::up([script("heir", text)]).await;
    let log = rig.log("heir");
    let fds: Vec<&str> = log.lines().filter(|line| line.starts_with("fd ")).collect();
    assert_eq!(fds, ["fd 0", "fd 1", "fd 2"], "{log}");
    assert_eq!(log.matches("0000000000000000").count(), 2, "{log}");
    let value = |name: &str| {
        log.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim()
    };
    assert_eq!(value("group"), value("pid"));
    rig.down().await;
}

#[tokio::test]
async fn stopping_and_starting_many_times_leaves_one_and_then_none() {
    let (spec, mark) = mark(script("web", "echo ready; exec sleep 60"));
    let mut rig = Rig::up([spec]).await;
    for _ in 0..20 {
        rig.handle.stop(Selection::All);
        rig.becomes("web", PublicState::Stopped).await;
        assert_eq!(marked(&mark).len(), 0);
        rig.handle.start(Selection::All);
        rig.becomes("web", PublicState::Running).await;
        marked_are(&mark, 1).await;
    }
    rig.down().await;
    assert_eq!(marked(&mark).len(), 0);
}

#[tokio::test]
async fn nothing_is_left_when_the_shim_is_killed() {
    let (spec, mark) = mark(script("web", "setsid sleep 60 & echo ready; exec sleep 60"));
    let mut rig = Rig::up([spec]).await;
    let shim = parent_of(rig.pid("web").await);
    kill(shim, Signal::KILL);
    rig.handle.stop(Selection::All);
    rig.becomes("web", PublicState::Stopped).await;
    assert_eq!(marked(&mark).len(), 0);
    // And it can be started again.
    rig.handle.start(Selection::All);
    rig.becomes("web", PublicState::Running).await;
    rig.down().await;
    assert_eq!(marked(&mark).len(), 0);
}

#[tokio::test]
async fn one_that_says_itself_that_it_is_ready_is_believed() {
    let mut spec = fault("says", "notify 200");
    spec.readiness.probe = Probe::Notify;
    let mut rig = Rig::new([spec]).await;
    let before = Instant::now();
    rig.handle.start(Selection::All);
    rig.becomes("says", PublicState::Running).await;
    assert!(before.elapsed() >= Duration::from_millis(200));
    rig.down().await;
}

#[tokio::test]
async fn who_waits_for_one_that_failed_is_not_waited_for() {
    let broken = ServiceSpec::new("broken", ["/no/such/program"]);
    let user = script("user", "echo ready; exec sleep 60").needs("broken");
    let last = script("last", "echo ready; exec sleep 60").needs("user");
    let rig = Rig::new([broken, user, last]).await;
    rig.handle.start(Selection::All);
    let before = Instant::now();
    let states: Vec<PublicState> = rig
        .settled()
        .await
        .iter()
        .map(|s| s.service.public)
        .collect();
    assert_within(before.elapsed(), Duration::from_secs(10));
    assert_eq!(
        states,
        [
            PublicState::Error,
            PublicState::Starting,
            PublicState::Starting
        ]
    );
    rig.down().await;
}
