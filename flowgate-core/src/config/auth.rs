//! The section `auth`: how to sign in at providers, and where credentials are stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::check::{credentials, named, unknown_credential};
use super::schema::Settings;
use super::text::{HttpUrl, Name, NonBlank, PathText};
use crate::diagnostic::Diagnostic;
use crate::yaml::Node;

/// How to sign in at providers.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The directory of stored credentials. Default: `auth` beside `paths.runtime_dir`, or `auths`
    /// if that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathText>,
    /// The entry of `credentials.upstream` that holds the management key of CLIProxyAPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_key: Option<Name>,
    /// The file of the key that credentials FlowGate stores are sealed with; one is made if it is
    /// not there. Other programs cannot read them then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_key_file: Option<PathText>,
    /// The entry of `credentials.upstream` that holds that key, where it is not in a file: a program
    /// that asks the keyring of the operating system, such as `secret-tool` or `security`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_key: Option<Name>,
    /// The providers, by name.
    #[serde(default)]
    pub providers: BTreeMap<Name, Provider>,
}

/// How to sign in at one provider.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The kind of sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<SignInMethod>,
    /// Answers with the URL that the user opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_url_endpoint: Option<HttpUrl>,
    /// Answers whether the user has signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_endpoint: Option<HttpUrl>,
    /// With `method: device_code`: the name of this program at the provider. The endpoints are then
    /// those of RFC 8628, for devices and for tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<NonBlank>,
    /// With `method: device_code`: what is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<NonBlank>,
    /// Whether `auth.management_key` goes with requests to the endpoints. Default: yes, if they are
    /// those of CLIProxyAPI's management API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_management_key: Option<bool>,
}

impl Provider {
    /// Whether the management key of CLIProxyAPI goes with requests.
    pub fn is_managed(&self) -> bool {
        let endpoints = [&self.auth_url_endpoint, &self.status_endpoint];
        let managed = |url: &Option<HttpUrl>| {
            url.as_ref()
                .is_none_or(|url| url.contains("/v0/management/"))
        };
        self.send_management_key
            .unwrap_or_else(|| endpoints.into_iter().all(managed))
    }
}

/// A kind of sign-in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SignInMethod {
    /// The user types a code at the provider.
    DeviceCode,
    /// Credentials of another program are taken over.
    HeadlessImport,
    /// The user opens a URL, and the status is polled.
    OauthPoll,
}

/// What the section names must be there, and what goes together must come together.
pub(super) fn check(document: &Node, settings: &Settings, problems: &mut Vec<Diagnostic>) {
    let section = document.get("auth");
    let find = |key: &str| section.and_then(|auth| auth.get(key));
    let auth = &settings.auth;
    for (key, name) in [
        ("management_key", &auth.management_key),
        ("seal_key", &auth.seal_key),
    ] {
        if let (Some(node), Some(name)) = (find(key), name) {
            let credentials = credentials(document);
            if !credentials.contains(name) {
                let path = format!("auth.{key}");
                problems.push(unknown_credential(name, node.span, &credentials).at(path));
            }
        }
    }
    if let (Some(node), Some(_)) = (find("seal_key"), find("seal_key_file")) {
        problems.push(
            Diagnostic::error(
                "config.choose_one",
                node.span,
                "`seal_key_file` says where the key is already",
            )
            .at("auth.seal_key")
            .hint("remove one of the two"),
        );
    }
    for entry in named(document, &["auth", "providers"]) {
        let Some(provider) = settings.auth.providers.get(entry.key.as_str()) else {
            continue;
        };
        let path = format!("auth.providers.{}", entry.key);
        let (auth, status) = (&provider.auth_url_endpoint, &provider.status_endpoint);
        if auth.is_some() != status.is_some() {
            let missing = if auth.is_some() {
                "status_endpoint"
            } else {
                "auth_url_endpoint"
            };
            problems.push(
                Diagnostic::warning(
                    "config.half_a_provider",
                    entry.value.span,
                    format!("`{missing}` is missing: one cannot sign in here"),
                )
                .at(&path)
                .hint("write both endpoints, or none"),
            );
        }
        if provider.client_id.is_some() && provider.method != Some(SignInMethod::DeviceCode) {
            problems.push(
                Diagnostic::warning(
                    "config.unused_key",
                    entry.value.span,
                    "`client_id` is only used with `method: device_code`",
                )
                .at(&path)
                .hint("add `method: device_code`, or leave it out"),
            );
        }
    }
}
