//! How much each operation allocates: `cargo bench --bench allocations`.
//!
//! Counts do not depend on how busy the machine is, so they show a change that times hide.

#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written without it"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use flowgate_benches::{BASE, forty_typos, large, starter};
use flowgate_core::config::{Config, STARTER, migrate};
use flowgate_core::profile;
use flowgate_core::yaml;

/// The system's allocator, counting.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to `System` unchanged, so its guarantees hold; the counters are atomic
// and do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size(), Relaxed);
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `System`, through `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn report<T>(name: &str, operation: impl FnOnce() -> T) {
    let (count, bytes, live) = (COUNT.load(Relaxed), BYTES.load(Relaxed), LIVE.load(Relaxed));
    PEAK.store(live, Relaxed);
    let result = black_box(operation());
    let (count, bytes) = (COUNT.load(Relaxed) - count, BYTES.load(Relaxed) - bytes);
    let (kept, peak) = (LIVE.load(Relaxed) - live, PEAK.load(Relaxed) - live);
    drop(result);
    println!("{name:<44}{count:>10}{bytes:>12}{peak:>12}{kept:>12}");
}

fn main() {
    let large = large();
    let typos = forty_typos();
    let config = starter();
    let large_config = Config::from_yaml(&large).expect("the document is right");
    let balanced = config.profile("balanced").expect("has the profile");
    let base = config.document().get("litellm_base").expect("has a base");
    let profiles = config.document().get("profiles").expect("has profiles");
    let overlay = profiles.get("balanced").expect("has the profile");

    println!(
        "{:<44}{:>10}{:>12}{:>12}{:>12}",
        "operation", "count", "bytes", "peak bytes", "kept bytes"
    );
    report("starter: parse", || yaml::parse(STARTER));
    report("starter: load and check", || Config::from_yaml(STARTER));
    report("starter: resolve", || config.resolve(&BASE));
    report("balanced: merge", || profile::merge(base, overlay));
    report("balanced: profile and origins", || {
        config.profile("balanced").map(|profile| profile.origins())
    });
    report("balanced: explain", || balanced.explain());
    report("forty typos", || Config::from_yaml(&typos));
    report("10,000 lines: parse", || yaml::parse(&large));
    report("10,000 lines: load and check", || Config::from_yaml(&large));
    report("10,000 lines: resolve", || large_config.resolve(&BASE));
    report("10,000 lines: migrate", || migrate(&large));
}
