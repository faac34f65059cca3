//! Whatever an agent sends is answered, and what is not understood does not let a command run.

#![no_main]

use std::sync::LazyLock;

use flowgate_core::guard::hook::{Agent, answer};
use flowgate_core::guard::{Context, Guard};
use libfuzzer_sys::fuzz_target;

static GUARD: LazyLock<Guard> = LazyLock::new(Guard::default);

fuzz_target!(|input: &str| {
    let context = Context::new("/home/dev/project", "/home/dev");
    for agent in [None, Some(Agent::Claude), Some(Agent::Copilot), Some(Agent::Cursor)] {
        let answer = answer(&GUARD, agent, input, &context);
        if serde_json::from_str::<serde_json::Value>(input).is_err() {
            assert!(answer.exit != 0 || !answer.stdout.is_empty());
        }
    }
});
