//! What to ask of a service, and what was found.

use serde::Serialize;

use crate::config::{Port, Service, Settings, reachable};

/// What is asked to learn how a service is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Probe {
    /// This URL answers 2xx, without a redirect.
    Http {
        /// The URL.
        url: String,
    },
    /// Something accepts connections.
    Tcp {
        /// The host, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A service and what is asked of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Target {
    /// The service.
    pub service: String,
    /// Whether it lives: `health_path`, or else a connection.
    pub liveness: Option<Probe>,
    /// Whether it can take work: `readiness`, or else as liveness.
    pub readiness: Option<Probe>,
}

/// What to ask of the services of a configuration, by name. Nothing of one without a port.
///
/// # Example
///
/// ```
/// use flowgate_core::{config::Config, health::{Probe, targets}};
///
/// let config = Config::from_yaml("
/// services: { api: { host: '::', port: 4000, readiness: { http: /ready }, command: { args: [api] } } }
/// ")?;
/// let api = &targets(config.settings())[0];
/// assert_eq!(api.readiness, Some(Probe::Http { url: "http://[::1]:4000/ready".to_owned() }));
/// # Ok::<(), flowgate_core::config::Error>(())
/// ```
pub fn targets(settings: &Settings) -> Vec<Target> {
    let of = |(name, service): (&crate::config::ServiceName, &Service)| {
        let (liveness, readiness) = (liveness(service), readiness(service));
        Target {
            service: name.to_string(),
            readiness: readiness.or_else(|| liveness.clone()),
            liveness,
        }
    };
    settings.services.iter().map(of).collect()
}

fn liveness(service: &Service) -> Option<Probe> {
    let own = service.liveness.as_ref();
    let path = own.and_then(|own| own.http.as_deref());
    let port = own.and_then(|own| own.port);
    probe(service, path.or(service.health_path.as_deref()), port)
}

/// What is ready by a program, its output or its own word cannot be asked from outside.
fn readiness(service: &Service) -> Option<Probe> {
    match &service.readiness {
        Some(own) if own.http.is_some() || own.tcp.is_some() => {
            probe(service, own.http.as_deref(), own.port)
        }
        Some(_) => None,
        None => {
            let path = service.readiness_path.as_deref();
            probe(service, path.or(service.health_path.as_deref()), None)
        }
    }
}

fn probe(service: &Service, path: Option<&str>, port: Option<Port>) -> Option<Probe> {
    let port = u16::from(port.or(service.port)?);
    let host = reachable(service.host.as_deref().unwrap_or("127.0.0.1"));
    Some(match path {
        Some(path) => Probe::Http {
            url: format!("http://{host}:{port}{path}"),
        },
        None => Probe::Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        },
    })
}

/// What a probe found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Found {
    /// Whether it is well.
    pub ok: bool,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why it is not well, in words.
    pub reason: Option<String>,
    /// How long it took, in milliseconds.
    pub took: u64,
}

impl Found {
    /// An answer: 2xx is well.
    pub fn answer(status: u16, took: u64) -> Self {
        let ok = (200..300).contains(&status);
        let reason = match status {
            _ if ok => None,
            300..=399 => Some(format!(
                "HTTP {status}: it redirects, which a probe does not follow"
            )),
            401 | 403 => Some(format!(
                "HTTP {status}: it asks for a key, which a probe does not have"
            )),
            404 => Some(format!("HTTP {status}: there is no such path")),
            _ => Some(format!("HTTP {status}")),
        };
        Self {
            ok,
            status: Some(status),
            reason,
            took,
        }
    }

    /// A connection that was made.
    pub fn connected(took: u64) -> Self {
        Self {
            ok: true,
            status: None,
            reason: None,
            took,
        }
    }

    /// Nothing came back.
    pub fn failed(reason: impl Into<String>, took: u64) -> Self {
        Self {
            ok: false,
            status: None,
            reason: Some(reason.into()),
            took,
        }
    }
}
