//! Asking a process how it is.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use process_control::{ChildExt, Control};
use regex::bytes::Regex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::notify::{Notify, Said};
use super::ports;
use crate::supervise::{Overlap, PortOwner, Probe, ProbeOutcome, Purpose, ServiceSpec};

/// How many connections are made to find one that the right process takes.
const TRIES: usize = 8;

/// A probe of one process.
pub(super) struct Asked {
    pub(super) purpose: Purpose,
    pub(super) probe: Probe,
    pub(super) spec: Arc<ServiceSpec>,
    /// The port of the process.
    pub(super) port: Option<u16>,
    /// What all of its processes come from.
    pub(super) root: u32,
    /// Placeholders are replaced, and the variables are those of the process.
    pub(super) exec: Option<ExecProbe>,
    pub(super) notify: Option<Arc<Notify>>,
    /// The line that a readiness probe waits for; watched for since before the process was there.
    pub(super) line: Option<oneshot::Receiver<()>>,
}

/// A program that says by its code how the process is.
#[derive(Clone)]
pub(super) struct ExecProbe {
    pub(super) args: Vec<String>,
    pub(super) cwd: Option<String>,
    pub(super) env: Vec<Vec<u8>>,
}

impl Asked {
    /// Asks again and again, and tells each answer, until it is dropped.
    pub(super) async fn run(mut self, mut tell: impl FnMut(ProbeOutcome)) {
        let begun = Instant::now();
        loop {
            if self.purpose == Purpose::Liveness && !matches!(self.probe, Probe::Notify) {
                sleep(self.interval(begun)).await;
            }
            let mut outcome = self.ask().await;
            if self.purpose == Purpose::Readiness
                && let ProbeOutcome::Ok { port } = &mut outcome
                && *port == PortOwner::Unknown
            {
                *port = self.owner();
            }
            tell(outcome);
            if self.purpose == Purpose::Readiness {
                sleep(self.interval(begun)).await;
            }
        }
    }

    /// Often at first, when it is about to become ready; then less and less.
    fn interval(&self, begun: Instant) -> Duration {
        match (&self.purpose, &self.spec.liveness) {
            (Purpose::Liveness, Some(live)) => live.interval,
            _ => {
                let first = self.spec.readiness.interval.max(Duration::from_millis(1));
                let seconds = u32::try_from(begun.elapsed().as_secs()).unwrap_or(u32::MAX);
                first * seconds.saturating_add(1).min(5)
            }
        }
    }

    fn limit(&self) -> Duration {
        match (&self.purpose, &self.spec.liveness) {
            (Purpose::Liveness, Some(live)) => live.timeout,
            _ => self.spec.readiness.timeout,
        }
    }

    /// Who has the port, now that the process says that it is ready.
    fn owner(&self) -> PortOwner {
        match self.port {
            Some(port) if self.spec.readiness.verify_owner && !self.shares_socket() => {
                ports::listens_below(self.root, port)
            }
            _ => PortOwner::Unknown,
        }
    }

    fn shares_socket(&self) -> bool {
        self.spec.overlap == Overlap::Socket
    }

    async fn ask(&mut self) -> ProbeOutcome {
        let limit = self.limit();
        match self.probe.clone() {
            Probe::Alive(for_so_long) => {
                sleep(for_so_long).await;
                ok()
            }
            Probe::Log(pattern) => self.wait_for_line(&pattern).await,
            Probe::Notify => self.wait_for_word(limit).await,
            Probe::Http { path, port } => within(limit, self.http(&path, port)).await,
            Probe::Tcp { port } => within(limit, self.tcp(port)).await,
            Probe::Exec(_) => self.exec(limit).await,
        }
    }

    async fn wait_for_line(&mut self, pattern: &str) -> ProbeOutcome {
        if Regex::new(pattern).is_err() {
            sleep(Duration::from_secs(60)).await;
            return failed(format!("`{pattern}` is not a regular expression"));
        }
        if let Some(line) = self.line.take()
            && line.await.is_ok()
        {
            return ok();
        }
        // It can come only once, and has; or the log is closed.
        std::future::pending().await
    }

    /// Ready when the process says so; alive as long as it says so often enough.
    async fn wait_for_word(&self, _limit: Duration) -> ProbeOutcome {
        let Some(notify) = &self.notify else {
            return std::future::pending().await;
        };
        let wanted = match self.purpose {
            Purpose::Readiness => Said::Ready,
            Purpose::Liveness => Said::Alive,
        };
        let heard = async {
            loop {
                match notify.next().await {
                    Ok(said) if said == wanted => return,
                    Ok(_) => {}
                    Err(_) => std::future::pending().await,
                }
            }
        };
        match (self.purpose, &self.spec.liveness) {
            (Purpose::Liveness, Some(live)) => match timeout(live.interval, heard).await {
                Ok(()) => ok(),
                Err(_) => failed(format!(
                    "it has not said `WATCHDOG=1` for {} ms",
                    live.interval.as_millis()
                )),
            },
            _ => {
                heard.await;
                ok()
            }
        }
    }

    async fn connect(&self, port: Option<u16>) -> Result<(TcpStream, u16), String> {
        let port = port
            .or(self.port)
            .ok_or("the service has no port to ask at")?;
        let connected = TcpStream::connect((reachable(&self.spec.host), port)).await;
        let stream = connected.map_err(|error| {
            format!(
                "port {port} takes no connection: {}",
                crate::runtime::plain(&error)
            )
        })?;
        Ok((stream, port))
    }

