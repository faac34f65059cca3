//! The section `bootstrap`: where what the services run comes from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check::named;
use super::schema::Settings;
use super::text::{HttpUrl, Name, NonBlank, PathText, RepositoryName, Sha256};
use crate::diagnostic::Diagnostic;
use crate::yaml::Node;

/// Where what the services run comes from.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BootstrapSettings {
    /// Where releases are described, in the form of GitHub's API. Default: `https://api.github.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<HttpUrl>,
    /// Where files are fetched from instead of the addresses in the release: `VERSION/NAME` below
    /// this URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<HttpUrl>,
    /// The proxy. Default: that of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<HttpUrl>,
    /// Whether what has no checksum is refused.
    #[serde(default)]
    pub require_checksum: bool,
    /// CLIProxyAPIPlus.
    #[serde(default)]
    pub cliproxyapi_plus: ProxyRelease,
    /// LiteLLM.
    #[serde(default)]
    pub litellm: LiteLlmRelease,
}

/// Which release of CLIProxyAPIPlus is installed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProxyRelease {
    /// The repository, `owner/name`. Default: `router-for-me/CLIProxyAPIPlus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// The version, or `latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<NonBlank>,
    /// The SHA-256 of the archive that this version must have, by platform: `linux/amd64`,
    /// `linux/arm64`, `darwin/amd64`, `darwin/arm64`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sha256: BTreeMap<Name, Sha256>,
}

/// Which LiteLLM is started.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LiteLlmRelease {
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<NonBlank>,
    /// An interpreter that has LiteLLM. Default: uv fetches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PathText>,
}

/// The platforms that there are builds for.
const PLATFORMS: [&str; 4] = ["darwin/amd64", "darwin/arm64", "linux/amd64", "linux/arm64"];

pub(super) fn check(document: &Node, settings: &Settings, problems: &mut Vec<Diagnostic>) {
    let proxy = &settings.bootstrap.cliproxyapi_plus;
    for entry in named(document, &["bootstrap", "cliproxyapi_plus", "sha256"]) {
        if !PLATFORMS.contains(&entry.key.as_str()) {
            problems.push(
                Diagnostic::error(
                    "config.invalid_value",
                    entry.key_span,
                    "there is no such platform",
                )
                .at("bootstrap.cliproxyapi_plus.sha256")
                .hint(format!("there are {}", PLATFORMS.join(", "))),
            );
        }
    }
    let floats = proxy
        .version
        .as_deref()
        .is_some_and(|version| version == "latest");
    if floats && !proxy.sha256.is_empty() {
        let version = document
            .get("bootstrap")
            .and_then(|node| node.get("cliproxyapi_plus")?.get("version"));
        let span = version.map(|node| node.span).unwrap_or_default();
        problems.push(
            Diagnostic::warning(
                "config.floating_version",
                span,
                "`latest` changes, and a checksum does not",
            )
            .at("bootstrap.cliproxyapi_plus.version")
            .hint("write the version that the checksum belongs to"),
        );
    }
}
