//! `accounts list` of accounts that several processes share.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{ask, parsed};

/// A port that was free a moment ago.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn list(port: u16, format: &str) -> std::process::Output {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("flowgate.yaml");
    let text = format!(
        "config_version: 2\naccounts:\n  pool: [{{id: a, provider: openai}}]\n  shared: {{url: 'redis://127.0.0.1:{port}', name: team, mode: strict}}\n"
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    ask(&["list", "--format", format, "--config", config], "")
}

/// A real server, gone when the test is. `None`, and a message: this machine has none.
fn server(port: u16, directory: &tempfile::TempDir) -> Option<Server> {
    let start = |program: &&str| {
        Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", ""])
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .ok()
    };
    let Some(child) = ["valkey-server", "redis-server"].iter().find_map(start) else {
        eprintln!("skipped: neither valkey-server nor redis-server is on the PATH");
        return None;
    };
    let server = Server(child);
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "the server does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(server)
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_that_is_away_is_said_and_holds_nobody_up() {
    let port = port();
    let text = list(port, "text");
    assert_eq!(text.status.code(), Some(0));
    let shown = String::from_utf8(text.stdout).unwrap();
    assert!(
        shown.contains("shared as `team` (strict)") && shown.contains("the server does not answer"),
        "{shown}"
    );
    let status = &parsed(&list(port, "json"))["shared"];
    assert_eq!(status["state"], "degraded");
    assert!(status["error"].is_string(), "{status}");
}

#[test]
fn a_server_that_answers_is_said_with_its_time() {
    let (port, directory) = (port(), tempfile::tempdir().unwrap());
    let Some(_server) = server(port, &directory) else {
        return;
    };
    let shown = String::from_utf8(list(port, "text").stdout).unwrap();
    assert!(shown.contains("the server answers in "), "{shown}");
    let status = &parsed(&list(port, "json"))["shared"];
    assert_eq!(
        (&status["pool"], &status["mode"], &status["state"]),
        (&"team".into(), &"strict".into(), &"shared".into())
    );
    assert!(status["round_trip_us"].is_u64(), "{status}");
    assert_eq!(status["error"], Value::Null);
}
