//! What users of other pools report as broken, and what this one does.

use flowgate_core::accounts::{
    AccountSpec, Action, Attempt, BucketView, Class, EventKind, Lifecycle, Outcome, Permit, Pick,
    Pool, QuotaView, Refreshed, Request, Scope, Settings, Slot, SnapshotError, Step, Strategy, Why,
    Window, WindowView,
};

use crate::script::{answer, quota};

fn calm() -> Settings {
    Settings {
        jitter: false,
        ..Settings::default()
    }
}

fn pool(settings: Settings, ids: &[&str]) -> (Pool, Vec<Slot>) {
    let mut pool = Pool::new(settings);
    let slots = ids
        .iter()
        .map(|id| pool.upsert(&AccountSpec::new(*id, "anthropic"), 0))
        .collect();
    (pool, slots)
}

#[track_caller]
fn take(pool: &mut Pool, now: u64, request: &Request<'_>) -> Permit {
    match pool.pick(now, request) {
        Pick::Use(permit) => permit,
        other => panic!("{other:?}"),
    }
}

fn rate(wait: Option<u64>) -> Outcome<'static> {
    Outcome::from(answer(Class::Rate, Scope::Account, Action::Next, wait))
}

fn refused() -> Outcome<'static> {
    Outcome::from(answer(Class::Auth, Scope::Account, Action::Refresh, None))
}

fn bucket(limit: u64, remaining: u64, full_in_ms: u64) -> Option<BucketView> {
    Some(BucketView {
        limit: Some(limit),
        remaining,
        full_in_ms: Some(full_in_ms),
    })
}

#[test]
fn one_refreshes_and_the_others_wait() {
    let (mut pool, slots) = pool(calm(), &["a"]);
    let permit = take(&mut pool, 0, &Request::default());
    let mut attempt = Attempt::new(0, None);
    let verdict = pool.report(1, permit, &refused());
    assert_eq!(pool.lifecycle(slots[0]), Some(Lifecycle::NeedsRefresh));
    assert_eq!(
        pool.next(1, &verdict, &mut attempt),
        Step::Refresh(slots[0])
    );
    let lease = pool.refresh_begin(2, slots[0]).unwrap();
    assert_eq!(pool.refresh_begin(3, slots[0]), None, "another does");
    assert!(matches!(
        pool.pick(4, &Request::default()),
        Pick::Wait { .. }
    ));
    assert!(pool.refresh_end(5, lease, Refreshed::Done));
    drop(take(&mut pool, 6, &Request::default()));
    assert_eq!(pool.lifecycle(slots[0]), Some(Lifecycle::Active));
}

#[test]
fn a_refusal_of_the_old_credential_says_nothing_about_the_new_one() {
    let (mut pool, slots) = pool(calm(), &["a"]);
    let first = take(&mut pool, 0, &Request::default());
    let second = take(&mut pool, 0, &Request::default());
    pool.report(1, first, &refused());
    let lease = pool.refresh_begin(1, slots[0]).unwrap();
    pool.refresh_end(2, lease, Refreshed::Done);
    pool.report(3, second, &refused());
    drop(take(&mut pool, 4, &Request::default()));
}

#[test]
fn a_refresh_of_which_nothing_is_heard_goes_to_another() {
    let (mut pool, slots) = pool(calm(), &["a"]);
    let lost = pool.refresh_begin(0, slots[0]).unwrap();
    let end = lost.until();
    assert_eq!(pool.refresh_begin(end - 1, slots[0]), None);
    let lease = pool.refresh_begin(end, slots[0]).unwrap();
    assert!(
        !pool.refresh_end(end + 1, lost, Refreshed::Dead),
        "it is not its turn any more"
    );
    assert!(pool.refresh_end(end + 2, lease, Refreshed::Dead));
    assert_eq!(pool.lifecycle(slots[0]), Some(Lifecycle::Dead));
    assert_eq!(
        pool.pick(end + 3, &Request::default()),
        Pick::None {
            why: Why::Unavailable
        }
    );
}

#[test]
fn a_new_credential_gives_a_dead_account_a_new_life() {
    let (mut pool, slots) = pool(calm(), &["a"]);
    let permit = take(&mut pool, 0, &Request::default());
    pool.report(
        1,
        permit,
        &answer(Class::AuthDead, Scope::Account, Action::Next, None).into(),
    );
    pool.upsert(&AccountSpec::new("a", "anthropic"), 2);
    assert_eq!(
        pool.lifecycle(slots[0]),
        Some(Lifecycle::Dead),
        "nothing is new"
    );
    let slot = pool.upsert(
        &AccountSpec {
            revision: 1,
            ..AccountSpec::new("a", "anthropic")
        },
        3,
    );
    assert_eq!(
        (slot, pool.lifecycle(slot)),
        (slots[0], Some(Lifecycle::Active))
    );
    drop(take(&mut pool, 4, &Request::default()));
}

