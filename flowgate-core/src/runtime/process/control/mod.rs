//! How a supervisor is spoken to: a socket in its directory, that only its user may open.
//!
//! Both sides send lines of JSON. A client asks and gets one answer, `{"ok": …}` or
//! `{"error": {"code", "message"}}`; it may ask again on the same connection. An answer may open a
//! stream: then `{"event": …}` lines follow until one side closes. A client that reads too slowly
//! loses events and is told how many, with `{"lagged": n}`; it never holds up the supervisor.

mod client;
mod server;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

pub(super) use self::client::{Client, Followed};
pub(super) use self::server::{Call, Control};

/// The longest line either side takes.
const MAX_LINE: u64 = 16 << 20;

/// Why the supervisor could not be asked, or what it answered instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is none.
    #[error("no supervisor runs in `{}`; start one with `flowgate up`", dir.display())]
    NotRunning {
        /// The directory.
        dir: PathBuf,
    },
    /// It did not answer in time.
    #[error("the supervisor did not answer within {}; look at its log", humantime::format_duration(*after))]
    Timeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection failed, or ended before the answer.
    #[error("the connection to the supervisor is lost: {reason}; ask again")]
    Lost {
        /// Why.
        reason: String,
    },
    /// What came is not an answer.
    #[error(
        "the supervisor speaks another language ({reason}); use the `flowgate` it was started with"
    )]
    Garbled {
        /// What is wrong with it.
        reason: String,
    },
    /// It says no.
    #[error(transparent)]
    Refused(Refusal),
    /// It was started by another process, of which this one is a copy.
    #[error(
        "the supervisor lives in process {pid}, of which this is a forked copy; connect to it from here, or start processes with `spawn`"
    )]
    Forked {
        /// That process.
        pid: u32,
    },
}

impl ControlError {
    /// The stable name of this kind of error.
    pub fn code(&self) -> &str {
        match self {
            Self::NotRunning { .. } => "control.not_running",
            Self::Timeout { .. } => "control.timeout",
            Self::Lost { .. } => "control.lost",
            Self::Garbled { .. } => "control.garbled",
            Self::Refused(refusal) => &refusal.code,
            Self::Forked { .. } => "control.forked",
        }
    }

    fn lost(error: &io::Error) -> Self {
        Self::Lost {
            reason: crate::runtime::plain(error),
        }
    }

    fn garbled(reason: impl Into<String>) -> Self {
        Self::Garbled {
            reason: reason.into(),
        }
    }
}

/// An answer that is no.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The stable name of the reason.
    pub code: String,
    /// The reason, for people.
    pub message: String,
}

impl Refusal {
    /// An answer that is no, for this reason.
    pub(super) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }
}

/// What the supervisor sends.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<A, E> {
    Ok(A),
    Error(Refusal),
    Event(E),
    Lagged(u64),
}

/// Only this user and root: the mode of the socket says so too, but not every system heeds it.
fn is_allowed(stream: &UnixStream) -> bool {
    let user = geteuid().as_raw();
    let peer = stream.peer_cred();
    peer.is_ok_and(|peer| peer.uid() == user || peer.uid() == 0)
}

/// A path for what is in a directory that is open: the address of a socket has room for 107 bytes,
/// and directories have longer names.
fn short(dir: &File, name: &str) -> PathBuf {
    format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()).into()
}

/// The next line, or `None` at the end.
async fn read_line(read: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    read.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() as u64 == MAX_LINE - 1 => Err(io::ErrorKind::FileTooLarge.into()),
        // In the middle of a line or not.
        _ => Ok(None),
    }
}

