//! A pretended provider, so that anyone can try rotation without keys.
//!
//! It speaks the HTTP of OpenAI (`/v1/chat/completions`, `/v1/responses`, `/v1/models`) and of
//! Anthropic (`/v1/messages`, `/v1/messages/count_tokens`), whole and as streams, with the headers
//! and bodies that they send when something is used up. `/health` and its kin answer as LiteLLM
//! does, and `/dev/counts` says what happened to each key.
//!
//! A pretended [`Gateway`] stands in front of providers, and reads what LiteLLM reads.

mod answers;
mod gateway;
mod limits;
mod script;
mod server;
mod speech;

pub use gateway::{Gateway, Routes};
pub use script::{Fault, Key, KeyState, Limits, Outage, Script, WindowLimit};
pub use server::{Provider, serve};
