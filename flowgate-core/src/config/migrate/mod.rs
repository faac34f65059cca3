//! Rewrites the text of a document as version 2, touching nothing but what changes.

use std::ops::Range;

use super::{Config, Error, invalid, legacy, version3};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{self, Entry, Node, Value};

/// A document as version 2, and what had to change for it.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Migration {
    /// The new text: the old one with comments, order, quoting and anchors kept.
    pub text: String,
    /// What was changed, one sentence each; empty if the document is up to date.
    pub changes: Vec<String>,
    /// What is still wrong with the document, which migration leaves to its author.
    pub remaining: Vec<Diagnostic>,
}

impl std::fmt::Debug for Migration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Migration")
            .field("text", &crate::redact::redact_text(&self.text))
            .field("changes", &self.changes)
            .field("remaining", &self.remaining)
            .finish()
    }
}

/// Rewrites a document of version 1 or 3, or one that uses their keys, as version 2.
///
/// Works on documents that have other mistakes, which are reported and kept. Migrating twice
/// changes nothing more.
///
/// # Errors
///
/// [`Error::Invalid`] if the text is not YAML, has a version that nobody wrote, or holds an old and
/// a new key side by side that say different things.
///
/// # Example
///
/// ```
/// use flowgate_core::config::migrate;
///
/// let migration = migrate("config_version: 1  # old\nsecrets: [a.json]\n")?;
/// assert_eq!(migration.text, "config_version: 2  # old\nsecret_files: [a.json]\n");
/// assert_eq!(migration.changes.len(), 2);
/// # Ok::<(), flowgate_core::config::Error>(())
/// ```
pub fn migrate(text: &str) -> Result<Migration, Error> {
    migrate_with_proxy(text, &Node::default())
}

/// [`migrate`] for a document of version 3, with the configuration of its proxy, from which the
/// service takes host and port.
///
/// # Errors
///
/// As [`migrate`].
pub fn migrate_with_proxy(text: &str, proxy: &Node) -> Result<Migration, Error> {
    let text = yaml::join_surrogates(text);
    let before = read(&text)?;
    let (new, changes) = rewrite(&text, &before, proxy)?;
    if !changes.is_empty() && !keeps_its_promise(before, &new, proxy) {
        let message = "the document is written in a way that cannot be rewritten safely";
        return Err(invalid(
            None,
            vec![
                Diagnostic::error("config.cannot_migrate", Span::default(), message)
                    .hint("write its old keys as plain `key: value` lines, or rename them by hand"),
            ],
        ));
    }
    let remaining = match Config::from_yaml(&new) {
        Ok(config) => config.diagnostics().to_vec(),
        Err(error) => error.diagnostics().to_vec(),
    };
    Ok(Migration {
        text: new,
        changes,
        remaining,
    })
}

fn read(text: &str) -> Result<Node, Error> {
    let (document, _) = yaml::parse(text).map_err(|problems| invalid(None, problems))?;
    document.ok_or_else(|| invalid(None, vec![super::empty()]))
}

/// The new text, and what was changed for it.
fn rewrite(text: &str, document: &Node, proxy: &Node) -> Result<(String, Vec<String>), Error> {
    let mut edits = Edits::new(text, document);
    edits
        .collect(document, proxy)
        .map_err(|problems| invalid(None, problems))?;
    let changes = std::mem::take(&mut edits.changes);
    Ok((edits.apply(), changes))
}

/// Editing text is only safe if the result is checked: YAML can be written in many ways. Both texts
/// must say the same, whatever else is wrong with them, and nothing may be left to change.
fn keeps_its_promise(mut before: Node, text: &str, proxy: &Node) -> bool {
    let Ok(mut after) = read(text) else {
        return false;
    };
    let settled = rewrite(text, &after, proxy).is_ok_and(|(_, changes)| changes.is_empty());
    legacy::normalize(&mut before, &mut Vec::new());
    legacy::normalize(&mut after, &mut Vec::new());
    if proxy.entries().is_some() && version3::apply_proxy(&mut before, proxy).is_err() {
        return false;
    }
    settled && same_content(&before, &after)
}

/// The same values under the same keys, wherever they stand.
fn same_content(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Mapping(a), Value::Mapping(b)) => {
            // Nearly every key is where it was.
            let found = |(index, entry): (usize, &Entry)| {
                let same_place = b.get(index).filter(|other| other.key == entry.key);
                same_place
                    .or_else(|| b.iter().find(|other| other.key == entry.key))
                    .is_some_and(|other| same_content(&entry.value, &other.value))
            };
            a.len() == b.len() && a.iter().enumerate().all(found)
        }
        (Value::Sequence(a), Value::Sequence(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_content(a, b))
        }
        (a, b) => a == b,
    }
}

struct Edits<'t> {
    text: &'t str,
    /// How this text ends its lines.
    newline: &'static str,
    lines: Vec<usize>,
    /// The whole document is written in braces, as in JSON.
    flow: bool,
    edits: Vec<(Range<usize>, String)>,
    changes: Vec<String>,
}

