//! Processes that do not want to end.

use std::time::{Duration, Instant};

use flowgate_core::supervise::{PublicState, Selection, ServiceSpec, SignalTo, What};

use crate::rig::script;
use crate::{assert_within, living, ms, stop_all, supervise, until, up};

/// As long as a service may take to end in these tests.
const TIMEOUT: Duration = ms(400);

fn service(text: &str) -> ServiceSpec {
    let mut spec = script("web", text);
    spec.stop.timeout = TIMEOUT;
    spec
}

#[tokio::test]
async fn children_end_with_it_also_if_only_the_first_process_gets_the_signal() {
    for to in [SignalTo::Group, SignalTo::Leader, SignalTo::Tree] {
        let mut spec = service("sleep 60 & sleep 60 & echo ready; wait");
        spec.stop.to = to;
        let rig = up([spec]).await;
        until("all three", || living(&rig).len() == 3).await;
        let (took, left) = stop_all(rig).await;
        assert_within(took, TIMEOUT + ms(600));
        assert!(left.is_empty(), "{to:?}: {left:?}");
    }
}

#[tokio::test]
async fn a_stop_right_after_the_start_is_heeded() {
    for pause in [0, 1, 3, 10, 30] {
        let mut rig = supervise([service("sleep 60")]).await;
        rig.handle.start(Selection::All);
        tokio::time::sleep(ms(pause)).await;
        let begun = Instant::now();
        rig.handle.stop(Selection::All);
        let status = rig.becomes("web", PublicState::Stopped).await;
        assert_within(begun.elapsed(), ms(100));
        assert!(living(&rig).is_empty());
        tokio::time::sleep(ms(50)).await;
        let later = rig.status("web").await.service;
        assert_eq!(
            later.generation, status.service.generation,
            "after {pause} ms"
        );
        assert!(living(&rig).is_empty());
        rig.down().await;
    }
}

#[tokio::test]
async fn a_stop_between_two_tries_is_the_end_of_them() {
    let mut spec = service("exit 1");
    spec.restart.initial = ms(150);
    let mut rig = supervise([spec]).await;
    rig.handle.start(Selection::All);
    let waits = |what: &What| {
        matches!(
            what,
            What::Backoff {
                delay_ms: 100..,
                ..
            }
        )
    };
    rig.hears(waits).await;
    let begun = Instant::now();
    rig.handle.stop(Selection::All);
    let status = rig.becomes("web", PublicState::Stopped).await;
    assert_within(begun.elapsed(), ms(100));
    tokio::time::sleep(ms(400)).await;
    let later = rig.status("web").await.service;
    assert_eq!(later.generation, status.service.generation);
    assert_eq!(later.public, PublicState::Stopped);
    rig.down().await;
}

#[tokio::test]
async fn a_second_wish_to_end_is_heeded_at_once() {
    let mut spec = service("trap '' TERM; echo ready; while :; do sleep 1; done");
    spec.stop.timeout = Duration::from_secs(60);
    let rig = up([spec]).await;
    rig.handle.shutdown(false);
    rig.handle.shutdown(true);
    let (took, left) = stop_all(rig).await;
    assert_within(took, ms(200));
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn stopped_and_started_many_times_there_is_never_more_than_one() {
    churn(20).await;
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn stopped_and_started_a_thousand_times_there_is_never_more_than_one() {
    churn(1_000).await;
}

async fn churn(times: usize) {
    let mut rig = up([service("setsid sleep 60 & echo ready; exec sleep 60")]).await;
    for _ in 0..times {
        rig.handle.stop(Selection::All);
        rig.handle.start(Selection::All);
        rig.becomes("web", PublicState::Running).await;
    }
    until("one service and its helper", || living(&rig).len() == 2).await;
    let (_, left) = stop_all(rig).await;
    assert!(left.is_empty(), "{left:?}");
}
