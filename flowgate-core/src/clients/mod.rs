//! Settings of the agents, so that they send their requests to the gateway.
//!
//! Text in, text out: [`snippet`] is what a person would write, [`apply`] edits settings so that
//! only our keys change, [`revert`] takes them back. Text that is not understood is refused with the
//! place, and not touched.

mod document;
mod dotenv;
mod plan;
mod toml;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::document::Document;
use self::plan::{PLACEHOLDER, plan};
use crate::config::{HttpUrl, NonBlank, Settings, reachable};
use crate::redact::{HIDDEN, is_secret_key, redact_lines, redact_text};

/// An agent whose requests can go through the gateway.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Client {
    /// Claude Code: `settings.json`.
    ClaudeCode,
    /// Codex: `config.toml`.
    Codex,
    /// GitHub Copilot CLI: variables of the environment, which it reads from no file.
    Copilot,
    /// Gemini CLI: `.env`.
    Gemini,
    /// Kimi Code: `config.toml`.
    Kimi,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ClaudeCode,
        Self::Codex,
        Self::Copilot,
        Self::Gemini,
        Self::Kimi,
    ];

    /// Its name in commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::Copilot => "copilot",
            Self::Gemini => "gemini",
            Self::Kimi => "kimi",
        }
    }

    /// The client of a name; `claude` is one for `claude-code`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "claude" {
            "claude-code"
        } else {
            name
        };
        Self::ALL.into_iter().find(|client| client.name() == name)
    }

    /// Where its settings are, seen from the home directory; the first whose directory is there is
    /// meant, or else the first. Empty if it reads no file.
    pub const fn settings_files(self) -> &'static [&'static str] {
        match self {
            Self::ClaudeCode => &[".claude/settings.json"],
            Self::Codex => &[".codex/config.toml"],
            Self::Copilot => &[],
            Self::Gemini => &[".gemini/.env"],
            Self::Kimi => &[".kimi-code/config.toml", ".kimi/config.toml"],
        }
    }

    /// The variable that names another directory for the settings, and their name in it.
    pub const fn settings_variable(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::ClaudeCode => Some(("CLAUDE_CONFIG_DIR", "settings.json")),
            Self::Codex => Some(("CODEX_HOME", "config.toml")),
            Self::Kimi => Some(("KIMI_CODE_HOME", "config.toml")),
            Self::Copilot | Self::Gemini => None,
        }
    }
}

/// Why settings cannot be edited. They are untouched then.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not what the client reads.
    #[error("{}{message}; correct it first, or move it away", at(*.line, *.column))]
    Syntax {
        /// Counted from 1; 0 if no place is at fault.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A part of the settings has another shape than the edit needs.
    #[error("`{path}` is not {expected}; correct it first")]
    Shape {
        /// Where.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The client reads no file.
    #[error("{} reads its settings from the environment only; `flowgate integration print {}` shows them", client.name(), client.name())]
    NoFile {
        /// The client.
        client: Client,
    },
    /// The configuration does not say where the gateway is.
    #[error("{reason}; {hint}")]
    NoGateway {
        /// Why not.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// The edit would not have given what it should. Please report it.
    #[error("the edit went wrong at `{path}`, and was not made; please report this")]
    Unsound {
        /// Where.
        path: String,
    },
}

fn at(line: usize, column: usize) -> String {
    match line {
        0 => String::new(),
        _ => format!("line {line}, column {column}: "),
    }
}

impl Error {
    /// A stable, machine-readable name for this kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "clients.syntax",
            Self::Shape { .. } => "clients.shape",
            Self::NoFile { .. } => "clients.no_file",
            Self::NoGateway { .. } => "clients.no_gateway",
            Self::Unsound { .. } => "clients.unsound",
        }
    }
}

/// Where clients send their requests, and what they ask for.
#[derive(Clone, Debug)]
pub struct Gateway {
    base_url: String,
    models: Option<(String, String)>,
    token: Option<SecretString>,
}

impl Gateway {
    /// The model that clients ask for if nobody says otherwise.
    pub const DEFAULT_MODEL: &'static str = "router-default";
    /// The service that is the gateway.
    pub const SERVICE: &'static str = "litellm";

