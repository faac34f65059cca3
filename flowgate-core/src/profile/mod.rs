//! Profiles: what the LiteLLM configuration becomes under each, and where every value came from.
//!
//! A profile is laid over `litellm_base`: mappings are merged, everything else replaces, and the
//! text `$delete` removes a key. Nothing is copied until the result is asked for, and nothing is
//! ever written into the configuration it came from.

mod active;
mod credentials;
mod diff;
mod merge;
mod suspicion;

use std::borrow::Cow;

pub use active::{State, state_json};
pub use credentials::{CredentialProblem, Reference, Secrets};
pub use diff::{Change, ChangeKind};
pub use merge::{Merged, merge, merge_documents};

use suspicion::Suspicions;

use serde::Serialize;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::redact::redact_document;
use crate::yaml::{self, Entry, Node, Value};

/// The text that removes a key of a layer below: `fallbacks: $delete`.
pub const DELETE: &str = crate::DELETE;

/// The name of the layer that all profiles share.
pub const BASE_LAYER: &str = "litellm_base";

/// Why a profile cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no profile of this name.
    #[error("there is no profile `{name}`{}", hint(.suggestion.as_ref(), .known))]
    UnknownProfile {
        /// The name that was asked for.
        name: String,
        /// The profiles that are there.
        known: Vec<String>,
        /// The one that was probably meant.
        suggestion: Option<String>,
    },
    /// Secrets that the profile needs could not be had; all of them are listed.
    #[error("credentials cannot be used:{}", problem_list(.problems))]
    Credentials {
        /// What is wrong with each.
        problems: Vec<CredentialProblem>,
    },
}

fn hint(suggestion: Option<&String>, known: &[String]) -> String {
    match suggestion {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => "; the configuration has none".to_owned(),
        None => format!("; known: {}", known.join(", ")),
    }
}

fn problem_list(problems: &[CredentialProblem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}

impl Error {
    /// The stable name of this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownProfile { .. } => "profile.unknown",
            Self::Credentials { .. } => "profile.credentials",
        }
    }
}

/// One profile of a configuration, laid over the base.
///
/// # Example
///
/// ```
/// use flowgate_core::config::Config;
///
/// let config = Config::from_yaml("
/// config_version: 2
/// litellm_base: { litellm_settings: { num_retries: 1, request_timeout: 30 } }
/// profiles: { cost: { litellm_settings: { num_retries: 0 } } }
/// ")?;
/// let profile = config.profile("cost")?;
/// let origins = profile.origins();
/// assert_eq!(origins[0].path, "litellm_settings.num_retries");
/// assert_eq!(origins[0].layer, "profiles.cost");
/// assert_eq!(origins[1].layer, "litellm_base");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Profile<'c> {
    config: &'c Config,
    name: &'c str,
    merged: Merged<'c>,
    warnings: Vec<Diagnostic>,
}

impl std::fmt::Debug for Profile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile")
            .field("name", &self.name)
            .field("merged", &self.merged)
            .finish_non_exhaustive()
    }
}

/// Where a value of a merged document was written.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
#[non_exhaustive]
pub struct Origin {
    /// The value, such as `model_list[0].model_name`.
    pub path: String,
    /// The layer it was written in: `litellm_base` or `profiles.NAME`.
    pub layer: String,
    /// The file, if the configuration was read from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The place in it.
    #[serde(flatten)]
    pub span: Span,
}

/// A line of [`Profile::explain`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExplainedLine {
    /// The line of YAML.
    pub text: String,
    /// Where its value was written; `None` if it holds none.
    pub origin: Option<Origin>,
}

impl Config {
    /// The names of the profiles, sorted.
    pub fn profile_names(&self) -> impl Iterator<Item = &str> {
        self.settings().profiles.keys().map(|name| name.as_ref())
    }

