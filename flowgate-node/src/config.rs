#![expect(
    clippy::use_self,
    reason = "`#[napi]` moves signatures to where `Self` has no meaning"
)]

use std::path::PathBuf;
use std::sync::Arc;

use flowgate_core as core;
use flowgate_core::profile::Secrets;
use flowgate_core::runtime;
use napi::bindgen_prelude::*;
use napi_derive::napi;

use crate::document;
use crate::error::into_js;
use crate::types::{self, Change, Diagnostic, Origin};
use crate::work::Work;

/// A checked configuration. Never changes.
#[napi]
pub struct Config(pub(crate) Arc<core::config::Config>);

#[napi]
impl Config {
    /// Reads a file on a thread of the pool.
    #[napi(catch_unwind)]
    pub fn load(path: String) -> AsyncTask<Work<Config>> {
        Work::start(move || Ok(Self::new(runtime::load(&PathBuf::from(path))?)))
    }

    /// Reads a file while the caller waits.
    #[napi(catch_unwind)]
    pub fn load_sync(env: &Env, path: String) -> Result<Self> {
        runtime::load(&PathBuf::from(path))
            .map(Self::new)
            .map_err(|error| into_js(env, error))
    }

    /// Reads a text.
    #[napi(catch_unwind)]
    pub fn from_yaml(env: &Env, text: String, file: Option<String>) -> Result<Self> {
        match file {
            Some(file) => core::config::Config::from_file(&file, text.as_bytes()),
            None => core::config::Config::from_yaml(&text),
        }
        .map(Self::new)
        .map_err(|error| into_js(env, error))
    }

    /// What is allowed and suspicious.
    #[napi(catch_unwind)]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        types::all(self.0.diagnostics())
    }

    /// The names of the profiles, sorted.
    #[napi(catch_unwind)]
    pub fn profiles(&self) -> Vec<&str> {
        self.0.profile_names().collect()
    }

    /// The file it was read from.
    #[napi(catch_unwind)]
    pub fn file(&self) -> Option<&str> {
        self.0.file()
    }

    /// Lays a profile over `litellm_base`.
    #[napi(catch_unwind)]
    pub fn profile(&self, env: &Env, name: String) -> Result<Profile> {
        match self.0.profile(&name) {
            Ok(_) => Ok(Profile {
                config: Arc::clone(&self.0),
                name,
            }),
            Err(error) => Err(into_js(env, error)),
        }
    }

    /// What is suspicious about how the profiles change the base.
    #[napi(catch_unwind)]
    pub fn profile_diagnostics(&self) -> Vec<Diagnostic> {
        types::all(&self.0.profile_diagnostics())
    }

    /// The same configuration with every path absolute.
    #[napi(catch_unwind)]
    pub fn resolve(&self, env: &Env) -> Result<Self> {
        runtime::resolve(&self.0)
            .map(Self::new)
            .map_err(|error| into_js(env, error))
    }

    /// The document in the shape of version 2.
    #[napi(catch_unwind)]
    pub fn document<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
        document::to_js(env, self.0.document())
    }
}

impl Config {
    fn new(config: core::config::Config) -> Self {
        Self(Arc::new(config))
    }
}

/// One profile of a configuration, laid over the base.
#[napi]
pub struct Profile {
    config: Arc<core::config::Config>,
    name: String,
}

#[napi]
impl Profile {
    /// What is suspicious about the changes.
    #[napi(catch_unwind)]
    pub fn diagnostics(&self, env: &Env) -> Result<Vec<Diagnostic>> {
        self.merged(env)
            .map(|profile| types::all(profile.diagnostics()))
    }

    /// Where every leaf of the merged document was written.
    #[napi(catch_unwind)]
    pub fn origins(&self, env: &Env) -> Result<Vec<Origin>> {
        let origins = self.merged(env)?.origins();
        Ok(origins.into_iter().map(Origin::from).collect())
    }

    /// The credentials that the merged document refers to.
    #[napi(catch_unwind)]
    pub fn references(&self, env: &Env) -> Result<Vec<String>> {
        let references = self.merged(env)?.references();
        Ok(references.into_iter().map(|r| r.name).collect())
    }

    /// The merged document.
    #[napi(catch_unwind)]
    pub fn document<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
        document::to_js(env, &self.merged(env)?.document())
    }

    /// What changes from this profile to another.
    #[napi(catch_unwind)]
    pub fn diff<'env>(&self, env: &'env Env, other: &Profile) -> Result<Vec<Change<'env>>> {
        let changes = self.merged(env)?.diff(&other.merged(env)?);
        changes
            .into_iter()
            .map(|change| Change::new(env, change))
            .collect()
    }

    /// The document that LiteLLM reads, with the secrets, given as pairs, in place.
    #[napi(catch_unwind)]
    pub fn render(&self, env: &Env, secrets: Vec<(String, String)>) -> Result<String> {
        let secrets: Secrets = secrets
            .into_iter()
            .map(|(name, secret)| (name, secret.into()))
            .collect();
        self.merged(env)?
            .render(&secrets)
            .map_err(|error| into_js(env, error))
    }
}

impl Profile {
    /// Merges again, which is cheaper than keeping what borrows from the configuration.
    fn merged(&self, env: &Env) -> Result<core::profile::Profile<'_>> {
        self.config
            .profile(&self.name)
            .map_err(|error| into_js(env, error))
    }
}
