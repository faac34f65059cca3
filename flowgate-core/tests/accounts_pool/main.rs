//! The account pool: what it promises, against a model that is slow and obvious, and without one.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

mod agreement;
mod invariants;
#[path = "../shared/log.rs"]
mod log;
mod model;
mod peers;
mod scenarios;
mod script;
