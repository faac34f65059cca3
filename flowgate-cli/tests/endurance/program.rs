//! The program that services run where a shell script does not do: this very test, which does what
//! the variable `SERVICE` says.

use std::io;
use std::net::TcpListener as StdListener;
use std::time::Duration;

use flowgate_core::supervise::ServiceSpec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// The first descriptor that a program is handed. Source: sd_listen_fds(3).
const LISTEN_FDS_START: i32 = 3;

/// A service that runs this program.
pub(crate) fn service(name: &str, what: &str) -> ServiceSpec {
    let this = std::env::current_exe().unwrap();
    let this = this.to_str().unwrap();
    let mut spec = ServiceSpec::new(
        name,
        [this, "program::is_a_service", "--exact", "--nocapture"],
    );
    let what = format!("{what} generation={{gen}} port={{port}}");
    spec.command.env.insert("SERVICE".to_owned(), what);
    spec.stop.timeout = Duration::from_secs(5);
    spec.stop.orphan_grace = Duration::from_millis(200);
    spec.restart.initial = Duration::from_millis(10);
    spec
}

/// Asks a service for a path, on a connection of its own, and returns the body of the answer.
pub(crate) async fn ask(port: u16, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Ok(body.to_owned())
}

#[tokio::test]
async fn is_a_service() {
    let Ok(what) = std::env::var("SERVICE") else {
        return;
    };
    let mut words = what.split(' ');
    let kind = words.next().unwrap();
    let value = |name: &str| {
        words
            .clone()
            .find_map(|word| word.split_once('=').filter(|(n, _)| *n == name))
    };
    let number = |name: &str| value(name).and_then(|(_, value)| value.parse::<u64>().ok());
    tokio::time::sleep(Duration::from_millis(number("delay").unwrap_or(0))).await;
    let generation = number("generation").unwrap();
    match kind {
        "serve" => {
            let port = u16::try_from(number("port").unwrap()).unwrap();
            serve(
                TcpListener::bind(("127.0.0.1", port)).await.unwrap(),
                generation,
            )
            .await;
        }
        "serve_handed" => serve(handed(), generation).await,
        other => panic!("{other}"),
    }
}

/// The listening socket that this process was handed.
fn handed() -> TcpListener {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    assert_eq!(std::env::var("LISTEN_FDS").unwrap(), "1");
    assert_eq!(
        std::env::var("LISTEN_PID").unwrap(),
        std::process::id().to_string()
    );
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let socket = pidfd_getfd(own, LISTEN_FDS_START, PidfdGetfdFlags::empty()).unwrap();
    let listener = StdListener::from(socket);
    listener.set_nonblocking(true).unwrap();
    TcpListener::from_std(listener).unwrap()
}

/// Answers with its generation. `/slow` takes a second. Told to
/// end, it takes no new connection, and finishes those it has.
async fn serve(listener: TcpListener, generation: u64) {
    println!("ready");
    let mut end = signal(SignalKind::terminate()).unwrap();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = end.recv() => break,
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                connections.spawn(answer(stream, generation));
            }
        }
    }
    drop(listener);
    connections.join_all().await;
    // The test would say how it went.
    std::process::exit(0);
}

async fn answer(mut stream: TcpStream, generation: u64) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(1..) => {}
            // Somebody only looked whether it listens.
            _ => return,
        }
    }
    if request.starts_with(b"GET /slow") {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let body = generation.to_string();
    let length = body.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    // The client may have gone.
    let _ = stream.write_all(answer.as_bytes()).await;
}
