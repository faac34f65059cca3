//! What a decision of the guard costs on a machine that others use too: `cargo bench --bench latency`.
//!
//! Each command of `commands.txt` is measured in many short runs, and the fastest counts. With
//! `--json`, a line of JSON a command is printed, for `benches/peers/guard`.

use std::hint::black_box;
use std::time::Instant;

use flowgate_core::guard::{Context, Guard};

const RUNS: u32 = 300;
const CHECKS: u32 = 32;

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let guard = Guard::default();
    let context = Context::new("/home/dev/project", "/home/dev");
    let mut all: Vec<f64> = Vec::new();
    for command in include_str!("commands.txt").lines() {
        let nanoseconds = fastest(|| {
            black_box(guard.check(black_box(command), &context));
        });
        all.push(nanoseconds);
        if json {
            println!("{{\"command\": {command:?}, \"ns\": {nanoseconds:.1}}}");
        } else {
            println!("{nanoseconds:8.0} ns  {command}");
        }
    }
    if json {
        return;
    }
    all.sort_by(f64::total_cmp);
    let (median, worst) = (all[all.len() / 2], all[all.len() - 1]);
    println!(
        "median {median:.0} ns, worst {worst:.0} ns of {} commands",
        all.len()
    );
    for (name, command) in [
        ("true;", "true; ".repeat(17_000)),
        (
            "git add",
            format!("git add{}", " src/file.rs".repeat(9_000)),
        ),
    ] {
        let nanoseconds = fastest(|| {
            black_box(guard.check(black_box(&command), &context));
        });
        println!("{:8.0} us  100 KB of {name}", nanoseconds / 1e3);
    }
}

/// The time of one call in the fastest of many runs, in nanoseconds.
fn fastest(mut call: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let mut runs = RUNS;
    let mut checks = CHECKS;
    while runs > 0 {
        let start = Instant::now();
        for _ in 0..checks {
            call();
        }
        let taken = start.elapsed();
        best = best.min(taken.as_secs_f64() * 1e9 / f64::from(checks));
        // Long ones need no repetition.
        if taken.as_millis() > 5 {
            (runs, checks) = (runs.min(20), 1);
        }
        runs -= 1;
    }
    best
}
