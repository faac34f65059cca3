//! Texts side by side, as a unified diff.

use similar::{ChangeTag, TextDiff};

use crate::output::{ADDED, DIM, REMOVED};
use crate::visible;

/// The lines that differ, with three lines around them.
pub(crate) fn unified(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut out = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        out.push_str(&format!("{DIM}{}{DIM:#}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let line = visible::one_line(change.value().trim_end_matches(['\r', '\n']));
            out.push_str(&match change.tag() {
                ChangeTag::Delete => format!("{REMOVED}-{line}{REMOVED:#}\n"),
                ChangeTag::Insert => format!("{ADDED}+{line}{ADDED:#}\n"),
                ChangeTag::Equal => format!(" {line}\n"),
            });
        }
    }
    out
}
