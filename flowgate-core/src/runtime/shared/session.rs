//! One connection to the server, from its begin to its end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError, RedisResult, Value};
use tokio::sync::{Notify, watch};

use super::scripts::Scripts;
use super::values::{entries, field, items, number, text};
use super::{Inner, Lease};
use crate::Timestamp;
use crate::accounts::{Ask, Fact, Share, Slice, SliceWanted, Slot, Subject};

/// How long the server may take to answer before it counts as away.
const ANSWER: Duration = Duration::from_secs(2);
/// How long one question for changes waits on the server.
const BLOCK: Duration = Duration::from_secs(1);
/// How often to look whether the server is there, and whether something is to be given back.
const BEAT: Duration = Duration::from_millis(500);
/// How long what is known is kept after it has ended.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// How many facts one call carries, and how many changes one answer.
const BATCH: usize = 500;
/// A right to probe that is not used within that many milliseconds is given back.
const UNUSED_MS: u64 = 2_000;
/// Clocks that differ by less are the same.
const CLOCK_MS: i64 = 200;

pub(super) struct Session {
    pub(super) inner: Arc<Inner>,
    pub(super) connection: MultiplexedConnection,
    /// Changes are waited for here, which holds up everything else on a connection.
    reader: MultiplexedConnection,
    pub(super) scripts: Scripts,
    /// How many milliseconds the clock of the server is ahead.
    ahead: i64,
    /// How far changes were read.
    cursor: watch::Sender<(u64, u64)>,
    /// What shows that the server has forgotten everything.
    mark: String,
    /// What this process may do alone, and with which token.
    held: Mutex<HashMap<Subject, Held>>,
    tokens: AtomicU64,
    /// Whether a look at the asks is over.
    idle: AtomicI64,
    rested: Notify,
}

pub(super) struct Held {
    pub(super) name: String,
    pub(super) token: String,
}

