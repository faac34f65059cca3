//! What error messages say in words, and when they say to come back.

use std::ops::Range;

use memchr::memmem::Finder;

use super::super::moment::{self, Wait};
use crate::Timestamp;

/// What a phrase says, wherever it stands in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// The credential is gone, and no refresh brings it back.
    Dead,
    /// The key is not known. Google says so with 400.
    BadKey,
    /// The money is spent, behind any status.
    Broke,
    /// The money is spent, or at 429 a budget.
    NoBalance,
    /// A budget is spent.
    Spent,
    /// A budget is spent, says Google.
    QuotaExhausted,
    /// A budget of a day is spent, as Google names it.
    DaySpent,
    /// It is a rate, whatever else is said.
    OnlyRate,
    /// A challenge stands before the provider.
    Challenge,
    Cloudflare,
    Html,
    /// One model has no capacity, at Google and at Codex.
    NoCapacity,
    /// The account does not serve the model.
    NoModel,
    /// There is no such model.
    ModelNotFound,
    /// An item of a conversation was not stored, says OpenAI.
    NotStored,
    /// The moderation of OpenRouter.
    Flagged,
    FastMode,
    CreditsRequired,
    /// Long contexts cost extra, says Anthropic.
    ExtraUsage,
    Concurrency,
    /// A duration follows.
    When,
    /// A moment follows: Claude Code reports a spent subscription as `limit reached|1700000000`.
    Until,
}

/// Phrases that mean the same and have a stem in common, so that the text is searched once.
pub(super) const PHRASES: [(Says, &str, &[&str]); 36] = {
    use Says::*;
    [
        (
            Dead,
            "account",
            &[
                "account has been deactivated",
                "account_deactivated",
                "account_deleted",
                "account_suspended",
            ],
        ),
        (
            Dead,
            "token",
            &[
                "refresh_token_expired",
                "refresh_token_invalidated",
                "refresh_token_reused",
                "token_invalidated",
            ],
        ),
        (Dead, "invalid_grant", &[]),
        (Dead, "organization has been disabled", &[]),
        (Dead, "consumer_suspended", &[]),
        (Dead, "app_session_terminated", &[]),
        (BadKey, "api key", &["api key expired", "api key not valid"]),
        (BadKey, "api_key_invalid", &[]),
        (Broke, "credit balance is too low", &[]),
        (NoBalance, "insufficient balance", &[]),
        (
            Spent,
            "limit",
            &[
                "billing_hard_limit",
                "monthly usage limit",
                "usage limit reached",
                "usage_limit_reached",
            ],
        ),
        (Spent, "quota", &["insufficient_quota", "quota exhausted"]),
        (QuotaExhausted, "quota_exhausted", &[]),
        (Spent, "insufficient_g1_credits_balance", &[]),
        (DaySpent, "perday", &[]),
        (OnlyRate, "rate_limit_exceeded", &[]),
        (
            Challenge,
            "challenge",
            &["challenge-platform", "cloudflare challenge"],
        ),
        (Challenge, "cf-mitigated", &[]),
        (Cloudflare, "cloudflare", &[]),
        (Html, "<html", &[]),
        (
            NoCapacity,
            "capacity",
            &["model_capacity_exhausted", "selected model is at capacity"],
        ),
        (
            NoModel,
            "model",
            &[
                "model is not supported",
                "model not supported",
                "model unavailable",
                "model_not_supported",
                "requested model is unavailable",
                "requested model is unsupported",
                "unsupported model",
            ],
        ),
        (
            NoModel,
            "not available for your",
            &[
                "not available for your account",
                "not available for your plan",
            ],
        ),
        (ModelNotFound, "model_not_found", &[]),
        (
            NotStored,
            "items are not persisted when `store` is set to false",
            &[],
        ),
        (Flagged, "input was flagged", &[]),
        (FastMode, "fast", &[]),
        (CreditsRequired, "usage credits", &[]),
        (CreditsRequired, "credits are required", &[]),
        (CreditsRequired, "fast request rejected", &[]),
        (ExtraUsage, "extra usage is required", &[]),
        (Concurrency, "concurren", &[]),
        (When, "again", &["try again in", "try again after"]),
        (When, "retry", &["retry in", "retry after"]),
        (When, "reset", &["reset after", "reset in"]),
        (Until, "limit reached|", &[]),
    ]
};

