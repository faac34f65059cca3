//! The control layer for AI coding agents, as decisions without effects.
//!
//! Without features this crate opens no files and no sockets, starts no threads, and never asks
//! what time it is. Text comes in as `&str`, time as a [`Timestamp`], and what is to be done goes
//! out as a value. The drivers that act on these values are in `runtime`, behind the feature of
//! that name.
//!
//! # The rooms
//!
//! * [`accounts`]: which provider account serves the next request, and what does this answer mean?
//! * [`guard`]: may this shell command run?
//! * [`auth`]: how does one sign in at a provider, and what credentials are there?
//! * [`bootstrap`]: which file of a release is for this machine, and is it what was published?
//! * [`clients`]: what do the agents' own settings say, so that they use the gateway?
//! * [`config`]: what is my setup, is it right, and where exactly is it wrong?
//! * [`health`]: what is to be asked of services, and what do the answers mean?
//! * [`profile`]: what does it become under a profile, and where did each value come from?
//! * [`supervise`]: what is to be done so that services stay up?
//! * [`yaml`]: documents that remember where everything stood.
//! * [`event`]: what happened, as one line each.
//! * [`redact`]: secrets do not show.
//! * [`diagnostic`]: what is wrong, where, and what to do about it.
//!
//! # Example
//!
//! ```
//! use flowgate_core::config::Config;
//!
//! let config = Config::from_yaml(flowgate_core::config::STARTER)?;
//! let balanced = config.profile("balanced")?;
//! let origin = &balanced.origins()[0];
//! assert_eq!((origin.path.as_str(), origin.layer.as_str()), ("model_list[0].model_name", "litellm_base"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! * `runtime`: the drivers, which read and write files and run credential commands.
//! * `http`: the drivers that speak HTTP. `process`: the supervisor. `redis`: shared account pools.
//! * `schema`: [`config::json_schema`](config), generated from the types.
//! * `uniffi`: the surface for Kotlin, Swift and Ruby.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod auth;
pub mod bootstrap;
pub mod clients;
pub mod config;
pub mod diagnostic;
pub mod event;
#[cfg(feature = "uniffi")]
pub mod ffi;
pub mod guard;
pub mod health;
mod jsonc;
pub mod profile;
pub mod redact;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(any(feature = "runtime", feature = "uniffi"))]
#[cfg_attr(
    not(feature = "runtime"),
    allow(unreachable_pub, reason = "`runtime` is where it is seen")
)]
mod services;
pub mod supervise;
pub mod yaml;

#[cfg(feature = "uniffi")]
uniffi::setup_scaffolding!("flowgate");

/// A moment, in milliseconds since 1970-01-01 00:00 UTC.
pub type Timestamp = u64;

/// A moment as RFC 3339 with milliseconds. What is later than the year 9999 has no such form, and
/// is written as its last millisecond.
pub(crate) fn rfc3339(moment: Timestamp) -> String {
    let millis = std::time::Duration::from_millis(moment.min(253_402_300_799_999));
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + millis).to_string()
}

/// The text that removes a key in a profile.
pub(crate) const DELETE: &str = "$delete";