impl<'t> Edits<'t> {
    fn new(text: &'t str, document: &Node) -> Self {
        let bom = if text.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        let mut lines = vec![bom];
        lines.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        let mut edits = Self {
            text,
            newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
            lines,
            flow: false,
            edits: Vec::new(),
            changes: Vec::new(),
        };
        let start = edits.range(document.span).start;
        edits.flow = text[start..].starts_with('{');
        edits
    }

    /// The bytes of a span, which counts lines and characters.
    fn range(&self, span: Span) -> Range<usize> {
        self.offset(span.line, span.column)..self.offset(span.end_line, span.end_column)
    }

    fn offset(&self, line: u32, column: u32) -> usize {
        let Some(&start) = self.lines.get((line as usize).saturating_sub(1)) else {
            return self.text.len();
        };
        let skipped = (column as usize).saturating_sub(1);
        let rest = &self.text[start..];
        start
            + rest
                .char_indices()
                .nth(skipped)
                .map_or(rest.len(), |(at, _)| at)
    }

    fn collect(&mut self, document: &Node, proxy: &Node) -> Result<(), Vec<Diagnostic>> {
        let Some(entries) = document.entries() else {
            return Err(vec![Diagnostic::error(
                "config.wrong_type",
                document.span,
                format!("expected a mapping, found {}", document.kind()),
            )]);
        };
        let mut conflicts = Vec::new();
        self.version(document, entries, &mut conflicts);
        self.rename(document, "secrets", "secret_files", &mut conflicts);
        if let Some(services) = document.get("services") {
            self.rename(services, "cliproxyapi", "cliproxyapi_plus", &mut conflicts);
            self.rename_dependencies(services);
        }
        self.oauth(document, &mut conflicts);
        self.proxy(document, proxy, &mut conflicts);
        if conflicts.is_empty() {
            Ok(())
        } else {
            Err(conflicts)
        }
    }

    fn version(&mut self, document: &Node, entries: &[Entry], conflicts: &mut Vec<Diagnostic>) {
        match document.entry("config_version").map(|entry| &entry.value) {
            Some(Node {
                value: Value::Integer(2),
                ..
            }) => {}
            Some(
                node @ Node {
                    value: Value::Integer(version @ (1 | 3)),
                    ..
                },
            ) => {
                self.edits.push((self.range(node.span), "2".to_owned()));
                self.changes
                    .push(format!("config_version: {version} becomes 2"));
            }
            Some(node) => conflicts.push(
                Diagnostic::error(
                    "config.cannot_migrate",
                    node.span,
                    "this is not a version that can be migrated",
                )
                .at("config_version")
                .hint("1 and 3 become 2"),
            ),
            None => {
                let root = self.range(document.span).start;
                let first = entries.first().map(|entry| self.range(entry.key_span));
                let inside = root + usize::from(self.flow);
                let start = first.as_ref().map_or(inside, |key| key.start);
                let line = if self.flow && first.is_none() {
                    "\"config_version\": 2".to_owned()
                } else if self.flow {
                    format!("{}: 2, ", self.quoted(start, "config_version"))
                } else {
                    format!("config_version: 2{}{}", self.newline, self.margin(start))
                };
                self.edits.push((start..start, line));
                self.changes.push("config_version: 2 is added".to_owned());
            }
        }
    }

    fn rename(&mut self, parent: &Node, old: &str, new: &str, conflicts: &mut Vec<Diagnostic>) {
        let Some(entry) = parent.entry(old) else {
            return;
        };
        if let Some(current) = parent.entry(new) {
            conflicts.push(both(entry, current));
            return;
        }
        self.replace_key(entry, new);
        self.changes.push(format!("{old} becomes {new}"));
    }

    fn rename_dependencies(&mut self, services: &Node) {
        if services.entry("cliproxyapi").is_none() {
            return;
        }
        for service in services.entries().unwrap_or_default() {
            let needed = service.value.get("depends_on").and_then(Node::items);
            for item in needed.unwrap_or_default() {
                if item.as_str() == Some("cliproxyapi") {
                    let range = self.range(item.span);
                    let new = self.quoted(range.start, "cliproxyapi_plus");
                    self.edits.push((range, new));
                }
            }
        }
    }

    /// Replaces the name of a key and keeps its quotes.
    fn replace_key(&mut self, entry: &Entry, new: &str) {
        let range = self.range(entry.key_span);
        let new = self.quoted(range.start, new);
        self.edits.push((range, new));
    }

    fn quoted(&self, like: usize, key: &str) -> String {
        match self.text[like..].chars().next() {
            Some(quote @ ('"' | '\'')) => format!("{quote}{key}{quote}"),
            _ => key.to_owned(),
        }
    }

