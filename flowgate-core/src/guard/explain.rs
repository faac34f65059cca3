//! How a verdict came about, for people.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::{Span, Verdict};

/// One step of the analysis.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Step {
    /// How deep the code stands inside other code.
    pub depth: u32,
    /// The part of the command it is about.
    pub span: Span,
    /// What the guard saw or did.
    pub text: String,
}

/// A verdict with the steps that led to it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// In the order of the analysis.
    pub steps: Vec<Step>,
    /// The verdict.
    pub verdict: Verdict,
}

impl Explanation {
    /// Shows the steps, the verdict, and the deciding part of the command underlined.
    pub fn render(&self, command: &str) -> String {
        let mut out = String::new();
        self.write(command, &mut out)
            .expect("writing to a string succeeds");
        out
    }

    fn write(&self, command: &str, out: &mut String) -> fmt::Result {
        for step in &self.steps {
            writeln!(
                out,
                "{:width$}{}",
                "",
                step.text,
                width = step.depth as usize * 2
            )?;
        }
        write!(out, "{}", self.verdict.decision.name())?;
        if let Some(rule) = &self.verdict.rule {
            write!(out, " by {rule}")?;
        }
        writeln!(out)?;
        if let Some(span) = self.verdict.span {
            underline(command, span, out)?;
        }
        if let Some(reason) = &self.verdict.reason {
            writeln!(out, "  why: {reason}")?;
        }
        if let Some(suggestion) = &self.verdict.suggestion {
            writeln!(out, "  instead: {suggestion}")?;
        }
        Ok(())
    }
}

/// Writes the line a span begins in, with a row of `^` below it.
fn underline(command: &str, span: Span, out: &mut String) -> fmt::Result {
    let start = span.start.min(command.len());
    let line_start = command
        .get(..start)
        .and_then(|c| c.rfind('\n'))
        .map_or(0, |n| n + 1);
    let line_end = command
        .get(start..)
        .and_then(|c| c.find('\n'))
        .map_or(command.len(), |n| start + n);
    let line = command.get(line_start..line_end).unwrap_or_default();
    let before = command
        .get(line_start..start)
        .unwrap_or_default()
        .chars()
        .count();
    let marked = command
        .get(start..span.end.min(line_end))
        .unwrap_or_default()
        .chars()
        .count()
        .max(1);
    let shown: String = line
        .chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .collect();
    writeln!(out, "  | {shown}")?;
    writeln!(out, "  | {:before$}{}", "", "^".repeat(marked))
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Guard};

    fn rendered(command: &str) -> String {
        let context = Context::new("/home/dev/project", "/home/dev");
        Guard::default().explain(command, &context).render(command)
    }

    #[test]
    fn steps_show_words_with_the_quotes_they_need() {
        let text = rendered("git commit -m 'never rm -rf /' ''");
        assert!(
            text.contains("command: git commit -m 'never rm -rf /' ''\n"),
            "{text}"
        );
        let text = rendered("echo \"it's\" *.rs");
        assert!(text.contains(r"command: echo 'it'\''s' *.rs"), "{text}");
    }

    #[test]
    fn the_deciding_part_is_underlined_as_it_was_written() {
        let text = rendered("ls; rm -rf \"$HOME\" && pwd");
        let shown = "  | ls; rm -rf \"$HOME\" && pwd\n  |     ^^^^^^^^^^^^^^\n";
        assert!(text.contains(shown), "{text}");
    }
}
