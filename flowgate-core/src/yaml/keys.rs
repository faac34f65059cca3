//! Keys of a mapping: no two the same, and what `<<` brings in.

use std::collections::HashSet;

use super::{Entry, Node, Value};
use crate::diagnostic::Diagnostic;

/// Stands for `<<` in a mapping that is being read. No real key holds a control character.
pub(super) const MERGE_KEY: &str = "\u{0}<<";

/// Mappings up to this size, nearly all, are cheaper to compare than to index.
const SMALL: usize = 16;

/// The entries of a mapping: duplicates are reported and left out, merge keys are applied.
pub(super) fn finish(mut entries: Vec<Entry>, problems: &mut Vec<Diagnostic>) -> Vec<Entry> {
    let again = duplicates(&entries);
    if !again.is_empty() {
        problems.extend(
            again
                .iter()
                .map(|&(first, again)| report(&entries, first, again)),
        );
        let again: HashSet<usize> = again.into_iter().map(|(_, again)| again).collect();
        let mut index = 0..;
        entries.retain(|_| index.next().is_some_and(|index| !again.contains(&index)));
    }
    let Some(position) = entries.iter().position(|entry| entry.key == MERGE_KEY) else {
        return entries;
    };
    let merge = entries.remove(position);
    let known = entries.iter().map(|entry| entry.key.clone()).collect();
    let merged = merged(merge.value, known, problems);
    entries.splice(position..position, merged);
    entries
}

/// The positions of each entry whose key was there before, and of the first that has it.
pub(super) fn duplicates(entries: &[Entry]) -> Vec<(usize, usize)> {
    if entries.len() <= SMALL {
        let first = |again: usize| {
            let first = entries[..again]
                .iter()
                .position(|e| e.key == entries[again].key)?;
            Some((first, again))
        };
        return (1..entries.len()).filter_map(first).collect();
    }
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&a, &b| entries[a].key.cmp(&entries[b].key).then(a.cmp(&b)));
    let mut found = Vec::new();
    let mut first = order[0];
    for &at in &order[1..] {
        if entries[at].key == entries[first].key {
            found.push((first, at));
        } else {
            first = at;
        }
    }
    found.sort_unstable_by_key(|(_, again)| *again);
    found
}

fn report(entries: &[Entry], first: usize, again: usize) -> Diagnostic {
    let name = match entries[again].key.as_str() {
        MERGE_KEY => "<<",
        name => name,
    };
    let message = format!("duplicate key `{name}`");
    Diagnostic::error("yaml.duplicate_key", entries[again].key_span, message)
        .related(entries[first].key_span, "first written here")
        .hint("remove one of them: only one value can count")
}

/// The entries that `<<` brings in: those that are not known yet, earlier ones first.
fn merged(source: Node, mut known: HashSet<String>, problems: &mut Vec<Diagnostic>) -> Vec<Entry> {
    let span = source.span;
    let sources = match source.value {
        Value::Sequence(items) => items,
        value => vec![Node { value, span }],
    };
    let mut merged = Vec::new();
    for source in sources {
        let Value::Mapping(entries) = source.value else {
            let message = "`<<` takes a mapping, or a list of mappings";
            problems.push(
                Diagnostic::error("yaml.merge_key", source.span, message)
                    .hint("write `<<: *anchor`, where the anchor is on a mapping"),
            );
            continue;
        };
        merged.extend(
            entries
                .into_iter()
                .filter(|entry| known.insert(entry.key.clone())),
        );
    }
    merged
}
