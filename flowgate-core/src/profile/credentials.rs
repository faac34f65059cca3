//! The secrets that a profile refers to: which ones, and putting them in.
//!
//! A model says `api_key_ref: NAME`. In the document that LiteLLM reads, `api_key` with the secret
//! stands in its place. The secrets themselves are fetched by a driver and handed in.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::{Error, Profile};
use crate::config::Credential;
use crate::diagnostic::Span;
use crate::yaml::{Entry, Node, Value};

/// Secrets by the name of their credential. Never shown, not even by `{:?}`.
pub type Secrets = BTreeMap<String, SecretString>;

/// A credential that a profile needs.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Reference {
    /// Its name in `credentials.upstream`.
    pub name: String,
    /// Where to find the secret; `None` if the configuration does not say.
    pub credential: Option<Credential>,
    /// The place that refers to it first.
    pub span: Span,
}

/// Why the secret of a credential could not be had. Never holds the secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CredentialProblem {
    /// The credential.
    pub name: String,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub hint: String,
}

impl CredentialProblem {
    /// A problem with the credential of this name.
    pub fn new(
        name: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for CredentialProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}; {}", self.name, self.message, self.hint)
    }
}

impl Profile<'_> {
    /// The credentials that the merged document refers to, each once, in its order.
    pub fn references(&self) -> Vec<Reference> {
        let upstream = &self.config.settings().credentials.upstream;
        let mut references: Vec<Reference> = Vec::new();
        for node in models(&self.document())
            .filter_map(|model| model.get("litellm_params")?.get("api_key_ref"))
        {
            let Some(name) = node.as_str().map(str::trim) else {
                continue;
            };
            if references.iter().all(|known| known.name != name) {
                references.push(Reference {
                    name: name.to_owned(),
                    credential: upstream.get(name).cloned(),
                    span: node.span,
                });
            }
        }
        references
    }

    /// The document that LiteLLM reads, as YAML, with the secrets in place.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`] with every reference that `secrets` does not hold.
    pub fn render(&self, secrets: &Secrets) -> Result<String, Error> {
        let mut document = self.document();
        let mut missing: Vec<CredentialProblem> = Vec::new();
        for model in models_mut(&mut document) {
            let Some(params) = model.get_mut("litellm_params").and_then(Node::entries_mut) else {
                continue;
            };
            if let Err(name) = put_in(params, secrets)
                && missing.iter().all(|known| known.name != name)
            {
                missing.push(CredentialProblem::new(
                    name,
                    "there is no such secret",
                    "describe it under `credentials.upstream`",
                ));
            }
        }
        if missing.is_empty() {
            Ok(crate::yaml::to_yaml(&document))
        } else {
            Err(Error::Credentials { problems: missing })
        }
    }
}

/// Replaces `api_key_ref` by `api_key`, at its place; the name of a secret that is missing is the
/// error.
fn put_in(params: &mut Vec<Entry>, secrets: &Secrets) -> Result<(), String> {
    let Some(position) = params.iter().position(|entry| entry.key == "api_key_ref") else {
        return Ok(());
    };
    if params[position].value.is_null() {
        params.remove(position);
        return Ok(());
    }
    let name = params[position]
        .value
        .as_str()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let secret = secrets.get(&name).ok_or(name)?;
    params[position] = Entry::new(
        "api_key",
        Node::new(Value::String(secret.expose_secret().to_owned())),
    );
    // A key written beside the reference gives way to it.
    if let Some(literal) = params
        .iter()
        .enumerate()
        .position(|(index, entry)| entry.key == "api_key" && index != position)
    {
        params.remove(literal);
    }
    Ok(())
}

fn models(document: &Node) -> impl Iterator<Item = &Node> {
    document
        .get("model_list")
        .and_then(Node::items)
        .unwrap_or_default()
        .iter()
}

fn models_mut(document: &mut Node) -> impl Iterator<Item = &mut Node> {
    let items = match document.get_mut("model_list") {
        Some(Node {
            value: Value::Sequence(items),
            ..
        }) => Some(items),
        _ => None,
    };
    items.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const CONFIG: &str = "
config_version: 2
credentials: { upstream: { main: { env: KEY }, spare: { file: k } } }
litellm_base:
  model_list:
    - { model_name: a, litellm_params: { model: x, api_key_ref: ' main ', api_key: old, z: 1 } }
    - { model_name: b, litellm_params: { model: y, api_key_ref: spare } }
    - { model_name: c, litellm_params: { model: z, api_key_ref: main } }
    - { model_name: d, litellm_params: { model: z, api_key_ref: ~, api_key: os.environ/X } }
profiles: { p: {} }
";

    #[test]
    fn references_are_found_once_and_trimmed() {
        let config = Config::from_yaml(CONFIG).unwrap();
        let names: Vec<_> = config
            .profile("p")
            .unwrap()
            .references()
            .into_iter()
            .map(|r| r.name)
            .collect();
        assert_eq!(names, ["main", "spare"]);
    }

    #[test]
    fn secrets_are_put_in_and_the_configuration_stays_as_it_was() {
        let config = Config::from_yaml(CONFIG).unwrap();
        let before = config.document().clone();
        let profile = config.profile("p").unwrap();
        let secrets: Secrets = [("main", "sk-1"), ("spare", "yes")]
            .map(|(k, v)| (k.to_owned(), SecretString::from(v)))
            .into();
        let text = profile.render(&secrets).unwrap();
        assert!(
            text.contains("      model: x\n      api_key: sk-1\n      z: 1\n"),
            "{text}"
        );
        assert!(text.contains("api_key: \"yes\""), "{text}");
        assert!(text.contains("api_key: os.environ/X"), "{text}");
        assert!(
            !text.contains("api_key_ref") && !text.contains("old"),
            "{text}"
        );
        assert_eq!(config.document(), &before);
        assert!(!format!("{secrets:?}").contains("sk-1"));
    }

    #[test]
    fn every_missing_secret_is_named() {
        let config = Config::from_yaml(CONFIG).unwrap();
        let error = config
            .profile("p")
            .unwrap()
            .render(&Secrets::new())
            .unwrap_err();
        let Error::Credentials { problems } = &error else {
            panic!("{error}")
        };
        assert_eq!(
            problems.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
            ["main", "spare"]
        );
    }
}
