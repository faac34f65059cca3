//! What this process says.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redis::{RedisError, RedisResult, Value};

use super::session::{BATCH, Session};
use crate::accounts::{Ask, Fact, Subject};

/// How long what is known is kept after it has ended.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

impl Session {
    /// Does what the pool asks for.
    pub(super) async fn serve(&self) -> RedisError {
        loop {
            self.idle.store(0, Relaxed);
            let asks = self.inner.pool.lock().take_asks();
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

    pub(super) async fn answer(&self, asks: Vec<Ask>) -> RedisResult<()> {
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
    pub(super) async fn tell_all(&self) -> RedisResult<()> {
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
}
