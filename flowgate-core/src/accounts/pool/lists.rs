//! Which models an account serves: many accounts say the same, and it is kept once.

use hashbrown::HashTable;

use super::account::NONE;
use super::names::mix;

/// Lists of models, each with a number. [`NONE`] is no list: all models.
#[derive(Clone, Debug, Default)]
pub(super) struct ModelLists {
    lists: Vec<Box<[u32]>>,
    numbers: HashTable<u32>,
}

impl ModelLists {
    /// The number of a list; the empty one is none.
    pub(super) fn add(&mut self, list: &[u32]) -> u32 {
        if list.is_empty() {
            return NONE;
        }
        let lists = &self.lists;
        let same = |number: &u32| *lists[*number as usize] == *list;
        if let Some(known) = self.numbers.find(hash(list), same) {
            return *known;
        }
        let number = self.lists.len() as u32;
        self.lists.push(list.into());
        let lists = &self.lists;
        let rehash = |number: &u32| hash(&lists[*number as usize]);
        self.numbers.insert_unique(hash(list), number, rehash);
        number
    }

    pub(super) fn get(&self, number: u32) -> Option<&[u32]> {
        self.lists.get(number as usize).map(|list| &**list)
    }
}

fn hash(list: &[u32]) -> u64 {
    list.iter()
        .fold(0, |hash, model| mix(hash ^ u64::from(*model)))
}
