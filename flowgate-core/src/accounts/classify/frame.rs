//! The few fields of an error body that say something, wherever providers put them.
//!
//! The body is read once and in place. What was read before a body breaks off counts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::moment::{self, Wait};
use crate::Timestamp;

/// A word that providers write as a code: long ones are none that anyone knows.
const LONGEST_WORD: usize = 48;

/// The error in a body.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// `code` and `type` of the error.
    pub(super) error: Words,
    /// `code` and `type` of the document around it.
    pub(super) document: Words,
    /// Whether there is an error at all.
    pub(super) has_error: bool,
    /// When it says that the account can be used again, as each place says it.
    hints: Hints,
}

/// `code`, `type` and Google's `status`, in lower case.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words {
    pub(super) code: Word,
    pub(super) kind: Word,
    pub(super) status: Word,
}

/// A short word in lower case.
#[derive(Clone, Copy)]
pub(super) struct Word {
    bytes: [u8; LONGEST_WORD],
    len: u8,
}

impl Default for Word {
    fn default() -> Self {
        Self {
            bytes: [0; LONGEST_WORD],
            len: 0,
        }
    }
}

impl Word {
    fn of(text: &str) -> Self {
        let mut word = Self::default();
        // One that is too long keeps its start, which no known word is.
        for (place, byte) in word.bytes.iter_mut().zip(text.bytes()) {
            *place = byte.to_ascii_lowercase();
            word.len += 1;
        }
        word
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn is_one_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| word.as_bytes() == self.as_bytes())
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

impl Words {
    fn is_empty(&self) -> bool {
        self.code.is_empty() && self.kind.is_empty()
    }
}

/// The places that say when to come back, the surest first.
#[derive(Clone, Copy, Debug, Default)]
struct Hints {
    error_resets_at: Option<Wait>,
    error_resets_in: Option<Wait>,
    document_resets_at: Option<Wait>,
    document_resets_in: Option<Wait>,
    retry_info: Option<Wait>,
    quota_reset_delay: Option<Wait>,
    retry_after: Option<Wait>,
}

impl Frame {
    /// Reads a body, if it is JSON.
    pub(super) fn read(body: &[u8], now: Timestamp) -> Self {
        let mut frame = Self::default();
        if matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
            let mut reader = serde_json::Deserializer::from_slice(body);
            let seed = At {
                place: Document,
                frame: &mut frame,
                now,
            };
            // A body that breaks off has said what it has said.
            let _ = seed.deserialize(&mut reader);
        }
        if frame.error.is_empty() {
            frame.error = Words {
                status: frame.error.status,
                ..frame.document
            };
        }
        frame
    }

    /// When the account can be used again, by its fields.
    pub(super) fn wait(&self) -> Option<Wait> {
        let hints = &self.hints;
        let future = |wait: Option<Wait>| {
            wait.filter(|wait| *wait > 0 && moment::plausible(*wait).is_some())
        };
        future(hints.error_resets_at)
            .or_else(|| future(hints.error_resets_in))
            .or_else(|| future(hints.document_resets_at))
            .or_else(|| future(hints.document_resets_in))
            .or(hints.retry_info)
            .or(hints.quota_reset_delay)
    }

    /// What stands in fields that are rarer, or say less.
    pub(super) fn late_wait(&self) -> Option<Wait> {
        self.hints.retry_after
    }
}

/// Where in the body a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Document,
    Envelope,
    Error,
    Reason,
    Details,
    DetailMetadata,
    ErrorMetadata,
    EchoedHeaders,
    DocumentCode,
    DocumentType,
    DocumentResetsAt,
    DocumentResetsIn,
    ErrorCode,
    ErrorType,
    ErrorStatus,
    ErrorResetsAt,
    ErrorResetsIn,
    RetryDelay,
    QuotaResetDelay,
    RetryAfter,
    RateLimitReset,
}

use Place::*;

