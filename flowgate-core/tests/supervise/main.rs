//! The supervisor as a machine, against an operating system that is made up: what must hold
//! whatever happens.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod apply;
mod invariants;
mod pairs;
mod scenarios;
mod sim;
