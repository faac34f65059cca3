//! Which provider account serves the next request, and what does this answer mean for it?
//!
//! * [`classify`] reads an answer of a provider: what it means, for whom, and how long to wait.
//! * [`QuotaView`] is what an answer says about quota.
//! * A [`Pool`] decides who serves: [`Pool::pick`] gives a [`Permit`], [`Pool::on_headers`] and
//!   [`Pool::report`] (or [`Pool::answered`], which reads the answer too) say how it went,
//!   [`Pool::next`] what to do about a failure.
//!
//! Everything is a value: nothing here sends, waits, or asks what time it is. Rotation is for
//! accounts and keys of one's own, and the terms of the provider apply.
//!
//! # Example
//!
//! ```
//! use flowgate_core::accounts::{
//!     AccountSpec, Answer, Attempt, Outcome, Pick, Pool, QuotaView, Request, Rules, Settings, Step,
//!     classify, session,
//! };
//!
//! let mut now = 1_700_000_000_000;
//! let mut pool = Pool::new(Settings::default());
//! pool.upsert(&AccountSpec::new("claude-1", "anthropic"), now);
//! pool.upsert(&AccountSpec::new("claude-2", "anthropic"), now);
//!
//! let request = Request {
//!     model: pool.model("claude-sonnet"),
//!     session: Some(session("conversation-7")),
//!     tokens: 12_000,
//!     ..Request::default()
//! };
//! let mut attempt = Attempt::new(now, None);
//! let Pick::Use(permit) = pool.pick(now, &request) else { panic!("both are free") };
//! assert_eq!(pool.id(permit.slot()), Some("claude-1"));
//!
//! // It was refused: the pool lets the account rest, and another goes.
//! now += 100;
//! let headers = [("retry-after", "30")];
//! let answer = Answer { provider: "anthropic", status: Some(429), headers: &headers, ..Answer::default() };
//! let meaning = classify(&answer, now, &Rules::default());
//! let verdict = pool.report(now, permit, &Outcome::from(meaning));
//! assert_eq!(pool.next(now, &verdict, &mut attempt), Step::RetryNow);
//! let Pick::Use(permit) = pool.pick(now, &request) else { panic!("the other is free") };
//! assert_eq!(pool.id(permit.slot()), Some("claude-2"));
//!
//! // Its headers say what is left, and later its end is known.
//! let headers = [("anthropic-ratelimit-requests-limit", "50"), ("anthropic-ratelimit-requests-remaining", "49")];
//! pool.on_headers(now + 400, &permit, true, &QuotaView::from_headers(&headers, now + 400));
//! pool.report(now + 9_000, permit, &Outcome::ok(Some(11_480)));
//! ```

mod class;
mod classify;
mod date;
mod fact;
mod headers;
mod moment;
mod pool;
mod quota;
mod quota_view;
pub mod simulate;
pub(crate) mod sse;

pub use class::{Action, Class, Classification, Scope, Transport};
pub use classify::{Answer, Rule, RuleError, Rules, SCANNED, classify};
pub use fact::Fact;
pub use headers::Headers;
pub use pool::{
    AccountSpec, AccountState, AccountView, Affinity, Ask, Attempt, Backoff, Candidate, Event,
    EventKind, Left, Lifecycle, Model, ModelView, Outcome, Permit, Pick, Pool, PoolGuard,
    PoolState, ProviderSettings, Ramp, RefreshLease, Refreshed, Remaining, Request, Retry,
    Settings, Share, SharedPool, Slice, SliceWanted, Slot, SnapshotError, Standing, Step, Strategy,
    Subject, Verdict, Why, WindowLeft, session,
};
pub use quota_view::{BucketView, QuotaView, Window, WindowView};
