//! What holds whatever happens, with everything on: chance, quota, groups, two providers.

use flowgate_core::accounts::{
    AccountSpec, BucketView, Candidate, Class, Classification, Outcome, Permit, Pick, Pool,
    QuotaView, Request, Scope, Settings, Slot, Standing, Strategy, Why, Window, WindowView,
};
use proptest::prelude::*;

use crate::script::{Step, answer, quota, script};

const MODELS: [&str; 3] = ["", "opus", "sonnet"];

/// What the headers of an answer say: it depends on what was asked, so that scripts repeat.
fn headers(tokens: u32, now: u64) -> QuotaView {
    let remaining = u64::from(tokens % 60);
    let mut view = QuotaView::default();

    view.requests = Some(BucketView {
        limit: Some(60),
        remaining,
        full_in_ms: Some((60 - remaining) * 1_000),
    });
    view.tokens = tokens.is_multiple_of(2).then_some(BucketView {
        limit: Some(4_000),
        remaining: u64::from(tokens),
        full_in_ms: None,
    });

    view.add_window(WindowView {
        used: tokens as f32 / 2_000.0,
        resets_at: Some(now + 3_600_000),
        ..WindowView::new(Window::FiveHour)
    });
    view
}

fn pool(settings: Settings) -> Pool {
    let mut pool = Pool::new(settings);
    for number in 0_u32..6 {
        let provider = if number < 4 { "anthropic" } else { "openai" };
        let spec = AccountSpec {
            tier: (number / 3) as u8,
            weight: 1 + number % 3,
            max_inflight: (number == 1).then_some(2),
            models: if number == 2 {
                vec!["opus".into()]
            } else {
                vec![]
            },
            group: (number >= 4).then(|| "project".into()),
            ..AccountSpec::new(format!("account-{number}"), provider)
        };
        pool.upsert(&spec, 0);
    }
    for name in MODELS {
        pool.model(name);
    }
    pool
}

/// A pool, what was asked of it, and what it answered.
struct Run {
    pool: Pool,
    now: u64,
    permits: Vec<Option<(Permit, u32)>>,
    transcript: Vec<String>,
    /// Whether everything is checked, or only written down.
    checks: bool,
}

impl Run {
    fn new(settings: Settings, checks: bool) -> Self {
        Self {
            pool: pool(settings),
            now: 1_000_000,
            permits: Vec::new(),
            transcript: Vec::new(),
            checks,
        }
    }

    fn pick(&mut self, model: u32, session: Option<u64>, exclude: u8, tokens: u32) {
        let slots: Vec<Slot> = self.pool.slots().collect();
        let exclude: Vec<Slot> = slots
            .into_iter()
            .filter(|s| exclude >> s.index() & 1 != 0)
            .collect();
        let request = Request {
            model: self.pool.model(MODELS[model as usize]),
            session,
            tokens,
            exclude: &exclude,
            since: None,
        };
        let before = self.pool.explain(self.now, &request);
        let answer = self.pool.pick(self.now, &request);
        self.transcript.push(format!("{answer:?}"));
        if self.checks {
            self.check(&before, &answer, &request);
        }
        if let Pick::Use(permit) = answer {
            self.permits.push(Some((permit, tokens)));
        }
    }

