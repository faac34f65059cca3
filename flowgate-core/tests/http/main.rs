//! What speaks HTTP, over real sockets.

#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod executor;
mod provider;
