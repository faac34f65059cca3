//! The shape of the document, version 2. Defaults, known keys and the JSON Schema all come from
//! these types.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::guard::Policy;

use super::accounts::Accounts;
use super::auth::Auth;
use super::bootstrap::BootstrapSettings;
use super::service::Service;
use super::text::{Duration, HttpUrl, Name, NonBlank, PathText, ServiceName};

/// The configuration of FlowGate.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "FlowGate configuration", extend("patternProperties" = {"^(x-|_comment)": true})))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Version of this document.
    #[serde(default)]
    pub config_version: Version,
    /// Where FlowGate keeps its files.
    #[serde(default)]
    pub paths: Paths,
    /// The programs that FlowGate keeps running, by name.
    #[serde(default)]
    pub services: BTreeMap<ServiceName, Service>,
    /// Secrets, by the name that others refer to them with.
    #[serde(default)]
    pub credentials: Credentials,
    /// The LiteLLM configuration that every profile starts from.
    #[serde(default)]
    pub litellm_base: Section,
    /// What each profile changes in `litellm_base`, by the profile's name.
    #[serde(default)]
    pub profiles: BTreeMap<Name, Section>,
    /// How to sign in at providers.
    #[serde(default)]
    pub auth: Auth,
    /// Where what the services run comes from.
    #[serde(default)]
    pub bootstrap: BootstrapSettings,
    /// Files that hold secrets; their permissions are watched.
    #[serde(default)]
    pub secret_files: Vec<PathText>,
    /// What is written into the settings of clients such as Codex.
    #[serde(default)]
    pub integration: Integration,
    /// Which shell commands agents may run. It can only be stricter than the policy of the user,
    /// `~/.config/flowgate/guard.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Policy>,
    /// The provider accounts that requests are spread over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Accounts>,
}

/// The version of a document: 2, or 1 and 3, which are brought into the shape of 2.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minimum" = 1, "maximum" = 3, "default" = 2)))]
#[serde(try_from = "i64", into = "u32")]
pub struct Version(u32);

impl Default for Version {
    fn default() -> Self {
        Self(super::CURRENT_VERSION)
    }
}

impl TryFrom<i64> for Version {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match u32::try_from(number) {
            Ok(version @ 1..=3) => Ok(Self(version)),
            _ => Err(format!(
                "config_version {number} is not supported\nwrite 2; this release reads 1, 2 and 3"
            )),
        }
    }
}

impl From<Version> for u32 {
    fn from(version: Version) -> Self {
        version.0
    }
}

/// Where FlowGate keeps its files. Other paths given here are kept, and resolved like these.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Directory for everything that lives only while FlowGate runs. Default: `.router/runtime`.
    #[serde(default = "default_runtime_dir")]
    pub runtime_dir: PathText,
    /// The LiteLLM configuration of the active profile. Default: `litellm.active.yaml` in
    /// `runtime_dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_config: Option<PathText>,
    /// Which profile is active. Default: `state.json` in `runtime_dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_file: Option<PathText>,
    /// The event log. Default: `events.log` in `runtime_dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<PathText>,
}

fn default_runtime_dir() -> PathText {
    Paths::default().runtime_dir
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            runtime_dir: PathText::constant(".router/runtime"),
            active_config: None,
            state_file: None,
            log_file: None,
        }
    }
}

impl Paths {
    /// The keys of files, and their names in the runtime directory.
    pub(super) const FILES: [(&str, &str); 3] = [
        ("active_config", "litellm.active.yaml"),
        ("state_file", "state.json"),
        ("log_file", "events.log"),
    ];

    /// The LiteLLM configuration of the active profile.
    pub fn active_config(&self) -> String {
        self.or_in_runtime_dir(self.active_config.as_ref(), Self::FILES[0].1)
    }

    /// The file that says which profile is active.
    pub fn state_file(&self) -> String {
        self.or_in_runtime_dir(self.state_file.as_ref(), Self::FILES[1].1)
    }

    /// The event log.
    pub fn log_file(&self) -> String {
        self.or_in_runtime_dir(self.log_file.as_ref(), Self::FILES[2].1)
    }

    /// What the accounts have learned: `accounts.json` in the runtime directory.
    pub fn accounts_file(&self) -> String {
        self.or_in_runtime_dir(None, "accounts.json")
    }

    fn or_in_runtime_dir(&self, given: Option<&PathText>, name: &str) -> String {
        match given {
            Some(path) => path.to_string(),
            None => format!("{}/{name}", self.runtime_dir.trim_end_matches('/')),
        }
    }
}

/// The program first.
pub(super) fn program_and_arguments<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let args = Vec::<String>::deserialize(deserializer)?;
    match args.first() {
        None => Err(de::Error::custom(
            "the command is empty\nwrite the program first: `[litellm, --port, \"4000\"]`",
        )),
        Some(program) if program.trim().is_empty() => {
            Err(de::Error::custom("the name of the program is blank"))
        }
        Some(_) => Ok(args),
    }
}

/// How long to wait before another try; the wait doubles each time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The first wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<Duration>,
    /// The longest wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

/// Secrets, by what they are for.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Keys for upstream providers; `api_key_ref` names one of these.
    #[serde(default)]
    pub upstream: BTreeMap<Name, Credential>,
}

/// Where a secret is found. Exactly one.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// The content of this file, without blanks around it.
    File(PathText),
    /// The value of this environment variable.
    Env(NonBlank),
    /// What this program prints, without blanks around it; no shell is involved.
    Command(#[serde(deserialize_with = "program_and_arguments")] Vec<String>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::Command(args) => f.debug_tuple("Command").field(&args.first()).finish(),
        }
    }
}

/// A part of the document that FlowGate passes on: any mapping.
///
/// Its content is in [`Config::document`](super::Config::document), with the place of each value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("type" = "object")))]
pub struct Section {}

impl<'de> Deserialize<'de> for Section {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyMapping;

        impl<'de> de::Visitor<'de> for AnyMapping {
            type Value = Section;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Section, A::Error> {
                while map
                    .next_entry::<de::IgnoredAny, de::IgnoredAny>()?
                    .is_some()
                {}
                Ok(Section {})
            }
        }

        deserializer.deserialize_map(AnyMapping)
    }
}

/// What is written into the settings of clients.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Integration {
    /// Where clients reach the gateway. Default: host and port of the service `litellm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<HttpUrl>,
    /// The model that clients use. Default: `router-default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_model: Option<NonBlank>,
    /// The model that clients use for small tasks. Default: `default_model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fast_model: Option<NonBlank>,
}
