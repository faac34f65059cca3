//! A real server on a free port of this machine, gone when the test is.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The names of the program, in the order of preference.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

pub(crate) struct Server {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// Starts one. `None`, and a message: this machine has none.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// Starts one with more arguments.
    pub(crate) fn with(arguments: &[&str]) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!(
                "skipped: neither valkey-server nor redis-server is on the PATH; install one of them to run this test"
            );
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let child = launch(&program, port, &directory, &arguments);
        let server = Self {
            child,
            port,
            directory,
            program,
            arguments,
        };
        server.wait();
        Some(server)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it without notice, as a crash does.
    pub(crate) fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, with nothing that it knew.
    pub(crate) fn restart(&mut self) {
        self.child = launch(&self.program, self.port, &self.directory, &self.arguments);
        self.wait();
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "the server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A connection, to look and to do harm.
    pub(crate) fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url())
            .unwrap()
            .get_connection()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    PROGRAMS.iter().find_map(|name| {
        let places = directories.iter().map(|directory| directory.join(name));
        places.into_iter().find(|place| place.is_file())
    })
}

/// A port that nobody had a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn launch(
    program: &PathBuf,
    port: u16,
    directory: &tempfile::TempDir,
    arguments: &[String],
) -> Child {
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
        .arg("--dir")
        .arg(directory.path())
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
