//! `flowgate auth` against a provider on this machine, through pipes.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

/// A provider that waits for leave before each answer but the first, if `wait` is given.
fn provider(answers: Vec<(&'static str, &'static str)>, wait: Option<Receiver<()>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (number, (status, body)) in answers
            .iter()
            .chain(answers.last().into_iter().cycle())
            .enumerate()
        {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let mut byte = [0];
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            if number > 0
                && let Some(wait) = &wait
            {
                let _ = wait.recv();
            }
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    base
}

fn project(base: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "auth: {{ providers: {{ acme: {{ auth_url_endpoint: '{base}/auth_url', status_endpoint: '{base}/status' }} }} }}\n"
    );
    fs::write(dir.path().join("flowgate.yaml"), config).unwrap();
    dir
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowgate"));
    command
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env_remove("FLOWGATE_CONFIG");
    // A proxy that nobody can reach: this machine is asked without it.
    command
        .env("http_proxy", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1");
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const PAGE: (&str, &str) = (
    "200 OK",
    r#"{"auth_url": "https://acme.example/login", "token": "t1"}"#,
);

#[test]
fn r28_the_address_comes_through_a_pipe_before_anyone_signs_in() {
    let (leave, wait) = channel();
    let done = (
        "200 OK",
        r#"{"status": "success", "credentials": {"access_token": "tok-secret", "email": "me@ex.com"}}"#,
    );
    let dir = project(&provider(vec![PAGE, done], Some(wait)));
    let mut child = command(
        dir.path(),
        &["auth", "login", "acme", "--poll-interval", "0.1"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    // The provider answers nothing more before this line has come.
    assert!(
        out.by_ref()
            .any(|line| line.unwrap().contains("https://acme.example/login"))
    );
    leave.send(()).unwrap();
    let rest: Vec<String> = out.map(Result::unwrap).collect();
    assert!(
        child.wait().unwrap().success()
            && rest.iter().any(|line| line.contains("signed in at acme")),
        "{rest:?}"
    );
    assert!(!rest.concat().contains("tok-secret"));

    let saved = dir.path().join(".router/auth/acme.json");
    assert!(fs::read_to_string(&saved).unwrap().contains("tok-secret"));
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&saved).unwrap().permissions())
            & 0o777,
        0o600
    );
    let status = run(dir.path(), &["auth", "status"]);
    let shown = text(&status.stdout);
    assert!(
        status.status.success() && shown.contains("me@ex.com") && !shown.contains("tok-secret"),
        "{shown}"
    );
    assert_eq!(
        run(dir.path(), &["auth", "logout", "acme"]).status.code(),
        Some(0)
    );
    assert_eq!(
        run(dir.path(), &["auth", "logout", "acme"]).status.code(),
        Some(1)
    );
    assert!(!saved.exists());
    let log = fs::read_to_string(dir.path().join(".router/runtime/events.log")).unwrap();
    assert!(
        log.contains("auth.signed_in")
            && log.contains("auth.removed")
            && !log.contains("tok-secret"),
        "{log}"
    );
}

#[test]
fn the_exit_code_says_how_it_ended() {
    for (answers, code, said) in [
        (
            vec![
                PAGE,
                ("200 OK", r#"{"status": "denied", "error": "user said no"}"#),
            ],
            1,
            "user said no",
        ),
        (
            vec![PAGE, ("200 OK", r#"{"status": "pending"}"#)],
            1,
            "`pending`",
        ),
        (
            vec![("401 No", r#"{"error": "who are you"}"#)],
            3,
            "who are you",
        ),
        (vec![("200 OK", "<html>")], 3, "HTML, not JSON"),
        (vec![("200 OK", "{}")], 3, "`auth_url`"),
    ] {
        let dir = project(&provider(answers, None));
        let login = run(
            dir.path(),
            &[
                "auth",
                "login",
                "acme",
                "--timeout",
                "0.3",
                "--poll-interval",
                "0.1",
            ],
        );
        assert_eq!(login.status.code(), Some(code), "{login:?}");
        assert!(text(&login.stderr).contains(said), "{login:?}");
        assert!(
            !dir.path().join(".router/auth").exists(),
            "nothing is stored"
        );
        let log = fs::read_to_string(dir.path().join(".router/runtime/events.log")).unwrap();
        assert!(
            log.contains("auth.sign_in_failed") && log.contains("\"subject\":\"acme\""),
            "{log}"
        );
    }
    let nobody = project("http://127.0.0.1:1");
    let login = run(nobody.path(), &["auth", "login", "acme"]);
    assert!(
        login.status.code() == Some(3) && text(&login.stderr).contains("connection refused"),
        "{login:?}"
    );
    for args in [
        &["auth", "login", "nosuch"][..],
        &["auth", "login", "acme", "--timeout", "-1"],
        &["auth", "login", "acme", "--poll-interval=-1"],
        &["auth", "login", "acme", "--timeout", "abc"],
        &["auth", "login", "codex"],
        &["auth", "import-headless", "acme"],
        &["auth", "import-headless", "codex"],
    ] {
        assert_eq!(run(nobody.path(), args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn json_comes_line_by_line() {
    let dir = project(&provider(
        vec![PAGE, ("200 OK", r#"{"status": "ok"}"#)],
        None,
    ));
    let login = run(
        dir.path(),
        &[
            "auth",
            "login",
            "acme",
            "--format",
            "json",
            "--poll-interval",
            "0.1",
        ],
    );
    let lines: Vec<Value> = text(&login.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["event"], &lines[0]["url"]),
        (&"prompt".into(), &"https://acme.example/login".into())
    );
    assert_eq!(
        (&lines[1]["event"], &lines[1]["code"]),
        (&"result".into(), &"auth.success".into())
    );
    let list = run(dir.path(), &["auth", "list", "--format", "json"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .any(|provider| provider["name"] == "acme" && provider["sign_in"] == true)
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_it_cleanly() {
    let dir = project(&provider(
        vec![PAGE, ("200 OK", r#"{"status": "pending"}"#)],
        None,
    ));
    let mut child = command(dir.path(), &["auth", "login", "acme"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(out.by_ref().any(|line| line.unwrap().contains("Ctrl-C")));
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), said.contains("panicked")),
        (Some(130), false),
        "{said}"
    );
}

#[test]
fn r31_credentials_are_taken_over_and_json_says_so() {
    let dir = project("http://127.0.0.1:1");
    fs::create_dir(dir.path().join(".codex")).unwrap();
    fs::write(
        dir.path().join(".codex/auth.json"),
        r#"{"tokens": {"access_token": "tok-1", "refresh_token": "tok-2", "account_id": "acc"}}"#,
    )
    .unwrap();
    let import = run(
        dir.path(),
        &["auth", "import-headless", "codex", "--format", "json"],
    );
    let answer: Value = serde_json::from_slice(&import.stdout).unwrap();
    assert!(
        answer["saved"]
            .as_str()
            .unwrap()
            .ends_with(".router/auth/codex-headless-import.json")
    );
    assert!(!text(&import.stdout).contains("tok-"));
    let elsewhere = run(
        dir.path(),
        &["auth", "import-headless", "codex", "--dest-dir", "d2"],
    );
    assert!(
        elsewhere.status.success() && dir.path().join("d2/codex-headless-import.json").exists()
    );
}
