//! A supervisor in a directory of its own, and what tests want to know about it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flowgate_core::runtime::process::{
    Events, Handle, Heard, Running, RuntimeDir, Status, Supervisor,
};
use flowgate_core::supervise::{PublicState, Selection, ServiceSpec, Services, What};

pub(crate) struct Rig {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) running: Running,
    pub(crate) handle: Handle,
    pub(crate) events: Events,
}

/// More than anything takes that is not at fault, also on a machine with ten times the work it can do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn services(specs: impl IntoIterator<Item = ServiceSpec>) -> Services {
    Services::new(specs.into_iter().collect()).unwrap()
}

pub(crate) fn supervisor(services: Services, dir: &Path) -> Supervisor {
    let dir = RuntimeDir::new(dir).unwrap();
    Supervisor::new(services, dir).shim(env!("CARGO_BIN_EXE_flowgate"))
}

/// A service that runs a shell script, ready when it says so.
pub(crate) fn script(name: &str, script: &str) -> ServiceSpec {
    let mut spec = ServiceSpec::new(name, ["sh", "-c", script]);
    spec.readiness.probe = flowgate_core::supervise::Probe::Log("^ready".to_owned());
    spec.stop.timeout = Duration::from_millis(500);
    spec.stop.orphan_grace = Duration::from_millis(200);
    spec.restart.initial = Duration::from_millis(10);
    spec
}

impl Rig {
    pub(crate) async fn new(specs: impl IntoIterator<Item = ServiceSpec>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        Self::in_dir(specs, temp).await
    }

    pub(crate) async fn in_dir(
        specs: impl IntoIterator<Item = ServiceSpec>,
        temp: tempfile::TempDir,
    ) -> Self {
        let running = supervisor(services(specs), temp.path())
            .start()
            .await
            .unwrap();
        let handle = running.handle();
        let events = handle.events();
        Self {
            temp,
            running,
            handle,
            events,
        }
    }

    /// With everything started, and settled.
    pub(crate) async fn up(specs: impl IntoIterator<Item = ServiceSpec>) -> Self {
        let rig = Self::new(specs).await;
        rig.handle.start(Selection::All);
        rig.settled().await;
        rig
    }

    pub(crate) async fn settled(&self) -> Vec<Status> {
        self.handle.settled_within(&Selection::All, PATIENCE).await
    }

    pub(crate) async fn status(&self, name: &str) -> Status {
        let all = self.handle.status().await;
        let mut found = all
            .into_iter()
            .filter(|status| status.service.name.as_str() == name);
        found.next().unwrap()
    }

    pub(crate) async fn pid(&self, name: &str) -> u32 {
        self.status(name).await.service.process.unwrap().pid
    }

    /// Waits for the first event that is this, and returns when it came.
    pub(crate) async fn hears(&mut self, mut is_it: impl FnMut(&What) -> bool) -> Instant {
        let hear = async {
            loop {
                match self.events.next().await.unwrap() {
                    Heard::Notice(notice) if is_it(&notice.what) => return Instant::now(),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, hear)
            .await
            .expect("it does not happen")
    }

    pub(crate) async fn becomes(&mut self, name: &str, state: PublicState) -> Status {
        loop {
            let status = self.status(name).await;
            if status.service.public == state {
                return status;
            }
            let next = tokio::time::timeout(PATIENCE, self.events.next()).await;
            assert!(next.is_ok(), "it does not become {state:?}: {status:?}");
        }
    }

    /// Stops everything and returns how long that took.
    pub(crate) async fn down(self) -> (Duration, tempfile::TempDir) {
        let before = Instant::now();
        let stopped = tokio::time::timeout(PATIENCE, self.running.shutdown()).await;
        stopped.expect("it does not end");
        (before.elapsed(), self.temp)
    }

    pub(crate) fn log(&self, name: &str) -> String {
        let path = self.handle.dir().log(&name.into());
        fs::read_to_string(path).unwrap_or_default()
    }
}

/// The processes that have this value in the variable `MARK`, and are no zombies.
pub(crate) fn marked(mark: &str) -> BTreeSet<u32> {
    let wanted = format!("MARK={mark}").into_bytes();
    let is_marked = |pid: &u32| {
        let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        env.split(|byte| *byte == 0).any(|one| one == wanted)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_marked).collect()
}

/// Waits until so many processes have this mark. One that becomes another program shows no variables
/// in that moment, so the number is not asked for twice.
pub(crate) async fn marked_are(mark: &str, count: usize) {
    until(&format!("{count} of {mark}"), || {
        marked(mark).len() == count
    })
    .await;
}

/// Waits for something that no event tells of.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    begun.elapsed()
}

/// What may be added to the times that are promised. With `FLOWGATE_STRICT=1`, on a machine that
/// does nothing else, nothing; on any other these limits only tell what hangs.
pub(crate) fn leeway() -> Duration {
    match std::env::var_os("FLOWGATE_STRICT") {
        Some(_) => Duration::ZERO,
        None => Duration::from_secs(20),
    }
}

#[track_caller]
pub(crate) fn assert_within(took: Duration, limit: Duration) {
    assert!(took <= limit + leeway(), "{took:?} instead of {limit:?}");
}

/// The same service, with a mark by which its processes are found.
pub(crate) fn mark(mut spec: ServiceSpec) -> (ServiceSpec, String) {
    let mark = format!("{}-{}-{:?}", spec.name, std::process::id(), Instant::now());
    spec.command.env.insert("MARK".to_owned(), mark.clone());
    (spec, mark)
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The whole answer to a request, or why there is none.
pub(crate) fn get(port: u16, path: &str) -> Result<String, String> {
    exchange(port, "GET", path, "")
}

/// The same, with another method, and a body.
pub(crate) fn exchange(port: u16, method: &str, path: &str, body: &str) -> Result<String, String> {
    use std::io::{Read, Write};
    let ask = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        // In one piece, which the server reads in one piece.
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => Ok(answer),
        Ok(answer) => Err(format!("the answer is {answer:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// The processes of services that work in this directory, as long as each is there.
pub(crate) fn alive_in(dir: &Path) -> BTreeSet<u32> {
    let dir = dir.canonicalize().unwrap();
    let works_there = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&dir))
    };
    let is_service = |pid: &u32| {
        let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        env.split(|byte| *byte == 0)
            .any(|one| one.starts_with(b"FLOWGATE_INSTANCE="))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(works_there).filter(is_service).collect()
}

pub(crate) fn exists(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

pub(crate) fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}
