//! What types cannot say: parts of the document that must agree with each other.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Base, check_path_text, lead};
use super::schema::Settings;
use super::service_check;
use super::text::refusal;
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::yaml::{Entry, Node, Value};

/// Sections that LiteLLM's proxy reads (its documentation, "All settings").
const LITELLM_SECTIONS: [&str; 19] = [
    "assistant_settings",
    "callback_settings",
    "credential_list",
    "environment_variables",
    "fallbacks",
    "files_settings",
    "finetune_settings",
    "general_settings",
    "guardrails",
    "include",
    "litellm_settings",
    "mcp_aliases",
    "mcp_servers",
    "model_list",
    "policies",
    "prompts",
    "router_settings",
    "search_tools",
    "vector_store_registry",
];

/// Adds everything that is wrong between the parts of a document.
pub(super) fn check(document: &Node, settings: &Settings, problems: &mut Vec<Diagnostic>) {
    paths(document, settings, problems);
    services(document, settings, problems);
    service_check::check(document, settings, problems);
    sections(document, problems);
    super::accounts::check(document, settings, problems);
    super::auth::check(document, settings, problems);
    super::bootstrap::check(document, settings, problems);
}

fn entries<'d>(document: &'d Node, path: &[&str]) -> &'d [Entry] {
    let node = path.iter().try_fold(document, |node, key| node.get(key));
    node.and_then(Node::entries).unwrap_or_default()
}

pub(super) fn named<'d>(document: &'d Node, path: &[&str]) -> impl Iterator<Item = &'d Entry> {
    entries(document, path)
        .iter()
        .filter(|entry| !entry.key.starts_with("_comment"))
}

/// Two files must not be the same, and `$HOME` is not expanded.
fn paths(document: &Node, settings: &Settings, problems: &mut Vec<Diagnostic>) {
    let base = Base {
        dir: "/",
        home: Some("/~"),
    };
    let mut known: BTreeMap<String, (&str, Span)> = BTreeMap::new();
    let paths = &settings.paths;
    let files = [
        ("runtime_dir", paths.runtime_dir.to_string()),
        ("active_config", paths.active_config()),
        ("state_file", paths.state_file()),
        ("log_file", paths.log_file()),
    ];
    for (key, file) in &files {
        let entry = document.get("paths").and_then(|paths| paths.entry(key));
        let span = entry.map_or_else(Span::default, |entry| entry.value.span);
        let Ok(leads) = lead(file, &base) else {
            continue;
        };
        match known.get(&leads) {
            Some((other, other_span)) => problems.push(
                Diagnostic::error(
                    "config.path_collision",
                    span,
                    format!("`{key}` and `{other}` are the same file"),
                )
                .at(format!("paths.{key}"))
                .related(*other_span, format!("`{other}` is here"))
                .hint("give each a file of its own"),
            ),
            None => {
                known.insert(leads, (key, span));
            }
        }
    }
    for entry in named(document, &["paths"]) {
        if entry.key == "runtime_dir" && entry.value.value == Value::Null {
            let message = "expected a path, found null";
            problems.push(
                Diagnostic::error("config.wrong_type", entry.value.span, message)
                    .at("paths.runtime_dir")
                    .hint("remove the key for `.router/runtime`; the home directory is `~/`"),
            );
        }
        // Paths of other names are kept and resolved like those that are known.
        let known = files.iter().any(|(key, _)| *key == entry.key);
        if let (false, Some(Err(reason))) = (known, entry.value.as_str().map(check_path_text)) {
            let path = format!("paths.{}", entry.key);
            problems.push(refusal(entry.value.span, &reason).at(path));
        }
        if entry.value.as_str().is_some_and(|text| text.contains('$')) {
            problems.push(
                Diagnostic::warning(
                    "config.not_expanded",
                    entry.value.span,
                    "`$` is an ordinary character in a path",
                )
                .at(format!("paths.{}", entry.key))
                .hint("write `~/` for the home directory; variables are not expanded"),
            );
        }
    }
}

