//! The patterns of rules: `*` is any run of characters, `|` separates alternatives.

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
pub(crate) fn any<S: AsRef<str>>(patterns: &[S], text: &str, ignore_case: bool) -> bool {
    patterns
        .iter()
        .any(|p| matches(p.as_ref(), text, ignore_case))
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