#[test]
fn what_headers_state_holds_requests_back_before_the_provider_does() {
    let (mut pool, _) = pool(calm(), &["a"]);
    let permit = take(&mut pool, 1_000, &Request::default());
    let view = quota(bucket(60, 1, 59_000), None);
    pool.on_headers(1_200, &permit, true, &view);
    pool.report(1_300, permit, &Outcome::ok(None));
    let last = take(&mut pool, 1_300, &Request::default());
    let Pick::Wait { until, why } = pool.pick(1_300, &Request::default()) else {
        panic!()
    };
    // One was left at 1,000, when the request was admitted, and one comes back every second.
    assert_eq!((until, why), (2_000, Why::Budget));
    pool.report(1_350, last, &Outcome::ok(None));
    drop(take(&mut pool, until, &Request::default()));
}

#[test]
fn keys_of_one_project_share_what_is_left() {
    let mut pool = Pool::new(calm());
    let shared = |id: &str| AccountSpec {
        group: Some("project".into()),
        ..AccountSpec::new(id, "google")
    };
    let one = pool.upsert(&shared("one"), 0);
    pool.upsert(&shared("two"), 0);
    pool.upsert(
        &AccountSpec {
            tier: 1,
            ..AccountSpec::new("other", "google")
        },
        0,
    );
    pool.observe_quota(1_000, one, &quota(bucket(10, 0, 60_000), None));
    let permit = take(&mut pool, 1_000, &Request::default());
    assert_eq!(pool.id(permit.slot()), Some("other"));
    pool.observe_quota(2_000, one, &quota(bucket(10, 10, 0), None));
    let permit = take(&mut pool, 2_000, &Request::default());
    assert_eq!(pool.id(permit.slot()), Some("one"));
}

#[test]
fn quota_that_came_back_early_is_noticed() {
    let (mut pool, slots) = pool(calm(), &["a"]);
    let permit = take(&mut pool, 0, &Request::default());
    let spent = answer(Class::Quota, Scope::Account, Action::Next, Some(86_400_000));
    pool.report(1, permit, &spent.into());
    assert!(matches!(
        pool.pick(2, &Request::default()),
        Pick::Wait { .. }
    ));
    let mut view = QuotaView::default();
    view.add_window(WindowView {
        used: 0.1,
        resets_at: Some(90_000_000),
        ..WindowView::new(Window::SevenDay)
    });
    pool.observe_quota(3, slots[0], &view);
    drop(take(&mut pool, 4, &Request::default()));
    view.add_window(WindowView {
        rejected: true,
        resets_at: Some(50_000),
        ..WindowView::new(Window::FiveHour)
    });
    pool.observe_quota(5, slots[0], &view);
    assert_eq!(
        pool.pick(6, &Request::default()),
        Pick::Wait {
            until: 50_000,
            why: Why::Cooldown
        }
    );
}

#[test]
fn a_refusal_without_a_reason_is_about_requests_at_the_same_time_if_there_is_quota() {
    let (mut pool, slots) = pool(calm(), &["a"]);
    pool.observe_quota(1, slots[0], &quota(bucket(600, 600, 0), None));
    let permits: Vec<Permit> = (0..4)
        .map(|_| take(&mut pool, 2, &Request::default()))
        .collect();
    let mut permits = permits.into_iter();
    let verdict = pool.report(3, permits.next().unwrap(), &rate(None));
    assert_eq!((verdict.class, verdict.until), (Class::Concurrency, None));
    assert_eq!(
        pool.explain(3, &Request::default())[0].max_inflight,
        Some(3)
    );
    assert!(matches!(
        pool.pick(4, &Request::default()),
        Pick::Wait {
            why: Why::Concurrency,
            ..
        }
    ));
    pool.report(5, permits.next().unwrap(), &Outcome::ok(None));
    drop(take(&mut pool, 6, &Request::default()));
}

#[test]
fn without_headers_the_pace_is_guessed_from_refusals_and_grows_again() {
    let (mut pool, _) = pool(calm(), &["a"]);
    let mut now = 0;
    for _ in 0..40 {
        now += 250;
        let permit = take(&mut pool, now, &Request::default());
        pool.report(now + 10, permit, &Outcome::ok(None));
    }
    let permit = take(&mut pool, now + 20, &Request::default());
    pool.report(now + 30, permit, &rate(None));
    let candidate = pool.explain(now + 30, &Request::default()).remove(0);
    assert!(
        candidate.guessed && candidate.requests.is_some(),
        "{candidate:?}"
    );
    let mut served = 0;
    for _ in 0..2_400 {
        now += 250;
        if let Pick::Use(permit) = pool.pick(now, &Request::default()) {
            pool.report(now + 10, permit, &Outcome::ok(None));
            served += 1;
        }
    }
    assert!(served > 2_000, "{served}");
    assert!(
        !pool.explain(now, &Request::default())[0].guessed,
        "it holds nobody back any more"
    );
}