    /// A gateway at a base URL such as `http://127.0.0.1:4000`. A model that is missing or blank is
    /// [`DEFAULT_MODEL`](Self::DEFAULT_MODEL), a fast model that is, the model.
    ///
    /// # Errors
    ///
    /// [`Error::NoGateway`] if the URL is not one of `http` or `https`.
    pub fn new(
        base_url: &str,
        model: Option<&str>,
        fast_model: Option<&str>,
    ) -> Result<Self, Error> {
        let url = HttpUrl::try_from(base_url.trim_end_matches('/').to_owned());
        let url = url.map_err(|problem| {
            let (reason, hint) = problem.split_once('\n').unwrap_or((&problem, ""));
            Error::NoGateway {
                reason: format!("the base URL is not usable: {reason}"),
                hint: hint.to_owned(),
            }
        })?;
        let given = |name: Option<&str>| {
            let name = name.map(str::trim).filter(|name| !name.is_empty());
            name.map(str::to_owned)
        };
        let model = given(model).unwrap_or_else(|| Self::DEFAULT_MODEL.to_owned());
        let fast = given(fast_model).unwrap_or_else(|| model.clone());
        Ok(Self {
            base_url: url.to_string(),
            models: Some((model, fast)),
            token: None,
        })
    }

    /// The gateway that a configuration describes: `integration.base_url`, or else the service
    /// `litellm`.
    ///
    /// # Errors
    ///
    /// [`Error::NoGateway`] if there is neither.
    ///
    /// # Example
    ///
    /// ```
    /// use flowgate_core::{clients::Gateway, config::Config};
    ///
    /// let config = Config::from_yaml("
    /// services: { litellm: { host: 0.0.0.0, port: 4000, command: { args: [litellm] } } }
    /// ")?;
    /// assert_eq!(Gateway::from_settings(config.settings())?.base_url(), "http://127.0.0.1:4000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_settings(settings: &Settings) -> Result<Self, Error> {
        let integration = &settings.integration;
        let base_url = match &integration.base_url {
            Some(url) => url.to_string(),
            None => service_url(settings)?,
        };
        let name = |name: &Option<NonBlank>| name.as_ref().map(ToString::to_string);
        let model = name(&integration.default_model);
        let fast = name(&integration.fast_model);
        Self::new(&base_url, model.as_deref(), fast.as_deref())
    }

    /// The same gateway, with the key that it asks for. An empty one is none.
    #[must_use]
    pub fn with_token(mut self, token: SecretString) -> Self {
        self.token = Some(token).filter(|token| !token.expose_secret().trim().is_empty());
        self
    }

    /// The same gateway, with other models. One that is missing or blank stays; a fast model that
    /// was never given follows the model.
    #[must_use]
    pub fn with_models(mut self, model: Option<&str>, fast_model: Option<&str>) -> Self {
        let given = |name: Option<&str>| {
            name.map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
        };
        let (old, old_fast) = self.models.take().unwrap_or_default();
        let follows = old == old_fast;
        let model = given(model).unwrap_or(old);
        let kept = if follows { model.clone() } else { old_fast };
        self.models = Some((model, given(fast_model).unwrap_or(kept)));
        self
    }

    /// The same gateway, for clients that keep their own models.
    #[must_use]
    pub fn without_models(mut self) -> Self {
        self.models = None;
        self
    }

    /// The base URL, without `/` at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    fn models(&self) -> Option<(&str, &str)> {
        let (model, fast) = self.models.as_ref()?;
        Some((model, fast))
    }

    fn token(&self) -> Option<&str> {
        self.token
            .as_ref()
            .map(|token| token.expose_secret().trim())
    }
}

fn service_url(settings: &Settings) -> Result<String, Error> {
    let missing = |reason: &str| Error::NoGateway {
        reason: reason.to_owned(),
        hint: "add it, or write the URL under `integration.base_url`".to_owned(),
    };
    let service = settings.services.get(Gateway::SERVICE);
    let service = service.ok_or_else(|| missing("the configuration has no service `litellm`"))?;
    let port = service
        .port
        .ok_or_else(|| missing("the service `litellm` has no `port`"))?;
    let host = service.host.as_deref().unwrap_or("127.0.0.1");
    Ok(format!("http://{}:{port}", reachable(host)))
}

/// An edit of settings.
#[derive(Clone, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Edit {
    /// The whole text after it. It may hold the client's secrets.
    #[serde(skip)]
    pub text: String,
    /// What changes; nothing, if the text is the same.
    pub changes: Vec<Change>,
    /// What is worth knowing.
    pub warnings: Vec<Warning>,
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit")
            .field("changes", &self.changes)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// A key that changes. Secrets are hidden.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Change {
    /// The key, with those above it: `env.ANTHROPIC_BASE_URL`.
    pub key: String,
    /// Its value before.
    pub before: Option<String>,
    /// Its value after.
    pub after: Option<String>,
}

/// Something worth knowing about an edit.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Warning {
    /// A stable name.
    pub code: &'static str,
    /// What a person is told.
    pub message: String,
}

/// What a person would write into the client's settings, or into the environment.
///
/// The token is a placeholder.
pub fn snippet(client: Client, gateway: &Gateway) -> String {
    let shown = match client {
        Client::Codex => gateway.clone(),
        _ => gateway.clone().with_token(PLACEHOLDER.to_owned().into()),
    };
    let Ok(Edit { text, .. }) = apply(client, "", &shown) else {
        return String::new();
    };
    match client {
        // Without quotes and braces it fits a shell as well as `settings.json`.
        Client::ClaudeCode => variables(&text),
        _ => text,
    }
}

