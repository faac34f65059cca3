//! The headers of an answer, as whoever has them keeps them, and the few that say something about
//! an account.

use std::collections::BTreeMap;

/// Anything that has headers. They are looked at in place and never copied.
///
/// # Example
///
/// ```
/// use flowgate_core::accounts::Headers;
///
/// let pairs = [("Retry-After", "20"), ("server", "cloudflare")];
/// let mut names = Vec::new();
/// Headers::each(&pairs, &mut |name, _value| names.push(name));
/// assert_eq!(names, ["Retry-After", "server"]);
/// ```
pub trait Headers {
    /// Shows each header once: its name, in any case, and its value.
    fn each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8]));
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self {
            visit(name.as_ref(), value.as_ref());
        }
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>, const LEN: usize> Headers for [(N, V); LEN] {
    fn each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        self.as_slice().each(visit);
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        self.as_slice().each(visit);
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for BTreeMap<N, V> {
    fn each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self {
            visit(name.as_ref(), value.as_ref());
        }
    }
}

/// No headers.
impl Headers for () {
    fn each<'h>(&'h self, _visit: &mut dyn FnMut(&'h str, &'h [u8])) {}
}

impl<T: Headers + ?Sized> Headers for &T {
    fn each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        (**self).each(visit);
    }
}

/// A header that says something about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// `retry-after`: seconds, or a date.
    RetryAfter,
    /// `retry-after-ms` (OpenAI), `x-ms-retry-after-ms` (Azure): milliseconds.
    RetryAfterMs,
    /// `x-should-retry` (Anthropic, OpenAI).
    ShouldRetry,
    /// `cf-mitigated` (Cloudflare): a challenge stands before the provider.
    Mitigated,
    /// A short window of one dimension.
    Bucket(Dialect, Dimension, Field),
    /// `x-ratelimit-*` and `ratelimit-*` without a dimension.
    Plain(Field),
    /// `anthropic-ratelimit-unified-*`: a window of a subscription, or all of them together.
    Unified(Option<&'a str>, UnifiedField),
    /// `x-codex-<window>-*`.
    Codex(&'a str, CodexField),
    /// Another header about limits.
    OtherLimit,
}

/// Who wrote the header, which decides how its reset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `x-ratelimit-<field>-<dimension>`: a duration such as `6m0s`.
    OpenAi,
    /// `anthropic-ratelimit-<dimension>-<field>`: an RFC 3339 moment.
    Anthropic,
}

/// What a short window counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Requests,
    Tokens,
    InputTokens,
    OutputTokens,
}

/// What a header says about a short window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Limit,
    Remaining,
    Reset,
}

/// What a header says about a window of a Claude subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnifiedField {
    Status,
    Reset,
    Utilization,
}

/// What a header says about a window of Codex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodexField {
    UsedPercent,
    ResetAt,
    ResetAfterSeconds,
    WindowMinutes,
}

const DIMENSIONS: [(&str, Dimension); 4] = [
    ("requests", Dimension::Requests),
    ("tokens", Dimension::Tokens),
    ("input-tokens", Dimension::InputTokens),
    ("output-tokens", Dimension::OutputTokens),
];

const FIELDS: [(&str, Field); 3] = [
    ("limit", Field::Limit),
    ("remaining", Field::Remaining),
    ("reset", Field::Reset),
];

const UNIFIED: [(&str, UnifiedField); 3] = [
    ("status", UnifiedField::Status),
    ("reset", UnifiedField::Reset),
    ("utilization", UnifiedField::Utilization),
];

/// OpenAI's Codex writes these; older releases of its back end wrote `5h` and `7d` for the windows.
const CODEX: [(&str, CodexField); 4] = [
    ("used-percent", CodexField::UsedPercent),
    ("reset-at", CodexField::ResetAt),
    ("reset-after-seconds", CodexField::ResetAfterSeconds),
    ("window-minutes", CodexField::WindowMinutes),
];

impl<'a> Name<'a> {
    /// Reads the name of a header. Most headers are none of these, so the first letter decides.
    pub(super) fn of(name: &'a str) -> Option<Self> {
        match name.as_bytes().first()?.to_ascii_lowercase() {
            b'r' => Self::standard(name),
            b'x' => Self::extension(name),
            b'a' => Self::anthropic(strip(name, "anthropic-ratelimit-")?),
            b'c' if name.eq_ignore_ascii_case("cf-mitigated") => Some(Self::Mitigated),
            _ => None,
        }
    }

