//! Two JSON documents, one on each side of the first line break, laid over each other.

#![no_main]

use flowgate_core::profile::{merge, merge_documents};
use flowgate_core::yaml::{Node, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some((base, overlay)) = text.split_once('\n') else {
        return;
    };
    let (Ok(base), Ok(overlay)) = (
        serde_json::from_str::<Node>(base),
        serde_json::from_str::<Node>(overlay),
    ) else {
        return;
    };
    let merged = merge(&base, &overlay);

    // Every leaf of the result has an origin, in order, that holds its value.
    let mut origins = Vec::new();
    merged.visit_leaves(&mut |_, node, _| origins.push(node.value.clone()));
    let document = merged.to_node();
    let mut leaves = Vec::new();
    collect_leaves(&document, &mut leaves);
    assert_eq!(origins, leaves);

    // Laying the same over it again changes nothing.
    assert_eq!(merge_documents(&document, &overlay).0, document);
});

fn collect_leaves(node: &Node, leaves: &mut Vec<Value>) {
    match &node.value {
        Value::Mapping(entries) if !entries.is_empty() => {
            entries
                .iter()
                .for_each(|entry| collect_leaves(&entry.value, leaves));
        }
        Value::Sequence(items) if !items.is_empty() => {
            items.iter().for_each(|item| collect_leaves(item, leaves));
        }
        leaf => leaves.push(leaf.clone()),
    }
}
