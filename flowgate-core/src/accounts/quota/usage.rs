//! What usage endpoints, and frames of streams, say about quota.

use serde_json::Value;

use super::super::moment::{self, plausible};
use super::{Long, ahead, part, resets_at};
use crate::Timestamp;
use crate::accounts::{QuotaView, Window};

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

/// `{"rate_limit": {"primary_window": …}}`, or `{"rate_limits": {"primary": …}}`.
pub(super) fn codex(usage: &Value, now: Timestamp) -> Option<QuotaView> {
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
pub(super) fn claude(usage: &Value, now: Timestamp) -> Option<QuotaView> {
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
