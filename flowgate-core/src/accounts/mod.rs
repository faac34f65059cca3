//! Which provider account serves the next request, and what does this answer mean for it?

mod class;

pub use class::{Action, Class, Classification, Scope, Transport};
