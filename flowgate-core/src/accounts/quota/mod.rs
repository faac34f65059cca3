//! What headers and usage endpoints say about quota, read into a [`QuotaView`].

#[cfg(test)]
mod tests;
mod usage;

use serde_json::Value;

use super::headers::{CodexField, Dimension, Field, Headers, Name, UnifiedField, text};
use super::moment::{self, plausible};
use super::quota_view::{BucketView, QuotaView, Window, WindowView};
use crate::Timestamp;

/// Usage endpoints answer with less.
const LARGEST_USAGE: usize = 64 << 10;

/// What a provider calls a window, and which one it is.
const UNIFIED_WINDOWS: [(&str, Window); 5] = [
    ("5h", Window::FiveHour),
    ("7d", Window::SevenDay),
    ("7d_oi", Window::SevenDayOi),
    ("7d_opus", Window::SevenDayOpus),
    ("7d_sonnet", Window::SevenDaySonnet),
];
const CODEX_WINDOWS: [(&str, Window); 4] = [
    ("primary", Window::Primary),
    ("secondary", Window::Secondary),
    ("5h", Window::Primary),
    ("7d", Window::Secondary),
];

impl QuotaView {
    /// Reads what the headers of any answer say, good or bad: `x-ratelimit-*` (OpenAI, Azure,
    /// OpenRouter), `anthropic-ratelimit-*` (API keys and subscriptions) and `x-codex-*`.
    ///
    /// * `now`: milliseconds since the Unix epoch, against which moments are read.
    ///
    /// What is no number, lies in the past or more than 32 days ahead is left out.
    ///
    /// # Example
    ///
    /// ```
    /// use flowgate_core::accounts::QuotaView;
    ///
    /// let headers = [
    ///     ("x-ratelimit-limit-requests", "60"),
    ///     ("x-ratelimit-remaining-requests", "59"),
    ///     ("x-ratelimit-reset-requests", "1s"),
    /// ];
    /// let requests = QuotaView::from_headers(&headers, 0).requests.unwrap();
    /// assert_eq!((requests.remaining, requests.full_in_ms), (59, Some(1_000)));
    /// ```
    ///
    /// Sources: OpenAI, "Rate limits in headers"; Anthropic, "Rate limits: response headers";
    /// OpenRouter, "Limits".
    pub fn from_headers(headers: &dyn Headers, now: Timestamp) -> Self {
        let mut stated = Stated::default();
        headers.each(&mut |name, value| {
            if let Some(name) = Name::of(name) {
                stated.keep(name, text(value), now);
            }
        });
        stated.view()
    }

    /// Reads what a usage endpoint answers: Claude's `/api/oauth/usage`, Codex's `/wham/usage`, and
    /// the frames `codex.rate_limits` of its streams. None if it is none of these.
    ///
    /// * `now`: milliseconds since the Unix epoch, against which moments are read.
    ///
    /// # Example
    ///
    /// ```
    /// use flowgate_core::accounts::{QuotaView, Window};
    ///
    /// let body = br#"{"five_hour": {"utilization": 37.0, "resets_at": "2023-11-14T23:00:00Z"}}"#;
    /// let view = QuotaView::from_usage(body, 1_700_000_000_000).unwrap();
    /// let window = view.windows().next().unwrap();
    /// assert_eq!((window.window, window.used), (Window::FiveHour, 0.37));
    /// ```
    pub fn from_usage(body: &[u8], now: Timestamp) -> Option<Self> {
        if body.len() >= LARGEST_USAGE {
            return None;
        }
        let usage: Value = serde_json::from_slice(body).ok()?;
        usage::codex(&usage, now).or_else(|| usage::claude(&usage, now))
    }
}

/// What the headers say, before it is known whether it is enough.
#[derive(Default)]
struct Stated {
    /// By dimension; the last is the one without.
    buckets: [Bucket; 5],
    windows: [Option<(Window, Long)>; 7],
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    limit: Option<u64>,
    remaining: Option<u64>,
    full_in_ms: Option<u64>,
}

/// A long window.
#[derive(Clone, Copy, Default)]
struct Long {
    used: Option<f32>,
    resets_at: Option<Timestamp>,
    length_ms: Option<u64>,
    rejected: bool,
}

