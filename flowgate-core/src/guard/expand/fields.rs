//! The fields that a word becomes, each in all of its possible values.

use super::Split;
use crate::guard::value::{MANY, UNKNOWN_TEXT};

/// The longest value of a variable that is followed.
const LONGEST_VALUE: usize = 16 * 1024;

/// The fields that a word has become so far; the last one in each of its possible values.
#[derive(Debug, Default)]
pub(super) struct Fields {
    done: Vec<String>,
    current: Vec<String>,
    /// The current field exists, even if it is empty.
    begun: bool,
}

impl Fields {
    pub(super) fn push(&mut self, text: &str) {
        self.begun = true;
        if self.current.is_empty() {
            self.current.push(text.to_owned());
            return;
        }
        for current in &mut self.current {
            current.push_str(text);
        }
    }

    pub(super) fn push_any(&mut self, values: &[String]) {
        // `a=$a$a` over and over must not grow without bound.
        let longest = self.current.iter().map(String::len).max().unwrap_or(0)
            + values.iter().map(String::len).max().unwrap_or(0);
        if longest > LONGEST_VALUE {
            return self.push(UNKNOWN_TEXT);
        }
        if let [one] = values {
            return self.push(one);
        }
        self.begun = true;
        let old = std::mem::take(&mut self.current);
        let old = if old.is_empty() {
            vec![String::new()]
        } else {
            old
        };
        for value in values {
            for current in &old {
                if self.current.len() < MANY {
                    self.current.push(format!("{current}{value}"));
                }
            }
        }
    }

    pub(super) fn end_field(&mut self) {
        if self.begun {
            if self.current.is_empty() {
                self.current.push(String::new());
            }
            self.done.append(&mut self.current);
            self.begun = false;
        }
    }

    pub(super) fn finish(mut self, split: Split) -> Vec<String> {
        self.end_field();
        if self.done.is_empty() && split == Split::No {
            self.done.push(String::new());
        }
        self.done
    }
}
