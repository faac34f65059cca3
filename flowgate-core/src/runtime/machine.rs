//! What the machine says about itself.

use std::path::Path;

use crate::health::{self, Check};

/// How the disk is that a directory is on.
pub(super) fn disk_at(path: &Path) -> Check {
    #[cfg(unix)]
    {
        match rustix::fs::statvfs(path) {
            // What is reserved for root is not free.
            Ok(stat) => health::disk(
                stat.f_blocks.saturating_mul(stat.f_frsize),
                stat.f_bavail.saturating_mul(stat.f_frsize),
            ),
            Err(error) => health::disk_unseen(&format!("`{}`: {error}", path.display())),
        }
    }
    #[cfg(not(unix))]
    {
        health::disk_unseen(&format!("`{}`: this system does not say", path.display()))
    }
}

/// How the memory is.
pub(super) fn memory_now() -> Check {
    health::memory(std::fs::read_to_string("/proc/meminfo").ok().as_deref())
}
