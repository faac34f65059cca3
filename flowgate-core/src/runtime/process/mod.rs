//! The supervisor as it acts: real processes, their output, their ports.
//!
//! [`supervise`](crate::supervise) decides; this carries out what it decided, and tells it what came
//! of that.

mod forward;
mod identity;
mod listen;
mod logs;
mod nursery;
mod ports;
mod proc;
mod shim;
mod wire;

pub use shim::run_if_asked;
