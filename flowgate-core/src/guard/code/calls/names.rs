//! What names stand for: modules, functions, constant texts, the things a loop goes through.

use super::{MOST_PARTS, Program};
use crate::guard::code::lex::Token;
use crate::guard::format::Language;
use crate::guard::value::UNKNOWN_TEXT;

/// The longest value that the name of a loop stands for, in bytes: longer than any path, and short
/// enough for a loop in a loop in a loop.
const LONGEST: usize = 256;

impl Program<'_, '_> {
    /// What the names of loops may stand for. A comprehension uses its name before it says so.
    pub(super) fn loops(&mut self) {
        for i in 0..self.tokens.len() {
            if self.names.len() >= MOST_PARTS {
                return;
            }
            let found = match self.language {
                Language::Python => self.for_in(i, "in"),
                Language::Javascript => self.for_in(i, "of").or_else(|| self.for_each(i)),
                Language::Ruby => self.block(i).or_else(|| self.for_in(i, "in")),
                Language::Php => self.foreach(i),
                _ => return,
            };
            if let Some((name, from, to)) = found {
                let value = self.value(from, to, 0);
                let value = match value.len() > LONGEST {
                    true => UNKNOWN_TEXT.to_owned(),
                    false => value,
                };
                // for root, dirs, files in os.walk('dir')
                let mut before = i;
                while let Some(2..) = before.checked_sub(1)
                    && self.tokens[before - 1] == Token::Mark(b',')
                    && let Token::Name(other) = &self.tokens[before - 2]
                {
                    self.names.push((other.clone(), format!("={value}")));
                    before -= 2;
                }
                self.names.push((name, format!("={value}")));
            }
        }
    }

    /// `for NAME in …`, `for (const NAME of …)`: the name, and where the values stand.
    fn for_in(&self, i: usize, word: &str) -> Option<(String, usize, usize)> {
        let [Token::Name(name), Token::Name(into)] = self.tokens.get(i..i + 2)? else {
            return None;
        };
        let before = self.tokens[..i].iter().rev().take(7);
        if into != word
            || !before
                .into_iter()
                .any(|t| t == &Token::Name("for".to_owned()))
        {
            return None;
        }
        let end = self.expression_end(i + 2);
        let colon = (i + 2..end).find(|&n| self.tokens[n] == Token::Mark(b':'));
        Some((name.clone(), i + 2, colon.unwrap_or(end)))
    }

    /// `….forEach(NAME => …)`.
    fn for_each(&self, i: usize) -> Option<(String, usize, usize)> {
        let goes = ["forEach", "map", "filter"];
        match self.tokens.get(i..i + 3)? {
            [Token::Name(call), Token::Mark(b'('), rest]
                if goes.contains(&call.rsplit('.').next()?) =>
            {
                let name = match rest {
                    Token::Mark(b'(') => self.tokens.get(i + 3)?,
                    other => other,
                };
                let Token::Name(name) = name else { return None };
                Some((name.clone(), self.statement_begin(i), i))
            }
            _ => None,
        }
    }

    /// `….each { |NAME| … }`, `….each do |NAME| … end`.
    fn block(&self, i: usize) -> Option<(String, usize, usize)> {
        let opens = match self.tokens.get(i)? {
            Token::Mark(b'{') => true,
            Token::Name(word) => word == "do",
            _ => false,
        };
        match self.tokens.get(i + 1..i + 4)? {
            [Token::Mark(b'|'), Token::Name(name), Token::Mark(b'|')] if opens => {
                let from = self.statement_begin(i);
                let member = |t: &Token| matches!(t, Token::Name(n) if n.starts_with('.'));
                let to = (from..i).find(|&n| member(&self.tokens[n]));
                Some((name.clone(), from, to.unwrap_or(i)))
            }
            _ => None,
        }
    }

    /// `foreach (… as $NAME)`.
    fn foreach(&self, i: usize) -> Option<(String, usize, usize)> {
        let [Token::Name(word), Token::Name(name)] = self.tokens.get(i..i + 2)? else {
            return None;
        };
        if word != "as" {
            return None;
        }
        let near = i.saturating_sub(MOST_PARTS);
        let begins = |t: &Token| matches!(t, Token::Name(word) if word == "foreach");
        let begin = near + self.tokens[near..i].iter().rposition(begins)?;
        Some((name.clone(), begin + 2, i))
    }

    /// Where the statement begins that a token stands in.
    pub(super) fn statement_begin(&self, i: usize) -> usize {
        let near = i.saturating_sub(MOST_PARTS);
        let ends = |t: &Token| matches!(t, Token::Mark(b';' | b'\n' | b'{' | b'|'));
        self.tokens[near..i]
            .iter()
            .rposition(ends)
            .map_or(near, |n| near + n + 1)
    }

