//! How much an account may still send, as far as that is known.
//!
//! What headers state is true for the moment when the provider admitted the request. From there the
//! budget is predicted: it refills, and what was admitted later is taken off. Where no headers
//! come, the pace is guessed from the refusals: nine tenths of what was sent, growing again.

use serde::{Deserialize, Serialize};

use super::super::{BucketView, QuotaView, Window, WindowView};
use super::view::{Remaining, WindowLeft};
use crate::Timestamp;

/// A minute, which is what providers mean by a limit without a time.
const MINUTE_MS: f64 = 60_000.0;
/// How far quota of which others use a part is trusted at least.
const LEAST_SCALE: f32 = 0.2;

/// How much had been charged to a budget at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    #[serde(with = "super::bits::double")]
    requests: f64,
    #[serde(with = "super::bits::double")]
    tokens: f64,
}

/// The budget of one account, or of a group that shares one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Budget {
    /// When the levels were true.
    at: Timestamp,
    /// When the request was admitted whose headers were seen last.
    anchored_at: Timestamp,
    requests: Bucket,
    tokens: Bucket,
    windows: [Long; 2],
    /// Whether the requests are a guess. The rate at which nothing needs to be guessed any more.
    #[serde(with = "super::bits::single")]
    guess_ends: f32,
}

/// A quota that refills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bucket {
    #[serde(with = "super::bits::double")]
    level: f64,
    /// All that was ever charged.
    #[serde(with = "super::bits::double")]
    charged: f64,
    /// What was charged when the headers that were seen last were true, and what they said.
    #[serde(with = "super::bits::double")]
    anchor_charged: f64,
    #[serde(with = "super::bits::single")]
    anchor_level: f32,
    /// What it holds. Zero: nothing is known.
    #[serde(with = "super::bits::single")]
    cap: f32,
    /// How much it refills in a millisecond.
    #[serde(with = "super::bits::single")]
    rate: f32,
    /// The part of the refill that is ours: others may use the same quota.
    #[serde(with = "super::bits::single")]
    scale: f32,
}

impl Bucket {
    #[inline]
    fn known(&self) -> bool {
        self.cap > 0.0
    }

    fn refill(&self) -> f64 {
        f64::from(self.rate) * f64::from(self.scale)
    }

    #[inline]
    fn level(&self, since: Timestamp, now: Timestamp) -> f64 {
        let passed = now.saturating_sub(since) as f64;
        (self.level + self.refill() * passed).min(f64::from(self.cap))
    }

    /// When it holds that much, if not now. More than it can hold is as much as it can hold.
    #[inline]
    fn when(&self, need: f64, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if !self.known() {
            return None;
        }
        let cap = f64::from(self.cap);
        let slack = cap * 1e-6;
        let need = need.min(cap) - slack;
        if self.level(since, now) >= need {
            return None;
        }
        // From `since`, as above, so that both agree to the millisecond.
        let wait = ((need - self.level) / self.refill()).ceil();
        let at = since.saturating_add(wait as u64);
        Some(at.max(now + 1))
    }

    fn charge(&mut self, amount: f64) {
        self.charged += amount;
        if self.known() {
            self.level -= amount;
        }
    }

    /// Takes over what headers say about the moment `then`, when `mark` had been charged.
    fn anchor(&mut self, view: &BucketView, mark: f64, passed: f64, before: Option<f64>) {
        let remaining = view.remaining as f64;
        let limit = view.limit.map_or(0.0, |limit| limit as f64);
        let cap = limit.max(remaining).max(if limit > 0.0 {
            0.0
        } else {
            f64::from(self.cap)
        });
        if cap <= 0.0 {
            return;
        }
        let missing = cap - remaining;
        let rate = match view.full_in_ms {
            Some(full_in) if full_in > 0 && missing >= 1.0 => missing / full_in as f64,
            _ if self.rate > 0.0 && !(limit > 0.0 && limit as f32 != self.cap) => {
                f64::from(self.rate)
            }
            _ => cap / MINUTE_MS,
        };
        if let Some(since) = before {
            self.learn_scale(remaining, mark, since);
        }
        if self.scale == 0.0 {
            self.scale = 1.0;
        }
        self.cap = cap as f32;
        self.rate = (rate.clamp(cap / 2_592_000_000.0, cap)) as f32;
        self.anchor_charged = mark;
        self.anchor_level = remaining as f32;
        let later = self.charged - mark;
        self.level = (remaining + self.refill() * passed - later).min(cap);
    }

