//! What serde finds wrong with a document, in words for its author.

use std::fmt::{self, Display, Write};

use serde::de::{self, Expected, Unexpected};

use super::{Node, Value};
use crate::diagnostic::{Diagnostic, Severity, Span, Step, nearest};

/// A mistake found by serde, boxed because errors are rare and results are everywhere.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) what: What,
    pub(super) place: Option<Place>,
    /// Follows from a mistake that is reported already.
    pub(super) derived: bool,
}

#[derive(Debug)]
pub(super) enum What {
    WrongType {
        expected: String,
    },
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    UnknownChoice {
        given: String,
        known: &'static [&'static str],
    },
    ChooseOne {
        known: &'static [&'static str],
    },
    MissingKey {
        key: &'static str,
    },
    Other {
        message: String,
    },
}

#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: usize,
    span: Span,
    path: String,
    found: String,
    pub(super) quoted_number: bool,
}

impl Place {
    pub(super) fn of(node: &Node, span: Span, path: String) -> Self {
        let text = node.as_str().unwrap_or_default();
        Self {
            id: super::decode::id(node),
            span,
            path,
            found: node.kind().to_owned(),
            quoted_number: matches!(
                super::scalar::resolve(text),
                Ok(Value::Integer(_) | Value::Bool(_))
            ),
        }
    }
}

impl What {
    pub(super) fn describe(self, place: &Place, lenient: &[&str]) -> Diagnostic {
        let error =
            |code, message: String| Diagnostic::error(code, place.span, message).at(&place.path);
        match self {
            Self::WrongType { expected } => {
                let expected = plain_kind(&expected);
                let found = &place.found;
                let diagnostic = error(
                    "config.wrong_type",
                    format!("expected {expected}, found {found}"),
                );
                match (expected, found.as_str()) {
                    (_, "a string") if place.quoted_number => diagnostic.hint("remove the quotes"),
                    ("a string", "an integer" | "a boolean" | "a fractional number") => {
                        diagnostic.hint("put it in quotes")
                    }
                    ("a list", _) => diagnostic.hint("write `[…]`, or lines that start with `- `"),
                    ("a mapping", _) => {
                        diagnostic.hint("write `key: value` lines below it, indented")
                    }
                    _ => diagnostic,
                }
            }
            Self::UnknownKey { key, known } => {
                let step = |first| Step { key: &key, first }.to_string();
                let parent = place.path.strip_suffix(&step(false)).unwrap_or_default();
                let message = format!("unknown key `{key}`");
                let mut diagnostic =
                    error("config.unknown_key", message).hint(suggest(&key, known));
                if lenient.contains(&parent) {
                    diagnostic.severity = Severity::Warning;
                }
                diagnostic
            }
            Self::UnknownChoice { given, known } => error(
                "config.invalid_value",
                "this is not one of the choices".to_owned(),
            )
            .hint(suggest(&given, known)),
            Self::ChooseOne { known } => error(
                "config.choose_one",
                format!("expected exactly one of {}", list(known)),
            ),
            Self::MissingKey { key } => error("config.missing_key", format!("`{key}` is missing"))
                .hint(format!("add `{key}:` here")),
            Self::Other { message } => match message.split_once('\n') {
                Some((message, hint)) => {
                    error("config.invalid_value", message.to_owned()).hint(hint)
                }
                None => error("config.invalid_value", message),
            },
        }
    }
}

/// What a person calls the thing that serde expected.
fn plain_kind(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a map" => "a mapping",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, zero or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        other if other.starts_with("struct ") => "a mapping",
        other if other.starts_with("enum ") => "one of the choices",
        other => other,
    }
}

fn suggest(given: &str, known: &'static [&'static str]) -> String {
    match nearest(given, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", list(known)),
    }
}

fn list(names: &[&str]) -> String {
    let mut out = String::new();
    for (index, name) in names.iter().enumerate() {
        let _ = write!(out, "{}`{name}`", if index == 0 { "" } else { ", " });
    }
    out
}

/// serde wants its own error type; ours is boxed.
#[derive(Debug)]
pub(super) struct Error(pub(super) Box<Mistake>);

impl Error {
    pub(super) fn new(what: What) -> Self {
        Self(Box::new(Mistake {
            what,
            place: None,
            derived: false,
        }))
    }
}

impl Error {
    /// What follows from a mistake that is reported already.
    pub(super) fn derived() -> Self {
        let mut error = Self::new(What::Other {
            message: String::new(),
        });
        error.0.derived = true;
        error
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.what)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(What::Other {
            message: message.to_string(),
        })
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(What::WrongType {
            expected: expected.to_string(),
        })
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // Never the value itself: it may be a secret.
        let message = format!("expected {}", plain_kind(&expected.to_string()));
        Self::new(What::Other { message })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::UnknownChoice {
            given: variant.to_owned(),
            known: expected,
        })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::UnknownKey {
            key: field.to_owned(),
            known: expected,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::MissingKey { key: field })
    }
}
