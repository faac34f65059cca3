//! Who may use how much of a quota.

use redis::{RedisResult, Value};

use super::session::Session;
use super::values::{items, text};
use crate::accounts::{Share, Slice, SliceWanted, Slot};

const NOTHING: Share = Share {
    cap: 0.0,
    rate: 0.0,
    level: None,
    want: 0.0,
};

impl Session {
    pub(super) async fn slice(&self, slot: Slot) -> RedisResult<()> {
        let now = self.inner.now();
        let wanted = self.inner.pool.lock().slice_wanted(now, slot);
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let slice = self.draw(&wanted).await?;
        self.inner.pool.lock().allow(self.inner.now(), slot, slice);
        Ok(())
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

    pub(super) async fn return_slices(&self, all: bool) -> RedisResult<()> {
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
}