/// What the keys at a place lead to. The rest of the body is skipped.
const fn keys(place: Place) -> &'static [(&'static str, Place)] {
    match place {
        Document => &[
            ("error", Error),
            ("errors", Error),
            ("type", DocumentType),
            ("code", DocumentCode),
            ("response", Envelope),
            ("body", Envelope),
            // FastAPI, on which several gateways are built.
            ("detail", Reason),
            ("details", Details),
            ("resets_at", DocumentResetsAt),
            ("reset_at", DocumentResetsAt),
            ("resets_in_seconds", DocumentResetsIn),
            ("retry_after", RetryAfter),
            ("retry_after_seconds", RetryAfter),
        ],
        Envelope => &[("error", Error)],
        Error | Reason => &[
            ("type", ErrorType),
            ("code", ErrorCode),
            ("status", ErrorStatus),
            ("details", Details),
            ("metadata", ErrorMetadata),
            ("resets_at", ErrorResetsAt),
            ("reset_at", ErrorResetsAt),
            ("resets_in_seconds", ErrorResetsIn),
            ("retry_after", RetryAfter),
            ("retry_after_seconds", RetryAfter),
        ],
        // google.rpc.RetryInfo and google.rpc.ErrorInfo
        Details => &[("retryDelay", RetryDelay), ("metadata", DetailMetadata)],
        DetailMetadata => &[("quotaResetDelay", QuotaResetDelay)],
        // OpenRouter repeats the headers of the provider behind it.
        ErrorMetadata => &[
            ("headers", EchoedHeaders),
            ("retry_after_seconds", RetryAfter),
        ],
        EchoedHeaders => &[
            ("X-RateLimit-Reset", RateLimitReset),
            ("x-ratelimit-reset", RateLimitReset),
            ("Retry-After", RetryAfter),
            ("retry-after", RetryAfter),
        ],
        _ => &[],
    }
}

/// Reads the value that stands at a place.
struct At<'f> {
    place: Place,
    frame: &'f mut Frame,
    now: Timestamp,
}

impl At<'_> {
    fn text(self, text: &str) {
        let hints = &mut self.frame.hints;
        let moment = || moment::moment(text, self.now);
        match self.place {
            // `{"error": "invalid_grant"}`, as OAuth has it.
            Error if !text.is_empty() => {
                self.frame.has_error = true;
                keep(&mut self.frame.error.code, text);
            }
            DocumentCode => keep(&mut self.frame.document.code, text),
            DocumentType => keep(&mut self.frame.document.kind, text),
            ErrorCode => keep(&mut self.frame.error.code, text),
            ErrorType => keep(&mut self.frame.error.kind, text),
            ErrorStatus => keep(&mut self.frame.error.status, text),
            DocumentResetsAt => or(&mut hints.document_resets_at, moment),
            ErrorResetsAt => or(&mut hints.error_resets_at, moment),
            RetryDelay => or(&mut hints.retry_info, || moment::duration(text)),
            QuotaResetDelay => or(&mut hints.quota_reset_delay, || moment::duration(text)),
            RetryAfter => or(&mut hints.retry_after, || {
                moment::retry_after(text, self.now)
            }),
            RateLimitReset => or(&mut hints.retry_after, || moment::reset(text, self.now)),
            _ => {}
        }
    }

    fn number(self, number: f64) {
        let hints = &mut self.frame.hints;
        let moment = || number.is_finite().then(|| moment::epoch(number, self.now));
        let seconds = || moment::wait(number * 1e3);
        match self.place {
            DocumentResetsAt => or(&mut hints.document_resets_at, moment),
            ErrorResetsAt => or(&mut hints.error_resets_at, moment),
            DocumentResetsIn => or(&mut hints.document_resets_in, seconds),
            ErrorResetsIn => or(&mut hints.error_resets_in, seconds),
            RetryAfter => or(&mut hints.retry_after, seconds),
            RateLimitReset => or(&mut hints.retry_after, moment),
            // A number is a code too, but no code that anyone knows.
            _ => {}
        }
    }
}

/// What is said first counts.
fn keep(place: &mut Word, text: &str) {
    if place.is_empty() {
        *place = Word::of(text);
    }
}