    fn standard(name: &'a str) -> Option<Self> {
        if let Some(rest) = strip(name, "retry-after") {
            return match rest {
                "" => Some(Self::RetryAfter),
                _ if rest.eq_ignore_ascii_case("-ms") => Some(Self::RetryAfterMs),
                _ => None,
            };
        }
        // The draft of the IETF, "RateLimit header fields for HTTP".
        find(&FIELDS, strip(name, "ratelimit-")?).map(Self::Plain)
    }

    fn extension(name: &'a str) -> Option<Self> {
        if let Some(rest) = strip(name, "x-ratelimit-") {
            if let Some(field) = find(&FIELDS, rest) {
                return Some(Self::Plain(field));
            }
            let bucket = FIELDS.iter().find_map(|(word, field)| {
                let dimension = strip(rest, word)?.strip_prefix('-')?;
                let dimension = find(&DIMENSIONS, dimension)?;
                Some(Self::Bucket(Dialect::OpenAi, dimension, *field))
            });
            return Some(bucket.unwrap_or(Self::OtherLimit));
        }
        if let Some(rest) = strip(name, "x-codex-") {
            let (window, field) = rest.split_once('-')?;
            return Some(Self::Codex(window, find(&CODEX, field)?));
        }
        if name.eq_ignore_ascii_case("x-ms-retry-after-ms") {
            return Some(Self::RetryAfterMs);
        }
        name.eq_ignore_ascii_case("x-should-retry")
            .then_some(Self::ShouldRetry)
    }

    fn anthropic(rest: &'a str) -> Option<Self> {
        let Some((subject, field)) = rest.rsplit_once('-') else {
            return Some(Self::OtherLimit);
        };
        let known = if subject.eq_ignore_ascii_case("unified") {
            find(&UNIFIED, field).map(|field| Self::Unified(None, field))
        } else if let Some(window) = strip(subject, "unified-") {
            // Overage is money, not a window.
            let field = find(&UNIFIED, field).filter(|_| !window.eq_ignore_ascii_case("overage"));
            field.map(|field| Self::Unified(Some(window), field))
        } else {
            find(&DIMENSIONS, subject)
                .zip(find(&FIELDS, field))
                .map(|(dimension, field)| Self::Bucket(Dialect::Anthropic, dimension, field))
        };
        Some(known.unwrap_or(Self::OtherLimit))
    }

    /// Whether it is one of the headers with which a provider states limits.
    pub(super) fn is_limit(self) -> bool {
        matches!(
            self,
            Self::Bucket(..) | Self::Plain(_) | Self::Unified(..) | Self::OtherLimit
        )
    }
}

/// The value of a header without blanks around it. What is not text says nothing.
pub(super) fn text(value: &[u8]) -> &str {
    str::from_utf8(value).unwrap_or_default().trim()
}

fn strip<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

fn find<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    let found = table
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(word));
    found.map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        for (name, meaning) in [
            ("Retry-After", Name::RetryAfter),
            ("RETRY-AFTER-MS", Name::RetryAfterMs),
            ("x-ms-retry-after-ms", Name::RetryAfterMs),
            ("X-Should-Retry", Name::ShouldRetry),
            ("CF-Mitigated", Name::Mitigated),
            (
                "X-RateLimit-Remaining-Tokens",
                Name::Bucket(Dialect::OpenAi, Dimension::Tokens, Field::Remaining),
            ),
            (
                "anthropic-ratelimit-input-tokens-reset",
                Name::Bucket(Dialect::Anthropic, Dimension::InputTokens, Field::Reset),
            ),
            ("X-RateLimit-Reset", Name::Plain(Field::Reset)),
            ("RateLimit-Remaining", Name::Plain(Field::Remaining)),
            (
                "Anthropic-Ratelimit-Unified-Status",
                Name::Unified(None, UnifiedField::Status),
            ),
            (
                "anthropic-ratelimit-unified-7d_oi-utilization",
                Name::Unified(Some("7d_oi"), UnifiedField::Utilization),
            ),
            (
                "anthropic-ratelimit-unified-overage-status",
                Name::OtherLimit,
            ),
            ("x-ratelimit-whatever", Name::OtherLimit),
            (
                "x-codex-primary-reset-at",
                Name::Codex("primary", CodexField::ResetAt),
            ),
            (
                "x-codex-5h-reset-at",
                Name::Codex("5h", CodexField::ResetAt),
            ),
        ] {
            assert_eq!(Name::of(name), Some(meaning), "{name}");
        }
    }

    #[test]
    fn other_headers_are_passed_over() {
        for name in [
            "",
            "date",
            "x-request-id",
            "retry-afterwards",
            "rétry-after",
            "x-",
            "anthropic-version",
        ] {
            assert_eq!(Name::of(name), None, "{name}");
        }
    }
}
