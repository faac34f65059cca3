//! What was learned about updates, and how long it holds.

use serde::{Deserialize, Serialize};

use super::is_newer;
use crate::Timestamp;

/// How long an answer holds, in milliseconds.
const GOOD_FOR: u64 = 24 * 3600 * 1000;
/// How long a failure holds, in milliseconds.
const FAILURE_GOOD_FOR: u64 = 3600 * 1000;

/// What was learned about updates. A text that is none is not an error: it is as if there were none.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UpdateCache {
    /// When, in milliseconds since the epoch.
    pub checked_at: Timestamp,
    /// The version that was installed then.
    pub current_version: String,
    /// The latest version; `None` if the question failed.
    pub latest_version: Option<String>,
    /// The page about it.
    pub release_url: Option<String>,
}

impl UpdateCache {
    /// Reads what was kept.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// True if it still holds for an installed version: it is not too old, and not from the future.
    pub fn holds(&self, current: &str, now: Timestamp) -> bool {
        let good_for = match self.latest_version {
            Some(_) => GOOD_FOR,
            None => FAILURE_GOOD_FOR,
        };
        let age = now.checked_sub(self.checked_at);
        self.current_version == current && age.is_some_and(|age| age < good_for)
    }

    /// The version to update to, if there is one.
    pub fn update(&self) -> Option<&str> {
        let latest = self.latest_version.as_deref()?;
        is_newer(latest, &self.current_version).then_some(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(checked_at: Timestamp, latest: Option<&str>) -> UpdateCache {
        UpdateCache {
            checked_at,
            current_version: "v1".to_owned(),
            latest_version: latest.map(str::to_owned),
            release_url: None,
        }
    }

    #[test]
    fn an_answer_holds_for_a_day_and_a_failure_for_an_hour() {
        let then = 1_000_000;
        for (latest, now, holds) in [
            (Some("v2"), then + GOOD_FOR - 1, true),
            (Some("v2"), then + GOOD_FOR, false),
            (None, then + FAILURE_GOOD_FOR - 1, true),
            (None, then + FAILURE_GOOD_FOR, false),
            (Some("v2"), then - 1, false),
        ] {
            assert_eq!(
                cache(then, latest).holds("v1", now),
                holds,
                "{latest:?} {now}"
            );
        }
        assert!(
            !cache(then, Some("v2")).holds("v1.5", then),
            "another version is installed now"
        );
        assert_eq!(cache(0, Some("v2")).update(), Some("v2"));
        assert_eq!(
            (
                cache(0, Some("v1")).update(),
                cache(0, Some("")).update(),
                cache(0, None).update()
            ),
            (None, None, None)
        );
    }

    #[test]
    fn what_is_no_cache_is_none() {
        for text in [
            "{",
            "[1]",
            "",
            r#"{"checked_at": "x", "current_version": "v1"}"#,
        ] {
            assert_eq!(UpdateCache::read(text), None, "{text}");
        }
        let kept = cache(5, Some("v2"));
        assert_eq!(
            UpdateCache::read(&serde_json::to_string(&kept).unwrap()),
            Some(kept)
        );
    }
}