    fn check(&self, before: &[Candidate], answer: &Pick, request: &Request<'_>) {
        let could = |c: &&Candidate| matches!(c.standing, Standing::Eligible | Standing::Probe);
        match answer {
            Pick::Use(permit) => {
                let chosen = before.iter().find(|c| c.slot == permit.slot()).unwrap();
                assert!(could(&chosen), "{chosen:?}");
                assert_eq!(
                    permit.is_probe(),
                    chosen.standing == Standing::Probe || permit.is_probe()
                );
                assert!(!request.exclude.contains(&chosen.slot));
                if !chosen.warm && self.pool.settings().strategy == Strategy::Auto {
                    let tier = before
                        .iter()
                        .filter(could)
                        .filter(|c| c.tier == chosen.tier);
                    let least = tier.map(|c| c.pressure).fold(f64::MAX, f64::min);
                    assert!(chosen.pressure <= least + 0.25, "{chosen:?} {least}");
                }
            }
            Pick::Wait { until, why } => {
                assert!(*until > self.now, "{until} {}", self.now);
                if *why != Why::Affinity {
                    assert_eq!(before.iter().find(could), None, "{why:?}");
                }
                if *why != Why::Concurrency {
                    let mut later = self.pool.clone();
                    let request = Request {
                        since: Some(self.now),
                        ..*request
                    };
                    let next = match later.pick(*until, &request) {
                        // The warm account, whose provider let nobody through before, is worth
                        // the rest of the patience.
                        Pick::Wait {
                            until,
                            why: Why::Affinity,
                        } => later.pick(until, &request),
                        next => next,
                    };
                    assert!(
                        matches!(next, Pick::Use(_)),
                        "{answer:?} then {next:?} {before:?}"
                    );
                }
            }
            Pick::None { .. } => {
                let hope = before.iter().find(|c| c.standing != Standing::Excluded);
                assert_eq!(hope, None);
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Pick {
                model,
                session,
                exclude,
                tokens,
            } => self.pick(*model, *session, *exclude, *tokens),
            Step::Headers(which) => {
                let now = self.now;
                let place = self.permits.len().checked_sub(which + 1);
                let Some(Some((permit, tokens))) = place.map(|place| &self.permits[place]) else {
                    return;
                };
                self.pool
                    .on_headers(now, permit, true, &headers(*tokens, now));
            }
            Step::Ok(which) => self.report(*which, None),
            Step::Fail(which, answer) => self.report(*which, Some(*answer)),
            Step::Enable(which, on) => {
                let slot = self.pool.slots().nth(*which).unwrap();
                self.pool.set_enabled(slot, *on, self.now);
            }
            Step::Reset(which) => {
                let slot = self.pool.slots().nth(*which).unwrap();
                self.pool.reset(slot, self.now);
            }
            Step::Restart => {}
            Step::Clock(change) => {
                let told = self.now.saturating_add_signed(*change);
                self.pool.expire(told);
                self.now = self.now.max(told);
            }
        }
        if self.checks {
            self.check_state();
        }
    }

    fn report(&mut self, which: usize, answer: Option<Classification>) {
        let Some(place) = self.permits.len().checked_sub(which + 1) else {
            return;
        };
        let Some((permit, tokens)) = self.permits[place].take() else {
            return;
        };
        let view = headers(tokens, self.now);
        let outcome = match answer {
            None => Outcome {
                quota: tokens.is_multiple_of(3).then_some(&view),
                ..Outcome::ok(Some(tokens / 2))
            },
            Some(answer) => Outcome::from(answer),
        };
        let (permit_id, slot) = (permit.id(), permit.slot());
        let before = self.pool.inflight(Some(slot));
        let verdict = self.pool.report(self.now, permit, &outcome);
        self.transcript.push(format!("{verdict:?}"));
        if verdict.slot.is_some() {
            assert_eq!(self.pool.inflight(Some(slot)), before - 1);
        }
        assert_eq!(
            self.pool.permit(permit_id),
            None,
            "a permit is consumed once"
        );
    }

    fn check_state(&self) {
        let all: usize = self
            .pool
            .slots()
            .map(|slot| self.pool.inflight(Some(slot)))
            .sum();
        assert_eq!(all, self.pool.inflight(None));
        for candidate in self.pool.explain(self.now, &Request::default()) {
            assert!(candidate.pressure.is_finite());
            for left in [candidate.requests, candidate.tokens].into_iter().flatten() {
                assert!((0.0..=left.limit).contains(&left.level), "{left:?}");
            }
            assert!(candidate.max_inflight.is_none_or(|cap| cap > 0));
        }
        let deadline = self.pool.next_deadline();
        assert!(
            deadline.is_none_or(|at| at > self.now),
            "{deadline:?} {}",
            self.now
        );
    }
}

fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop_oneof![
        3 => Just(Strategy::Auto),
        1 => Just(Strategy::RoundRobin),
        1 => Just(Strategy::Weighted),
        1 => Just(Strategy::DrainSoonest),
        1 => Just(Strategy::LeastInflight),
    ]
}

fn settings(strategy: Strategy, seed: u64, ramp: bool) -> Settings {
    let mut settings = Settings {
        strategy,
        seed,
        ..Settings::default()
    };
    settings.ramp.step_ms = if ramp { 250 } else { 0 };
    settings
}

