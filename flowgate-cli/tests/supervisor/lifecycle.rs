//! What services do when nothing is wrong.

use std::time::{Duration, Instant};

use flowgate_core::supervise::{ExitStatus, PublicState, Selection, What};

use crate::rig::{Rig, exists, kill, script};

#[tokio::test]
async fn a_service_starts_is_ready_and_stops() {
    let mut rig = Rig::up([script("web", "echo booting; echo ready; exec sleep 60")]).await;
    let status = rig.status("web").await;
    assert_eq!(status.service.public, PublicState::Running, "{status:?}");
    assert!(status.rss_bytes.unwrap() > 10_000);
    let pid = status.service.process.unwrap().pid;
    rig.handle.stop(Selection::All);
    rig.becomes("web", PublicState::Stopped).await;
    assert!(!exists(pid));
    assert_eq!(rig.log("web"), "booting\nready\n");
    let exit = rig.status("web").await.service.last_exit;
    assert_eq!(exit, Some(ExitStatus::Signal(15)));
    rig.down().await;
}

#[tokio::test]
async fn a_service_that_crashes_is_back_at_once() {
    let mut spec = script("web", "echo ready; exec sleep 60");
    spec.restart.initial = Duration::ZERO;
    spec.restart.max_restarts = 100;
    let mut rig = Rig::up([spec]).await;
    let shim = parent(rig.pid("web").await);
    let mut times = Vec::new();
    for _ in 0..20 {
        let pid = rig.pid("web").await;
        rig.events = rig.handle.events();
        let before = Instant::now();
        kill(pid, rustix::process::Signal::KILL);
        let after = rig.hears(|what| matches!(what, What::Spawned { .. })).await;
        times.push(after - before);
        rig.becomes("web", PublicState::Running).await;
    }
    times.sort();
    println!(
        "crash to spawned: median {:?}, worst {:?}",
        times[10], times[19]
    );
    crate::rig::assert_within(times[10], Duration::from_millis(5));
    assert_eq!(rig.status("web").await.service.restarts, 20);
    assert_eq!(parent(rig.pid("web").await), shim, "none was made anew");
    rig.down().await;
}

/// The number of the process that started this one: field 4 of proc_pid_stat(5).
fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(1).unwrap().parse().unwrap()
}
