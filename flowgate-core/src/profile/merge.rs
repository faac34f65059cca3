//! Laying one document over another.

use std::fmt::Write;

use super::suspicion::Suspicions;
use super::{DELETE, Index};
use crate::diagnostic::{Diagnostic, Span, Step};
use crate::yaml::{Entry, Node, Value};

/// Two documents, one laid over the other, without a copy of either.
#[derive(Clone)]
pub enum Merged<'d> {
    /// A mapping that both documents have, or one from the overlay that removes keys.
    Mapping {
        /// Keys and values: those of the base in their order, then what the overlay adds.
        entries: Vec<(&'d str, Self)>,
        /// Where the mapping was written first.
        span: Span,
        /// True if only the overlay has it.
        overlaid: bool,
    },
    /// Anything else, as one of the documents has it.
    Leaf {
        /// The value.
        node: &'d Node,
        /// True if the overlay wrote it.
        overlaid: bool,
    },
}

/// Lays `overlay` over `base`: mappings are merged, everything else replaces, `$delete` removes.
///
/// Nulls replace like any value.
pub fn merge<'d>(base: &'d Node, overlay: &'d Node) -> Merged<'d> {
    match overlay.value {
        // Nothing laid over something changes nothing, at the root alone.
        Value::Null => take(base, false),
        _ => lay_over(base, overlay),
    }
}

/// [`merge`] with the result written out, and warnings about changes that are probably not meant.
pub fn merge_documents(base: &Node, overlay: &Node) -> (Node, Vec<Diagnostic>) {
    let warnings = Suspicions::new(base).about(overlay);
    (merge(base, overlay).to_node(), warnings)
}

fn lay_over<'d>(base: &'d Node, overlay: &'d Node) -> Merged<'d> {
    match (&base.value, &overlay.value) {
        (Value::Mapping(below), Value::Mapping(above)) => {
            merge_entries(base.span, below, above, false)
        }
        _ => take(overlay, true),
    }
}

fn merge_entries<'d>(
    span: Span,
    below: &'d [Entry],
    above: &'d [Entry],
    overlaid: bool,
) -> Merged<'d> {
    let (index_below, index_above) = (Index::new(below), Index::new(above));
    let mut entries = Vec::with_capacity(below.len() + above.len());
    for entry in below {
        match index_above.find(&entry.key) {
            None => entries.push((entry.key.as_str(), take(&entry.value, false))),
            Some(over) if is_delete(&over.value) => {}
            Some(over) => entries.push((entry.key.as_str(), lay_over(&entry.value, &over.value))),
        }
    }
    for entry in above {
        if index_below.find(&entry.key).is_none() && !is_delete(&entry.value) {
            entries.push((entry.key.as_str(), take(&entry.value, true)));
        }
    }
    Merged::Mapping {
        entries,
        span,
        overlaid,
    }
}

/// A value that only one document has. In an overlay, `$delete` has nothing to act on there.
fn take(node: &Node, overlaid: bool) -> Merged<'_> {
    match &node.value {
        Value::Mapping(entries) if overlaid && contains_delete(entries) => {
            merge_entries(node.span, &[], entries, true)
        }
        _ => Merged::Leaf { node, overlaid },
    }
}

impl std::fmt::Debug for Merged<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_node().fmt(f)
    }
}

impl Merged<'_> {
    /// The merged document, as a tree of its own.
    pub fn to_node(&self) -> Node {
        match self {
            Self::Leaf { node, .. } => (*node).clone(),
            Self::Mapping { entries, span, .. } => Node {
                value: Value::Mapping(
                    entries
                        .iter()
                        .map(|(key, value)| Entry::new(*key, value.to_node()))
                        .collect(),
                ),
                span: *span,
            },
        }
    }

    /// Calls `visit` with the path, the value, and whether the overlay wrote it, for every scalar
    /// and every empty list or mapping.
    pub fn visit_leaves(&self, visit: &mut dyn FnMut(&str, &Node, bool)) {
        self.visit(&mut String::new(), visit);
    }

    fn visit(&self, path: &mut String, visit: &mut dyn FnMut(&str, &Node, bool)) {
        match self {
            Self::Leaf { node, overlaid } => visit_node(path, node, *overlaid, visit),
            Self::Mapping {
                entries,
                span,
                overlaid,
            } if entries.is_empty() => {
                let empty = Node {
                    value: Value::Mapping(Vec::new()),
                    span: *span,
                };
                visit(path, &empty, *overlaid);
            }
            Self::Mapping { entries, .. } => {
                for (key, value) in entries {
                    let parent = push_key(path, key);
                    value.visit(path, visit);
                    path.truncate(parent);
                }
            }
        }
    }
}

