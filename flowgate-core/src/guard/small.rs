//! A list that needs no heap while it is short.

use std::ops::Deref;

/// A list of plain values: the first `N` inside, all of them on the heap when there are more.
#[derive(Clone, Debug)]
pub(crate) struct Small<T, const N: usize> {
    inline: [T; N],
    len: usize,
    heap: Vec<T>,
}

impl<T: Copy + Default, const N: usize> Small<T, N> {
    pub(crate) fn new() -> Self {
        Self {
            inline: [T::default(); N],
            len: 0,
            heap: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, item: T) {
        if !self.heap.is_empty() {
            self.heap.push(item);
        } else if self.len < N {
            self.inline[self.len] = item;
            self.len += 1;
        } else {
            self.heap.reserve(N * 4);
            self.heap.extend_from_slice(&self.inline);
            self.heap.push(item);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        if !self.heap.is_empty() {
            let item = self.heap.pop();
            if self.heap.is_empty() {
                self.len = 0;
            }
            return item;
        }
        self.len = self.len.checked_sub(1)?;
        Some(self.inline[self.len])
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.heap.clear();
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        if self.heap.is_empty() {
            self.inline[..self.len].last_mut()
        } else {
            self.heap.last_mut()
        }
    }
}

impl<T: Copy + Default, const N: usize> Default for Small<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Deref for Small<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        if self.heap.is_empty() {
            &self.inline[..self.len]
        } else {
            &self.heap
        }
    }
}
