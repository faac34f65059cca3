//! Reading, checking, resolving and migrating configurations: `cargo bench --bench config`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use flowgate_benches::{BASE, forty_typos, large, starter};
use flowgate_core::config::{Config, STARTER, migrate};
use flowgate_core::yaml;

/// A small document of version 1, with every key that version 2 renames.
const VERSION_1: &str = "\
config_version: 1  # of the first release
services:
  cliproxyapi: { port: 8317, command: { args: [proxy] } }
secrets: [.router/secrets/cliproxy.key]
oauth:
  codex: { method: oauth_poll }
";

/// The target is 150 µs for reading, checking and resolving.
fn the_starter(c: &mut Criterion) {
    let mut group = c.benchmark_group("starter");
    group.bench_function("load, check and resolve", |b| {
        b.iter(|| Config::from_yaml(black_box(STARTER)).map(|config| config.resolve(&BASE)));
    });
    group.bench_function("load and check", |b| {
        b.iter(|| Config::from_yaml(black_box(STARTER)));
    });
    group.bench_function("parse", |b| b.iter(|| yaml::parse(black_box(STARTER))));
    let config = starter();
    group.bench_function("resolve", |b| b.iter(|| black_box(&config).resolve(&BASE)));
    group.bench_function("write", |b| {
        b.iter(|| yaml::to_yaml(black_box(config.document())));
    });
    group.finish();
}

/// The target is 30 ms for all of it.
fn ten_thousand_lines(c: &mut Criterion) {
    let text = large();
    let mut group = c.benchmark_group("10,000 lines");
    group.sample_size(20);
    group.bench_function("load, check and resolve", |b| {
        b.iter(|| Config::from_yaml(black_box(&text)).map(|config| config.resolve(&BASE)));
    });
    group.bench_function("load and check", |b| {
        b.iter(|| Config::from_yaml(black_box(&text)));
    });
    group.bench_function("parse", |b| b.iter(|| yaml::parse(black_box(&text))));
    group.bench_function("migrate", |b| b.iter(|| migrate(black_box(&text))));
    group.finish();
}

fn mistakes_and_old_versions(c: &mut Criterion) {
    let typos = forty_typos();
    c.bench_function("forty typos, each with a suggestion", |b| {
        b.iter(|| Config::from_yaml(black_box(&typos)));
    });
    c.bench_function("migrate version 1", |b| {
        b.iter(|| migrate(black_box(VERSION_1)));
    });
}

criterion_group! {
    name = suite;
    config = Criterion::default().warm_up_time(Duration::from_secs(1));
    targets = the_starter, ten_thousand_lines, mistakes_and_old_versions
}
criterion_main!(suite);
