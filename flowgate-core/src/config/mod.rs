//! The configuration document: what is written, whether it is right, and where exactly not.
//!
//! [`Config::from_yaml`] reads a document of version 2, or of the older forms 1 and 3, which it
//! brings into the shape of version 2. A document either becomes a [`Config`] or an [`Error`] with
//! every problem found, each with its place, a stable code and a way out. Paths stay as written
//! until [`Config::resolve`] is told where the file and the home directory are.

mod accounts;
mod auth;
mod bootstrap;
mod check;
#[cfg(feature = "schema")]
mod json_schema;
mod legacy;
mod migrate;
mod paths;
mod schema;
mod service;
mod service_check;
mod shared;
mod text;
mod version3;

pub use accounts::{Account, Accounts, Affinity, AnswerRule, Limits, Retry};
pub use auth::{Auth, Provider, SignInMethod};
pub use bootstrap::{BootstrapSettings, LiteLlmRelease, ProxyRelease};
#[cfg(feature = "schema")]
pub use json_schema::json_schema;
pub use migrate::{Migration, migrate, migrate_with_proxy};
pub use paths::{Base, resolve_document, resolve_path};
pub use schema::{Backoff, Credential, Credentials, Integration, Paths, Section, Settings};
pub use service::{
    Command, Condition, DependsOn, Drain, Factor, Flag, Liveness, LogMode, Logs, Need, OnLoss,
    OnPortConflict, OnSupervisorExit, Overlap, Part, Pattern, Program, Readiness, Restart,
    RestartBackoff, RestartPolicy, Service, SignalTo, Stop, StopSignal,
};
pub use shared::{Shared, SharedMode};
pub use text::RedisUrl;
pub use text::{
    Duration, Host, HttpUrl, Name, NonBlank, PathText, Port, RepositoryName, ServiceName, Sha256,
    UrlPath, reachable,
};

use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{self, Node, Read, Value};

/// The version of the document that this release writes.
pub const CURRENT_VERSION: u32 = 2;

/// The JSON Schema of the document, for editors. Generated from [`Settings`]; a test keeps it fresh.
pub const JSON_SCHEMA: &str = include_str!("../../config.schema.json");

/// The commented configuration that `flowgate init` writes: LiteLLM in front of CLIProxyAPIPlus.
pub const STARTER: &str = include_str!("starter.yaml");

/// The commented configuration that `flowgate up` uses where there is none: a pretended gateway in
/// front of pretended providers, for trying things out.
pub const QUICKSTART: &str = include_str!("quickstart.yaml");

/// A checked configuration.
///
/// # Example
///
/// ```
/// use flowgate_core::config::Config;
///
/// let config = Config::from_yaml("
/// config_version: 2
/// services:
///   litellm: { port: 4000, command: { args: [litellm] } }
/// ")?;
/// let litellm = &config.settings().services["litellm"];
/// assert_eq!(litellm.port.map(u16::from), Some(4000));
///
/// let error = Config::from_yaml("config_version: 2\nprofile: {}\n").unwrap_err();
/// let problem = &error.diagnostics()[0];
/// assert_eq!((problem.code, problem.span.line), ("config.unknown_key", 2));
/// assert_eq!(problem.hint.as_deref(), Some("did you mean `profiles`?"));
/// # Ok::<(), flowgate_core::config::Error>(())
/// ```
#[derive(Clone)]
pub struct Config {
    file: Option<String>,
    document: Node,
    settings: Settings,
    warnings: Vec<Diagnostic>,
    proxy_file: Option<PathText>,
    /// The directory that its paths were resolved against.
    directory: Option<String>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The document says it all, with its secrets hidden.
        f.debug_struct("Config")
            .field("file", &self.file)
            .field("document", &self.document)
            .finish_non_exhaustive()
    }
}

/// Why a text is not a configuration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The document has mistakes; the warnings found beside them are included.
    #[error("{}", summary(.diagnostics))]
    Invalid {
        /// Everything that was found, in the order of the text.
        diagnostics: Vec<Diagnostic>,
    },
}

impl Error {
    /// The stable name of this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "config.invalid",
        }
    }

    /// Everything that was found, in the order of the text.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Invalid { diagnostics } => diagnostics,
        }
    }

    /// The same error, as one of this file.
    #[must_use]
    pub fn in_file(self, file: &str) -> Self {
        match self {
            Self::Invalid { diagnostics } => invalid(Some(file), diagnostics),
        }
    }
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<String> = diagnostics
        .iter()
        .filter(|d| d.is_error())
        .map(ToString::to_string)
        .collect();
    format!("invalid configuration: {}", errors.join("\n  "))
}

