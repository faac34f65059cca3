//! The native half of the package `flowgate`: converts arguments, calls `flowgate_core`, converts
//! the answer.
//!
//! No decision is taken in this crate. `index.cjs` stands before it: the classes that people see,
//! and the classes of errors. If a function here is longer than its conversions, the rest of it
//! belongs in the core.

#![allow(
    missing_debug_implementations,
    reason = "the types are reached from JavaScript only, which has no `{:?}`"
)]

mod accounts;
mod config;
mod document;
mod error;
mod guard;
#[cfg(target_os = "linux")]
mod supervise;
mod types;
mod work;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use flowgate_core as core;
use flowgate_core::config::Base;
use flowgate_core::runtime;
use napi::bindgen_prelude::*;
use napi_derive::napi;

use crate::accounts::{Classification, ClassifyRules, Said};
use crate::config::Config;
use crate::error::into_js;
use crate::types::{Activation, Merge, Migration, State};
use crate::work::Work;

/// The commented configuration that `flowgate init` writes.
#[napi]
pub const STARTER: &str = core::config::STARTER;

/// The JSON Schema of the configuration, as text.
#[napi]
pub const JSON_SCHEMA: &str = core::config::JSON_SCHEMA;

/// Lays one document over another.
#[napi(catch_unwind)]
pub fn merge<'env>(
    env: &'env Env,
    base: Unknown<'env>,
    overlay: Unknown<'env>,
) -> Result<Merge<'env>> {
    let base = document::from_js(env, base)?;
    let overlay = document::from_js(env, overlay)?;
    let (merged, warnings) = core::profile::merge_documents(&base, &overlay);
    Ok(Merge {
        merged: document::to_js(env, &merged)?,
        warnings: types::all(&warnings),
    })
}

/// Rewrites the text of a configuration as version 2.
#[napi(catch_unwind)]
pub fn migrate(env: &Env, text: String) -> Result<Migration> {
    match core::config::migrate(&text) {
        Ok(migration) => Ok(migration.into()),
        Err(error) => Err(into_js(env, error)),
    }
}

/// Where a path of a configuration leads.
#[napi(catch_unwind)]
pub fn resolve_path(env: &Env, path: String, dir: String, home: Option<String>) -> Result<String> {
    let base = Base {
        dir: &dir,
        home: home.as_deref(),
    };
    core::config::resolve_path(&path, &base).map_err(|error| into_js(env, error))
}

/// Makes a profile the active one.
#[napi(catch_unwind)]
pub fn activate(config: &Config, name: String) -> AsyncTask<Work<Activation>> {
    let config = Arc::clone(&config.0);
    Work::start(move || {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let activation = runtime::activate(&runtime::resolve(&config)?, &name, now)?;
        Ok(Activation::from(activation))
    })
}

/// Which profile is active.
#[napi(catch_unwind)]
pub fn active_profile(env: &Env, config: &Config) -> Result<Option<State>> {
    let state = runtime::resolve(&config.0).and_then(|config| runtime::active_profile(&config));
    match state {
        Ok(state) => Ok(state.map(State::from)),
        Err(error) => Err(into_js(env, error)),
    }
}

/// Says what an answer of a provider means.
#[napi(catch_unwind)]
pub fn classify(
    env: &Env,
    provider: String,
    said: Said,
    rules: Option<&ClassifyRules>,
    now: f64,
) -> Result<Classification> {
    Classification::of(env, &provider, &said, rules, now as u64)
}

/// Panics, so that the tests see what becomes of it; there is no such function in a release.
#[cfg(debug_assertions)]
#[napi(catch_unwind)]
pub fn panic_now() {
    on_purpose()
}

/// Panics on a thread of the pool; there is no such function in a release.
#[cfg(debug_assertions)]
#[napi(catch_unwind)]
pub fn panic_later() -> AsyncTask<Work<Activation>> {
    Work::start(on_purpose)
}

#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "that is what it is for")]
fn on_purpose<T>() -> T {
    panic!("a panic on purpose")
}
