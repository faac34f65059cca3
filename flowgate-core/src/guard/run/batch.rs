//! Programs that run a command for each of many things: `xargs`, `parallel`, `find`, `fd`.

use super::{Search, base_name};
use crate::guard::checks;
use crate::guard::format::ClassDef;
use crate::guard::path;
use crate::guard::value::{Flow, Producer, UNKNOWN_TEXT};
use crate::guard::walk::{Arg, Args, Io, Origin, Walker};

/// The most words of standard input that become words of a command.
const MANY_WORDS: usize = 64;

impl Walker<'_> {
    /// `xargs`: words of standard input become words of the command.
    pub(crate) fn xargs(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let mut i = 1;
        let mut replace: Option<&str> = None;
        let mut from_file = false;
        while let Some(text) = args.get(i).map(|a| a.text) {
            if !text.starts_with('-') || text == "-" {
                break;
            }
            let next = args.get(i + 1).map(|a| a.text);
            match text {
                "--" => {
                    i += 1;
                    break;
                }
                "-I" | "-J" => {
                    replace = next;
                    i += 1;
                }
                "-i" | "--replace" | "--replace=" => replace = Some("{}"),
                "-n" | "-P" | "-L" | "-s" | "-d" | "-E" | "-R" | "-S" | "--max-args"
                | "--max-procs" | "--max-lines" | "--max-chars" | "--delimiter" | "--eof"
                | "--process-slot-var" => i += 1,
                "-a" | "--arg-file" => {
                    from_file = true;
                    i += 1;
                }
                "--help" | "--version" => return Flow::Nothing,
                _ if text.starts_with("-I") || text.starts_with("-J") || text.starts_with("-i") => {
                    replace = Some(&text[2..])
                }
                _ if text.starts_with("--replace=") => replace = Some(&text["--replace=".len()..]),
                _ if text.starts_with("-a") || text.starts_with("--arg-file=") => from_file = true,
                _ => {}
            }
            i += 1;
        }
        let rest = args.get(i..).unwrap_or_default();
        if rest.is_empty() {
            return Flow::Unknown(Producer::Other);
        }
        if feeds_shell(rest, replace) {
            self.special("core.shell:unknown-code", io.span, false);
        }
        // A mark that stands nowhere: as if the words were appended.
        let replace = replace
            .map(|mark| if mark.is_empty() { "{}" } else { mark })
            .filter(|mark| rest.iter().any(|a| a.text.contains(mark)));
        let given = match io.stdin {
            Flow::Literal(text) if !from_file => Some(self.input_words(text, replace.is_some())),
            _ => None,
        };
        let listed = |words: &Vec<String>| words.iter().any(|word| self.loses(word));
        if given.as_ref().is_none_or(listed)
            && matches!(base_name(rest[0].text), "rm" | "unlink" | "shred")
            && !rest.iter().any(|a| recurses(a.text))
        {
            self.special("core.filesystem:rm-listed", io.span, false);
        }
        let given = given.unwrap_or_else(|| vec![UNKNOWN_TEXT.to_owned()]);
        let inner = Io {
            stdin: &Flow::Nothing,
            input_span: None,
            ..*io
        };
        match replace {
            Some(mark) => {
                let mut flow = Flow::Nothing;
                for word in given.iter().take(8) {
                    let texts: Vec<String> =
                        rest.iter().map(|a| a.text.replace(mark, word)).collect();
                    let mut words = Args::new();
                    texts.iter().zip(rest).for_each(|(text, arg)| {
                        words.push(Arg {
                            text,
                            span: arg.span,
                        })
                    });
                    flow = self.run(&words, &inner);
                }
                flow
            }
            None => {
                let mut words = Args::new();
                rest.iter().for_each(|&arg| words.push(arg));
                given.iter().for_each(|text| {
                    words.push(Arg {
                        text,
                        span: io.span,
                    })
                });
                self.run(&words, &inner)
            }
        }
    }

    /// Whether a pattern stands for files of the project that nothing makes again.
    fn loses(&self, word: &str) -> bool {
        let class = path::classify(word, &self.state, self.context, self.remote);
        word.contains('*') && class & path::bit(ClassDef::Project) != 0 && !checks::is_litter(word)
    }

    pub(in crate::guard) fn input_words(&self, text: &str, lines: bool) -> Vec<String> {
        let clean = |w: &str| w.trim_matches(['\'', '"']).to_owned();
        let mut words: Vec<String> = if lines {
            text.lines()
                .filter(|l| !l.trim().is_empty())
                .take(MANY_WORDS)
                .map(|l| l.trim().to_owned())
                .collect()
        } else {
            text.split([' ', '\t', '\n', '\0'])
                .filter(|w| !w.is_empty())
                .take(MANY_WORDS)
                .map(clean)
                .collect()
        };
        if words.len() == MANY_WORDS {
            words.push(UNKNOWN_TEXT.to_owned());
        }
        words
    }

    /// GNU parallel: a template of shell code, filled from words or standard input.
    pub(crate) fn parallel(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let mut i = 1;
        while let Some(text) = args.get(i).map(|a| a.text) {
            match text {
                "-j" | "--jobs" | "-P" | "-a" | "--arg-file" | "-I" | "-n" | "-N" | "-L" | "-S"
                | "--sshlogin" | "--joblog" | "--delay" | "--timeout" | "--retries"
                | "--results" | "--colsep" | "-C" | "-d" | "--tagstring" => i += 2,
                _ if text.starts_with('-') => i += 1,
                _ => break,
            }
        }
        let rest = args.get(i..).unwrap_or_default();
        let split = rest
            .iter()
            .position(|a| matches!(a.text, ":::" | "::::" | ":::+" | "::::+"));
        let (template, inputs) = rest.split_at(split.unwrap_or(rest.len()));
        if args[..i].iter().any(|a| a.text == "--pipe") && !template.is_empty() {
            return self.run(template, io);
        }
        let span = io.span;
        let given: Vec<String> = match (inputs.first(), io.stdin) {
            (Some(mark), _) if mark.text == ":::" => inputs[1..]
                .iter()
                .map(|a| a.text.to_owned())
                .filter(|t| !t.starts_with(":::"))
                .take(MANY_WORDS)
                .collect(),
            (None, Flow::Literal(text)) => self.input_words(text, true),
            _ => vec![UNKNOWN_TEXT.to_owned()],
        };
        if split.is_none() && feeds_shell(template, Some("{}")) {
            self.special("core.shell:unknown-code", span, false);
        }
        if template.is_empty() {
            for line in given.iter().filter(|l| *l != UNKNOWN_TEXT) {
                self.nested(line, Origin::at(span, None), Flow::Nothing, false);
            }
            return Flow::Unknown(Producer::Other);
        }
        let marks = ["{}", "{.}", "{/}", "{//}", "{/.}", "{1}", "{2}"];
        let filled = template
            .iter()
            .any(|a| marks.iter().any(|m| a.text.contains(m)));
        for word in given.iter().take(8) {
            // Word by word where it makes a difference to what is code and what is data.
            let mut texts: Vec<String> = template
                .iter()
                .map(|a| {
                    marks
                        .iter()
                        .fold(a.text.to_owned(), |t, m| t.replace(m, word))
                })
                .collect();
            if !filled {
                texts.push(word.clone());
            }
            let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
            if refs.len() > 1 && !refs[0].contains(' ') {
                self.run_words(
                    &refs,
                    span,
                    &Io {
                        stdin: &Flow::Nothing,
                        ..*io
                    },
                );
            } else {
                self.nested(
                    &refs.join(" "),
                    Origin::at(span, None),
                    Flow::Nothing,
                    false,
                );
            }
        }
        Flow::Unknown(Producer::Other)
    }

    /// `find`: what it deletes and what it runs.
    pub(crate) fn find(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        if !io.wanted && !Search::acts(args) {
            self.apply("find", args, io);
            return Flow::Nothing;
        }
        let search = Search::read(args);
        for pair in args.windows(2) {
            if matches!(pair[0].text, "-fprint" | "-fprint0" | "-fprintf" | "-fls") {
                self.truncates(pair[1].text, pair[1].span);
            }
        }
        let mut i = 1;
        while let Some(text) = args.get(i).map(|a| a.text) {
            if matches!(text, "-exec" | "-execdir" | "-ok" | "-okdir") {
                let start = i + 1;
                let end = args[start..]
                    .iter()
                    .position(|a| matches!(a.text, ";" | "+") || a.text == "\\;")
                    .map_or(args.len(), |n| start + n);
                for target in &search.targets {
                    self.work((end - start) * 4);
                    let texts: Vec<String> = args[start..end]
                        .iter()
                        .map(|a| a.text.replace("{}", target))
                        .collect();
                    let mut words = Args::new();
                    texts.iter().zip(&args[start..end]).for_each(|(text, arg)| {
                        words.push(Arg {
                            text,
                            span: arg.span,
                        })
                    });
                    self.run(
                        &words,
                        &Io {
                            stdin: &Flow::Nothing,
                            wanted: false,
                            ..*io
                        },
                    );
                }
                i = end;
            }
            i += 1;
        }
        self.apply("find", args, io);
        if io.wanted {
            Flow::Literal(search.targets.join("\n") + "\n")
        } else {
            Flow::Nothing
        }
    }

    /// `fd -x COMMAND`.
    pub(crate) fn fd(&mut self, args: &[Arg<'_>], io: &Io<'_>) {
        let Some(at) = args
            .iter()
            .position(|a| matches!(a.text, "-x" | "-X" | "--exec" | "--exec-batch"))
        else {
            return;
        };
        let pattern = fd_pattern(&args[1..at]);
        let extension = args[..at]
            .iter()
            .position(|a| matches!(a.text, "-e" | "--extension"))
            .and_then(|e| args.get(e + 1));
        let target = match (extension, pattern) {
            (Some(extension), _) => format!("./*.{}", extension.text),
            (None, Some(name)) => format!("./{name}"),
            (None, None) => "*".to_owned(),
        };
        let inner = &args[at + 1..];
        let filled = inner.iter().any(|a| a.text.contains("{}"));
        let lost = path::classify(&target, &self.state, self.context, self.remote)
            & !(path::bit(ClassDef::Temp) | path::bit(ClassDef::Regenerable))
            != 0;
        if lost
            && inner
                .first()
                .is_some_and(|a| matches!(base_name(a.text), "rm" | "unlink"))
        {
            self.special("core.filesystem:find-delete", io.span, true);
        }
        let texts: Vec<String> = inner
            .iter()
            .map(|a| a.text.replace("{}", &target))
            .chain((!filled).then(|| target.clone()))
            .collect();
        let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.run_words(
            &refs,
            io.span,
            &Io {
                stdin: &Flow::Nothing,
                ..*io
            },
        );
    }
}

