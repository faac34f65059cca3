//! The server says whose turn it is.

use std::collections::BTreeMap;
use std::time::Duration;

use flowgate_core::accounts::{Class, Pick, Request};
use flowgate_core::runtime::shared::{Mode, State};

use crate::server::Server;
use crate::sharing::{Member, now, outcome};

#[tokio::test]
async fn all_processes_together_take_turns() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Member::join(&server, Mode::Strict).await;
    let two = Member::join(&server, Mode::Strict).await;
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    let mut order = Vec::new();
    for number in 0..40 {
        let member = [&one, &two][number % 2];
        let picked = member.fleet.pick(&Request::default()).await;
        let Pick::Use(permit) = picked else {
            panic!("{picked:?}")
        };
        let mut pool = member.pool.lock();
        let id = pool.id(permit.slot()).unwrap().to_owned();
        *served.entry(id.clone()).or_default() += 1;
        order.push(id);
        pool.report(now(), permit, &outcome(Class::Ok, None));
    }
    assert_eq!(
        served.values().copied().collect::<Vec<_>>(),
        [10; 4],
        "{served:?}"
    );
    assert_eq!(order[..4], order[4..8], "the same order in each round");
}

#[tokio::test]
async fn who_rests_is_passed_over_and_one_probe_finds_out() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Member::join(&server, Mode::Strict).await;
    let two = Member::join(&server, Mode::Strict).await;
    for account in 0..3 {
        one.rest(account, 600_000);
    }
    one.rest(3, 300);
    one.fleet.exchanged().await;
    two.until("it is heard", |two| two.rests(3)).await;
    let picked = two.fleet.pick(&Request::default()).await;
    assert!(
        matches!(picked, Pick::Wait { until, .. } if until > now()),
        "{picked:?}"
    );
    tokio::time::sleep(Duration::from_millis(320)).await;
    let first = two.fleet.pick(&Request::default()).await;
    let Pick::Use(permit) = first else {
        panic!("{first:?}")
    };
    assert!(permit.is_probe());
    let other = one.fleet.pick(&Request::default()).await;
    assert!(matches!(other, Pick::Wait { .. }), "one probes: {other:?}");
    two.pool
        .lock()
        .report(now(), permit, &outcome(Class::Ok, None));
    one.until("it serves again", |one| !one.rests(3)).await;
    let again = one.fleet.pick(&Request::default()).await;
    assert!(matches!(again, Pick::Use(_)), "{again:?}");
}

#[tokio::test]
async fn rubbish_in_the_place_of_turns_is_taken_away() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Member::join(&server, Mode::Strict).await;
    redis::cmd("SET")
        .arg(("{flowgate:default}:t", "no sorted set"))
        .exec(&mut server.connection())
        .unwrap();
    let picked = one.fleet.pick(&Request::default()).await;
    assert!(matches!(picked, Pick::Use(_)), "{picked:?}");
    one.fleet.reaches(|state| state == State::Shared).await;
    let picked = one.fleet.pick(&Request::default()).await;
    assert!(matches!(picked, Pick::Use(_)), "{picked:?}");
    let had_a_turn: usize = redis::cmd("ZCOUNT")
        .arg(("{flowgate:default}:t", "(0", "+inf"))
        .query(&mut server.connection())
        .unwrap();
    assert_eq!(had_a_turn, 1);
}

#[tokio::test]
async fn a_server_that_hangs_is_not_waited_for() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Member::with(&server, Mode::Strict, |options| {
        options.timeout(Duration::from_millis(50))
    })
    .await;
    // It answers nobody for a while.
    redis::cmd("CLIENT")
        .arg(("PAUSE", 1_500, "ALL"))
        .exec(&mut server.connection())
        .unwrap();
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let asked = std::time::Instant::now();
        let picked = one.fleet.pick(&Request::default()).await;
        assert!(matches!(picked, Pick::Use(_)), "{picked:?}");
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
        if one.fleet.status().state == State::Degraded {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "it never hung");
    }
    one.fleet.reaches(|state| state == State::Shared).await;
    assert_eq!(
        one.names(),
        ["accounts.shared", "accounts.degraded", "accounts.shared"]
    );
    let picked = one.fleet.pick(&Request::default()).await;
    assert!(matches!(picked, Pick::Use(_)), "{picked:?}");
}
