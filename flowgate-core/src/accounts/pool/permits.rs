//! The requests that are under way.

use super::account::Slot;
use crate::Timestamp;

const NONE: u32 = u32::MAX;

/// The right to send one request with one account, and the duty to report how it went. If nothing
/// is reported, [`Pool::expire`](super::Pool::expire) takes it back when its lease ends.
#[must_use = "a permit occupies its account until it is reported"]
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    pub(super) slot: Slot,
    pub(super) id: u64,
    pub(super) probe: bool,
}

impl Permit {
    /// The account.
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// A number that no other permit of the pool has. [`Pool::permit`](super::Pool::permit) finds
    /// the permit by it.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Whether this request finds out if the account is back.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// What is remembered about a request that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Underway {
    pub(super) slot: Slot,
    pub(super) model: u32,
    pub(super) at: Timestamp,
    /// How many failures the pool had seen.
    pub(super) epoch: u64,
    /// What was charged.
    pub(super) tokens: u32,
    pub(super) estimate: u32,
    /// How much had been charged to the budget, this request included.
    pub(super) charged: super::budget::Mark,
    /// Whether its prompt was expected to be warm.
    pub(super) warm: bool,
    pub(super) probe: bool,
    pub(super) model_probe: bool,
    pub(super) provider_probe: bool,
    /// Whether its headers were seen, and said that it is served.
    pub(super) accepted: bool,
}

impl Underway {
    /// Whether it finds out if something is back.
    #[inline]
    pub(super) const fn is_probe(&self) -> bool {
        self.probe | self.model_probe | self.provider_probe
    }
}

#[derive(Clone, Debug)]
struct Entry {
    generation: u32,
    /// `None` if it is free.
    underway: Option<Underway>,
    older: u32,
    newer: u32,
}

/// The requests under way, in the order in which they were admitted, which is the order in which
/// their leases end.
#[derive(Clone, Debug)]
pub(super) struct Permits {
    entries: Vec<Entry>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
}

impl Default for Permits {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
        }
    }
}

fn split(id: u64) -> (usize, u32) {
    ((id & u64::from(u32::MAX)) as usize, (id >> 32) as u32)
}

impl Permits {
    /// Issues a permit.
    #[inline]
    pub(super) fn issue(&mut self, underway: Underway) -> u64 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry {
                generation: 0,
                underway: None,
                older: NONE,
                newer: NONE,
            });
            (self.entries.len() - 1) as u32
        });
        self.link(number, underway);
        u64::from(self.entries[number as usize].generation) << 32 | u64::from(number)
    }

    fn link(&mut self, number: u32, underway: Underway) {
        let older = std::mem::replace(&mut self.newest, number);
        let entry = &mut self.entries[number as usize];
        entry.underway = Some(underway);
        (entry.older, entry.newer) = (older, NONE);
        match older {
            NONE => self.oldest = number,
            _ => self.entries[older as usize].newer = number,
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<&Underway> {
        let (number, generation) = split(id);
        let entry = self.entries.get(number)?;
        entry
            .underway
            .as_ref()
            .filter(|_| entry.generation == generation)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Underway> {
        let (number, generation) = split(id);
        let entry = self.entries.get_mut(number)?;
        entry
            .underway
            .as_mut()
            .filter(|_| entry.generation == generation)
    }

    /// Consumes a permit, once.
    #[inline]
    pub(super) fn take(&mut self, id: u64) -> Option<Underway> {
        let (number, generation) = split(id);
        let entry = self.entries.get_mut(number)?;
        if entry.generation != generation {
            return None;
        }
        let underway = entry.underway?;
        entry.underway = None;
        entry.generation = entry.generation.wrapping_add(1);
        let (older, newer) = (entry.older, entry.newer);
        match older {
            NONE => self.oldest = newer,
            _ => self.entries[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.entries[newer as usize].older = older,
        }
        self.free.push(number as u32);
        Some(underway)
    }

    /// The one that was admitted first.
    #[inline]
    pub(super) fn oldest(&self) -> Option<(u64, &Underway)> {
        let entry = self.entries.get(self.oldest as usize)?;
        let id = u64::from(entry.generation) << 32 | u64::from(self.oldest);
        entry.underway.as_ref().map(|underway| (id, underway))
    }

    /// All, in the order in which they were admitted.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Underway)> {
        let known = |number: u32| (number != NONE).then_some(number);
        let numbers = std::iter::successors(known(self.oldest), move |number| {
            known(self.entries[*number as usize].newer)
        });
        numbers.filter_map(|number| {
            let entry = &self.entries[number as usize];
            let id = u64::from(entry.generation) << 32 | u64::from(number);
            entry.underway.as_ref().map(|underway| (id, underway))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// The generations of all places, and the free ones, the next one last: for a snapshot.
    pub(super) fn places(&self) -> (Vec<u32>, Vec<u32>) {
        let generations = self.entries.iter().map(|entry| entry.generation);
        (generations.collect(), self.free.clone())
    }

    /// Puts back what a snapshot holds. `None` if it does not fit together.
    pub(super) fn restore(
        generations: &[u32],
        free: Vec<u32>,
        underway: impl Iterator<Item = (u64, Underway)>,
    ) -> Option<Self> {
        let empty = |generation: &u32| Entry {
            generation: *generation,
            underway: None,
            older: NONE,
            newer: NONE,
        };
        let mut permits = Self {
            entries: generations.iter().map(empty).collect(),
            free,
            ..Self::default()
        };
        for (id, state) in underway {
            let (number, generation) = split(id);
            let entry = permits.entries.get(number)?;
            if entry.generation != generation || entry.underway.is_some() {
                return None;
            }
            permits.link(number as u32, state);
        }
        let mut seen = vec![false; permits.entries.len()];
        for number in &permits.free {
            let entry = permits.entries.get(*number as usize)?;
            if entry.underway.is_some() || std::mem::replace(&mut seen[*number as usize], true) {
                return None;
            }
        }
        let taken = permits.iter().count();
        (taken + permits.free.len() == permits.entries.len()).then_some(permits)
    }
}