/// Calls `visit` for the leaves of one document. `path` is where the document stands; it is written
/// on while its parts are visited, and as it was afterwards.
pub(super) fn visit_node(
    path: &mut String,
    node: &Node,
    overlaid: bool,
    visit: &mut dyn FnMut(&str, &Node, bool),
) {
    match &node.value {
        Value::Mapping(entries) if !entries.is_empty() => {
            for entry in entries {
                let parent = push_key(path, &entry.key);
                visit_node(path, &entry.value, overlaid, visit);
                path.truncate(parent);
            }
        }
        Value::Sequence(items) if !items.is_empty() => {
            let parent = path.len();
            for (index, item) in items.iter().enumerate() {
                // Writing to a `String` cannot fail.
                let _ = write!(path, "[{index}]");
                visit_node(path, item, overlaid, visit);
                path.truncate(parent);
            }
        }
        _ => visit(path, node, overlaid),
    }
}

/// Appends a key to the path of its mapping, and says how long that was.
pub(super) fn push_key(path: &mut String, key: &str) -> usize {
    let parent = path.len();
    let first = parent == 0;
    // Writing to a `String` cannot fail.
    let _ = write!(path, "{}", Step { key, first });
    parent
}

pub(super) fn is_delete(node: &Node) -> bool {
    node.as_str() == Some(DELETE)
}

