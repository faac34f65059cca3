//! TOML settings, changed without touching what is not ours.

use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::Error;

/// A TOML document that can be changed.
#[derive(Debug)]
pub(super) struct Toml {
    before: String,
    document: DocumentMut,
}

impl Toml {
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = plain.parse::<DocumentMut>().map_err(|error| {
            let (line, column) = place(plain, error.span().map_or(0, |span| span.start));
            Error::Syntax {
                line,
                column,
                message: error.message().to_owned(),
            }
        })?;
        Ok(Self {
            before: text.to_owned(),
            document,
        })
    }

    /// The text, in which every line that did not change is as it was, byte for byte.
    pub(super) fn text(&self) -> String {
        let after = self.document.to_string();
        let (mark, before) = match self.before.strip_prefix('\u{feff}') {
            Some(rest) => ("\u{feff}", rest),
            None => ("", self.before.as_str()),
        };
        format!("{mark}{}", with_old_line_ends(before, &after))
    }

    pub(super) fn get(&self, path: &[&str]) -> Option<Json> {
        let value = self.item(path)?.as_value()?;
        match value {
            Value::String(text) => Some(Json::from(text.value().as_str())),
            Value::Integer(number) => Some(Json::from(*number.value())),
            Value::Boolean(bool) => Some(Json::from(*bool.value())),
            _ => Some(Json::Null),
        }
    }

    /// True if anything is at a path, a table too.
    pub(super) fn has(&self, path: &[&str]) -> bool {
        self.item(path).is_some()
    }

    /// Puts a text or a whole number at a path of keys; tables that are missing on the way are made.
    pub(super) fn set(&mut self, path: &[&str], value: &Json) -> Result<(), Error> {
        let new = match value {
            Json::Number(number) => Value::from(number.as_i64().unwrap_or_default()),
            other => Value::from(other.as_str().unwrap_or_default()),
        };
        self.put(path, new)
    }

    /// Gives a path the value that it has in another document, or none.
    pub(super) fn restore(&mut self, path: &[&str], from: &Self) -> Result<(), Error> {
        match from.item(path).and_then(Item::as_value) {
            Some(value) => self.put(path, value.clone()),
            None => {
                self.remove(path);
                Ok(())
            }
        }
    }

    pub(super) fn remove(&mut self, path: &[&str]) {
        let Some((last, above)) = path.split_last() else {
            return;
        };
        let mut table: &mut dyn TableLike = self.document.as_table_mut();
        for key in above {
            match table.get_mut(key).and_then(Item::as_table_like_mut) {
                Some(inner) => table = inner,
                None => return,
            }
        }
        table.remove(last);
    }

    /// True if a table is there and nothing is in it.
    pub(super) fn is_empty_table(&self, path: &[&str]) -> bool {
        let table = self.item(path).and_then(Item::as_table_like);
        table.is_some_and(TableLike::is_empty)
    }

    fn item(&self, path: &[&str]) -> Option<&Item> {
        let mut item = self.document.as_item();
        for key in path {
            item = item.as_table_like()?.get(key)?;
        }
        Some(item)
    }

    fn put(&mut self, path: &[&str], new: Value) -> Result<(), Error> {
        let Some((last, above)) = path.split_last() else {
            return Ok(());
        };
        if above.is_empty() && !self.document.contains_key(last) {
            self.make_room_for_first_key();
        }
        let end = self.last_position() + 1;
        let mut table: &mut dyn TableLike = self.document.as_table_mut();
        let mut inline = false;
        for (depth, key) in above.iter().enumerate() {
            let is_last = depth + 1 == above.len();
            if table.get(key).is_none() {
                let made = new_table(inline || table.is_dotted(), is_last);
                table.insert(key, made);
            }
            let item = table.get_mut(key);
            inline |= item.as_ref().is_some_and(|item| item.is_inline_table());
            // A table that was only mentioned by those in it gets a header of its own, at the end.
            if let Some(Item::Table(inner)) = item
                && is_last
                && inner.is_implicit()
            {
                inner.set_implicit(false);
                inner.set_position(Some(end));
            }
            let item = table.get_mut(key).and_then(Item::as_table_like_mut);
            table = item.ok_or_else(|| Error::Shape {
                path: path[..=depth].join("."),
                expected: "a table",
            })?;
        }
        replace(table, last, new, path)
    }

    /// Comments at the top of a file stay at the top.
    fn make_room_for_first_key(&mut self) {
        let root = self.document.as_table();
        let has_values = root.iter().any(|(_, item)| item.is_value());
        if has_values
            || root
                .iter()
                .any(|(_, item)| matches!(item, Item::Table(t) if t.is_dotted()))
        {
            return;
        }
        if root.is_empty() {
            let comments = self
                .document
                .trailing()
                .as_str()
                .unwrap_or_default()
                .to_owned();
            self.document.set_trailing("");
            self.document
                .as_table_mut()
                .decor_mut()
                .set_prefix(with_newline(&comments));
            return;
        }
        if let Some(first) = first_table(self.document.as_table_mut()) {
            let prefix = first
                .decor()
                .prefix()
                .and_then(|raw| raw.as_str())
                .unwrap_or_default();
            let (above, below) = prefix
                .rfind("\n\n")
                .map_or(("", prefix), |at| prefix.split_at(at + 1));
            let (above, below) = (
                with_newline(above),
                below.trim_start_matches('\n').to_owned(),
            );
            first.decor_mut().set_prefix(format!("\n{below}"));
            if !above.trim().is_empty() {
                self.document.as_table_mut().decor_mut().set_prefix(above);
            }
        }
    }

    fn last_position(&self) -> isize {
        fn within(table: &Table) -> isize {
            let inner = table.iter().map(|(_, item)| match item {
                Item::Table(table) => within(table),
                Item::ArrayOfTables(tables) => tables.iter().map(within).max().unwrap_or_default(),
                _ => 0,
            });
            inner
                .max()
                .unwrap_or_default()
                .max(table.position().unwrap_or_default())
        }
        within(self.document.as_table())
    }
}

