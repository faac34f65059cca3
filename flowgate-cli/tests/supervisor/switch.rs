//! A new process takes over from the old one, and nobody who asks notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowgate_core::runtime::process::Heard;
use flowgate_core::supervise::{Overlap, Probe, PublicState, Selection, ServiceSpec, What};

use crate::program::fault;
use crate::rig::{PATIENCE, Rig, exchange, free_port, get};

fn http() -> Probe {
    Probe::Http {
        path: "/".to_owned(),
        port: None,
    }
}

fn by_socket(port: u16) -> ServiceSpec {
    let mut spec = fault("web", "serve_listener").with_port(port);
    spec.overlap = Overlap::Socket;
    spec.readiness.probe = http();
    with_generation(spec)
}

fn by_forwarder(port: u16) -> ServiceSpec {
    let mut spec = fault("web", "serve {port}").with_port(port);
    spec.overlap = Overlap::Forward;
    spec.readiness.probe = http();
    with_generation(spec)
}

/// Says which process answers. It has the time that it needs, to start as well as to answer what it
/// was asked before it ends: how long that is, only the machine knows.
fn with_generation(mut spec: ServiceSpec) -> ServiceSpec {
    spec.command
        .env
        .insert("GENERATION".to_owned(), "{gen}".to_owned());
    (spec.start_timeout, spec.stop.timeout) = (PATIENCE, PATIENCE);
    spec
}

/// What is asked of a service.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) body: &'static str,
}

impl Request {
    pub(crate) const fn get(path: &'static str) -> Self {
        Self {
            method: "GET",
            path,
            body: "",
        }
    }

    /// The whole answer, or why there is none.
    pub(crate) fn send(&self, port: u16) -> Result<String, String> {
        exchange(port, self.method, self.path, self.body)
    }
}

/// Asks all the time, with a connection for each request, until it is told to stop: how many answers
/// came, and how many did not.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(port: u16, requests: [Request; 3]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::<AtomicUsize>::default();
        let failed = Arc::new(Mutex::new(Vec::new()));
        let threads = requests.map(|request| {
            let (stop, failed) = (Arc::clone(&stop), Arc::clone(&failed));
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    asked.fetch_add(1, Ordering::Relaxed);
                    if let Err(why) = request.send(port) {
                        let why =
                            format!("{:?} {}: {why}", std::time::Instant::now(), request.path);
                        failed.lock().unwrap().push(why);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            })
        });
        Self {
            stop,
            asked,
            failed,
            threads: threads.into(),
        }
    }

    /// How many were asked, and what went wrong.
    pub(crate) fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let failed = self.failed.lock().unwrap().clone();
        (self.asked.load(Ordering::Relaxed), failed)
    }

    /// Waits until so many were asked.
    async fn has_asked(&self, many: usize) {
        let what = format!("{many} requests");
        crate::rig::until(&what, || self.asked.load(Ordering::Relaxed) >= many).await;
    }
}

/// Quick and slow ones.
const PATHS: [Request; 3] = [Request::get("/"), Request::get("/"), Request::get("/slow")];

/// As [`get`], beside the supervisor, which lives on this thread.
async fn ask(port: u16) -> Result<String, String> {
    tokio::task::spawn_blocking(move || get(port, "/"))
        .await
        .unwrap()
}

async fn switched_under_load(port: u16, spec: ServiceSpec) {
    let mut rig = Rig::up([spec]).await;
    let status = rig.status("web").await;
    assert_eq!(
        status.service.public,
        PublicState::Running,
        "{status:?} {}",
        rig.log("web")
    );
    assert!(ask(port).await.unwrap().contains("\r\n\r\n1 "));
    let load = Load::start(port, PATHS);
    for _ in 0..3 {
        rig.events = rig.handle.events();
        rig.handle.restart(Selection::All);
        rig.hears(|what| matches!(what, What::HandedOver { .. }))
            .await;
        rig.settled().await;
    }
    // Where there is little time for it, they come slowly.
    load.has_asked(100).await;
    let (asked, failed) = tokio::task::spawn_blocking(|| load.end()).await.unwrap();
    assert!(
        failed.is_empty(),
        "{} of {asked}: {failed:#?}",
        failed.len()
    );
    assert!(ask(port).await.unwrap().contains("\r\n\r\n4 "));
    rig.down().await;
    assert!(ask(port).await.is_err());
}

#[tokio::test]
async fn a_switch_on_one_socket_loses_no_request() {
    let port = free_port();
    switched_under_load(port, by_socket(port)).await;
}

#[tokio::test]
async fn a_switch_behind_the_forwarder_loses_no_request() {
    let port = free_port();
    switched_under_load(port, by_forwarder(port)).await;
}

/// One request on a connection of its own: the body of the answer, or what went wrong.
async fn ask_alone(port: u16) -> Result<String, String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = ask.await.map_err(|error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) if !body.is_empty() => Ok(body.to_owned()),
        _ => Err(format!("the answer is {answer:?}")),
    }
}

