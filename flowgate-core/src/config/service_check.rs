//! What must fit together within a service: one way to ask it, a port where one is needed,
//! placeholders that stand for something.

use super::schema::Settings;
use super::service::{Overlap, Service};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::yaml::Node;

/// What stands for something in a command, and in which services.
const PLACEHOLDERS: [&str; 8] = [
    "active_config",
    "config_dir",
    "fd",
    "gen",
    "host",
    "port",
    "runtime_dir",
    "state_file",
];

/// Adds what is wrong within the services.
pub(super) fn check(document: &Node, settings: &Settings, problems: &mut Vec<Diagnostic>) {
    let entries = document.get("services").and_then(Node::entries);
    for entry in entries.unwrap_or_default() {
        if let Some(service) = settings.services.get(entry.key.as_str()) {
            let place = Place {
                path: format!("services.{}", entry.key),
                node: &entry.value,
                span: entry.key_span,
            };
            probes(&place, problems);
            ports(service, &place, problems);
            placeholders(service, &place, problems);
        }
    }
}

/// A service, and where its keys stand.
struct Place<'d> {
    path: String,
    node: &'d Node,
    span: Span,
}

impl Place<'_> {
    fn find(&self, keys: &[&str]) -> Option<&Node> {
        let found = keys.iter().try_fold(self.node, |node, key| node.get(key));
        found.filter(|node| !node.is_null())
    }

    fn span(&self, keys: &[&str]) -> Span {
        self.find(keys).map_or(self.span, |node| node.span)
    }

    fn error(&self, code: &'static str, keys: &[&str], message: impl Into<String>) -> Diagnostic {
        let path = [&[self.path.as_str()], keys].concat().join(".");
        Diagnostic::error(code, self.span(keys), message).at(path)
    }
}

/// One way of asking is chosen. Looks at the document: a choice with a mistake is one too.
fn probes(place: &Place<'_>, problems: &mut Vec<Diagnostic>) {
    let ways: [(&[&str], &[&str], usize); 3] = [
        (
            &["readiness"],
            &["http", "tcp", "exec", "log", "notify", "alive"],
            1,
        ),
        (&["liveness"], &["http", "tcp", "exec"], 1),
        (&["stop", "drain"], &["http", "exec"], 0),
    ];
    for (keys, ways, least) in ways {
        let Some(node) = place.find(keys).filter(|node| node.entries().is_some()) else {
            continue;
        };
        let given = |way: &&&str| node.get(way).is_some_and(|value| !value.is_null());
        let given = ways.iter().filter(given).count();
        if given < least || given > 1 {
            let count = if least == 0 { "at most" } else { "exactly" };
            let message = format!("expected {count} one of these");
            let hint = format!("choose one of: {}", ways.join(", "));
            let problem = place.error("config.choose_one", keys, message);
            problems.push(problem.hint(hint));
        }
    }
    if place.find(&["readiness"]).is_some() && place.find(&["readiness_path"]).is_some() {
        let message = "`readiness` says when it is ready already";
        let problem = place.error("config.choose_one", &["readiness_path"], message);
        problems.push(problem.hint("remove one of the two"));
    }
}

/// Who asks a port, or holds it, needs one.
fn ports(service: &Service, place: &Place<'_>, problems: &mut Vec<Diagnostic>) {
    if service.port.is_some() {
        return;
    }
    let ready = service.readiness.as_ref();
    let live = service.liveness.as_ref();
    let asks = |http: bool, tcp: bool, port: bool| (http || tcp) && !port;
    let drain = service.stop.as_ref().and_then(|stop| stop.drain.as_ref());
    let needs: [(&[&str], bool); 4] = [
        (
            &["readiness"],
            ready.is_some_and(|r| asks(r.http.is_some(), r.tcp.is_some(), r.port.is_some())),
        ),
        (
            &["liveness"],
            live.is_some_and(|l| asks(l.http.is_some(), l.tcp.is_some(), l.port.is_some())),
        ),
        (
            &["stop", "drain"],
            drain.is_some_and(|drain| drain.http.is_some()),
        ),
        (
            &["overlap"],
            matches!(service.overlap, Some(Overlap::Forward | Overlap::Socket)),
        ),
    ];
    for (keys, _) in needs.into_iter().filter(|(_, needs)| *needs) {
        problems.push(missing_port(place, keys));
    }
    // The first FlowGate took these without a port, and asked nobody.
    for (key, given) in [
        ("readiness_path", &service.readiness_path),
        ("health_path", &service.health_path),
    ] {
        if given.is_some() {
            let message = "this is not asked, since the service has no port";
            let path = format!("{}.{key}", place.path);
            problems.push(
                Diagnostic::warning("config.no_port", place.span(&[key]), message)
                    .at(path)
                    .hint("write `port:` with the number that the program listens on"),
            );
        }
    }
}

fn missing_port(place: &Place<'_>, keys: &[&str]) -> Diagnostic {
    place
        .error(
            "config.no_port",
            keys,
            "this needs a port, and the service has none",
        )
        .hint("write `port:` with the number that the program listens on")
}

fn placeholders(service: &Service, place: &Place<'_>, problems: &mut Vec<Diagnostic>) {
    let command = place.node.get("command");
    let args = command.and_then(|command| command.get("args")?.items());
    let env = command.and_then(|command| command.get("env")?.entries());
    let args = args.unwrap_or_default().iter().enumerate();
    let args = args.map(|(index, node)| (format!("command.args[{index}]"), node));
    let env = env.unwrap_or_default().iter();
    let env = env.map(|entry| (format!("command.env.{}", entry.key), &entry.value));
    for (path, node) in args.chain(env) {
        for name in node.as_str().into_iter().flat_map(names) {
            let path = format!("{}.{path}", place.path);
            problems.extend(placeholder(service, name, node.span).map(|found| found.at(path)));
        }
    }
}