fn contains_delete(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| match &entry.value.value {
        Value::Mapping(inner) => contains_delete(inner),
        _ => is_delete(&entry.value),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> Node {
        serde_json::from_str(text).unwrap()
    }

    fn merged(base: &str, overlay: &str) -> String {
        serde_json::to_string(&merge_documents(&json(base), &json(overlay)).0).unwrap()
    }

    #[test]
    fn mappings_merge_and_everything_else_replaces() {
        for (base, overlay, result) in [
            (
                r#"{"z":1,"a":2}"#,
                r#"{"m":3,"a":4}"#,
                r#"{"z":1,"a":4,"m":3}"#,
            ),
            (
                r#"{"s":{"t":{"a":1,"b":2}}}"#,
                r#"{"s":{"t":{"b":9}}}"#,
                r#"{"s":{"t":{"a":1,"b":9}}}"#,
            ),
            (r#"{"l":[1,2,3]}"#, r#"{"l":[9]}"#, r#"{"l":[9]}"#),
            (r#"{"s":{"a":1}}"#, r#"{"s":{}}"#, r#"{"s":{"a":1}}"#),
            (r#"{"s":{"a":1}}"#, r#"{"s":null}"#, r#"{"s":null}"#),
            (
                r#"{"s":{"a":1,"b":2}}"#,
                r#"{"s":{"a":"$delete"}}"#,
                r#"{"s":{"b":2}}"#,
            ),
            (
                r#"{}"#,
                r#"{"n":{"a":"$delete","b":{"c":"$delete"}}}"#,
                r#"{"n":{"b":{}}}"#,
            ),
            (r#"{"a":1}"#, "null", r#"{"a":1}"#),
        ] {
            assert_eq!(merged(base, overlay), result, "{base} + {overlay}");
        }
    }

    #[test]
    fn suspicious_changes_are_warned_about_with_their_path() {
        let warn = |base: &str, overlay: &str| -> Vec<String> {
            let (_, warnings) = merge_documents(&json(base), &json(overlay));
            warnings
                .iter()
                .map(|w| format!("{} {}", w.code, w.path))
                .collect()
        };
        assert_eq!(
            warn(r#"{"a":{"s":{"b":1}}}"#, r#"{"a":{"s":null}}"#),
            ["profile.type_change a.s"]
        );
        for (base, overlay) in [
            (r#"{"s":{"a":1}}"#, r#"{"s":1}"#),
            (r#"{"s":1}"#, r#"{"s":{}}"#),
            (r#"{"s":[1]}"#, r#"{"s":{}}"#),
            (r#"{"s":[1]}"#, r#"{"s":1}"#),
        ] {
            assert_eq!(
                warn(base, overlay),
                ["profile.type_change s"],
                "{base} {overlay}"
            );
        }
        for (base, overlay) in [
            (r#"{"s":null}"#, r#"{"s":{}}"#),
            (r#"{"s":[1]}"#, r#"{"s":null}"#),
            (r#"{"s":1}"#, r#"{"s":[1]}"#),
            (r#"{"s":1}"#, r#"{"s":"x"}"#),
        ] {
            assert_eq!(warn(base, overlay), [] as [String; 0], "{base} {overlay}");
        }
        assert_eq!(
            warn("{}", r#"{"a":"$delete"}"#),
            ["profile.nothing_to_delete a"]
        );
    }

    fn tree() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (0..5i128).prop_map(Value::Integer),
            prop::collection::vec((0..3i128).prop_map(|n| Node::new(Value::Integer(n))), 0..3)
                .prop_map(Value::Sequence),
        ]
        .prop_map(Node::new);
        mapping(leaf.prop_recursive(3, 24, 4, mapping))
    }

    fn mapping(inner: impl Strategy<Value = Node>) -> impl Strategy<Value = Node> {
        prop::collection::btree_map("[a-d]", inner, 0..5).prop_map(|map| {
            Node::new(Value::Mapping(
                map.into_iter().map(|(k, v)| Entry::new(k, v)).collect(),
            ))
        })
    }

    /// The same content, whatever the order of keys.
    fn canonical(node: &Node) -> Node {
        let mut node = node.clone();
        if let Value::Mapping(entries) = &mut node.value {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            entries
                .iter_mut()
                .for_each(|entry| entry.value = canonical(&entry.value));
        }
        node
    }

    proptest! {
        /// Where no value changes its kind from or to a mapping, the grouping of layers is free.
        #[test]
        fn layers_can_be_grouped(a in tree(), b in tree(), c in tree()) {
            let (ab, w1) = merge_documents(&a, &b);
            let (bc, w2) = merge_documents(&b, &c);
            let (left, w3) = merge_documents(&ab, &c);
            let (right, w4) = merge_documents(&a, &bc);
            prop_assume!([w1, w2, w3, w4].iter().all(Vec::is_empty));
            // A mapping over null starts anew, whatever lay below the null.
            prop_assume!(!has_null(&b));
            prop_assert_eq!(canonical(&left), canonical(&right));
        }

        #[test]
        fn nothing_is_neutral_and_twice_is_once(a in tree(), b in tree()) {
            let empty = Node::new(Value::Mapping(Vec::new()));
            prop_assert_eq!(canonical(&merge_documents(&a, &empty).0), canonical(&a));
            prop_assert_eq!(canonical(&merge_documents(&empty, &a).0), canonical(&a));
            let once = merge_documents(&a, &b).0;
            prop_assert_eq!(canonical(&merge_documents(&once, &b).0), canonical(&once));
        }

        #[test]
        fn every_leaf_has_an_origin_that_holds_its_value(a in tree(), b in tree()) {
            let merged = merge(&a, &b);
            let mut seen = Vec::new();
            merged.visit_leaves(&mut |path, node, _| seen.push((path.to_owned(), node.value.clone())));
            let mut expected = Vec::new();
            visit_node(&mut String::new(), &merged.to_node(), false, &mut |path, node, _| expected.push((path.to_owned(), node.value.clone())));
            prop_assert_eq!(seen, expected);
        }
    }

    fn has_null(node: &Node) -> bool {
        node.is_null()
            || node
                .entries()
                .unwrap_or_default()
                .iter()
                .any(|entry| has_null(&entry.value))
    }
}
