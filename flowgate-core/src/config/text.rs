//! The kinds of text and number that the document knows, each checked when it is read.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Error, invalid, paths};
use crate::diagnostic::{Diagnostic, Span};

/// The text of a document, if it is UTF-8.
pub(super) fn utf8<'b>(file: Option<&str>, bytes: &'b [u8]) -> Result<&'b str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (before, rest) = bytes.split_at(error.valid_up_to());
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        let last = before
            .rsplit(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let line = u32::try_from(lines + 1).unwrap_or(u32::MAX);
        let column =
            u32::try_from(String::from_utf8_lossy(last).chars().count() + 1).unwrap_or(u32::MAX);
        let span = Span {
            line,
            column,
            end_line: line,
            end_column: column.saturating_add(1),
        };
        let byte = rest.first().copied().unwrap_or_default();
        let message = format!("the file is not UTF-8: the byte 0x{byte:02X} stands here");
        invalid(
            file,
            vec![Diagnostic::error("config.not_utf8", span, message).hint("save it as UTF-8 text")],
        )
    })
}

/// The problem of a text that a check refused with `problem\nhint`.
pub(super) fn refusal(span: Span, reason: &str) -> Diagnostic {
    let (message, hint) = reason.split_once('\n').unwrap_or((reason, ""));
    let problem = Diagnostic::error("config.invalid_value", span, message);
    if hint.is_empty() {
        problem
    } else {
        problem.hint(hint)
    }
}

/// Defines a text that is checked when it is read. The check gives `problem\nhint`.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr, $($schema:tt)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars($($schema)*))]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        // Maps are looked up by plain text; ordering and equality are those of the text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text! {
    /// Text that is not blank.
    NonBlank, not_blank, extend("pattern" = r"\S")
}
checked_text! {
    /// The name of a profile, credential, provider or account: any text that is not blank.
    Name, name, extend("pattern" = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")
}
checked_text! {
    /// The name of a service, which also names its files: letters, digits, `.`, `_` and `-`.
    ServiceName, service_name, extend("pattern" = r"^(?!all$)[^\s!-/:-@\[-`{-~][^\s!-,/:-@\[-^`{-~]*$")
}
checked_text! {
    /// A path as written: absolute, relative to the configuration file, or from `~/`.
    PathText, paths::check_path_text, extend("pattern" = r"^(?!\s*$)(?!~[^/])(?![A-Za-z][A-Za-z0-9+.-]*://)")
}
checked_text! {
    /// The name or address of a machine, without scheme, port or path.
    Host, host, extend("pattern" = r"^[^\s/@:]+$|^[^\s/@]*:[^\s/@]*:[^\s/@]*$")
}
checked_text! {
    /// The path of a URL, from its leading `/`.
    UrlPath, url_path, extend("pattern" = r"^/[^\s]*$")
}
checked_text! {
    /// An `http` or `https` URL.
    HttpUrl, http_url, extend("pattern" = r"^https?://[^\s/]+")
}

checked_text! {
    /// The address of a Redis or Valkey server, without a password.
    RedisUrl, redis_url, extend("pattern" = r"^(rediss?|redis\+unix|unix)://[^\s]+$")
}

checked_text! {
    /// A repository on a code host: `owner/name`.
    RepositoryName, repository_name, extend("pattern" = r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")
}
checked_text! {
    /// A SHA-256 in hexadecimal.
    Sha256, sha256, extend("pattern" = r"^[0-9a-fA-F]{64}$")
}

impl PathText {
    /// A path that is known to be one.
    pub(super) fn constant(path: &'static str) -> Self {
        Self(path.to_owned())
    }
}

fn not_blank(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("this must not be blank".to_owned());
    }
    Ok(())
}

fn name(name: &str) -> Result<(), String> {
    not_blank(name)?;
    if name.contains(char::is_control) {
        return Err("a name has no control characters".to_owned());
    }
    Ok(())
}

fn repository_name(text: &str) -> Result<(), String> {
    let part = |part: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        !part.is_empty() && !matches!(part, "." | "..") && part.chars().all(good)
    };
    match text.split_once('/') {
        Some((owner, name)) if part(owner) && part(name) => Ok(()),
        _ => Err("expected a repository\nwrite it as `owner/name`".to_owned()),
    }
}

fn sha256(text: &str) -> Result<(), String> {
    if text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err("expected a SHA-256\nwrite its 64 hexadecimal digits".to_owned())
}

fn service_name(name: &str) -> Result<(), String> {
    if name == "all" {
        return Err(
            "a service cannot be named `all`\nthe word stands for every service in commands"
                .to_owned(),
        );
    }
    let good = name.starts_with(char::is_alphanumeric)
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if good {
        return Ok(());
    }
    Err("this is not a name for a service\nuse letters, digits, `.`, `_` and `-`, and start with a letter or digit".to_owned())
}