    /// Lays a profile over `litellm_base`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownProfile`] if there is no profile of this name.
    pub fn profile(&self, name: &str) -> Result<Profile<'_>, Error> {
        let profiles = self.document().get("profiles");
        let known = self.settings().profiles.contains_key(name);
        let Some(entry) = profiles
            .and_then(|profiles| profiles.entry(name))
            .filter(|_| known)
        else {
            return Err(Error::UnknownProfile {
                name: name.to_owned(),
                suggestion: nearest(name, self.profile_names()).map(str::to_owned),
                known: self.profile_names().map(str::to_owned).collect(),
            });
        };
        let warnings = Suspicions::new(self.base()).about(&entry.value);
        Ok(Profile {
            config: self,
            name: &entry.key,
            merged: merge(self.base(), &entry.value),
            warnings: self.in_profile(name, warnings),
        })
    }

    /// What is suspicious about how the profiles change the base, in the order of the text.
    pub fn profile_diagnostics(&self) -> Vec<Diagnostic> {
        let mut suspicions = Suspicions::new(self.base());
        let mut found = Vec::new();
        for entry in self
            .document()
            .get("profiles")
            .and_then(Node::entries)
            .unwrap_or_default()
        {
            if self.settings().profiles.contains_key(entry.key.as_str()) {
                let warnings = suspicions.about(&entry.value);
                found.extend(self.in_profile(&entry.key, warnings));
            }
        }
        found.sort_by_key(|warning| warning.span);
        found
    }

    /// Says which file and profile the warnings are about.
    fn in_profile(&self, name: &str, mut warnings: Vec<Diagnostic>) -> Vec<Diagnostic> {
        for warning in &mut warnings {
            warning.file = self.file().map(str::to_owned);
            warning.path = format!("profiles.{name}.{}", warning.path);
        }
        warnings
    }

    fn base(&self) -> &Node {
        static EMPTY: Node = Node {
            value: Value::Mapping(Vec::new()),
            span: Span {
                line: 0,
                column: 0,
                end_line: 0,
                end_column: 0,
            },
        };
        self.document().get(BASE_LAYER).unwrap_or(&EMPTY)
    }
}

impl<'c> Profile<'c> {
    /// The name of the profile.
    pub fn name(&self) -> &str {
        self.name
    }

    /// What is suspicious about the changes: a mapping that a null wipes out, a type that changes.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The merged document, with the place that each value was written at.
    pub fn document(&self) -> Node {
        self.merged.to_node()
    }

    /// Where every leaf of the merged document was written, in its order.
    pub fn origins(&self) -> Vec<Origin> {
        let mut origins = Vec::new();
        self.merged.visit_leaves(&mut |path, node, overlaid| {
            origins.push(Origin {
                path: path.to_owned(),
                layer: self.layer(overlaid).into_owned(),
                file: self.config.file().map(str::to_owned),
                span: node.span,
            });
        });
        origins
    }

    /// The merged document as YAML, line by line, each with the origin of the value it holds.
    /// Secrets that are written in the configuration are hidden.
    pub fn explain(&self) -> Vec<ExplainedLine> {
        let (text, leaves) = yaml::to_yaml_with_leaves(&redact_document(&self.document()));
        let mut origins = self.origins().into_iter().zip(leaves).peekable();
        let explain = |(number, line): (usize, &str)| ExplainedLine {
            text: line.to_owned(),
            origin: origins
                .next_if(|(_, leaf)| *leaf == number)
                .map(|(origin, _)| origin),
        };
        text.lines().enumerate().map(explain).collect()
    }

    /// What changes from this profile to another, leaf by leaf.
    pub fn diff(&self, other: &Profile<'_>) -> Vec<Change> {
        diff::diff(&self.document(), &other.document())
    }

    fn layer(&self, overlaid: bool) -> Cow<'static, str> {
        if overlaid {
            Cow::Owned(format!("profiles.{}", self.name))
        } else {
            Cow::Borrowed(BASE_LAYER)
        }
    }
}

/// The entry of a list of entries with this key, found faster than one by one if there are many.
struct Index<'e> {
    entries: &'e [Entry],
    sorted: Vec<usize>,
}

impl<'e> Index<'e> {
    fn new(entries: &'e [Entry]) -> Self {
        let mut sorted = Vec::new();
        if entries.len() > 16 {
            sorted.extend(0..entries.len());
            sorted.sort_unstable_by(|&a, &b| entries[a].key.cmp(&entries[b].key));
        }
        Self { entries, sorted }
    }

    fn find(&self, key: &str) -> Option<&'e Entry> {
        if self.sorted.is_empty() {
            return self.entries.iter().find(|entry| entry.key == key);
        }
        let found = self
            .sorted
            .binary_search_by(|&i| self.entries[i].key.as_str().cmp(key));
        found
            .ok()
            .map(|position| &self.entries[self.sorted[position]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_holds_a_value_is_explained() {
        let config = Config::from_yaml(
            "config_version: 2\nlitellm_base:\n  a: {b: [[1, 2], {c: {}}], api_key: sk-1}\nprofiles:\n  p: {a: {d: 'x:'}}\n",
        )
        .unwrap();
        let explained: Vec<(String, Option<String>)> = config
            .profile("p")
            .unwrap()
            .explain()
            .into_iter()
            .map(|line| (line.text, line.origin.map(|origin| origin.path)))
            .collect();
        let line = |text: &str, path: &str| {
            (
                text.to_owned(),
                Some(path.to_owned()).filter(|path| !path.is_empty()),
            )
        };
        assert_eq!(
            explained,
            [
                line("a:", ""),
                line("  b:", ""),
                line("    - - 1", "a.b[0][0]"),
                line("      - 2", "a.b[0][1]"),
                line("    - c: {}", "a.b[1].c"),
                line("  api_key: \"********\"", "a.api_key"),
                line("  d: \"x:\"", "a.d"),
            ]
        );
    }
}
