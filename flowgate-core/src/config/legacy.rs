//! Documents of older versions, brought into the shape of version 2; the keys of version 1.

use std::collections::HashSet;

use super::text::PathText;
use super::version3;
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{Entry, Node, Value};

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
            let rest = problem.path.strip_prefix(new);
            // Not `secret_files_of_mine`, which only begins like it.
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            {
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
        match version3::normalize(document, problems) {
            Some(file) => legacy.proxy_file = Some(file),
            None => legacy.has_mistakes = true,
        }
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
                rename_dependencies(services, "cliproxyapi", "cliproxyapi_plus");
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
    let Some(current) = entries.iter_mut().find(|entry| entry.key == "secret_files") else {
        entries.push(Entry {
            key: "secret_files".to_owned(),
            ..secrets
        });
        return;
    };
    match (&mut current.value.value, secrets.value.value) {
        (Value::Sequence(files), Value::Sequence(more)) => {
            let known: HashSet<String> = files
                .iter()
                .filter_map(|file| file.as_str().map(str::to_owned))
                .collect();
            let is_new = |file: &Node| !file.as_str().is_some_and(|text| known.contains(text));
            files.extend(more.into_iter().filter(is_new));
        }
        (Value::Null, value) => current.value.value = value,
        _ => {}
    }
}

/// Dependencies follow the service that was renamed.
fn rename_dependencies(services: &mut [Entry], old: &str, new: &str) {
    for service in services {
        let needed = service.value.get_mut("depends_on");
        let Some(Value::Sequence(items)) = needed.map(|node| &mut node.value) else {
            continue;
        };
        for item in items.iter_mut().filter(|item| item.as_str() == Some(old)) {
            item.value = Value::String(new.to_owned());
        }
    }
}

pub(super) fn take(entries: &mut Vec<Entry>, key: &str) -> Option<Entry> {
    let position = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(position))
}
