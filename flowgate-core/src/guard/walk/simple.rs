//! Simple commands: assignments, words expanded, redirections followed.

use super::script::Script;
use super::{Arg, Args, Io, Origin, Walker};
use crate::guard::expand::Split;
use crate::guard::lex::{Direction, Lexer, Redirect, Token, Word, assignment, part};
use crate::guard::value::{Flow, Producer};

impl Script<'_, '_, '_> {
    /// Expands and runs a simple command.
    pub(super) fn evaluate(&mut self, stdin: &Flow, wanted: bool, closed: Option<Flow>) -> Flow {
        if self.walker.exhausted() {
            return Flow::Unknown(Producer::Other);
        }
        let hidden = self.walker.hidden.take();
        let flow = if self.is_plain() {
            self.evaluate_plain(stdin, wanted)
        } else {
            self.evaluate_any(stdin, wanted, closed)
        };
        self.walker.hidden = hidden;
        flow
    }

    /// Whether the words say what they are, without assignments and redirections: most commands
    /// do. Leaves the words in `plain`.
    fn is_plain(&mut self) -> bool {
        let (code, origin) = (self.code, self.origin);
        self.plain.clear();
        let words = &self.simple.words;
        if words.is_empty() || !self.simple.redirects.is_empty() || words[0].is_assignment(code) {
            return false;
        }
        for word in words {
            let Some(text) = word.spelled(code) else {
                return false;
            };
            let span = origin.span(word.start, word.end);
            self.plain.push(Arg { text, span });
        }
        true
    }

    fn evaluate_plain(&mut self, stdin: &Flow, wanted: bool) -> Flow {
        let args = self.plain.as_slice();
        let io = Io {
            stdin,
            wanted,
            span: (args[0].span.0, args[args.len() - 1].span.1),
            input_span: None,
        };
        let branch = self.branches > 0;
        self.walker.execute(args, &io, branch)
    }

    fn evaluate_any(&mut self, stdin: &Flow, wanted: bool, closed: Option<Flow>) -> Flow {
        let branch = self.branches > 0;
        let (code, origin) = (self.code, self.origin);
        let Self { walker, simple, .. } = self;
        let (words, redirects) = (&simple.words, &simple.redirects);
        let assigned = words.iter().take_while(|w| w.is_assignment(code)).count();
        let fields: Vec<(&Word, Fields<'_>)> = words[assigned..]
            .iter()
            .map(|word| (word, walker.fields(code, *word, origin)))
            .collect();
        let mut args = Args::new();
        for (word, fields) in &fields {
            let span = origin.span(word.start, word.end);
            match fields {
                Fields::Spelled(text) => args.push(Arg { text, span }),
                Fields::Expanded(all) => args.extend(all.iter().map(|text| Arg { text, span })),
            }
        }
        let scene = Scene { code, origin };
        let mark = walker.state.mark();
        for word in &words[..assigned] {
            scene.assign(walker, *word, branch);
        }
        let outcome = scene.redirected(walker, redirects);
        let io = Io {
            stdin: outcome.stdin.as_ref().unwrap_or(stdin),
            wanted: wanted || outcome.file.is_some(),
            span: scene.span(words, redirects),
            input_span: outcome.input_span,
        };
        if args.is_empty() {
            return walker.write(closed.unwrap_or_default(), outcome.file, io.span);
        }
        let flow = walker.execute(&args, &io, branch);
        if assigned > 0 {
            walker.state.restore(mark);
        }
        walker.write(flow, outcome.file, io.span)
    }
}

/// What a word becomes.
enum Fields<'t> {
    Expanded(Vec<String>),
    /// It is what it says.
    Spelled(&'t str),
}

