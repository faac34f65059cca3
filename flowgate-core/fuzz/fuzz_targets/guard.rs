//! Any command gets an answer, the same each time, and its explanation comes to the same answer.

#![no_main]

use std::sync::LazyLock;

use flowgate_core::guard::{Context, Guard};
use libfuzzer_sys::fuzz_target;

static GUARD: LazyLock<Guard> = LazyLock::new(Guard::default);

fuzz_target!(|command: &str| {
    let context = Context::new("/home/dev/project", "/home/dev");
    let verdict = GUARD.check(command, &context);
    assert_eq!(verdict, GUARD.check(command, &context));
    assert_eq!(verdict, GUARD.explain(command, &context).verdict);
    if let Some(span) = verdict.span {
        assert!(span.start <= span.end && span.end <= command.len());
    }
});
