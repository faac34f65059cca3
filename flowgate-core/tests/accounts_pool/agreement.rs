//! The pool answers every question as the model does.

use flowgate_core::accounts::{
    AccountSpec, Affinity, Outcome, Permit, Pick, Pool, QuotaView, Request, Settings, Strategy, Why,
};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use crate::model::{Account, Answer, Model};
use crate::script::{Step, script};

const MODELS: [&str; 3] = ["", "opus", "sonnet"];

fn settings(strategy: Strategy) -> Settings {
    Settings {
        strategy,
        jitter: false,
        admission: false,
        affinity: Affinity {
            wait_known_ms: 0,
            wait_unknown_ms: 0,
            ..Affinity::default()
        },
        ..Settings::default()
    }
}

fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop_oneof![
        Just(Strategy::RoundRobin),
        Just(Strategy::Weighted),
        Just(Strategy::FillFirst),
        Just(Strategy::LeastInflight),
        Just(Strategy::Lru),
    ]
}

fn account() -> impl proptest::strategy::Strategy<Value = Account> {
    let models = prop_oneof![4 => Just(vec![]), 1 => Just(vec![1]), 1 => Just(vec![1, 2])];
    let limit = prop_oneof![3 => Just(u32::MAX), 1 => 1_u32..3];
    (0_u8..2, 0_u32..6, limit, models)
        .prop_map(|(tier, weight, limit, models)| Account::new(tier, weight, limit, models))
}

/// A pool and the model of it, and the permits of both.
struct Pair {
    pool: Pool,
    model: Model,
    permits: Vec<(Option<Permit>, u64)>,
    now: u64,
}

impl Pair {
    fn new(strategy: Strategy, accounts: Vec<Account>) -> Self {
        let settings = settings(strategy);
        let mut pool = Pool::new(settings);
        for (index, account) in accounts.iter().enumerate() {
            let spec = AccountSpec {
                tier: account.tier,
                weight: account.weight,
                max_inflight: (account.max_inflight < u32::MAX).then_some(account.max_inflight),
                models: account
                    .models
                    .iter()
                    .map(|m| MODELS[*m as usize].to_owned())
                    .collect(),
                ..AccountSpec::new(format!("account-{index}"), "anthropic")
            };
            pool.upsert(&spec, 0);
        }
        for name in MODELS {
            pool.model(name);
        }
        Self {
            pool,
            model: Model::new(settings, accounts),
            permits: Vec::new(),
            now: 1_000_000,
        }
    }

    fn pick(&mut self, told: u64, model: u32, session: Option<u64>, exclude: u8) {
        let slots: Vec<_> = self.pool.slots().collect();
        let excluded: Vec<_> = slots
            .iter()
            .filter(|s| exclude >> s.index() & 1 != 0)
            .copied()
            .collect();
        let request = Request {
            model: self.pool.model(MODELS[model as usize]),
            session,
            exclude: &excluded,
            ..Request::default()
        };
        let before = self.model.issued;
        let expected = self.model.pick(self.now, model, session, exclude);
        let (answer, permit) = match self.pool.pick(told, &request) {
            Pick::Use(permit) => (Answer::Use(permit.slot().index() as usize), Some(permit)),
            Pick::Wait {
                why: Why::Concurrency,
                ..
            } => (Answer::Busy, None),
            Pick::Wait { until, .. } => (Answer::Wait(until), None),
            Pick::None { .. } => (Answer::None, None),
        };
        assert_eq!(answer, expected);
        if self.model.issued > before {
            self.permits.push((permit, self.model.issued));
        }
    }

    /// One of the last permits.
    fn last(&mut self, which: usize) -> Option<&mut (Option<Permit>, u64)> {
        let place = self.permits.len().checked_sub(which + 1)?;
        self.permits.get_mut(place)
    }

    fn step(&mut self, step: &Step, told: u64) {
        let now = self.now;
        match step {
            Step::Pick {
                model,
                session,
                exclude,
                ..
            } => self.pick(told, *model, *session, *exclude),
            Step::Headers(which) => {
                let Some((Some(permit), id)) = self.last(*which) else {
                    return;
                };
                let (permit, id) = (permit.id(), *id);
                if let Some(permit) = self.pool.permit(permit) {
                    self.pool
                        .on_headers(told, &permit, true, &QuotaView::default());
                }
                self.model.headers(now, id);
            }
            Step::Ok(which) => self.report(*which, None, told),
            Step::Fail(which, answer) => self.report(*which, Some(*answer), told),
            Step::Enable(which, on) => {
                let Some(slot) = self.pool.slots().nth(*which) else {
                    return;
                };
                self.pool.set_enabled(slot, *on, told);
                self.model.accounts[*which].enabled = *on;
            }
            Step::Reset(which) => {
                let Some(slot) = self.pool.slots().nth(*which) else {
                    return;
                };
                self.pool.reset(slot, told);
                self.model.reset(*which);
            }
            Step::Restart => {
                let json = serde_json::to_string(&self.pool.snapshot()).unwrap();
                let state = serde_json::from_str(&json).unwrap();
                self.pool = Pool::restore(*self.pool.settings(), &state, told).unwrap();
            }
            Step::Clock(_) => {}
        }
    }

    fn report(
        &mut self,
        which: usize,
        answer: Option<flowgate_core::accounts::Classification>,
        told: u64,
    ) {
        let now = self.now;
        let Some((permit, id)) = self.last(which) else {
            return;
        };
        let (permit, id) = (permit.take(), *id);
        let Some(permit) = permit else { return };
        let outcome = answer.map_or(Outcome::ok(None), Outcome::from);
        self.pool.report(told, permit, &outcome);
        self.model.report(now, id, answer);
    }
}

proptest! {
    #[test]
    fn the_pool_answers_as_the_model_does(
        strategy in strategies(),
        accounts in prop::collection::vec(account(), 1..6),
        script in script(),
    ) {
        let mut pair = Pair::new(strategy, accounts);
        for step in &script {
            let mut told = pair.now;
            if let Step::Clock(change) = step {
                // Time that goes back stands still.
                pair.now = pair.now.max(pair.now.saturating_add_signed(*change));
                told = told.saturating_add_signed(*change);
                pair.pool.expire(told);
                pair.model.expire(pair.now);
            }
            pair.step(step, told);
            for slot in pair.pool.slots().collect::<Vec<_>>() {
                let underway = pair.model.underway(slot.index() as usize);
                prop_assert_eq!(pair.pool.inflight(Some(slot)), underway);
            }
        }
    }
}
