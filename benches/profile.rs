//! Laying profiles over the base, and writing the result: `cargo bench --bench profile`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use flowgate_benches::{large, starter};
use flowgate_core::config::Config;
use flowgate_core::profile::{self, Secrets};

/// The target is 3 µs for merging with the layer of every value known.
fn balanced(c: &mut Criterion) {
    let config = starter();
    let base = config.document().get("litellm_base").expect("has a base");
    let overlay = config
        .document()
        .get("profiles")
        .and_then(|profiles| profiles.get("balanced"))
        .expect("has the profile");
    let secrets: Secrets = [("cliproxy".to_owned(), "sk-secret".into())].into();

    let mut group = c.benchmark_group("balanced");
    group.bench_function("merge", |b| {
        b.iter(|| profile::merge(black_box(base), black_box(overlay)));
    });
    group.bench_function("merge and visit every leaf", |b| {
        b.iter(|| {
            let merged = profile::merge(black_box(base), black_box(overlay));
            let mut overlaid_leaves = 0;
            merged.visit_leaves(&mut |path, _, overlaid| {
                black_box(path);
                overlaid_leaves += usize::from(overlaid);
            });
            overlaid_leaves
        });
    });
    group.bench_function("merge into a document", |b| {
        b.iter(|| profile::merge_documents(black_box(base), black_box(overlay)));
    });
    group.bench_function("profile", |b| {
        b.iter(|| config.profile(black_box("balanced")).is_ok())
    });
    let balanced = config.profile("balanced").expect("has the profile");
    group.bench_function("profile and origins", |b| {
        b.iter(|| {
            config
                .profile(black_box("balanced"))
                .map(|profile| profile.origins())
        });
    });
    group.bench_function("explain", |b| b.iter(|| black_box(&balanced).explain()));
    group.bench_function("render", |b| {
        b.iter(|| black_box(&balanced).render(&secrets));
    });
    let cost = config.profile("cost").expect("has the profile");
    group.bench_function("diff", |b| b.iter(|| balanced.diff(black_box(&cost))));
    group.finish();
}

fn ten_thousand_lines(c: &mut Criterion) {
    let config = Config::from_yaml(&large()).expect("the document is right");
    let mut group = c.benchmark_group("10,000 lines");
    group.sample_size(20);
    group.bench_function("profile", |b| {
        b.iter(|| config.profile(black_box("region-7")).is_ok())
    });
    let region = config.profile("region-7").expect("has the profile");
    group.bench_function("origins", |b| b.iter(|| black_box(&region).origins()));
    group.bench_function("explain", |b| b.iter(|| black_box(&region).explain()));
    group.finish();
}

criterion_group! {
    name = suite;
    config = Criterion::default().warm_up_time(Duration::from_secs(1));
    targets = balanced, ten_thousand_lines
}
criterion_main!(suite);
