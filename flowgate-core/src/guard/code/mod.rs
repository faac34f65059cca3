//! Programs in other languages: what they call, and what those calls run.
//!
//! Not parsers: [`lex`] knows the strings and comments of each language, [`calls`] finds calls
//! and follows simple values, and [`sinks`] says which calls delete, run a shell or send SQL.
//! Those become the shell command they amount to (`shutil.rmtree(x)` is `rm -rf x`), so that the
//! same rules judge them.

mod calls;
mod lex;
mod powershell;
mod sinks;

use super::format::Language;
use super::sql;
use super::value::Flow;
use super::walk::{Arg, DEPTH, Io, Origin, Walker};

/// What a program writes that does nothing but to print one text: `print('text')`.
pub(crate) fn printed(language: Language, code: &str) -> Option<String> {
    let mut tokens = lex::tokens(language, code);
    tokens.retain(|token| !matches!(token, lex::Token::Mark(b'(' | b')' | b';' | b'\n')));
    match tokens.as_slice() {
        [lex::Token::Name(name), lex::Token::Text(text)]
            if matches!(
                name.as_str(),
                "print" | "puts" | "say" | "echo" | "console.log" | "process.stdout.write"
            ) =>
        {
            Some(format!("{text}\n"))
        }
        _ => None,
    }
}

impl Walker<'_> {
    /// Analyses program text.
    pub(crate) fn language(
        &mut self,
        language: Language,
        code: &str,
        origin: Origin,
        span: (u32, u32),
    ) {
        if self.depth >= DEPTH {
            return self.too_deep(code);
        }
        self.work(code.len() * 2);
        if self.exhausted() {
            return;
        }
        self.step(span, || {
            format!(
                "{language:?} code: {}",
                code.lines().next().unwrap_or_default()
            )
        });
        self.depth += 1;
        match language {
            Language::Shell => drop(self.code(code, origin, span, Flow::Nothing, false)),
            Language::Powershell => self.powershell(code, span),
            Language::Sql => {
                if sql::kinds(code) != 0 {
                    self.program_sql(code, span);
                }
            }
            _ => calls::scan(self, language, code, span),
        }
        self.depth -= 1;
    }

    /// Text that no shell accepts, but another language might: only rules about calls apply.
    pub(crate) fn bare_call(&mut self, code: &str, span: (u32, u32)) {
        self.work(code.len());
        let end = code.find('(').unwrap_or(code.len());
        let name = &code[..end];
        if name.contains(['.', ':']) {
            let arguments = &code[end..];
            let bare = arguments
                .bytes()
                .all(|b| b.is_ascii_whitespace() || b"(){};".contains(&b));
            self.call_rules(&name.replace("::", "."), bare, span);
        }
    }

    /// SQL that a program sends to a database.
    pub(crate) fn program_sql(&mut self, text: &str, span: (u32, u32)) {
        let io = Io {
            stdin: &Flow::Nothing,
            wanted: false,
            span,
            input_span: None,
        };
        let args = [Arg { text, span }];
        let kinds = sql::kinds(text);
        self.sql_rules("sql", kinds, &args, &io);
    }

    /// Runs the command that a call amounts to.
    pub(crate) fn run_call(&mut self, words: &[&str], span: (u32, u32)) {
        let io = Io {
            stdin: &Flow::Nothing,
            wanted: false,
            span,
            input_span: None,
        };
        self.run_words(words, span, &io);
    }
}
