//! A set of slots that finds the next member quickly, however far away it is.

/// A growing set of small numbers, one bit each, with a summary of one bit for each word.
#[derive(Clone, Debug, Default)]
pub(super) struct Bitset {
    words: Vec<u64>,
    /// Which words are not zero.
    summary: Vec<u64>,
    len: u32,
}

impl Bitset {
    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn contains(&self, member: u32) -> bool {
        self.word(member as usize / 64) >> (member % 64) & 1 != 0
    }

    /// Adds or takes away a member.
    pub(super) fn put(&mut self, member: u32, present: bool) {
        let word = member as usize / 64;
        if word >= self.words.len() {
            if !present {
                return;
            }
            self.words.resize(word + 1, 0);
            self.summary.resize(word / 64 + 1, 0);
        }
        let bit = 1_u64 << (member % 64);
        let was = self.words[word] & bit != 0;
        if was == present {
            return;
        }
        self.words[word] ^= bit;
        if present {
            self.len += 1;
            self.summary[word / 64] |= 1 << (word % 64);
        } else {
            self.len -= 1;
            if self.words[word] == 0 {
                self.summary[word / 64] &= !(1 << (word % 64));
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
        self.summary.fill(0);
        self.len = 0;
    }

    /// The members from `64 * word` on, one bit each.
    #[inline]
    pub(super) fn word(&self, word: usize) -> u64 {
        self.words.get(word).copied().unwrap_or(0)
    }

    /// The first word from `word` on that has a member.
    #[inline]
    pub(super) fn next_word(&self, word: usize) -> Option<usize> {
        if self.word(word) != 0 {
            return Some(word);
        }
        let mut group = word / 64;
        let mut bits = self.summary.get(group)? & (u64::MAX << (word % 64));
        while bits == 0 {
            group += 1;
            bits = *self.summary.get(group)?;
        }
        Some(group * 64 + bits.trailing_zeros() as usize)
    }

    /// The members in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let words = std::iter::successors(self.next_word(0), |word| self.next_word(word + 1));
        words.flat_map(|word| members(self.word(word), word))
    }

    /// Adds all members of another set.
    pub(super) fn extend(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
            self.summary.resize(other.summary.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            self.len += (more & !*word).count_ones();
            *word |= more;
        }
        for (word, more) in self.summary.iter_mut().zip(&other.summary) {
            *word |= more;
        }
    }
}

/// The members that a word stands for.
pub(super) fn members(bits: u64, word: usize) -> impl Iterator<Item = u32> {
    let rest = std::iter::successors(Some(bits), |bits| Some(bits & bits.wrapping_sub(1)));
    rest.take_while(|bits| *bits != 0)
        .map(move |bits| word as u32 * 64 + bits.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(changes in prop::collection::vec((0_u32..20_000, any::<bool>()), 0..400)) {
            let (mut bits, mut set) = (Bitset::default(), BTreeSet::new());
            for (member, present) in changes {
                bits.put(member, present);
                if present { set.insert(member); } else { set.remove(&member); }
            }
            prop_assert_eq!(bits.len(), set.len());
            prop_assert!(bits.iter().eq(set.iter().copied()));
            for member in set {
                prop_assert!(bits.contains(member));
                prop_assert!(!bits.contains(member + 1) || bits.next_word(member as usize / 64).is_some());
            }
        }
    }
}
