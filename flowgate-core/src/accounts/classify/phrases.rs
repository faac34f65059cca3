//! What error messages say in words, and when they say to come back.

use memchr::memmem;

use super::super::moment::{self, Wait};
use crate::Timestamp;

/// The text of a body in lower case, as far as it is looked at.
#[derive(Clone, Copy)]
pub(super) struct Phrases<'t>(&'t [u8]);

impl<'t> Phrases<'t> {
    /// `lower` is in lower case.
    pub(super) fn new(lower: &'t [u8]) -> Self {
        Self(lower)
    }

    pub(super) fn has(self, phrase: &str) -> bool {
        memmem::find(self.0, phrase.as_bytes()).is_some()
    }

    pub(super) fn has_any(self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.has(phrase))
    }

    /// Whether a phrase is there; they all have the stem in them, so that the text is looked
    /// through once.
    pub(super) fn has_any_with(self, stem: &str, phrases: &[&str]) -> bool {
        self.has(stem) && self.has_any(phrases)
    }

    /// Whether one line says of a model that it is not there.
    pub(super) fn misses_model(self) -> bool {
        self.0.split(|b| *b == b'\n').any(|line| {
            memmem::find(line, b"model")
                .is_some_and(|at| Self(&line[at..]).has_any(&["not found", "does not exist"]))
        })
    }

    /// The wait that the message states in words: "try again in 6m0s".
    pub(super) fn wait(self, now: Timestamp) -> Option<Wait> {
        let spoken = SAYS_WHEN
            .iter()
            .filter_map(|phrase| self.wait_after(phrase))
            .min_by_key(|(at, _)| *at);
        spoken
            .map(|(_, wait)| wait)
            .filter(|wait| *wait > 0 && moment::plausible(*wait).is_some())
            .or_else(|| self.wait_until_epoch(now))
    }

    /// The first place where this phrase is followed by a duration.
    fn wait_after(self, phrase: &str) -> Option<(usize, Wait)> {
        memmem::find_iter(self.0, phrase.as_bytes()).find_map(|at| {
            let rest = self.0[at + phrase.len()..].trim_ascii_start();
            // A duration is short: what stands further on is not looked at.
            let rest = &rest[..rest.len().min(LONGEST_DURATION)];
            let ascii = rest
                .iter()
                .position(|b| !b.is_ascii())
                .unwrap_or(rest.len());
            let rest = str::from_utf8(&rest[..ascii]).ok()?;
            let (millis, _) = moment::duration_prefix(rest)?;
            Some((at, moment::round_up(millis)))
        })
    }

    /// Claude Code reports a spent subscription as `limit reached|1700000000`.
    fn wait_until_epoch(self, now: Timestamp) -> Option<Wait> {
        const MARK: &[u8] = b"limit reached|";
        let at = memmem::find(self.0, MARK)? + MARK.len();
        let digits = self.0[at..]
            .iter()
            .take(13)
            .take_while(|b| b.is_ascii_digit());
        let length = digits.count();
        let number = str::from_utf8(&self.0[at..at + length]).ok()?;
        let wait = moment::epoch(number.parse().ok()?, now);
        (length >= 10 && wait > 0 && moment::plausible(wait).is_some()).then_some(wait)
    }
}

const LONGEST_DURATION: usize = 64;

/// What stands before a duration.
const SAYS_WHEN: [&str; 6] = [
    "try again in",
    "try again after",
    "retry in",
    "retry after",
    "reset after",
    "reset in",
];

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = 1_700_000_000_000;

    fn wait(text: &str) -> Option<Wait> {
        Phrases::new(text.as_bytes()).wait(NOW)
    }

    #[test]
    fn waits_are_read_from_words() {
        for (text, millis) in [
            ("please try again in 500ms.", 500),
            ("try again in 6m0s. visit", 360_000),
            ("please retry in 27.86s", 27_860),
            ("your quota will reset after 1h43m56s.", 6_236_000),
            ("try again in 30 seconds", 30_000),
            ("try again in 3 days 4 hours 12 minutes.", 274_320_000),
            ("retry in a while, or retry in 5s", 5_000),
            ("please retry after 20 seconds", 20_000),
            ("claude ai usage limit reached|1700000045", 45_000),
            ("limit reached|1700000045000", 45_000),
        ] {
            assert_eq!(wait(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_wait_is_none() {
        for text in [
            "",
            "try again in 1 month",
            "try again later",
            "reset after 0s",
            "retry in 99999999 days",
            "limit reached|170000004",
            "limit reached|1600000000",
            "429 and 14290ms elapsed",
        ] {
            assert_eq!(wait(text), None, "{text}");
        }
    }

    #[test]
    fn a_model_is_missed_in_one_line() {
        let misses = |text: &str| Phrases::new(text.as_bytes()).misses_model();
        assert!(misses("the model `x` does not exist"));
        assert!(misses("a\nmodel: y was not found"));
        assert!(!misses("the model\nwas not found"));
        assert!(!misses("not found: model"));
    }
}
