//! What a stored credential is, without the secret.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::{harmless, text};
use crate::Timestamp;

/// A stored credential as it may be shown.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stored {
    /// Whose it is, as the file says.
    pub provider: Option<String>,
    /// The account.
    pub account: Option<String>,
    /// When the access token ends, in milliseconds since the epoch.
    pub expires: Option<Timestamp>,
    /// True if there is a refresh token, so that an access token that ended can be renewed.
    pub renewable: bool,
    /// True if the file is sealed, so that nothing more is known.
    pub sealed: bool,
    /// True if the file is not to be used.
    pub disabled: bool,
}

/// The names under which stored credentials say when they end.
pub(super) const ENDS: [&str; 4] = ["expired", "expires_at", "expiry", "expires"];

/// Reads what a stored credential says about itself; `None` if it is not a JSON object.
///
/// ```
/// use flowgate_core::auth::describe;
///
/// let text = r#"{"type": "codex", "email": "me@ex.com", "expired": "2026-03-01T00:00:00Z", "access_token": "at"}"#;
/// let stored = describe(text).unwrap();
/// assert_eq!((stored.provider.as_deref(), stored.expires), (Some("codex"), Some(1_772_323_200_000)));
/// ```
pub fn describe(content: &str) -> Option<Stored> {
    let root: Map<String, Value> = serde_json::from_str(content).ok()?;
    let said = |keys: &[&str]| text(&root, keys).map(harmless);
    let token = ["access_token", "id_token"]
        .iter()
        .find_map(|key| jwt_claims(root.get(*key)?.as_str()?));
    let written = ENDS.iter().find_map(|key| moment_of(root.get(*key)?));
    Some(Stored {
        provider: said(&["type", "provider"]),
        account: said(&["email", "account", "username", "account_id"]),
        expires: written.or_else(|| moment_of(token?.get("exp")?)),
        renewable: text(&root, &["refresh_token"]).is_some(),
        sealed: root.contains_key("sealed"),
        disabled: root.get("disabled") == Some(&Value::Bool(true)),
    })
}

/// The claims in a JSON Web Token. They are not checked: nothing is decided by them.
pub(super) fn jwt_claims(token: &str) -> Option<Map<String, Value>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = GeneralPurpose::new(&URL_SAFE, config)
        .decode(payload)
        .ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A moment written as RFC 3339 text, or as seconds or milliseconds since the epoch.
pub(super) fn moment_of(value: &Value) -> Option<Timestamp> {
    /// Numbers above this are milliseconds: as seconds, they would be after the year 5000.
    const SECONDS: u64 = 100_000_000_000;
    let since_epoch = |number: u64| match number {
        0 => None,
        1..SECONDS => Some(number * 1000),
        _ => Some(number),
    };
    match value {
        Value::Number(number) => since_epoch(number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            (0.0..1e15).contains(&float).then_some(float as u64)
        })?),
        Value::String(text) => {
            let text = text.trim();
            if let Ok(number) = text.parse() {
                return since_epoch(number);
            }
            rfc3339_moment(text)
        }
        _ => None,
    }
}

/// A moment of RFC 3339, in any offset from UTC.
fn rfc3339_moment(text: &str) -> Option<Timestamp> {
    let (local, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, 0),
        None => {
            let at = text.len().checked_sub(6)?;
            let (local, offset) = (text.get(..at)?, text.get(at..)?);
            let sign = match offset.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = offset[1..].split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            (local, sign * minutes * 60_000)
        }
    };
    let utc = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let millis = utc.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
    let millis = i64::try_from(millis).ok()?.checked_sub(offset)?;
    Timestamp::try_from(millis).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn moments_are_read_however_they_are_written() {
        let moment = 1_772_323_200_000;
        for value in [
            json!("2026-03-01T00:00:00Z"),
            json!("2026-03-01T00:00:00.000Z"),
            json!("2026-03-01T02:00:00+02:00"),
            json!("2026-02-28T19:00:00-05:00"),
            json!(1_772_323_200),
            json!(1_772_323_200_000_u64),
            json!(1_772_323_200.4),
            json!("1772323200"),
        ] {
            assert_eq!(moment_of(&value), Some(moment), "{value}");
        }
        for value in [
            json!(null),
            json!(""),
            json!("soon"),
            json!(0),
            json!(-1),
            json!([1]),
            json!("é+02:00"),
        ] {
            assert_eq!(moment_of(&value), None, "{value}");
        }
    }

    #[test]
    fn a_credential_is_described_without_its_secret() {
        // {"email": "me@ex.com", "exp": 1790000000}
        let text = r#"{"type": "codex", "refresh_token": "tok-1", "access_token": "h.eyJlbWFpbCI6ICJtZUBleC5jb20iLCAiZXhwIjogMTc5MDAwMDAwMH0.s", "disabled": true}"#;
        let stored = describe(text).unwrap();
        assert_eq!(
            (stored.expires, stored.renewable, stored.disabled),
            (Some(1_790_000_000_000), true, true)
        );
        assert!(!format!("{stored:?}").contains("tok-1"));
        assert_eq!(describe("[1]"), None);
        assert!(describe(r#"{"sealed": "x"}"#).unwrap().sealed);
    }
}