/// The phrases, ready to be searched for.
#[derive(Clone, Debug)]
pub(super) struct Lexicon(Vec<Group>);

#[derive(Clone, Debug)]
struct Group {
    says: Says,
    stem: Finder<'static>,
    /// Each with the place of the stem in it. None if the stem is the phrase.
    phrases: Vec<(usize, &'static str)>,
}

impl Default for Lexicon {
    fn default() -> Self {
        let group = |(says, stem, phrases): (Says, &'static str, &'static [&'static str])| Group {
            says,
            stem: Finder::new(stem),
            phrases: phrases
                .iter()
                .filter_map(|phrase| Some((phrase.find(stem)?, *phrase)))
                .collect(),
        };
        Self(PHRASES.map(group).into())
    }
}

impl Group {
    /// Where its phrases are.
    fn places<'s>(&'s self, text: &'s [u8]) -> impl Iterator<Item = Range<usize>> + 's {
        self.stem.find_iter(text).filter_map(move |at| {
            if self.phrases.is_empty() {
                return Some(at..at + self.stem.needle().len());
            }
            self.phrases.iter().find_map(|(stem, phrase)| {
                let start = at.checked_sub(*stem)?;
                let here = text[start..].starts_with(phrase.as_bytes());
                here.then_some(start..start + phrase.len())
            })
        })
    }
}

/// The text of a body in lower case, as far as it is looked at.
#[derive(Clone, Copy)]
pub(super) struct Phrases<'t> {
    text: &'t [u8],
    lexicon: &'t Lexicon,
}

impl<'t> Phrases<'t> {
    /// `text` is in lower case.
    pub(super) fn new(text: &'t [u8], lexicon: &'t Lexicon) -> Self {
        Self { text, lexicon }
    }

    /// Whether the text says so.
    pub(super) fn says(self, says: Says) -> bool {
        self.places(says).next().is_some()
    }

    /// Whether a string of the JSON is a code that says so, and not only has it somewhere.
    pub(super) fn names(self, says: Says) -> bool {
        self.places(says).any(|place| self.is_a_string(place))
    }

    /// Whether the text says so in a sentence, and not by a code.
    pub(super) fn tells(self, says: Says) -> bool {
        let mut places = self.places(says);
        places.any(|place| self.text[place].contains(&b' '))
    }

    /// Whether the word at a place is all that stands between two quotes. Within a string, quotes
    /// are written with a backslash.
    fn is_a_string(self, place: Range<usize>) -> bool {
        let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let before = &self.text[..place.start];
        let start = before.iter().rposition(|b| !word(b));
        let after = &self.text[place.end..];
        let end = after.iter().position(|b| !word(b));
        let opens = start.is_some_and(|at| before[at] == b'"' && !before[..at].ends_with(b"\\"));
        opens && end.is_some_and(|at| after[at] == b'"')
    }

    /// Where the phrases end that say so.
    fn ends(self, says: Says) -> impl Iterator<Item = usize> + 't {
        self.places(says).map(|place| place.end)
    }

