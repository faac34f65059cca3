//! What differs between two documents, leaf by leaf.

use std::collections::BTreeMap;

use serde::Serialize;

use super::merge::visit_node;
use crate::redact::redact_at;
use crate::yaml::Node;

/// One leaf that differs.
#[derive(Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// The leaf, such as `litellm_settings.num_retries`.
    pub path: String,
    /// How it differs.
    pub kind: ChangeKind,
    /// Its value before; `None` if it was not there.
    pub before: Option<Node>,
    /// Its value after; `None` if it is not there.
    pub after: Option<Node>,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |node: &Option<Node>| node.as_ref().map(|node| redact_at(&self.path, node));
        f.debug_struct("Change")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .field("before", &shown(&self.before))
            .field("after", &shown(&self.after))
            .finish()
    }
}

/// How a leaf differs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Only the second document has it.
    Added,
    /// Both have it, with other values.
    Changed,
    /// Only the first document has it.
    Removed,
}

/// The leaves that differ: those of `before` in its order, then what `after` adds.
pub(super) fn diff(before: &Node, after: &Node) -> Vec<Change> {
    let mut new = leaves(after);
    let index: BTreeMap<String, usize> = new
        .iter()
        .enumerate()
        .map(|(i, (path, _))| (path.clone(), i))
        .collect();
    let mut changes = Vec::new();
    for (path, old) in leaves(before) {
        let found = index.get(&path).and_then(|&i| new[i].1.take());
        let kind = match &found {
            Some(node)
                if node.value == old.as_ref().map(|o| o.value.clone()).unwrap_or_default() =>
            {
                continue;
            }
            Some(_) => ChangeKind::Changed,
            None => ChangeKind::Removed,
        };
        changes.push(Change {
            path,
            kind,
            before: old,
            after: found,
        });
    }
    let added = new.into_iter().filter_map(|(path, node)| {
        let after = Some(node?);
        Some(Change {
            path,
            kind: ChangeKind::Added,
            before: None,
            after,
        })
    });
    changes.extend(added);
    changes
}

fn leaves(document: &Node) -> Vec<(String, Option<Node>)> {
    let mut leaves = Vec::new();
    visit_node(&mut String::new(), document, false, &mut |path, node, _| {
        leaves.push((path.to_owned(), Some(node.clone())))
    });
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_added_changed_and_removed() {
        let before: Node = serde_json::from_str(r#"{"a":1,"b":{"c":[1,2]},"d":5}"#).unwrap();
        let after: Node = serde_json::from_str(r#"{"a":1,"b":{"c":[1,3,4]},"e":{}}"#).unwrap();
        let changes: Vec<_> = diff(&before, &after)
            .into_iter()
            .map(|c| (c.path, c.kind))
            .collect();
        let expected = [
            ("b.c[1]", ChangeKind::Changed),
            ("d", ChangeKind::Removed),
            ("b.c[2]", ChangeKind::Added),
            ("e", ChangeKind::Added),
        ];
        assert_eq!(
            changes,
            expected.map(|(path, kind)| (path.to_owned(), kind))
        );
        assert_eq!(diff(&before, &before), []);
    }
}