    /// How much of the refill since the last headers arrived here.
    fn learn_scale(&mut self, remaining: f64, mark: f64, since: f64) {
        let expected = f64::from(self.rate) * since;
        if !self.known()
            || since < 200.0
            || expected < 0.5
            || remaining > 0.95 * f64::from(self.cap)
        {
            return;
        }
        let refilled = remaining - f64::from(self.anchor_level) + (mark - self.anchor_charged);
        let ratio = (refilled / expected).clamp(0.0, 1.2) as f32;
        let weight = (expected / f64::from(self.cap)).clamp(0.02, 0.3) as f32;
        self.scale = (self.scale + weight * (ratio - self.scale)).clamp(LEAST_SCALE, 1.0);
    }

    /// The part that is used.
    fn used(&self, since: Timestamp, now: Timestamp, extra: f64) -> f64 {
        if !self.known() {
            return 0.0;
        }
        1.0 - (self.level(since, now) - extra) / f64::from(self.cap)
    }
}

/// A long window of the whole account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Long {
    window: Option<Window>,
    #[serde(with = "super::bits::single")]
    used: f32,
    resets_at: Timestamp,
    length_s: u32,
}

impl Long {
    /// How much more is used than time has passed; 0 when it is over.
    fn pressure(&self, now: Timestamp) -> f64 {
        if self.window.is_none() || self.resets_at <= now {
            return 0.0;
        }
        let left = (self.resets_at - now) as f64;
        let length = (f64::from(self.length_s) * 1_000.0).max(1.0);
        let elapsed = 1.0 - (left / length).min(1.0);
        0.5 * (f64::from(self.used) - elapsed)
    }
}

impl Budget {
    /// When a request of that many tokens may go, if not now.
    #[inline]
    pub(super) fn wait(&self, now: Timestamp, tokens: u32) -> Option<Timestamp> {
        let requests = self.requests.when(1.0, self.at, now);
        let tokens = self.tokens.when(f64::from(tokens), self.at, now);
        requests.max(tokens)
    }

    /// The pressure under which the account is: 0 it is fresh, 1 it is used up.
    pub(super) fn pressure(&self, now: Timestamp, tokens: u32) -> f64 {
        let requests = self.requests.used(self.at, now, 1.0);
        let tokens = self.tokens.used(self.at, now, f64::from(tokens));
        let long = self.windows.iter().map(|window| window.pressure(now));
        requests.max(tokens) + long.fold(f64::MIN, f64::max).max(-0.5)
    }

    /// Whether the provider said how much there is.
    pub(super) fn is_stated(&self) -> bool {
        self.tokens.known() || (self.requests.known() && self.guess_ends == 0.0)
    }

    /// Whether there is room for many more requests like this one.
    pub(super) fn has_room(&self, now: Timestamp, tokens: u32) -> bool {
        self.is_stated() && self.pressure_now(now, tokens) < 0.9
    }

    fn pressure_now(&self, now: Timestamp, tokens: u32) -> f64 {
        let requests = self.requests.used(self.at, now, 1.0);
        requests.max(self.tokens.used(self.at, now, f64::from(tokens)))
    }

    /// What is left, for people: requests and tokens, with what fits.
    pub(super) fn levels(&self, now: Timestamp) -> [Option<(f64, f64)>; 2] {
        [self.requests, self.tokens].map(|bucket| {
            let level = bucket.level(self.at, now).max(0.0);
            bucket.known().then_some((level, f64::from(bucket.cap)))
        })
    }

    /// What is left, and when it is full again: requests and tokens.
    pub(super) fn remaining(&self, now: Timestamp) -> [Option<Remaining>; 2] {
        [self.requests, self.tokens].map(|bucket| {
            let limit = f64::from(bucket.cap);
            let full_at = bucket.when(limit, self.at, now).unwrap_or(now);
            bucket.known().then(|| Remaining {
                level: bucket.level(self.at, now).max(0.0),
                limit,
                full_at,
            })
        })
    }