    /// `oauth: …` becomes `auth:` with `providers: …` below it.
    fn oauth(&mut self, document: &Node, conflicts: &mut Vec<Diagnostic>) {
        let Some(oauth) = document.entry("oauth") else {
            return;
        };
        if let Some(auth) = document.entry("auth") {
            conflicts.push(both(oauth, auth));
            return;
        }
        self.changes.push("oauth becomes auth.providers".to_owned());
        let key = self.range(oauth.key_span);
        if self.flow {
            let (auth, providers) = (
                self.quoted(key.start, "auth"),
                self.quoted(key.start, "providers"),
            );
            let end = self.range(oauth.value.span).end;
            self.edits.push((key, format!("{auth}: {{{providers}")));
            self.edits.push((end..end, "}".to_owned()));
            return;
        }
        let indent = self.margin(key.start);
        let providers = self.quoted(key.start, "providers");
        let auth = self.quoted(key.start, "auth");
        self.edits.push((
            key.clone(),
            format!("{auth}:{}{indent}  {providers}", self.newline),
        ));
        self.indent_after(key.end, self.range(oauth.value.span).end);
    }

    /// Moves the lines that start after `from` and before `to` two columns to the right.
    fn indent_after(&mut self, from: usize, to: usize) {
        for index in 0..self.lines.len() {
            let start = self.lines[index];
            let blank = self.text[start..]
                .lines()
                .next()
                .is_none_or(|line| line.trim().is_empty());
            if start > from && start < to && !blank {
                self.edits.push((start..start, "  ".to_owned()));
            }
        }
    }

    /// `cliproxyapi_plus: { config_file: … }` of version 3 becomes a service.
    fn proxy(&mut self, document: &Node, settings: &Node, conflicts: &mut Vec<Diagnostic>) {
        let Some(proxy) = document.entry("cliproxyapi_plus") else {
            return;
        };
        if let Some(services) = document.entry("services") {
            conflicts.push(both(proxy, services));
            return;
        }
        let Some(file) = proxy.value.get("config_file") else {
            let message = "`config_file` is missing, so there is nothing to start";
            conflicts.push(
                Diagnostic::error("config.missing_key", proxy.key_span, message)
                    .at("cliproxyapi_plus"),
            );
            return;
        };
        let service = version3::proxy_service(file.as_str().unwrap_or_default(), settings);
        self.changes
            .push("cliproxyapi_plus becomes services.cliproxyapi_plus".to_owned());
        let key = self.range(proxy.key_span);
        if self.flow {
            let quote = |word: &str| self.quoted(key.start, word);
            let (services, name) = (quote("services"), quote("cliproxyapi_plus"));
            let service = serde_json::to_string(&service).unwrap_or_default();
            let json = format!("{services}: {{{name}: {service}}}");
            self.edits
                .push((key.start..self.range(proxy.value.span).end, json));
            return;
        }
        // The block is replaced up to the end of the file name: comments behind it stay.
        let end = self.range(file.span).end.max(self.closing_brace(proxy));
        let block = self.service_block(key.start, &service, &self.text[key.end..end]);
        self.edits.push((key.start..end, block));
    }

    /// The service as lines, after the comments of the lines that it replaces.
    fn service_block(&self, at: usize, service: &Node, replaced: &str) -> String {
        let (margin, newline) = (self.margin(at), self.newline);
        let comments = replaced
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with('#'));
        let mut lines: Vec<String> = comments.map(str::to_owned).collect();
        lines.push("services:".to_owned());
        lines.push("  cliproxyapi_plus:".to_owned());
        lines.extend(
            yaml::to_yaml(service)
                .lines()
                .map(|line| format!("    {line}")),
        );
        lines.join(&format!("{newline}{margin}"))
    }

    /// The blanks that the line of this byte starts with, up to it.
    fn margin(&self, at: usize) -> &'t str {
        let line = self.lines.partition_point(|&start| start <= at);
        let before = &self.text[self.lines[line - 1]..at];
        if before.trim_start().is_empty() {
            before
        } else {
            ""
        }
    }

    fn closing_brace(&self, entry: &Entry) -> usize {
        let range = self.range(entry.value.span);
        if self.text[range.start..].starts_with('{') {
            range.end
        } else {
            range.start
        }
    }

    fn apply(mut self) -> String {
        self.edits
            .sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(self.text.len() + 64);
        let mut at = 0;
        for (range, replacement) in self.edits {
            out.push_str(self.text.get(at..range.start).unwrap_or_default());
            out.push_str(&replacement);
            at = range.end.max(at);
        }
        out.push_str(&self.text[at..]);
        if !out.ends_with('\n') && !out.is_empty() {
            out.push_str(self.newline);
        }
        out
    }
}

fn both(old: &Entry, new: &Entry) -> Diagnostic {
    let message = format!(
        "`{}` and `{}` are both there, and only one can stay",
        old.key, new.key
    );
    Diagnostic::error("config.cannot_migrate", old.key_span, message)
        .at(&old.key)
        .related(new.key_span, "the current name")
        .hint("bring what you need together under the current name, remove the old key, and try again")
}

#[cfg(test)]
mod tests;
