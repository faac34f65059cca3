//! What a profile changes in a way that is probably not meant.

use std::collections::HashMap;

use super::merge::{is_delete, push_key};
use super::{DELETE, Index};
use crate::diagnostic::Diagnostic;
use crate::yaml::{Entry, Node, Value};

/// Looks at overlays of one base. Only what an overlay mentions is looked at, however large the
/// base is.
pub(super) struct Suspicions<'d> {
    base: &'d Node,
    /// The mappings of the base that were looked into, by their place in memory.
    indexes: HashMap<usize, Index<'d>>,
    path: String,
    warnings: Vec<Diagnostic>,
}

impl<'d> Suspicions<'d> {
    pub(super) fn new(base: &'d Node) -> Self {
        Self {
            base,
            indexes: HashMap::new(),
            path: String::new(),
            warnings: Vec::new(),
        }
    }

    /// Warnings about one overlay, in its order.
    pub(super) fn about(&mut self, overlay: &Node) -> Vec<Diagnostic> {
        if !overlay.is_null() {
            self.compare(self.base, overlay);
        }
        std::mem::take(&mut self.warnings)
    }

    fn compare(&mut self, base: &'d Node, overlay: &Node) {
        let (Value::Mapping(below), Value::Mapping(above)) = (&base.value, &overlay.value) else {
            self.warn_type_change(base, overlay);
            return;
        };
        for entry in above {
            let found = self.index(below).find(&entry.key);
            let parent = push_key(&mut self.path, &entry.key);
            match found {
                Some(_) if is_delete(&entry.value) => {}
                Some(known) => self.compare(&known.value, &entry.value),
                None => self.warn_nothing_to_delete(&entry.value),
            }
            self.path.truncate(parent);
        }
    }

    fn index(&mut self, entries: &'d [Entry]) -> &Index<'d> {
        let place = entries.as_ptr().addr();
        self.indexes
            .entry(place)
            .or_insert_with(|| Index::new(entries))
    }

    fn warn_type_change(&mut self, base: &Node, overlay: &Node) {
        let wiped = match (&base.value, &overlay.value) {
            (Value::Mapping(below), Value::Null) if !below.is_empty() => "null wipes out a mapping",
            (Value::Mapping(_), Value::Null) => return,
            (Value::Mapping(_), Value::Sequence(_)) => "a list replaces a mapping",
            (Value::Mapping(_), _) => "a single value replaces a mapping",
            (Value::Sequence(_), Value::Mapping(_)) => "a mapping replaces a list",
            (Value::Sequence(_), Value::Null | Value::Sequence(_)) | (Value::Null, _) => return,
            (Value::Sequence(_), _) => "a single value replaces a list",
            (_, Value::Mapping(_)) => "a mapping replaces a single value",
            _ => return,
        };
        let hint = match overlay.value {
            Value::Null => {
                format!("to remove the key, write `{DELETE}`; to change nothing, remove the line")
            }
            _ => "check the indentation, and whether this value is meant here".to_owned(),
        };
        self.warnings.push(
            Diagnostic::warning("profile.type_change", overlay.span, wiped)
                .at(&self.path)
                .related(base.span, "what it replaces")
                .hint(hint),
        );
    }

    /// `$delete` where the base has no such key, also inside a mapping that is new.
    fn warn_nothing_to_delete(&mut self, node: &Node) {
        if is_delete(node) {
            let message = "there is nothing to delete here";
            self.warnings.push(
                Diagnostic::warning("profile.nothing_to_delete", node.span, message)
                    .at(&self.path)
                    .hint("check the spelling of the key"),
            );
        }
        for entry in node.entries().unwrap_or_default() {
            let parent = push_key(&mut self.path, &entry.key);
            self.warn_nothing_to_delete(&entry.value);
            self.path.truncate(parent);
        }
    }
}
