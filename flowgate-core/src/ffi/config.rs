//! Configurations and profiles as handles.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Change, Diagnostic, FlowgateError, diagnostics, json};
use crate::config::{self, Base};
use crate::profile::{self, Origin, Secrets};

/// See [`crate::config::Config`].
#[derive(Debug, uniffi::Object)]
pub struct Config(pub(super) Arc<config::Config>);

#[uniffi::export]
impl Config {
    /// Reads a configuration from YAML or JSON text. `file` is the name that diagnostics and
    /// origins give; it is not opened.
    ///
    /// # Errors
    ///
    /// [`FlowgateError::ConfigError`] with every mistake.
    #[uniffi::constructor(default(file = None))]
    pub fn from_yaml(text: &str, file: Option<String>) -> Result<Self, FlowgateError> {
        let config = match file {
            Some(file) => config::Config::from_file(&file, text.as_bytes()),
            None => config::Config::from_yaml(text),
        };
        Ok(Self(Arc::new(config?)))
    }

    /// The file it was read from.
    pub fn file(&self) -> Option<String> {
        self.0.file().map(str::to_owned)
    }

    /// The names of the profiles, sorted.
    pub fn profiles(&self) -> Vec<String> {
        self.0.profile_names().map(str::to_owned).collect()
    }

    /// What is allowed and suspicious, in the order of the text.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        diagnostics(self.0.diagnostics())
    }

    /// What is suspicious about how the profiles change the base, in the order of the text.
    pub fn profile_diagnostics(&self) -> Vec<Diagnostic> {
        diagnostics(&self.0.profile_diagnostics())
    }

    /// Lays a profile over `litellm_base`.
    ///
    /// # Errors
    ///
    /// [`FlowgateError::ProfileError`] if there is no profile of this name.
    pub fn profile(&self, name: &str) -> Result<Profile, FlowgateError> {
        let profile = self.0.profile(name)?;
        let references = profile.references().into_iter();
        Ok(Profile {
            name: name.to_owned(),
            diagnostics: diagnostics(profile.diagnostics()),
            origins: profile.origins(),
            references: references.map(|reference| reference.name).collect(),
            json: json(&profile.document()),
            config: Arc::clone(&self.0),
        })
    }

    /// The same configuration with every path absolute, seen from the directory `dir` and from the
    /// user's `home`.
    ///
    /// # Errors
    ///
    /// [`FlowgateError::ConfigError`] if a path starts with `~` and there is no home.
    #[uniffi::method(default(home = None))]
    pub fn resolve(&self, dir: &str, home: Option<String>) -> Result<Self, FlowgateError> {
        let home = home.as_deref();
        Ok(Self(Arc::new(self.0.resolve(&Base { dir, home })?)))
    }

    /// The document in the shape of version 2, as JSON.
    pub fn to_json(&self) -> String {
        json(self.0.document())
    }
}

/// See [`crate::profile::Profile`].
#[derive(uniffi::Object)]
pub struct Profile {
    config: Arc<config::Config>,
    name: String,
    diagnostics: Vec<Diagnostic>,
    origins: Vec<Origin>,
    references: Vec<String>,
    json: String,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The document may hold secrets.
        f.debug_struct("Profile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[uniffi::export]
impl Profile {
    /// The name of the profile.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// What is suspicious about the changes: a mapping that a null wipes out, a type that changes.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.diagnostics.clone()
    }

    /// Where every leaf of the merged document was written, in its order.
    pub fn origins(&self) -> Vec<Origin> {
        self.origins.clone()
    }

    /// The credentials that the merged document refers to, each once, in its order.
    pub fn references(&self) -> Vec<String> {
        self.references.clone()
    }

    /// The merged document, before the secrets are put in, as JSON.
    pub fn to_json(&self) -> String {
        self.json.clone()
    }

    /// What changes from this profile to another, leaf by leaf.
    ///
    /// # Errors
    ///
    /// None that is known: both profiles are there.
    pub fn diff(&self, other: &Self) -> Result<Vec<Change>, FlowgateError> {
        let changes = self.merged()?.diff(&other.merged()?);
        Ok(changes.into_iter().map(Into::into).collect())
    }

    /// The document that LiteLLM reads, as YAML, with the secrets in place. `secrets` maps names of
    /// credentials to what they stand for.
    ///
    /// # Errors
    ///
    /// [`FlowgateError::ProfileError`] with every credential that is missing.
    pub fn render(&self, secrets: HashMap<String, String>) -> Result<String, FlowgateError> {
        let secrets: Secrets = secrets.into_iter().map(|(n, s)| (n, s.into())).collect();
        Ok(self.merged()?.render(&secrets)?)
    }
}

impl Profile {
    fn merged(&self) -> Result<profile::Profile<'_>, profile::Error> {
        self.config.profile(&self.name)
    }
}
