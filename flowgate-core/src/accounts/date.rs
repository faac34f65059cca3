//! Dates as servers write them: RFC 3339, and those of HTTP and of mail, in every form that is in use.

use std::time::UNIX_EPOCH;

use crate::Timestamp;

/// No date is longer, without a comment at its end.
const LONGEST: usize = 48;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
/// Zones with names, in hours: RFC 5322, 4.3.
const ZONES: [(&str, i64); 12] = [
    ("gmt", 0),
    ("utc", 0),
    ("ut", 0),
    ("z", 0),
    ("edt", -4),
    ("est", -5),
    ("cdt", -5),
    ("cst", -6),
    ("mdt", -6),
    ("mst", -7),
    ("pdt", -7),
    ("pst", -8),
];

/// A date, in milliseconds since the epoch. One between two milliseconds is the later.
pub(super) fn date(text: &str) -> Option<Timestamp> {
    let text = text.split('(').next().unwrap_or_default().trim();
    if text.len() > LONGEST {
        return None;
    }
    rfc3339(text).or_else(|| written(text))
}

/// RFC 3339 with any offset, and letters of any size.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let is_date = text.len() >= 19 && text.as_bytes()[4] == b'-';
    let upper = is_date.then(|| text.to_ascii_uppercase())?;
    let at = upper.len() - 6;
    let (local, offset) = match upper.split_at_checked(at) {
        Some((local, offset)) if at >= 19 && offset.starts_with(['+', '-']) => {
            (local, offset_minutes(offset)?)
        }
        _ => (&upper[..], 0),
    };
    let moment = humantime::parse_rfc3339_weak(local).ok()?;
    let since = moment.duration_since(UNIX_EPOCH).ok()?;
    let millis = since.as_nanos().div_ceil(1_000_000);
    let millis = i64::try_from(millis).ok()? - offset * MINUTE_MS;
    u64::try_from(millis).ok()
}

/// `+0100` or `-05:30`, in minutes.
fn offset_minutes(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text.get(1..)?;
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None => digits.split_at_checked(2)?,
    };
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// A number of so many digits at most, and nothing else.
fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() <= digits && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// What the words of a date say so far.
#[derive(Default)]
struct Words {
    day: Option<i64>,
    month: Option<i64>,
    year: Option<i64>,
    time_ms: Option<i64>,
    offset: i64,
}

/// A date in words: that of HTTP (`Sun, 06 Nov 1994 08:49:37 GMT`), of RFC 850
/// (`Sunday, 06-Nov-94 08:49:37 GMT`), of asctime (`Sun Nov  6 08:49:37 1994`) and of mail
/// (`Sun, 06 Nov 1994 08:49:37 -0000`). The weekday is not believed; no zone means UTC.
fn written(text: &str) -> Option<Timestamp> {
    let mut words = Words::default();
    let parts = text.split(|c: char| c == ',' || c.is_ascii_whitespace());
    for part in parts.filter(|part| !part.is_empty()) {
        words.add(part)?;
    }
    let (day, month, year) = (words.day?, words.month?, words.year?);
    let days = days_since_epoch(year, month, day)?;
    let millis = days * DAY_MS + words.time_ms? - words.offset * MINUTE_MS;
    u64::try_from(millis).ok()
}

impl Words {
    /// Takes one word. `None`: it does not belong to a date.
    fn add(&mut self, word: &str) -> Option<()> {
        if word.starts_with(['+', '-']) {
            self.offset = offset_minutes(word)?;
        } else if word.contains(':') {
            set(&mut self.time_ms, time_ms(word)?)?;
        } else if let Some((day, rest)) = word.split_once('-') {
            let (month, year) = rest.split_once('-')?;
            self.number(day)?;
            set(&mut self.month, month_number(month)?)?;
            self.number(year)?;
        } else if word.starts_with(|c: char| c.is_ascii_digit()) {
            self.number(word)?;
        } else if let Some(month) = month_number(word) {
            set(&mut self.month, month)?;
        } else if !WEEKDAYS.iter().any(|day| abbreviates(word, day)) {
            self.zone(word)?;
        }
        Some(())
    }

    /// The day comes first, then the year.
    fn number(&mut self, text: &str) -> Option<()> {
        if self.day.is_none() {
            self.day = Some(number(text, 2)?);
            return Some(());
        }
        let year = number(text, 4)?;
        let year = match text.len() {
            4 => year,
            // RFC 5322, 4.3
            2 if year < 50 => 2000 + year,
            2 => 1900 + year,
            _ => return None,
        };
        set(&mut self.year, year)
    }

    /// A zone with a name, which an offset may follow: `GMT+0100`.
    fn zone(&mut self, word: &str) -> Option<()> {
        let end = word.find(['+', '-']).unwrap_or(word.len());
        let (name, offset) = word.split_at(end);
        let (_, hours) = ZONES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        self.offset = match offset {
            "" => hours * 60,
            _ => offset_minutes(offset)?,
        };
        Some(())
    }
}