    /// What is used of the long windows that are not over.
    pub(super) fn windows_left(&self, now: Timestamp) -> Vec<WindowLeft> {
        let open = self.windows.iter().filter(|long| long.resets_at > now);
        open.filter_map(|long| {
            Some(WindowLeft {
                window: long.window?,
                used: f64::from(long.used),
                resets_at: long.resets_at,
            })
        })
        .collect()
    }

    /// What its buckets hold when full, where that is known: of requests and of tokens.
    pub(super) fn caps(&self) -> [Option<f64>; 2] {
        [self.requests, self.tokens].map(|b| b.known().then_some(f64::from(b.cap)))
    }

    /// How much they refill in a millisecond.
    pub(super) fn rates(&self) -> [f64; 2] {
        [self.requests, self.tokens].map(|bucket| f64::from(bucket.rate))
    }

    /// What they refill in so many milliseconds, one request and `tokens` at least.
    pub(super) fn slices(&self, ms: u64, tokens: f64) -> [Option<f64>; 2] {
        let slice = |bucket: Bucket, least: f64| {
            let slice = (f64::from(bucket.rate) * ms as f64).max(least);
            bucket.known().then_some(slice.min(f64::from(bucket.cap)))
        };
        [slice(self.requests, 1.0), slice(self.tokens, tokens)]
    }

    /// Whether all numbers are numbers, as they always are unless somebody changed a snapshot.
    pub(super) fn is_sane(&self) -> bool {
        let buckets = [self.requests, self.tokens];
        let numbers = buckets.iter().flat_map(|b| {
            let small = [b.anchor_level, b.cap, b.rate, b.scale].map(f64::from);
            let [anchor, cap, rate, scale] = small;
            [
                b.level,
                b.charged,
                b.anchor_charged,
                anchor,
                cap,
                rate,
                scale,
            ]
        });
        let working = |b: &Bucket| !b.known() || (b.rate > 0.0 && b.scale > 0.0);
        let sane = |number: f64| number.is_finite() && number.abs() < 1e18;
        numbers.into_iter().all(sane)
            && buckets.iter().all(working)
            && self.windows.iter().all(|w| w.used.is_finite())
            && self.guess_ends.is_finite()
    }

    /// When the window that ends soonest is reset, if something of it is left.
    pub(super) fn soonest_reset(&self, now: Timestamp) -> Option<Timestamp> {
        let open = self
            .windows
            .iter()
            .filter(|w| w.window.is_some() && w.used < 1.0);
        open.map(|w| w.resets_at).filter(|at| *at > now).min()
    }

    /// Brings the levels to the present.
    fn settle(&mut self, now: Timestamp) {
        if now <= self.at {
            return;
        }
        let passed = (now - self.at) as f64;
        for bucket in [&mut self.requests, &mut self.tokens] {
            bucket.level = bucket.level(self.at, now);
        }
        self.at = now;
        if self.guess_ends > 0.0 {
            self.grow(passed);
        }
    }

    /// A guess grows by an eightieth in a second, and is given up when it holds nobody back.
    fn grow(&mut self, passed: f64) {
        let bucket = &mut self.requests;
        let grown = f64::from(bucket.rate) * (1.0 + (passed / 80_000.0).min(2.0));
        bucket.rate = grown as f32;
        bucket.cap = bucket.cap.max((grown * GUESS_BURST_MS) as f32);
        if bucket.rate >= self.guess_ends {
            *bucket = Bucket {
                charged: bucket.charged,
                ..Bucket::default()
            };
            self.guess_ends = 0.0;
        }
    }

    /// A request is admitted. Answers what was charged so far.
    #[inline]
    pub(super) fn charge(&mut self, now: Timestamp, tokens: u32) -> Mark {
        self.settle(now);
        self.requests.charge(1.0);
        self.tokens.charge(f64::from(tokens));
        self.mark()
    }

    fn mark(&self) -> Mark {
        Mark {
            requests: self.requests.charged,
            tokens: self.tokens.charged,
        }
    }

