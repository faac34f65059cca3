//! Pools of several processes, through a real server.

#![cfg(feature = "redis")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

mod child;
mod log;
mod server;
mod sharing;
mod strict;
