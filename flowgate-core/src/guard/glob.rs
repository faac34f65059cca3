//! The patterns of rules: `*` is any run of characters, `|` separates alternatives.

use super::ruleset::{Pattern, word_bit};

/// Whether one of the alternatives of a pattern matches the whole text.
pub(crate) fn matches(pattern: &str, text: &str, ignore_case: bool) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    if !pattern.contains(&b'|') {
        return one(pattern, text, ignore_case);
    }
    pattern
        .split(|&b| b == b'|')
        .any(|p| one(p, text, ignore_case))
}

/// Whether some pattern of a list matches.
pub(crate) fn any(patterns: &[Pattern], text: &str, ignore_case: bool) -> bool {
    patterns.iter().any(|p| p.matches(text, ignore_case))
}

impl Pattern {
    /// Whether one of the alternatives matches the whole text.
    pub(crate) fn matches(&self, text: &str, ignore_case: bool) -> bool {
        self.matches_word(text, word_bit(text), ignore_case)
    }

    /// The same for a word whose [`word_bit`] is known.
    pub(crate) fn matches_word(&self, word: &str, bit: u64, ignore_case: bool) -> bool {
        self.bits & bit != 0 && word.len() >= self.least.into() && self.compare(word, ignore_case)
    }

    fn compare(&self, text: &str, ignore_case: bool) -> bool {
        self.any
            .iter()
            .any(|p| one(p.as_bytes(), text.as_bytes(), ignore_case))
    }
}

fn one(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let same = |a: u8, b: u8| a == b || ignore_case && a.eq_ignore_ascii_case(&b);
    let (mut p, mut t) = (0, 0);
    // Where to go back to: the pattern after the last star, and the text it was tried at.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            back = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|&b| same(b, text[t])) {
            p += 1;
            t += 1;
        } else if let Some((star, at)) = back {
            p = star;
            t = at + 1;
            back = Some((star, at + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}
