//! Services that end by themselves.

use std::time::{Duration, Instant};

use flowgate_core::runtime::process::Heard;
use flowgate_core::supervise::{Selection, What};
use rustix::process::Signal;

use crate::rig::{Rig, kill, script};
use crate::{forget_events, living, stop_all, supervise, until, up};

/// When each of the starts was that come in this time.
async fn starts(rig: &mut Rig, time: Duration) -> Vec<Duration> {
    let begun = Instant::now();
    let mut starts = Vec::new();
    loop {
        let left = time.saturating_sub(begun.elapsed());
        let spawned = rig.hears(|what| matches!(what, What::Spawned { .. }));
        match tokio::time::timeout(left, spawned).await {
            Ok(at) => starts.push(at - begun),
            Err(_) => return starts,
        }
    }
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn one_that_ends_at_once_is_tried_ever_less_often() {
    let mut spec = script("web", "exit 1");
    spec.restart = Default::default();
    let mut rig = supervise([spec]).await;
    let begun = Instant::now();
    rig.handle.start(Selection::All);
    let tries = starts(&mut rig, Duration::from_secs(19)).await;
    assert!((7..=9).contains(&tries.len()), "{tries:?}");
    let rested = loop {
        match tokio::time::timeout(Duration::from_secs(60), rig.events.next()).await {
            Ok(Some(Heard::Notice(notice))) if matches!(notice.what, What::CrashLoop { .. }) => {
                break begun.elapsed();
            }
            Ok(Some(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    println!("crash loop after {rested:?}");
    let expected = Duration::from_secs(46)..Duration::from_secs(56);
    assert!(expected.contains(&rested), "{rested:?}");
    rig.down().await;
}

#[tokio::test]
#[ignore = "takes half a minute"]
async fn one_that_lives_for_a_second_is_tried_ever_less_often() {
    let mut spec = script("web", "echo ready; sleep 1.3; exit 1");
    spec.restart = Default::default();
    let mut rig = supervise([spec]).await;
    rig.handle.start(Selection::All);
    let tries = starts(&mut rig, Duration::from_secs(25)).await;
    assert!(tries.len() <= 8, "{tries:?}");
    let gaps: Vec<Duration> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.last() > gaps.first(), "{gaps:?}");
    rig.down().await;
}

#[tokio::test]
async fn killed_again_and_again_it_leaves_nothing() {
    kill_many_times(15).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn killed_a_thousand_times_it_leaves_nothing() {
    kill_many_times(1_000).await;
}

async fn kill_many_times(times: u64) {
    let mut spec = script(
        "web",
        "setsid sleep 60 & setsid sleep 60 & setsid sleep 60 & echo ready; exec sleep 60",
    );
    spec.restart.initial = Duration::ZERO;
    spec.restart.max_restarts = u32::MAX;
    let mut rig = up([spec]).await;
    let (mut fds, mut rss) = (0, 0);
    for number in 0..times {
        if number == times / 10 {
            (fds, rss) = used();
        }
        forget_events(&mut rig);
        kill(rig.pid("web").await, Signal::KILL);
        rig.hears(|what| matches!(what, What::Ready { .. })).await;
    }
    until("one life alone", || living(&rig).len() == 4).await;
    let (fds_after, rss_after) = used();
    println!("descriptors {fds} to {fds_after}, memory {rss} to {rss_after} kB");
    if times >= 1_000 {
        // Alone in its process, as the long runs are.
        assert!(fds_after <= fds && rss_after <= rss + 1_000);
    }
    let (_, left) = stop_all(rig).await;
    assert!(left.is_empty(), "{left:?}");
}

/// The descriptors and the memory (kB) of this process.
fn used() -> (usize, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let rss = line
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    (std::fs::read_dir("/proc/self/fd").unwrap().count(), rss)
}
