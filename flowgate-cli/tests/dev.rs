//! `flowgate dev provider` with the built binary.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A provider that ends with this.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn new(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flowgate"))
            .args(["dev", "provider", "--format", "json"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["url"]
            .as_str()
            .unwrap()
            .trim_start_matches("http://")
            .to_owned();
        Self { child, address }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn chat(&self, key: &str) -> String {
        let body = r#"{"model":"m","messages":[]}"#;
        self.ask(&format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

#[test]
fn options_make_a_script() {
    let provider = Running::new(&[
        "--name",
        "left",
        "--requests-per-minute",
        "1",
        "--key",
        "good",
        "--revoked",
        "gone",
    ]);
    let answer = provider.chat("good");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("x-served-by: left"),
        "{answer}"
    );
    assert!(provider.chat("good").starts_with("HTTP/1.1 429"));
    assert!(provider.chat("gone").starts_with("HTTP/1.1 401"));
}

#[cfg(unix)]
#[test]
fn it_ends_well_when_it_is_told_to() {
    let mut provider = Running::new(&[]);
    let told = Command::new("kill")
        .args(["-TERM", &provider.child.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    assert_eq!(provider.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_it_cannot_do_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script.yaml");
    std::fs::write(&script, "limits: {requests: 3}\n").unwrap();
    for (args, code, says) in [
        (["--port", &port], 3, "cannot listen"),
        (
            ["--script", script.to_str().unwrap()],
            2,
            "unknown key `requests`",
        ),
        (["--latency", "5"], 2, "200ms"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_flowgate"))
            .args(["dev", "provider"])
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(says), "{text}");
    }
}