    /// `import x as y`, `from x import y as z`, `import { y } from 'x'`.
    pub(super) fn import(&mut self, at: usize) {
        let mut i = at + 1;
        let mut words: Vec<String> = Vec::new();
        while let Some(token) = self.tokens.get(i) {
            match token {
                Token::Name(name) => words.push(name.clone()),
                Token::Text(text) => words.push(format!("'{}", module(text))),
                Token::Mark(b'\n' | b';') => break,
                Token::Mark(b',') => words.push(",".to_owned()),
                Token::Mark(b'{') => words.push("{".to_owned()),
                _ => {}
            }
            i += 1;
        }
        let from = self.tokens[at] == Token::Name("from".to_owned());
        if self.language == Language::Javascript {
            let Some(source) = words.iter().rev().find_map(|w| w.strip_prefix('\'')) else {
                return;
            };
            let source = source.to_owned();
            for (n, word) in words.iter().enumerate().filter(|(_, w)| {
                !w.starts_with('\'') && !matches!(w.as_str(), "from" | "as" | "," | "{")
            }) {
                let renamed = n >= 2 && words[n - 1] == "as";
                let target = if renamed && words[n - 2] != "*" {
                    format!("{source}.{}", words[n - 2])
                } else {
                    format!("{source}.{word}")
                };
                self.names.push((
                    word.clone(),
                    if n == 0 || renamed && n < 3 {
                        source.clone()
                    } else {
                        target
                    },
                ));
            }
            return;
        }
        let source = if from {
            words.first().cloned().unwrap_or_default()
        } else {
            String::new()
        };
        let list: Vec<String> = if from {
            words
                .into_iter()
                .skip_while(|w| w != "import")
                .skip(1)
                .collect()
        } else {
            words
        };
        for item in list.split(|w| w == ",") {
            let (Some(first), last) = (item.first(), item.last()) else {
                continue;
            };
            let full = if from {
                format!("{source}.{first}")
            } else {
                first.clone()
            };
            if let Some(last) = last.filter(|l| *l != first || from) {
                self.names.push((last.clone(), full));
            }
        }
    }

    /// `x = …`, where the value is plain to see.
    pub(super) fn assign(&mut self, i: usize, name: &str) {
        let end = self.expression_end(i + 2);
        // `const { rmSync } = require('fs')` has its names before the equals sign.
        if let Some(source) = self.required(i + 2) {
            self.names.push((name.to_owned(), source));
            return;
        }
        let value = self.value(i + 2, end, 0);
        self.names.push((name.to_owned(), format!("={value}")));
        if self.names.len() > 512 {
            self.names.drain(..256);
        }
    }

    /// `const { a, b: c } = require('x')`, `… = await import('x')`; the equals sign stands at `i`.
    pub(super) fn destructured(&mut self, i: usize) {
        if i == 0 || self.tokens[i - 1] != Token::Mark(b'}') {
            return;
        }
        let waits = matches!(self.tokens.get(i + 1), Some(Token::Name(n)) if n == "await");
        let Some(source) = self.required(i + 1 + usize::from(waits)) else {
            return;
        };
        let near = i.saturating_sub(MOST_PARTS);
        let open = |t: &Token| t == &Token::Mark(b'{');
        let Some(begin) = self.tokens[near..i].iter().rposition(open) else {
            return;
        };
        let members = self.tokens[near + begin + 1..i - 1].split(|t| t == &Token::Mark(b','));
        for member in members {
            if let (Some(Token::Name(name)), Some(Token::Name(known))) =
                (member.first(), member.last())
            {
                self.names.push((known.clone(), format!("{source}.{name}")));
            }
        }
    }

    /// The module that `require('x')` or `__import__('x')` gives.
    pub(super) fn required(&self, at: usize) -> Option<String> {
        match self.tokens.get(at..at + 3)? {
            [Token::Name(call), Token::Mark(b'('), Token::Text(text)]
                if matches!(
                    call.as_str(),
                    "require" | "__import__" | "import" | "importlib.import_module"
                ) =>
            {
                Some(module(text).to_owned())
            }
            _ => None,
        }
    }

    /// The full name of a callee: aliases resolved, members of calls joined to them.
    pub(super) fn resolve(&self, i: usize, name: &str) -> String {
        if let Some(member) = name.strip_prefix('.') {
            return match &self.last_call {
                Some((call, argument, end))
                    if *end + 1 == i
                        && matches!(
                            call.as_str(),
                            "require" | "__import__" | "importlib.import_module"
                        ) =>
                {
                    format!("{}.{member}", module(argument))
                }
                Some((call, _, end)) if *end + 1 == i => format!("{call}.{member}"),
                _ => format!(".{member}"),
            };
        }
        let (first, rest) = name.split_once('.').map_or((name, ""), |(f, r)| (f, r));
        match self.names.iter().rev().find(|(n, _)| n == first) {
            Some((_, target)) if !target.starts_with('=') => {
                if rest.is_empty() {
                    target.clone()
                } else {
                    format!("{target}.{rest}")
                }
            }
            _ => name.to_owned(),
        }
    }
}

pub(super) fn module(text: &str) -> &str {
    text.strip_prefix("node:").unwrap_or(text)
}
