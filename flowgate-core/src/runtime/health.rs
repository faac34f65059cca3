//! Asking services how they are.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Error;
use super::http::{Http, block_on, no_answer, parse};
use super::machine::{disk_at, memory_now};
use super::secrets::look_at;
use crate::config::Config;
use crate::health::{self, Found, Probe, Report, ServiceHealth, Target, targets};

/// How long a service may take to answer.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks every service of a resolved configuration at once, and looks at the machine.
///
/// Nothing is written. Services of this machine are asked without a proxy, and redirects are not
/// followed: what redirects is not the service.
pub async fn check_health(config: &Config, limit: Duration) -> Report {
    let http = Arc::new(Http::direct());
    let targets = targets(config.settings());
    // One after another would take as long as all of them that hang.
    let mut asked = JoinSet::new();
    for target in targets {
        let http = Arc::clone(&http);
        asked.spawn(async move { ask(&http, &target, limit).await });
    }
    let mut services = asked.join_all().await;
    services.sort_by(|a, b| a.service.cmp(&b.service));
    Report::new(services, checks(config))
}

/// [`check_health`] for a program without a runtime of its own.
///
/// # Errors
///
/// [`Error::Write`] if no runtime can be made.
pub fn check_health_blocking(config: &Config, limit: Duration) -> Result<Report, Error> {
    block_on(check_health(config, limit))
}

async fn ask(http: &Http, target: &Target, limit: Duration) -> ServiceHealth {
    let liveness = match &target.liveness {
        Some(probe) => Some(found(http, probe, limit).await),
        None => None,
    };
    // What does not live is not asked again.
    let readiness = match &target.readiness {
        _ if target.readiness == target.liveness => liveness.clone(),
        Some(_)
            if liveness
                .as_ref()
                .is_some_and(|found| !found.ok && found.status.is_none()) =>
        {
            liveness.clone()
        }
        Some(probe) => Some(found(http, probe, limit).await),
        None => None,
    };
    ServiceHealth::new(target.service.clone(), liveness, readiness)
}

async fn found(http: &Http, probe: &Probe, limit: Duration) -> Found {
    let started = Instant::now();
    let took = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let slow = || format!("no answer within {}", humantime::format_duration(limit));
    match probe {
        Probe::Tcp { host, port } => {
            match timeout(limit, TcpStream::connect((host.as_str(), *port))).await {
                Ok(Ok(_)) => Found::connected(took()),
                Ok(Err(error)) => Found::failed(super::plain(&error), took()),
                Err(_) => Found::failed(slow(), took()),
            }
        }
        Probe::Http { url } => {
            let answer = async {
                let url = parse(url)?;
                let sent = http
                    .client(&url)?
                    .get(url.clone())
                    .timeout(limit)
                    .send()
                    .await;
                sent.map_err(|error| no_answer(&url, &error))
            };
            match answer.await {
                Ok(response) => Found::answer(response.status().as_u16(), took()),
                Err(error) if error.reason().contains("too long") => Found::failed(slow(), took()),
                Err(error) => Found::failed(error.reason(), took()),
            }
        }
    }
}

/// The machine, the credentials and the ports.
fn checks(config: &Config) -> Vec<health::Check> {
    let settings = config.settings();
    let runtime_dir: &str = &settings.paths.runtime_dir;
    let upstream = &settings.credentials.upstream;
    let problem = |(name, credential): (&crate::config::Name, &crate::config::Credential)| {
        let (reason, _) = look_at(credential).err()?;
        Some((name.to_string(), reason))
    };
    let problems: Vec<(String, String)> = upstream.iter().filter_map(problem).collect();
    vec![
        disk_at(existing_parent(Path::new(runtime_dir))),
        memory_now(),
        health::credentials(upstream.len(), &problems),
        health::ports(settings),
    ]
}

/// The nearest directory at or above a path that is there.
fn existing_parent(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A service that answers every request with one text.
    fn service(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        port
    }

    fn report(services: &str) -> Report {
        let dir = std::env::temp_dir();
        let text = format!(
            "paths: {{ runtime_dir: '{}' }}\nservices: {{ {services} }}",
            dir.display()
        );
        let config = Config::from_yaml(&text).unwrap();
        check_health_blocking(&config, Duration::from_millis(300)).unwrap()
    }

    fn one(port: u16, more: &str) -> ServiceHealth {
        let mut report = report(&format!(
            "api: {{ port: {port}, {more} command: {{ args: [x] }} }}"
        ));
        report.services.remove(0)
    }

    #[test]
    fn services_are_judged_by_what_they_answer() {
        for (answer, ok, reason) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", true, ""),
            ("HTTP/1.1 204 No\r\n\r\n", true, ""),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nx", true, ""),
            (
                "HTTP/1.1 302 Found\r\nlocation: /ok\r\ncontent-length: 0\r\n\r\n",
                false,
                "redirects",
            ),
            (
                "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n",
                false,
                "asks for a key",
            ),
            (
                "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
                false,
                "HTTP 503",
            ),
            ("SSH-2.0-OpenSSH_9\r\n", false, "does not speak HTTP"),
            ("", false, "closed the connection"),
        ] {
            let health = one(service(answer), "readiness: { http: /ready },");
            assert_eq!(
                health.readiness.as_ref().map(|found| found.ok),
                Some(ok),
                "{answer}: {health:?}"
            );
            assert!(
                health.reason.unwrap_or_default().contains(reason),
                "{answer}"
            );
            assert!(health.liveness.unwrap().ok, "it accepts connections");
        }
    }

    #[test]
    fn who_is_not_there_or_says_nothing_is_not_waited_for() {
        let gone = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let refused = one(gone, "readiness: { http: /ready },");
        assert_eq!(
            refused.reason.as_deref(),
            Some("not alive: connection refused")
        );
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let started = Instant::now();
        let names: Vec<String> = (0..5).map(|n| format!("s{n}: {{ host: 127.0.0.{}, port: {port}, health_path: /h, command: {{ args: [x] }} }}", n + 1)).collect();
        let listeners: Vec<_> = (2..6)
            .map(|n| TcpListener::bind(format!("127.0.0.{n}:{port}")))
            .collect();
        let report = report(&names.join(", "));
        assert!(
            !report.is_healthy()
                && report.services.iter().all(|service| service
                    .reason
                    .as_ref()
                    .unwrap()
                    .contains("within 300ms")),
            "{report:?}"
        );
        assert!(
            started.elapsed() < Duration::from_millis(1400),
            "all at once"
        );
        drop((silent, listeners));
    }

    #[test]
    fn nothing_to_ask_is_nothing_known() {
        let report = report("job: { command: { args: [x] } }");
        assert_eq!(
            (report.is_healthy(), report.services[0].status),
            (true, health::Status::Unknown)
        );
        assert!(report.checks.iter().any(|check| check.name == "disk"));
    }
}
