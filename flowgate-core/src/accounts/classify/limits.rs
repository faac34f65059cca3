//! What the headers of a refusal say: how long to wait, and which limit it was.

use super::super::headers::{Dialect, Dimension, Field, Headers, Name, UnifiedField, text};
use super::super::moment::{self, Wait, plausible};
use super::super::quota::is_refusal;
use crate::Timestamp;

/// What the headers say about limits.
#[derive(Debug, Default)]
pub(super) struct Limits<'h> {
    /// `retry-after-ms` and its kin, or else `retry-after`. A date in the past is negative.
    pub(super) retry_after: Option<Wait>,
    /// Whether any limit is stated.
    pub(super) stated: bool,
    /// `x-should-retry: true`.
    pub(super) should_retry: bool,
    /// All windows of a subscription together.
    pub(super) together: Window<'h>,
    windows: [Window<'h>; MOST_WINDOWS],
    buckets: [[Bucket<'h>; 4]; 2],
    plain: Bucket<'h>,
}

/// More windows than any subscription has.
const MOST_WINDOWS: usize = 8;

/// A window of a Claude subscription.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window<'h> {
    name: &'h str,
    status: &'h str,
    reset: Option<&'h str>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket<'h> {
    remaining: Option<&'h str>,
    reset: Option<&'h str>,
}

impl Window<'_> {
    /// Whether it refuses requests.
    pub(super) fn is_spent(&self) -> bool {
        is_refusal(self.status)
    }

    /// `allowed`, `allowed_warning`
    fn is_allowed(&self) -> bool {
        self.status
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("allowed"))
    }

    /// `7d_oi`, `7d_opus`, `7d_sonnet`: one family of models, and the others go on.
    fn is_family(&self) -> bool {
        self.name.contains('_')
    }

    pub(super) fn wait(&self, now: Timestamp) -> Option<u64> {
        let wait = moment::moment(self.reset?, now)?;
        plausible(wait).filter(|wait| *wait > 0)
    }
}

impl<'h> Limits<'h> {
    pub(super) fn read(headers: &'h dyn Headers, now: Timestamp) -> Self {
        let mut limits = Self::default();
        let mut millis = None;
        let mut after: Option<Option<Wait>> = None;
        headers.each(&mut |name, value| {
            let Some(name) = Name::of(name) else { return };
            limits.stated |= name.is_limit();
            let value = text(value);
            match name {
                Name::RetryAfterMs => {
                    millis = millis.or_else(|| moment::number(value).and_then(moment::wait));
                }
                Name::RetryAfter if !value.is_empty() => {
                    after.get_or_insert_with(|| moment::retry_after(value, now));
                }
                Name::ShouldRetry => limits.should_retry |= value == "true",
                Name::Bucket(dialect, dimension, field) => {
                    limits.buckets[dialect as usize][dimension as usize].keep(field, value);
                }
                Name::Plain(field) => limits.plain.keep(field, value),
                Name::Unified(None, field) => limits.together.keep(field, value),
                Name::Unified(Some(name), field) => limits.window(name, field, value),
                _ => {}
            }
        });
        limits.retry_after = millis.or(after.flatten());
        limits
    }

    fn window(&mut self, name: &'h str, field: UnifiedField, value: &'h str) {
        let same = |window: &&mut Window<'h>| {
            window.name.is_empty() || window.name.eq_ignore_ascii_case(name)
        };
        if let Some(window) = self.windows.iter_mut().find(same) {
            window.name = name;
            window.keep(field, value);
        }
    }

    /// Whether the account as a whole is spent: a window for all models is, or all together are and
    /// no family of models explains it.
    pub(super) fn account_is_spent(&self) -> bool {
        let shared = || self.windows().filter(|window| !window.is_family());
        if shared().any(Window::is_spent) {
            return true;
        }
        let explained =
            self.family_is_spent() && shared().count() >= 2 && shared().all(Window::is_allowed);
        self.together.is_spent() && !explained
    }

    /// Whether a window for one family of models is spent.
    pub(super) fn family_is_spent(&self) -> bool {
        self.windows()
            .any(|window| window.is_family() && window.is_spent())
    }

    /// The latest reset of a window that is spent, in milliseconds from now.
    pub(super) fn window_wait(&self, now: Timestamp) -> Option<u64> {
        let spent = self.windows().filter(|window| window.is_spent());
        spent.filter_map(|window| window.wait(now)).max()
    }

    fn windows(&self) -> impl Iterator<Item = &Window<'h>> {
        self.windows.iter().filter(|window| !window.name.is_empty())
    }

    /// When the short windows that are spent are full again; the longest wait counts.
    pub(super) fn bucket_wait(&self, now: Timestamp) -> Option<u64> {
        let buckets = self.buckets.iter().flatten();
        let spent = buckets.filter(|bucket| bucket.is_spent());
        let plain = || {
            self.plain
                .remaining
                .is_none_or(|left| left == "0")
                .then_some(&self.plain)
        };
        spent
            .filter_map(|bucket| bucket.wait(now))
            .max()
            .or_else(|| plain()?.wait(now))
    }
}

