//! How many connections are forwarded at once: each takes two descriptors, and the supervisor needs
//! some for itself.

use std::sync::OnceLock;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{Semaphore, SemaphorePermit};

/// What the supervisor keeps for itself.
const OWN: u64 = 256;
/// Even if there are next to none.
const FEWEST: u64 = 16;
/// If the system has no limit.
const MOST: u64 = 1 << 16;

/// Waits for a place.
pub(super) async fn take() -> Option<SemaphorePermit<'static>> {
    static PLACES: OnceLock<Semaphore> = OnceLock::new();
    let places = PLACES.get_or_init(|| {
        let places = number(getrlimit(Resource::Nofile).current);
        Semaphore::new(usize::try_from(places).unwrap_or(Semaphore::MAX_PERMITS))
    });
    // An error would be that it was closed, which nobody does.
    places.acquire().await.ok()
}

/// How many places there are under this limit of descriptors.
fn number(descriptors: Option<u64>) -> u64 {
    let pairs = descriptors.map_or(MOST, |most| most.saturating_sub(OWN) / 2);
    pairs.clamp(FEWEST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supervisor_keeps_descriptors_for_itself() {
        assert_eq!(number(Some(1024)), 384);
        assert_eq!(number(Some(20)), FEWEST);
        assert_eq!(number(Some(u64::MAX)), MOST);
        assert_eq!(number(None), MOST);
    }
}
