//! Documents of version 1 and 3, brought into the shape of version 2.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::schema::{Auth, Version};
use super::text::PathText;
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{Entry, Node, Value, decode};

/// The port CLIProxyAPIPlus listens on where its configuration names none.
const PROXY_PORT: i128 = 8317;

/// What bringing a document up to date found out.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    /// The document has mistakes that are reported in its own form.
    pub(super) has_mistakes: bool,
    /// Where a version 3 document keeps the proxy's own configuration.
    pub(super) proxy_file: Option<PathText>,
    /// New paths and the old paths they were written as.
    renamed: Vec<(&'static str, &'static str)>,
}

impl Legacy {
    /// Names the keys that the author wrote, not those they stand for.
    pub(super) fn in_words_of_author(&self, mut problem: Diagnostic) -> Diagnostic {
        for (new, old) in &self.renamed {
            if let Some(rest) = problem.path.strip_prefix(new) {
                problem.path = format!("{old}{rest}");
                break;
            }
        }
        problem
    }
}

/// Brings a document into the shape of version 2; `document` is a mapping.
pub(super) fn normalize(document: &mut Node, problems: &mut Vec<Diagnostic>) -> Legacy {
    let mut legacy = Legacy::default();
    let version = version(document, problems);
    if version == Some(3) {
        normalize_version_3(document, &mut legacy, problems);
    } else {
        rename_old_keys(document, &mut legacy, problems);
    }
    match document.get_mut("config_version") {
        Some(Node {
            value: Value::Integer(version @ 1..=3),
            ..
        }) => {
            *version = super::CURRENT_VERSION.into();
        }
        Some(_) => {}
        None => {
            let version = Node::new(Value::Integer(super::CURRENT_VERSION.into()));
            if let Some(entries) = document.entries_mut() {
                entries.insert(0, Entry::new("config_version", version));
            }
        }
    }
    legacy
}

/// The version that the document says it has, or looks like it has.
fn version(document: &Node, problems: &mut Vec<Diagnostic>) -> Option<i128> {
    let Some(written) = document.get("config_version") else {
        let version = if document.get("cliproxyapi_plus").is_some() {
            3
        } else {
            2
        };
        let message =
            format!("`config_version` is missing; the document is read as version {version}");
        let start = Span {
            end_line: document.span.line,
            end_column: document.span.column + 1,
            ..document.span
        };
        let hint = format!("add the line `config_version: {version}`");
        problems.push(Diagnostic::warning("config.version_missing", start, message).hint(hint));
        return Some(version);
    };
    let Value::Integer(version) = written.value else {
        return None;
    };
    if matches!(version, 1 | 3) {
        let message = format!("version {version} of the document is deprecated");
        problems.push(
            Diagnostic::warning("config.version_deprecated", written.span, message)
                .at("config_version")
                .hint("`flowgate config migrate` rewrites it as version 2, keeping comments"),
        );
    }
    Some(version)
}

/// `secrets`, `oauth` and `services.cliproxyapi` are the old names of version 1.
fn rename_old_keys(document: &mut Node, legacy: &mut Legacy, problems: &mut Vec<Diagnostic>) {
    let Some(entries) = document.entries_mut() else {
        return;
    };
    if let Some(secrets) = take(entries, "secrets") {
        problems.push(renamed(&secrets, "secrets", "secret_files"));
        legacy.renamed.push(("secret_files", "secrets"));
        add_secret_files(entries, secrets);
    }
    if let Some(oauth) = take(entries, "oauth") {
        match entries.iter_mut().find(|entry| entry.key == "auth") {
            Some(auth) if !auth.value.is_null() => {
                let message = "`oauth` is ignored, because `auth` is there";
                problems.push(
                    Diagnostic::warning("config.legacy_key", oauth.key_span, message)
                        .at("oauth")
                        .related(auth.key_span, "this counts")
                        .hint("move what you need from it to `auth.providers`, and remove it"),
                );
            }
            auth => {
                problems.push(renamed(&oauth, "oauth", "auth.providers"));
                legacy.renamed.push(("auth.providers", "oauth"));
                let mut providers = oauth.clone();
                providers.key = "providers".to_owned();
                let span = oauth.value.span;
                let value = Node {
                    value: Value::Mapping(vec![providers]),
                    span,
                };
                match auth {
                    Some(auth) => auth.value = value,
                    None => entries.push(Entry {
                        key: "auth".to_owned(),
                        key_span: oauth.key_span,
                        value,
                    }),
                }
            }
        }
    }
    if let Some(services) = document.get_mut("services").and_then(Node::entries_mut) {
        let current = services
            .iter()
            .find(|entry| entry.key == "cliproxyapi_plus")
            .map(|entry| entry.key_span);
        let Some(old) = services.iter_mut().find(|entry| entry.key == "cliproxyapi") else {
            return;
        };
        match current {
            None => {
                problems.push(renamed(
                    old,
                    "services.cliproxyapi",
                    "services.cliproxyapi_plus",
                ));
                legacy
                    .renamed
                    .push(("services.cliproxyapi_plus", "services.cliproxyapi"));
                old.key = "cliproxyapi_plus".to_owned();
            }
            Some(current) => problems.push(
                Diagnostic::warning(
                    "config.legacy_key",
                    old.key_span,
                    "`cliproxyapi` is the old name of `cliproxyapi_plus`, which is there too",
                )
                .at("services.cliproxyapi")
                .related(current, "the current name")
                .hint("remove the one that is left over"),
            ),
        }
    }
}

fn renamed(entry: &Entry, old: &str, new: &str) -> Diagnostic {
    Diagnostic::warning(
        "config.legacy_key",
        entry.key_span,
        format!("`{old}` is now `{new}`"),
    )
    .at(old)
    .hint("`flowgate config migrate` renames it")
}