#[tokio::test]
async fn a_program_that_is_behind_and_ends_abruptly_loses_no_request_behind_the_forwarder() {
    let port = free_port();
    let mut spec = by_forwarder(port);
    let program = "serve_abruptly {port}".to_owned();
    spec.command.env.insert("FAULT".to_owned(), program);
    let rig = Rig::up([spec]).await;
    let mut clients = tokio::task::JoinSet::new();
    for switch in 1..=2 {
        let mut events = rig.handle.events();
        rig.handle.restart(Selection::All);
        // More than it can take, up to the moment of the switch and beyond it.
        let mut pace = tokio::time::interval(Duration::from_millis(2));
        let mut after = 100;
        let mut is_over = false;
        while after > 0 {
            tokio::select! {
                _ = pace.tick() => {
                    clients.spawn(ask_alone(port));
                    after -= i32::from(is_over);
                }
                heard = events.next() => is_over |= matches!(
                    heard.unwrap(),
                    Heard::Notice(notice) if matches!(notice.what, What::HandedOver { .. })
                ),
            }
        }
        rig.settled().await;
        assert_eq!(ask_alone(port).await.unwrap(), (switch + 1).to_string());
    }
    let answers = clients.join_all().await;
    let lost: Vec<_> = answers.iter().filter(|answer| answer.is_err()).collect();
    assert!(
        lost.is_empty(),
        "{} of {}: {lost:?}",
        lost.len(),
        answers.len()
    );
    rig.down().await;
}

#[tokio::test]
async fn a_new_process_that_does_not_become_ready_leaves_the_old_one_serving() {
    let port = free_port();
    let mut rig = Rig::up([by_forwarder(port)]).await;
    let old = rig.pid("web").await;
    let mut broken = by_forwarder(port);
    broken
        .command
        .env
        .insert("FAULT".to_owned(), "serve_late {port} 60000".to_owned());
    broken.start_timeout = Duration::from_millis(300);
    rig.events = rig.handle.events();
    rig.handle.apply(crate::rig::services([broken]));
    rig.hears(|what| matches!(what, What::RolledBack { .. }))
        .await;
    rig.settled().await;
    assert_eq!(rig.pid("web").await, old);
    assert!(ask(port).await.unwrap().contains("\r\n\r\n1 "));
    assert_eq!(rig.status("web").await.service.public, PublicState::Running);
    rig.down().await;
}

/// A configuration with a service that reads the active one, and two profiles.
fn config(port: u16, program: &str) -> String {
    format!(
        "config_version: 2
services:
  web:
    command:
      args: [{program:?}, 'program::does_what_it_is_told', --exact]
      env: {{FAULT: 'serve_if {{active_config}} {{port}}', GENERATION: '{{gen}}'}}
    port: {port}
    overlap: forward
    readiness: {{http: /}}
    start_timeout: 180s
    stop: {{timeout: 180s}}
  other: {{command: {{args: [sleep, '60']}}, readiness: {{alive: 10ms}}}}
litellm_base: {{litellm_settings: {{num_retries: 1}}}}
profiles: {{good: {{}}, cost: {{litellm_settings: {{num_retries: 2}}}}, bad: {{litellm_settings: {{broken: true}}}}}}
"
    )
}

#[tokio::test]
async fn a_profile_is_switched_under_load_and_a_bad_one_put_back() {
    use flowgate_core::runtime::{
        activate, active_profile, load, process::Change, resolve, services,
    };
    use flowgate_core::supervise::{Limits, Outcome};
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("flowgate.yaml");
    let (port, this) = (free_port(), std::env::current_exe().unwrap());
    std::fs::write(&file, config(port, this.to_str().unwrap())).unwrap();
    let config = resolve(&load(&file).unwrap()).unwrap();
    activate(&config, "good", 0).unwrap();
    let dir = temp.path().join(".router/runtime");
    let log = flowgate_core::runtime::EventLog::new(temp.path().join("events.log"));
    let supervisor = crate::rig::supervisor(services(&config).unwrap(), &dir).log(log);
    let running = supervisor.start().await.unwrap();
    let handle = running.handle();
    handle.start(Selection::All);
    handle
        .settled_within(&Selection::All, crate::rig::PATIENCE)
        .await;
    let pid = |status: Vec<flowgate_core::runtime::process::Status>| {
        status
            .iter()
            .map(|s| s.service.process.unwrap().pid)
            .collect::<Vec<_>>()
    };
    let before = pid(handle.status().await);
    let load = Load::start(port, PATHS);
    let limits = Limits {
        soak: Duration::from_millis(100),
        ..Limits::default()
    };
    let active = || active_profile(&config).unwrap().unwrap().current_profile;

    let plan = handle
        .plan(&file, Change::Profile("cost".to_owned()))
        .await
        .unwrap();
    assert_eq!(plan.steps().len(), 1, "{plan:?}");
    let outcome = handle
        .change(&file, Change::Profile("cost".to_owned()), limits)
        .await
        .unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    assert_eq!(active(), "cost");
    let after = pid(handle.status().await);
    assert_eq!(
        before[0], after[0],
        "what nothing changes for is not touched"
    );
    assert_ne!(before[1], after[1]);

    let outcome = handle
        .change(&file, Change::Profile("bad".to_owned()), limits)
        .await
        .unwrap();
    assert!(
        matches!(outcome, Outcome::RolledBack { left: None, .. }),
        "{outcome:?}"
    );
    assert_eq!(active(), "cost");
    let text = std::fs::read_to_string(config.settings().paths.active_config()).unwrap();
    assert!(text.contains("num_retries: 2"), "{text}");
    assert!(ask(port).await.is_ok());

    let (asked, failed) = tokio::task::spawn_blocking(|| load.end()).await.unwrap();
    assert!(
        failed.is_empty(),
        "{} of {asked}: {failed:#?}",
        failed.len()
    );
    running.shutdown().await;
    let events = std::fs::read_to_string(temp.path().join("events.log")).unwrap();
    assert!(
        events.contains("\"service.handed_over\"") && events.contains("\"service.rolled_back\"")
    );
}