impl Session {
    /// Connects, hears what is known, and tells what this process knows.
    pub(super) async fn open(inner: &Arc<Inner>) -> RedisResult<Self> {
        let client = &inner.options.client;
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

    fn to_server(&self, at: Timestamp) -> Timestamp {
        at.saturating_add_signed(self.ahead)
    }

    pub(super) fn time_here(&self, at: Timestamp) -> Timestamp {
        at.saturating_add_signed(self.ahead.saturating_neg())
    }

    // What others say.

    /// Hears everything that is known. Changes are read from before on, so that none is missed.
    async fn load(&self) -> RedisResult<()> {
        let mut connection = self.connection.clone();
        let keys = &self.inner.keys;
        let last: RedisResult<Value> = redis::cmd("XREVRANGE")
            .arg((&keys.changes, "+", "-", "COUNT", 1))
            .query_async(&mut connection)
            .await;
        let last = unless_wrong_type(last)?;
        let last = items(&last)
            .first()
            .and_then(|entry| number(text(items(entry).first()?)?));
        self.cursor.send_replace(last.unwrap_or_default());
        let mut scan = "0".to_owned();
        loop {
            let part: RedisResult<Value> = redis::cmd("HSCAN")
                .arg((&keys.facts, &scan, "COUNT", BATCH))
                .query_async(&mut connection)
                .await;
            let part = unless_wrong_type(part)?;
            let [next, found] = items(&part) else {
                return Ok(());
            };
            for pair in items(found).chunks_exact(2) {
                self.hear_fact(text(&pair[0]), text(&pair[1]));
            }
            (self.inner.changed)();
            scan = text(next).unwrap_or("0").to_owned();
            if scan == "0" {
                return Ok(());
            }
        }
    }

    fn hear_fact(&self, subject: Option<&str>, fact: Option<&str>) {
        let (Some(name), Some(fact)) = (subject, fact.and_then(Fact::decode)) else {
            self.inner.ignore("a fact that is none");
            return;
        };
        let fact = fact.shifted(self.ahead.saturating_neg());
        let now = self.inner.now();
        // Nothing is known to rest for longer than 32 days: whoever says so errs, or means harm.
        if fact.until > now.saturating_add(LONGEST_REST_MS) {
            self.inner.ignore("a rest that is too long");
            return;
        }
        let mut pool = self.inner.pool.lock();
        if let Some(subject) = pool.find_subject(name) {
            pool.learn(now, subject, fact);
        }
    }

    /// Waits for changes.
    async fn listen(&self) -> RedisError {
        loop {
            if let Err(error) = self.hear_changes().await {
                return error;
            }
        }
    }

    async fn hear_changes(&self) -> RedisResult<()> {
        let mut reader = self.reader.clone();
        let (time, sequence) = *self.cursor.borrow();
        let key = &self.inner.keys.changes;
        let mut read = redis::cmd("XREAD");
        read.arg("BLOCK")
            .arg(BLOCK.as_millis() as u64)
            .arg("COUNT")
            .arg(BATCH);
        read.arg("STREAMS")
            .arg(key)
            .arg(format!("{time}-{sequence}"));
        let answer = match read.query_async::<Value>(&mut reader).await {
            Err(error) if is_wrong_type(&error) => {
                self.inner.ignore("changes that are no stream");
                tokio::time::sleep(BEAT).await;
                return Ok(());
            }
            answer => answer?,
        };
        let mut last = None;
        for (id, fields) in entries(&answer) {
            last = number(id).or(last);
            self.hear_change(fields);
        }
        let Some(last) = last else {
            return Ok(());
        };
        if self.is_trimmed((time, sequence)).await? {
            // Some were gone before they were read.
            self.load().await?;
        } else {
            self.cursor.send_replace(last);
        }
        (self.inner.changed)();
        Ok(())
    }

    /// Whether changes after this one are gone.
    async fn is_trimmed(&self, cursor: (u64, u64)) -> RedisResult<bool> {
        let mut connection = self.connection.clone();
        let first: RedisResult<Value> = redis::cmd("XRANGE")
            .arg((&self.inner.keys.changes, "-", "+", "COUNT", 1))
            .query_async(&mut connection)
            .await;
        let first = unless_wrong_type(first)?;
        let first = items(&first)
            .first()
            .and_then(|entry| number(text(items(entry).first()?)?));
        Ok(first.is_some_and(|first| first > cursor))
    }

    fn hear_change(&self, fields: &[Value]) {
        let subject = field(fields, "s");
        match field(fields, "l") {
            None => self.hear_fact(subject, field(fields, "f")),
            Some(_) if field(fields, "w") == Some(&self.inner.who) => {}
            Some(until) => {
                let now = self.inner.now();
                let until = until.parse().ok().map(|until| match until {
                    0 => 0,
                    until => self
                        .time_here(until)
                        .min(now.saturating_add(LONGEST_LEASE_MS)),
                });
                let (Some(name), Some(until)) = (subject, until) else {
                    self.inner.ignore("a lease that is none");
                    return;
                };
                let mut pool = self.inner.pool.lock();
                if let Some(subject) = pool.find_subject(name) {
                    pool.deny(now, subject, until);
                }
            }
        }
    }

    // What this process says.

    /// Does what the pool asks for.
    async fn serve(&self) -> RedisError {
        loop {
            self.idle.store(0, Relaxed);
            let asks = self.inner.pool.lock().take_asks();
            if let Err(error) = self.return_turns(&self.inner.take_turns()).await {
                return error;
            }
            if asks.is_empty() {
                self.idle.store(1, Relaxed);
                self.rested.notify_waiters();
                self.inner.wake.notified().await;
                continue;
            }
            if let Err(error) = self.answer(asks).await {
                return error;
            }
            (self.inner.changed)();
        }
    }

    async fn answer(&self, asks: Vec<Ask>) -> RedisResult<()> {
        let tells = asks.iter().filter_map(|ask| match ask {
            Ask::Tell(subject) => Some(*subject),
            _ => None,
        });
        // First what is known, so that who probes next knows it.
        self.tell(tells.collect()).await?;
        for ask in asks {
            match ask {
                Ask::Probe(subject) => self.probe(subject).await?,
                Ask::Done(subject) => self.done(subject).await?,
                Ask::Slice(slot) => self.slice(slot).await?,
                Ask::Load => {
                    self.load().await?;
                    self.take_part().await?;
                }
                Ask::Tell(_) => {}
            }
        }
        Ok(())
    }

    async fn tell(&self, subjects: Vec<Subject>) -> RedisResult<()> {
        let told = {
            let pool = self.inner.pool.lock();
            let known = subjects.into_iter();
            let told = known.filter_map(|s| Some((pool.subject_name(s)?, pool.fact(s)?)));
            told.collect::<Vec<_>>()
        };
        self.merge(told).await
    }

    /// Tells everything: the server may have forgotten it, or never known.
    async fn tell_all(&self) -> RedisResult<()> {
        let told = {
            let pool = self.inner.pool.lock();
            let known = pool.facts().into_iter();
            let told = known.filter_map(|(s, fact)| Some((pool.subject_name(s)?, fact)));
            told.collect::<Vec<_>>()
        };
        self.merge(told).await
    }

    async fn merge(&self, told: Vec<(String, Fact)>) -> RedisResult<()> {
        let keys = &self.inner.keys;
        for batch in told.chunks(BATCH) {
            let mut call = self.scripts.merge.key(&keys.facts);
            call.key(&keys.ends).key(&keys.changes).key(&keys.turns);
            call.arg(KEEP.as_millis() as u64)
                .arg(self.inner.options.changes)
                .arg(&self.inner.who);
            for (name, fact) in batch {
                call.arg(name).arg(fact.shifted(self.ahead).encode());
            }
            let _: Value = call.invoke_async(&mut self.connection.clone()).await?;
        }
        Ok(())
    }

    // Who is the only one.

    pub(super) fn token(&self) -> String {
        format!("{}.{}", self.inner.who, self.tokens.fetch_add(1, Relaxed))
    }

    async fn set_lease(
        &self,
        name: &str,
        token: &str,
        time_ms: u64,
        until: Timestamp,
    ) -> RedisResult<Value> {
        let keys = &self.inner.keys;
        let mut call = self.scripts.lease.key(keys.lease(name));
        call.key(&keys.changes)
            .arg(token)
            .arg(time_ms)
            .arg(self.to_server(until))
            .arg(name);
        call.arg(self.inner.options.changes)
            .arg(&self.inner.who)
            .arg(self.script_now());
        call.invoke_async(&mut self.connection.clone()).await
    }

    /// Tries to be the only one.
    pub(super) async fn take_lease(&self, name: &str, time: Duration) -> RedisResult<Lease> {
        let time_ms = u64::try_from(time.as_millis())
            .unwrap_or(u64::MAX)
            .clamp(1, LONGEST_LEASE_MS);
        let token = self.token();
        let now = self.inner.now();
        let answer = self
            .set_lease(name, &token, time_ms, now.saturating_add(time_ms))
            .await?;
        if text(&answer) == Some("mine") {
            return Ok(Lease::Mine(token));
        }
        let stated = items(&answer).first().and_then(text);
        let stated = stated.and_then(|holder| holder.rsplit_once('|')?.1.parse().ok());
        let until = stated.map_or_else(
            || now.saturating_add(time_ms),
            |until| {
                self.time_here(until)
                    .clamp(now, now.saturating_add(LONGEST_LEASE_MS))
            },
        );
        Ok(Lease::Others(until))
    }

    pub(super) async fn release_lease(&self, name: &str, token: &str) -> RedisResult<()> {
        self.set_lease(name, token, 0, 0).await.map(drop)
    }

    async fn probe(&self, subject: Subject) -> RedisResult<()> {
        let (name, lease_ms) = {
            let pool = self.inner.pool.lock();
            (pool.subject_name(subject), pool.settings().probe_lease_ms)
        };
        let Some(name) = name else {
            return Ok(());
        };
        let now = self.inner.now();
        let until = now.saturating_add(lease_ms);
        match self
            .take_lease(&name, Duration::from_millis(lease_ms))
            .await?
        {
            Lease::Mine(token) => {
                let held = Held { name, token };
                let before = self.held().insert(subject, held);
                if let Some(before) = before {
                    self.release_lease(&before.name, &before.token).await?;
                }
                self.inner.pool.lock().grant(now, subject, until);
            }
            Lease::Others(until) => self.inner.pool.lock().deny(now, subject, until),
            Lease::Away => {}
        }
        Ok(())
    }

    pub(super) fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Subject, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn done(&self, subject: Subject) -> RedisResult<()> {
        let held = self.held().remove(&subject);
        match held {
            Some(held) => self.release_lease(&held.name, &held.token).await,
            None => Ok(()),
        }
    }

    // Who may use how much.

    async fn slice(&self, slot: Slot) -> RedisResult<()> {
        let now = self.inner.now();
        let wanted = self.inner.pool.lock().slice_wanted(now, slot);
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let slice = self.draw(&wanted).await?;
        self.inner.pool.lock().allow(self.inner.now(), slot, slice);
        Ok(())
    }

    /// The time for scripts; zero: that of the server.
    pub(super) fn script_now(&self) -> Timestamp {
        match self.inner.options.clock.is_given() {
            true => self.inner.now(),
            false => 0,
        }
    }

    async fn draw(&self, wanted: &SliceWanted) -> RedisResult<Slice> {
        let now = self.script_now();
        let mut call = self.scripts.slice.key(self.inner.keys.bucket(&wanted.name));
        call.arg(now);
        for share in [wanted.requests, wanted.tokens] {
            let Share {
                cap,
                rate,
                level,
                want,
            } = share.unwrap_or(NOTHING);
            call.arg(cap)
                .arg(rate)
                .arg(level.map_or(String::new(), |level| level.to_string()));
            call.arg(want);
        }
        let answer: Value = call.invoke_async(&mut self.connection.clone()).await?;
        let granted = |place: usize| {
            let granted = items(&answer).get(place).and_then(text);
            granted
                .and_then(|text| text.parse::<f64>().ok())
                .filter(|n| n.is_finite() && *n > 0.0)
        };
        Ok(Slice {
            requests: granted(0).unwrap_or(0.0),
            tokens: granted(1).unwrap_or(0.0),
        })
    }

    // What is done from time to time.

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

    async fn return_slices(&self, all: bool) -> RedisResult<()> {
        let back = self
            .inner
            .pool
            .lock()
            .take_idle_slices(self.inner.now(), all);
        for left in back {
            self.draw(&left).await?;
        }
        Ok(())
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

/// The longest rest there is: 32 days, and a little for clocks that differ.
const LONGEST_REST_MS: u64 = 33 * 24 * 3_600_000;
/// No lease lasts longer than an hour.
const LONGEST_LEASE_MS: u64 = 3_600_000;

const NOTHING: Share = Share {
    cap: 0.0,
    rate: 0.0,
    level: None,
    want: 0.0,
};

/// How far the clock of the server is ahead of ours, in milliseconds.
async fn clock_ahead(inner: &Inner, connection: &mut MultiplexedConnection) -> RedisResult<i64> {
    let before = inner.now();
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
    let after = inner.now();
    let server = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
    let middle = before + after.saturating_sub(before) / 2;
    let ahead =
        i64::try_from(server).unwrap_or(i64::MAX) - i64::try_from(middle).unwrap_or(i64::MAX);
    Ok(if ahead.abs() < CLOCK_MS { 0 } else { ahead })
}

/// The name of what the server knows, given by whoever comes first.
async fn mark(inner: &Inner, connection: &mut MultiplexedConnection) -> RedisResult<String> {
    let key = &inner.keys.mark;
    let known: RedisResult<Value> = redis::cmd("GET").arg(key).query_async(connection).await;
    let mut pipe = redis::pipe();
    match known {
        Err(error) if is_wrong_type(&error) => {
            pipe.cmd("DEL").arg(key).ignore();
        }
        known => {
            if let Some(known) = text(&known?) {
                return Ok(known.to_owned());
            }
        }
    }
    // Another each time, so that one that was lost is missed.
    let new = format!("{}.{}", inner.who, inner.marks.fetch_add(1, Relaxed));
    pipe.cmd("SET")
        .arg(key)
        .arg(new)
        .arg("NX")
        .ignore()
        .cmd("GET")
        .arg(key);
    let (known,): (Value,) = pipe.query_async(connection).await?;
    Ok(text(&known).unwrap_or_default().to_owned())
}

fn is_wrong_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

/// Whatever somebody put there, it is nothing of ours: scripts put it right when they write.
fn unless_wrong_type(answer: RedisResult<Value>) -> RedisResult<Value> {
    match answer {
        Err(error) if is_wrong_type(&error) => Ok(Value::Nil),
        answer => answer,
    }
}
