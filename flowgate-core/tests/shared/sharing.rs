//! What one process learns, all know; and what happens without the server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowgate_core::accounts::{
    AccountSpec, Action, BucketView, Class, Classification, Model, Outcome, Pick, Pool, QuotaView,
    Request, Scope, Settings, SharedPool, Standing,
};
use flowgate_core::event::Event;
use flowgate_core::runtime::shared::{Fleet, Lease, Mode, Options, State};
use serde_json::json;

use crate::child::Process;
use crate::log::{self, Entry, Step};
use crate::server::Server;

/// One process of this test's own: a pool, and what connects it.
pub(crate) struct Member {
    pub(crate) pool: SharedPool,
    pub(crate) fleet: Fleet,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
}

impl Member {
    pub(crate) async fn join(server: &Server, mode: Mode) -> Self {
        Self::with(server, mode, |options| options).await
    }

    pub(crate) async fn with(
        server: &Server,
        mode: Mode,
        change: impl FnOnce(Options) -> Options,
    ) -> Self {
        let mut pool = Pool::new(Settings {
            jitter: false,
            ..Settings::default()
        });
        for number in 0..4 {
            pool.upsert(
                &AccountSpec::new(format!("account {number}"), "openai"),
                now(),
            );
        }
        let pool = SharedPool::from(pool);
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let options = Options::new(&server.url().into()).unwrap().mode(mode);
        let options = change(options.timeout(Duration::from_secs(5)));
        let options = options.on_event(move |event| log.lock().unwrap().push(event));
        let fleet = Fleet::join(&pool, options, || {});
        assert_eq!(fleet.settled().await.state, State::Shared, "{fleet:?}");
        Self {
            pool,
            fleet,
            events,
        }
    }

    pub(crate) fn rest(&self, account: usize, time: u64) {
        let mut pool = self.pool.lock();
        let slot = pool.slots().nth(account).unwrap();
        pool.learn_cooldown(now(), slot, Model::ANY, now() + time, Class::Quota);
    }

    pub(crate) fn rests(&self, account: usize) -> bool {
        let pool = self.pool.lock();
        let candidates = pool.explain(now(), &Request::default());
        candidates[account].standing == Standing::Waiting
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| event.event.to_string()).collect()
    }

    /// Waits until something holds that another process has to say first.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while !holds(self) {
            assert!(tokio::time::Instant::now() < end, "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}

pub(crate) fn outcome(class: Class, cooldown_ms: Option<u64>) -> Outcome<'static> {
    let action = if class == Class::Ok {
        Action::Done
    } else {
        Action::Next
    };
    Outcome::from(Classification {
        class,
        scope: Scope::Account,
        action,
        cooldown_ms,
    })
}

/// Plays a log in processes of their own, each of which hears everything after each step.
fn play(processes: &mut [Process], log: &[Entry]) -> Vec<String> {
    let mut picks = 0;
    let mut verdicts = Vec::new();
    for entry in log {
        let of = entry.process % processes.len();
        let verdict = match entry.step {
            Step::Pick { account, model } => {
                picks += 1;
                processes[of].ask(&json!({"do": "pick", "request": picks - 1, "account": account, "model": model}))
            }
            Step::Report { request, answer } => {
                processes[of].ask(&json!({"do": "report", "request": request, "answer": answer}))
            }
            Step::Pass(time) => {
                for process in &mut *processes {
                    process.ask(&json!({"do": "pass", "time": time}));
                }
                json!("")
            }
        };
        verdicts.push(verdict.as_str().unwrap_or("no answer").to_owned());
        // Twice: what one says at the end of the first round, the others hear in the second.
        for _ in 0..2 {
            for process in &mut *processes {
                assert_eq!(process.ask(&json!({"do": "exchange"})), json!(true));
            }
        }
    }
    verdicts
}

