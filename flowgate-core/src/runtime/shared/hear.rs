//! What others say.

use redis::{RedisError, RedisResult, Value};

use super::leases::LONGEST_LEASE_MS;
use super::server::{is_wrong_type, unless_wrong_type};
use super::session::{BATCH, BEAT, BLOCK, Session};
use super::values::{entries, field, items, number, text};
use crate::accounts::Fact;

/// The longest rest there is: 32 days, and a little for clocks that differ.
const LONGEST_REST_MS: u64 = 33 * 24 * 3_600_000;

impl Session {
    /// Hears everything that is known. Changes are read from before on, so that none is missed.
    pub(super) async fn load(&self) -> RedisResult<()> {
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
            for [subject, fact] in items(found).as_chunks().0 {
                self.hear_fact(text(subject), text(fact));
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
    pub(super) async fn listen(&self) -> RedisError {
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
}
