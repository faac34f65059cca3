//! A new process takes over from the old one, and nobody who asks notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowgate_core::supervise::{Overlap, Probe, PublicState, Selection, ServiceSpec, What};

use crate::program::fault;
use crate::rig::{Rig, free_port, get};

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

fn with_generation(mut spec: ServiceSpec) -> ServiceSpec {
    spec.command
        .env
        .insert("GENERATION".to_owned(), "{gen}".to_owned());
    spec
}

/// Asks all the time, quick and slow, until it is told to stop: how many answers came, and how many
/// did not.
struct Load {
    stop: Arc<AtomicBool>,
    failed: Arc<Mutex<Vec<String>>>,
    threads: Vec<std::thread::JoinHandle<usize>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let failed = Arc::new(Mutex::new(Vec::new()));
        let paths = ["/", "/", "/slow"];
        let threads = paths.map(|path| {
            let (stop, failed) = (Arc::clone(&stop), Arc::clone(&failed));
            std::thread::spawn(move || {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    if let Err(why) = get(port, path) {
                        failed
                            .lock()
                            .unwrap()
                            .push(format!("{:?} {path}: {why}", std::time::Instant::now()));
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                count
            })
        });
        Self {
            stop,
            failed,
            threads: threads.into(),
        }
    }

    /// Answers and failures.
    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let asked: usize = self.threads.into_iter().map(|t| t.join().unwrap()).sum();
        let failed = self.failed.lock().unwrap().clone();
        (asked, failed)
    }
}

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
    let load = Load::start(port);
    for _ in 0..3 {
        rig.events = rig.handle.events();
        rig.handle.restart(Selection::All);
        rig.hears(|what| matches!(what, What::HandedOver { .. }))
            .await;
        rig.settled().await;
    }
    let (asked, failed) = tokio::task::spawn_blocking(|| load.end()).await.unwrap();
    assert!(
        failed.is_empty(),
        "{} of {asked}: {failed:#?}",
        failed.len()
    );
    assert!(asked > 100, "{asked}");
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