fn host(text: &str) -> Result<(), String> {
    not_blank(text)?;
    if text.contains("://") || text.contains('/') {
        return Err("a host is a name or an address, not a URL\nwrite `127.0.0.1`; the port has a key of its own".to_owned());
    }
    // Colons are for IPv6: two at least.
    if text.matches(':').count() == 1 {
        return Err("a host has no port\nwrite the number under `port`".to_owned());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
        return Err("this is not the name or address of a host".to_owned());
    }
    Ok(())
}

/// How a client on this machine reaches a server that listens on `host`, as it stands in a URL.
///
/// ```
/// use flowgate_core::config::reachable;
///
/// assert_eq!(["0.0.0.0", "::", "::1", "localhost"].map(reachable), ["127.0.0.1", "[::1]", "[::1]", "localhost"]);
/// ```
pub fn reachable(host: &str) -> String {
    match host {
        "0.0.0.0" | "*" => "127.0.0.1".to_owned(),
        "::" | "[::]" => "[::1]".to_owned(),
        _ if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        _ => host.to_owned(),
    }
}

fn url_path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("the path of a URL starts with `/`\nwrite it as `/health`".to_owned());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("the path of a URL has no blanks\nwrite a blank as `%20`".to_owned());
    }
    Ok(())
}

fn http_url(text: &str) -> Result<(), String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let host = rest
        .unwrap_or_default()
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default();
    if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(
            "expected an http or https URL\nwrite it as `http://127.0.0.1:8317/path`".to_owned(),
        );
    }
    Ok(())
}

fn redis_url(text: &str) -> Result<(), String> {
    let known = ["redis://", "rediss://", "redis+unix://", "unix://"];
    let rest = known.iter().find_map(|scheme| text.strip_prefix(scheme));
    let blank = text.contains(|c: char| c.is_whitespace() || c.is_control());
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !blank) else {
        return Err("expected the address of a Redis or Valkey server\nwrite it as `redis://127.0.0.1:6379`, `rediss://…` for TLS or `redis+unix:///path`".to_owned());
    };
    let login = rest.rsplit_once('@').map_or("", |(login, _)| login);
    if login.contains(':') || rest.contains("pass=") {
        return Err("a password does not belong into the address\nput it under `credentials.upstream` and name it with `credential`".to_owned());
    }
    Ok(())
}

/// A TCP port, 1 to 65535.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minimum" = 1, "maximum" = 65535)))]
#[serde(try_from = "i64", into = "u16")]
pub struct Port(u16);

impl TryFrom<i64> for Port {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(Self(port)),
            _ => Err("a port is a number from 1 to 65535".to_owned()),
        }
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A span of time, written with its unit: `200ms`, `30s`, `5m`, `1h 30m`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^\s*(\d+\s*(n|u|m|s|min|h|d|w|M|y)[a-z]*\s*)+$")))]
#[serde(try_from = "String", into = "String")]
pub struct Duration(std::time::Duration);

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        humantime::parse_duration(&text).map(Self).map_err(|_| {
            "expected a time with its unit\nwrite it as `200ms`, `30s` or `5m`".to_owned()
        })
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        humantime::format_duration(duration.0).to_string()
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_knows_its_own() {
        let bad = |check: fn(&str) -> Result<(), String>, texts: &[&str]| {
            texts.iter().filter(|text| check(text).is_ok()).count()
        };
        assert_eq!(bad(host, &["http://h", "h:80", "a b", "", "u@h", "h/x"]), 0);
        assert_eq!(bad(url_path, &["health", "", "/a b", "/a\n"]), 0);
        assert_eq!(
            bad(
                http_url,
                &["file:///x", "http://", "http:///x", "h/x", "http://a b"]
            ),
            0
        );
        assert_eq!(bad(service_name, &["../x", "all", "", "-x", "a/b", "."]), 0);
        for good in ["127.0.0.1", "::1", "fe80::1", "localhost", "0.0.0.0"] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        assert!(http_url("https://h:1/x?q").is_ok());
        assert!(service_name("cliproxyapi_plus").is_ok());
        assert_eq!(
            bad(repository_name, &["a", "a/b/c", "/b", "../b", "a/ b"]),
            0
        );
        assert!(repository_name("router-for-me/CLIProxyAPIPlus").is_ok());
        assert_eq!(bad(sha256, &["", "abc", &"g".repeat(64)]), 0);
        assert!(sha256(&"aB".repeat(32)).is_ok());
        assert!(
            Port::try_from(0).is_err()
                && Port::try_from(65536).is_err()
                && Port::try_from(1).is_ok()
        );
    }
}
