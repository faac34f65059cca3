//! Who is the only one that does something.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redis::{RedisResult, Value};

use super::Lease;
use super::session::{Held, Session};
use super::values::{items, text};
use crate::Timestamp;
use crate::accounts::Subject;

/// No lease lasts longer than an hour.
pub(super) const LONGEST_LEASE_MS: u64 = 3_600_000;

impl Session {
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

    pub(super) async fn probe(&self, subject: Subject) -> RedisResult<()> {
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
}
