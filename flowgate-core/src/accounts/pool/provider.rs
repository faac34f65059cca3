//! A provider that is overloaded is left alone as a whole: its accounts can do nothing about it.

use serde::{Deserialize, Serialize};

use super::bitset::Bitset;
use super::settings::ProviderSettings;
use crate::Timestamp;

/// The breaker of a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ProviderBreaker {
    until: Timestamp,
    level: u8,
    /// The end of the lease of the request that tries. Zero: none does.
    probe: Timestamp,
    /// Which accounts heard of it lately, and when.
    seen: Vec<(u32, Timestamp)>,
}

/// A provider: its breaker, and its accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Provider {
    pub(super) breaker: ProviderBreaker,
    pub(super) members: Bitset,
    /// The accounts that may have a cooldown because of overload.
    pub(super) cooled: Bitset,
}

impl ProviderBreaker {
    /// When the next request may go, if not now.
    #[inline]
    pub(super) fn blocked(&self, now: Timestamp) -> Option<Timestamp> {
        if self.until > now {
            return Some(self.until);
        }
        (self.level > 0 && self.probe > now).then_some(self.probe)
    }

    /// A request goes. Answers whether it is the probe.
    #[inline]
    pub(super) fn admit(&mut self, now: Timestamp, lease_ms: u64) -> bool {
        if self.level > 0 {
            self.probe = now.saturating_add(lease_ms);
        }
        self.level > 0
    }

    /// The probe that was admitted at that time is over.
    pub(super) fn release(&mut self, admitted: Timestamp, lease_ms: u64) {
        if self.probe == admitted.saturating_add(lease_ms) {
            self.probe = 0;
        }
    }

    /// Whether there is something that a success ends.
    pub(super) fn is_doubted(&self) -> bool {
        self.level > 0 || !self.seen.is_empty()
    }

    /// It serves. Answers whether it was thought not to.
    pub(super) fn close(&mut self) -> bool {
        let was_open = self.level > 0;
        (self.until, self.level, self.probe) = (0, 0, 0);
        self.seen.clear();
        was_open
    }

    /// An account heard that it is overloaded; so many could. Answers whether it is left alone.
    pub(super) fn overloaded(
        &mut self,
        now: Timestamp,
        index: u32,
        live: usize,
        settings: &ProviderSettings,
    ) -> bool {
        self.seen
            .retain(|(other, at)| *other != index && now.saturating_sub(*at) < settings.within_ms);
        self.seen.push((index, now));
        let enough = (settings.min_accounts as usize).min(live);
        if self.seen.len() > enough.max(1) {
            self.seen.remove(0);
        }
        if self.level == 0 && self.seen.len() < enough {
            return false;
        }
        if self.until <= now {
            self.until = now.saturating_add(settings.backoff.after(self.level.min(10)));
            self.level = self.level.saturating_add(1);
        }
        true
    }

    /// Another process has seen that it is overloaded.
    pub(super) fn learn(&mut self, until: Timestamp, level: u8) {
        self.until = self.until.max(until);
        self.level = self.level.max(level);
    }

    /// Another process tries, until then at most.
    pub(super) fn probed_elsewhere(&mut self, until: Timestamp) {
        self.probe = until;
    }

    /// How many steps its backoff has grown. Zero: it serves.
    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    /// Whether the next request is a probe.
    pub(super) fn tries(&self, now: Timestamp) -> bool {
        self.level > 0 && self.blocked(now).is_none()
    }

    /// Until when it is left alone.
    pub(super) fn until(&self) -> Timestamp {
        self.until
    }
}
