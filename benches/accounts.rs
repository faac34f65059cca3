//! What a decision of the account pool costs: `cargo bench --bench accounts`.
//!
//! Half of the accounts rest, eight models have failures of their own, and half of the requests
//! belong to a session.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use flowgate_core::accounts::{
    AccountSpec, Action, BucketView, Class, Classification, Model, Outcome, Permit, Pick, Pool,
    QuotaView, Request, Scope, Settings, Strategy,
};

const SIZES: [u32; 3] = [10, 1_000, 100_000];
const NOW: u64 = 1_700_000_000_000;
/// How many permits are out before they are reported.
const BATCH: u64 = 64;

struct Fixture {
    pool: Pool,
    models: Vec<Model>,
    turn: u64,
}

fn failure(scope: Scope, cooldown_ms: u64) -> Outcome<'static> {
    Outcome::from(Classification {
        class: Class::Rate,
        scope,
        action: Action::Next,
        cooldown_ms: Some(cooldown_ms),
    })
}

impl Fixture {
    fn new(accounts: u32, strategy: Strategy) -> Self {
        let mut pool = Pool::new(Settings {
            strategy,
            ..Settings::default()
        });
        let mut slots = Vec::new();
        for number in 0..accounts {
            let spec = AccountSpec::new(format!("claude-{number}"), "anthropic");
            slots.push(pool.upsert(&spec, NOW));
        }
        let models: Vec<Model> = (0..8).map(|n| pool.model(&format!("model-{n}"))).collect();
        for (number, slot) in slots.into_iter().enumerate() {
            let until = NOW + 86_400_000;
            if number.is_multiple_of(2) {
                pool.learn_cooldown(NOW, slot, Model::ANY, until, Class::Rate);
            } else if number % 16 == 1 {
                let model = models[number / 16 % 8];
                pool.learn_cooldown(NOW, slot, model, until, Class::Rate);
            }
        }
        Self {
            pool,
            models,
            turn: 0,
        }
    }

    fn request(&mut self) -> Request<'static> {
        self.turn += 1;
        Request {
            model: self.models[self.turn as usize % 8],
            session: self.turn.is_multiple_of(2).then_some(self.turn / 2 % 1_024),
            tokens: 1_000,
            ..Request::default()
        }
    }

    fn pick(&mut self, request: &Request<'_>) -> Permit {
        match self.pool.pick(NOW + 1, request) {
            Pick::Use(permit) => permit,
            other => unreachable!("half of them are free: {other:?}"),
        }
    }
}

fn view() -> QuotaView {
    let mut view = QuotaView::default();
    let plenty = |limit| {
        Some(BucketView {
            limit: Some(limit),
            remaining: limit - 10,
            full_in_ms: Some(1_000),
        })
    };
    view.requests = plenty(1_000_000);
    view.tokens = plenty(1_000_000_000);
    view
}

/// The time of one part of a round, over many rounds.
fn timed(
    rounds: u64,
    fixture: &mut Fixture,
    mut part: impl FnMut(&mut Fixture, u64) -> Duration,
) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = rounds;
    while left > 0 {
        let batch = left.min(BATCH);
        total += part(fixture, batch);
        left -= batch;
    }
    total
}

/// Picks, timed, and the reports, not timed.
fn picks(fixture: &mut Fixture, batch: u64) -> Duration {
    let requests: Vec<_> = (0..batch).map(|_| fixture.request()).collect();
    let mut permits = Vec::with_capacity(requests.len());
    let start = Instant::now();
    for request in &requests {
        permits.push(fixture.pick(black_box(request)));
    }
    let took = start.elapsed();
    for permit in permits {
        fixture.pool.report(NOW + 1, permit, &Outcome::ok(None));
    }
    took
}

/// Refusals, timed; the picks and the recovery, not timed.
fn refusals(fixture: &mut Fixture, batch: u64) -> Duration {
    let permits: Vec<_> = (0..batch)
        .map(|_| {
            let request = fixture.request();
            fixture.pick(&request)
        })
        .collect();
    let slots: Vec<_> = permits.iter().map(Permit::slot).collect();
    let outcome = failure(Scope::Account, 60_000);
    let start = Instant::now();
    for permit in permits {
        black_box(fixture.pool.report(NOW + 1, permit, &outcome));
    }
    let took = start.elapsed();
    for slot in slots {
        fixture.pool.reset(slot, NOW + 1);
    }
    took
}

fn pool(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool");
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(700));
    for size in SIZES {
        let mut fixture = Fixture::new(size, Strategy::Auto);
        group.bench_function(BenchmarkId::new("pick", size), |b| {
            b.iter_custom(|rounds| timed(rounds, &mut fixture, picks));
        });
        let view = view();
        group.bench_function(BenchmarkId::new("pick_headers_ok", size), |b| {
            b.iter(|| {
                let request = fixture.request();
                let permit = fixture.pick(&request);
                fixture.pool.on_headers(NOW + 1, &permit, true, &view);
                fixture
                    .pool
                    .report(NOW + 1, permit, &Outcome::ok(Some(900)))
            });
        });
        // With fewer accounts, a batch of refusals would leave none to choose.
        if size >= 1_000 {
            let mut fixture = Fixture::new(size, Strategy::Auto);
            group.bench_function(BenchmarkId::new("report_429", size), |b| {
                b.iter_custom(|rounds| timed(rounds, &mut fixture, refusals));
            });
        }
    }
    for strategy in [
        Strategy::RoundRobin,
        Strategy::FillFirst,
        Strategy::Weighted,
        Strategy::LeastInflight,
        Strategy::Lru,
        Strategy::DrainSoonest,
    ] {
        let mut fixture = Fixture::new(1_000, strategy);
        group.bench_function(
            BenchmarkId::new("pick_1000", format!("{strategy:?}")),
            |b| {
                b.iter_custom(|rounds| timed(rounds, &mut fixture, picks));
            },
        );
    }
    group.sample_size(10);
    group.bench_function("upsert_100000", |b| {
        b.iter(|| Fixture::new(0, Strategy::Auto).fill(100_000))
    });
    group.finish();
}

impl Fixture {
    fn fill(mut self, accounts: u32) -> Pool {
        let mut spec = AccountSpec::new("", "anthropic");
        for number in 0..accounts {
            spec.id.clear();
            // Writing to a `String` cannot fail.
            let _ = std::fmt::Write::write_fmt(&mut spec.id, format_args!("claude-{number}"));
            self.pool.upsert(&spec, NOW);
        }
        self.pool
    }
}

/// Two threads that pick and report as fast as they can.
fn contended(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool_2_threads");
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(1));
    let fixture = Mutex::new(Fixture::new(1_000, Strategy::Auto));
    let lock = || fixture.lock().expect("nobody panics");
    let work = |rounds: u64| {
        for _ in 0..rounds {
            let permit = {
                let mut fixture = lock();
                let request = fixture.request();
                fixture.pick(&request)
            };
            lock().pool.report(NOW + 1, permit, &Outcome::ok(None));
        }
    };
    group.bench_function("pick_and_report", |b| {
        b.iter_custom(|rounds| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| work(rounds / 2));
                work(rounds - rounds / 2);
            });
            start.elapsed()
        });
    });
    group.finish();
}

criterion_group!(benches, pool, contended);
criterion_main!(benches);