/// What is said once holds, and may not be said twice.
fn set(place: &mut Option<i64>, value: i64) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// Whether a word is a name, or its first three letters.
fn abbreviates(word: &str, name: &str) -> bool {
    word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(&name[..3])
}

fn month_number(word: &str) -> Option<i64> {
    let place = MONTHS.iter().position(|name| abbreviates(word, name))?;
    i64::try_from(place + 1).ok()
}

/// `08:49:37` or `08:49`. A leap second is the next minute.
fn time_ms(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hours, minutes) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let seconds = parts.next().map_or(Some(0), |text| number(text, 2))?;
    let known = parts.next().is_none() && hours < 24 && minutes < 60 && seconds <= 60;
    known.then_some(((hours * 60 + minutes) * 60 + seconds) * 1_000)
}

/// Howard Hinnant's `days_from_civil`, for days that exist since 1970.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || day < 1 || day > length {
        return None;
    }
    // Years begin in March, so that a leap day is the last.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year;
    Some(days - 719_468)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// 2023-11-14 22:13:50 UTC
    const THEN: Timestamp = 1_700_000_030_000;

    #[test]
    fn a_date_is_read_in_every_form() {
        for text in [
            "Tue, 14 Nov 2023 22:13:50 GMT",
            "Tue, 14 Nov 2023 22:13:50 -0000",
            "Tue, 14 Nov 2023 22:13:50 +0000",
            "Tue, 14 Nov 2023 22:13:50 UTC",
            "Tue, 14 Nov 2023 23:43:50 +0130",
            "Tue, 14 Nov 2023 17:13:50 -05:00",
            "Tue, 14 Nov 2023 17:13:50 EST",
            "Tue,14 Nov 2023 22:13:50 Z",
            "14 Nov 2023 22:13:50 GMT",
            "tue, 14 nov 2023 22:13:50 gmt",
            "TUESDAY, 14-NOV-23 22:13:50 GMT",
            "Tuesday, 14-Nov-23 22:13:50 GMT",
            "Tue, 14-Nov-2023 22:13:50 GMT",
            "Tue Nov 14 22:13:50 2023",
            "Tue  Nov 14  22:13:50  2023",
            "Tue Nov 14 2023 23:13:50 GMT+0100 (Central European Standard Time)",
            "14 November 2023 22:13:50",
            "2023-11-14T22:13:50Z",
            "2023-11-14t22:13:50z",
            "2023-11-14 22:13:50",
            "2023-11-14T23:43:50.000+01:30",
        ] {
            assert_eq!(date(text), Some(THEN), "{text}");
        }
        assert_eq!(date("1 Jan 1970 00:00 GMT"), Some(0));
        assert_eq!(date("29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800_000));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "soon",
            "Tue",
            "14 Nov 2023",
            "Nov 2023 22:13:50 GMT",
            "14 Nov 22:13:50 GMT",
            "31 Nov 2023 22:13:50 GMT",
            "29 Feb 2023 22:13:50 GMT",
            "0 Nov 2023 22:13:50 GMT",
            "14 Nov 2023 24:13:50 GMT",
            "14 Nov 2023 22:13:61 GMT",
            "14 Nov 2023 22:13:50 +2500",
            "14 Nov 2023 22:13:50 +0",
            "14 Nov 2023 22:13:50 Mars",
            "14 14 Nov 2023 22:13:50 GMT",
            "14 Nov 2023 2023 22:13:50 GMT",
            "14 Nov 20233 22:13:50 GMT",
            "14 Nov 1969 22:13:50 GMT",
            "1 Jan 1970 00:00:00 +0100",
            "2023-13-14T22:14:50Z",
            "2023-11-14T22:14:50+aa:bb",
            "1960-01-01T00:00:00Z",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn a_part_of_a_millisecond_is_a_whole_one() {
        let read = |text| date(text).map(|then| then - THEN);
        assert_eq!(read("2023-11-14T22:13:50.123456789Z"), Some(124));
        assert_eq!(read("2023-11-14T22:13:50.123Z"), Some(123));
        assert_eq!(read("2023-11-14T22:13:50.000001+00:00"), Some(1));
    }

    proptest! {
        #[test]
        fn any_text_is_a_date_or_none(text in "\\PC{0,60}", words in "([a-zA-Z]{1,4}|[0-9:+-]{1,6}|[ ,]){0,12}") {
            let _ = (date(&text), date(&words));
        }

        #[test]
        fn what_is_written_is_read(seconds in 0u64..253_402_300_800) {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            let (http, rfc3339) = (httpdate::fmt_http_date(moment), humantime::format_rfc3339(moment).to_string());
            prop_assert_eq!(date(&http), Some(seconds * 1_000));
            prop_assert_eq!(date(&rfc3339), Some(seconds * 1_000));
        }
    }
}