proptest! {
    #[test]
    fn nobody_serves_who_cannot_and_no_wait_is_in_vain(
        strategy in strategies(), seed in 0_u64..4, ramp in any::<bool>(), script in script(),
    ) {
        let mut run = Run::new(settings(strategy, seed, ramp), true);
        for step in &script {
            run.step(step);
        }
    }

    #[test]
    fn the_same_happenings_have_the_same_answers_also_after_a_restart(
        strategy in strategies(), seed in any::<u64>(), script in script(),
    ) {
        let settings = settings(strategy, seed, true);
        let (mut one, mut other) = (Run::new(settings, false), Run::new(settings, false));
        for step in &script {
            one.step(step);
            if matches!(step, Step::Restart) {
                one.pool.expire(one.now);
                other.pool.expire(other.now);
                let json = serde_json::to_string(&other.pool.snapshot()).unwrap();
                let state = serde_json::from_str(&json).unwrap();
                other.pool = Pool::restore(settings, &state, other.now).unwrap();
                prop_assert_eq!(other.pool.snapshot(), state);
            }
            other.step(step);
        }
        prop_assert_eq!(one.transcript, other.transcript);
        prop_assert_eq!(one.pool.snapshot(), other.pool.snapshot());
    }

    #[test]
    fn what_is_about_the_request_changes_no_account(script in script(), class in prop_oneof![
        Just(Class::RequestFault), Just(Class::Windowless), Just(Class::Entitlement), Just(Class::ClientCancelled),
    ]) {
        // Without quota, because a request that was wrong was still sent.
        let mut run = Run::new(Settings { admission: false, ..Settings::default() }, false);
        for step in &script {
            run.step(step);
        }
        let request = Request::default();
        let before = run.pool.explain(run.now, &request);
        let Pick::Use(permit) = run.pool.pick(run.now, &request) else { return Ok(()) };
        // A canary was the one that may try for a while, whatever came of it.
        prop_assume!(!permit.is_probe());
        let about = answer(class, Scope::Request, flowgate_core::accounts::Action::Stop, None);
        run.pool.report(run.now, permit, &Outcome::from(about));
        prop_assert_eq!(run.pool.explain(run.now, &request), before);
    }

    #[test]
    fn no_more_is_admitted_than_the_bucket_held(
        asks in prop::collection::vec((0_u64..3_000, 1_u32..3_000), 1..200),
    ) {
        let mut pool = Pool::new(Settings::default());
        let slot = pool.upsert(&AccountSpec::new("a", "openai"), 0);
        let bucket = |limit: u64| Some(BucketView { limit: Some(limit), remaining: limit, full_in_ms: Some(0) });
        let view = quota(bucket(10), bucket(6_000));
        pool.observe_quota(1, slot, &view);
        let (mut now, mut requests, mut used) = (1, 0.0, 0.0);
        for (wait, tokens) in asks {
            now += wait;
            let request = Request { tokens, ..Request::default() };
            if let Pick::Use(permit) = pool.pick(now, &request) {
                requests += 1.0;
                used += f64::from(tokens);
                pool.report(now, permit, &Outcome::ok(None));
            }
            let minutes = (now - 1) as f64 / 60_000.0;
            prop_assert!(requests <= 10.0 * (1.0 + minutes) + 0.01);
            prop_assert!(used <= 6_000.0 * (1.0 + minutes) + 1.0);
        }
    }

    #[test]
    fn in_turn_is_fair_whoever_else_comes_and_goes(count in 1_u32..20, picks in 1_usize..200) {
        let mut pool = Pool::new(Settings { strategy: Strategy::RoundRobin, ..Settings::default() });
        for number in 0..count {
            pool.upsert(&AccountSpec::new(format!("{number}"), ""), 0);
        }
        let mut served = vec![0_usize; count as usize];
        for _ in 0..picks {
            let Pick::Use(permit) = pool.pick(1, &Request::default()) else { panic!() };
            served[permit.slot().index() as usize] += 1;
            pool.report(1, permit, &Outcome::ok(None));
        }
        let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{served:?}");
    }

    #[test]
    fn shares_follow_the_weights_at_every_moment(weights in prop::collection::vec(1_u32..10, 1..12), picks in 1_usize..300) {
        let mut pool = Pool::new(Settings { strategy: Strategy::Weighted, ..Settings::default() });
        for (number, weight) in weights.iter().enumerate() {
            pool.upsert(&AccountSpec { weight: *weight, ..AccountSpec::new(format!("{number}"), "") }, 0);
        }
        let total: u32 = weights.iter().sum();
        let mut served = vec![0.0; weights.len()];
        for pick in 1..=picks {
            let Pick::Use(permit) = pool.pick(1, &Request::default()) else { panic!() };
            served[permit.slot().index() as usize] += 1.0;
            pool.report(1, permit, &Outcome::ok(None));
            for (served, weight) in served.iter().zip(&weights) {
                let share = f64::from(*weight) / f64::from(total) * pick as f64;
                prop_assert!((served - share).abs() < weights.len() as f64);
            }
        }
    }

    #[test]
    fn facts_of_others_may_come_in_any_order_and_twice(
        facts in prop::collection::vec((0_usize..6, 0_u64..100_000), 1..20), seed in any::<u64>(),
    ) {
        let settings = Settings::default();
        let untils = |order: &[(usize, u64)]| {
            let mut pool = pool(settings);
            let slots: Vec<Slot> = pool.slots().collect();
            for (which, until) in order {
                pool.learn_cooldown(1, slots[*which], flowgate_core::accounts::Model::ANY, *until, Class::Rate);
            }
            pool.explain(1, &Request::default()).into_iter().map(|c| c.until).collect::<Vec<_>>()
        };
        let mut other = facts.clone();
        other.extend(facts.iter().copied());
        let length = other.len();
        other.rotate_left(seed as usize % length);
        other.reverse();
        prop_assert_eq!(untils(&facts), untils(&other));
    }
}
