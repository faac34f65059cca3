//! The section `accounts.shared`: the server through which processes share what they learn.

use serde::{Deserialize, Serialize};

use super::check::{credentials, unknown_credential};
use super::text::{Duration, Name, RedisUrl};
use crate::diagnostic::Diagnostic;
use crate::yaml::Node;

/// Where processes share what they learn about the accounts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// The Redis or Valkey server, without a password: `redis://host:6379`, `rediss://host:6379` for
    /// TLS, `redis+unix:///path` for a socket.
    pub url: RedisUrl,
    /// The entry of `credentials.upstream` that holds the password of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Name>,
    /// The name under which processes share: those with the same name do. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// How the next account is chosen.
    #[serde(default)]
    pub mode: SharedMode,
    /// How long a strict choice, or a lease, waits for the server. Default: `50ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How much of a quota one process takes at once, as time at its rate. Default: `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Duration>,
}

/// How the next account is chosen where several processes share them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SharedMode {
    /// By each process, with what all of them have learned. The server is not asked.
    #[default]
    Local,
    /// By the server, in turn over all processes. Costs a round trip.
    Strict,
}

/// Adds what is wrong with the section.
pub(super) fn check(document: &Node, problems: &mut Vec<Diagnostic>) {
    let section = document
        .get("accounts")
        .and_then(|accounts| accounts.get("shared"));
    let Some(section) = section else {
        return;
    };
    if !cfg!(feature = "redis") {
        problems.push(
            Diagnostic::error(
                "config.not_built",
                section.span,
                "this build of FlowGate cannot share accounts between processes",
            )
            .at("accounts.shared")
            .hint("build flowgate-core with the feature `redis`, as the program, the Python package and the Node package are; or take the section out"),
        );
    }
    let credentials = credentials(document);
    if let Some(node) = section.get("credential")
        && let Some(name) = node.as_str()
        && !credentials.contains(name)
    {
        let problem = unknown_credential(name, node.span, &credentials);
        problems.push(problem.at("accounts.shared.credential"));
    }
    for (key, least) in [("timeout", 1), ("slice", 10)] {
        let node = section.get(key);
        let time = node.and_then(|node| Duration::try_from(node.as_str()?.to_owned()).ok());
        if let (Some(node), Some(time)) = (node, time)
            && std::time::Duration::from(time).as_millis() < least
        {
            problems.push(
                Diagnostic::error("config.invalid_value", node.span, "this is too short")
                    .at(format!("accounts.shared.{key}"))
                    .hint(format!("write `{least}ms` or more")),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn problems(section: &str) -> Vec<String> {
        let text = format!(
            "config_version: 2\ncredentials: {{upstream: {{redis: {{env: REDIS_PASSWORD}}}}}}\naccounts:\n  shared: {section}\n"
        );
        let found = match Config::from_yaml(&text) {
            Ok(config) => config.diagnostics().to_vec(),
            Err(error) => error.diagnostics().to_vec(),
        };
        let others = found
            .iter()
            .filter(|problem| problem.code != "config.not_built");
        others.map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_right_is_read() {
        for right in [
            "{url: 'redis://127.0.0.1:6379'}",
            "{url: 'rediss://user@redis.example:6380/2', credential: redis, mode: strict, name: team}",
            "{url: 'redis+unix:///run/redis.sock', timeout: 20ms, slice: 500ms}",
        ] {
            assert_eq!(problems(right), [""; 0], "{right}");
        }
    }

    #[test]
    fn every_mistake_has_its_place() {
        for (wrong, says) in [
            ("{}", "`url`"),
            ("{url: 'http://x'}", "4:17"),
            (
                "{url: 'redis://:hidden@x'}",
                "a password does not belong into the address",
            ),
            (
                "{url: 'redis://x', credential: nobody}",
                "4:42: there is no such credential",
            ),
            ("{url: 'redis://x', mode: exact}", "not one of the choices"),
            (
                "{url: 'redis://x', timeout: 0ms}",
                "4:39: this is too short",
            ),
            ("{url: 'redis://x', retries: 3}", "unknown key `retries`"),
        ] {
            let found = problems(wrong);
            assert!(
                found.iter().any(|problem| problem.contains(says)),
                "{wrong}: {found:?}"
            );
        }
        let shown = problems("{url: 'redis://:hidden@x'}").join("");
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn a_build_that_cannot_share_says_so() {
        let text = "config_version: 2\naccounts:\n  shared: {url: 'redis://127.0.0.1'}\n";
        let refused = Config::from_yaml(text).is_err();
        assert_eq!(refused, !cfg!(feature = "redis"));
    }
}
