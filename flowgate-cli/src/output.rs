//! Printing answers and errors, as text or JSON, and the exit codes.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use flowgate_core::diagnostic::Diagnostic;
use flowgate_core::runtime;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::Format;
use crate::{report, visible};

/// The exit codes, which are part of the interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// The answer is no.
    No = 1,
    /// Wrong usage or bad input.
    BadInput = 2,
    /// The machine failed.
    Environment = 3,
    /// The person stopped it.
    Interrupted = 130,
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library says no.
    Core(Box<runtime::Error>),
    /// What was asked for makes no sense: code, message, hint.
    Usage(&'static str, String, String),
    /// The machine does not give what is needed: code, message, hint.
    Environment(&'static str, String, String),
    /// The answer could not be printed.
    Print(io::Error),
}

impl<E: Into<runtime::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Core(Box::new(error.into()))
    }
}

pub(crate) type Result<T = Exit> = std::result::Result<T, Failure>;

/// So many of something: `1 error`, `2 errors`.
pub(crate) fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Where answers go: standard output, coloured where it is a terminal.
pub(crate) struct Output {
    format: Format,
    color: ColorChoice,
}

impl Output {
    pub(crate) fn new(format: Format, no_color: bool) -> Self {
        let color = if no_color {
            ColorChoice::Never
        } else {
            ColorChoice::Auto
        };
        Self { format, color }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints one JSON document.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let text =
            serde_json::to_string_pretty(value).map_err(|error| Failure::Print(error.into()))?;
        // JSON may hold U+009B as it is, which starts a command for some terminals.
        self.text(format_args!("{}\n", visible::lines(&text)))
    }

    /// Prints one JSON document on one line, at once.
    pub(crate) fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value).map_err(|error| Failure::Print(error.into()))?;
        self.text(format_args!("{}\n", visible::lines(&text)))
    }

    /// Prints text as it is; styles are left out where they would not show. What comes from a
    /// document goes through [`visible`] first.
    pub(crate) fn text(&mut self, text: fmt::Arguments<'_>) -> Result<()> {
        let mut out = AutoStream::new(io::stdout().lock(), self.color_of(&io::stdout()));
        out.write_fmt(text)
            .and_then(|()| out.flush())
            .map_err(Failure::Print)
    }

    /// True if a person looks at it, and what was printed can be printed over.
    pub(crate) fn is_live(&self) -> bool {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        !self.is_json() && io::stdout().is_terminal() && !is_dumb
    }

    /// Sends commands to the terminal, and prints text behind them, all in one.
    pub(crate) fn frame(&mut self, control: &str, text: &str) -> Result<()> {
        let frame = match self.color_of(&io::stdout()) {
            ColorChoice::Never => format!("{control}{}", strip_str(text)),
            _ => format!("{control}{text}"),
        };
        let mut out = io::stdout().lock();
        out.write_all(frame.as_bytes())
            .and_then(|()| out.flush())
            .map_err(Failure::Print)
    }

    /// Shows diagnostics the way a compiler does, on standard error.
    pub(crate) fn diagnostics(&mut self, diagnostics: &[Diagnostic]) {
        let mut err = AutoStream::new(io::stderr().lock(), self.color_of(&io::stderr()));
        // Nothing can be said about standard error failing.
        let _ = err.write_all(report::render(diagnostics).as_bytes());
    }

    /// Says something beside the answer, on standard error.
    pub(crate) fn note(&mut self, text: fmt::Arguments<'_>) {
        let mut err = AutoStream::new(io::stderr().lock(), self.color_of(&io::stderr()));
        let _ = err.write_fmt(text);
    }

    fn color_of(&self, stream: &impl anstream::stream::RawStream) -> ColorChoice {
        match self.color {
            ColorChoice::Auto => AutoStream::choice(stream),
            choice => choice,
        }
    }

    /// Shows what went wrong, and turns the result into an exit code.
    pub(crate) fn finish(&mut self, result: Result) -> ExitCode {
        let exit = match result {
            Ok(exit) => exit,
            // Whoever reads has enough: that is no failure of ours.
            Err(Failure::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Err(failure) => self.fail(&failure),
        };
        ExitCode::from(exit as u8)
    }

    fn fail(&mut self, failure: &Failure) -> Exit {
        if self.is_json() {
            // The same document on the same stream, whether the answer is good or bad.
            let _ = self.json(&json!({ "error": failure.to_json() }));
        } else {
            match failure {
                Failure::Core(error) if !error.diagnostics().is_empty() => {
                    self.diagnostics(error.diagnostics())
                }
                Failure::Core(error) => self.error(&error.to_string(), ""),
                Failure::Usage(_, message, hint) | Failure::Environment(_, message, hint) => {
                    self.error(message, hint);
                }
                Failure::Print(error) => {
                    self.error(&format!("cannot print the answer: {error}"), "")
                }
            }
        }
        match failure {
            Failure::Core(error) if error.is_environment() => Exit::Environment,
            Failure::Core(_) | Failure::Usage(..) => Exit::BadInput,
            Failure::Environment(..) | Failure::Print(_) => Exit::Environment,
        }
    }

    pub(crate) fn error(&mut self, message: &str, hint: &str) {
        let mut err = AutoStream::new(io::stderr().lock(), self.color_of(&io::stderr()));
        let _ = writeln!(err, "{ERROR}error{ERROR:#}: {}", visible::lines(message));
        if !hint.is_empty() {
            let _ = writeln!(err, "{HINT}help{HINT:#}: {}", visible::lines(hint));
        }
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::BrightRed.on_default().bold();
const HINT: anstyle::Style = anstyle::AnsiColor::BrightCyan.on_default().bold();
/// For what matters most on a line.
pub(crate) const STRONG: anstyle::Style = anstyle::Style::new().bold();
/// For what explains.
pub(crate) const DIM: anstyle::Style = anstyle::Style::new().dimmed();
/// For what deserves a look.
pub(crate) const WARN: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
/// For what is new.
pub(crate) const ADDED: anstyle::Style = anstyle::AnsiColor::Green.on_default();
/// For what is gone.
pub(crate) const REMOVED: anstyle::Style = anstyle::AnsiColor::Red.on_default();

impl Failure {
    /// The error as data: `code`, `message`, and what belongs to it.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Core(error) => {
                let mut json = json!({ "code": error.code(), "message": error.to_string() });
                if !error.diagnostics().is_empty() {
                    json["diagnostics"] = json!(error.diagnostics());
                }
                json
            }
            Self::Usage(code, message, hint) | Self::Environment(code, message, hint) => {
                json!({ "code": code, "message": message, "hint": hint })
            }
            Self::Print(error) => {
                json!({ "code": "cli.cannot_print", "message": error.to_string() })
            }
        }
    }
}
