//! Shells: code in words, on standard input, in files that were written a moment ago.

use super::{base_name, join, names::PACKAGE_VERBS};
use crate::guard::lex::assignment;
use crate::guard::value::{Flow, Producer, UNKNOWN};
use crate::guard::walk::{Arg, Io, Origin, Walker};

impl Walker<'_> {
    /// Shell code in a word, from an offset on.
    pub(crate) fn code_word(&mut self, arg: &Arg<'_>, offset: usize) -> Flow {
        let code = arg.text.get(offset..).unwrap_or_default();
        let origin = self.origin_of(arg.span, code);
        self.code(code, origin, arg.span, Flow::Nothing, true)
    }

    /// Walks shell code, or says that it is unknown.
    pub(crate) fn code(
        &mut self,
        code: &str,
        origin: Origin,
        span: (u32, u32),
        stdin: Flow,
        wanted: bool,
    ) -> Flow {
        if code
            .trim_matches(|c: char| c == UNKNOWN || c.is_whitespace() || c == ';')
            .is_empty()
            && code.contains(UNKNOWN)
        {
            self.hidden_code(span);
            self.special("core.shell:unknown-code", span, false);
            return Flow::Unknown(Producer::Other);
        }
        self.nested(code, origin, stdin, wanted)
    }

    /// Words joined by spaces are shell code.
    pub(crate) fn joined(
        &mut self,
        args: &[Arg<'_>],
        at: usize,
        io: &Io<'_>,
        remote: bool,
    ) -> Flow {
        let args = args.get(at..).unwrap_or_default();
        let [first, .., last] = args else {
            return match args {
                [only] if remote || self.remote => {
                    let origin = self.origin_of(only.span, only.text);
                    self.code(only.text, origin, only.span, io.stdin.clone(), io.wanted)
                }
                [only] => {
                    // `eval` runs in this shell: what it sets stays set.
                    let origin = self.origin_of(only.span, only.text);
                    if only.text.contains(UNKNOWN) {
                        self.eval_unknown(only, origin)
                    } else {
                        self.walk(only.text, origin, Flow::Nothing, io.wanted)
                    }
                }
                _ => Flow::Nothing,
            };
        };
        let code = join(args);
        self.work(code.len());
        let span = (first.span.0, last.span.1);
        self.nested(&code, Origin::at(span, None), io.stdin.clone(), io.wanted)
    }

    pub(in crate::guard) fn eval_unknown(&mut self, only: &Arg<'_>, origin: Origin) -> Flow {
        self.hidden_code(only.span);
        self.nested(only.text, origin, Flow::Nothing, true)
    }

    /// Reports code that comes out of a decoder or from the network.
    pub(in crate::guard) fn hidden_code(&mut self, span: (u32, u32)) {
        match self.hidden {
            Some(Producer::Decoder) => self.special("core.shell:decoded-code", span, false),
            Some(Producer::Network) => self.special("core.shell:remote-code", span, false),
            _ => {}
        }
    }

    pub(crate) fn origin_of(&self, span: (u32, u32), code: &str) -> Origin {
        let slice = self
            .command
            .get(span.0 as usize..span.1 as usize)
            .unwrap_or_default();
        let offset = if code.is_empty() {
            None
        } else {
            memchr::memmem::find(slice.as_bytes(), code.as_bytes())
        };
        Origin::at(span, offset.map(|o| span.0 + o as u32))
    }

    /// `sh`, `bash -c …`, `bash script`, `… | bash`.
    pub(in crate::guard) fn shell(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let mut i = 1;
        let (mut code, mut stdin) = (false, false);
        while let Some(text) = args.get(i).map(|a| a.text) {
            if text == "--" || text == "-" {
                i += 1;
                break;
            }
            if !text.starts_with(['-', '+']) {
                break;
            }
            if matches!(text, "--help" | "--version") {
                return Flow::Nothing;
            }
            if text.starts_with("--") {
                i += 1 + usize::from(matches!(text, "--rcfile" | "--init-file"));
                continue;
            }
            code |= text.contains('c') && text.starts_with('-');
            stdin |= text.contains('s') && text.starts_with('-');
            i += 1 + usize::from(text.ends_with(['o', 'O']));
        }
        let saved = self.state.arguments.take();
        let rest = args.get(i..).unwrap_or_default();
        let flow = if code {
            let Some(arg) = rest.first() else {
                self.state.arguments = saved;
                return Flow::Nothing;
            };
            self.state.arguments = Some(rest[1..].iter().map(|a| a.text.to_owned()).collect());
            let origin = self.origin_of(arg.span, arg.text);
            self.code(arg.text, origin, arg.span, io.stdin.clone(), io.wanted)
        } else if stdin || rest.is_empty() || matches!(rest[0].text, "/dev/stdin" | "-") {
            self.stdin_code(io);
            Flow::Unknown(Producer::Other)
        } else {
            self.state.arguments = Some(rest.iter().map(|a| a.text.to_owned()).collect());
            self.script(&rest[0]);
            self.named_script(rest, io);
            Flow::Unknown(Producer::Other)
        };
        self.state.arguments = saved;
        flow
    }

    /// Standard input is shell code.
    pub(crate) fn stdin_code(&mut self, io: &Io<'_>) {
        let span = io.input_span.unwrap_or(io.span);
        match io.stdin {
            Flow::Literal(code) => {
                let origin = if io.input_span.is_some() {
                    self.origin_of(span, code)
                } else {
                    Origin::at(span, None)
                };
                self.code(&code.clone(), origin, span, Flow::Nothing, false);
            }
            Flow::Unknown(Producer::Decoder) => {
                self.special("core.shell:decoded-code", io.span, false)
            }
            Flow::Unknown(Producer::Network) => {
                self.special("core.shell:remote-code", io.span, false)
            }
            Flow::Unknown(Producer::Other) | Flow::Nothing => {}
        }
    }

    /// `yarn prisma migrate reset`: what is no verb of the package manager is a program of the project.
    pub(in crate::guard) fn local_binary(&mut self, args: &[Arg<'_>], io: &Io<'_>) {
        let at = if args.get(1).is_some_and(|a| a.text == "run") {
            2
        } else {
            1
        };
        if args
            .get(at)
            .is_some_and(|a| !PACKAGE_VERBS.contains(&a.text))
        {
            self.named_script(&args[at..], io);
        }
    }

    /// A script that packs know by its name: `python manage.py`, `bash ./gradlew`, `python -m pip`.
    pub(crate) fn named_script(&mut self, words: &[Arg<'_>], io: &Io<'_>) {
        if words
            .first()
            .is_some_and(|a| self.guard.knows(base_name(a.text)))
        {
            self.run(words, io);
        }
    }

    /// A script that was written a moment ago, or a process substitution.
    pub(in crate::guard) fn script(&mut self, file: &Arg<'_>) {
        self.downloaded(file);
        let Flow::Literal(code) = self.file(file.text) else {
            if file.text == "/dev/fd/63" {
                self.hidden_code(file.span);
            }
            return;
        };
        let origin = Origin::at(file.span, None);
        self.code(&code, origin, file.span, Flow::Nothing, false);
    }

    /// Reports a file that the command itself fetched from the network.
    pub(in crate::guard) fn downloaded(&mut self, file: &Arg<'_>) {
        let path = file.text.trim_start_matches("./");
        if self.state.downloads.iter().any(|d| d == path) {
            self.special("core.shell:remote-code", file.span, false);
        }
    }

    /// `./script` that was written a moment ago.
    pub(in crate::guard) fn written_script(&mut self, args: &[Arg<'_>], _io: &Io<'_>) {
        if !(self.state.files.is_empty() && self.state.downloads.is_empty())
            && args[0].text.contains('/')
        {
            self.script(&args[0]);
        }
    }

    pub(in crate::guard) fn source(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        match args.get(1) {
            Some(file) if matches!(file.text, "/dev/stdin" | "-") => self.stdin_code(io),
            Some(file) => self.script(file),
            None => {}
        }
        Flow::Unknown(Producer::Other)
    }

    /// What is known to be in a file.
    pub(crate) fn file(&mut self, path: &str) -> Flow {
        if self.state.files.is_empty() {
            return Flow::Unknown(Producer::Other);
        }
        self.work(self.state.files.len());
        let plain = |p: &str| p.strip_prefix("./").unwrap_or(p).to_owned();
        let path = plain(path);
        match self
            .state
            .files
            .iter()
            .rev()
            .find(|(p, _)| plain(p) == path)
        {
            Some((_, text)) => Flow::Literal(text.clone()),
            None => Flow::Unknown(Producer::Other),
        }
    }

    pub(in crate::guard) fn env(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let mut i = 1;
        while let Some(text) = args.get(i).map(|a| a.text) {
            if text == "--" || text == "-" {
                i += 1;
                continue;
            }
            if let Some(code) = split_string(text) {
                let rest = join(args.get(i + 1..).unwrap_or_default());
                return self.nested(
                    &format!("env {code} {rest}"),
                    Origin::at(args[i].span, None),
                    Flow::Nothing,
                    io.wanted,
                );
            }
            match text {
                "-u" | "--unset" | "-C" | "--chdir" | "-P" | "-a" | "--argv0" => i += 2,
                _ if text.starts_with('-') => i += 1,
                _ => match assignment(text) {
                    Some((name, value)) => {
                        self.assigned_code(name, &text[value..], args[i].span);
                        i += 1;
                    }
                    None => return self.run(&args[i..], io),
                },
            }
        }
        Flow::Unknown(Producer::Other)
    }

    /// Variables whose value other programs run as a command.
    pub(in crate::guard) fn assigned_code(&mut self, name: &str, value: &str, span: (u32, u32)) {
        if COMMAND_VARIABLES.contains(&name) {
            self.nested(value, Origin::at(span, None), Flow::Nothing, false);
        }
    }
}

/// What `-S CODE`, `-vSCODE` or `--split-string=CODE` of `env` splits; what follows belongs to it.
fn split_string(option: &str) -> Option<&str> {
    if let Some(long) = option.strip_prefix("--split-string") {
        return long.strip_prefix('=').or(long.is_empty().then_some(""));
    }
    let letters = option
        .strip_prefix('-')?
        .trim_start_matches(['i', 'v', '0']);
    letters.strip_prefix('S')
}

/// Variables whose value is a command that other programs run.
const COMMAND_VARIABLES: [&str; 14] = [
    "BROWSER",
    "EDITOR",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SSH_COMMAND",
    "LESSOPEN",
    "MANPAGER",
    "PAGER",
    "PROMPT_COMMAND",
    "VISUAL",
];
