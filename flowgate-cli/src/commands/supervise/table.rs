//! The services as a table: what `status` prints, and what `up` keeps on the screen.

use serde_json::Value;

use crate::output::{ADDED, DIM, REMOVED, WARN};
use crate::visible;

const HEAD: [&str; 7] = [
    "service",
    "state",
    "pid",
    "port",
    "uptime",
    "restarts",
    "last error",
];

/// The table, a line each, in colours; each cut to so many letters.
pub(super) fn table(services: &[Value], width: usize) -> Vec<String> {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(services.iter().map(row));
    let width_of = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width_of).collect();
    let lines = rows.iter().enumerate().map(|(number, row)| {
        let style = match row[1].as_str() {
            _ if number == 0 => DIM,
            "running" => ADDED,
            "error" => REMOVED,
            "stopped" => DIM,
            _ => WARN,
        };
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let line: String = line.trim_end().chars().take(width).collect();
        format!("{style}{line}{style:#}")
    });
    lines.collect()
}

/// The table, with so many lines below its head: what is not well comes first if not all fit.
pub(super) fn short_table(services: &[Value], width: usize, height: usize) -> Vec<String> {
    if services.len() <= height {
        return table(services, width);
    }
    let most = height.saturating_sub(1).max(1);
    let mut sorted = services.to_vec();
    sorted.sort_by_key(|service| service["public"] == "running");
    let mut lines = table(sorted.get(..most).unwrap_or(&sorted), width);
    let more = services.len().saturating_sub(most);
    lines.push(format!("{DIM}… and {more} more{DIM:#}"));
    lines
}

fn row(service: &Value) -> [String; 7] {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => visible::one_line(text).into_owned(),
        value => value.to_string(),
    };
    let uptime = service["uptime_ms"].as_u64().map(uptime);
    [
        text(&service["name"]),
        text(&service["public"]),
        text(&service["process"]["pid"]),
        text(&service["port"]),
        uptime.unwrap_or_else(|| "-".to_owned()),
        text(&service["restarts"]),
        text(&service["last_error"]),
    ]
}

fn uptime(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn services(count: usize) -> Vec<Value> {
        let service = |number| {
            let public = if number == 7 { "error" } else { "running" };
            json!({
                "name": format!("s{number}"), "public": public, "process": {"pid": 100 + number},
                "port": 4000, "uptime_ms": 61_000, "restarts": 0, "last_error": null,
            })
        };
        (0..count).map(service).collect()
    }

    fn plain(lines: &[String]) -> Vec<String> {
        let strip = |line: &String| anstream::adapter::strip_str(line).to_string();
        lines.iter().map(strip).collect()
    }

    #[test]
    fn columns_stand_below_each_other_and_no_line_is_too_long() {
        let lines = plain(&table(&services(2), 80));
        let expected = [
            "service  state    pid  port  uptime  restarts  last error",
            "s0       running  100  4000  1m01s   0         -",
            "s1       running  101  4000  1m01s   0         -",
        ];
        assert_eq!(lines, expected);
        let narrow = plain(&table(&services(2), 20));
        assert_eq!(narrow[1], "s0       running  10");
    }

    #[test]
    fn of_too_many_those_that_are_not_well_are_seen() {
        let lines = plain(&short_table(&services(20), 80, 5));
        assert_eq!(lines.len(), 6);
        assert!(lines[1].starts_with("s7       error"), "{lines:?}");
        assert_eq!(lines[5], "… and 16 more");
        assert_eq!(short_table(&services(5), 80, 5).len(), 6);
    }

    #[test]
    fn times_are_told_as_people_do() {
        let times = [999, 59_999, 60_000, 3_600_000, 90_000_000].map(uptime);
        assert_eq!(times, ["0s", "59s", "1m00s", "1h00m", "1d01h"]);
    }
}
