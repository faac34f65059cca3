//! Which provider account serves the next request, and what does this answer mean for it?

mod class;
mod classify;
mod headers;
mod moment;
mod quota_view;

pub use class::{Action, Class, Classification, Scope, Transport};
pub use classify::{Answer, Rule, RuleError, Rules, SCANNED, classify};
pub use headers::Headers;
pub use quota_view::{BucketView, QuotaView, Window, WindowView};
