//! The main job, with the command itself: `flowgate up` in an empty directory, and what follows in a
//! second shell.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::rig::{PATIENCE, alive_in, free_port};
use crate::switch::{Load, Request};

/// The command, in a directory.
pub(crate) fn flowgate(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowgate"));
    command
        .args(args)
        .current_dir(dir)
        .env_remove("FLOWGATE_CONFIG")
        .stdin(Stdio::null());
    command
}

pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    flowgate(dir, args).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `flowgate up`, and the lines it prints.
pub(crate) struct Up {
    dir: PathBuf,
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Up {
    pub(crate) fn new(dir: &Path, args: &[&str]) -> Self {
        Self::of(dir, flowgate(dir, args))
    }

    pub(crate) fn of(dir: &Path, mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        let notes = BufReader::new(child.stderr.take().unwrap());
        let also = send.clone();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| send.send(line))
        });
        std::thread::spawn(move || {
            notes
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| also.send(line))
        });
        Self {
            dir: dir.to_owned(),
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line with this in it.
    pub(crate) fn says(&mut self, what: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {what:?} in {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
    }

    pub(crate) fn interrupt(&self) {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits for its end, and returns its exit code.
    pub(crate) fn code(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It has ended, unless the test has failed: then its services end with it.
        if let Ok(None) = self.child.try_wait() {
            run(&self.dir, &["down"]);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whatever still runs in a directory ends with the test, however that ends.
pub(crate) struct Down<'d>(pub(crate) &'d Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        run(self.0, &["down", "--force"]);
    }
}

/// The quickstart on ports of its own: others may try it on this machine at the same time.
fn project() -> (tempfile::TempDir, u16) {
    let dir = tempfile::tempdir().unwrap();
    let out = run(dir.path(), &["init", "--quickstart"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let file = dir.path().join("flowgate.yaml");
    let mut config = std::fs::read_to_string(&file).unwrap();
    let gateway = free_port();
    let ports = [
        ("4000", "GATEWAY", gateway),
        ("4001", "PREMIUM", free_port()),
        ("4002", "ECONOMY", free_port()),
    ];
    for (usual, mark, _) in ports {
        config = config.replace(usual, mark);
    }
    for (_, mark, port) in ports {
        config = config.replace(mark, &port.to_string());
    }
    std::fs::write(&file, config).unwrap();
    (dir, gateway)
}

const CHAT: Request = Request {
    method: "POST",
    path: "/v1/chat/completions",
    body: r#"{"model":"default","messages":[]}"#,
};

fn served_by(port: u16) -> String {
    let answer = CHAT.send(port).unwrap();
    let by = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-served-by: "));
    by.unwrap().to_owned()
}

#[test]
fn a_profile_is_switched_from_a_second_shell_and_no_request_fails() {
    let (dir, port) = project();
    let mut up = Up::new(dir.path(), &["up"]);
    up.says("everything is up (3)");
    up.says("flowgate profile set cost");
    assert_eq!(served_by(port), "premium");
    let load = Load::start(port, [CHAT; 3]);
    for (profile, by) in [("cost", "economy"), ("balanced", "premium")] {
        let out = run(dir.path(), &["profile", "set", profile]);
        assert!(
            out.status.success(),
            "{}{}",
            text(&out.stdout),
            text(&out.stderr)
        );
        assert_eq!(served_by(port), by);
    }
    let (asked, failed) = load.end();
    assert!(failed.is_empty(), "{} of {asked}: {failed:?}", failed.len());
    assert!(asked > 100, "{asked}");

    // A second one shows the first, and leaves it alone.
    let mut second = Up::new(dir.path(), &["up"]);
    second.says(&format!("by process {}", up.child.id()));
    second.says("everything is up (3)");
    second.interrupt();
    second.says("the services go on");
    assert_eq!(second.code(), 130);
    let out = run(dir.path(), &["up", "--no-attach"]);
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stderr).contains(&format!("process {}", up.child.id())));

    // What was stopped, `up NAME` brings up in the supervisor that runs.
    let out = run(dir.path(), &["service", "stop", "economy"]);
    assert!(out.status.success());
    let mut third = Up::new(dir.path(), &["up", "economy", "--format", "json"]);
    third.says("\"service.ready\"");
    third.interrupt();
    assert_eq!(third.code(), 130);

    up.interrupt();
    up.says("stopping; once more to force");
    up.says("everything is down");
    assert_eq!(up.code(), 130);
    assert!(alive_in(dir.path()).is_empty());
}

#[test]
fn where_there_is_no_configuration_there_is_one_to_try() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::new(dir.path(), &["up"]);
    let pid = up.child.id();
    up.says("no profile was active: now `balanced` is");
    // Another may have the ports, and is waited for.
    up.says("everything is up (3)");
    let hint = "flowgate init --quickstart";
    if !up.seen.iter().any(|line| line.contains(hint)) {
        up.says(hint);
    }
    let out = run(dir.path(), &["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(status["services"].as_array().unwrap().len(), 3);
    assert!(served_by(4000).contains("premium"));
    let out = run(dir.path(), &["down"]);
    assert_eq!(text(&out.stdout), "everything is down\n");
    assert_eq!(up.code(), 0);
    assert!(!crate::rig::exists(pid) && alive_in(dir.path()).is_empty());
    // Whatever is left is known, and one's own file comes first.
    assert!(dir.path().join(".router/runtime/quickstart.yaml").exists());
    run(dir.path(), &["init"]);
    let out = run(dir.path(), &["config", "check"]);
    assert!(text(&out.stdout).starts_with("flowgate.yaml is right"));
}

#[test]
fn two_that_come_up_at_once_are_one() {
    let (dir, _) = project();
    let mut both = [0, 1].map(|_| Up::new(dir.path(), &["up"]));
    for up in &mut both {
        up.says("everything is up (3)");
    }
    let out = run(dir.path(), &["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let pids: Vec<u32> = both.iter().map(|up| up.child.id()).collect();
    assert!(pids.contains(&u32::try_from(status["pid"].as_u64().unwrap()).unwrap()));
    assert!(run(dir.path(), &["down"]).status.success());
    for mut up in both {
        up.says("everything is down");
        assert_eq!(up.code(), 0);
    }
    assert!(alive_in(dir.path()).is_empty());
}

#[test]
fn who_reads_no_more_ends_nothing() {
    let (dir, port) = project();
    let mut up = flowgate(dir.path(), &["up"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(up.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let begun = std::time::Instant::now();
    while CHAT.send(port).is_err() {
        assert!(begun.elapsed() < PATIENCE && up.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Nor does it need to be asked nicely.
    rustix::process::kill_process(Pid::from_child(&up), Signal::TERM).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(0));
    assert!(alive_in(dir.path()).is_empty());
}

#[test]
fn the_example_with_litellm_is_right_and_runs_where_litellm_is_installed() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/litellm/flowgate.yaml");
    let dir = tempfile::tempdir().unwrap();
    let program = serde_json::to_string(env!("CARGO_BIN_EXE_flowgate")).unwrap();
    let config = std::fs::read_to_string(example).unwrap();
    let config = config.replace("[flowgate, dev", &format!("[{program}, dev"));
    let port = free_port();
    let config = config.replace("4000", &port.to_string());
    std::fs::write(dir.path().join("flowgate.yaml"), config).unwrap();
    let out = run(dir.path(), &["config", "check"]);
    let said = text(&out.stdout) + &text(&out.stderr);
    assert!(
        said.starts_with("flowgate.yaml is right: 3 services, 2 profiles"),
        "{said}"
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|dir| dir.join("litellm").exists()) {
        return;
    }
    let _down = Down(dir.path());
    let out = run(dir.path(), &["up", "--detach"]);
    assert!(out.status.success(), "{}", text(&out.stdout));
    let answer = CHAT.send(port).unwrap();
    assert!(answer.contains("answer 1 of premium"), "{answer}");
    assert!(run(dir.path(), &["down"]).status.success());
    assert!(alive_in(dir.path()).is_empty());
}
