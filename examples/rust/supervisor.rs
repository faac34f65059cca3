//! Keeps services up from a program of one's own, and tells what becomes of them:
//!
//! ```console
//! $ cargo run -p flowgate-examples --example supervisor
//! ```
//!
//! One service is killed from outside, and is back before anybody asks. Linux only.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    // First of all: this program is also what holds the processes of the services.
    flowgate_core::runtime::process::run_if_asked();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(linux::supervise())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("services are supervised on Linux alone");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use flowgate_core::runtime::process::{Events, Heard, RuntimeDir, Supervisor};
    use flowgate_core::supervise::{Probe, Selection, ServiceSpec, Services, What};

    /// A service that says when it is ready.
    fn service(name: &str) -> ServiceSpec {
        let script = "echo ready; exec sleep 1000";
        let mut spec = ServiceSpec::new(name, ["sh", "-c", script]);
        spec.readiness.probe = Probe::Log("^ready".to_owned());
        spec.restart.initial = Duration::from_millis(50);
        spec
    }

    pub(crate) async fn supervise() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let services = Services::new(vec![service("queue"), service("worker").needs("queue")])?;
        let supervisor = Supervisor::new(services, RuntimeDir::new(directory.path())?);
        let running = supervisor.start().await?;
        let handle = running.handle();
        let mut events = handle.events();
        handle.start(Selection::All);
        let pid = worker_is_ready(&mut events).await.ok_or("it ended")?;
        std::process::Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .status()?;
        worker_is_ready(&mut events).await.ok_or("it ended")?;
        for status in handle.status().await {
            let service = status.service;
            println!(
                "{}: {}, restarts {}",
                service.name,
                service.public.as_str(),
                service.restarts
            );
        }
        // Everything goes down in order: the worker first.
        running.shutdown().await;
        Ok(())
    }

    /// Tells what happens until the worker is ready; the number of its process.
    async fn worker_is_ready(events: &mut Events) -> Option<u32> {
        let mut process = None;
        loop {
            let Heard::Notice(notice) = events.next().await? else {
                continue;
            };
            println!("{}: {}", notice.service, notice.what.name());
            match notice.what {
                _ if notice.service.as_str() != "worker" => {}
                What::Spawned { pid } => process = Some(pid),
                What::Ready { .. } => return process,
                _ => {}
            }
        }
    }
}
