//! Walking shell code once, with what is known at each point.
//!
//! [`script`] follows the structure with an explicit stack, [`simple`] evaluates each simple
//! command and hands it to [`run`](super::run). Code inside code (substitutions, `sh -c`, …) is
//! walked by a nested call, at most [`DEPTH`] deep.

mod function;
mod script;
mod simple;

use smallvec::SmallVec;

use super::rules::Finding;
use super::value::{Flow, Producer, State, UNKNOWN};
use super::{Context, Guard, Step};
use script::Script;

/// How deep code may stand inside code.
pub(crate) const DEPTH: u32 = 64;

/// Steps of work for one byte of input, before the guard gives up.
const WORK_PER_BYTE: u64 = 50;

/// Where a piece of code comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Offset of the code in the command, if it stands there letter by letter.
    offset: Option<u32>,
    /// What to point at if it does not.
    span: (u32, u32),
}

impl Origin {
    /// The command itself.
    pub(crate) fn whole(len: usize) -> Self {
        Self {
            offset: Some(0),
            span: (0, len as u32),
        }
    }

    /// Code found at a place of the command, or only somewhere inside it.
    pub(crate) fn at(span: (u32, u32), offset: Option<u32>) -> Self {
        Self { offset, span }
    }

    /// The place in the command of a range of the code.
    pub(crate) fn span(self, start: u32, end: u32) -> (u32, u32) {
        match self.offset {
            Some(offset) => (offset + start, offset + end),
            None => self.span,
        }
    }

    /// The origin of a range of the code.
    pub(crate) fn nested(self, start: u32, end: u32, verbatim: bool) -> Self {
        Self {
            offset: self.offset.filter(|_| verbatim).map(|o| o + start),
            span: self.span(start, end),
        }
    }
}

/// A word of a simple command, expanded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arg<'t> {
    pub(crate) text: &'t str,
    pub(crate) span: (u32, u32),
}

/// The words of a simple command.
pub(crate) type Args<'t> = SmallVec<[Arg<'t>; 16]>;

/// What a simple command reads and writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Io<'t> {
    /// Standard input.
    pub(crate) stdin: &'t Flow,
    /// Whether somebody reads standard output.
    pub(crate) wanted: bool,
    /// The range of the command.
    pub(crate) span: (u32, u32),
    /// Heredoc or here-string that standard input is, in the command.
    pub(crate) input_span: Option<(u32, u32)>,
}

/// Analyses one command.
#[derive(Debug)]
pub(crate) struct Walker<'g> {
    pub(crate) guard: &'g Guard,
    pub(crate) context: &'g Context,
    /// The whole command.
    pub(crate) command: &'g str,
    pub(crate) state: State,
    pub(crate) depth: u32,
    /// The code runs on another machine.
    pub(crate) remote: bool,
    pub(crate) best: Option<Finding>,
    /// Every rule that matched, when somebody asked for all.
    pub(crate) all: Option<Vec<Finding>>,
    /// Why the command cannot be analysed.
    pub(crate) unanalyzable: Option<&'static str>,
    pub(crate) trace: Option<Vec<Step>>,
    /// A word of the current command comes from the network or out of a decoder.
    pub(crate) hidden: Option<Producer>,
    /// The names of the functions that are being called, the innermost last.
    pub(crate) calls: Vec<String>,
    work: u64,
    budget: u64,
}

impl<'g> Walker<'g> {
    pub(crate) fn new(guard: &'g Guard, context: &'g Context, command: &'g str) -> Self {
        Self {
            guard,
            context,
            command,
            state: State::default(),
            depth: 0,
            remote: false,
            best: None,
            all: None,
            unanalyzable: None,
            trace: None,
            hidden: None,
            calls: Vec::new(),
            work: 0,
            budget: 200_000 + command.len() as u64 * WORK_PER_BYTE,
        }
    }

    /// Walks the whole command.
    pub(crate) fn whole(&mut self) {
        let command = self.command;
        self.walk(command, Origin::whole(command.len()), Flow::Nothing, false);
        self.uncalled();
    }

    /// Counts work done.
    pub(crate) fn work(&mut self, steps: usize) {
        self.work += steps as u64 + 1;
    }

    /// The work that was done.
    pub(crate) fn done(&self) -> u64 {
        self.work
    }

    /// Whether there is no more work to be done.
    pub(crate) fn exhausted(&mut self) -> bool {
        if self.work > self.budget {
            self.unanalyzable = Some("too much work to analyse it");
        }
        self.work > self.budget
    }

    pub(crate) fn too_deep(&mut self, _code: &str) {
        self.unanalyzable = Some("code is nested too deeply to analyse it");
    }

    /// Adds a step for [`Guard::explain`]; the text is only made when somebody asked.
    pub(crate) fn step(&mut self, span: (u32, u32), text: impl FnOnce() -> String) {
        let depth = self.depth;
        if let Some(trace) = &mut self.trace
            && trace.len() < 1000
        {
            trace.push(Step {
                depth,
                span: super::Span {
                    start: span.0 as usize,
                    end: span.1 as usize,
                },
                text: text().replace(UNKNOWN, "…"),
            });
        }
    }

    /// Walks the code of a substitution in a subshell of its own; gives what it writes.
    pub(crate) fn substitute(&mut self, code: &str, origin: Origin) -> Flow {
        self.nested(code, origin, Flow::Nothing, true)
    }

    /// Walks code that runs in a subshell of its own.
    pub(crate) fn nested(&mut self, code: &str, origin: Origin, stdin: Flow, wanted: bool) -> Flow {
        let mark = self.state.mark();
        let place = self.state.place.clone();
        let flow = self.walk(code, origin, stdin, wanted);
        self.state.restore(mark);
        self.state.place = place;
        flow
    }

    /// Walks code in the current shell.
    pub(crate) fn walk(&mut self, code: &str, origin: Origin, stdin: Flow, wanted: bool) -> Flow {
        if self.depth >= DEPTH {
            self.too_deep(code);
            return Flow::Unknown(Producer::Other);
        }
        self.work(code.len());
        if self.exhausted() {
            return Flow::Unknown(Producer::Other);
        }
        self.depth += 1;
        let mut script = Script::new(self, code, origin, stdin, wanted);
        script.run();
        let result = script.take_result();
        if script.unbalanced() && self.depth == 1 {
            self.step((0, code.len() as u32), || {
                "a quote or a parenthesis is not closed".to_owned()
            });
        }
        self.depth -= 1;
        result
    }
}
