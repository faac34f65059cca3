//! Which provider account serves the next request, and what does this answer mean for it?

mod class;
mod quota_view;

pub use class::{Action, Class, Classification, Scope, Transport};
pub use quota_view::{BucketView, QuotaView, Window, WindowView};
