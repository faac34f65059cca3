//! Diagnostics shown the way a compiler does: the line, what is wrong underlined, and a way out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use flowgate_core::diagnostic::{Diagnostic, Severity, Span};
use flowgate_core::redact::redact_text;
use flowgate_core::runtime::read_document;

use crate::output::counted;
use crate::visible;

/// How many are shown; the rest can be had as JSON.
const MOST: usize = 40;
/// Lines longer than this are not shown.
const LONGEST_LINE: usize = 1_000;

/// Renders diagnostics, with a line that counts them.
pub(crate) fn render(diagnostics: &[Diagnostic]) -> String {
    let mut sources: BTreeMap<&str, Option<Source>> = BTreeMap::new();
    let mut out = String::new();
    let shown: Vec<Diagnostic> = diagnostics.iter().take(MOST).map(harmless).collect();
    for (diagnostic, original) in shown.iter().zip(diagnostics) {
        let source = original.file.as_deref().and_then(|file| {
            sources
                .entry(file)
                .or_insert_with(|| Source::read(file))
                .as_ref()
        });
        match source.and_then(|source| snippet(diagnostic, source)) {
            Some(report) => out.push_str(&report),
            None => {
                let _ = write!(
                    out,
                    "{}[{}]: {diagnostic}",
                    diagnostic.severity, diagnostic.code
                );
            }
        }
        out.push_str("\n\n");
    }
    let _ = writeln!(out, "{}", count(diagnostics));
    out
}

/// The same diagnostic with nothing in it that a terminal would obey.
fn harmless(diagnostic: &Diagnostic) -> Diagnostic {
    let shown = |text: &str| visible::one_line(text).into_owned();
    let mut harmless = diagnostic.clone();
    harmless.message = shown(&harmless.message);
    harmless.path = shown(&harmless.path);
    harmless.hint = harmless.hint.as_deref().map(shown);
    harmless.file = harmless.file.as_deref().map(shown);
    for related in &mut harmless.related {
        related.message = shown(&related.message);
    }
    harmless
}

fn count(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    let mut text = counted(errors, "error");
    if diagnostics.len() > errors {
        let _ = write!(text, ", {}", counted(diagnostics.len() - errors, "warning"));
    }
    if diagnostics.len() > MOST {
        let _ = write!(text, "; {MOST} are shown, `--format json` gives all");
    }
    text
}

fn snippet(diagnostic: &Diagnostic, source: &Source) -> Option<String> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let primary = AnnotationKind::Primary
        .span(source.range(diagnostic.span)?)
        .label(&diagnostic.path);
    let mut annotations = vec![primary];
    for related in &diagnostic.related {
        if let Some(range) = source.range(related.span) {
            annotations.push(AnnotationKind::Context.span(range).label(&related.message));
        }
    }
    let title = level.primary_title(&diagnostic.message).id(diagnostic.code);
    let snippet = Snippet::source(&source.text)
        .path(&source.file)
        .fold(true)
        .annotations(annotations);
    let mut report: Vec<Group<'_>> = vec![title.element(snippet)];
    if let Some(hint) = &diagnostic.hint {
        report.push(Group::with_title(Level::HELP.secondary_title(hint)));
    }
    Some(Renderer::styled().render(&report).to_string())
}

/// The text of a file with its secrets hidden, and where its lines start.
struct Source {
    file: String,
    text: String,
    lines: Vec<usize>,
}

impl Source {
    /// `None` if it cannot be read a second time: a pipe gives its text once, then waits for ever.
    fn read(file: &str) -> Option<Self> {
        if !Path::new(file).metadata().ok()?.is_file() {
            return None;
        }
        let text = String::from_utf8(read_document(Path::new(file)).ok()?).ok()?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut shown = String::with_capacity(text.len());
        let mut lines = vec![0];
        for line in redact_text(text).split_inclusive('\n') {
            let line = line.trim_end_matches(['\r', '\n']);
            // The renderer does this to the other control characters. One for one: columns stay.
            shown.push_str(&line.replace(|c| matches!(c, '\u{80}'..='\u{9f}'), "\u{fffd}"));
            shown.push('\n');
            lines.push(shown.len());
        }
        Some(Self {
            file: visible::one_line(file).into_owned(),
            text: shown,
            lines,
        })
    }

    /// The bytes of a span; `None` if the text has no such place, or its lines are too long to show.
    fn range(&self, span: Span) -> Option<Range<usize>> {
        let start = self.offset(span.line, span.column)?;
        // What spans lines is underlined to the end of its first one.
        let end = if span.end_line == span.line {
            self.offset(span.end_line, span.end_column)?
        } else {
            start + self.text[start..].find('\n').unwrap_or(0)
        };
        Some(start..end.max(start))
    }

    fn offset(&self, line: u32, column: u32) -> Option<usize> {
        let start = *self
            .lines
            .get(usize::try_from(line).ok()?.checked_sub(1)?)?;
        let rest = &self.text[start..];
        let length = rest.find('\n').unwrap_or(rest.len());
        if length > LONGEST_LINE {
            return None;
        }
        let skipped = usize::try_from(column).ok()?.checked_sub(1)?;
        Some(
            start
                + rest[..length]
                    .char_indices()
                    .nth(skipped)
                    .map_or(length, |(at, _)| at),
        )
    }
}