fn services(document: &Node, settings: &Settings, problems: &mut Vec<Diagnostic>) {
    let mut ports: BTreeMap<u16, Vec<(&str, &str, Span)>> = BTreeMap::new();
    for entry in named(document, &["services"]) {
        let Some(service) = settings.services.get(entry.key.as_str()) else {
            continue;
        };
        let path = |key: &str| format!("services.{}.{key}", entry.key);
        let span = |key: &str| {
            entry
                .value
                .get(key)
                .map_or(entry.key_span, |node| node.span)
        };
        let host = service.host.as_deref().unwrap_or("127.0.0.1");
        if is_wildcard(host) {
            problems.push(
                Diagnostic::warning("config.listens_everywhere", span("host"), "other machines can reach this service")
                    .at(path("host"))
                    .hint("write `127.0.0.1` unless they should; clients here use that address either way"),
            );
        }
        let Some(port) = service.port.map(u16::from) else {
            continue;
        };
        let others = ports.entry(port).or_default();
        let clash = others
            .iter()
            .find(|(_, other, _)| *other == host || is_wildcard(other) || is_wildcard(host));
        if let Some((other, _, other_span)) = clash {
            problems.push(
                Diagnostic::error(
                    "config.port_conflict",
                    span("port"),
                    format!("port {port} is taken by `{other}`"),
                )
                .at(path("port"))
                .related(*other_span, format!("`{other}` has it"))
                .hint("give each service a port of its own"),
            );
        }
        others.push((&entry.key, host, span("port")));
    }
    dependencies(document, problems);
}

fn is_wildcard(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "::" | "[::]")
}

/// Every dependency is a service, and none leads back to where it started.
fn dependencies(document: &Node, problems: &mut Vec<Diagnostic>) {
    let names = Names::of(document, &["services"], "name a key of `services`");
    let mut needs: BTreeMap<&str, Vec<(&str, Span)>> = BTreeMap::new();
    for entry in named(document, &["services"]) {
        for (name, span, step) in needed(&entry.value) {
            if names.contains(name) {
                needs.entry(&entry.key).or_default().push((name, span));
                continue;
            }
            let path = format!("services.{}.depends_on{step}", entry.key);
            let message = "there is no such service";
            problems.push(
                Diagnostic::error("config.unknown_service", span, message)
                    .at(path)
                    .hint(names.hint(name)),
            );
        }
    }
    if let Some((service, span, chain)) = cycle(&needs) {
        let message = format!("these services wait for each other: {chain}");
        problems.push(
            Diagnostic::error("config.dependency_cycle", span, message)
                .at(format!("services.{service}.depends_on"))
                .hint("remove one of the dependencies"),
        );
    }
}

/// What a service depends on, in either form, and how its place is written.
fn needed(service: &Node) -> Vec<(&str, Span, String)> {
    let Some(node) = service.get("depends_on") else {
        return Vec::new();
    };
    let items = node.items().unwrap_or_default().iter().enumerate();
    let listed = items.filter_map(|(index, item)| {
        let name = item.as_str()?;
        Some((name, item.span, format!("[{index}]")))
    });
    let entries = node.entries().unwrap_or_default().iter();
    let mapped = entries
        .filter(|entry| !entry.key.starts_with("_comment"))
        .map(|entry| {
            (
                entry.key.as_str(),
                entry.key_span,
                format!(".{}", entry.key),
            )
        });
    listed.chain(mapped).collect()
}

/// A cycle of the graph, found by taking away services that wait for nothing until none is left.
fn cycle<'d>(needs: &BTreeMap<&'d str, Vec<(&'d str, Span)>>) -> Option<(&'d str, Span, String)> {
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut waited_for_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (service, needed) in needs {
        waiting.insert(service, needed.len());
        for (name, _) in needed {
            waited_for_by.entry(name).or_default().push(service);
        }
    }
    let idle = waited_for_by
        .keys()
        .filter(|name| !needs.contains_key(*name));
    let mut started: Vec<&str> = idle.copied().collect();
    while let Some(name) = started.pop() {
        for service in waited_for_by.get(name).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(service) {
                *count -= 1;
                if *count == 0 {
                    waiting.remove(service);
                    started.push(service);
                }
            }
        }
    }
    // Every service left waits for one that is left: following them must come round.
    let next = |at: &str| {
        let needed = needs.get(at)?.iter();
        needed
            .into_iter()
            .find(|(name, _)| waiting.contains_key(name))
    };
    let mut at = *waiting.keys().next()?;
    let mut trail: Vec<&str> = Vec::new();
    let mut seen = BTreeSet::new();
    while seen.insert(at) {
        trail.push(at);
        at = next(at)?.0;
    }
    let start = trail.iter().position(|name| *name == at)?;
    let (_, span) = next(at)?;
    // A cycle of thousands is as clear from its beginning.
    let shown = trail[start..].iter().take(8).copied();
    let more = if trail.len() - start > 8 {
        Some("…")
    } else {
        None
    };
    let chain: Vec<&str> = shown.chain(more).chain([at]).collect();
    Some((at, *span, chain.join(" → ")))
}

