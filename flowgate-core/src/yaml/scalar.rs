//! The YAML 1.2 core schema (section 10.3.2 of the specification): what a plain scalar means.

use super::Value;

/// Why a plain scalar has no value we can keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unrepresentable {
    /// `.inf`, `.nan`, or a number too large for a double.
    NotFinite,
    /// More digits than 128 bits hold.
    TooLarge,
}

/// Resolves a plain scalar by the core schema.
pub(super) fn resolve(text: &str) -> Result<Value, Unrepresentable> {
    // Most scalars are words: one look at the first byte settles them.
    let Some(first) = text.bytes().next() else {
        return Ok(Value::Null);
    };
    match first {
        b'~' | b'n' | b'N' => Ok(match text {
            "~" | "null" | "Null" | "NULL" => Value::Null,
            _ => Value::String(text.to_owned()),
        }),
        b't' | b'T' | b'f' | b'F' => Ok(match text {
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            _ => Value::String(text.to_owned()),
        }),
        b'0'..=b'9' | b'-' | b'+' | b'.' => {
            number(text).unwrap_or_else(|| Ok(Value::String(text.to_owned())))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Result<Value, Unrepresentable>> {
    if let Some(digits) = text.strip_prefix("0o") {
        return integer(digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return integer(digits, 16);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return integer(text, 10);
    }
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(Unrepresentable::NotFinite));
    }
    is_float(digits).then(|| match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Value::Float(value)),
        _ => Err(Unrepresentable::NotFinite),
    })
}

fn integer(digits: &str, radix: u32) -> Option<Result<Value, Unrepresentable>> {
    let magnitude = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    let signed = radix == 10;
    if magnitude.is_empty()
        || (!signed && magnitude.len() != digits.len())
        || !magnitude.chars().all(|c| c.is_digit(radix))
    {
        return None;
    }
    Some(
        i128::from_str_radix(digits, radix)
            .map(Value::Integer)
            .map_err(|_| Unrepresentable::TooLarge),
    )
}

/// `[0-9]* ( \. [0-9]* )? ( [eE] [-+]? [0-9]+ )?` with at least one digit before the exponent.
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0 && exponent_ok
}

/// What YAML 1.1 programs such as PyYAML, and so LiteLLM, would read instead of this text.
///
/// Rules: the `bool`, `int`, `float`, `merge`, `null`, `timestamp` and `value` pages of the
/// YAML 1.1 type repository. Errs on the side of naming too many.
pub(super) fn yaml_1_1_reading(text: &str) -> Option<&'static str> {
    const BOOLEANS: [&str; 22] = [
        "y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "true", "True", "TRUE", "false",
        "False", "FALSE", "on", "On", "ON", "off", "Off", "OFF",
    ];
    if BOOLEANS.contains(&text) {
        return Some("a boolean");
    }
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Some("null");
    }
    if matches!(text, "<<" | "=") {
        return Some("a special key");
    }
    let numeric = |b: u8| b.is_ascii_hexdigit() || matches!(b, b'.' | b'_' | b':' | b'-' | b'+');
    let leading = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = leading
        .strip_prefix("0x")
        .or_else(|| leading.strip_prefix("0b"));
    if radix.is_some_and(|digits| digits.bytes().all(numeric)) {
        return Some("a number");
    }
    if is_timestamp(text) {
        return Some("a date");
    }
    let body = leading.strip_prefix("0o").unwrap_or(leading);
    let starts = body
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_digit() || b == b'.');
    let numberlike =
        |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'_' | b':' | b'e' | b'E' | b'-' | b'+');
    if matches!(body, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
        || (starts && body.bytes().all(numberlike) && body.bytes().any(|b| b.is_ascii_digit()))
    {
        return Some("a number");
    }
    None
}

/// `yyyy-m-d`, with or without a time after it.
fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut digits = |max: usize| {
        parts.next().map(|part| {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            (digits, part.len(), digits > 0 && digits <= max)
        })
    };
    let year = digits(4);
    let month = digits(2);
    let day = digits(2);
    matches!(
        (year, month, day),
        (Some((4, 4, _)), Some((m, l, true)), Some((_, _, true))) if m == l
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Result<Value, Unrepresentable> {
        Ok(Value::String(value.to_owned()))
    }

    #[test]
    fn only_the_core_schema_is_special() {
        for null in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(resolve(null), Ok(Value::Null), "{null}");
        }
        for word in [
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "nULL",
            "tRUE",
            "2026-02-01",
            "1_000",
        ] {
            assert_eq!(resolve(word), text(word));
        }
        assert_eq!(resolve("True"), Ok(Value::Bool(true)));
        assert_eq!(resolve("false"), Ok(Value::Bool(false)));
    }

    #[test]
    fn integers_are_decimal_octal_or_hexadecimal_and_exact() {
        for (written, value) in [
            ("010", 10),
            ("-0", 0),
            ("+7", 7),
            ("0o17", 15),
            ("0xFA0", 4000),
            ("9223372036854775808", 9_223_372_036_854_775_808),
            ("-9223372036854775809", -9_223_372_036_854_775_809),
        ] {
            assert_eq!(resolve(written), Ok(Value::Integer(value)), "{written}");
        }
        assert_eq!(resolve(&"9".repeat(60)), Err(Unrepresentable::TooLarge));
        for word in ["0o8", "0x", "0b101", "-0x1", "0o-7", "-", "+", "190:20:30"] {
            assert_eq!(resolve(word), text(word));
        }
    }

    #[test]
    fn floats_are_finite() {
        for (written, value) in [
            ("1e3", 1000.0),
            (".5", 0.5),
            ("1.", 1.0),
            ("-1.5E-1", -0.15),
        ] {
            assert_eq!(resolve(written), Ok(Value::Float(value)), "{written}");
        }
        for written in [".inf", "-.INF", ".nan", "1e999"] {
            assert_eq!(
                resolve(written),
                Err(Unrepresentable::NotFinite),
                "{written}"
            );
        }
        for word in [".", "1e", "e3", "1.2.3", "-.", "..5", "1e5.0"] {
            assert_eq!(resolve(word), text(word));
        }
    }

    #[test]
    fn what_yaml_1_1_would_misread_is_known() {
        for word in [
            "yes",
            "off",
            "y",
            "~",
            "1_000",
            "12:30:45",
            "2026-02-01",
            "2001-12-14t21:59:43Z",
            "0b11",
            "017",
            "0o17",
            "1e3",
            ".inf",
            "<<",
            "=",
            "-5",
            "+.5",
            "0x1F",
            "1.5",
            "685_230.15",
        ] {
            assert!(yaml_1_1_reading(word).is_some(), "{word}");
        }
        for word in [
            "yesterday",
            "gpt-4o",
            "os.environ/X",
            "v1",
            "a:b",
            "e3",
            "127.0.0.1x",
            "deadbeef",
        ] {
            assert_eq!(yaml_1_1_reading(word), None, "{word}");
        }
    }
}