/// What stands between braces and could be the name of a placeholder.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let opened = text.split('{').skip(1);
    let closed = opened.filter_map(|rest| Some(rest.split_once('}')?.0));
    closed
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

fn placeholder(service: &Service, name: &str, span: Span) -> Option<Diagnostic> {
    let error = |message: &str, hint: &str| {
        let problem = Diagnostic::error("config.placeholder", span, message);
        Some(problem.hint(hint))
    };
    match name {
        "port" if service.port.is_none() => error(
            "`{port}` stands for the port of the service, which has none",
            "write `port:` with the number that the program listens on",
        ),
        "fd" if service.overlap != Some(Overlap::Socket) => error(
            "`{fd}` stands for the socket that FlowGate hands over, and it hands none",
            "write `overlap: socket`, or use `{port}`",
        ),
        _ if PLACEHOLDERS.contains(&name) => None,
        _ => {
            let near = nearest(name, PLACEHOLDERS)?;
            let message = format!("`{{{name}}}` stands for nothing");
            let problem = Diagnostic::warning("config.unknown_placeholder", span, message);
            Some(problem.hint(format!("did you mean `{{{near}}}`?")))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Error};

    fn found(service: &str) -> Vec<String> {
        let text = format!(
            "config_version: 2\nservices: {{a: {service}, b: {{command: {{args: [b]}}}}}}\n"
        );
        let diagnostics = match Config::from_yaml(&text) {
            Ok(config) => config.diagnostics().to_vec(),
            Err(Error::Invalid { diagnostics }) => diagnostics,
        };
        let line = |d: &crate::diagnostic::Diagnostic| {
            let hint = d.hint.as_deref().unwrap_or_default();
            format!("{} {}: {} ({hint})", d.code, d.path, d.message)
        };
        diagnostics.iter().map(line).collect()
    }

    #[test]
    fn one_way_to_ask_is_chosen() {
        for service in [
            "{command: {args: [x]}, port: 1, readiness: {http: /, tcp: true}}",
            "{command: {args: [x]}, readiness: {interval: 1s}}",
            "{command: {args: [x]}, readiness: {alive: 1s}, readiness_path: /, port: 1}",
            "{command: {args: [x]}, port: 1, liveness: {}}",
            "{command: {args: [x]}, port: 1, stop: {drain: {http: /, exec: [y]}}}",
        ] {
            let found = found(service);
            assert_eq!(found.len(), 1, "{service}: {found:?}");
            assert!(found[0].starts_with("config.choose_one"), "{found:?}");
        }
    }

    #[test]
    fn a_port_is_there_where_one_is_needed() {
        for (service, place) in [
            ("readiness: {http: /}", "readiness"),
            ("liveness: {tcp: true}", "liveness"),
            ("overlap: socket", "overlap"),
            ("stop: {drain: {http: /}}", "stop.drain"),
        ] {
            let found = found(&format!("{{command: {{args: [x]}}, {service}}}"));
            assert_eq!(found.len(), 1, "{service}: {found:?}");
            let place = format!("config.no_port services.a.{place}:");
            assert!(found[0].starts_with(&place), "{found:?}");
        }
        let old = "{command: {args: [x]}, readiness_path: /}";
        let warned =
            Config::from_yaml(&format!("config_version: 2\nservices: {{a: {old}}}\n")).unwrap();
        let warned: Vec<_> = warned
            .diagnostics()
            .iter()
            .map(|d| d.path.clone())
            .collect();
        assert_eq!(warned, ["services.a.readiness_path"]);
        let own = "{command: {args: [x]}, readiness: {http: /, port: 9000}}";
        assert_eq!(found(own), Vec::<String>::new());
    }

    #[test]
    fn a_placeholder_stands_for_something() {
        let with = |arg: &str| found(&format!("{{command: {{args: [x, '{arg}']}}}}"));
        assert!(with("{port}")[0].starts_with("config.placeholder services.a.command.args[1]"));
        assert!(with("{fd}")[0].contains("overlap: socket"));
        assert!(with("{activeconfig}")[0].contains("did you mean `{active_config}`?"));
        for fine in [
            "{gen}",
            "{\"a\": 1}",
            "{}",
            "{{name}}",
            "{anything_else}",
            "{",
        ] {
            assert_eq!(with(fine), Vec::<String>::new(), "{fine}");
        }
    }

    #[test]
    fn mistakes_in_the_new_keys_are_named() {
        for (service, code) in [
            (
                "depends_on: {c: {condition: ready}}",
                "config.unknown_service",
            ),
            ("depends_on: {b: {condition: redy}}", "config.invalid_value"),
            ("depends_on: {b: {on_los: stop}}", "config.unknown_key"),
            ("depends_on: b", "config.wrong_type"),
            ("depends_on: {a: {}}", "config.dependency_cycle"),
            ("overlap: sometimes", "config.invalid_value"),
            ("restart: {backoff: {factor: 0.5}}", "config.invalid_value"),
            ("restart: {backoff: {jitter: 2}}", "config.invalid_value"),
            ("readiness: {log: '('}", "config.invalid_value"),
            ("liveness: {exec: []}", "config.invalid_value"),
            ("stop: {timeout: 10}", "config.wrong_type"),
            ("stop: {signal: SIGTERM}", "config.invalid_value"),
            ("logs: {max_bytes: -1}", "config."),
            ("readiness: {notify: false}", "config.invalid_value"),
        ] {
            let found = found(&format!("{{command: {{args: [x]}}, {service}}}"));
            assert_eq!(found.len(), 1, "{service}: {found:?}");
            assert!(found[0].starts_with(code), "{service}: {found:?}");
        }
    }
}
