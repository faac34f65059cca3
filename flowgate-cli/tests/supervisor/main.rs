//! Services as real processes, which do everything that processes do.

#![cfg(target_os = "linux")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

mod clock;
mod faults;
mod lifecycle;
mod original;
mod program;
mod quickstart;
mod rig;
mod switch;
mod ways;
