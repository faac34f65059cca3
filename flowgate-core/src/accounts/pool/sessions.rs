//! Which session is warm on which account.

use hashbrown::HashTable;

use super::names::mix;
use crate::Timestamp;

const NONE: u32 = u32::MAX;

/// A bounded map from session and model to the account that served last. The one that was silent
/// longest makes room for a new one.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    table: HashTable<u32>,
    entries: Vec<Entry>,
    /// Silent longest.
    oldest: u32,
    newest: u32,
    capacity: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    session: u64,
    until: Timestamp,
    model: u32,
    slot: u32,
    /// The one that was used before this one, and after it.
    older: u32,
    newer: u32,
}

impl Sessions {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            table: HashTable::new(),
            entries: Vec::new(),
            oldest: NONE,
            newest: NONE,
            capacity: capacity.min(NONE - 1) as usize,
        }
    }

    fn find(&self, session: u64, model: u32) -> Option<u32> {
        let same = |number: &u32| {
            let entry = &self.entries[*number as usize];
            entry.session == session && entry.model == model
        };
        self.table.find(hash(session, model), same).copied()
    }

    /// The account of a session that is not forgotten, and where that is remembered.
    #[inline]
    pub(super) fn get(&self, session: u64, model: u32, now: Timestamp) -> Option<(u32, u32)> {
        let number = self.find(session, model)?;
        let entry = &self.entries[number as usize];
        (entry.until > now).then_some((number, entry.slot))
    }

    /// When a session is forgotten if nothing comes.
    #[inline]
    pub(super) fn until(&self, number: u32) -> Timestamp {
        self.entries[number as usize].until
    }

    /// The session was served by the account that it has.
    #[inline]
    pub(super) fn touch(&mut self, number: u32, until: Timestamp) {
        let entry = &mut self.entries[number as usize];
        // The order only decides who makes room, so a second does not matter.
        let moves = until.saturating_sub(entry.until) > 1_000;
        entry.until = until;
        if moves && number != self.newest {
            self.unlink(number);
            self.link(number);
        }
    }

    /// The session is served by this account from now on.
    pub(super) fn bind(&mut self, session: u64, model: u32, slot: u32, until: Timestamp) {
        if self.capacity == 0 {
            return;
        }
        if let Some(number) = self.find(session, model) {
            self.entries[number as usize].slot = slot;
            self.touch(number, until);
            return;
        }
        let entry = Entry {
            session,
            until,
            model,
            slot,
            older: NONE,
            newer: NONE,
        };
        let number = if self.entries.len() < self.capacity {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            let number = self.oldest;
            self.forget(number);
            self.entries[number as usize] = entry;
            number
        };
        self.link(number);
        let entries = &self.entries;
        let rehash = |number: &u32| {
            let entry = &entries[*number as usize];
            hash(entry.session, entry.model)
        };
        self.table
            .insert_unique(hash(session, model), number, rehash);
    }

    fn forget(&mut self, number: u32) {
        let entry = self.entries[number as usize];
        let hash = hash(entry.session, entry.model);
        if let Ok(found) = self.table.find_entry(hash, |other| *other == number) {
            found.remove();
        }
        self.unlink(number);
    }

    fn unlink(&mut self, number: u32) {
        let Entry { older, newer, .. } = self.entries[number as usize];
        match older {
            NONE => self.oldest = newer,
            _ => self.entries[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            _ => self.entries[newer as usize].older = older,
        }
    }

    fn link(&mut self, number: u32) {
        let newest = std::mem::replace(&mut self.newest, number);
        let entry = &mut self.entries[number as usize];
        (entry.older, entry.newer) = (newest, NONE);
        match newest {
            NONE => self.oldest = number,
            _ => self.entries[newest as usize].newer = number,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Session, model, slot and end, silent longest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u32, u32, Timestamp)> + '_ {
        let known = |number: u32| (number != NONE).then_some(number);
        let numbers = std::iter::successors(known(self.oldest), move |number| {
            known(self.entries[*number as usize].newer)
        });
        numbers.map(|number| {
            let entry = &self.entries[number as usize];
            (entry.session, entry.model, entry.slot, entry.until)
        })
    }
}

#[inline]
fn hash(session: u64, model: u32) -> u64 {
    mix(session ^ (u64::from(model) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_silent_longest_makes_room() {
        let mut sessions = Sessions::new(2);
        sessions.bind(1, 0, 10, 10_000);
        sessions.bind(2, 0, 20, 10_001);
        let (first, _) = sessions.get(1, 0, 0).unwrap();
        sessions.touch(first, 20_000);
        sessions.bind(3, 0, 30, 20_001);
        assert_eq!(sessions.get(1, 0, 0).map(|(_, slot)| slot), Some(10));
        assert_eq!(sessions.get(2, 0, 0), None);
        assert_eq!(sessions.get(3, 0, 0).map(|(_, slot)| slot), Some(30));
        assert_eq!(sessions.get(1, 0, 20_000), None, "silent too long");
        assert_eq!(sessions.len(), 2);
    }

    #[test]
    fn a_session_of_one_model_says_nothing_about_another() {
        let mut sessions = Sessions::new(8);
        sessions.bind(1, 1, 10, 100);
        assert_eq!(sessions.get(1, 2, 0), None);
        sessions.bind(1, 1, 11, 100);
        assert_eq!(sessions.get(1, 1, 0).map(|(_, slot)| slot), Some(11));
    }
}
