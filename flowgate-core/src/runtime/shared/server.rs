//! What is asked of a server when a connection begins, and what its errors mean.

use std::sync::atomic::Ordering::Relaxed;

use redis::aio::MultiplexedConnection;
use redis::{Client, ConnectionAddr, RedisError, RedisResult, Value};

use tokio::time::{Instant, timeout};

use super::options::DEFAULT_POOL;
use super::session::ANSWER;
use super::values::{describe, text};
use super::{Clock, Inner, Options, State, Status};
use crate::config::Config;

/// Clocks that differ by less are the same.
const CLOCK_MS: i64 = 200;

impl Status {
    /// Whether a configuration shares its accounts, and whether the server answers: looked at without
    /// taking part. `None`: it does not.
    pub async fn of(config: &Config) -> Option<Self> {
        let error = match Options::of(config) {
            Ok(options) => return Some(options?.probe().await),
            Err(error) => error.to_string(),
        };
        let shared = config.settings().accounts.as_ref()?.shared.as_ref()?;
        let name = shared.name.as_ref().map(ToString::to_string);
        Some(Self {
            pool: name.unwrap_or_else(|| DEFAULT_POOL.to_owned()),
            mode: shared.mode,
            state: State::Degraded,
            since: Clock::System.now(),
            error: Some(error),
            round_trip_us: None,
            ignored: 0,
        })
    }
}

impl Options {
    /// Looks whether the server answers, and how soon, without taking part: nothing is written.
    pub async fn probe(&self) -> Status {
        let asked = Instant::now();
        let answer = timeout(ANSWER, self.ping()).await;
        let (state, round_trip_us, error) = match answer {
            Ok(Ok(time)) => (State::Shared, Some(time), None),
            Ok(Err(error)) => (State::Degraded, None, Some(describe(&error))),
            Err(_) => {
                let error = format!("no answer within {:?}", asked.elapsed());
                (State::Degraded, None, Some(error))
            }
        };
        Status {
            pool: self.pool.clone(),
            mode: self.mode,
            state,
            since: self.clock.now(),
            error,
            round_trip_us,
            ignored: 0,
        }
    }

    async fn ping(&self) -> RedisResult<u64> {
        let mut connection = self.client.get_multiplexed_async_connection().await?;
        let asked = Instant::now();
        let _: Value = redis::cmd("PING").query_async(&mut connection).await?;
        Ok(u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// Another node of the cluster, where an error says that this one does not have the keys.
pub(super) fn redirected(client: &Client, error: &RedisError) -> Option<Client> {
    let (address, _slot) = error.redirect_node()?;
    let (named, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let info = client.get_connection_info().clone();
    // A node whose name the others do not know is where we are, at another port.
    let is_known = !matches!(named, "" | "?");
    let host = |known: &str| if is_known { named } else { known }.to_owned();
    let address = match info.addr() {
        ConnectionAddr::Tcp(known, _) => ConnectionAddr::Tcp(host(known), port),
        ConnectionAddr::TcpTls {
            host: known,
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host: host(known),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => return None,
    };
    Client::open(info.set_addr(address)).ok()
}

/// How far the clock of the server is ahead of ours, in milliseconds.
pub(super) async fn clock_ahead(
    inner: &Inner,
    connection: &mut MultiplexedConnection,
) -> RedisResult<i64> {
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
pub(super) async fn mark(
    inner: &Inner,
    connection: &mut MultiplexedConnection,
) -> RedisResult<String> {
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

pub(super) fn is_wrong_type(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE")
}

/// Whatever somebody put there, it is nothing of ours: scripts put it right when they write.
pub(super) fn unless_wrong_type(answer: RedisResult<Value>) -> RedisResult<Value> {
    match answer {
        Err(error) if is_wrong_type(&error) => Ok(Value::Nil),
        answer => answer,
    }
}
