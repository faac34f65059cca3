//! Variables, and what `${…}` does with them.

use super::{Expansion, Split};
use crate::guard::value::{UNKNOWN, UNKNOWN_TEXT, environment};
use crate::guard::walk::Walker;

impl Expansion<'_, '_> {
    /// `${…}`.
    pub(super) fn parameter(&mut self, start: usize, end: usize) {
        let inner = self.raw.get(start..end).unwrap_or_default();
        let name_len = inner
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
            .count()
            .max(usize::from(
                inner.starts_with(['@', '*', '?', '$', '!', '-']),
            ));
        let name = inner.get(..name_len).unwrap_or_default().to_owned();
        let operation = inner.get(name_len..).unwrap_or_default();
        if inner.starts_with('#') && inner.len() > 1 {
            return self.out.push("0");
        }
        if let Some(reference) = inner.strip_prefix('!').filter(|r| !r.is_empty()) {
            let names = self.walker.look_up(reference);
            return match names.as_slice() {
                [name] if !name.contains(UNKNOWN) => self.variable(&name.clone()),
                _ => self.out.push(UNKNOWN_TEXT),
            };
        }
        let colon = operation.starts_with(':');
        let rest = operation.strip_prefix(':').unwrap_or(operation);
        let symbol = rest.chars().next();
        if !matches!(symbol, Some('-' | '=' | '+' | '?')) {
            self.other_operation(&name, operation, colon, start + name_len);
            return;
        }
        let word_start = start + name_len + usize::from(colon) + 1;
        let word = self.raw.get(word_start..end).unwrap_or_default();
        let origin = self.origin.nested(word_start as u32, end as u32, true);
        let inside = if self.double { Split::No } else { self.split };
        let default = self.walker.expand_text(word, origin, inside, self.body);
        let known = self.walker.known(&name);
        match symbol {
            Some('+') => self.values(&default),
            Some('?') => self.variable(&name),
            _ if known => self.variable(&name),
            Some('=') => {
                self.walker.state.set(&name, default.clone(), false);
                self.values(&default);
            }
            _ => self.values(&default),
        }
    }

    /// Prefix and suffix removal, replacement, case, substrings: followed for plain operands.
    fn other_operation(&mut self, name: &str, operation: &str, colon: bool, start: usize) {
        let origin = self
            .origin
            .nested(start as u32, (start + operation.len()) as u32, true);
        if memchr::memchr2(b'$', b'`', operation.as_bytes()).is_some() {
            self.walker.expand_body(operation, origin);
        }
        let known = self.walker.look_up(name);
        // One of the words of an array.
        let index = operation
            .strip_prefix('[')
            .and_then(|o| o.strip_suffix(']'));
        if let Some(index) = index.and_then(|index| index.parse::<usize>().ok()) {
            let word = known.get(index).map_or(UNKNOWN_TEXT, String::as_str);
            return self.values(&[word.to_owned()]);
        }
        let values: Vec<String> = known
            .iter()
            .map(|value| operate(value, operation, colon))
            .collect();
        self.values(&values);
    }
}

fn operate(value: &str, operation: &str, colon: bool) -> String {
    if operation.is_empty() || operation == "[@]" || operation == "[*]" {
        return value.to_owned();
    }
    if value.contains(UNKNOWN) || operation.contains(['*', '?', '$', '`']) {
        return UNKNOWN_TEXT.to_owned();
    }
    if colon {
        let mut numbers = operation[1..].split(':').map(|n| n.trim().parse::<usize>());
        let (Some(Ok(from)), length) = (numbers.next(), numbers.next()) else {
            return UNKNOWN_TEXT.to_owned();
        };
        let length = match length {
            None => usize::MAX,
            Some(Ok(length)) => length,
            Some(Err(_)) => return UNKNOWN_TEXT.to_owned(),
        };
        return value.chars().skip(from).take(length).collect();
    }
    let strip = |marks: &str| {
        operation
            .trim_start_matches(marks.chars().next().unwrap_or('%'))
            .to_owned()
    };
    match operation.as_bytes()[0] {
        b'%' => value
            .strip_suffix(strip("%").as_str())
            .unwrap_or(value)
            .to_owned(),
        b'#' => value
            .strip_prefix(strip("#").as_str())
            .unwrap_or(value)
            .to_owned(),
        b'^' => value.to_uppercase(),
        b',' => value.to_lowercase(),
        b'/' => {
            let all = operation.starts_with("//");
            let rest = operation.trim_start_matches('/');
            let (from, to) = rest.split_once('/').unwrap_or((rest, ""));
            if from.is_empty() {
                value.to_owned()
            } else if all {
                value.replace(from, to)
            } else {
                value.replacen(from, to, 1)
            }
        }
        _ => UNKNOWN_TEXT.to_owned(),
    }
}

impl Walker<'_> {
    /// Whether the value of a variable is known.
    fn known(&mut self, name: &str) -> bool {
        self.work(self.state.size());
        self.state
            .find(name)
            .is_some_and(|values| values.iter().any(|v| !v.is_empty()))
            || environment(name, &self.state, self.context).is_some()
    }

    /// The values a variable may have.
    pub(crate) fn look_up(&mut self, name: &str) -> Vec<String> {
        self.work(self.state.size());
        if let Some(values) = self.state.find(name) {
            let values = values.to_vec();
            self.work(values.iter().map(String::len).sum());
            return values;
        }
        if let Some(value) = environment(name, &self.state, self.context) {
            return vec![value];
        }
        if let Some(arguments) = &self.state.arguments {
            if matches!(name, "@" | "*") {
                return if arguments.len() < 2 {
                    vec![String::new()]
                } else {
                    arguments[1..].to_vec()
                };
            }
            if let Ok(n) = name.parse::<usize>() {
                return vec![arguments.get(n).cloned().unwrap_or_default()];
            }
        }
        vec![UNKNOWN_TEXT.to_owned()]
    }
}