impl<'h> Bucket<'h> {
    fn keep(&mut self, field: Field, value: &'h str) {
        let place = match field {
            Field::Remaining => &mut self.remaining,
            Field::Reset => &mut self.reset,
            Field::Limit => return,
        };
        place.get_or_insert(value);
    }

    fn is_spent(&self) -> bool {
        let left = self.remaining.and_then(moment::number);
        left.is_some_and(|left| left <= 0.0)
    }

    fn wait(&self, now: Timestamp) -> Option<u64> {
        let wait = moment::reset(self.reset?, now)?;
        plausible(wait).filter(|wait| *wait > 0)
    }
}

impl<'h> Window<'h> {
    fn keep(&mut self, field: UnifiedField, value: &'h str) {
        match field {
            UnifiedField::Status if self.status.is_empty() => self.status = value,
            UnifiedField::Reset => {
                self.reset.get_or_insert(value);
            }
            _ => {}
        }
    }
}

// The places of the buckets.
const _: () = assert!(Dialect::Anthropic as usize == 1 && Dimension::OutputTokens as usize == 3);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = 1_700_000_000_000;

    #[test]
    fn milliseconds_win_over_seconds() {
        let wait = |headers: &[(&str, &str)]| Limits::read(&headers, NOW).retry_after;
        assert_eq!(
            wait(&[("retry-after", "2"), ("retry-after-ms", "1250")]),
            Some(1_250)
        );
        assert_eq!(
            wait(&[("retry-after", "2"), ("retry-after-ms", "soon")]),
            Some(2_000)
        );
        assert_eq!(
            wait(&[("retry-after", ""), ("Retry-After", "3")]),
            Some(3_000)
        );
        assert_eq!(wait(&[("retry-after", "-5")]), None);
    }

    #[test]
    fn only_what_is_spent_counts() {
        let wait = |headers: &[(&str, &str)]| Limits::read(&headers, NOW).bucket_wait(NOW);
        assert_eq!(
            wait(&[
                ("x-ratelimit-remaining-requests", "59"),
                ("x-ratelimit-reset-requests", "1h"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ]),
            Some(360_000)
        );
        assert_eq!(
            wait(&[
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                (
                    "anthropic-ratelimit-input-tokens-reset",
                    "2023-11-14T22:13:50Z"
                ),
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:30Z"),
            ]),
            Some(30_000)
        );
        assert_eq!(
            wait(&[("x-ratelimit-reset", "1700000045000")]),
            Some(45_000)
        );
        assert_eq!(
            wait(&[
                ("x-ratelimit-reset", "1700000045"),
                ("x-ratelimit-remaining", "3")
            ]),
            None
        );
        assert_eq!(
            wait(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "30")]),
            Some(30_000)
        );
    }

    #[test]
    fn a_family_that_is_spent_leaves_the_account_open() {
        let read = |family: &str, five: &str| {
            let headers = [
                ("anthropic-ratelimit-unified-status", "rejected"),
                ("anthropic-ratelimit-unified-5h-status", five),
                ("anthropic-ratelimit-unified-7d-status", "allowed_warning"),
                ("anthropic-ratelimit-unified-7d_opus-status", family),
                ("anthropic-ratelimit-unified-overage-status", "rejected"),
            ];
            let limits = Limits::read(&headers, NOW);
            (limits.account_is_spent(), limits.family_is_spent())
        };
        assert_eq!(read("rejected", "allowed"), (false, true));
        assert_eq!(read("rejected", "Rejected"), (true, true));
        assert_eq!(read("allowed", "allowed"), (true, false));
    }
}
