//! Running a simple command, in the mind: wrappers taken off, executors followed, rules applied.

use super::format::Language;
use super::path;
use super::value::{Flow, Place, Producer, TEMP_NAME, UNKNOWN, UNKNOWN_TEXT};
use super::walk::{Arg, Args, DEPTH, Io, Origin, Walker, assignment};
use super::wrap::{self, Exec, Inner};

/// The name of a command: without directory, version (`prisma@5`), `.exe` and the like.
pub(crate) fn base_name(word: &str) -> &str {
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word);
    let name = name
        .split_once('@')
        .map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem });
    match name
        .len()
        .checked_sub(4)
        .and_then(|at| name.split_at_checked(at))
    {
        Some((stem, ending))
            if !stem.is_empty()
                && [".exe", ".cmd", ".bat", ".com"]
                    .iter()
                    .any(|e| ending.eq_ignore_ascii_case(e)) =>
        {
            stem
        }
        _ => name,
    }
}

/// `python3.11` is `python`.
fn unversioned(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if stem.is_empty() { name } else { stem }
}

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
            let text = join(args);
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
        let name = base_name(args[0].text);
        match name {
            // The cheap and frequent ones first.
            "git" if args.get(1).is_some_and(|a| a.text == "--") => {
                // git skips a `--` before its subcommand.
                let mut rest = Args::new();
                rest.push(args[0]);
                args[2..].iter().for_each(|&a| rest.push(a));
                return self.run(&rest, io);
            }
            "git" => self.git(args, io),
            "echo" | "printf" | "cat" | "ls" | "grep" | "cd" | "rg" | "head" | "tail" | "wc"
            | "sort" | "tee" => return self.text_tool(name, args, io),
            "bash" | "sh" | "zsh" | "dash" | "ksh" | "ash" | "rbash" | "mksh" | "fish" | "yash" => {
                return self.shell(args, io);
            }
            "eval" => return self.joined(args, 1, io, false),
            "env" => return self.env(args, io),
            "source" | "." => return self.source(args, io),
            "trap" => {
                if args.len() > 2 && !args[1].text.starts_with('-') {
                    self.code_word(&args[1], 0);
                }
                return Flow::Nothing;
            }
            "xargs" | "gxargs" => return self.xargs(args, io),
            "parallel" => return self.parallel(args, io),
            "find" | "gfind" => return self.find(args, io),
            "fd" | "fdfind" => self.fd(args, io),
            "sed" | "gsed" | "tar" | "gtar" | "bsdtar" | "rsync" | "vim" | "vi" | "nvim" | "ex"
            | "view" | "gdb" | "osascript" | "expect" | "crontab" | "capsh" | "zip" | "scp"
            | "sftp" | "make" | "man" | "less" | "svn" | "hg" | "go" => {
                self.escape(name, args, io);
            }
            "powershell" | "pwsh" | "cmd" => self.windows_shell(name, args, io),
            _ if name.len() == 11 && name.eq_ignore_ascii_case("remove-item") => {
                let code = join(args);
                self.powershell(&code, io.span);
            }
            _ => {}
        }
        let ways = wrap::ways(name);
        if !ways.is_empty()
            && let Some(flow) = self.wrapped(ways, args, io)
        {
            return flow;
        }
        if matches!(name, "yarn" | "pnpm" | "bun") {
            self.local_binary(args, io);
        }
        if let Some(language) = interpreter(name).or_else(|| interpreter(unversioned(name))) {
            return self.interpreter(language, unversioned(name), args, io);
        }
        self.written_script(args, io);
        self.apply(name, args, io);
        if name.ends_with(|c: char| c.is_ascii_digit()) {
            self.apply(unversioned(name), args, io);
        }
        if ways.is_empty() {
            self.behind_unknown(name, args, io);
        }
        if io.wanted {
            self.output(name, args, io)
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
            let mut flow = None;
            for found in inner {
                match found {
                    Inner::Argv(at) if way.named.is_empty() => {
                        flow = Some(self.run(&args[at..], io))
                    }
                    Inner::Argv(at) => {
                        let mut words = Args::new();
                        words.push(Arg {
                            text: way.named,
                            span: args[0].span,
                        });
                        args[at..].iter().for_each(|&a| words.push(a));
                        flow = Some(self.run(&words, io));
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
            if flow.is_some() {
                return flow;
            }
        }
        None
    }

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

    fn eval_unknown(&mut self, only: &Arg<'_>, origin: Origin) -> Flow {
        self.hidden_code(only.span);
        self.nested(only.text, origin, Flow::Nothing, true)
    }

    /// Reports code that comes out of a decoder or from the network.
    fn hidden_code(&mut self, span: (u32, u32)) {
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
    fn shell(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
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
    fn local_binary(&mut self, args: &[Arg<'_>], io: &Io<'_>) {
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
    fn script(&mut self, file: &Arg<'_>) {
        let Flow::Literal(code) = self.file(file.text) else {
            if file.text == "/dev/fd/63" {
                self.hidden_code(file.span);
            }
            return;
        };
        let origin = Origin::at(file.span, None);
        self.code(&code, origin, file.span, Flow::Nothing, false);
    }

    /// `./script` that was written a moment ago.
    fn written_script(&mut self, args: &[Arg<'_>], _io: &Io<'_>) {
        if !self.state.files.is_empty() && args[0].text.contains('/') {
            self.script(&args[0]);
        }
    }

    fn source(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
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

    fn env(&mut self, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let mut i = 1;
        while let Some(text) = args.get(i).map(|a| a.text) {
            if text == "--" || text == "-" {
                i += 1;
                continue;
            }
            let split = text
                .strip_prefix("--split-string=")
                .or_else(|| text.strip_prefix("-S"))
                .filter(|s| !s.is_empty());
            if let Some(code) = split {
                let rest = join(args.get(i + 1..).unwrap_or_default());
                return self.nested(
                    &format!("env {code} {rest}"),
                    Origin::at(args[i].span, None),
                    Flow::Nothing,
                    io.wanted,
                );
            }
            match text {
                "-S" | "--split-string" => {
                    return self.nested(
                        &format!("env {}", join(args.get(i + 1..).unwrap_or_default())),
                        Origin::at(io.span, None),
                        Flow::Nothing,
                        io.wanted,
                    );
                }
                "-u" | "--unset" | "-C" | "--chdir" | "-P" | "-a" | "--argv0" => i += 2,
                _ if text.starts_with('-') => i += 1,
                _ if assignment(text).is_some() => i += 1,
                _ => return self.run(&args[i..], io),
            }
        }
        Flow::Unknown(Producer::Other)
    }

    /// Tools that only read and write text.
    fn text_tool(&mut self, name: &str, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        if name == "tee" {
            for arg in args[1..].iter().filter(|a| !a.text.starts_with('-')) {
                if !args.iter().any(|a| a.text == "-a" || a.text == "--append") {
                    self.truncates(arg.text, arg.span);
                }
                if let Flow::Literal(text) = io.stdin {
                    self.state.files.push((arg.text.to_owned(), text.clone()));
                    // `tee >(bash)`
                    let spelled = self
                        .command
                        .get(arg.span.0 as usize..arg.span.1 as usize)
                        .unwrap_or_default();
                    if let Some(code) = spelled.strip_prefix(">(").and_then(|c| c.strip_suffix(')'))
                    {
                        self.nested(
                            code,
                            Origin::at(arg.span, None),
                            Flow::Literal(text.clone()),
                            false,
                        );
                    }
                }
            }
        }
        self.apply(name, args, io);
        if io.wanted {
            self.output(name, args, io)
        } else {
            Flow::Unknown(Producer::Other)
        }
    }

    /// What a command writes, as far as its words tell.
    fn output(&mut self, name: &str, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let words = &args[1..];
        match name {
            "echo" => {
                let skip = words
                    .iter()
                    .take_while(|a| matches!(a.text, "-n" | "-e" | "-E" | "-ne" | "-en"))
                    .count();
                let mut text = join(&words[skip..]);
                if words[..skip].iter().any(|a| a.text.contains('e')) {
                    text = super::expand::ansi(&text);
                }
                Flow::Literal(text + "\n")
            }
            "printf" => printf(words),
            "cat" | "tee" if words.iter().all(|a| a.text.starts_with('-')) || name == "tee" => {
                io.stdin.clone()
            }
            "cat" => match words {
                [file] => self.file(file.text),
                _ => Flow::Unknown(Producer::Other),
            },
            "base64" | "gbase64" | "base32" | "xxd" | "openssl" | "gunzip" | "zcat"
            | "uudecode" | "rev" | "tr" => decoded(name, words, io.stdin),
            "pwd" => Flow::Literal(
                self.state
                    .directory(self.context)
                    .unwrap_or(UNKNOWN_TEXT)
                    .to_owned(),
            ),
            "mktemp" => Flow::Literal(TEMP_NAME.to_owned()),
            "git" if words.iter().any(|a| a.text == "--show-toplevel") => {
                Flow::Literal(self.context.cwd.clone())
            }
            "curl" | "wget" | "fetch" | "aria2c" | "nc" | "ncat" | "socat" | "http" | "https"
            | "xh" => Flow::Unknown(Producer::Network),
            "basename" | "realpath" | "readlink" | "dirname" => match words.last() {
                Some(last) if !last.text.contains(UNKNOWN) && name != "readlink" => {
                    let path = last.text.trim_end_matches('/');
                    let at = path.rfind('/');
                    Flow::Literal(match name {
                        "basename" => path[at.map_or(0, |a| a + 1)..].to_owned(),
                        "dirname" => at
                            .map_or(".", |a| if a == 0 { "/" } else { &path[..a] })
                            .to_owned(),
                        _ => last.text.to_owned(),
                    })
                }
                _ => Flow::Unknown(Producer::Other),
            },
            "true" | "false" | ":" | "test" | "[" | "sleep" | "set" | "cd" | "export" | "mkdir" => {
                Flow::Nothing
            }
            _ => Flow::Unknown(Producer::Other),
        }
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
    fn behind_unknown(&mut self, name: &str, args: &[Arg<'_>], io: &Io<'_>) {
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
        if dangerous && !self.guard.knows(name) && !READERS.contains(&name) {
            self.run(&args[at..], io);
        }
    }

    /// Follows what a command does to the shell itself.
    pub(crate) fn state_after(&mut self, args: &[Arg<'_>], branch: bool) {
        let words = &args[1..];
        match args[0].text {
            "cd" | "pushd" => {
                let target = words
                    .iter()
                    .find(|a| !a.text.starts_with('-') || a.text == "-");
                self.state.place = match target.map(|a| a.text) {
                    None => Place::At(self.context.home.clone()),
                    Some("-") => Place::Unknown,
                    Some(path) if path.contains(UNKNOWN) => Place::Unknown,
                    Some(path) if path.starts_with('/') => Place::At(path.to_owned()),
                    Some(path) => match self.state.directory(self.context) {
                        Some(directory) if directory.len() + path.len() < 4096 => {
                            Place::At(format!("{directory}/{path}"))
                        }
                        _ => Place::Unknown,
                    },
                };
            }
            "popd" => self.state.place = Place::Unknown,
            "export" | "declare" | "typeset" | "local" | "readonly" => {
                for arg in words {
                    if let Some((name, value)) = assignment(arg.text) {
                        self.state
                            .set(name, vec![arg.text[value..].to_owned()], branch);
                    }
                }
            }
            "read" | "mapfile" | "readarray" | "unset" | "getopts" => {
                for arg in words.iter().filter(|a| !a.text.starts_with('-')) {
                    self.state
                        .set(arg.text, vec![UNKNOWN_TEXT.to_owned()], false);
                }
            }
            "set" => {
                if let Some(at) = words.iter().position(|a| a.text == "--") {
                    let mut all = vec![String::new()];
                    all.extend(words[at + 1..].iter().map(|a| a.text.to_owned()));
                    self.state.arguments = Some(all);
                }
            }
            "alias" => {
                for arg in words {
                    if let Some((name, value)) = arg.text.split_once('=') {
                        self.state
                            .files
                            .push((format!("alias {name}"), value.to_owned()));
                    }
                }
            }
            _ => {}
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

/// Programs whose words are never commands.
const READERS: &[&str] = &[
    "man",
    "info",
    "help",
    "tldr",
    "apropos",
    "which",
    "type",
    "hash",
    "whereis",
    "less",
    "more",
    "bat",
    "nl",
    "file",
    "stat",
    "touch",
    "mkdir",
    "cp",
    "mv",
    "ln",
    "diff",
    "cmp",
    "test",
    "[",
    "ag",
    "ack",
    "egrep",
    "fgrep",
    "zgrep",
    "logger",
    "notify-send",
    "say",
    "wall",
    "write",
    "mail",
    "figlet",
    "cowsay",
    "export",
    "declare",
    "local",
    "readonly",
    "typeset",
    "alias",
    "unalias",
    "unset",
    "read",
    "return",
    "exit",
    "set",
    "shopt",
    "jq",
    "yq",
    "bd",
    "gh",
    "glab",
    "hub",
    "jira",
    "claude",
    "codex",
    "gemini",
    "aider",
    "llm",
    "vim",
    "vi",
    "nano",
    "emacs",
    "code",
    "open",
    "true",
    "false",
    ":",
    "apt",
    "apt-get",
    "yum",
    "dnf",
    "brew",
    "pacman",
    "apk",
    "snap",
    "pip",
    "npm",
    "cargo",
    "go",
    "zypper",
    "dpkg",
    "rpm",
    "port",
    "choco",
    "winget",
    "scoop",
    "spell",
    "look",
    "complete",
    "compgen",
    "dot",
    "basename",
    "dirname",
    "realpath",
    "readlink",
    "uniq",
    "cut",
    "paste",
    "join",
    "comm",
    "tr",
    "od",
    "xxd",
    "strings",
    "seq",
    "yes",
    "expr",
    "column",
    "fold",
    "fmt",
    "pr",
    "tac",
    "rev",
    "shuf",
    "split",
    "csplit",
    "md5sum",
    "sha256sum",
    "base64",
    "ls",
    "dir",
    "tree",
    "exa",
    "eza",
    "du",
    "df",
    "ps",
    "pgrep",
    "pkill",
    "killall",
    "kill",
    "history",
    "fc",
];

/// Verbs of package managers that are also names of programs.
const PACKAGE_VERBS: &[&str] = &[
    "add",
    "audit",
    "cache",
    "config",
    "create",
    "deploy",
    "dlx",
    "env",
    "exec",
    "i",
    "import",
    "info",
    "init",
    "install",
    "link",
    "list",
    "ln",
    "login",
    "logout",
    "ls",
    "node",
    "npm",
    "outdated",
    "pack",
    "patch",
    "prune",
    "publish",
    "rebuild",
    "remove",
    "restart",
    "rm",
    "set",
    "start",
    "stop",
    "store",
    "test",
    "un",
    "uninstall",
    "unlink",
    "unpublish",
    "up",
    "update",
    "upgrade",
    "version",
    "why",
    "workspace",
    "workspaces",
    "x",
];

fn interpreter(name: &str) -> Option<Language> {
    Some(match name {
        "python" | "python2" | "python3" | "pypy" | "pypy3" | "ipython" | "py" => Language::Python,
        "node" | "nodejs" | "deno" | "bun" | "tsx" | "ts-node" => Language::Javascript,
        "ruby" | "jruby" | "irb" => Language::Ruby,
        "perl" => Language::Perl,
        "php" => Language::Php,
        "lua" | "luajit" => Language::Lua,
        "awk" | "gawk" | "mawk" | "nawk" => Language::Awk,
        _ => return None,
    })
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

fn printf(words: &[Arg<'_>]) -> Flow {
    let words = if words.first().is_some_and(|a| a.text == "--") {
        &words[1..]
    } else {
        words
    };
    let Some((format, values)) = words.split_first() else {
        return Flow::Nothing;
    };
    if format.text == "-v" {
        return Flow::Nothing;
    }
    let mut out = String::new();
    let mut values = values.iter();
    loop {
        let before = values.len();
        let mut rest = format.text;
        while let Some(at) = rest.find('%') {
            out.push_str(&super::expand::ansi(&rest[..at]));
            let spec = rest[at + 1..]
                .find(|c: char| c.is_ascii_alphabetic() || c == '%')
                .map_or(rest.len(), |n| at + 2 + n);
            if rest[at..spec].ends_with('%') {
                out.push('%');
            } else if let Some(value) = values.next() {
                out.push_str(value.text);
            }
            rest = &rest[spec..];
        }
        out.push_str(&super::expand::ansi(rest));
        if values.len() == 0 || values.len() == before {
            return Flow::Literal(out);
        }
    }
}

/// The output of a decoder.
fn decoded(name: &str, words: &[Arg<'_>], stdin: &Flow) -> Flow {
    let decodes = match name {
        "base64" | "gbase64" | "base32" => words
            .iter()
            .any(|a| matches!(a.text, "-d" | "-D" | "--decode" | "-di")),
        "xxd" => words.iter().any(|a| a.text.starts_with("-r")),
        "openssl" => words.iter().any(|a| a.text == "-d"),
        _ => true,
    };
    if !decodes {
        return Flow::Unknown(Producer::Other);
    }
    let Some(text) = stdin.literal() else {
        return Flow::Unknown(Producer::Decoder);
    };
    match name {
        "base64" | "gbase64" => {
            base64(text).map_or(Flow::Unknown(Producer::Decoder), Flow::Literal)
        }
        "xxd" => hex(text).map_or(Flow::Unknown(Producer::Decoder), Flow::Literal),
        "rev" => Flow::Literal(
            text.lines()
                .map(|l| l.chars().rev().collect::<String>() + "\n")
                .collect(),
        ),
        "tr" => Flow::Unknown(Producer::Other),
        _ => Flow::Unknown(Producer::Decoder),
    }
}

fn base64(text: &str) -> Option<String> {
    let mut bits = 0u32;
    let mut count = 0;
    let mut out = Vec::new();
    for byte in text
        .bytes()
        .filter(|b| !b.is_ascii_whitespace() && *b != b'=')
    {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    String::from_utf8(out).ok()
}

fn hex(text: &str) -> Option<String> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = digits.chunks_exact(2).map(|pair| {
        let high = (pair[0] as char).to_digit(16)?;
        let low = (pair[1] as char).to_digit(16)?;
        Some((high * 16 + low) as u8)
    });
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}