fn variables(settings: &str) -> String {
    let settings: Value = serde_json::from_str(settings).unwrap_or_default();
    let variables = settings["env"].as_object().into_iter().flatten();
    let line = |(name, value): (&String, &Value)| {
        format!("{name}={}\n", value.as_str().unwrap_or_default())
    };
    variables.map(line).collect()
}

/// Edits settings so that the client sends its requests to the gateway. The same text if it does.
///
/// A key that is there is changed, never added again; a token is only replaced by a real one; what
/// others wrote stays, with its comments, order and line ends. An empty text is that of no file.
///
/// # Errors
///
/// [`Error::Syntax`] and [`Error::Shape`] if the settings are not understood.
///
/// # Example
///
/// ```
/// use flowgate_core::clients::{Client, Gateway, apply};
///
/// let gateway = Gateway::new("http://127.0.0.1:4000", Some("balanced"), None)?;
/// let edit = apply(Client::Codex, "model = \"gpt-5\" # mine\n", &gateway)?;
/// assert!(edit.text.starts_with("model = \"balanced\" # mine\nmodel_provider = \"flowgate\"\n"));
/// assert_eq!(apply(Client::Codex, &edit.text, &gateway)?.changes, []);
/// # Ok::<(), flowgate_core::clients::Error>(())
/// ```
pub fn apply(client: Client, settings: &str, gateway: &Gateway) -> Result<Edit, Error> {
    let mut document = Document::read(client, settings)?;
    let plan = plan(client, gateway, &document)?;
    let mut changes = Vec::new();
    for (path, value) in &plan.settings {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let before = document.get(&path);
        if before.as_ref() == Some(value) {
            continue;
        }
        document.set(&path, value)?;
        changes.push(change(&path, before.as_ref(), Some(value)));
    }
    let text = if changes.is_empty() {
        settings.to_owned()
    } else {
        document.text()
    };
    check(client, &text, &plan.settings)?;
    Ok(Edit {
        text,
        changes,
        warnings: plan.warnings,
    })
}

/// Whoever reads the new text finds in it what was to be set.
fn check(client: Client, text: &str, settings: &[(Vec<String>, Value)]) -> Result<(), Error> {
    let unsound = |path: &[String]| Error::Unsound {
        path: path.join("."),
    };
    let document = Document::read(client, text).map_err(|_| unsound(&[]))?;
    for (path, value) in settings {
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        if document.get(&keys).as_ref() != Some(value) {
            return Err(unsound(path));
        }
    }
    Ok(())
}

/// Takes our keys back to what they were in `original`, the settings before [`apply`]; what else
/// changed since then stays.
///
/// # Errors
///
/// As [`apply`].
pub fn revert(client: Client, settings: &str, original: &str) -> Result<Edit, Error> {
    let mut document = Document::read(client, settings)?;
    let from = Document::read(client, original)?;
    let mut changes = Vec::new();
    for path in plan::ours(client, &document, &from) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (before, after) = (document.get(&path), from.get(&path));
        if before != after {
            document.restore(&path, &from)?;
            changes.push(change(&path, before.as_ref(), after.as_ref()));
        }
    }
    let text = if changes.is_empty() {
        settings.to_owned()
    } else {
        document.text()
    };
    Ok(Edit {
        text,
        changes,
        warnings: Vec::new(),
    })
}

/// The base URL that the client uses now, if its settings name one.
///
/// # Errors
///
/// [`Error::Syntax`] if the settings are not understood.
pub fn base_url(client: Client, settings: &str) -> Result<Option<String>, Error> {
    let document = Document::read(client, settings)?;
    let Some(path) = plan::base_url_path(client, &document) else {
        return Ok(None);
    };
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Ok(document.text_at(&path))
}

/// Settings as they may be shown: every secret is replaced by as many `*`.
pub fn redacted(client: Client, settings: &str) -> String {
    match client {
        Client::ClaudeCode => redact_text(settings),
        _ => redact_lines(settings),
    }
}

fn change(path: &[&str], before: Option<&Value>, after: Option<&Value>) -> Change {
    let secret = path.last().is_some_and(|key| is_secret_key(key));
    let shown = |value: &Value| match value {
        _ if secret => HIDDEN.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    // TOML's way of quoting what is no bare key: the path stays one that can be taken apart again.
    let part = |part: &&str| toml_edit::Key::new(*part).display_repr().into_owned();
    Change {
        key: path.iter().map(part).collect::<Vec<_>>().join("."),
        before: before.map(shown),
        after: after.map(shown),
    }
}

#[cfg(test)]
mod tests;
