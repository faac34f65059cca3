//! The many ways in which providers write "later": seconds, milliseconds, epochs, Go durations,
//! words, HTTP dates and RFC 3339.

use super::date::date;
use crate::Timestamp;

/// No wait is longer: who says otherwise is wrong, or hostile.
pub(super) const LONGEST_WAIT_MS: u64 = 32 * 24 * 60 * 60 * 1000;

/// Numbers above this are epochs in milliseconds: in seconds it would be the year 5138.
const EPOCH_MS_FROM: f64 = 1e11;

const UNITS: [(&[&str], f64); 7] = [
    (&["ns", "nanosecond", "nanoseconds"], 1e-6),
    // With the micro sign and with the Greek letter.
    (
        &["us", "\u{b5}s", "\u{3bc}s", "microsecond", "microseconds"],
        1e-3,
    ),
    (&["ms", "millisecond", "milliseconds"], 1.0),
    (&["s", "sec", "secs", "second", "seconds"], 1e3),
    (&["m", "min", "mins", "minute", "minutes"], 60e3),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600e3),
    (&["d", "day", "days"], 86_400e3),
];

/// A wait from now in milliseconds; what is past is negative.
pub(super) type Wait = i64;

/// The wait, if a provider can mean it.
pub(super) fn plausible(wait: Wait) -> Option<u64> {
    let wait = u64::try_from(wait).ok()?;
    (wait <= LONGEST_WAIT_MS).then_some(wait)
}

/// Whole milliseconds, never early. `as` saturates, and the callers have ruled out NaN.
pub(super) fn round_up(millis: f64) -> Wait {
    millis.ceil() as Wait
}

/// A finite number of any size.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A duration and nothing else: `6m0s`, `479.417207ms`, `1h43m56s`, `30 seconds`.
pub(super) fn duration(text: &str) -> Option<Wait> {
    let text = text.trim().trim_end_matches(['.', ' ']);
    let (millis, rest) = duration_prefix(text)?;
    rest.is_empty().then(|| round_up(millis))
}

/// The duration at the start of a text, in milliseconds, and what follows it.
pub(super) fn duration_prefix(text: &str) -> Option<(f64, &str)> {
    let mut rest = text;
    let mut total = None;
    while let Some((millis, after)) = component(rest) {
        total = Some(total.unwrap_or(0.0) + millis);
        rest = after.trim_start_matches(' ');
    }
    total.map(|total| (total, rest))
}

/// One number with its unit.
fn component(text: &str) -> Option<(f64, &str)> {
    let (number, rest) = split_while(text, |b| b.is_ascii_digit());
    if number.is_empty() {
        return None;
    }
    let (fraction, after) = match rest.strip_prefix('.') {
        Some(rest) => split_while(rest, |b| b.is_ascii_digit()),
        None => ("", rest),
    };
    let written = if fraction.is_empty() {
        number.len()
    } else {
        number.len() + 1 + fraction.len()
    };
    let rest = if fraction.is_empty() { rest } else { after };
    let rest = rest.trim_ascii_start();
    let micro = rest.starts_with(['\u{b5}', '\u{3bc}']);
    let (unit, rest) = split_while(rest, |b| b.is_ascii_alphabetic() || micro && !b.is_ascii());
    let is_unit = |word: &str| word.eq_ignore_ascii_case(unit);
    let (_, millis) = UNITS
        .iter()
        .find(|(words, _)| words.iter().any(|word| is_unit(word)))?;
    let number: f64 = text[..written].parse().ok()?;
    Some((number * millis, rest)).filter(|(millis, _)| millis.is_finite())
}

fn split_while(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|b| !belongs(b));
    text.split_at(end.unwrap_or(text.len()))
}

/// A moment as a number since the epoch, in seconds or milliseconds.
pub(super) fn epoch(number: f64, now: Timestamp) -> Wait {
    let millis = if number > EPOCH_MS_FROM {
        number
    } else {
        number * 1e3
    };
    round_up(millis - now as f64)
}

/// A moment: an epoch or a date.
pub(super) fn moment(text: &str, now: Timestamp) -> Option<Wait> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then(|| epoch(number, now));
    }
    date(text).map(|then| {
        Wait::try_from(then)
            .unwrap_or(Wait::MAX)
            .saturating_sub_unsigned(now)
    })
}

/// What `retry-after` says: seconds with any fraction, a duration, or a date. Seconds that are
/// negative or no number at all say nothing.
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<Wait> {
    if let Ok(seconds) = text.parse::<f64>() {
        return wait(seconds * 1e3);
    }
    duration(text).or_else(|| moment(text, now))
}