#[test]
fn three_processes_decide_as_one_pool_does() {
    let Some(server) = Server::start() else {
        return;
    };
    for mode in [Mode::Local, Mode::Strict] {
        let mut flush = server.connection();
        redis::cmd("FLUSHALL").exec(&mut flush).unwrap();
        let log = log::log(7, 150, 3);
        let (alone, end) = log::alone(&log);
        let mut processes: Vec<_> = (0..3)
            .map(|_| Process::start(&server.url(), mode))
            .collect();
        let together = play(&mut processes, &log);
        for (number, (one, many)) in alone.iter().zip(&together).enumerate() {
            assert_eq!(one, many, "{mode:?}, step {number}: {:?}", log[number]);
        }
        for process in &mut processes {
            assert_eq!(
                process.ask(&json!({"do": "standing"})),
                json!(end),
                "{mode:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_one_learns_all_know_and_whoever_comes_later_too() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Member::join(&server, Mode::Local).await;
    let two = Member::join(&server, Mode::Local).await;
    one.rest(1, 600_000);
    two.until("it is heard", |two| two.rests(1)).await;
    let late = Member::join(&server, Mode::Local).await;
    assert!(late.rests(1), "known at once to whoever comes later");
    assert!(!late.rests(0));
    let mut pool = two.pool.lock();
    let slot = pool.slots().nth(1).unwrap();
    pool.reset(slot, now());
    drop(pool);
    one.until("it is over", |one| !one.rests(1)).await;
    late.until("it is over", |late| !late.rests(1)).await;
    assert_eq!(one.names(), ["accounts.shared"]);
}

#[tokio::test]
async fn of_many_processes_exactly_one_probes() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut members = Vec::new();
    for _ in 0..5 {
        members.push(Member::join(&server, Mode::Local).await);
    }
    members[0].rest(0, 150);
    for member in &members[1..] {
        member.until("it is heard", |member| member.rests(0)).await;
    }
    tokio::time::sleep(Duration::from_millis(160)).await;
    // Everybody wants it again and again: the others are excluded.
    let mut probes = Vec::new();
    for _ in 0..40 {
        for member in &members {
            let mut pool = member.pool.lock();
            let others: Vec<_> = pool.slots().skip(1).collect();
            let request = Request {
                exclude: &others,
                ..Request::default()
            };
            if let Pick::Use(permit) = pool.pick(now(), &request) {
                assert!(permit.is_probe());
                probes.push(permit);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(probes.len(), 1, "one of five");
}

#[tokio::test]
async fn a_lease_is_of_one_until_it_is_given_back() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Member::join(&server, Mode::Local).await;
    let two = Member::join(&server, Mode::Local).await;
    let minute = Duration::from_secs(60);
    let Lease::Mine(token) = one.fleet.lease("refresh", minute).await else {
        panic!("nobody has it")
    };
    assert!(
        matches!(two.fleet.lease("refresh", minute).await, Lease::Others(until) if until > now() + 50_000)
    );
    two.fleet.release("refresh", "another token").await;
    assert!(matches!(
        two.fleet.lease("refresh", minute).await,
        Lease::Others(_)
    ));
    one.fleet.release("refresh", &token).await;
    assert!(matches!(
        two.fleet.lease("refresh", minute).await,
        Lease::Mine(_)
    ));
}

#[test]
fn a_server_that_crashes_costs_no_permit_and_is_told_everything_again() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let mut processes: Vec<_> = (0..2)
        .map(|_| Process::start(&server.url(), Mode::Local))
        .collect();
    let pick = |process: &mut Process, request: usize, account: usize| {
        process.ask(&json!({"do": "pick", "request": request, "account": account, "model": 0}))
    };
    let served = json!("use, probe: false");
    assert_eq!(pick(&mut processes[0], 0, 0), served);
    assert_eq!(pick(&mut processes[1], 1, 1), served);
    server.crash();
    for process in &mut processes {
        let state = process.ask(&json!({"do": "await", "state": "degraded"}));
        assert!(!state["error"].as_str().unwrap().is_empty());
    }
    // Both go on: what was under way is reported, and new requests are served.
    let refused =
        json!({"class": "quota", "scope": "account", "action": "next", "cooldown_ms": 900_000});
    let ok = json!({"class": "ok", "scope": "none", "action": "done", "cooldown_ms": null});
    let verdict = processes[0].ask(&json!({"do": "report", "request": 0, "answer": refused}));
    assert_eq!(verdict, json!("Quota Next Some(900000)"));
    assert_eq!(
        processes[1].ask(&json!({"do": "report", "request": 1, "answer": ok})),
        json!("Ok Done None")
    );
    assert_eq!(pick(&mut processes[0], 2, 2), served);
    assert_eq!(
        processes[0].ask(&json!({"do": "report", "request": 2, "answer": ok})),
        json!("Ok Done None")
    );
    assert_eq!(
        pick(&mut processes[1], 3, 0),
        served,
        "it has not heard of it"
    );
    server.restart();
    for process in &mut processes {
        process.ask(&json!({"do": "await", "state": "shared"}));
    }
    for _ in 0..2 {
        for process in &mut processes {
            assert_eq!(process.ask(&json!({"do": "exchange"})), json!(true));
        }
    }
    assert_eq!(
        pick(&mut processes[1], 4, 0),
        json!("wait 900000 Cooldown"),
        "now it has"
    );
    assert_eq!(processes[0].ask(&json!({"do": "inflight"})), json!(0));
    assert_eq!(processes[1].ask(&json!({"do": "inflight"})), json!(1));
}

#[tokio::test]
async fn changes_that_were_trimmed_and_a_server_that_was_emptied_are_noticed() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Member::join(&server, Mode::Local).await;
    let two = Member::join(&server, Mode::Local).await;
    let mut harm = server.connection();
    // As if the other had been stopped while many changes passed: the fact is there, the change is not.
    let key = "{flowgate:default}";
    let until = now() + 600_000;
    redis::cmd("HSET")
        .arg((
            format!("{key}:f"),
            "a\u{1f}account 2",
            format!("0:{until}:7:0:0:{}:0", now()),
        ))
        .exec(&mut harm)
        .unwrap();
    redis::cmd("XTRIM")
        .arg((format!("{key}:ev"), "MAXLEN", 0))
        .exec(&mut harm)
        .unwrap();
    one.rest(0, 600_000);
    two.until("all is heard again", |two| two.rests(0) && two.rests(2))
        .await;
    redis::cmd("FLUSHALL").exec(&mut harm).unwrap();
    let facts = || -> usize {
        redis::cmd("HLEN")
            .arg(format!("{key}:f"))
            .query(&mut server.connection())
            .unwrap()
    };
    one.until("all is told again", |_| facts() >= 2).await;
    let late = Member::join(&server, Mode::Local).await;
    late.until("it is known", |late| late.rests(0) && late.rests(2))
        .await;
}

#[tokio::test]
async fn rubbish_on_the_server_is_ignored_and_said() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut harm = server.connection();
    let key = "{flowgate:default}";
    for (field, value) in [
        ("a\u{1f}account 0", "rubbish"),
        ("a\u{1f}account 1", "0:9999999999999999:7:0:0:0:0"),
        ("a\u{1f}account 3", "1:2:3:4:5:6:7:8"),
        ("nobody", "0:1:1:1:1:1:0"),
        ("", ""),
    ] {
        redis::cmd("HSET")
            .arg((format!("{key}:f"), field, value))
            .exec(&mut harm)
            .unwrap();
    }
    redis::cmd("SET")
        .arg((format!("{key}:e"), "no sorted set"))
        .exec(&mut harm)
        .unwrap();
    redis::cmd("RPUSH")
        .arg((format!("{key}:ev"), "no stream"))
        .exec(&mut harm)
        .unwrap();
    redis::cmd("RPUSH")
        .arg((format!("{key}:id"), "no text"))
        .exec(&mut harm)
        .unwrap();
    let one = Member::join(&server, Mode::Local).await;
    let two = Member::join(&server, Mode::Local).await;
    assert!((0..4).all(|account| !one.rests(account)));
    one.rest(2, 600_000);
    two.until("it works nevertheless", |two| two.rests(2)).await;
    for fields in [
        vec!["s", "a\u{1f}account 0", "f", "x"],
        vec!["s", "a\u{1f}account 0", "l", "x", "w", "y"],
        vec!["x", "y"],
        vec!["s", "\u{0}"],
    ] {
        redis::cmd("XADD")
            .arg(format!("{key}:ev"))
            .arg("*")
            .arg(fields)
            .exec(&mut harm)
            .unwrap();
    }
    one.rest(3, 600_000);
    two.until("it still does", |two| two.rests(3)).await;
    assert!(two.fleet.status().ignored >= 3, "{:?}", two.fleet.status());
    assert!(two.names().contains(&"accounts.ignored".to_owned()));
}

#[tokio::test]
async fn together_they_never_use_more_of_a_quota_than_there_is() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(Member::join(&server, Mode::Local).await);
    }
    // Twenty at once, and twenty in a second.
    let (cap, rate) = (20_u64, 20.0_f64);
    let mut view = QuotaView::default();
    view.requests = Some(BucketView {
        limit: Some(cap),
        remaining: cap / 2,
        full_in_ms: Some(500),
    });
    for member in &members {
        let mut pool = member.pool.lock();
        let slot = pool.slots().next().unwrap();
        pool.observe_quota(now(), slot, &view);
    }
    let begun = now();
    let mut sent = 0_u64;
    while now() < begun + 2_000 {
        for member in &members {
            let mut pool = member.pool.lock();
            let others: Vec<_> = pool.slots().skip(1).collect();
            let request = Request {
                exclude: &others,
                ..Request::default()
            };
            if let Pick::Use(permit) = pool.pick(now(), &request) {
                sent += 1;
                pool.report(now(), permit, &outcome(Class::Ok, None));
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let passed = (now() - begun) as f64 / 1_000.0;
    let most = cap as f64 / 2.0 + rate * passed + 1.0;
    assert!(sent as f64 <= most, "{sent} of {most}");
    // And what there is, is used: all but a slice of each.
    assert!(sent as f64 >= rate * passed * 0.5, "{sent} in {passed} s");
}

#[tokio::test]
async fn without_a_server_a_pool_decides_alone_and_says_so() {
    let pool = SharedPool::from(log::pool());
    // Nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("redis://:hidden@127.0.0.1:{port}");
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    let options = Options::new(&url.into()).unwrap().mode(Mode::Strict);
    let options =
        options.on_event(move |event: Event| log.lock().unwrap().push(format!("{event:?}")));
    let fleet = Fleet::join(&pool, options, || {});
    let status = fleet.settled().await;
    assert_eq!(status.state, State::Degraded);
    let picked = fleet.pick(&Request::default()).await;
    assert!(matches!(picked, Pick::Use(_)), "{picked:?}");
    let said = format!("{status:?} {fleet:?} {:?}", events.lock().unwrap());
    assert!(
        said.contains("accounts.degraded") && !said.contains("hidden"),
        "{said}"
    );
    assert!(matches!(
        fleet.lease("x", Duration::from_secs(1)).await,
        Lease::Away
    ));
    assert!(!fleet.exchanged().await);
}
