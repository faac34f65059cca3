//! The side that is asked.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::{Line, Refusal, is_allowed, line, read_line, short};

/// How many events wait for a slow client.
const QUEUE: usize = 1024;

/// How long the last answers may take to get out.
const GOODBYE: Duration = Duration::from_secs(1);

/// Something a client asks for. Dropping it says no.
#[derive(Debug)]
pub(in super::super) struct Call<Q, A> {
    /// What.
    pub(in super::super) request: Q,
    reply: oneshot::Sender<Reply<A>>,
}

#[derive(Debug)]
enum Reply<A> {
    Answer(Result<A, Refusal>),
    Stream(A, broadcast::Receiver<Arc<str>>),
}

impl<Q, A> Call<Q, A> {
    /// Answers.
    pub(in super::super) fn answer(self, answer: Result<A, Refusal>) {
        // A client that is gone needs no answer.
        drop(self.reply.send(Reply::Answer(answer)));
    }

    /// Answers, and sends everything that is published from this moment on.
    pub(in super::super) fn answer_and_follow(self, answer: A, control: &Control) {
        let events = control.events.subscribe();
        drop(self.reply.send(Reply::Stream(answer, events)));
    }
}

/// The socket. Dropping it cuts every connection; [`Control::close`] lets the last answers out.
#[derive(Debug)]
pub(in super::super) struct Control {
    path: PathBuf,
    events: broadcast::Sender<Arc<str>>,
    closing: watch::Sender<bool>,
    accepts: JoinSet<()>,
}

impl Control {
    /// Listens at this path, in the place of whatever was there: who calls holds the lock of the
    /// directory. What clients ask goes to `calls`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(in super::super) fn listen<Q, A>(
        path: &Path,
        calls: mpsc::Sender<Call<Q, A>>,
    ) -> io::Result<Self>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
    {
        let listener = bind(path)?;
        let (closing, closed) = watch::channel(false);
        let mut accepts = JoinSet::new();
        accepts.spawn(accept(listener, calls, closed));
        Ok(Self {
            path: path.to_owned(),
            events: broadcast::channel(QUEUE).0,
            closing,
            accepts,
        })
    }

    /// Sends an event to everybody who follows.
    pub(in super::super) fn publish(&self, event: &impl Serialize) {
        if self.events.receiver_count() == 0 {
            return;
        }
        if let Ok(line) = line(&Line::<(), _>::Event(event)) {
            // Everybody may have left meanwhile.
            drop(self.events.send(line.into()));
        }
    }

    /// Takes no more calls, and ends when those that were answered know.
    pub(in super::super) async fn close(mut self) {
        // What is not there any more need not be removed.
        drop(fs::remove_file(&self.path));
        self.closing.send_replace(true);
        drop(self.events);
        let all = async { while self.accepts.join_next().await.is_some() {} };
        drop(tokio::time::timeout(GOODBYE, all).await);
    }
}

/// Listens under another name first: at `path` there is never a socket that nobody listens to.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = format!(".control.{}", std::process::id());
    let temporary = dir.join(&name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(short(&File::open(dir)?, &name))?;
    fs::set_permissions(&temporary, Permissions::from_mode(0o600))?;
    fs::rename(&temporary, path)?;
    Ok(listener)
}

async fn accept<Q, A>(
    listener: UnixListener,
    calls: mpsc::Sender<Call<Q, A>>,
    mut closing: watch::Receiver<bool>,
) where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = closed(&mut closing) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if is_allowed(&stream) => {
                    connections.spawn(serve(stream, calls.clone(), closing.clone()));
                }
                Ok(_) => {}
                // No descriptor is left, for one: others close theirs.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Ends when no more calls are to be taken.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error is that nobody can say so any more.
    drop(closing.wait_for(|closing| *closing).await);
}

/// Answers one client until it leaves. An error is that it left.
async fn serve<Q: DeserializeOwned, A: Serialize>(
    stream: UnixStream,
    calls: mpsc::Sender<Call<Q, A>>,
    mut closing: watch::Receiver<bool>,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let asked = tokio::select! {
            () = closed(&mut closing) => return Ok(()),
            asked = read_line(&mut read) => asked?,
        };
        let Some(asked) = asked else { return Ok(()) };
        let reply = match serde_json::from_slice(&asked) {
            Ok(request) => ask(request, &calls).await,
            Err(error) => Reply::Answer(Err(bad_request(&error))),
        };
        let (answer, events) = match reply {
            Reply::Answer(Ok(answer)) => (Line::<_, ()>::Ok(answer), None),
            Reply::Answer(Err(refusal)) => (Line::Error(refusal), None),
            Reply::Stream(answer, events) => (Line::Ok(answer), Some(events)),
        };
        write.write_all(line(&answer)?.as_bytes()).await?;
        if let Some(events) = events {
            return follow(events, read, write).await;
        }
    }
}

async fn ask<Q, A>(request: Q, calls: &mpsc::Sender<Call<Q, A>>) -> Reply<A> {
    let (reply, answer) = oneshot::channel();
    let call = Call { request, reply };
    let asked = calls.send(call).await.is_ok();
    match answer.await {
        Ok(reply) if asked => reply,
        _ => Reply::Answer(Err(Refusal::new(
            "control.ending",
            "the supervisor is about to end; start another with `flowgate up`",
        ))),
    }
}

fn bad_request(error: &serde_json::Error) -> Refusal {
    Refusal::new(
        "control.bad_request",
        format!(
            "this supervisor does not know the request ({error}); ask it with the `flowgate` it was started with"
        ),
    )
}

/// Sends events until the client leaves or there will be no more.
async fn follow(
    mut events: broadcast::Receiver<Arc<str>>,
    mut read: BufReader<OwnedReadHalf>,
    mut write: OwnedWriteHalf,
) -> io::Result<()> {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            // It has nothing more to say: this is its end.
            _ = read_line(&mut read) => return Ok(()),
        };
        match event {
            Ok(line) => write.write_all(line.as_bytes()).await?,
            Err(broadcast::error::RecvError::Lagged(count)) => {
                let line = line(&Line::<(), ()>::Lagged(count))?;
                write.write_all(line.as_bytes()).await?;
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}
