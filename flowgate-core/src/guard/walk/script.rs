//! The structure of shell text: commands, pipelines, groups, loops, functions.

use smallvec::SmallVec;

use super::{Args, Origin, Walker};
use crate::guard::expand::Split;
use crate::guard::lex::{Lexer, Op, Redirect, Token, Word, part};
use crate::guard::skip::{Nest, skip};
use crate::guard::value::{Flow, Place, UNKNOWN_TEXT};

/// How many times each byte may be looked at ahead of time, to tell `((` from two subshells.
const LOOKS: usize = 4;

/// Functions nested deeper than this are read where they are defined, not where they are called.
const NESTED: usize = 3;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Kind {
    Case,
    #[default]
    Group,
    If,
    Loop,
    Subshell,
}

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    kind: Kind,
    mark: usize,
    /// Index of the saved directory, for a subshell.
    place: usize,
}

/// A function whose definition is being read.
#[derive(Debug)]
struct Definition {
    name: Word,
    /// Where its body begins.
    start: usize,
    /// How many frames are open outside of it.
    outside: usize,
}

#[derive(Debug, Default)]
pub(super) struct Simple {
    pub(super) words: SmallVec<[Word; 16]>,
    pub(super) redirects: SmallVec<[Redirect; 3]>,
    /// Whether it was looked at as a call in some other language.
    called: bool,
}

impl Simple {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.redirects.is_empty()
    }

    fn clear(&mut self) {
        self.words.clear();
        self.redirects.clear();
        self.called = false;
    }
}

/// The walk through one piece of code.
pub(super) struct Script<'s, 'g, 't> {
    pub(super) walker: &'s mut Walker<'g>,
    pub(super) code: &'t str,
    pub(super) origin: Origin,
    lexer: Lexer<'t>,
    pub(super) simple: Simple,
    frames: SmallVec<[Frame; 8]>,
    /// How many of the frames are branches.
    pub(super) branches: usize,
    /// Directories to go back to when subshells end.
    places: Vec<Place>,
    /// What each open group has written so far.
    flows: Vec<Flow>,
    /// What the group that was just closed wrote.
    closed: Option<Flow>,
    /// The function whose body comes next: its name, and where the body begins.
    defined: Option<(Word, usize)>,
    /// The function whose body is being skipped until somebody calls it.
    skipped: Option<Definition>,
    /// Standard input of the next command, if a pipe feeds it.
    stdin: Flow,
    /// Standard input of the code, and of each group that is open in it.
    inputs: Vec<Flow>,
    /// How many bytes may still be looked at ahead.
    looks: usize,
    /// Words of the current command that need no expansion.
    pub(super) plain: Args<'t>,
    result: Flow,
    wanted: bool,
    /// Name of the command before the last pipe.
    previous: Option<Word>,
}

impl<'s, 'g, 't> Script<'s, 'g, 't> {
    pub(super) fn new(
        walker: &'s mut Walker<'g>,
        code: &'t str,
        origin: Origin,
        stdin: Flow,
        wanted: bool,
    ) -> Self {
        Self {
            walker,
            code,
            origin,
            lexer: Lexer::new(code),
            simple: Simple::default(),
            frames: SmallVec::new(),
            branches: 0,
            places: Vec::new(),
            flows: Vec::new(),
            closed: None,
            defined: None,
            skipped: None,
            stdin: Flow::Nothing,
            inputs: vec_of(stdin),
            looks: code.len() * LOOKS + 64,
            plain: Args::new(),
            result: Flow::Nothing,
            wanted,
            previous: None,
        }
    }

    /// What the code writes.
    pub(super) fn take_result(&mut self) -> Flow {
        std::mem::take(&mut self.result)
    }

    /// Whether a quote or substitution was not closed.
    pub(super) fn unbalanced(&self) -> bool {
        self.lexer.unbalanced
    }

    pub(super) fn run(&mut self) {
        loop {
            match self.lexer.token() {
                Token::Word(word) => {
                    if self.simple.words.is_empty() && self.keyword(word) {
                        continue;
                    }
                    self.simple.words.push(word);
                }
                Token::Redirect(redirect) => self.simple.redirects.push(redirect),
                Token::Op(Op::Open) => self.open(),
                Token::Op(Op::Close) => {
                    self.end_command(Op::Semi);
                    if self
                        .frames
                        .last_mut()
                        .is_some_and(|f| f.kind == Kind::Subshell)
                    {
                        self.pop();
                    }
                }
                Token::Op(Op::DoubleSemi) => {
                    self.end_command(Op::Semi);
                    if self.frames.last_mut().is_some_and(|f| f.kind == Kind::Case) {
                        self.case_pattern();
                    }
                }
                Token::Op(op) => self.end_command(op),
                Token::End => {
                    self.end_command(Op::Semi);
                    while !self.frames.is_empty() {
                        self.pop();
                        self.end_command(Op::Semi);
                    }
                    return;
                }
            }
        }
    }

