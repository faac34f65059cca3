//! From parser events to a tree, within limits, reporting everything that is wrong.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::keys::{self, MERGE_KEY};
use super::problem::{
    bad_key, forbidden_character, syntax_error, too_deep, too_large, unknown_tag, unrepresentable,
};
use super::scalar;
use super::surrogates;
use super::{Entry, Node, Value};
use crate::diagnostic::{Diagnostic, Span};

/// The largest document that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 128;
/// The most values a document may hold, with every alias written out.
pub const MAX_NODES: usize = 250_000;
/// The most text it may hold, with every alias written out, in bytes.
const MAX_TEXT: usize = 4 * MAX_BYTES;

/// Reads one YAML 1.2 (or JSON) document.
///
/// `None` is an empty document: no text, or nothing but comments. The diagnostics beside a tree
/// are warnings.
///
/// # Errors
///
/// All the problems found. After a syntax error nothing further can be read, so it is the last.
pub fn parse(text: &str) -> Result<(Option<Node>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let read = read(text);
    if read.problems.iter().any(Diagnostic::is_error) {
        Err(read.problems)
    } else {
        Ok((read.root, read.problems))
    }
}

/// What could be read of a document, whatever is wrong with it.
pub(crate) struct Read {
    /// The document without the parts that are wrong.
    pub(crate) root: Option<Node>,
    /// True if reading came to the end: there may be mistakes, but none that hides the rest.
    pub(crate) complete: bool,
    pub(crate) problems: Vec<Diagnostic>,
}

/// [`parse`] for those who have more to say about a document with mistakes.
pub(crate) fn read(text: &str) -> Read {
    let refuse = |problem| Read {
        root: None,
        complete: false,
        problems: vec![problem],
    };
    if text.len() > MAX_BYTES {
        return refuse(too_large(text.len() as u64));
    }
    if let Some(problem) = forbidden_character(text) {
        return refuse(problem);
    }
    let text = surrogates::join(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut composer = Composer::default();
    let mut parser = Parser::new_from_str(&text);
    let complete = loop {
        match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => break true,
            Some(Ok((event, span))) => {
                if composer.handle(event, to_span(span)).is_err() {
                    break false;
                }
            }
            Some(Err(error)) => {
                let problem = syntax_error(&error, &text, composer.stack.len());
                composer.problems.push(problem);
                break false;
            }
        }
    };
    Read {
        root: composer.root,
        complete,
        problems: composer.problems,
    }
}

/// Nothing further can be read; the reason is among the problems.
struct Stop;

#[derive(Default)]
struct Composer {
    root: Option<Node>,
    documents: usize,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchor>,
    size: Size,
    problems: Vec<Diagnostic>,
}

struct Frame {
    container: Container,
    start: Span,
    anchor: usize,
    /// The size of the document before it.
    before: Size,
}

enum Container {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        key: Option<Key>,
    },
}

enum Key {
    Text(String, Span),
    /// Not text, which is reported; its value is dropped.
    Unusable,
}

/// An anchored value; `None` while it is still being read.
type Anchor = Option<(Node, Size)>;

/// What a value costs.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

