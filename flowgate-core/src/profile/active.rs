//! Which profile is active, as `state.json` keeps it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The content of `state.json`. What another release added to it is ignored.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct State {
    /// The active profile.
    pub current_profile: String,
    /// When it became active, in RFC 3339 with milliseconds.
    pub updated_at: String,
}

/// The text of `state.json` for a profile that became active at `now` (milliseconds since 1970).
///
/// ```
/// let text = flowgate_core::profile::state_json("cost", 1_771_200_000_123);
/// assert_eq!(text, "{\n  \"current_profile\": \"cost\",\n  \"updated_at\": \"2026-02-16T00:00:00.123Z\"\n}\n");
/// ```
pub fn state_json(profile: &str, now: Timestamp) -> String {
    let state = State {
        current_profile: profile.to_owned(),
        updated_at: crate::rfc3339(now),
    };
    // Two strings always serialize.
    serde_json::to_string_pretty(&state).unwrap_or_default() + "\n"
}
