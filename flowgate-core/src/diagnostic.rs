//! What is wrong in a document, where, and what to do about it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A range in a text, counted from one; columns are characters, the end is exclusive.
///
/// The default, all zeros, stands for "not in a text": a value that came from JSON or from code.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Span {
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// One past the last column.
    pub end_column: u32,
}

impl Span {
    /// True if the value was read from a text.
    pub fn is_known(self) -> bool {
        self.line > 0
    }
}

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(
    feature = "uniffi",
    derive(uniffi::Enum),
    uniffi(name = "DiagnosticSeverity")
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document cannot be used.
    Error,
    /// The document can be used, but probably does not mean what it says.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A second place that belongs to a [`Diagnostic`], such as the first of two equal keys.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Where it is.
    #[serde(flatten)]
    pub span: Span,
}

/// One problem of a document: what, where, why, and how to fix it.
///
/// The message never quotes a value of the document, which may be a secret; the place does.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable name of the kind of problem, such as `config.unknown_key`.
    pub code: &'static str,
    /// What is wrong, in one lower-case sentence.
    pub message: String,
    /// The file, where the text came from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in the text.
    #[serde(flatten)]
    pub span: Span,
    /// Where in the document, such as `services.litellm.port`; empty for the whole.
    pub path: String,
    /// How to fix it.
    pub hint: Option<String>,
    /// Other places that matter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

impl Diagnostic {
    /// A problem that makes the document unusable.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span, message.into())
    }

    /// Something that is allowed and suspicious.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span, message.into())
    }

    fn new(severity: Severity, code: &'static str, span: Span, message: String) -> Self {
        Self {
            severity,
            code,
            message,
            file: None,
            span,
            path: String::new(),
            hint: None,
            related: Vec::new(),
        }
    }

    /// Names the place in the document.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Says how to fix it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at a second place.
    #[must_use]
    pub fn related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related.push(Related {
            message: message.into(),
            span,
        });
        self
    }

    /// True if the document cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if self.span.is_known() {
            write!(f, "{}:{}: ", self.span.line, self.span.column)?;
        } else if self.file.is_some() {
            f.write_str(" ")?;
        }
        write!(f, "{}", self.message)?;
        if !self.path.is_empty() {
            write!(f, " (at `{}`)", self.path)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// A key as a step of a path in the document: `.port`, or `["gpt-4.1"]` where a dot would mislead.
pub(crate) struct Step<'k> {
    pub(crate) key: &'k str,
    /// True at the start of a path, where there is no dot.
    pub(crate) first: bool,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simple = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if self.key.is_empty() || !self.key.chars().all(simple) {
            write!(f, "[{:?}]", self.key)
        } else if self.first {
            f.write_str(self.key)
        } else {
            write!(f, ".{}", self.key)
        }
    }
}

/// The known name that `given` was probably meant to be.
pub(crate) fn nearest<'k>(
    given: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    // Distances are quadratic in the length: a name far longer than any real one is not a typo.
    if given.len() > 64 {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace([' ', '-', '.'], "_");
    let given = plain(given);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &plain(name)), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_another_word_does_not() {
        let known = ["profiles", "secret_files", "services"];
        assert_eq!(nearest("profile", known), Some("profiles"));
        assert_eq!(nearest("secret files", known), Some("secret_files"));
        assert_eq!(nearest("Services", known), Some("services"));
        assert_eq!(nearest("alpha", known), None);
        assert_eq!(nearest(&"x".repeat(1000), known), None);
    }

    #[test]
    fn the_text_form_names_place_and_remedy() {
        let span = Span {
            line: 3,
            column: 1,
            end_line: 3,
            end_column: 8,
        };
        let mut diagnostic = Diagnostic::error("config.unknown_key", span, "unknown key `profile`")
            .at("profile")
            .hint("did you mean `profiles`?");
        diagnostic.file = Some("a.yaml".to_owned());
        assert_eq!(
            diagnostic.to_string(),
            "a.yaml:3:1: unknown key `profile` (at `profile`); did you mean `profiles`?"
        );
    }
}