    /// Handles a word that may be a keyword; says whether it was one.
    fn keyword(&mut self, word: Word) -> bool {
        if word.parts & !(part::BRACE | part::GLOB) != 0 {
            return false;
        }
        // As bytes: a tree of comparisons instead of one after the other.
        match word.text(self.code).as_bytes() {
            b"if" => self.push(Kind::If),
            b"while" | b"until" => self.push(Kind::Loop),
            b"for" | b"select" => {
                self.push(Kind::Loop);
                self.for_header();
            }
            b"case" => {
                self.push(Kind::Case);
                self.case_header();
            }
            b"{" => self.push(Kind::Group),
            b"}" => self.pop_if(Kind::Group),
            b"fi" => self.pop_if(Kind::If),
            b"done" => self.pop_if(Kind::Loop),
            b"esac" => self.pop_if(Kind::Case),
            b"then" | b"else" | b"elif" | b"do" | b"!" | b"coproc" => {}
            b"function" => {
                if let Token::Word(name) = self.lexer.token() {
                    if self.lexer.peek() == b'(' {
                        self.lexer.token();
                        self.lexer.token();
                    }
                    self.define(name);
                }
            }
            b"[[" => self.condition(),
            _ => return false,
        }
        true
    }

    fn push(&mut self, kind: Kind) {
        if let Some((name, start)) = self.defined.take()
            && self.skipped.is_none()
            && self.walker.calls.len() < NESTED
        {
            self.skipped = Some(Definition {
                name,
                start,
                outside: self.frames.len(),
            });
        }
        self.branches += usize::from(matches!(kind, Kind::If | Kind::Case));
        self.frames.push(Frame {
            kind,
            mark: self.walker.state.mark(),
            place: self.places.len(),
        });
        if kind == Kind::Subshell {
            self.places.push(self.walker.state.place.clone());
        }
        self.flows.push(Flow::Nothing);
        let input = std::mem::take(&mut self.stdin);
        self.inputs.push(input);
    }

    fn pop_if(&mut self, kind: Kind) {
        if self.frames.last_mut().is_some_and(|f| f.kind == kind) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(frame) = self.frames.pop() else {
            return;
        };
        self.branches -= usize::from(matches!(frame.kind, Kind::If | Kind::Case));
        if frame.kind == Kind::Subshell {
            self.walker.state.restore(frame.mark);
            if let Some(place) = self.places.drain(frame.place..).next() {
                self.walker.state.place = place;
            }
        }
        self.closed = self.flows.pop();
        self.inputs.pop();
        if let Some(definition) = self
            .skipped
            .take_if(|definition| definition.outside == self.frames.len())
        {
            // Defining a function writes nothing.
            self.closed = Some(Flow::Nothing);
            let end = self.lexer.at();
            let body = self.code.get(definition.start..end).unwrap_or_default();
            let origin = self
                .origin
                .nested(definition.start as u32, end as u32, true);
            let name = definition.name.text(self.code);
            self.walker.define(name, body, origin);
        }
    }

    /// At the end of `NAME()` or `function NAME`: the body follows.
    fn define(&mut self, name: Word) {
        if self.skipped.is_none() {
            self.defined = Some((name, self.lexer.at()));
        }
    }

    /// At `(`: a subshell, an arithmetic command, a function definition or an error.
    fn open(&mut self) {
        if self.simple.words.is_empty() {
            let bytes = self.code.as_bytes();
            let at = self.lexer.at();
            let arithmetic = if bytes.get(at) == Some(&b'(') && self.looks > 0 {
                let (end, closed) = skip(bytes, at + 1, Nest::Arithmetic);
                self.looks = self.looks.saturating_sub(end - at);
                (closed && bytes.get(end) == Some(&b')')).then_some(end)
            } else {
                None
            };
            if let Some(end) = arithmetic {
                if self.skipped.is_none() {
                    self.walker.expand_body(
                        &self.code[at + 1..end - 1],
                        self.origin.nested(at as u32 + 1, end as u32 - 1, true),
                    );
                }
                self.lexer.seek(end + 1);
                self.closed = Some(Flow::Nothing);
                return;
            }
            return self.push(Kind::Subshell);
        }
        if self.simple.words.len() == 1 && self.lexer.peek() == b')' {
            self.lexer.token();
            let name = self.simple.words[0];
            self.simple.words.clear();
            return self.define(name);
        }
        // No shell accepts this; it may be a call in some other language.
        let first = self.simple.words[0];
        let (end, _) = skip(self.code.as_bytes(), self.lexer.at(), Nest::Command);
        if self.skipped.is_some() {
            return self.lexer.seek(end);
        }
        // Only up to the first of its parentheses can it be a name.
        if !std::mem::replace(&mut self.simple.called, true) {
            let text = self.code.get(first.start as usize..end).unwrap_or_default();
            let span = self.origin.span(first.start, end as u32);
            self.walker.bare_call(text, span);
        }
        let at = self.lexer.at() as u32;
        self.simple.words.push(Word {
            start: at,
            end: end as u32,
            parts: part::QUOTE,
        });
        self.walker.substitute(
            self.code
                .get(at as usize..end.saturating_sub(1))
                .unwrap_or_default(),
            self.origin.nested(at, end as u32, true),
        );
        self.lexer.seek(end);
    }

