//! Any saved state is a pool or an error, and a pool that was restored keeps its promises.

#![no_main]

use flowgate_core::accounts::{
    Answer, Outcome, Pick, Pool, PoolState, Request, Rules, Settings, classify,
};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_700_000_000_000;

fuzz_target!(|text: &str| {
    let Ok(state) = serde_json::from_str::<PoolState>(text) else {
        return;
    };
    let Ok(mut pool) = Pool::restore(Settings::default(), &state, NOW) else {
        return;
    };
    let model = pool.model("m");
    for at in [NOW, NOW + 1_000, NOW + 3_600_000] {
        pool.expire(at);
        let request = Request {
            model,
            session: None,
            tokens: 100,
            exclude: &[],
            since: None,
        };
        pool.explain(at, &request);
        if let Pick::Use(permit) = pool.pick(at, &request) {
            let refused = Answer {
                status: Some(429),
                ..Answer::default()
            };
            let answer = classify(&refused, at, &Rules::default());
            let outcome = Outcome {
                answer,
                quota: None,
                tokens: None,
            };
            pool.report(at, permit, &outcome);
        }
        pool.next_deadline();
    }
    let saved = pool.snapshot();
    Pool::restore(Settings::default(), &saved, NOW).expect("what was saved can be restored");
});
