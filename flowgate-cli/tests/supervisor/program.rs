//! The program that the services of these tests run where a shell script does not do: this very
//! test, which does what the variable `FAULT` says.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::thread::sleep;
use std::time::Duration;

use flowgate_core::supervise::{Selection, ServiceSpec};

/// A service that runs this program.
pub(crate) fn fault(name: &str, what: &str) -> ServiceSpec {
    let this = std::env::current_exe().unwrap();
    let this = this.to_str().unwrap().to_owned();
    let args = [
        this.as_str(),
        "program::does_what_it_is_told",
        "--exact",
        "--nocapture",
    ];
    let mut spec = ServiceSpec::new(name, args);
    spec.command.env.insert("FAULT".to_owned(), what.to_owned());
    spec.stop.timeout = Duration::from_secs(2);
    spec.stop.orphan_grace = Duration::from_millis(200);
    spec.restart.initial = Duration::from_millis(10);
    spec
}

#[test]
fn does_what_it_is_told() {
    let Ok(what) = std::env::var("FAULT") else {
        return;
    };
    let words: Vec<&str> = what.split(' ').collect();
    match words.as_slice() {
        ["serve", port] => serve(port.parse().unwrap()),
        ["serve_late", port, millis] => {
            sleep(Duration::from_millis(millis.parse().unwrap()));
            serve(port.parse().unwrap());
        }
        ["serve_if", config, port] => {
            // What no service can work with.
            assert!(!std::fs::read_to_string(config).unwrap().contains("broken"));
            serve(port.parse().unwrap());
        }
        ["serve_abruptly", port] => serve_abruptly(port.parse().unwrap()),
        ["serve_listener"] => serve_listener(),
        ["notify", millis] => notify(millis.parse().unwrap()),
        ["supervise", dir] => supervise(dir),
        other => panic!("{other:?}"),
    }
}

fn serve(port: u16) {
    answer(TcpListener::bind(("127.0.0.1", port)).unwrap());
}

/// The same, on the socket that it was handed.
#[expect(unsafe_code, reason = "a program that takes a socket does this")]
fn serve_listener() {
    use std::os::fd::FromRawFd;
    assert_eq!(std::env::var("LISTEN_FDS").unwrap(), "1");
    let pid = std::env::var("LISTEN_PID").unwrap();
    assert_eq!(pid, std::process::id().to_string());
    // SAFETY: descriptor 3 was handed to this process, and nothing else here uses it.
    answer(unsafe { TcpListener::from_raw_fd(3) });
}

/// As a simple program does it: takes one connection after the other, and takes its time; answers in
/// parts; and is gone at once when it is told to end, with all that it has not done yet.
fn serve_abruptly(port: u16) {
    use std::io::{Read, Write};
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for client in listener.incoming() {
        let mut client = client.unwrap();
        std::thread::spawn(move || {
            // Who only looks whether somebody is there asks for nothing.
            let Ok(1..) = client.read(&mut [0; 1024]) else {
                return;
            };
            sleep(Duration::from_millis(50));
            let generation = std::env::var("GENERATION").unwrap();
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
            let head = format!("{head} {}\r\n\r\n", generation.len());
            for part in [head, generation] {
                // Who asked may be gone.
                let _ = client.write_all(part.as_bytes());
                sleep(Duration::from_millis(50));
            }
        });
        sleep(Duration::from_millis(4));
    }
}

/// Answers HTTP with its generation and its number. `GET /slow` takes a second. While the file
/// `HANG_FILE` is there, nothing is answered. When it is told to end, it takes no more connections,
/// and ends when it has answered those that it has.
fn answer(listener: TcpListener) {
    use tokio::signal::unix::{SignalKind, signal};
    listener.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let mut end = signal(SignalKind::terminate()).unwrap();
        let mut clients = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                _ = end.recv() => break,
                accepted = listener.accept() => drop(clients.spawn(answer_one(accepted.unwrap().0))),
            }
        }
        drop(listener);
        while clients.join_next().await.is_some() {}
    });
    std::process::exit(0);
}

async fn answer_one(mut client: tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut request = [0; 1024];
    let length = client.read(&mut request).await.unwrap_or(0);
    if std::env::var("HANG_FILE").is_ok_and(|file| std::fs::exists(file).unwrap()) {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    if let (b"POST /drain", Ok(file)) = (
        request.get(..11).unwrap_or_default(),
        std::env::var("DRAIN_FILE"),
    ) {
        std::fs::write(file, "POST").unwrap();
    }
    if request[..length].starts_with(b"GET /slow") {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let generation = std::env::var("GENERATION").unwrap_or_default();
    let body = format!("{generation} {}", std::process::id());
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
    let answer = format!("{head} {}\r\n\r\n{body}", body.len());
    // Who asked may be gone.
    let _ = client.write_all(answer.as_bytes()).await;
}

fn notify(millis: u64) {
    sleep(Duration::from_millis(millis));
    let socket = UnixDatagram::unbound().unwrap();
    let address = std::env::var("NOTIFY_SOCKET").unwrap();
    socket.send_to(b"READY=1", &address).unwrap();
    sleep(Duration::from_secs(60));
}

/// A supervisor of one service, to be killed.
fn supervise(dir: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let supervisor = crate::rig::supervisor(crate::rig::services([counting()]), dir.as_ref());
        let running = supervisor.start().await.unwrap();
        running.handle().start(Selection::All);
        running.finished().await;
    });
}

/// Writes a number a line, a hundred a second.
pub(crate) fn counting() -> ServiceSpec {
    let script = "echo ready; i=0; while :; do i=$((i+1)); echo line $i || echo $? >> failed; sleep 0.01; done";
    crate::rig::script("counting", script)
}