fn line(message: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(message)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use tokio::sync::mpsc;

    use super::*;

    #[derive(Debug, Deserialize, Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Request {
        Double(u64),
        Refuse,
        Ignore,
        Follow,
    }

    const SOON: Duration = Duration::from_secs(5);

    type Calls = mpsc::Receiver<Call<Request, u64>>;

    /// In a directory whose name is too long for the address of a socket.
    fn listen() -> (tempfile::TempDir, PathBuf, Control, Calls) {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("d".repeat(120));
        fs::create_dir(&dir).unwrap();
        let path = dir.join("flowgate.sock");
        let (sender, calls) = mpsc::channel(4);
        let control = Control::listen(&path, sender).unwrap();
        (temp, path, control, calls)
    }

    fn answer(call: Call<Request, u64>, control: &Control) {
        match call.request {
            Request::Double(number) => call.answer(Ok(2 * number)),
            Request::Refuse => call.answer(Err(Refusal::new("test.no", "not today"))),
            Request::Ignore => drop(call),
            Request::Follow => call.answer_and_follow(0, control),
        }
    }

    #[tokio::test]
    async fn every_question_gets_its_answer() {
        let (_temp, path, control, mut calls) = listen();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let supervisor = async {
            while let Some(call) = calls.recv().await {
                answer(call, &control);
            }
        };
        let client = async {
            let mut client = Client::connect(&path).await.unwrap();
            for number in 1..100 {
                let answer: u64 = client.call(&Request::Double(number), SOON).await.unwrap();
                assert_eq!(answer, 2 * number);
            }
            let refused = client.call::<u64>(&Request::Refuse, SOON).await;
            assert_eq!(refused.unwrap_err().to_string(), "not today");
            let ignored = client.call::<u64>(&Request::Ignore, SOON).await;
            assert_eq!(ignored.unwrap_err().code(), "control.ending");
            let unknown = client.call::<u64>(&"make_tea", SOON).await.unwrap_err();
            assert_eq!(unknown.code(), "control.bad_request");
            assert!(unknown.to_string().contains("make_tea"), "{unknown}");
            let answer: u64 = client.call(&Request::Double(4), SOON).await.unwrap();
            assert_eq!(answer, 8);
        };
        tokio::select! {
            () = supervisor => panic!("the supervisor ended"),
            () = client => {}
        }
    }

    #[tokio::test]
    async fn who_follows_gets_everything_from_then_on_and_a_slow_one_is_told_what_it_missed() {
        let (_temp, path, control, mut calls) = listen();
        control.publish(&"before");
        let mut slow = Client::connect(&path).await.unwrap();
        let called = slow.call::<u64>(&Request::Follow, SOON);
        let (answered, ()) = tokio::join!(called, async {
            answer(calls.recv().await.unwrap(), &control);
            control.publish(&"first");
        });
        answered.unwrap();
        let first = slow.next::<String>().await.unwrap();
        assert_eq!(first, Some(Followed::Event("first".to_owned())));
        let count = 20_000;
        for number in 0..count {
            control.publish(&format!("{number:0>200}"));
            if number % 100 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let (mut events, mut lost) = (0, 0);
        let end = tokio::spawn(control.close());
        while let Some(followed) = slow.next::<String>().await.unwrap() {
            match followed {
                Followed::Event(text) => {
                    assert_eq!(text.parse::<u64>().unwrap(), events + lost);
                    events += 1;
                }
                Followed::Lagged(count) => lost += count,
            }
        }
        assert!(lost > 0 && events > 1_000, "{lost} {events}");
        assert_eq!(events + lost, count);
        end.await.unwrap();
    }

    #[tokio::test]
    async fn the_last_answer_gets_out_before_the_end() {
        let (_temp, path, control, mut calls) = listen();
        let mut idle = Client::connect(&path).await.unwrap();
        let mut client = Client::connect(&path).await.unwrap();
        let called = client.call::<u64>(&Request::Double(1), SOON);
        let (answered, ()) = tokio::join!(called, async {
            answer(calls.recv().await.unwrap(), &control);
            control.close().await;
        });
        assert_eq!(answered.unwrap(), 2);
        assert!(!path.exists());
        let error = idle.call::<u64>(&Request::Refuse, SOON).await.unwrap_err();
        assert_eq!(error.code(), "control.lost");
    }

    #[tokio::test]
    async fn a_supervisor_that_is_not_there_is_told_from_one_that_does_not_answer() {
        let (_temp, path, control, calls) = listen();
        let mut client = Client::connect(&path).await.unwrap();
        let short = Duration::from_millis(20);
        let error = client.call::<u64>(&Request::Double(1), short).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "the supervisor did not answer within 20ms; look at its log"
        );
        // As after a kill: the socket stays.
        drop((control, calls));
        tokio::task::yield_now().await;
        assert!(path.exists());
        let error = Client::connect(&path).await.unwrap_err();
        assert_eq!(error.code(), "control.not_running");
        let (sender, _calls) = mpsc::channel::<Call<Request, u64>>(4);
        let _again = Control::listen(&path, sender).unwrap();
        Client::connect(&path).await.unwrap();
    }
}