impl Composer {
    fn handle(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => self.start_document(span),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), span);
                let merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                let node = Node { value, span };
                let size = Size {
                    nodes: 1,
                    bytes: text.len(),
                };
                self.grow(size, span)?;
                self.remember(anchor, &node, size)?;
                self.place(node, merge)
            }
            Event::Alias(id) => self.alias(id, span),
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span);
                self.open(Container::Sequence(Vec::new()), anchor, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span);
                let (entries, key) = (Vec::new(), None);
                self.open(Container::Mapping { entries, key }, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            _ => Ok(()),
        }
    }

    fn start_document(&mut self, span: Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents > 1 {
            let message = "a second document starts here, but a file holds one";
            let hint = "remove the `---` line and what follows it";
            self.problems
                .push(Diagnostic::error("yaml.many_documents", span, message).hint(hint));
            return Err(Stop);
        }
        Ok(())
    }

    fn grow(&mut self, by: Size, span: Span) -> Result<(), Stop> {
        self.size.nodes += by.nodes;
        self.size.bytes += by.bytes;
        let message = if self.size.nodes > MAX_NODES {
            format!("the document has more than {MAX_NODES} values with its aliases")
        } else if self.size.bytes > MAX_TEXT {
            format!("the document has more than {MAX_TEXT} bytes with its aliases")
        } else {
            return Ok(());
        };
        self.problems.push(
            Diagnostic::error("yaml.too_many_values", span, message)
                .hint("aliases of aliases multiply: write the values out, or split the file"),
        );
        Err(Stop)
    }

    /// Keeps a copy of an anchored value, which counts like any other.
    fn remember(&mut self, anchor: usize, node: &Node, size: Size) -> Result<(), Stop> {
        if anchor > 0 {
            self.grow(size, node.span)?;
            self.anchors.insert(anchor, Some((node.clone(), size)));
        }
        Ok(())
    }

    fn open(&mut self, container: Container, anchor: usize, start: Span) -> Result<(), Stop> {
        if self.stack.len() == MAX_DEPTH {
            self.problems.push(too_deep(start));
            return Err(Stop);
        }
        let before = self.size;
        self.grow(Size { nodes: 1, bytes: 0 }, start)?;
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.stack.push(Frame {
            container,
            start,
            anchor,
            before,
        });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let in_braces = (end.line, end.column) != (end.end_line, end.end_column);
        let (value, last) = match frame.container {
            Container::Sequence(items) => {
                let last = items.last().map(|item| item.span);
                (Value::Sequence(items), last)
            }
            Container::Mapping { entries, .. } => {
                let last = entries.last().map(|entry| entry.value.span);
                (
                    Value::Mapping(keys::finish(entries, &mut self.problems)),
                    last,
                )
            }
        };
        // A block ends where the next thing starts; its last value says where its own text ends.
        let end = last.filter(|_| !in_braces).unwrap_or(end);
        let span = Span {
            end_line: end.end_line,
            end_column: end.end_column,
            ..frame.start
        };
        let node = Node { value, span };
        let size = Size {
            nodes: self.size.nodes - frame.before.nodes,
            bytes: self.size.bytes - frame.before.bytes,
        };
        self.remember(frame.anchor, &node, size)?;
        self.place(node, false)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some(Some((_, size))) = self.anchors.get(&id) else {
            let message = "this alias stands inside the value it refers to";
            let hint = "a value cannot contain itself: write it out";
            self.problems
                .push(Diagnostic::error("yaml.recursive_alias", span, message).hint(hint));
            return Err(Stop);
        };
        self.grow(*size, span)?;
        let node = self.anchors.get(&id).and_then(Option::as_ref);
        let node = node.map(|(node, _)| node.clone()).unwrap_or_default();
        self.place(node, false)
    }

    /// Puts a finished value where it belongs: into the mapping or list being read, or at the root.
    fn place(&mut self, node: Node, merge: bool) -> Result<(), Stop> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let (entries, key) = match &mut frame.container {
            Container::Sequence(items) => {
                items.push(node);
                return Ok(());
            }
            Container::Mapping { entries, key } => (entries, key),
        };
        match key.take() {
            Some(Key::Unusable) => {}
            Some(Key::Text(key, key_span)) => entries.push(Entry {
                key,
                key_span,
                value: node,
            }),
            None => {
                *key = Some(match node.value {
                    Value::String(_) if merge => Key::Text(MERGE_KEY.to_owned(), node.span),
                    Value::String(text) => Key::Text(text, node.span),
                    _ => {
                        self.problems.push(bad_key(&node));
                        Key::Unusable
                    }
                });
            }
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Value {
        let plain = style == ScalarStyle::Plain;
        let resolved = match tag {
            None if plain => scalar::resolve(text),
            None => return Value::String(text.to_owned()),
            Some(tag) => match self.tagged(text, tag, span) {
                Some(value) => return value,
                None => return Value::Null,
            },
        };
        match resolved {
            Ok(value) => {
                self.warn_ambiguous(text, &value, span);
                value
            }
            Err(reason) => {
                self.problems.push(unrepresentable(reason, span));
                Value::Null
            }
        }
    }

    /// A scalar with a tag of the core schema; any other tag is a problem.
    fn tagged(&mut self, text: &str, tag: &Tag, span: Span) -> Option<Value> {
        if tag.handle == "!" && tag.suffix.is_empty() {
            return Some(Value::String(text.to_owned()));
        }
        let wanted = match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
            (true, "str") => return Some(Value::String(text.to_owned())),
            (true, wanted @ ("int" | "float" | "bool" | "null")) => wanted,
            _ => {
                self.problems.push(unknown_tag(tag, span));
                return None;
            }
        };
        match (wanted, scalar::resolve(text)) {
            ("int", Ok(value @ Value::Integer(_)))
            | ("float", Ok(value @ Value::Float(_)))
            | ("bool", Ok(value @ Value::Bool(_)))
            | ("null", Ok(value @ Value::Null)) => Some(value),
            #[expect(clippy::cast_precision_loss, reason = "`!!float` asks for it")]
            ("float", Ok(Value::Integer(value))) => Some(Value::Float(value as f64)),
            _ => {
                let message = format!("this is not what the tag `!!{wanted}` says");
                self.problems
                    .push(Diagnostic::error("yaml.wrong_tag", span, message));
                None
            }
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, allowed: &str, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == allowed)
        {
            self.problems.push(unknown_tag(tag, span));
        }
    }

    fn warn_ambiguous(&mut self, text: &str, value: &Value, span: Span) {
        let number = matches!(value, Value::Integer(_));
        let leading_zero = number
            && text.len() > 1
            && text.starts_with('0')
            && text.bytes().all(|b| b.is_ascii_digit());
        let (says, means) = match value {
            Value::Integer(_) if leading_zero => ("decimal", "an octal number"),
            Value::String(_) if text.len() > 1 => match scalar::yaml_1_1_reading(text) {
                // Addresses and versions: numbers by the letter of YAML 1.1, but to no reader.
                Some("a number") if text.matches('.').count() > 1 => return,
                Some(means) if text != "<<" => ("text", means),
                _ => return,
            },
            _ => return,
        };
        let hint = if means == "a boolean" {
            "write `true` or `false`, or quote it if it is text"
        } else {
            "write the number in decimal, or quote it if it is text"
        };
        let message = format!("this is {says} here; YAML 1.1 programs read {means}");
        self.problems
            .push(Diagnostic::warning("yaml.ambiguous", span, message).hint(hint));
    }
}