/// The files of the old key join those of the new one.
fn add_secret_files(entries: &mut Vec<Entry>, secrets: Entry) {
    match entries.iter_mut().find(|entry| entry.key == "secret_files") {
        Some(Entry {
            value:
                Node {
                    value: Value::Sequence(files),
                    ..
                },
            ..
        }) => {
            let text = |file: &Node| file.as_str().map(str::to_owned);
            let mut known: BTreeSet<String> = files.iter().filter_map(text).collect();
            for file in secrets.value.items().unwrap_or_default() {
                if text(file).is_none_or(|text| known.insert(text)) {
                    files.push(file.clone());
                }
            }
        }
        Some(entry) if entry.value.is_null() => entry.value = secrets.value,
        Some(_) => {}
        None => entries.push(Entry {
            key: "secret_files".to_owned(),
            ..secrets
        }),
    }
}

fn take(entries: &mut Vec<Entry>, key: &str) -> Option<Entry> {
    let position = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(position))
}

/// The shape of a version 3 document: one proxy, described by a file of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "most fields are only checked here; version 2 reads them again"
)]
struct Version3 {
    #[serde(default)]
    config_version: Version,
    paths: Version3Paths,
    cliproxyapi_plus: ProxyReference,
    #[serde(default)]
    auth: Auth,
    #[serde(default)]
    secret_files: Vec<PathText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only checked here; version 2 reads it again")]
struct Version3Paths {
    runtime_dir: PathText,
    #[serde(default)]
    log_file: Option<PathText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxyReference {
    config_file: PathText,
}

fn normalize_version_3(document: &mut Node, legacy: &mut Legacy, problems: &mut Vec<Diagnostic>) {
    let decoded = decode::<Version3>(document, &["paths"]);
    for mut problem in decoded.problems {
        legacy.has_mistakes |= problem.is_error();
        let of_version_2 = [
            "services",
            "profiles",
            "litellm_base",
            "credentials",
            "guard",
            "accounts",
            "integration",
        ];
        if of_version_2.contains(&problem.path.as_str()) {
            problem.hint = Some("this is a key of version 2: write `config_version: 2`, and the proxy under `services`".to_owned());
        }
        problems.push(problem);
    }
    let Some(Version3 {
        cliproxyapi_plus: ProxyReference { config_file },
        ..
    }) = decoded.value
    else {
        legacy.has_mistakes = true;
        return;
    };
    let Some(entries) = document.entries_mut() else {
        return;
    };
    let Some(reference) = take(entries, "cliproxyapi_plus") else {
        return;
    };
    let span = reference.value.span;
    let service = proxy_service(&config_file, span);
    let services = Node {
        value: Value::Mapping(vec![Entry {
            key: "cliproxyapi_plus".to_owned(),
            key_span: reference.key_span,
            value: service,
        }]),
        span,
    };
    entries.push(Entry {
        key: "services".to_owned(),
        key_span: reference.key_span,
        value: services,
    });
    legacy.proxy_file = Some(config_file);
}

/// The service that version 3 leaves to be understood.
fn proxy_service(config_file: &str, span: Span) -> Node {
    let node = |value| Node { value, span };
    let text = |text: &str| node(Value::String(text.to_owned()));
    let entry = |key: &str, value| Entry {
        key: key.to_owned(),
        key_span: span,
        value,
    };
    let args = proxy_command(config_file)
        .iter()
        .map(|arg| text(arg))
        .collect();
    let command = vec![entry("args", node(Value::Sequence(args)))];
    node(Value::Mapping(vec![
        entry("port", node(Value::Integer(PROXY_PORT))),
        // `/v1/models` would need a key, and answer 401 without one.
        entry("readiness_path", text("/")),
        entry("command", node(Value::Mapping(command))),
    ]))
}

/// Program and arguments of the proxy; `{…}` is filled in when it is started.
pub(super) fn proxy_command(config_file: &str) -> [String; 3] {
    let config_file = if config_file.starts_with(['/', '~']) {
        config_file.to_owned()
    } else {
        format!("{{config_dir}}/{config_file}")
    };
    [
        "{runtime_dir}/bin/CLIProxyAPIPlus".to_owned(),
        "-config".to_owned(),
        config_file,
    ]
}

/// Takes host and port of the proxy from its own configuration, of which nothing else is read.
pub(super) fn apply_proxy(document: &mut Node, proxy: &Node) -> Result<(), Vec<Diagnostic>> {
    if proxy.entries().is_none() {
        let message = format!("expected a mapping, found {}", proxy.kind());
        return Err(vec![Diagnostic::error(
            "config.wrong_type",
            proxy.span,
            message,
        )]);
    }
    let service = document
        .get_mut("services")
        .and_then(|services| services.get_mut("cliproxyapi_plus"));
    let Some(service) = service.and_then(Node::entries_mut) else {
        return Ok(());
    };
    let mut problems = Vec::new();
    for key in ["host", "port"] {
        let Some(given) = proxy
            .get(key)
            .filter(|node| !node.is_null() && node.as_str() != Some(""))
        else {
            continue;
        };
        let probe = Node::new(Value::Mapping(vec![Entry {
            key: key.to_owned(),
            key_span: given.span,
            value: given.clone(),
        }]));
        let mistakes = decode::<ProxyAddress>(&probe, &[]).problems;
        if mistakes.is_empty() {
            service.retain(|entry| entry.key != key);
            service.push(Entry {
                key: key.to_owned(),
                key_span: given.span,
                value: given.clone(),
            });
        }
        problems.extend(mistakes);
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded to be checked")]
struct ProxyAddress {
    host: Option<super::text::Host>,
    port: Option<super::text::Port>,
}
