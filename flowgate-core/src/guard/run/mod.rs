//! Running a simple command, in the mind: wrappers taken off, executors followed, rules applied.

mod batch;
mod container;
mod effect;
mod escape;
mod git;
mod interpreter;
mod names;
mod output;
mod search;
mod shells;

pub(crate) use names::base_name;
pub(crate) use search::Search;

use crate::guard::path;
use crate::guard::ruleset::Name;
use crate::guard::value::{Flow, Producer, UNKNOWN};
use crate::guard::walk::{Arg, Args, DEPTH, Io, Walker};
use crate::guard::wrap::{self, Exec, Inner};
use names::{Kind, READERS, interpreter, kind, unversioned};

impl Walker<'_> {
    /// Runs a command of words; gives what it writes, if somebody wants to know.
    pub(crate) fn run(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let Some(first) = args.first() else {
            return Flow::Nothing;
        };
        if self.depth >= DEPTH {
            self.too_deep("");
            return Flow::Unknown(Producer::Other);
        }
        self.work(args.len() + 4);
        if self.exhausted() {
            return Flow::Unknown(Producer::Other);
        }
        if self.trace.is_some() {
            let text = quoted(args);
            self.step(io.span, || format!("command: {text}"));
        }
        if first.text.contains(UNKNOWN) {
            return self.unknown_command(args, io);
        }
        self.depth += 1;
        let flow = self.dispatch(args, io);
        self.depth -= 1;
        flow
    }

    fn dispatch(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let name = Name::from(base_name(args[0].text));
        if is_pattern(name.text) {
            return self.unknown_command(args, io);
        }
        match kind(name) {
            Kind::Plain if name.text.eq_ignore_ascii_case("remove-item") => {
                let code = join(args);
                self.powershell(&code, io.span);
            }
            Kind::Plain | Kind::Packager => {}
            Kind::Git if args.get(1).is_some_and(|a| a.text == "--") => {
                // git skips a `--` before its subcommand.
                let mut rest = Args::new();
                rest.push(args[0]);
                args[2..].iter().for_each(|&a| rest.push(a));
                return self.run(&rest, io);
            }
            Kind::Git => self.git(args, io),
            Kind::Text => return self.text_tool(name, args, io),
            Kind::Shell => return self.elsewhere(|walker| walker.shell(args, io)),
            Kind::Eval => return self.joined(args, 1, io, false),
            Kind::Env => return self.env(args, io),
            Kind::Source => return self.source(args, io),
            Kind::Trap => {
                if args.len() > 2 && !args[1].text.starts_with('-') {
                    self.code_word(&args[1], 0);
                }
                return Flow::Nothing;
            }
            Kind::Xargs => return self.xargs(args, io),
            Kind::Parallel => return self.parallel(args, io),
            Kind::Find => return self.find(args, io),
            Kind::Fd => self.fd(args, io),
            Kind::Tcl => self.tcl(io),
            Kind::Escape => self.escape(name.text, args, io),
            Kind::Downloader => self.downloads(&args[1..], name.text == "wget"),
            Kind::WindowsShell => self.windows_shell(name.text, args, io),
        }
        let ways = wrap::ways(name);
        if !ways.is_empty()
            && let Some(flow) = self.elsewhere(|walker| walker.wrapped(ways, args, io))
        {
            if self.guard.knows(name) {
                self.apply(name, args, io);
            }
            return flow;
        }
        if kind(name) == Kind::Packager {
            self.local_binary(args, io);
        }
        let stem = unversioned(name.text);
        let versioned = stem.len() < name.text.len();
        let named = versioned.then(|| interpreter(stem.into())).flatten();
        if let Some(language) = interpreter(name).or(named) {
            return self.interpreter(language, stem, args, io);
        }
        self.written_script(args, io);
        self.apply(name, args, io);
        if versioned {
            self.apply(stem, args, io);
        }
        if ways.is_empty() {
            self.behind_unknown(name, args, io);
        }
        if io.wanted {
            self.output(name.text, args, io)
        } else {
            Flow::Unknown(Producer::Other)
        }
    }

    /// Follows a wrapper; `None` if the command line is not one of its ways.
    fn wrapped(&mut self, ways: &[Exec], args: &[Arg<'_>], io: &Io<'_>) -> Option<Flow> {
        for way in ways {
            let mut inner: Vec<Inner> = Vec::new();
            if wrap::apply(way, args, |found| inner.push(found)).is_none() {
                continue;
            }
            let remote = self.remote;
            self.remote |= way.remote;
            let throwaway = self.state.throwaway;
            self.state.throwaway |= container::is_throwaway(args);
            let mut flow = None;
            for found in inner {
                match found {
                    Inner::Argv(at) => {
                        let named = (!way.named.is_empty()).then_some(Arg {
                            text: way.named,
                            span: args[0].span,
                        });
                        let named = named.map(|program| (program, at));
                        flow = Some(match named.or_else(|| container::program(args, at)) {
                            Some((program, at)) => {
                                let mut words = Args::new();
                                words.push(program);
                                args[at..].iter().for_each(|&a| words.push(a));
                                self.run(&words, io)
                            }
                            None => self.run(&args[at..], io),
                        });
                    }
                    Inner::Joined(at) => flow = Some(self.joined(args, at, io, way.remote)),
                    Inner::Code(at) => flow = Some(self.code_word(&args[at], 0)),
                    Inner::CodeAfter(at, offset) => flow = Some(self.code_word(&args[at], offset)),
                    Inner::Each(at) => {
                        for arg in &args[at..] {
                            self.code_word(arg, 0);
                        }
                        flow = Some(Flow::Unknown(Producer::Other));
                    }
                    Inner::Nothing if way.stdin => self.stdin_code(io),
                    Inner::Nothing => {}
                }
            }
            self.remote = remote;
            self.state.throwaway = throwaway;
            if flow.is_some() {
                return flow;
            }
        }
        None
    }

    /// The command word itself is unknown: only its words can tell.
    fn unknown_command(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let deletes = args.get(1).is_some_and(|a| {
            a.text.len() > 2
                && a.text.starts_with('-')
                && a.text[1..].chars().all(|c| "rRfvdi".contains(c))
                && a.text.contains('r')
        });
        if deletes && args.len() > 2 {
            self.special("core.shell:unknown-command", io.span, false);
        }
        Flow::Unknown(Producer::Other)
    }

    /// A program that the guard does not know may run its words: look where a command could stand.
    fn behind_unknown(&mut self, name: Name<'_>, args: &[Arg<'_>], io: &Io<'_>) {
        if args.len() < 3 {
            return;
        }
        let at = match args.iter().position(|a| a.text == "--") {
            Some(dashes) => dashes + 1,
            None => 1,
        };
        let Some(word) = args.get(at).filter(|_| args.len() > at + 1) else {
            return;
        };
        let dangerous = matches!(
            base_name(word.text),
            "rm" | "git"
                | "dd"
                | "shred"
                | "find"
                | "mkfs"
                | "sudo"
                | "bash"
                | "sh"
                | "kubectl"
                | "terraform"
                | "docker"
        );
        if dangerous && !self.guard.knows(name) && !READERS.contains(&name.text) {
            self.run(&args[at..], io);
        }
    }

    /// Applies the rules about a file that is truncated.
    pub(crate) fn truncates(&mut self, target: &str, span: (u32, u32)) {
        let class = path::classify(target, &self.state, self.context, self.remote);
        self.redirect_rules(class, target, span);
    }

    /// Runs a command that is made up from words.
    pub(crate) fn run_words(&mut self, words: &[&str], span: (u32, u32), io: &Io<'_>) -> Flow {
        let mut args = Args::new();
        words.iter().for_each(|text| args.push(Arg { text, span }));
        self.run(&args, io)
    }
}

/// Whether a shell puts the name of some file in the place of a command word: `/bin/r?`.
fn is_pattern(name: &str) -> bool {
    name.len() > 1 && name != "[[" && name.bytes().any(|b| b"*?[".contains(&b))
}

/// Joins words with spaces.
pub(crate) fn join(args: &[Arg<'_>]) -> String {
    let mut out = String::with_capacity(args.iter().map(|a| a.text.len() + 1).sum());
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        out.push_str(arg.text);
    }
    out
}

/// Joins words as a shell would print them: with quotes around what needs them.
fn quoted(args: &[Arg<'_>]) -> String {
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,~*?[]{}^".contains(&b) || b >= 0x80;
    let word = |arg: &Arg<'_>| {
        let known = |b: u8| plain(b) || b == UNKNOWN as u8;
        if !arg.text.is_empty() && arg.text.bytes().all(known) {
            arg.text.to_owned()
        } else {
            format!("'{}'", arg.text.replace('\'', "'\\''"))
        }
    };
    args.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Whether a text is known in full.
pub(crate) fn certain(text: &str) -> bool {
    !text.contains(UNKNOWN)
}