/// The names that others may refer to.
pub(super) struct Names<'d> {
    known: BTreeSet<&'d str>,
    /// What to do where no name is near.
    otherwise: &'static str,
    /// Comparing names is slow: after so many suggestions there are no more.
    left: Cell<u32>,
}

impl<'d> Names<'d> {
    fn of(document: &'d Node, path: &[&str], otherwise: &'static str) -> Self {
        Self {
            known: named(document, path)
                .map(|entry| entry.key.as_str())
                .collect(),
            otherwise,
            left: Cell::new(20),
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    fn hint(&self, name: &str) -> String {
        if self.left.get() == 0 {
            return self.otherwise.to_owned();
        }
        self.left.set(self.left.get() - 1);
        match nearest(name, self.known.iter().copied().take(1_000)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.known.is_empty() => self.otherwise.to_owned(),
            None => {
                let known: Vec<&str> = self.known.iter().copied().take(10).collect();
                format!("{}; known: {}", self.otherwise, known.join(", "))
            }
        }
    }
}

/// `litellm_base` and the profiles: what LiteLLM would refuse, or miss, later.
fn sections(document: &Node, problems: &mut Vec<Diagnostic>) {
    let credentials = credentials(document);
    let base: BTreeSet<&str> = entries(document, &["litellm_base"])
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    if let Some(base) = document.get("litellm_base") {
        section(
            base,
            "litellm_base",
            &BTreeSet::new(),
            &credentials,
            problems,
        );
        delete_markers(base, "litellm_base", problems);
    }
    if let Some(profiles) = document
        .entry("profiles")
        .filter(|entry| entry.value.entries().is_some_and(<[Entry]>::is_empty))
    {
        problems.push(
            Diagnostic::error(
                "config.no_profiles",
                profiles.value.span,
                "there is no profile",
            )
            .at("profiles")
            .hint("write one, such as `balanced: {}`, or remove the key"),
        );
    }
    for profile in named(document, &["profiles"]) {
        section(
            &profile.value,
            &format!("profiles.{}", profile.key),
            &base,
            &credentials,
            problems,
        );
    }
}

/// `$delete` removes what a layer below has, and below the base there is none.
fn delete_markers(node: &Node, path: &str, problems: &mut Vec<Diagnostic>) {
    if node.as_str() == Some(crate::DELETE) {
        let message = "`$delete` has nothing to remove in the base";
        problems.push(
            Diagnostic::error("config.nothing_to_delete", node.span, message)
                .at(path)
                .hint("remove the key, or move the line to a profile"),
        );
    }
    for entry in node.entries().unwrap_or_default() {
        delete_markers(&entry.value, &format!("{path}.{}", entry.key), problems);
    }
}

fn section(
    section: &Node,
    path: &str,
    base: &BTreeSet<&str>,
    credentials: &Names<'_>,
    problems: &mut Vec<Diagnostic>,
) {
    for entry in section.entries().unwrap_or_default() {
        let key = entry.key.as_str();
        if !LITELLM_SECTIONS.contains(&key)
            && !base.contains(key)
            && !key.starts_with("_comment")
            && !key.starts_with("x-")
        {
            let hint = match nearest(key, LITELLM_SECTIONS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "LiteLLM ignores sections it does not know".to_owned(),
            };
            problems.push(
                Diagnostic::warning(
                    "config.unknown_section",
                    entry.key_span,
                    format!("LiteLLM has no section `{key}`"),
                )
                .at(format!("{path}.{key}"))
                .hint(hint),
            );
        }
    }
    let Some(list) = section
        .get("model_list")
        .filter(|list| !list.is_null() && list.as_str() != Some(crate::DELETE))
    else {
        return;
    };
    let path = format!("{path}.model_list");
    match list.items() {
        Some(models) => {
            for (index, item) in models.iter().enumerate() {
                model(item, &format!("{path}[{index}]"), credentials, problems);
            }
        }
        None => problems.push(wrong_type(list, "a list of models", &path)),
    }
}

fn model(model: &Node, path: &str, credentials: &Names<'_>, problems: &mut Vec<Diagnostic>) {
    if model.entries().is_none() {
        problems.push(wrong_type(
            model,
            "a mapping with `model_name` and `litellm_params`",
            path,
        ));
        return;
    }
    match model.get("model_name") {
        Some(name) if name.as_str().is_some_and(|name| !name.trim().is_empty()) => {}
        Some(name) => problems.push(wrong_type(name, "a name", &format!("{path}.model_name"))),
        None => problems.push(missing(model, "model_name", path)),
    }
    let Some(params) = model.get("litellm_params") else {
        problems.push(missing(model, "litellm_params", path));
        return;
    };
    let path = format!("{path}.litellm_params");
    if params.entries().is_none() {
        problems.push(wrong_type(params, "a mapping", &path));
        return;
    }
    if let Some(reference) = params.get("api_key_ref").filter(|node| !node.is_null()) {
        api_key_ref(
            reference,
            &format!("{path}.api_key_ref"),
            credentials,
            problems,
        );
    }
    if let Some(key) = params.get("api_key").filter(|node| is_literal_secret(node)) {
        problems.push(
            Diagnostic::warning(
                "config.literal_secret",
                key.span,
                "a secret is written in the configuration",
            )
            .at(format!("{path}.api_key"))
            .hint("put it under `credentials.upstream` and name it with `api_key_ref`"),
        );
    }
}

fn api_key_ref(
    reference: &Node,
    path: &str,
    credentials: &Names<'_>,
    problems: &mut Vec<Diagnostic>,
) {
    let name = match reference.as_str().map(str::trim) {
        Some("") => {
            problems.push(
                Diagnostic::error(
                    "config.invalid_value",
                    reference.span,
                    "`api_key_ref` must not be blank",
                )
                .at(path)
                .hint("name an entry of `credentials.upstream`"),
            );
            return;
        }
        Some(name) => name,
        None => {
            problems.push(wrong_type(reference, "the name of a credential", path));
            return;
        }
    };
    if !credentials.contains(name) {
        problems.push(unknown_credential(name, reference.span, credentials).at(path));
    }
}

pub(super) fn credentials(document: &Node) -> Names<'_> {
    let otherwise = "describe it under `credentials.upstream`";
    Names::of(document, &["credentials", "upstream"], otherwise)
}

pub(super) fn unknown_credential(name: &str, span: Span, credentials: &Names<'_>) -> Diagnostic {
    Diagnostic::error(
        "config.unknown_credential",
        span,
        "there is no such credential",
    )
    .hint(credentials.hint(name))
}

/// LiteLLM looks `os.environ/NAME` up itself, and templates and placeholders are no secrets.
fn is_literal_secret(node: &Node) -> bool {
    node.as_str().is_some_and(|text| {
        let text = text.trim();
        !text.is_empty() && !text.starts_with("os.environ/") && !text.contains("${")
    })
}

fn wrong_type(node: &Node, expected: &str, path: &str) -> Diagnostic {
    let found = match &node.value {
        Value::String(text) if text.trim().is_empty() => "a blank string",
        _ => node.kind(),
    };
    Diagnostic::error(
        "config.wrong_type",
        node.span,
        format!("expected {expected}, found {found}"),
    )
    .at(path)
}

fn missing(node: &Node, key: &str, path: &str) -> Diagnostic {
    Diagnostic::error(
        "config.missing_key",
        node.span,
        format!("`{key}` is missing"),
    )
    .at(path)
    .hint(format!("add `{key}:` here"))
}
