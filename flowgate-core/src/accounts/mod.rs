//! Which provider account serves the next request, and what does this answer mean for it?

mod class;
mod classify;
mod headers;
mod moment;
mod pool;
mod quota;
mod quota_view;

pub use class::{Action, Class, Classification, Scope, Transport};
pub use classify::{Answer, Rule, RuleError, Rules, SCANNED, classify};
pub use headers::Headers;
pub use pool::{
    AccountSpec, Affinity, Attempt, Backoff, Candidate, Event, EventKind, Left, Lifecycle, Model,
    Outcome, Permit, Pick, Pool, PoolState, ProviderSettings, Ramp, RefreshLease, Refreshed,
    Request, Retry, Settings, Slot, SnapshotError, Standing, Step, Strategy, Verdict, Why, session,
};
pub use quota_view::{BucketView, QuotaView, Window, WindowView};
