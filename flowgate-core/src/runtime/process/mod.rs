//! The supervisor as it acts: real processes, their output, their ports.
//!
//! [`supervise`](crate::supervise) decides; this carries out what it decided, and tells it what came
//! of that.

#[allow(dead_code, unused_imports, reason = "the driver comes next")]
mod control;

pub use control::{ControlError, Refusal};