fn to_span(span: saphyr_parser::Span) -> Span {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: number(span.start.line()),
        column: number(span.start.col() + 1),
        end_line: number(span.end.line()),
        end_column: number(span.end.col() + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Node {
        parse(text).unwrap().0.unwrap()
    }

    fn codes(text: &str) -> Vec<(&'static str, u32, u32)> {
        let problems = match parse(text) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems,
        };
        problems
            .iter()
            .map(|p| (p.code, p.span.line, p.span.column))
            .collect()
    }

    #[test]
    fn every_value_knows_where_it_stood() {
        let root = read("a: 1\nb:\n  - x\n  - {k: 'v w'}\n");
        let b = root.entry("b").unwrap();
        assert_eq!((b.key_span.line, b.key_span.column), (2, 1));
        let v = b.value.items().unwrap()[1].get("k").unwrap();
        assert_eq!(v.as_str(), Some("v w"));
        assert_eq!(
            (
                v.span.line,
                v.span.column,
                v.span.end_line,
                v.span.end_column
            ),
            (4, 9, 4, 14)
        );
    }

    #[test]
    fn duplicate_keys_are_refused_with_both_places() {
        let problems = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].code, "yaml.duplicate_key");
        assert_eq!(
            (problems[0].span.line, problems[0].related[0].span.line),
            (3, 1)
        );

        let wide: String = (0..40).map(|i| format!("k{}: {i}\n", i % 39)).collect();
        assert_eq!(codes(&wide), [("yaml.duplicate_key", 40, 1)]);
    }

    #[test]
    fn merge_keys_are_shallow_and_own_keys_win() {
        let root = read("b: &b {x: {p: 1, q: 2}, y: 1}\nd:\n  <<: *b\n  x: {p: 9}\n");
        let d = root.get("d").unwrap();
        assert_eq!(serde_json::to_string(d).unwrap(), r#"{"y":1,"x":{"p":9}}"#);
        assert_eq!(codes("a:\n  <<: 5\n"), [("yaml.merge_key", 2, 7)]);
        assert_eq!(
            read("\"<<\": 1").get("<<").unwrap().value,
            Value::Integer(1)
        );
    }

    #[test]
    fn all_problems_are_reported_up_to_the_first_syntax_error() {
        assert_eq!(
            codes("1: a\nx: .inf\ny: !env HOME\ny: 2\nz: [1\n"),
            [
                ("yaml.key_not_text", 1, 1),
                ("yaml.bad_number", 2, 4),
                ("yaml.unknown_tag", 3, 4),
                ("yaml.syntax", 5, 5),
            ]
        );
    }

    #[test]
    fn bombs_recursion_and_depth_are_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let row = vec![format!("*a{}", i - 1); 9].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{row}]\n"));
        }
        assert_eq!(codes(&bomb)[0].0, "yaml.too_many_values");
        assert_eq!(codes("a: &r\n  b: *r\n"), [("yaml.recursive_alias", 2, 6)]);
        assert_eq!(codes(&"[".repeat(1000))[0].0, "yaml.too_deep");
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(codes(&deep), []);
        let blocks: String = (0..1000)
            .map(|i| format!("{}n:\n", " ".repeat(i)))
            .collect();
        assert_eq!(codes(&blocks)[0].0, "yaml.too_deep");
    }

    #[test]
    fn what_reads_differently_elsewhere_is_a_warning() {
        assert_eq!(
            codes("a: yes\nb: 010\nc: 12:30\nd: 'yes'\ne: plain\nf: y\n"),
            [
                ("yaml.ambiguous", 1, 4),
                ("yaml.ambiguous", 2, 4),
                ("yaml.ambiguous", 3, 4),
            ]
        );
    }

    #[test]
    fn characters_and_documents_that_do_not_belong() {
        assert_eq!(codes("a: x\nb: \u{1}\n"), [("yaml.syntax", 2, 4)]);
        // A line ends with either character, or both.
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("a: x{end}b: \u{1}{end}");
            assert_eq!(codes(&text), [("yaml.syntax", 2, 4)], "{end:?}");
        }
        // What is missing at the end has a place in the text.
        for text in ["a: 1\n{", "a: 1\n{\n", "a: 1\n{\n\n\n"] {
            assert_eq!(codes(text), [("yaml.syntax", 2, 1)], "{text:?}");
        }
        assert_eq!(codes("a: 1\n---\nb: 2\n"), [("yaml.many_documents", 2, 1)]);
        assert_eq!(codes("\u{feff}a: \"x\u{85}y\"\r\nb: 2\r\n"), []);
        assert!(parse("# only a comment\n").unwrap().0.is_none());
        assert_eq!(codes(&" ".repeat(MAX_BYTES + 1))[0].0, "yaml.too_large");
    }
}
