//! One connection to the server, from its begin to its end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Value};
use tokio::sync::{Notify, watch};

use super::Inner;
use super::scripts::Scripts;
use super::server::{clock_ahead, mark, redirected};
use super::values::{items, number, text};
use crate::Timestamp;
use crate::accounts::Subject;

/// How long the server may take to answer before it counts as away.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// How long one question for changes waits on the server.
pub(super) const BLOCK: Duration = Duration::from_secs(1);
/// How often to look whether the server is there, and whether something is to be given back.
pub(super) const BEAT: Duration = Duration::from_millis(500);
/// How many facts one call carries, and how many changes one answer.
pub(super) const BATCH: usize = 500;
/// A right to probe that is not used within that many milliseconds is given back.
const UNUSED_MS: u64 = 2_000;
/// How often a cluster may send us on: its nodes may disagree for a moment.
const REDIRECTS: usize = 4;

pub(super) struct Session {
    pub(super) inner: Arc<Inner>,
    pub(super) connection: MultiplexedConnection,
    /// Changes are waited for here, which holds up everything else on a connection.
    pub(super) reader: MultiplexedConnection,
    pub(super) scripts: Scripts,
    /// How many milliseconds the clock of the server is ahead.
    pub(super) ahead: i64,
    /// How far changes were read.
    pub(super) cursor: watch::Sender<(u64, u64)>,
    /// What shows that the server has forgotten everything.
    mark: String,
    /// What this process may do alone, and with which token.
    pub(super) held: Mutex<HashMap<Subject, Held>>,
    pub(super) tokens: AtomicU64,
    /// Whether a look at the asks is over.
    pub(super) idle: AtomicI64,
    pub(super) rested: Notify,
}

pub(super) struct Held {
    pub(super) name: String,
    pub(super) token: String,
}

impl Session {
    /// Connects, hears what is known, and tells what this process knows.
    pub(super) async fn open(inner: &Arc<Inner>) -> RedisResult<Self> {
        let mut client = inner.options.client.clone();
        let mut redirects = 0;
        loop {
            match Self::open_at(inner, &client).await {
                Err(error) if redirects < REDIRECTS => {
                    // All keys of a pool are in one slot, so one node of a cluster has all of them.
                    client = redirected(&client, &error).ok_or(error)?;
                    redirects += 1;
                }
                opened => return opened,
            }
        }
    }

    async fn open_at(inner: &Arc<Inner>, client: &Client) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(Some(ANSWER));
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let config = config.set_response_timeout(Some(BLOCK + ANSWER));
        let reader = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let ahead = match inner.options.clock.is_given() {
            true => 0,
            false => clock_ahead(inner, &mut connection).await?,
        };
        let mark = mark(inner, &mut connection).await?;
        let session = Self {
            inner: Arc::clone(inner),
            connection,
            reader,
            scripts: Scripts::new(),
            ahead,
            cursor: watch::Sender::new((0, 0)),
            mark,
            held: Mutex::default(),
            tokens: AtomicU64::new(0),
            idle: AtomicI64::new(0),
            rested: Notify::new(),
        };
        session.load().await?;
        session.tell_all().await?;
        session.take_part().await?;
        Ok(session)
    }

    /// Carries everything until the connection breaks.
    pub(super) async fn run(&self) -> RedisError {
        tokio::select! {
            error = self.listen() => error,
            error = self.serve() => error,
            error = self.beat() => error,
        }
    }

    pub(super) fn to_server(&self, at: Timestamp) -> Timestamp {
        at.saturating_add_signed(self.ahead)
    }

    pub(super) fn time_here(&self, at: Timestamp) -> Timestamp {
        at.saturating_add_signed(self.ahead.saturating_neg())
    }

    /// The time for scripts; zero: that of the server.
    pub(super) fn script_now(&self) -> Timestamp {
        match self.inner.options.clock.is_given() {
            true => self.inner.now(),
            false => 0,
        }
    }

    async fn beat(&self) -> RedisError {
        loop {
            tokio::time::sleep(BEAT).await;
            if let Err(error) = self.tidy().await {
                return error;
            }
        }
    }

    async fn tidy(&self) -> RedisResult<()> {
        let asked = tokio::time::Instant::now();
        let mark = mark(&self.inner, &mut self.connection.clone()).await?;
        self.inner.took(asked.elapsed());
        if self.inner.is_late() {
            self.take_part().await?;
        }
        if asked.elapsed() <= self.inner.options.timeout {
            self.inner.in_time();
        }
        if mark != self.mark {
            // A new connection begins with everything that is known.
            return Err((
                redis::ErrorKind::Client,
                "the server has forgotten everything",
            )
                .into());
        }
        let now = self.inner.now();
        let used = self.inner.pool.lock().take_unused_grants(now, UNUSED_MS);
        for subject in used {
            self.done(subject).await?;
        }
        self.return_slices(false).await
    }

    pub(super) async fn give_back(&self) -> RedisResult<()> {
        let asks = self.inner.pool.lock().take_asks();
        self.answer(asks).await?;
        let held: Vec<Held> = self.held().drain().map(|(_, held)| held).collect();
        for held in held {
            self.release_lease(&held.name, &held.token).await?;
        }
        self.return_slices(true).await
    }

    /// Waits until nothing is left to say, and all that was said before is heard.
    pub(super) async fn exchanged(&self) -> bool {
        loop {
            let mut rested = std::pin::pin!(self.rested.notified());
            rested.as_mut().enable();
            if self.idle.load(Relaxed) == 1 && !self.inner.pool.lock().has_asks() {
                break;
            }
            if tokio::time::timeout(ANSWER, rested).await.is_err() {
                return false;
            }
        }
        let last: RedisResult<Value> = redis::cmd("XREVRANGE")
            .arg((&self.inner.keys.changes, "+", "-", "COUNT", 1))
            .query_async(&mut self.connection.clone())
            .await;
        let Ok(last) = last else {
            return false;
        };
        let last = items(&last)
            .first()
            .and_then(|entry| number(text(items(entry).first()?)?));
        let last = last.unwrap_or_default();
        let mut cursor = self.cursor.subscribe();
        let heard = cursor.wait_for(|cursor| *cursor >= last);
        tokio::time::timeout(ANSWER, heard)
            .await
            .is_ok_and(|heard| heard.is_ok())
    }
}
