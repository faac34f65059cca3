//! What the server does in one step.

use redis::Script;

/// The scripts. A server that has forgotten them is given them again.
pub(super) struct Scripts {
    pub(super) merge: Script,
    pub(super) lease: Script,
    pub(super) slice: Script,
    pub(super) pick: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            merge: Script::new(include_str!("merge.lua")),
            lease: Script::new(include_str!("lease.lua")),
            slice: Script::new(include_str!("slice.lua")),
            pick: Script::new(include_str!("pick.lua")),
        }
    }
}
