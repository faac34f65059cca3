//! A shared pool in a program without tokio.

use std::time::Duration;

use flowgate_core::accounts::{
    AccountSpec, Class, Model, Pick, Pool, Refreshed, Request, Settings, SharedPool,
};
use flowgate_core::runtime::shared::{BlockingFleet, Mode, Options, State};

use crate::server::{Server, free_port};
use crate::sharing::{now, outcome};

const LONG: Duration = Duration::from_secs(20);

fn join(url: &str, mode: Mode) -> (SharedPool, BlockingFleet) {
    let mut pool = Pool::new(Settings::default());
    for id in ["a", "b"] {
        pool.upsert(&AccountSpec::new(id, "openai"), now());
    }
    let pool = SharedPool::from(pool);
    let options = Options::new(&url.into()).unwrap().mode(mode);
    let fleet = BlockingFleet::join(&pool, options.timeout(Duration::from_secs(5))).unwrap();
    (pool, fleet)
}

/// Two that share what they learn, and know that they do.
fn two_members(server: &Server) -> [(SharedPool, BlockingFleet); 2] {
    let members = [0, 1].map(|_| join(&server.url(), Mode::Local));
    for (_, fleet) in &members {
        assert_eq!(fleet.settled().state, State::Shared);
    }
    members
}

#[test]
fn it_learns_in_the_background_and_wakes_who_waits() {
    let Some(server) = Server::start() else {
        return;
    };
    let [(one, first), (two, second)] = two_members(&server);
    let slot = one.lock().find("a").unwrap();
    let until = now() + 600_000;
    one.lock()
        .learn_cooldown(now(), slot, Model::ANY, until, Class::Rate);
    let mut seen = 0;
    loop {
        let mut pool = two.lock();
        let slot = pool.find("a").unwrap();
        if let Pick::Wait { .. } = pool.pick_account(now(), slot, &Request::default()) {
            break;
        }
        drop(pool);
        let last = second.changed(seen, LONG);
        assert!(last > seen, "nothing was heard");
        seen = last;
    }
    first.leave();
    assert_eq!(first.status().state, State::Degraded);
}

#[test]
fn it_takes_its_turn_where_the_server_says_whose_it_is() {
    let Some(server) = Server::start() else {
        return;
    };
    let members = [0, 1].map(|_| join(&server.url(), Mode::Strict));
    let mut served = Vec::new();
    for number in 0..6 {
        let (pool, fleet) = &members[number % 2];
        assert_eq!(fleet.settled().state, State::Shared);
        let Pick::Use(permit) = fleet.pick(&Request::default()) else {
            panic!("one of two is free")
        };
        let mut pool = pool.lock();
        served.push(pool.id(permit.slot()).unwrap().to_owned());
        pool.report(now(), permit, &outcome(Class::Ok, None));
    }
    assert_ne!(served[0], served[1]);
    assert_eq!((&served[..2], &served[..2]), (&served[2..4], &served[4..]));
}

#[test]
fn of_two_processes_one_refreshes_and_the_other_hears_of_it() {
    let Some(server) = Server::start() else {
        return;
    };
    let [(one, first), (two, second)] = two_members(&server);
    let [here, there] = [&one, &two].map(|pool| pool.lock().find("a").unwrap());
    let refresh = first.refresh_begin(here).unwrap();
    assert!(second.refresh_begin(there).is_none());
    assert!(first.refresh_end(refresh, Refreshed::Done));
    let after = second.refresh_begin(there).unwrap();
    assert!(second.refresh_end(after, Refreshed::Failed));
}

#[test]
fn without_a_server_it_decides_alone() {
    let (pool, fleet) = join(&format!("redis://127.0.0.1:{}", free_port()), Mode::Strict);
    let status = fleet.settled();
    assert_eq!(status.state, State::Degraded);
    assert!(status.error.is_some());
    assert!(matches!(fleet.pick(&Request::default()), Pick::Use(_)));
    let slot = pool.lock().find("a").unwrap();
    assert!(fleet.refresh_begin(slot).is_some());
}