/// The name that `fd` looks for, if its pattern is one: `^node_modules$`.
fn fd_pattern<'t>(words: &[Arg<'t>]) -> Option<&'t str> {
    let valued = [
        "-t",
        "--type",
        "-d",
        "--max-depth",
        "-E",
        "--exclude",
        "-j",
        "-c",
        "-S",
        "-o",
    ];
    let mut after_option = false;
    let mut positional = words.iter().filter(|word| {
        let skipped = std::mem::replace(&mut after_option, valued.contains(&word.text));
        !skipped && !word.text.starts_with('-')
    });
    let name = positional.next()?.text;
    let name = name.strip_prefix('^').unwrap_or(name);
    let name = name.strip_suffix('$').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    (!name.is_empty() && name.bytes().all(plain)).then_some(name)
}

/// `-rf`, `--recursive`: rules of their own are about these.
fn recurses(option: &str) -> bool {
    match option.strip_prefix("--") {
        Some(long) => long.starts_with("rec"),
        None => option.starts_with('-') && option.contains(['r', 'R']),
    }
}

/// Whether input becomes the code of a shell: `xargs sh -c`, `xargs -I{} sh -c {}`.
fn feeds_shell(command: &[Arg<'_>], mark: Option<&str>) -> bool {
    let Some(at) = command.iter().position(|a| {
        matches!(
            base_name(a.text),
            "sh" | "bash" | "zsh" | "dash" | "ksh" | "eval"
        )
    }) else {
        return false;
    };
    let Some(option) = command[at..]
        .iter()
        .position(|a| a.text.starts_with('-') && a.text.contains('c'))
    else {
        return false;
    };
    match command.get(at + option + 1) {
        Some(code) => mark.is_some_and(|m| code.text.trim() == m),
        None => true,
    }
}