impl Config {
    /// Reads a configuration from YAML or JSON text.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with every mistake.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        Self::read(None, text)
    }

    /// Reads a configuration from the bytes of a file; diagnostics name the file.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with every mistake, the first of which may be that it is not UTF-8.
    pub fn from_file(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        Self::read(Some(file), text::utf8(Some(file), bytes)?)
    }

    /// The text of a file, if it is UTF-8.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with the place of the first byte that is not.
    pub fn text<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, Error> {
        text::utf8(Some(file), bytes)
    }

    fn read(file: Option<&str>, text: &str) -> Result<Self, Error> {
        let Read {
            root,
            complete,
            problems,
        } = yaml::read(text);
        let document = match root {
            Some(document) if complete => document,
            None if complete && problems.is_empty() => return Err(invalid(file, vec![empty()])),
            _ => return Err(invalid(file, problems)),
        };
        Self::from_document(file, document, problems)
    }

    fn from_document(
        file: Option<&str>,
        mut document: Node,
        mut problems: Vec<Diagnostic>,
    ) -> Result<Self, Error> {
        if document.entries().is_none() {
            let message = format!("expected a mapping, found {}", document.kind());
            problems.push(
                Diagnostic::error("config.wrong_type", document.span, message)
                    .hint("a configuration starts with `config_version: 2`"),
            );
            return Err(invalid(file, problems));
        }
        let legacy = legacy::normalize(&mut document, &mut problems);
        let decoded = yaml::decode::<Settings>(&document, &["paths"]);
        // Mistakes in an older form are reported in that form, and not again in the new one.
        if !legacy.has_mistakes {
            problems.extend(
                decoded
                    .problems
                    .into_iter()
                    .map(|p| legacy.in_words_of_author(p)),
            );
            if let Some(settings) = &decoded.value {
                check::check(&document, settings, &mut problems);
            }
        }
        match decoded.value {
            Some(settings) if !problems.iter().any(Diagnostic::is_error) => Ok(Self {
                file: file.map(str::to_owned),
                document,
                settings,
                warnings: sorted(file, problems),
                proxy_file: legacy.proxy_file,
                directory: None,
            }),
            _ => Err(invalid(file, problems)),
        }
    }

    /// The typed content.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The document in the shape of version 2, with the place of every value.
    pub fn document(&self) -> &Node {
        &self.document
    }

    /// The document with its empty sections written out, so that readers need no defaults for them.
    pub fn normalized(&self) -> Node {
        let mut document = self.document.clone();
        let mapping = || Node::new(Value::Mapping(Vec::new()));
        let sections = [
            (&["credentials", "upstream"][..], mapping()),
            (&["auth", "providers"], mapping()),
            (&["litellm_base"], mapping()),
            (&["secret_files"], Node::new(Value::Sequence(Vec::new()))),
        ];
        for (path, empty) in sections {
            document.set_default(path, empty);
        }
        document
    }

    /// The file it was read from.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The directory that its paths start at; known once it is [resolved](Self::resolve).
    pub fn directory(&self) -> Option<&str> {
        self.directory.as_deref()
    }

    /// What is allowed and suspicious, in the order of the text.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The second file that a version 3 document takes the proxy's host and port from, as written.
    ///
    /// Its content goes to [`with_proxy_file`](Self::with_proxy_file); without it the port is the
    /// proxy's default, 8317.
    pub fn proxy_file(&self) -> Option<&str> {
        self.proxy_file.as_ref().map(|path| path.as_ref())
    }

    /// Takes host and port of the proxy from the bytes of its own configuration file.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the text is not YAML, or host or port are not usable.
    pub fn with_proxy_file(mut self, file: &str, bytes: &[u8]) -> Result<Self, Error> {
        let text = text::utf8(Some(file), bytes)?;
        let (proxy, warnings) =
            yaml::parse(text).map_err(|problems| invalid(Some(file), problems))?;
        let proxy = proxy.ok_or_else(|| invalid(Some(file), vec![empty()]))?;
        version3::apply_proxy(&mut self.document, &proxy)
            .map_err(|problems| invalid(Some(file), problems))?;
        let mut config = Self::from_document(self.file.as_deref(), self.document, Vec::new())?;
        // What is new comes from the values of the second file.
        let known = |problem: &Diagnostic| {
            let same = |old: &&Diagnostic| (old.code, old.span) == (problem.code, problem.span);
            self.warnings.iter().any(|old| same(&old))
        };
        let new = config
            .warnings
            .into_iter()
            .filter(|problem| !known(problem));
        let new = sorted(Some(file), new.chain(warnings).collect());
        config.warnings = [self.warnings.clone(), new].concat();
        Ok(config)
    }

    /// The same configuration with every path absolute and the defaults of paths written out.
    ///
    /// Of all five kinds: `paths.*`, `secret_files`, the files of credentials, and the working
    /// directory and variable files of services. Resolving twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if a path starts with `~` and the home directory is not known.
    pub fn resolve(&self, base: &Base<'_>) -> Result<Self, Error> {
        let mut resolved = self.clone();
        resolved.directory = Some(base.dir.to_owned());
        paths::write_runtime_dir(&mut resolved.document, &self.settings.paths);
        resolve_document(&mut resolved.document, base)
            .map_err(|problems| invalid(self.file(), problems))?;
        paths::write_defaults(&mut resolved.document, base);
        let decoded = yaml::decode::<Settings>(&resolved.document, &["paths"]);
        resolved.settings = decoded
            .value
            .ok_or_else(|| invalid(self.file(), decoded.problems))?;
        Ok(resolved)
    }
}

pub(crate) fn invalid(file: Option<&str>, problems: Vec<Diagnostic>) -> Error {
    Error::Invalid {
        diagnostics: sorted(file, problems),
    }
}

fn sorted(file: Option<&str>, mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    for problem in &mut problems {
        problem.file = file.map(str::to_owned);
    }
    problems.sort_by_key(|problem| problem.span);
    problems
}

fn empty() -> Diagnostic {
    let start = Span {
        line: 1,
        column: 1,
        end_line: 1,
        end_column: 1,
    };
    Diagnostic::error("config.empty", start, "the document is empty")
        .hint("`flowgate init` writes a configuration to start from")
}