impl Walker<'_> {
    fn fields<'t>(&mut self, code: &'t str, word: Word, origin: Origin) -> Fields<'t> {
        match word.spelled(code) {
            Some(text) => Fields::Spelled(text),
            None => Fields::Expanded(self.expand(code, word, origin, Split::Yes)),
        }
    }

    /// Runs a command of at least one word.
    fn execute(&mut self, args: &[Arg<'_>], io: &Io<'_>, branch: bool) -> Flow {
        let flow = match self.function(args[0].text) {
            Some(index) => self.call_function(index, args, io),
            None => self.run(args, io),
        };
        self.state_after(args, io, branch);
        flow
    }

    /// What is left to read of a flow when it was written to a file.
    fn write(&mut self, flow: Flow, file: Option<String>, span: (u32, u32)) -> Flow {
        let Some(path) = file else {
            return flow;
        };
        self.starts_later(&path, &flow, span);
        match flow {
            Flow::Unknown(Producer::Network) => self.state.downloads.push(path),
            Flow::Literal(text) if self.state.files.len() < 64 => {
                self.state.files.push((path, text));
            }
            _ => {}
        }
        Flow::Nothing
    }
}

/// The code that a simple command stands in.
#[derive(Clone, Copy)]
struct Scene<'t> {
    code: &'t str,
    origin: Origin,
}

impl Scene<'_> {
    /// The range of a command.
    fn span(self, words: &[Word], redirects: &[Redirect]) -> (u32, u32) {
        let end = |redirect: &Redirect| match redirect.direction {
            Direction::Heredoc => 0,
            _ => redirect.target.end,
        };
        match (words.first(), words.last()) {
            (Some(first), Some(last)) => self
                .origin
                .span(first.start, last.end.max(redirects.last().map_or(0, end))),
            _ => redirects
                .first()
                .map_or((0, 0), |r| self.origin.span(r.target.start, r.target.end)),
        }
    }

    fn assign(self, walker: &mut Walker<'_>, word: Word, branch: bool) {
        let text = word.text(self.code);
        let Some((name, value)) = assignment(text) else {
            return;
        };
        let start = word.start + value as u32;
        if word.parts & part::DOLLAR != 0 && text[..value].contains('[') {
            walker.expand_body(&text[..value], self.origin.nested(word.start, start, true));
        }
        let mut values = if word.parts & part::ARRAY != 0 {
            let (inner, end) = (start + 1, word.end.saturating_sub(1).max(start + 1));
            let list = self
                .code
                .get(inner as usize..end as usize)
                .unwrap_or_default();
            walker.array(list, self.origin.nested(inner, end, true))
        } else {
            walker.expand(self.code, Word { start, ..word }, self.origin, Split::No)
        };
        if text[..value].ends_with("+=")
            && let Some(old) = walker.state.find(name)
        {
            let joined: Vec<String> = match (old, values.as_slice()) {
                ([old], [new]) if word.parts & part::ARRAY == 0 => vec![format!("{old}{new}")],
                (old, new) => old.iter().chain(new).cloned().collect(),
            };
            values = joined;
        }
        let span = self.origin.span(word.start, word.end);
        for value in &values {
            walker.assigned_code(name, value, span);
        }
        walker.state.set(name, values, branch);
    }

    /// Follows redirections: what is read, where output goes.
    fn redirected(self, walker: &mut Walker<'_>, redirects: &[Redirect]) -> Redirected {
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
                        walker.expand_body(&body, origin)
                    };
                    if reads {
                        outcome.stdin = Some(Flow::Literal(body));
                        outcome.input_span = Some(self.origin.span(start, end));
                    }
                }
                Direction::String => {
                    let text = walker.expand_one(self.code, redirect.target, self.origin);
                    if reads {
                        outcome.stdin = Some(Flow::Literal(text + "\n"));
                        outcome.input_span = Some(self.origin.span(start, end));
                    }
                }
                Direction::Read => {
                    let path = walker.expand_one(self.code, redirect.target, self.origin);
                    if reads {
                        outcome.stdin = Some(walker.file(&path));
                    }
                }
                Direction::Truncate | Direction::Append => {
                    let path;
                    let plain = redirect.target.parts & part::COMPLEX == 0;
                    let target = if plain {
                        redirect.target.text(self.code)
                    } else {
                        path = walker.expand_one(self.code, redirect.target, self.origin);
                        &path
                    };
                    if redirect.direction == Direction::Truncate {
                        walker.truncates(target, self.origin.span(start, end));
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

fn untabbed(body: &str) -> String {
    body.split_inclusive('\n')
        .map(|line| line.trim_start_matches('\t'))
        .collect()
}