/// The table whose header comes first in the text.
fn first_table(table: &mut Table) -> Option<&mut Table> {
    fn first_position(table: &Table) -> Option<isize> {
        let positions = table.iter().filter_map(|(_, item)| match item {
            Item::Table(inner) if !has_header(inner) => first_position(inner),
            Item::Table(inner) => inner.position(),
            Item::ArrayOfTables(inner) => inner.get(0)?.position(),
            _ => None,
        });
        positions.min()
    }
    fn at(table: &mut Table, position: isize) -> Option<&mut Table> {
        table.iter_mut().find_map(|(_, item)| match item {
            Item::Table(inner) => match has_header(inner) {
                true => Some(inner).filter(|inner| inner.position() == Some(position)),
                false => at(inner, position),
            },
            Item::ArrayOfTables(inner) => {
                let first = inner.get_mut(0)?;
                Some(first).filter(|first| first.position() == Some(position))
            }
            _ => None,
        })
    }
    let position = first_position(table)?;
    at(table, position)
}

fn has_header(table: &Table) -> bool {
    !table.is_implicit() && !table.is_dotted()
}

/// A table in one line or with a header of its own.
fn new_table(inline: bool, is_last: bool) -> Item {
    // Nothing can be added with a header to what was written in one line or with dots.
    if inline {
        return Item::Value(Value::InlineTable(InlineTable::new()));
    }
    let mut table = Table::new();
    table.set_implicit(!is_last);
    Item::Table(table)
}

fn replace(
    table: &mut dyn TableLike,
    key: &str,
    mut new: Value,
    path: &[&str],
) -> Result<(), Error> {
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None | Some(Item::None) => {
            table.insert(key, Item::Value(new));
        }
        Some(_) => {
            return Err(Error::Shape {
                path: path.join("."),
                expected: "a plain value",
            });
        }
    }
    Ok(())
}

fn with_newline(text: &str) -> String {
    match text {
        "" => String::new(),
        _ if text.ends_with('\n') => text.to_owned(),
        _ => format!("{text}\n"),
    }
}

/// Line and column, counted from 1, of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// `after` with the line ends that its lines had before, and that new lines have beside them.
fn with_old_line_ends(before: &str, after: &str) -> String {
    let ends_open = !before.is_empty() && !before.ends_with('\n');
    if !before.contains('\r') {
        let keeps_last = before.lines().last() == after.lines().last()
            || before.lines().count() == after.lines().count();
        let after = match after.strip_suffix('\n') {
            Some(open) if ends_open && keeps_last => open,
            _ => after,
        };
        return after.to_owned();
    }
    let (old, new) = (
        with_newline(&before.replace("\r\n", "\n")),
        after.replace("\r\n", "\n"),
    );
    let originals: Vec<&str> = before.split_inclusive('\n').collect();
    let mut out = String::with_capacity(after.len());
    for change in TextDiff::from_lines(old.as_str(), new.as_str()).iter_all_changes() {
        if change.tag() == ChangeTag::Delete {
            continue;
        }
        if !out.is_empty() && !out.ends_with('\n') {
            out.push_str("\r\n");
        }
        let original = change.old_index().and_then(|line| originals.get(line));
        match original {
            Some(line) => out.push_str(line),
            None => {
                out.push_str(change.value().trim_end_matches('\n'));
                out.push_str("\r\n");
            }
        }
    }
    out
}