    async fn tcp(&self, port: Option<u16>) -> Result<PortOwner, String> {
        if self.may_be_another(port) {
            return self.taken().await.map(|_| PortOwner::Ours);
        }
        self.connect(port).await.map(|_| PortOwner::Unknown)
    }

    async fn http(&self, path: &str, port: Option<u16>) -> Result<PortOwner, String> {
        let shared = self.may_be_another(port);
        let (owner, (mut stream, at)) = if shared {
            (PortOwner::Ours, self.taken().await?)
        } else {
            (PortOwner::Unknown, self.connect(port).await?)
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}:{at}\r\nUser-Agent: flowgate\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.spec.host
        );
        let broken = |error: std::io::Error| format!("{path}: {}", crate::runtime::plain(&error));
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut head = Vec::new();
        let status = loop {
            if let Some(status) = status(&head) {
                break status;
            }
            let mut part = [0; 256];
            let length = stream.read(&mut part).await.map_err(broken)?;
            head.extend_from_slice(part.get(..length).unwrap_or_default());
            if length == 0 || head.len() > 1024 {
                return Err(format!("{path}: what answers does not speak HTTP"));
            }
        };
        if !(200..300).contains(&status) {
            return Err(format!("{path} answers {status}"));
        }
        Ok(owner)
    }

    /// A connection that this process has taken, on a socket that the one before it accepts from as
    /// well. Several are tried at once: which process takes one is chance, and the busy one is ahead.
    async fn taken(&self) -> Result<(TcpStream, u16), String> {
        let mut streams = Vec::new();
        let mut at = 0;
        for _ in 0..TRIES {
            let (stream, port) = self.connect(None).await?;
            streams.push(stream);
            at = port;
        }
        let addresses = streams.iter().flat_map(TcpStream::local_addr);
        let from: Vec<u16> = addresses.map(|address| address.port()).collect();
        loop {
            match ports::taken_below(self.root, &from, at) {
                (Some(ours), _) if ours < streams.len() => {
                    return Ok((streams.swap_remove(ours), at));
                }
                (_, true) => return Err("the process before it answers".to_owned()),
                _ => sleep(Duration::from_millis(2)).await,
            }
        }
    }

    /// Whether it has to be found out who answers at this port.
    fn may_be_another(&self, port: Option<u16>) -> bool {
        port.is_none() && self.shares_socket() && self.purpose == Purpose::Readiness
    }

    async fn exec(&self, limit: Duration) -> ProbeOutcome {
        let Some(exec) = self.exec.clone() else {
            return failed("it has no program".to_owned());
        };
        let program = exec.args.first().cloned().unwrap_or_default();
        match run(exec, limit).await {
            Ok(true) => ok(),
            Ok(false) => failed(format!("`{program}` says no")),
            Err(why) => failed(format!("`{program}`: {why}")),
        }
    }
}

/// Runs a program to its end, or for so long; true if it ends with 0.
pub(super) async fn run(exec: ExecProbe, limit: Duration) -> Result<bool, String> {
    let run = move || {
        let (program, arguments) = exec.args.split_first().ok_or("there is no program")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(
                exec.env
                    .iter()
                    .filter_map(|v| super::wire::name_and_value(v)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(cwd) = &exec.cwd {
            command.current_dir(cwd);
        }
        let child = command
            .spawn()
            .map_err(|error| crate::runtime::plain(&error))?;
        let mut child = child;
        let ended = child
            .controlled()
            .time_limit(limit)
            .terminate_for_timeout()
            .wait()
            .map_err(|error| crate::runtime::plain(&error))?;
        match ended {
            Some(status) => Ok(status.success()),
            None => Err(format!("no answer for {} ms", limit.as_millis())),
        }
    };
    let done = tokio::task::spawn_blocking(run).await;
    done.map_err(|_| "it was given up".to_owned())?
}

/// Posts nothing to a path, and waits for an answer for so long.
pub(super) async fn post(host: &str, port: Option<u16>, path: &str, limit: Duration) -> bool {
    let posted = async {
        let port = port?;
        let mut stream = TcpStream::connect((reachable(host), port)).await.ok()?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: flowgate\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(1024).read_to_end(&mut answer).await.ok()?;
        status(&answer)
    };
    matches!(timeout(limit, posted).await, Ok(Some(200..300)))
}

/// What listens on every address is asked at this machine's own.
pub(super) fn reachable(host: &str) -> &str {
    match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    }
}

async fn within(
    limit: Duration,
    asked: impl Future<Output = Result<PortOwner, String>>,
) -> ProbeOutcome {
    match timeout(limit, asked).await {
        Ok(Ok(port)) => ProbeOutcome::Ok { port },
        Ok(Err(why)) => failed(why),
        Err(_) => failed(format!("no answer for {} ms", limit.as_millis())),
    }
}

fn ok() -> ProbeOutcome {
    ProbeOutcome::Ok {
        port: PortOwner::Unknown,
    }
}

fn failed(why: String) -> ProbeOutcome {
    ProbeOutcome::Failed { why }
}

/// The status of an HTTP answer, as soon as it is there.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.get(..head.iter().position(|byte| *byte == b'\n')?)?;
    let line = std::str::from_utf8(line).ok()?;
    let (version, rest) = line.split_once(' ')?;
    version.starts_with("HTTP/1.").then_some(())?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\nContent-"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503\r\n"), Some(503));
        assert_eq!(status(b"HTTP/1.1 20"), None);
        assert_eq!(status(b"SSH-2.0-x 200\r\n"), None);
    }
}