fn or(place: &mut Option<Wait>, wait: impl FnOnce() -> Option<Wait>) {
    if place.is_none() {
        *place = wait();
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        self.frame.has_error |= self.place == Error;
        while let Some(next) = map.next_key_seed(Key(self.place))? {
            let Some(place) = next else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let (frame, now) = (&mut *self.frame, self.now);
            map.next_value_seed(At { place, frame, now })?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        loop {
            let (place, frame, now) = (self.place, &mut *self.frame, self.now);
            if seq.next_element_seed(At { place, frame, now })?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.text(text);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.number(number as f64);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.number(number as f64);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.number(number);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a key: where it leads, if anywhere.
struct Key(Place);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<Place>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<Place>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let found = keys(self.0).iter().find(|(known, _)| *known == key);
        Ok(found.map(|(_, place)| *place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = 1_700_000_000_000;

    fn read(body: &str) -> Frame {
        Frame::read(body.as_bytes(), NOW)
    }

    fn words(body: &str) -> (String, String) {
        let words = read(body).error;
        let text = |word: Word| String::from_utf8(word.as_bytes().to_vec()).unwrap();
        (text(words.code), text(words.kind))
    }

    #[test]
    fn the_error_is_found_wherever_it_stands() {
        for body in [
            r#"{"error":{"code":"C","type":"T"}}"#,
            r#"{"type":"response.failed","response":{"error":{"code":"c","type":"t"}}}"#,
            r#"{"body":{"error":{"code":"c","type":"t"}}}"#,
            r#"{"detail":{"code":"c","type":"t"}}"#,
            r#"{"code":"c","type":"t"}"#,
            r#"[{"error":{"code":"c","type":"t"}}]"#,
            r#"{"error":{"code":"c","type":"t","message":"breaks o"#,
        ] {
            assert_eq!(words(body), ("c".to_owned(), "t".to_owned()), "{body}");
        }
        assert_eq!(words(r#"{"error":"invalid_grant"}"#).0, "invalid_grant");
        assert_eq!(words("invalid_grant"), Default::default());
    }

    #[test]
    fn a_document_without_an_error_has_none() {
        for (body, has_error) in [
            (
                r#"{"type":"message","content":[{"type":"text","text":"error"}]}"#,
                false,
            ),
            (r#"{"object":"response","error":null}"#, false),
            (r#"{"error":{}}"#, true),
            (r#"{"error":""}"#, false),
            (r#"{"error":"x"}"#, true),
            (r#"{"detail":"x"}"#, false),
        ] {
            assert_eq!(read(body).has_error, has_error, "{body}");
        }
    }

    #[test]
    fn the_surest_hint_that_lies_ahead_counts() {
        for (body, wait) in [
            (
                r#"{"error":{"resets_at":1700000300,"resets_in_seconds":1}}"#,
                Some(300_000),
            ),
            (
                r#"{"error":{"resets_at":1699999940,"resets_in_seconds":77}}"#,
                Some(77_000),
            ),
            (
                r#"{"error":{"reset_at":"2023-11-14T22:14:50Z"}}"#,
                Some(90_000),
            ),
            (r#"{"resets_at":7258118400}"#, None),
            (
                r#"{"error":{"details":[{"metadata":{"quotaResetDelay":"479.417207ms"}},{"retryDelay":"0.5s"}]}}"#,
                Some(500),
            ),
            (
                r#"{"error":{"details":[{"metadata":{"quotaResetDelay":"479.417207ms"}}]}}"#,
                Some(480),
            ),
            (
                r#"{"error":{"resets_at":true,"resets_in_seconds":null}}"#,
                None,
            ),
            (r#"{"error":{"resets_in_seconds":-3}}"#, None),
        ] {
            assert_eq!(read(body).wait(), wait, "{body}");
        }
        let echoed = r#"{"error":{"metadata":{"headers":{"X-RateLimit-Reset":"1700000045000"}}}}"#;
        assert_eq!(read(echoed).late_wait(), Some(45_000));
    }
}
