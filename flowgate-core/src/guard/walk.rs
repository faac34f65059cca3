//! The structure of shell text: commands, pipelines, groups, loops, functions.
//!
//! Walks the tokens once with an explicit stack, evaluates each simple command with what is
//! known at that point, and hands it to [`run`](super::run). Code inside code (substitutions,
//! `sh -c`, …) is walked by a nested call, at most [`DEPTH`] deep.

use super::lex::{Direction, Lexer, Op, Redirect, Token, Word, part};
use super::rules::Finding;
use super::skip::{Nest, skip};
use super::small::Small;
use super::value::{Flow, Place, Producer, State, UNKNOWN, UNKNOWN_TEXT};
use super::{Context, Guard, Step, expand::Split};

/// How deep code may stand inside code.
pub(crate) const DEPTH: u32 = 40;

/// Steps of work for one byte of input, before the guard gives up.
const WORK_PER_BYTE: u64 = 200;

/// How many groups outward the function that a command stands in is looked for.
const NEAR: usize = 16;

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
pub(crate) type Args<'t> = Small<Arg<'t>, 16>;

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
    /// The word that names the function whose body this is.
    function: Option<Word>,
}

#[derive(Debug, Default)]
struct Simple {
    words: Small<Word, 16>,
    redirects: Small<Redirect, 3>,
}

impl Simple {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.redirects.is_empty()
    }
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
            work: 0,
            budget: 200_000 + command.len() as u64 * WORK_PER_BYTE,
        }
    }

    /// Counts work done.
    pub(crate) fn work(&mut self, steps: usize) {
        self.work += steps as u64 + 1;
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
        let mut script = Script {
            walker: self,
            code,
            origin,
            lexer: Lexer::new(code),
            simple: Simple::default(),
            frames: Small::new(),
            branches: 0,
            places: Vec::new(),
            flows: Vec::new(),
            closed: None,
            defined: None,
            stdin,
            result: Flow::Nothing,
            wanted,
            previous: None,
        };
        script.run();
        let result = script.result;
        if script.lexer.unbalanced && self.depth == 1 {
            self.step((0, code.len() as u32), || {
                "a quote or a parenthesis is not closed".to_owned()
            });
        }
        self.depth -= 1;
        result
    }
}

/// The walk through one piece of code.
struct Script<'s, 'g, 't> {
    walker: &'s mut Walker<'g>,
    code: &'t str,
    origin: Origin,
    lexer: Lexer<'t>,
    simple: Simple,
    frames: Small<Frame, 8>,
    /// How many of the frames are branches.
    branches: usize,
    /// Directories to go back to when subshells end.
    places: Vec<Place>,
    /// What each open group has written so far.
    flows: Vec<Flow>,
    /// What the group that was just closed wrote.
    closed: Option<Flow>,
    /// The function whose body comes next.
    defined: Option<Word>,
    /// Standard input of the next command.
    stdin: Flow,
    result: Flow,
    wanted: bool,
    /// Name of the command before the last pipe.
    previous: Option<Word>,
}

