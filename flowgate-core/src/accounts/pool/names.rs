//! Names and the small numbers that stand for them.

use hashbrown::HashTable;

/// Gives every name a number, and keeps it until the name is removed.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    names: Vec<Option<Box<str>>>,
    numbers: HashTable<u32>,
    free: Vec<u32>,
}

impl Names {
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let same = |number: &u32| self.name(*number) == Some(name);
        self.numbers.find(hash(name), same).copied()
    }

    /// The number of a name, and whether the name is new.
    pub(super) fn add(&mut self, name: &str) -> (u32, bool) {
        if let Some(number) = self.find(name) {
            return (number, false);
        }
        let number = self.free.pop().unwrap_or(self.names.len() as u32);
        self.put(name, number);
        (number, true)
    }

    /// Gives a name that is not there a number that is free, as when a snapshot is read.
    pub(super) fn put(&mut self, name: &str, number: u32) {
        if number as usize >= self.names.len() {
            self.names.resize(number as usize + 1, None);
        }
        self.names[number as usize] = Some(name.into());
        let names = &self.names;
        let rehash = |number: &u32| names[*number as usize].as_deref().map_or(0, hash);
        self.numbers.insert_unique(hash(name), number, rehash);
    }

    pub(super) fn remove(&mut self, number: u32) {
        let Some(name) = self.names.get_mut(number as usize).and_then(Option::take) else {
            return;
        };
        if let Ok(entry) = self.numbers.find_entry(hash(&name), |n| *n == number) {
            entry.remove();
        }
        self.free.push(number);
    }

    pub(super) fn name(&self, number: u32) -> Option<&str> {
        self.names.get(number as usize)?.as_deref()
    }

    /// How many numbers are in use or were.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The numbers to be given out again, the next one last.
    pub(super) fn free(&self) -> &[u32] {
        &self.free
    }

    /// Says how many numbers were ever given out, and which of them are free.
    pub(super) fn set_free(&mut self, len: usize, free: Vec<u32>) {
        self.names.resize(len.max(self.names.len()), None);
        self.free = free;
    }
}

/// FNV-1a, finished so that all bits count. It is the same everywhere and for ever.
pub(super) fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(fnv)
}

/// The finisher of SplitMix64: every bit of the answer depends on every bit of the question.
#[inline]
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_a_removed_one_gives_it_back() {
        let mut names = Names::default();
        assert_eq!(names.add("a"), (0, true));
        assert_eq!(names.add("b"), (1, true));
        assert_eq!(names.add("a"), (0, false));
        names.remove(0);
        assert_eq!(names.find("a"), None);
        assert_eq!(names.add("c"), (0, true));
        assert_eq!((names.name(0), names.name(1)), (Some("c"), Some("b")));
    }
}
