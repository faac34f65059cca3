//! The surface for Kotlin, Swift and Ruby, through uniffi: the same decisions under the same names.
//!
//! uniffi knows owned arguments, shared handles and flat values. So the handles here wrap those of
//! the core, values that borrow or count in `usize` have a twin in [`values`], and documents cross
//! as JSON text. Everything else is exported where it is defined. Nothing is decided here.

mod accounts;
mod config;
mod error;
mod guard;
mod supervise;
mod values;

pub use accounts::{Classification, Pick, Pool, PoolVerdict, ProviderAnswer, classify};
pub use config::{Config, Profile};
pub use error::FlowgateError;
pub use guard::Guard;
pub use supervise::{Effect, ProcessEvent, Supervisor, SupervisorAction};
pub use values::{Change, CommandSpan, Diagnostic, Merge, Migration, Verdict};

use crate::config::Base;
use crate::diagnostic::Diagnostic as CoreDiagnostic;
use crate::yaml::{self, Node};

/// See [`crate::profile::merge_documents`]. The documents are YAML or JSON texts.
///
/// # Errors
///
/// [`FlowgateError::ConfigError`] with everything that is wrong in the texts.
#[uniffi::export]
pub fn merge(base: &str, overlay: &str) -> Result<Merge, FlowgateError> {
    let (merged, warnings) = crate::profile::merge_documents(&read(base)?, &read(overlay)?);
    Ok(Merge {
        merged: json(&merged),
        warnings: diagnostics(&warnings),
    })
}

/// See [`crate::config::migrate`].
///
/// # Errors
///
/// [`FlowgateError::ConfigError`] if the text is not YAML or its version is unknown.
#[uniffi::export]
pub fn migrate(text: &str) -> Result<Migration, FlowgateError> {
    Ok(crate::config::migrate(text)?.into())
}

/// See [`crate::config::resolve_path`].
///
/// # Errors
///
/// [`FlowgateError::ConfigError`] for a path that is blank, a URL, or that needs a home directory
/// which is not given.
#[uniffi::export(default(home = None))]
pub fn resolve_path(path: &str, dir: &str, home: Option<String>) -> Result<String, FlowgateError> {
    let home = home.as_deref();
    Ok(crate::config::resolve_path(path, &Base { dir, home })?)
}

/// The JSON Schema of the configuration, for editors and validators.
#[uniffi::export]
pub fn json_schema() -> String {
    crate::config::JSON_SCHEMA.to_owned()
}

/// The commented configuration that `flowgate init` writes.
#[uniffi::export]
pub fn starter() -> String {
    crate::config::STARTER.to_owned()
}

/// The version of this library.
#[uniffi::export]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

fn read(text: &str) -> Result<Node, FlowgateError> {
    let (document, _) =
        yaml::parse(text).map_err(|problems| crate::config::invalid(None, problems))?;
    Ok(document.unwrap_or_default())
}

fn json(node: &Node) -> String {
    // A node holds finite numbers and keys that are text: what JSON can write.
    serde_json::to_string(node).unwrap_or_default()
}

fn diagnostics(diagnostics: &[CoreDiagnostic]) -> Vec<Diagnostic> {
    diagnostics.iter().cloned().map(Into::into).collect()
}
