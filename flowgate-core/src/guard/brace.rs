//! Brace expansion: `{a,b}` and `{1..9}`, bounded.

use super::skip::{Nest, skip, skip_single};
use super::value::MANY;

/// A word longer than this has only its first braces expanded.
const LONG: usize = 2048;

/// Expands the braces of a raw word, at most [`MANY`] words; `None` if it has none to expand.
pub(crate) fn expand(raw: &str) -> Option<Vec<String>> {
    let (start, end, commas) = find(raw, 0)?;
    let mut done = Vec::new();
    let mut queue = vec![(raw.to_owned(), Some((start, end, commas)))];
    while let Some((word, braces)) = queue.pop() {
        let Some((start, end, commas)) = braces else {
            done.push(word);
            continue;
        };
        let (prefix, suffix) = (&word[..start], &word[end + 1..]);
        for item in items(&word[start + 1..end], &commas, start + 1)
            .iter()
            .rev()
        {
            if queue.len() + done.len() >= MANY {
                break;
            }
            let next = format!("{prefix}{item}{suffix}");
            // Each step copies the word: a long one is expanded once.
            let braces = if raw.len() > LONG {
                None
            } else {
                find(&next, start)
            };
            queue.push((next, braces));
        }
    }
    Some(done)
}

/// Finds the first braces that expand: their offsets and those of the commas between.
fn find(raw: &str, from: usize) -> Option<(usize, usize, Vec<usize>)> {
    let bytes = raw.as_bytes();
    let mut open: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut found: Option<(usize, usize, Vec<usize>)> = None;
    let mut i = from;
    while let Some(&byte) = bytes.get(i) {
        match byte {
            b'\\' => i += 1,
            b'\'' => i = skip_single(bytes, i + 1, false) - 1,
            b'"' => i = skip(bytes, i + 1, Nest::Double).0 - 1,
            b'`' => i = skip(bytes, i + 1, Nest::Backtick).0 - 1,
            b'$' if bytes.get(i + 1) == Some(&b'(') => i = skip(bytes, i + 2, Nest::Command).0 - 1,
            b'$' if bytes.get(i + 1) == Some(&b'{') => i = skip(bytes, i + 2, Nest::Brace).0 - 1,
            b'{' => open.push((i, Vec::new())),
            b',' => {
                if let Some(top) = open.last_mut() {
                    top.1.push(i);
                }
            }
            b'}' => {
                if let Some((start, commas)) = open.pop()
                    && (!commas.is_empty() || range(&raw[start + 1..i]).is_some())
                {
                    // The outermost of those that close last wins, so that inner ones expand later.
                    found = Some((start, i, commas));
                    if open.is_empty() {
                        return found;
                    }
                }
            }
            _ => {}
        }
        i += 1;
    }
    found
}

fn items(inner: &str, commas: &[usize], offset: usize) -> Vec<String> {
    if commas.is_empty() {
        return range(inner).unwrap_or_default();
    }
    let mut from = 0;
    let mut items = Vec::new();
    for comma in commas.iter().map(|c| c - offset).chain([inner.len()]) {
        items.push(inner[from..comma].to_owned());
        from = comma + 1;
    }
    items
}

fn range(inner: &str) -> Option<Vec<String>> {
    let mut ends = inner.split("..");
    let (first, last) = (ends.next()?, ends.next()?);
    if let (Ok(a), Ok(b)) = (first.parse::<i64>(), last.parse::<i64>()) {
        let count = a.abs_diff(b).min(MANY as u64 - 1) as i64;
        return Some(
            (0..=count)
                .map(|n| {
                    (if a <= b {
                        a.saturating_add(n)
                    } else {
                        a.saturating_sub(n)
                    })
                    .to_string()
                })
                .collect(),
        );
    }
    let (a, b) = (single(first)?, single(last)?);
    Some(
        (a.min(b)..=a.max(b))
            .map(|c| char::from(c).to_string())
            .collect(),
    )
}

fn single(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_alphabetic() => Some(*byte),
        _ => None,
    }
}