impl Script<'_, '_, '_> {
    fn run(&mut self) {
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
        match word.text(self.code) {
            "if" => self.push(Kind::If),
            "while" | "until" => self.push(Kind::Loop),
            "for" | "select" => {
                self.push(Kind::Loop);
                self.for_header();
            }
            "case" => {
                self.push(Kind::Case);
                self.case_header();
            }
            "{" => self.push(Kind::Group),
            "}" => self.pop_if(Kind::Group),
            "fi" => self.pop_if(Kind::If),
            "done" => self.pop_if(Kind::Loop),
            "esac" => self.pop_if(Kind::Case),
            "then" | "else" | "elif" | "do" | "!" | "coproc" => {}
            "function" => {
                if let Token::Word(name) = self.lexer.token() {
                    self.define(name);
                    if self.lexer.peek() == b'(' {
                        self.lexer.token();
                        self.lexer.token();
                    }
                }
            }
            "[[" => self.condition(),
            _ => return false,
        }
        true
    }

    fn push(&mut self, kind: Kind) {
        let function = if matches!(kind, Kind::Group | Kind::Subshell) {
            self.defined.take()
        } else {
            None
        };
        self.branches += usize::from(matches!(kind, Kind::If | Kind::Case));
        self.frames.push(Frame {
            kind,
            mark: self.walker.state.mark(),
            place: self.places.len(),
            function,
        });
        if kind == Kind::Subshell {
            self.places.push(self.walker.state.place.clone());
        }
        self.flows.push(Flow::Nothing);
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
        if frame.function.is_some() {
            // Defining a function writes nothing.
            self.closed = Some(Flow::Nothing);
        }
    }

    fn define(&mut self, name: Word) {
        let text = name.text(self.code).to_owned();
        self.walker.state.functions.push(text);
        self.defined = Some(name);
    }

    /// At `(`: a subshell, an arithmetic command, a function definition or an error.
    fn open(&mut self) {
        if self.simple.words.is_empty() {
            let bytes = self.code.as_bytes();
            let at = self.lexer.at();
            let arithmetic = if bytes.get(at) == Some(&b'(') && !self.walker.exhausted() {
                let (end, closed) = skip(bytes, at + 1, Nest::Arithmetic);
                self.walker.work(end - at);
                (closed && bytes.get(end) == Some(&b')')).then_some(end)
            } else {
                None
            };
            if let Some(end) = arithmetic {
                self.walker.expand_body(
                    &self.code[at + 1..end - 1],
                    self.origin.nested(at as u32 + 1, end as u32 - 1, true),
                );
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
        let text = self.code.get(first.start as usize..end).unwrap_or_default();
        let span = self.origin.span(first.start, end as u32);
        self.walker.bare_call(text, span);
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
        if let Token::Word(word) = self.lexer.token() {
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
                    if word.parts & part::DOLLAR != 0 {
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
                Token::Word(word) if word.parts & (part::DOLLAR | part::PROCESS) != 0 => {
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
        let closed = self.closed.take();
        let collecting = self.wanted || !self.frames.is_empty();
        let stdin = std::mem::take(&mut self.stdin);
        let first = self.simple.words.first().copied();
        let flow = if self.simple.is_empty() {
            closed.unwrap_or_default()
        } else {
            if op == Op::Pipe || self.previous.is_some() {
                self.fork_bomb(op, first);
            }
            let flow = self.evaluate(&stdin, op == Op::Pipe || collecting, closed);
            self.simple.words.clear();
            self.simple.redirects.clear();
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
        let (Some(first), Some(function)) = (
            first,
            self.frames.iter().rev().take(NEAR).find_map(|f| f.function),
        ) else {
            return;
        };
        let name = function.text(self.code);
        let before = self.previous.is_some_and(|p| p.text(self.code) == name);
        if op != Op::Pipe && before && first.text(self.code) == name {
            let span = self.origin.span(function.start, first.end);
            self.walker
                .special("system.processes:fork-bomb", span, false);
        }
    }

    fn in_branch(&self) -> bool {
        self.branches > 0
    }

    /// Expands and runs a simple command.
    fn evaluate(&mut self, stdin: &Flow, wanted: bool, closed: Option<Flow>) -> Flow {
        if self.walker.exhausted() {
            return Flow::Unknown(Producer::Other);
        }
        let hidden = self.walker.hidden.take();
        let words = std::mem::take(&mut self.simple.words);
        let redirects = std::mem::take(&mut self.simple.redirects);
        let branch = self.in_branch();
        let assigned = words
            .iter()
            .take_while(|w| assignment(w.text(self.code)).is_some())
            .count();
        let (code, origin) = (self.code, self.origin);
        // Words that are what they say borrow from the code; the others are kept here.
        let mut owned: Vec<(usize, Vec<String>)> = Vec::new();
        for (index, word) in words.iter().enumerate().skip(assigned) {
            if word.parts & part::COMPLEX != 0 {
                owned.push((index, self.walker.expand(code, *word, origin, Split::Yes)));
            }
        }
        let mut args = Args::new();
        let mut expanded = owned.iter().peekable();
        for (index, word) in words.iter().enumerate().skip(assigned) {
            let span = origin.span(word.start, word.end);
            match expanded.next_if(|(i, _)| *i == index) {
                Some((_, fields)) => fields.iter().for_each(|text| args.push(Arg { text, span })),
                None => args.push(Arg {
                    text: word.text(code),
                    span,
                }),
            }
        }
        let mark = self.walker.state.mark();
        for word in words.iter().take(assigned) {
            self.assign(*word, branch);
        }
        let outcome = self.redirected(&redirects, stdin);
        let span = match (words.first(), words.last()) {
            (Some(first), Some(last)) => origin.span(
                first.start,
                last.end.max(redirects.last().map_or(0, |r| {
                    if r.direction == Direction::Heredoc {
                        0
                    } else {
                        r.target.end
                    }
                })),
            ),
            _ => redirects
                .first()
                .map_or((0, 0), |r| origin.span(r.target.start, r.target.end)),
        };
        let writes = outcome.file.is_some();
        let io = Io {
            stdin: outcome.stdin.as_ref().unwrap_or(stdin),
            wanted: wanted || writes,
            span,
            input_span: outcome.input_span,
        };
        let flow = if args.is_empty() {
            closed.unwrap_or_default()
        } else {
            let flow = self.walker.run(&args, &io);
            self.walker.state_after(&args, branch);
            flow
        };
        self.walker.hidden = hidden;
        if !args.is_empty() && assigned > 0 {
            self.walker.state.restore(mark);
        }
        match outcome.file {
            Some(path) => {
                if let Flow::Literal(text) = flow
                    && self.walker.state.files.len() < 64
                {
                    self.walker.state.files.push((path, text));
                }
                Flow::Nothing
            }
            None => flow,
        }
    }

    fn assign(&mut self, word: Word, branch: bool) {
        let text = word.text(self.code);
        let Some((name, value)) = assignment(text) else {
            return;
        };
        let start = word.start + value as u32;
        if word.parts & part::DOLLAR != 0 && text[..value].contains('[') {
            self.walker
                .expand_body(&text[..value], self.origin.nested(word.start, start, true));
        }
        let mut values = if word.parts & part::ARRAY != 0 {
            let (inner, end) = (start + 1, word.end.saturating_sub(1).max(start + 1));
            let list = self
                .code
                .get(inner as usize..end as usize)
                .unwrap_or_default();
            self.walker
                .array(list, self.origin.nested(inner, end, true))
        } else {
            self.walker
                .expand(self.code, Word { start, ..word }, self.origin, Split::No)
        };
        if text[..value].ends_with("+=")
            && let Some(old) = self.walker.state.find(name)
        {
            let joined: Vec<String> = match (old, values.as_slice()) {
                ([old], [new]) if word.parts & part::ARRAY == 0 => vec![format!("{old}{new}")],
                (old, new) => old.iter().chain(new).cloned().collect(),
            };
            values = joined;
        }
        self.walker.state.set(name, values, branch);
    }

    /// Follows redirections: what is read, where output goes.
    fn redirected(&mut self, redirects: &[Redirect], _stdin: &Flow) -> Redirected {
        let mut outcome = Redirected::default();
        for redirect in redirects {
            let (start, end) = (redirect.target.start, redirect.target.end);
            let reads = matches!(redirect.fd, 0 | 255);
            match redirect.direction {
                Direction::Heredoc => {
                    let raw = redirect.target.text(self.code);
                    let body = if redirect.tabs {
                        untabbed(raw)
                    } else {
                        raw.to_owned()
                    };
                    let origin = self.origin.nested(start, end, !redirect.tabs);
                    let body = if redirect.literal {
                        body
                    } else {
                        self.walker.expand_body(&body, origin)
                    };
                    if reads {
                        outcome.stdin = Some(Flow::Literal(body));
                        outcome.input_span = Some(self.origin.span(start, end));
                    }
                }
                Direction::String => {
                    let text = self
                        .walker
                        .expand_one(self.code, redirect.target, self.origin);
                    if reads {
                        outcome.stdin = Some(Flow::Literal(text + "\n"));
                        outcome.input_span = Some(self.origin.span(start, end));
                    }
                }
                Direction::Read => {
                    let path = self
                        .walker
                        .expand_one(self.code, redirect.target, self.origin);
                    if reads {
                        outcome.stdin = Some(self.walker.file(&path));
                    }
                }
                Direction::Truncate | Direction::Append => {
                    let path;
                    let plain = redirect.target.parts & part::COMPLEX == 0;
                    let target = if plain {
                        redirect.target.text(self.code)
                    } else {
                        path = self
                            .walker
                            .expand_one(self.code, redirect.target, self.origin);
                        &path
                    };
                    if redirect.direction == Direction::Truncate {
                        self.walker.truncates(target, self.origin.span(start, end));
                    }
                    if matches!(redirect.fd, 1 | 255) && !target.starts_with("/dev/") {
                        outcome.file = Some(target.to_owned());
                    }
                }
                Direction::Duplicate => {}
            }
        }
        outcome
    }
}

#[derive(Debug, Default)]
struct Redirected {
    stdin: Option<Flow>,
    input_span: Option<(u32, u32)>,
    file: Option<String>,
}

impl Walker<'_> {
    /// Expands the words between the parentheses of an array.
    pub(crate) fn array(&mut self, list: &str, origin: Origin) -> Vec<String> {
        let mut lexer = Lexer::new(list);
        let mut values = Vec::new();
        loop {
            match lexer.token() {
                Token::Word(word) => values.extend(self.expand(list, word, origin, Split::Yes)),
                Token::End => return values,
                _ => {}
            }
        }
    }
}

/// Splits `NAME=value`, `NAME+=value`, `NAME[i]=value`: the name, and where the value begins.
pub(crate) fn assignment(text: &str) -> Option<(&str, usize)> {
    let bytes = text.as_bytes();
    if !bytes
        .first()
        .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
    {
        return None;
    }
    let name = bytes
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
        .count();
    let mut at = name;
    if bytes.get(at) == Some(&b'[') {
        at += memchr::memchr(b']', &bytes[at..])? + 1;
    }
    if bytes.get(at) == Some(&b'+') {
        at += 1;
    }
    (bytes.get(at) == Some(&b'=')).then(|| (&text[..name], at + 1))
}

fn untabbed(body: &str) -> String {
    body.split_inclusive('\n')
        .map(|line| line.trim_start_matches('\t'))
        .collect()
}