    /// Where the phrases are that say so.
    fn places(self, says: Says) -> impl Iterator<Item = Range<usize>> + 't {
        // An empty text is the usual one.
        let groups = if self.text.is_empty() {
            &[]
        } else {
            &self.lexicon.0[..]
        };
        let groups = groups.iter().filter(move |group| group.says == says);
        groups.flat_map(move |group| group.places(self.text))
    }

    /// Whether one line says of a model that it is not there.
    pub(super) fn misses_model(self) -> bool {
        let (model, not_found) = (Finder::new("model"), Finder::new("not found"));
        let not_there = Finder::new("does not exist");
        self.text.split(|b| *b == b'\n').any(|line| {
            model.find(line).is_some_and(|at| {
                not_found.find(&line[at..]).is_some() || not_there.find(&line[at..]).is_some()
            })
        })
    }

    /// The wait that the message states in words: "try again in 6m0s".
    pub(super) fn wait(self, now: Timestamp) -> Option<Wait> {
        let spoken = self
            .ends(Says::When)
            .filter_map(|at| Some((at, self.duration_at(at)?)));
        let first = spoken.min_by_key(|(at, _)| *at);
        first
            .map(|(_, wait)| wait)
            .filter(|wait| *wait > 0 && moment::plausible(*wait).is_some())
            .or_else(|| self.ends(Says::Until).find_map(|at| self.epoch_at(at, now)))
    }

    /// The duration that stands here.
    fn duration_at(self, at: usize) -> Option<Wait> {
        // A duration is short: what stands further on is not looked at.
        let end = self.text.len().min(at + LONGEST_DURATION);
        let rest = self.text[at..end].trim_ascii_start();
        let rest = rest.utf8_chunks().next()?.valid();
        let (millis, _) = moment::duration_prefix(rest)?;
        Some(moment::round_up(millis))
    }

    /// The time until the moment that stands here, in seconds or milliseconds since the epoch.
    fn epoch_at(self, at: usize, now: Timestamp) -> Option<Wait> {
        let digits = self.text[at..]
            .iter()
            .take(13)
            .take_while(|b| b.is_ascii_digit());
        let length = digits.count();
        let number = str::from_utf8(&self.text[at..at + length]).ok()?;
        let wait = moment::epoch(number.parse().ok()?, now);
        (length >= 10 && wait > 0 && moment::plausible(wait).is_some()).then_some(wait)
    }
}

const LONGEST_DURATION: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = 1_700_000_000_000;

    fn wait(text: &str) -> Option<Wait> {
        Phrases::new(text.as_bytes(), &Lexicon::default()).wait(NOW)
    }

    #[test]
    fn waits_are_read_from_words() {
        for (text, millis) in [
            ("please try again in 500ms.", 500),
            ("please try again in 500µs.", 1),
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
    fn every_phrase_has_its_stem_and_is_found() {
        let lexicon = Lexicon::default();
        for (says, stem, phrases) in PHRASES {
            let itself = [stem];
            for phrase in if phrases.is_empty() { &itself } else { phrases } {
                assert!(phrase.contains(stem), "{phrase}");
                assert_eq!(phrase.to_lowercase(), *phrase);
                let text = format!("model: {phrase}.");
                assert!(
                    Phrases::new(text.as_bytes(), &lexicon).says(says),
                    "{phrase}"
                );
                let cut = &text[..text.len() - 2];
                assert!(!Phrases::new(cut.as_bytes(), &lexicon).says(says), "{cut}");
            }
        }
    }

    #[test]
    fn a_code_is_a_whole_string_and_no_quotation() {
        let lexicon = Lexicon::default();
        for (text, names) in [
            (r#"{"code":"invalid_grant"}"#, true),
            (r#"{"error": "user.invalid_grant"}"#, true),
            (r#"{"message":"'invalid_grant' is no role"}"#, false),
            (r#"{"message":"\"invalid_grant\" is no role"}"#, false),
            (r#"{"message":"say \"invalid_grant\""}"#, false),
            (r#"{"message":"invalid_grant is no role"}"#, false),
            ("invalid_grant", false),
            (r#""invalid_grant"#, false),
        ] {
            let phrases = Phrases::new(text.as_bytes(), &lexicon);
            assert_eq!(phrases.names(Says::Dead), names, "{text}");
            assert!(phrases.says(Says::Dead) && !phrases.tells(Says::Dead));
        }
        let told = Phrases::new(b"the account has been deactivated", &lexicon);
        assert!(told.tells(Says::Dead) && !told.names(Says::Dead));
    }

    #[test]
    fn a_model_is_missed_in_one_line() {
        let misses = |text: &str| Phrases::new(text.as_bytes(), &Lexicon::default()).misses_model();
        assert!(misses("the model `x` does not exist"));
        assert!(misses("a\nmodel: y was not found"));
        assert!(!misses("the model\nwas not found"));
        assert!(!misses("not found: model"));
    }
}