impl Stated {
    fn keep(&mut self, name: Name<'_>, value: &str, now: Timestamp) {
        match name {
            Name::Bucket(_, dimension, field) => {
                self.buckets[dimension as usize].keep(field, value, now);
            }
            Name::Plain(field) => self.buckets[4].keep(field, value, now),
            Name::Unified(Some(name), field) => {
                if let Some(long) = self.window(&UNIFIED_WINDOWS, name) {
                    match field {
                        UnifiedField::Utilization => long.used = fraction(value, 1.0),
                        UnifiedField::Reset => long.resets_at = resets_at(value, now),
                        UnifiedField::Status => long.rejected = is_refusal(value),
                    }
                }
            }
            Name::Codex(name, field) => {
                if let Some(long) = self.window(&CODEX_WINDOWS, name) {
                    match field {
                        CodexField::UsedPercent => long.used = fraction(value, 100.0),
                        CodexField::ResetAt => long.resets_at = resets_at(value, now),
                        CodexField::ResetAfterSeconds => {
                            let wait = moment::number(value).and_then(|s| ahead(s * 1e3));
                            long.resets_at =
                                long.resets_at.or(wait.map(|wait| now.saturating_add(wait)));
                        }
                        CodexField::WindowMinutes => {
                            long.length_ms = moment::number(value).and_then(|m| ahead(m * 60e3));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn window(&mut self, names: &[(&str, Window)], name: &str) -> Option<&mut Long> {
        let (_, window) = names
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        let same =
            |place: &&mut Option<(Window, Long)>| place.is_none_or(|(there, _)| there == *window);
        let place = self.windows.iter_mut().find(same)?;
        Some(&mut place.get_or_insert((*window, Long::default())).1)
    }

    fn view(&self) -> QuotaView {
        let bucket = |dimension: Dimension| self.buckets[dimension as usize].view();
        let mut view = QuotaView::default();
        view.requests = bucket(Dimension::Requests).or_else(|| self.buckets[4].view());
        view.tokens = bucket(Dimension::Tokens);
        view.input_tokens = bucket(Dimension::InputTokens);
        view.output_tokens = bucket(Dimension::OutputTokens);
        for (window, long) in self.windows.iter().flatten() {
            long.add_to(&mut view, *window);
        }
        view
    }
}

impl Bucket {
    fn keep(&mut self, field: Field, value: &str, now: Timestamp) {
        match field {
            Field::Limit => self.limit = count(value),
            Field::Remaining => self.remaining = count(value),
            Field::Reset => {
                self.full_in_ms = moment::reset(value, now)
                    .map(|wait| wait.max(0))
                    .and_then(plausible);
            }
        }
    }

    fn view(self) -> Option<BucketView> {
        Some(BucketView {
            limit: self.limit,
            remaining: self.remaining?,
            full_in_ms: self.full_in_ms,
        })
    }
}

impl Long {
    /// A window of which nobody says how full it is says nothing, unless it refuses.
    fn add_to(self, view: &mut QuotaView, window: Window) {
        let full = self.rejected.then_some(1.0);
        if let Some(used) = self.used.or(full) {
            view.add_window(WindowView {
                window,
                used,
                resets_at: self.resets_at,
                length_ms: self.length_ms,
                rejected: self.rejected,
            });
        }
    }
}

/// How many are left; what is overdrawn is nothing.
fn count(text: &str) -> Option<u64> {
    // `as` saturates.
    moment::number(text).map(|number| number.max(0.0) as u64)
}

/// A part of the whole.
fn fraction(text: &str, whole: f64) -> Option<f32> {
    moment::number(text).and_then(|number| part(number, whole))
}

fn part(number: f64, whole: f64) -> Option<f32> {
    // Ten times over is as good as any larger number.
    (number >= 0.0).then(|| (number / whole).min(10.0) as f32)
}

fn ahead(millis: f64) -> Option<u64> {
    moment::wait(millis)
        .and_then(plausible)
        .filter(|wait| *wait > 0)
}

fn resets_at(text: &str, now: Timestamp) -> Option<Timestamp> {
    let wait = plausible(moment::moment(text, now)?)?;
    (wait > 0).then(|| now.saturating_add(wait))
}

/// The words with which Claude refuses.
pub(super) fn is_refusal(status: &str) -> bool {
    const REFUSALS: [&str; 5] = [
        "rejected",
        "blocked",
        "payment_required",
        "queueing_hard",
        "rate_limited",
    ];
    REFUSALS
        .iter()
        .any(|refusal| status.eq_ignore_ascii_case(refusal))
}