#[test]
fn a_session_waits_a_moment_for_its_warm_account_and_no_longer() {
    let (mut pool, _) = pool(calm(), &["a", "b"]);
    let request = Request {
        session: Some(7),
        ..Request::default()
    };
    let permit = take(&mut pool, 0, &request);
    let warm = permit.slot();
    pool.report(10, permit, &rate(Some(2_000)));
    assert_eq!(
        pool.pick(20, &request),
        Pick::Wait {
            until: 2_010,
            why: Why::Affinity
        }
    );
    // It asked at 20 and waits since then, however often it asks.
    let asked = Request {
        since: Some(20),
        ..request
    };
    let permit = take(&mut pool, 2_010, &asked);
    assert_eq!(permit.slot(), warm);
    pool.report(2_020, permit, &rate(Some(2_000)));
    let permit = take(&mut pool, 2_030, &asked);
    assert_ne!(permit.slot(), warm, "it has waited long enough");
}

#[test]
fn an_account_that_comes_back_is_loaded_slowly() {
    let mut settings = Settings {
        strategy: Strategy::FillFirst,
        ..calm()
    };
    settings.ramp.step_ms = 250;
    let (mut pool, slots) = pool(settings, &["a", "b"]);
    let permit = take(&mut pool, 0, &Request::default());
    pool.report(1, permit, &rate(Some(1_000)));
    let probe = take(&mut pool, 1_001, &Request::default());
    assert!(probe.is_probe());
    pool.report(2_000, probe, &Outcome::ok(None));
    let served: Vec<Slot> = (0..3)
        .map(|_| take(&mut pool, 2_000, &Request::default()).slot())
        .collect();
    assert_eq!(served, [slots[0], slots[1], slots[1]]);
    assert_eq!(
        take(&mut pool, 2_250, &Request::default()).slot(),
        slots[0],
        "one more"
    );
}

#[test]
fn a_lost_permit_is_back_when_its_lease_ends() {
    let mut pool = Pool::new(calm());
    pool.upsert(
        &AccountSpec {
            max_inflight: Some(1),
            ..AccountSpec::new("a", "")
        },
        0,
    );
    let lost = take(&mut pool, 0, &Request::default());
    let id = lost.id();
    let lease = pool.settings().permit_lease_ms;
    assert_eq!(
        pool.pick(1, &Request::default()),
        Pick::Wait {
            until: lease,
            why: Why::Concurrency
        }
    );
    assert_eq!(pool.next_deadline(), Some(lease));
    assert_eq!(pool.expire(lease), 1);
    drop(take(&mut pool, lease, &Request::default()));
    let verdict = pool.report(lease + 1, lost, &rate(Some(60_000)));
    assert_eq!(
        (verdict.slot, verdict.until),
        (None, None),
        "it is too late to count"
    );
    assert!(
        pool.drain_events()
            .any(|e| matches!(e.kind, EventKind::PermitLost { permit, .. } if permit == id))
    );
}

#[test]
fn a_place_that_is_used_again_is_another_slot() {
    let (mut pool, slots) = pool(calm(), &["a", "b"]);
    let permit = take(&mut pool, 0, &Request::default());
    assert!(pool.remove(permit.slot(), 1));
    let gone = permit.slot();
    let new = pool.upsert(&AccountSpec::new("c", "anthropic"), 2);
    assert_eq!((new.index(), new == gone), (gone.index(), false));
    pool.report(
        3,
        permit,
        &answer(Class::AuthDead, Scope::Account, Action::Next, None).into(),
    );
    assert_eq!(pool.lifecycle(new), Some(Lifecycle::Active));
    assert_eq!(
        (pool.id(gone), pool.find("a")),
        (None, (gone != slots[0]).then_some(slots[0]))
    );
    assert!(!pool.set_enabled(gone, false, 4));
}

