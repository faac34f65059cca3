//! Documents of version 3: one proxy, described by a configuration file of its own.

use serde::Deserialize;

use super::auth::Auth;
use super::legacy::take;
use super::schema::Version;
use super::text::{Host, PathText, Port};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{Entry, Node, Value, decode};

/// The port CLIProxyAPIPlus listens on where its configuration names none.
const PROXY_PORT: i128 = 8317;

/// The shape of the document.
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

/// Turns the reference to the proxy into a service, and gives the proxy's own configuration file;
/// `None` if the document has mistakes.
pub(super) fn normalize(document: &mut Node, problems: &mut Vec<Diagnostic>) -> Option<PathText> {
    let decoded = decode::<Version3>(document, &["paths"]);
    let mistaken = decoded.problems.iter().any(Diagnostic::is_error);
    problems.extend(decoded.problems.into_iter().map(name_version_2));
    let config_file = decoded.value?.cliproxyapi_plus.config_file;
    if mistaken {
        return None;
    }
    let entries = document.entries_mut()?;
    let reference = take(entries, "cliproxyapi_plus")?;
    let span = reference.value.span;
    let key = |key: &str, value| Entry {
        key: key.to_owned(),
        key_span: reference.key_span,
        value,
    };
    let service = key("cliproxyapi_plus", spanned_service(&config_file, span));
    let services = Node {
        value: Value::Mapping(vec![service]),
        span,
    };
    entries.push(key("services", services));
    Some(config_file)
}

/// Says of keys of version 2 where they belong.
fn name_version_2(mut problem: Diagnostic) -> Diagnostic {
    const KEYS: [&str; 7] = [
        "accounts",
        "credentials",
        "guard",
        "integration",
        "litellm_base",
        "profiles",
        "services",
    ];
    if KEYS.contains(&problem.path.as_str()) {
        let hint =
            "this is a key of version 2: write `config_version: 2`, and the proxy under `services`";
        problem.hint = Some(hint.to_owned());
    }
    problem
}

/// The service that a reference stands for, with host and port from the proxy's own configuration.
pub(super) fn proxy_service(config_file: &str, settings: &Node) -> Node {
    let mut service = spanned_service(config_file, Span::default());
    if let Some(entries) = service.entries_mut() {
        // What is wrong with them is said where they are loaded.
        let _ = take_address(entries, settings);
    }
    service
}

fn spanned_service(config_file: &str, span: Span) -> Node {
    let node = |value| Node { value, span };
    let text = |text: &str| node(Value::String(text.to_owned()));
    let entry = |key: &str, value| Entry {
        key: key.to_owned(),
        key_span: span,
        value,
    };
    let args = command(config_file).iter().map(|arg| text(arg)).collect();
    let command = vec![entry("args", node(Value::Sequence(args)))];
    node(Value::Mapping(vec![
        // `/v1/models` would need a key, and answer 401 without one.
        entry("readiness_path", text("/")),
        entry("command", node(Value::Mapping(command))),
        entry("port", node(Value::Integer(PROXY_PORT))),
    ]))
}

/// Program and arguments of the proxy; `{…}` is filled in when it is started.
fn command(config_file: &str) -> [String; 3] {
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
        let problem = Diagnostic::error("config.wrong_type", proxy.span, message);
        return Err(vec![problem]);
    }
    let services = document.get_mut("services");
    let service = services.and_then(|services| services.get_mut("cliproxyapi_plus"));
    match service.and_then(Node::entries_mut) {
        Some(service) => take_address(service, proxy),
        None => Ok(()),
    }
}

fn take_address(service: &mut Vec<Entry>, proxy: &Node) -> Result<(), Vec<Diagnostic>> {
    let mut problems = Vec::new();
    for key in ["host", "port"] {
        let given = proxy.entry(key).filter(|entry| {
            // An empty host stands for every address, as no host does.
            !entry.value.is_null() && entry.value.as_str() != Some("")
        });
        let Some(given) = given else { continue };
        let probe = Node::new(Value::Mapping(vec![given.clone()]));
        let mistakes = decode::<ProxyAddress>(&probe, &[]).problems;
        if mistakes.is_empty() {
            service.retain(|entry| entry.key != key);
            service.push(given.clone());
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
    host: Option<Host>,
    port: Option<Port>,
}
