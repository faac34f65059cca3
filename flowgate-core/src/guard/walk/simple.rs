//! Simple commands: assignments, words expanded, redirections followed.

use super::script::Script;
use super::{Arg, Args, Io, Origin, Walker};
use crate::guard::expand::Split;
use crate::guard::lex::{Direction, Lexer, Redirect, Token, Word, part};
use crate::guard::value::{Flow, Producer};

impl Script<'_, '_, '_> {
    /// Expands and runs a simple command.
    pub(super) fn evaluate(&mut self, stdin: &Flow, wanted: bool, closed: Option<Flow>) -> Flow {
        if self.walker.exhausted() {
            return Flow::Unknown(Producer::Other);
        }
        let hidden = self.walker.hidden.take();
        let branch = self.in_branch();
        let (code, origin) = (self.code, self.origin);
        let Self {
            walker,
            simple,
            plain,
            ..
        } = self;
        let (words, redirects) = (&simple.words, &simple.redirects);
        let assigned = words
            .iter()
            .take_while(|w| assignment(w.text(code)).is_some())
            .count();
        // Words that are what they say borrow from the code; the others are kept here.
        let mut owned: Vec<(usize, Vec<String>)> = Vec::new();
        plain.clear();
        for (index, word) in words.iter().enumerate().skip(assigned) {
            match word.spelled(code) {
                Some(text) => plain.push(Arg {
                    text,
                    span: origin.span(word.start, word.end),
                }),
                None => owned.push((index, walker.expand(code, *word, origin, Split::Yes))),
            }
        }
        let mut expanded;
        let args: &[Arg<'_>] = if owned.is_empty() {
            plain
        } else {
            expanded = Args::new();
            let mut borrowed = plain.iter();
            let mut fields = owned.iter().peekable();
            for (index, word) in words.iter().enumerate().skip(assigned) {
                let span = origin.span(word.start, word.end);
                match fields.next_if(|(i, _)| *i == index) {
                    Some((_, fields)) => fields
                        .iter()
                        .for_each(|text| expanded.push(Arg { text, span })),
                    None => borrowed
                        .next()
                        .into_iter()
                        .for_each(|&arg| expanded.push(arg)),
                }
            }
            &expanded
        };
        let scene = Scene { code, origin };
        let mark = walker.state.mark();
        for word in words.iter().take(assigned) {
            scene.assign(walker, *word, branch);
        }
        let outcome = scene.redirected(walker, redirects);
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
            let flow = match walker.function(args[0].text) {
                Some(index) => walker.call_function(index, args, &io),
                None => walker.run(args, &io),
            };
            walker.state_after(args, branch);
            flow
        };
        walker.hidden = hidden;
        if !args.is_empty() && assigned > 0 {
            walker.state.restore(mark);
        }
        match outcome.file {
            Some(path) => {
                if matches!(flow, Flow::Unknown(Producer::Network)) {
                    walker.state.downloads.push(path);
                    return Flow::Nothing;
                }
                if let Flow::Literal(text) = flow
                    && walker.state.files.len() < 64
                {
                    walker.state.files.push((path, text));
                }
                Flow::Nothing
            }
            None => flow,
        }
    }
}

/// The code that a simple command stands in.
#[derive(Clone, Copy)]
struct Scene<'t> {
    code: &'t str,
    origin: Origin,
}

impl Scene<'_> {
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
