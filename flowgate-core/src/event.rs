//! The record of what happened, in one form for all of FlowGate.
//!
//! A room makes an [`Event`]; whoever writes it down gives it a moment and a number, which makes it
//! a [`Record`]: one line of JSON, without secrets.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use crate::redact::redact_json;
use crate::{Timestamp, rfc3339};

/// The longest text in the data of a record, in characters.
const LONGEST: usize = 2_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What, such as `service.exited`.
    pub event: Cow<'static, str>,
    /// How much it matters.
    pub level: Level,
    /// To whom or what: a service, a profile, an account.
    pub subject: String,
    /// What else there is to know.
    pub data: Map<String, Value>,
}

impl Event {
    /// An event without further data.
    ///
    /// ```
    /// use flowgate_core::event::{Event, Level};
    ///
    /// let switched = Event::new("profile.switched", Level::Info, "cost").with("api_key", "sk-1");
    /// let line = switched.stamp(0, 7).line();
    /// assert_eq!(
    ///     line,
    ///     "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"seq\":7,\"event\":\"profile.switched\",\
    ///      \"level\":\"info\",\"subject\":\"cost\",\"data\":{\"api_key\":\"********\"}}\n"
    /// );
    /// ```
    pub fn new(
        event: impl Into<Cow<'static, str>>,
        level: Level,
        subject: impl Into<String>,
    ) -> Self {
        Self {
            event: event.into(),
            level,
            subject: subject.into(),
            data: Map::new(),
        }
    }

    /// The same, with one more thing to know.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }

    /// The record of it: without secrets, and with long texts cut.
    pub fn stamp(self, ts: Timestamp, seq: u64) -> Record {
        let mut data = Value::Object(self.data);
        redact_json(&mut data);
        cut(&mut data);
        Record {
            ts,
            seq,
            event: self.event.into_owned(),
            level: self.level,
            subject: self.subject,
            data: match data {
                Value::Object(data) => data,
                _ => Map::new(),
            },
        }
    }
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(LONGEST) {
                text.truncate(end);
                text.push('…');
            }
        }
        Value::Array(items) => items.iter_mut().for_each(cut),
        Value::Object(fields) => fields.values_mut().for_each(cut),
        _ => {}
    }
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// As it should be.
    Info,
    /// Not as it should be.
    Warn,
    /// Somebody should look at it.
    Error,
}

/// What was written down of an event.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// When it happened; in JSON as RFC 3339 with milliseconds.
    #[serde(serialize_with = "write_ts", deserialize_with = "read_ts")]
    pub ts: Timestamp,
    /// Its number: one more than that of the record before it.
    pub seq: u64,
    /// What happened.
    pub event: String,
    /// How much it matters.
    pub level: Level,
    /// To whom or what.
    pub subject: String,
    /// What else there is to know.
    #[serde(default)]
    pub data: Map<String, Value>,
}

impl Record {
    /// The record as one line of JSON, with its line end.
    pub fn line(&self) -> String {
        // A map with text keys and no floats but finite ones can always be written.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// The record of a line; `None` if it is none.
    ///
    /// ```
    /// use flowgate_core::event::{Event, Level, Record};
    ///
    /// let record = Event::new("service.ready", Level::Info, "litellm").stamp(1_234, 1);
    /// assert_eq!(Record::parse(&record.line()), Some(record));
    /// assert_eq!(Record::parse("not one"), None);
    /// ```
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

fn write_ts<S: Serializer>(ts: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*ts))
}

fn read_ts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let moment = humantime::parse_rfc3339(&text).map_err(de::Error::custom)?;
    let since = moment.duration_since(std::time::UNIX_EPOCH);
    let since = since.map_err(de::Error::custom)?;
    Timestamp::try_from(since.as_millis()).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_no_secret_wherever_it_stands() {
        let event = Event::new("service.crash_loop", Level::Error, "a")
            .with(
                "last_lines",
                vec!["using key sk-abcdefgh12345678, bye", "fine"],
            )
            .with(
                "headers",
                serde_json::json!({ "authorization": "Bearer x" }),
            )
            .with("restarts", 3);
        let line = event.stamp(0, 0).line();
        assert!(
            !line.contains("abcdefgh") && !line.contains("Bearer"),
            "{line}"
        );
        assert!(line.contains("using key ********, bye") && line.contains("\"restarts\":3"));
    }

    #[test]
    fn a_line_is_a_line_and_not_endless() {
        let event = Event::new("x", Level::Info, "a\nb").with("text", "ü\n".repeat(5_000));
        let line = event.stamp(0, 0).line();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.len() < 8_000);
    }
}