#[test]
fn a_request_moves_on_and_does_not_try_for_ever() {
    let (mut pool, slots) = pool(
        Settings {
            strategy: Strategy::FillFirst,
            ..calm()
        },
        &["a", "b"],
    );
    let mut attempt = Attempt::new(0, Some(10_000));
    let permit = take(&mut pool, 0, &Request::default());
    let verdict = pool.report(
        1,
        permit,
        &answer(Class::Windowless, Scope::Request, Action::Next, None).into(),
    );
    assert_eq!(pool.next(1, &verdict, &mut attempt), Step::RetryNow);
    assert_eq!(attempt.exclude(), [slots[0]]);
    let mut steps = Vec::new();
    for now in [1, 2_000, 4_000, 9_990] {
        let Pick::Use(permit) = pool.pick(
            now,
            &Request {
                exclude: attempt.exclude(),
                ..Request::default()
            },
        ) else {
            continue;
        };
        let failed = answer(Class::ServerError, Scope::Account, Action::Next, Some(1));
        let verdict = pool.report(now, permit, &failed.into());
        steps.push(pool.next(now, &verdict, &mut attempt));
    }
    // The second failure waits, and the last has no time to.
    assert_eq!(
        steps,
        [
            Step::RetryAt(51),
            Step::RetryAt(2_100),
            Step::RetryAt(4_200),
            Step::Stop
        ]
    );
}

#[test]
fn retries_stop_when_nothing_but_failures_come() {
    let (mut pool, _) = pool(calm(), &["a"]);
    let mut given_up = 0;
    for now in 0..300 {
        let verdict = flowgate_core::accounts::Verdict {
            slot: None,
            class: Class::ServerError,
            action: Action::Next,
            until: None,
        };
        let step = pool.next(now, &verdict, &mut Attempt::new(now, None));
        given_up += u32::from(step == Step::Stop);
    }
    assert_eq!(given_up, 200, "a hundred retries at five each");
}

#[test]
fn explain_says_why_and_until_when() {
    let (mut pool, slots) = pool(
        Settings {
            strategy: Strategy::FillFirst,
            ..calm()
        },
        &["a", "b"],
    );
    let permit = take(&mut pool, 0, &Request::default());
    pool.report(1, permit, &rate(Some(60_000)));
    pool.set_enabled(slots[1], false, 2);
    let seen = pool.explain(2, &Request::default());
    assert_eq!(
        (seen[0].why, seen[0].until, seen[0].class),
        (Some(Why::Cooldown), Some(60_001), Some(Class::Rate))
    );
    assert_eq!((seen[1].why, seen[1].until), (Some(Why::Unavailable), None));
    assert_eq!(
        serde_json::to_value(&seen[0]).unwrap()["standing"],
        "waiting"
    );
}

#[test]
fn a_snapshot_of_another_form_and_a_damaged_one_are_refused() {
    let (pool, _) = pool(calm(), &["a", "b"]);
    let json = serde_json::to_value(pool.snapshot()).unwrap();
    assert!(!json.to_string().contains("secret"));
    let mut newer = json.clone();
    newer["version"] = 99.into();
    let state = serde_json::from_value(newer).unwrap();
    assert_eq!(
        Pool::restore(calm(), &state, 0).unwrap_err(),
        SnapshotError::Version(99)
    );
    for (pointer, value) in [
        ("/accounts/1/account/id", serde_json::json!("a")),
        ("/accounts/0/account/provider", serde_json::json!(9)),
        ("/accounts/0/account/group", serde_json::json!(3)),
        ("/accounts/0/account/models", serde_json::json!([7])),
        ("/free_accounts", serde_json::json!([0])),
        ("/free_permits", serde_json::json!([5])),
        ("/sessions", serde_json::json!([[1, 0, 9, 9]])),
        ("/models/0/name", serde_json::json!("x")),
    ] {
        let mut damaged = json.clone();
        *damaged.pointer_mut(pointer).unwrap() = value;
        let state = serde_json::from_value(damaged).unwrap();
        let error = Pool::restore(calm(), &state, 0).unwrap_err();
        assert_eq!(error.code(), "accounts.snapshot_damaged", "{pointer}");
    }
}

#[test]
fn events_that_nobody_fetches_make_room() {
    let (mut pool, slots) = pool(calm(), &["a"]);
    for now in 0..3_000 {
        pool.learn_cooldown(
            now,
            slots[0],
            flowgate_core::accounts::Model::ANY,
            now + 10_000,
            Class::Rate,
        );
    }
    assert_eq!(pool.drain_events().count(), 1_024);
    assert_eq!(pool.take_dropped_events(), 3_000 - 1_024);
}

#[test]
fn many_accounts_are_loaded_evenly_by_chance() {
    let mut pool = Pool::new(Settings::default());
    for number in 0..1_000 {
        pool.upsert(&AccountSpec::new(format!("{number}"), ""), 0);
    }
    let mut served = vec![0_u32; 1_000];
    for _ in 0..20_000 {
        let permit = take(&mut pool, 1, &Request::default());
        served[permit.slot().index() as usize] += 1;
    }
    assert!(
        served.iter().all(|count| (15..=25).contains(count)),
        "{:?}",
        served.iter().max()
    );
}
