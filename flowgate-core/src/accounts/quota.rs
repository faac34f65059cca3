//! What headers and usage endpoints say about quota, read into a [`QuotaView`].

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
const CLAUDE_USAGE: [(&str, Window); 7] = [
    ("five_hour", Window::FiveHour),
    ("seven_day", Window::SevenDay),
    ("seven_day_oi", Window::SevenDayOi),
    ("seven_day_opus", Window::SevenDayOpus),
    ("opus", Window::SevenDayOpus),
    ("seven_day_sonnet", Window::SevenDaySonnet),
    ("sonnet", Window::SevenDaySonnet),
];
const CODEX_USAGE: [(&str, Window); 4] = [
    ("primary_window", Window::Primary),
    ("primary", Window::Primary),
    ("secondary_window", Window::Secondary),
    ("secondary", Window::Secondary),
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
        codex_usage(&usage, now).or_else(|| claude_usage(&usage, now))
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

/// `{"rate_limit": {"primary_window": …}}`, or `{"rate_limits": {"primary": …}}`.
fn codex_usage(usage: &Value, now: Timestamp) -> Option<QuotaView> {
    let limit = usage
        .get("rate_limit")
        .or_else(|| usage.get("rate_limits"))?;
    let reached = limit.get("limit_reached").and_then(Value::as_bool) == Some(true);
    let mut view = QuotaView::default();
    for (name, window) in CODEX_USAGE {
        let Some(stated) = limit.get(name).filter(|stated| stated.is_object()) else {
            continue;
        };
        let number = |key: &str| stated.get(key).and_then(Value::as_f64);
        let used = number("used_percent").and_then(|percent| part(percent, 100.0));
        let wait = number("reset_after_seconds").or_else(|| number("resets_in_seconds"));
        let wait = wait.and_then(|seconds| ahead(seconds * 1e3));
        let length =
            number("limit_window_seconds").or_else(|| Some(number("window_minutes")? * 60.0));
        let long = Long {
            used,
            resets_at: moment_at(stated, now).or(wait.map(|wait| now.saturating_add(wait))),
            length_ms: length.and_then(|seconds| ahead(seconds * 1e3)),
            rejected: reached && used.is_some_and(|used| used >= 1.0),
        };
        long.add_to(&mut view, window);
    }
    Some(view)
}

/// `{"five_hour": {"utilization": 37.0, "resets_at": "…"}, …}`
fn claude_usage(usage: &Value, now: Timestamp) -> Option<QuotaView> {
    let stated = |name: &str| usage.get(name).filter(|stated| stated.is_object());
    let utilization = |stated: &Value| stated.get("utilization").and_then(Value::as_f64);
    let all = || CLAUDE_USAGE.iter().filter_map(|(name, _)| stated(name));
    all().next()?;
    // It is per cent; an older form has fractions. Whole numbers up to 1 are per cent.
    let mut numbers = all().filter_map(utilization);
    let is_fraction =
        numbers.clone().all(|number| number <= 1.0) && numbers.any(|number| number.fract() != 0.0);
    let whole = if is_fraction { 1.0 } else { 100.0 };
    let mut view = QuotaView::default();
    for (name, window) in CLAUDE_USAGE {
        if let Some(stated) = stated(name) {
            let long = Long {
                used: utilization(stated).and_then(|number| part(number, whole)),
                resets_at: moment_at(stated, now),
                ..Long::default()
            };
            long.add_to(&mut view, window);
        }
    }
    Some(view)
}

fn moment_at(stated: &Value, now: Timestamp) -> Option<Timestamp> {
    let value = stated.get("resets_at").or_else(|| stated.get("reset_at"))?;
    match value {
        Value::String(text) => resets_at(text, now),
        _ => {
            let wait = plausible(moment::epoch(value.as_f64()?, now))?;
            (wait > 0).then(|| now.saturating_add(wait))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = 1_700_000_000_000;

    fn headers(pairs: &[(&str, &str)]) -> QuotaView {
        QuotaView::from_headers(&pairs, NOW)
    }

    fn windows(view: &QuotaView) -> Vec<(Window, f32, Option<Timestamp>, bool)> {
        let shown = |w: &WindowView| (w.window, w.used, w.resets_at, w.rejected);
        view.windows().map(shown).collect()
    }

    #[test]
    fn openai_states_requests_and_tokens() {
        let view = headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("X-RateLimit-Limit-Tokens", "150000"),
            ("X-RateLimit-Remaining-Tokens", "149984"),
            ("X-RateLimit-Reset-Tokens", "6m0s"),
        ]);
        let bucket = |limit, remaining, full| {
            Some(BucketView {
                limit: Some(limit),
                remaining,
                full_in_ms: Some(full),
            })
        };
        assert_eq!(view.requests, bucket(60, 59, 1_000));
        assert_eq!(view.tokens, bucket(150_000, 149_984, 360_000));
    }

    #[test]
    fn azure_states_only_what_is_left() {
        let view = headers(&[
            ("x-ratelimit-remaining-requests", "9"),
            ("x-ratelimit-remaining-tokens", "0"),
        ]);
        let left = |remaining| {
            Some(BucketView {
                limit: None,
                remaining,
                full_in_ms: None,
            })
        };
        assert_eq!((view.requests, view.tokens), (left(9), left(0)));
    }

    #[test]
    fn anthropic_states_four_dimensions_with_moments() {
        let view = headers(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:50Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "1000"),
            ("anthropic-ratelimit-output-tokens-remaining", "500"),
            (
                "anthropic-ratelimit-output-tokens-reset",
                "2023-11-14T22:13:00Z",
            ),
        ]);
        assert_eq!(view.requests.unwrap().full_in_ms, Some(30_000));
        assert_eq!(view.input_tokens.unwrap().remaining, 1000);
        // It is full already.
        assert_eq!(view.output_tokens.unwrap().full_in_ms, Some(0));
        assert_eq!(view.tokens, None);
    }

    #[test]
    fn a_subscription_states_windows() {
        let view = headers(&[
            ("anthropic-ratelimit-unified-status", "rejected"),
            ("anthropic-ratelimit-unified-5h-status", "allowed_warning"),
            ("anthropic-ratelimit-unified-5h-utilization", "0.75"),
            ("anthropic-ratelimit-unified-5h-reset", "1700003600"),
            ("anthropic-ratelimit-unified-7d-status", "rejected"),
            ("anthropic-ratelimit-unified-7d-reset", "1600000000"),
            ("anthropic-ratelimit-unified-7d_oi-status", "allowed"),
            ("anthropic-ratelimit-unified-new-utilization", "0.1"),
        ]);
        assert_eq!(
            windows(&view),
            [
                (Window::FiveHour, 0.75, Some(NOW + 3_600_000), false),
                (Window::SevenDay, 1.0, None, true),
            ]
        );
    }

    #[test]
    fn codex_states_windows_in_two_spellings() {
        let view = headers(&[
            ("x-codex-primary-used-percent", "12.5"),
            ("x-codex-primary-window-minutes", "300"),
            ("x-codex-primary-reset-after-seconds", "60"),
            ("x-codex-7d-used-percent", "50"),
            ("x-codex-7d-reset-at", "1700604800"),
        ]);
        assert_eq!(
            windows(&view),
            [
                (Window::Primary, 0.125, Some(NOW + 60_000), false),
                (Window::Secondary, 0.5, Some(NOW + 604_800_000), false),
            ]
        );
        assert_eq!(view.windows().next().unwrap().length_ms, Some(18_000_000));
    }

    #[test]
    fn openrouter_states_one_number() {
        let view = headers(&[
            ("X-RateLimit-Limit", "20"),
            ("X-RateLimit-Remaining", "19"),
            ("X-RateLimit-Reset", "1700000045000"),
        ]);
        assert_eq!(
            view.requests,
            Some(BucketView {
                limit: Some(20),
                remaining: 19,
                full_in_ms: Some(45_000)
            })
        );
    }

    #[test]
    fn what_cannot_be_meant_is_left_out() {
        let view = headers(&[
            ("x-ratelimit-remaining-requests", "nan"),
            ("x-ratelimit-remaining-tokens", "-5"),
            ("x-ratelimit-reset-tokens", "99999h"),
            ("anthropic-ratelimit-unified-5h-utilization", "-1"),
            ("x-codex-primary-used-percent", "1e300"),
        ]);
        assert_eq!(view.requests, None);
        assert_eq!(
            view.tokens,
            Some(BucketView {
                limit: None,
                remaining: 0,
                full_in_ms: None
            })
        );
        assert_eq!(windows(&view), [(Window::Primary, 10.0, None, false)]);
        assert!(headers(&[("server", "x")]).is_empty());
    }

    #[test]
    fn claude_usage_is_per_cent_or_a_fraction() {
        let read = |body: &str| windows(&QuotaView::from_usage(body.as_bytes(), NOW).unwrap());
        assert_eq!(
            read(
                r#"{"five_hour":{"utilization":37.0,"resets_at":"2023-11-15T00:00:00.5+00:00"},"seven_day":{"utilization":1.0,"resets_at":null},"seven_day_opus":null,"extra_usage":{}}"#
            ),
            [
                (Window::FiveHour, 0.37, Some(1_700_006_400_500), false),
                (Window::SevenDay, 0.01, None, false),
            ]
        );
        assert_eq!(
            read(r#"{"five_hour":{"utilization":0.5},"opus":{"utilization":1.0}}"#),
            [
                (Window::FiveHour, 0.5, None, false),
                (Window::SevenDayOpus, 1.0, None, false)
            ]
        );
    }

    #[test]
    fn codex_usage_comes_from_the_endpoint_and_from_frames() {
        let read = |body: &str| windows(&QuotaView::from_usage(body.as_bytes(), NOW).unwrap());
        assert_eq!(
            read(
                r#"{"plan_type":"plus","rate_limit":{"allowed":false,"limit_reached":true,
                "primary_window":{"used_percent":100,"limit_window_seconds":18000,"reset_at":1700000300},
                "secondary_window":{"used_percent":40,"limit_window_seconds":604800,"reset_at":1700604800}}}"#
            ),
            [
                (Window::Primary, 1.0, Some(NOW + 300_000), true),
                (Window::Secondary, 0.4, Some(NOW + 604_800_000), false),
            ]
        );
        assert_eq!(
            read(
                r#"{"type":"codex.rate_limits","rate_limits":{"primary":{"used_percent":5.0,"window_minutes":300,"reset_after_seconds":9},"secondary":null}}"#
            ),
            [(Window::Primary, 0.05, Some(NOW + 9_000), false)]
        );
    }

    #[test]
    fn other_bodies_say_nothing() {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"five_hour":7}"#,
            "not json",
            r#"{"rate_limit":"#,
        ] {
            assert_eq!(QuotaView::from_usage(body.as_bytes(), NOW), None, "{body}");
        }
        let huge = " ".repeat(LARGEST_USAGE);
        assert_eq!(QuotaView::from_usage(huge.as_bytes(), NOW), None);
    }

    proptest! {
        #[test]
        fn any_headers_make_a_sane_view(
            values in proptest::collection::vec(("\\PC{0,8}|-?[0-9.e]{1,12}|rejected|nan|inf", 0usize..6), 0..12),
            now in any::<u64>(),
        ) {
            let names = [
                "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "anthropic-ratelimit-unified-5h-utilization",
                "anthropic-ratelimit-unified-5h-reset", "x-codex-primary-used-percent", "x-codex-primary-reset-after-seconds",
            ];
            let headers: Vec<_> = values.iter().map(|(value, name)| (names[*name], value)).collect();
            let view = QuotaView::from_headers(&headers, now);
            for window in view.windows() {
                prop_assert!((0.0..=10.0).contains(&window.used));
                prop_assert!(window.resets_at.is_none_or(|at| at >= now && at - now <= moment::LONGEST_WAIT_MS));
            }
            prop_assert!(view.tokens.is_none_or(|t| t.full_in_ms.is_none_or(|ms| ms <= moment::LONGEST_WAIT_MS)));
        }

        #[test]
        fn any_body_is_a_view_or_nothing(body in "\\PC{0,64}") {
            let _ = QuotaView::from_usage(body.as_bytes(), NOW);
        }
    }
}
