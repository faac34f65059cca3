//! The side that asks.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::{ControlError, Line, is_allowed, line, read_line, short};

/// A connection to a supervisor.
#[derive(Debug)]
pub(in super::super) struct Client {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

/// What comes on a stream.
#[derive(Debug, Eq, PartialEq)]
pub(in super::super) enum Followed<E> {
    /// Something happened.
    Event(E),
    /// This many events are lost, since they were not read in time.
    Lagged(u64),
}

impl Client {
    /// Connects to the supervisor that listens at this path.
    ///
    /// # Errors
    ///
    /// [`ControlError::NotRunning`] if nobody listens, also if a socket was left behind;
    /// [`ControlError::Lost`] if the system or the supervisor does not let us.
    pub(in super::super) async fn connect(path: &Path) -> Result<Self, ControlError> {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(dir), Some(name)) = (path.parent(), name) else {
            return Err(ControlError::lost(&io::ErrorKind::InvalidInput.into()));
        };
        let connected = match File::open(dir) {
            Ok(dir) => UnixStream::connect(short(&dir, name)).await,
            Err(error) => Err(error),
        };
        let stream = connected.map_err(|error| match error.kind() {
            ConnectionRefused | NotFound => ControlError::NotRunning {
                dir: dir.to_owned(),
            },
            _ => ControlError::lost(&error),
        })?;
        if !is_allowed(&stream) {
            return Err(ControlError::Lost {
                reason: "it belongs to another user".to_owned(),
            });
        }
        let (read, write) = stream.into_split();
        Ok(Self {
            read: BufReader::new(read),
            write,
        })
    }

    /// Asks, and waits for the answer at most this long. After a timeout the connection is of no
    /// more use: the answer may still come.
    ///
    /// # Errors
    ///
    /// [`ControlError::Refused`] if the answer is no, and every other kind if there is none.
    pub(in super::super) async fn call<A: DeserializeOwned>(
        &mut self,
        request: &impl Serialize,
        timeout: Duration,
    ) -> Result<A, ControlError> {
        let answer = tokio::time::timeout(timeout, self.ask(request)).await;
        answer.unwrap_or(Err(ControlError::Timeout { after: timeout }))
    }

    async fn ask<A: DeserializeOwned>(
        &mut self,
        request: &impl Serialize,
    ) -> Result<A, ControlError> {
        let request = line(request).map_err(|error| ControlError::lost(&error))?;
        // A supervisor that is ending may have said why before it closed.
        let sent = self.write.write_all(request.as_bytes()).await;
        match self.receive::<A, IgnoredAny>().await? {
            Some(Line::Ok(answer)) => Ok(answer),
            Some(Line::Error(refusal)) => Err(ControlError::Refused(refusal)),
            Some(_) => Err(ControlError::garbled("an event in the place of an answer")),
            None => {
                let ended = io::Error::from(io::ErrorKind::UnexpectedEof);
                Err(ControlError::lost(&sent.err().unwrap_or(ended)))
            }
        }
    }

    /// What comes next on a stream; `None` at its end.
    ///
    /// # Errors
    ///
    /// [`ControlError::Lost`] and [`ControlError::Garbled`].
    pub(in super::super) async fn next<E: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<Followed<E>>, ControlError> {
        match self.receive::<IgnoredAny, E>().await? {
            Some(Line::Event(event)) => Ok(Some(Followed::Event(event))),
            Some(Line::Lagged(count)) => Ok(Some(Followed::Lagged(count))),
            Some(Line::Error(refusal)) => Err(ControlError::Refused(refusal)),
            Some(Line::Ok(_)) => Err(ControlError::garbled("an answer in the place of an event")),
            None => Ok(None),
        }
    }

    async fn receive<A: DeserializeOwned, E: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<Line<A, E>>, ControlError> {
        let line = read_line(&mut self.read).await;
        let line = line.map_err(|error| ControlError::lost(&error))?;
        let line = line.map(|line| serde_json::from_slice(&line)).transpose();
        line.map_err(|error| ControlError::garbled(error.to_string()))
    }
}