/// A wait from a number of milliseconds, unless it is negative or no number at all.
pub(super) fn wait(millis: f64) -> Option<Wait> {
    (millis.is_finite() && millis >= 0.0).then(|| round_up(millis))
}

/// What a reset says that may be a duration, a moment, or bare seconds.
pub(super) fn reset(text: &str, now: Timestamp) -> Option<Wait> {
    match text.parse::<f64>() {
        // No reset lies before 2001, so a number this small is no epoch.
        Ok(number) if (0.0..1e9).contains(&number) => wait(number * 1e3),
        Ok(_) => moment(text, now),
        Err(_) => duration(text).or_else(|| moment(text, now)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = 1_700_000_000_000;

    #[test]
    fn durations_are_read_in_every_spelling() {
        for (text, millis) in [
            ("1s", 1_000),
            ("6m0s", 360_000),
            ("12ms", 12),
            ("1h2m3s", 3_723_000),
            ("1h43m56s", 6_236_000),
            ("0.479417207s", 480),
            ("479.417207ms", 480),
            ("30 seconds", 30_000),
            ("1 hour 5 minutes.", 3_900_000),
            ("2 days", 172_800_000),
            ("7.66s", 7_660),
            ("500us", 1),
            ("500µs", 1),
            ("1500μs", 2),
            ("1ms500µs", 2),
            ("1ns", 1),
        ] {
            assert_eq!(duration(text), Some(millis), "{text}");
        }
        for text in [
            "", "s", "1", "1 month", "1s!", "-1s", "1.s", "9e9s", "١s", "1 s 2",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_may_stand_before_other_text() {
        assert_eq!(duration_prefix("6m0s. See"), Some((360_000.0, ". See")));
        assert_eq!(
            duration_prefix("5 minutes 3 foo"),
            Some((300_000.0, "3 foo"))
        );
        assert_eq!(duration_prefix("foo"), None);
    }

    #[test]
    fn moments_are_read_in_every_form() {
        for (text, wait) in [
            ("1700000045", 45_000),
            ("1700000045000", 45_000),
            ("1700000045.5", 45_500),
            ("1699999999", -1_000),
            ("Tue, 14 Nov 2023 22:14:50 GMT", 90_000),
            ("Tuesday, 14-Nov-23 22:14:50 GMT", 90_000),
            ("2023-11-14T22:14:50Z", 90_000),
            ("2023-11-14T22:14:50.25Z", 90_250),
            ("2023-11-14t22:14:50.123456789z", 90_124),
            ("Tue, 14 Nov 2023 22:14:50 -0000", 90_000),
            ("2023-11-14T22:14:50", 90_000),
            ("2023-11-14T23:14:50.250000+01:00", 90_250),
            ("2023-11-14T17:14:50-05:00", 90_000),
        ] {
            assert_eq!(moment(text, NOW), Some(wait), "{text}");
        }
        for text in [
            "",
            "soon",
            "nan",
            "inf",
            "2023-13-14T22:14:50Z",
            "2023-11-14T22:14:50+aa:bb",
            "1960-01-01T00:00:00Z",
        ] {
            assert_eq!(moment(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_negative() {
        assert_eq!(retry_after("0.5", NOW), Some(500));
        assert_eq!(retry_after("30", NOW), Some(30_000));
        assert_eq!(retry_after("20s", NOW), Some(20_000));
        assert_eq!(
            retry_after("Tue, 14 Nov 2023 22:14:50 GMT", NOW),
            Some(90_000)
        );
        assert_eq!(
            retry_after("Tue, 14 Nov 2023 22:13:00 GMT", NOW),
            Some(-20_000)
        );
        for text in ["-5", "nan", "inf", "-inf", "tomorrow"] {
            assert_eq!(retry_after(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn a_small_reset_is_a_wait_and_a_large_one_an_epoch() {
        assert_eq!(reset("30", NOW), Some(30_000));
        assert_eq!(reset("1700000030", NOW), Some(30_000));
        assert_eq!(reset("6m0s", NOW), Some(360_000));
    }

    proptest! {
        #[test]
        fn any_text_is_a_wait_or_nothing(text in "\\PC{0,40}", now in any::<u64>()) {
            let _ = (retry_after(&text, now), reset(&text, now), moment(&text, now), duration(&text));
        }

        #[test]
        fn what_is_written_is_read(hours in 0u32..99, minutes in 0u32..60, seconds in 0u32..60) {
            let text = format!("{hours}h{minutes}m{seconds}s");
            prop_assert_eq!(duration(&text), Some(i64::from((hours * 3600 + minutes * 60 + seconds) * 1000)));
        }
    }
}
