//! The ways in which a service is asked, told and set up, each with a real process.

use std::fs;
use std::time::Duration;

use flowgate_core::supervise::{
    DrainHook, DrainSpec, LivenessSpec, OnSupervisorExit, Probe, PublicState, Selection, What, Why,
};

use crate::program::fault;
use crate::rig::{PATIENCE, Rig, exists, free_port, script, until};

/// A file that is not there yet.
fn flag(temp: &tempfile::TempDir, name: &str) -> String {
    temp.path().join(name).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_program_says_when_it_is_ready() {
    let temp = tempfile::tempdir().unwrap();
    let ready = flag(&temp, "ready");
    let mut spec = script("web", "exec sleep 60");
    // It gets the variables and the placeholders of the process.
    spec.command.env.insert("FLAG".to_owned(), ready.clone());
    let asks = ["sh", "-c", "test -e \"$FLAG\" && test {gen} = 1"].map(str::to_owned);
    spec.readiness.probe = Probe::Exec(asks.into());
    let mut rig = Rig::new([spec]).await;
    rig.handle.start(Selection::All);
    rig.hears(|what| matches!(what, What::ProbeFailed { why, .. } if why == "`sh` says no"))
        .await;
    fs::write(&ready, "").unwrap();
    rig.becomes("web", PublicState::Running).await;
    rig.down().await;
}

#[tokio::test]
async fn before_the_signal_a_program_or_a_request_tells_it_to_take_no_new_work() {
    let temp = tempfile::tempdir().unwrap();
    let (by_program, by_request) = (flag(&temp, "program"), flag(&temp, "request"));
    let told = format!(
        "trap 'test -e {by_program} && echo told first; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    );
    let mut told = script("told", &told);
    let touch = ["touch", &by_program].map(str::to_owned);
    told.stop.drain = Some(DrainSpec {
        hook: DrainHook::Exec(touch.into()),
        timeout: PATIENCE,
    });
    let port = free_port();
    let mut asked = fault("asked", &format!("serve {port}")).with_port(port);
    let file = by_request.clone();
    asked.command.env.insert("DRAIN_FILE".to_owned(), file);
    asked.stop.drain = Some(DrainSpec {
        hook: DrainHook::Http("/drain".to_owned()),
        timeout: PATIENCE,
    });
    let rig = Rig::up([told, asked]).await;
    let log = rig.handle.dir().log(&"told".into());
    let (_, _temp) = rig.down().await;
    let log = fs::read_to_string(log).unwrap();
    assert!(log.ends_with("told first\n"), "{log}");
    assert_eq!(fs::read_to_string(by_request).unwrap(), "POST");
}

#[tokio::test]
async fn a_hook_that_hangs_holds_up_the_stop_for_so_long_and_no_longer() {
    let mut spec = script("web", "echo ready; exec sleep 60");
    spec.stop.drain = Some(DrainSpec {
        hook: DrainHook::Exec(["sleep", "600"].map(str::to_owned).into()),
        timeout: Duration::from_millis(200),
    });
    let rig = Rig::up([spec]).await;
    let (took, _temp) = rig.down().await;
    assert!(took >= Duration::from_millis(200));
}

#[tokio::test]
async fn one_that_no_longer_says_that_it_lives_is_replaced() {
    let mut spec = fault("says", "notify 0");
    spec.readiness.probe = Probe::Notify;
    spec.liveness = Some(LivenessSpec {
        probe: Probe::Notify,
        interval: Duration::from_millis(200),
        timeout: Duration::from_millis(200),
        failures: 2,
    });
    let mut rig = Rig::new([spec]).await;
    rig.handle.start(Selection::All);
    rig.hears(|what| matches!(what, What::Ready { .. })).await;
    let liveness = What::Stopping { why: Why::Liveness };
    rig.hears(|what| *what == liveness).await;
    rig.hears(|what| matches!(what, What::Ready { .. })).await;
    rig.down().await;
}

#[tokio::test]
async fn one_that_is_to_go_on_outlives_its_supervisor_and_is_taken_over() {
    let mut spec = script("web", "echo ready; exec sleep 60");
    spec.on_supervisor_exit = OnSupervisorExit::Leave;
    let rig = Rig::up([spec.clone()]).await;
    let pid = rig.pid("web").await;
    let (_, temp) = rig.down().await;
    assert!(exists(pid));
    spec.on_supervisor_exit = OnSupervisorExit::Stop;
    let rig = Rig::in_dir([spec], temp).await;
    assert_eq!(rig.pid("web").await, pid);
    rig.down().await;
    until("its end", || !exists(pid)).await;
}

#[tokio::test]
async fn what_it_starts_with_is_what_was_said() {
    let temp = tempfile::tempdir().unwrap();
    let file = flag(&temp, "more.env");
    fs::write(&file, "# more\nA=file\nB='of the file'\n").unwrap();
    let mut spec = script("web", "echo \"$A $B $C\"; pwd; echo ready; exec sleep 60");
    spec.command.env_file = vec![file];
    spec.command.env.insert("A".to_owned(), "own".to_owned());
    spec.command.env.insert("C".to_owned(), "{gen}".to_owned());
    let real = temp.path().canonicalize().unwrap();
    spec.command.cwd = Some(real.to_str().unwrap().to_owned());
    let rig = Rig::up([spec]).await;
    let expected = format!("own of the file 1\n{}\nready\n", real.display());
    assert_eq!(rig.log("web"), expected);
    rig.down().await;
}
