//! Restarts that no client notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flowgate_core::supervise::{Overlap, Probe, PublicState, Selection, ServiceSpec, What};
use tokio::task::JoinSet;

use crate::program::{ask, service};
use crate::rig::free_port;
use crate::{ms, stop_all, up};

/// A service that takes as long to start as a small real one.
fn server(overlap: Overlap, port: u16) -> ServiceSpec {
    let kind = match overlap {
        Overlap::Socket => "serve_handed delay=200",
        Overlap::Forward | Overlap::Never => "serve delay=200",
    };
    let mut spec = service("web", kind).with_port(port);
    spec.overlap = overlap;
    if overlap == Overlap::Socket {
        // On a socket that both have, the old one may answer.
        spec.readiness.probe = Probe::Log("^ready".to_owned());
    }
    spec
}

/// Clients that come anew for every request, at a steady pace.
struct Load {
    done: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(port: u16, a_second: u32) -> Self {
        let (done, lost, answered) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let mut clients = JoinSet::new();
        let (stop, bad, good) = (Arc::clone(&done), Arc::clone(&lost), Arc::clone(&answered));
        clients.spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs(1) / a_second);
            let mut requests = JoinSet::new();
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                pace.tick().await;
                // Some are at work all the time.
                let path = if number.is_multiple_of(20) {
                    "/slow"
                } else {
                    "/"
                };
                number += 1;
                let (bad, good) = (Arc::clone(&bad), Arc::clone(&good));
                requests.spawn(async move {
                    let counter = match ask(port, path).await {
                        Ok(_) => good,
                        Err(error) => {
                            println!("lost: {error}");
                            bad
                        }
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                });
                while requests.try_join_next().is_some() {}
            }
            requests.join_all().await;
        });
        Self {
            done,
            lost,
            answered,
            clients,
        }
    }

    /// How many were answered, and how many lost.
    async fn end(self) -> (u64, u64) {
        self.done.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        (
            self.answered.load(Ordering::Relaxed),
            self.lost.load(Ordering::Relaxed),
        )
    }
}

/// Restarts under load, and returns how many requests were answered, and how many lost.
async fn restart(overlap: Overlap, times: u64) -> (u64, u64) {
    let port = free_port();
    let mut rig = up([server(overlap, port)]).await;
    assert_eq!(rig.status("web").await.service.public, PublicState::Running);
    let load = Load::start(port, 200);
    for number in 0..times {
        rig.handle.restart(Selection::All);
        rig.hears(|what| matches!(what, What::HandedOver { .. }))
            .await;
        let begun = Instant::now();
        while ask(port, "/").await.unwrap() != (number + 2).to_string() {
            assert!(
                begun.elapsed() < crate::rig::PATIENCE,
                "the old one answers on"
            );
            tokio::time::sleep(ms(5)).await;
        }
        rig.settled().await;
    }
    let counts = load.end().await;
    let (_, left) = stop_all(rig).await;
    assert!(left.is_empty(), "{left:?}");
    counts
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn of_ten_thousand_requests_none_is_lost_over_restarts() {
    for overlap in [Overlap::Socket, Overlap::Forward] {
        let (mut answered, mut lost) = (0, 0);
        while answered < 10_000 {
            let counts = restart(overlap, 4).await;
            answered += counts.0;
            lost += counts.1;
        }
        println!("{overlap:?}: {lost} lost of {}", answered + lost);
        assert_eq!(lost, 0);
    }
}