    fn for_header(&mut self) {
        let name = match self.lexer.token() {
            Token::Word(name) => name.text(self.code).to_owned(),
            Token::Op(Op::Open) => return self.open(),
            _ => return,
        };
        if self.skipped.is_some() {
            return;
        }
        if self.lexer.peek() != b'i' {
            let values = self.walker.look_up("@");
            return self.walker.state.set(&name, values, false);
        }
        let Token::Word(_) = self.lexer.token() else {
            return;
        };
        let mut values = Vec::new();
        while let Token::Word(word) = self.lexer.token() {
            values.extend(self.walker.expand(self.code, word, self.origin, Split::Yes));
        }
        if values.is_empty() {
            values.push(UNKNOWN_TEXT.to_owned());
        }
        self.walker.state.set(&name, values, false);
    }

    fn case_header(&mut self) {
        if let Token::Word(word) = self.lexer.token()
            && self.skipped.is_none()
        {
            self.walker.expand(self.code, word, self.origin, Split::No);
        }
        while self.lexer.peek() == b'\n' {
            self.lexer.token();
        }
        self.lexer.token();
        self.case_pattern();
    }

    /// Reads the patterns before `)`, or the `esac` that ends it all.
    fn case_pattern(&mut self) {
        let mut first = true;
        loop {
            match self.lexer.token() {
                Token::Word(word) if first && word.text(self.code) == "esac" => return self.pop(),
                Token::Word(word) => {
                    if word.parts & part::DOLLAR != 0 && self.skipped.is_none() {
                        self.walker.expand(self.code, word, self.origin, Split::No);
                    }
                    first = false;
                }
                Token::Op(Op::Newline | Op::Pipe | Op::Open) => {}
                Token::Op(Op::Close) | Token::End => return,
                _ => first = false,
            }
        }
    }

    /// `[[ … ]]`.
    fn condition(&mut self) {
        loop {
            match self.lexer.token() {
                Token::Word(word) if word.text(self.code) == "]]" => break,
                Token::Word(word)
                    if word.parts & (part::DOLLAR | part::PROCESS) != 0
                        && self.skipped.is_none() =>
                {
                    self.walker.expand(self.code, word, self.origin, Split::No);
                }
                Token::End | Token::Op(Op::Newline | Op::Semi) => break,
                _ => {}
            }
        }
        self.closed = Some(Flow::Nothing);
    }

    /// Evaluates the command that ends here.
    fn end_command(&mut self, op: Op) {
        if op == Op::Newline && self.simple.is_empty() && self.closed.is_none() {
            return;
        }
        if self.skipped.is_some() {
            return self.simple.clear();
        }
        let closed = self.closed.take();
        let collecting = self.wanted || !self.frames.is_empty();
        let first = self.simple.words.first().copied();
        let flow = if self.simple.is_empty() {
            self.stdin = Flow::Nothing;
            closed.unwrap_or_default()
        } else {
            if self.previous.is_some() {
                self.fork_bomb(op, first);
            }
            let piped = std::mem::take(&mut self.stdin);
            let flow = if matches!(piped, Flow::Nothing) {
                let inherited = self.inputs.last_mut().map(std::mem::take);
                let flow = self.evaluate(
                    inherited.as_ref().unwrap_or(&piped),
                    op == Op::Pipe || collecting,
                    closed,
                );
                if let (Some(input), Some(place)) = (inherited, self.inputs.last_mut()) {
                    *place = input;
                }
                flow
            } else {
                self.evaluate(&piped, op == Op::Pipe || collecting, closed)
            };
            self.simple.clear();
            flow
        };
        self.previous = if op == Op::Pipe { first } else { None };
        if op == Op::Pipe {
            self.stdin = flow;
        } else if collecting {
            match self.flows.last_mut() {
                Some(group) => group.append(flow),
                None => self.result.append(flow),
            }
        }
    }

    /// A function that pipes itself into itself.
    fn fork_bomb(&mut self, op: Op, first: Option<Word>) {
        let (Some(first), Some(before)) = (first, self.previous) else {
            return;
        };
        let name = first.text(self.code);
        let itself = before.text(self.code) == name && self.walker.calls.iter().any(|c| c == name);
        if op != Op::Pipe && itself {
            let span = self.origin.span(before.start, first.end);
            self.walker
                .special("system.processes:fork-bomb", span, false);
        }
    }
}

fn vec_of(input: Flow) -> Vec<Flow> {
    // Nothing is what an empty list stands for, and costs no allocation.
    if matches!(input, Flow::Nothing) {
        Vec::new()
    } else {
        vec![input]
    }
}