    /// A request that was charged used less, or more. What headers said later than it was admitted
    /// knows that already.
    pub(super) fn refund(&mut self, now: Timestamp, charged: Mark, requests: f64, tokens: f64) {
        self.settle(now);
        for (bucket, mark, amount) in [
            (&mut self.requests, charged.requests, requests),
            (&mut self.tokens, charged.tokens, tokens),
        ] {
            if bucket.known() && mark > bucket.anchor_charged {
                bucket.level = (bucket.level + amount).min(f64::from(bucket.cap));
            }
        }
    }

    /// Takes over what the headers say of a request that was admitted at that time.
    pub(super) fn anchor(
        &mut self,
        now: Timestamp,
        admitted: Timestamp,
        charged: Mark,
        view: &QuotaView,
    ) {
        self.observe_windows(view);
        let stated = [view.requests, most_used(view)];
        if stated.iter().all(Option::is_none) || charged.requests < self.requests.anchor_charged {
            return;
        }
        self.settle(now);
        if self.guess_ends > 0.0 && view.requests.is_some() {
            self.requests = Bucket {
                charged: self.requests.charged,
                ..Bucket::default()
            };
            self.guess_ends = 0.0;
        }
        let passed = now.saturating_sub(admitted) as f64;
        let since =
            (self.anchored_at > 0).then(|| admitted.saturating_sub(self.anchored_at) as f64);
        let [requests, tokens] = stated;
        if let Some(view) = requests {
            self.requests.anchor(&view, charged.requests, passed, since);
        }
        if let Some(view) = tokens {
            self.tokens.anchor(&view, charged.tokens, passed, since);
        }
        self.anchored_at = admitted.max(1);
    }

    /// What was said outside of a request is true now.
    pub(super) fn observe(&mut self, now: Timestamp, view: &QuotaView) {
        self.settle(now);
        let mark = self.mark();
        self.anchor(now, now, mark, view);
    }

    fn observe_windows(&mut self, view: &QuotaView) {
        for stated in view.windows().filter(|stated| !stated.window.is_family()) {
            let place = self
                .windows
                .iter_mut()
                .find(|long| long.window.is_none_or(|window| window == stated.window));
            if let Some(place) = place {
                *place = Long::from(stated);
            }
        }
    }

    /// A refusal that nothing explains: send nine tenths of what was sent.
    pub(super) fn slow_down(&mut self, now: Timestamp, sent: f64) {
        if self.is_stated() {
            return;
        }
        self.settle(now);
        let sent = if self.guess_ends > 0.0 {
            sent.min(f64::from(self.requests.rate))
        } else {
            sent
        };
        let rate = (0.9 * sent).max(SLOWEST_GUESS);
        let cap = (rate * GUESS_BURST_MS).max(1.0);
        self.requests = Bucket {
            level: self.requests.level.min(cap),
            cap: cap as f32,
            rate: rate as f32,
            scale: 1.0,
            ..self.requests
        };
        self.guess_ends = (4.0 * rate) as f32;
    }
}

/// A guessed pace lets that much time's worth go at once.
const GUESS_BURST_MS: f64 = 3_000.0;
/// One request in ten seconds.
const SLOWEST_GUESS: f64 = 1e-4;

impl From<&WindowView> for Long {
    fn from(view: &WindowView) -> Self {
        Self {
            window: Some(view.window),
            used: if view.used.is_finite() {
                view.used.clamp(0.0, 2.0)
            } else {
                0.0
            },
            resets_at: view.resets_at.unwrap_or(0),
            length_s: u32::try_from(view.length_ms() / 1_000).unwrap_or(u32::MAX),
        }
    }
}

/// The kind of tokens of which the smallest part is left.
fn most_used(view: &QuotaView) -> Option<BucketView> {
    let kinds = [view.tokens, view.input_tokens, view.output_tokens];
    let left = |bucket: &BucketView| {
        let limit = bucket.limit.unwrap_or(bucket.remaining).max(1);
        bucket.remaining as f64 / limit as f64
    };
    let known = kinds.into_iter().flatten();
    known.min_by(|a, b| left(a).total_cmp(&left(b)))
}
