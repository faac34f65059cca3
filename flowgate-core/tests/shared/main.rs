//! Pools of several processes, through a real server.

#![cfg(feature = "redis")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

mod blocking;
mod child;
mod log;
#[cfg(feature = "http")]
mod refresh;
mod secured;
mod server;
mod sharing;
mod strict;
