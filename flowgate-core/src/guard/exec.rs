//! Programs that run other programs in ways of their own.

use super::format::{ClassDef, Language};
use super::path;
use super::value::{Flow, Producer, UNKNOWN, UNKNOWN_TEXT};
use super::walk::{Arg, Args, Io, Origin, Walker};

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

    fn input_words(&self, text: &str, lines: bool) -> Vec<String> {
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
        let search = Search::read(args);
        let mut i = 1;
        while let Some(text) = args.get(i).map(|a| a.text) {
            if matches!(text, "-exec" | "-execdir" | "-ok" | "-okdir") {
                let start = i + 1;
                let end = args[start..]
                    .iter()
                    .position(|a| matches!(a.text, ";" | "+") || a.text == "\\;")
                    .map_or(args.len(), |n| start + n);
                for target in &search.targets {
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
        let extension = args[..at]
            .iter()
            .position(|a| matches!(a.text, "-e" | "--extension"))
            .and_then(|e| args.get(e + 1));
        let target = extension.map_or("*".to_owned(), |e| format!("./*.{}", e.text));
        let inner = &args[at + 1..];
        let filled = inner.iter().any(|a| a.text.contains("{}"));
        let lost = path::classify(&target, &self.state, self.context, self.remote)
            & !(path::bit(ClassDef::Temp) | path::bit(ClassDef::Regenerable))
            != 0;
        if lost
            && inner
                .first()
                .is_some_and(|a| matches!(super::run::base_name(a.text), "rm" | "unlink"))
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

    /// Ways in which git runs code: aliases, pagers, hooks, `rebase --exec` and the like.
    pub(crate) fn git(&mut self, args: &[Arg<'_>], io: &Io<'_>) {
        let mut i = 1;
        while let Some(arg) = args.get(i).filter(|a| a.text.starts_with('-')) {
            match arg.text {
                "-c" | "--config-env" => {
                    if let Some(setting) = args.get(i + 1) {
                        self.git_setting(setting, 0);
                    }
                    i += 1;
                }
                "-C" | "--git-dir" | "--work-tree" | "--namespace" | "--exec-path"
                | "--super-prefix" => i += 1,
                text if text.starts_with("-c") => self.git_setting(arg, 2),
                _ => {}
            }
            i += 1;
        }
        let Some(verb) = args.get(i) else { return };
        let rest = &args[i + 1..];
        match verb.text {
            "rebase" => {
                for (at, arg) in rest.iter().enumerate() {
                    match arg.text {
                        "-x" | "--exec" => drop(rest.get(at + 1).map(|a| self.code_word(a, 0))),
                        text if text.starts_with("--exec=") => {
                            drop(self.code_word(arg, "--exec=".len()))
                        }
                        _ => {}
                    }
                }
            }
            "bisect" if rest.first().is_some_and(|a| a.text == "run") => {
                drop(self.run(&rest[1..], io))
            }
            "submodule" => {
                if let Some(at) = rest.iter().position(|a| a.text == "foreach") {
                    let at = rest[at + 1..]
                        .iter()
                        .position(|a| !a.text.starts_with("--"))
                        .map_or(rest.len(), |n| at + 1 + n);
                    self.joined(rest, at, io, false);
                }
            }
            "config" => {
                for pair in rest.windows(2) {
                    if pair[0].text.starts_with("alias.") && pair[1].text.starts_with('!') {
                        self.code_word(&pair[1], 1);
                    }
                }
            }
            "filter-branch" => {
                for pair in rest.windows(2).filter(|p| p[0].text.ends_with("-filter")) {
                    self.code_word(&pair[1], 0);
                }
            }
            _ => {}
        }
    }

    /// `-c NAME=VALUE` where the value is a command.
    fn git_setting(&mut self, arg: &Arg<'_>, offset: usize) {
        let text = &arg.text[offset..];
        let Some((name, value)) = text.split_once('=') else {
            return;
        };
        let at = offset + name.len() + 1;
        let name = name.to_ascii_lowercase();
        if name.starts_with("alias.") {
            match value.strip_prefix('!') {
                Some(_) => drop(self.code_word(arg, at + 1)),
                None => {
                    let code = format!("git {value}");
                    self.nested(&code, Origin::at(arg.span, None), Flow::Nothing, false);
                }
            }
        } else if [
            "core.pager",
            "core.editor",
            "core.sshcommand",
            "core.fsmonitor",
            "sequence.editor",
            "diff.external",
            "credential.helper",
            "gpg.program",
        ]
        .contains(&name.as_str())
            || name.starts_with("pager.")
            || name.ends_with(".cmd")
            || name.ends_with(".textconv")
            || name.ends_with(".clean")
            || name.ends_with(".smudge")
        {
            let bang = usize::from(value.starts_with('!'));
            self.code_word(arg, at + bang);
        }
    }

    /// Tools with a door to the shell.
    pub(crate) fn escape(&mut self, name: &str, args: &[Arg<'_>], io: &Io<'_>) {
        match name {
            "sed" | "gsed" => self.sed(args),
            "tar" | "gtar" | "bsdtar" => {
                for (at, arg) in args.iter().enumerate() {
                    for prefix in [
                        "--checkpoint-action=exec=",
                        "--to-command=",
                        "--use-compress-program=",
                        "--rmt-command=",
                        "--info-script=",
                        "--new-volume-script=",
                    ] {
                        if arg.text.starts_with(prefix) {
                            self.code_word(arg, prefix.len());
                        }
                    }
                    if matches!(
                        arg.text,
                        "--to-command" | "-I" | "--use-compress-program" | "-F" | "--info-script"
                    ) {
                        args.get(at + 1).map(|a| self.code_word(a, 0));
                    } else if arg.text == "--checkpoint-action"
                        && let Some(next) = args.get(at + 1).filter(|a| a.text.starts_with("exec="))
                    {
                        self.code_word(next, "exec=".len());
                    }
                }
            }
            "rsync" | "scp" | "sftp" => {
                for pair in args
                    .windows(2)
                    .filter(|p| matches!(p[0].text, "-e" | "--rsh" | "-S"))
                {
                    self.code_word(&pair[1], 0);
                }
            }
            "vim" | "vi" | "nvim" | "ex" | "view" => {
                for (at, arg) in args.iter().enumerate() {
                    let (text, index, offset) = match arg.text {
                        "-c" | "--cmd" => (args.get(at + 1).map_or("", |a| a.text), at + 1, 0),
                        text if text.starts_with('+') => (text, at, 1),
                        _ => continue,
                    };
                    let line = text[offset..].trim_start_matches([':', ' ', '%', '.']);
                    if let Some(bang) = line
                        .strip_prefix('!')
                        .or_else(|| line.strip_prefix("silent !"))
                        .or_else(|| line.strip_prefix("r !"))
                    {
                        self.code_word(&args[index], text.len() - bang.len());
                    } else if line.starts_with("call system(") || line.starts_with("echo system(") {
                        self.language(
                            Language::Javascript,
                            line,
                            Origin::at(args[index].span, None),
                            args[index].span,
                        );
                    }
                }
            }
            "gdb" => {
                for pair in args
                    .windows(2)
                    .filter(|p| matches!(p[0].text, "-ex" | "--eval-command" | "-iex"))
                {
                    for prefix in ["shell ", "!", "python "] {
                        if pair[1].text.starts_with(prefix) {
                            self.code_word(&pair[1], prefix.len());
                        }
                    }
                }
            }
            "osascript" => {
                for pair in args.windows(2).filter(|p| p[0].text == "-e") {
                    let text = pair[1].text;
                    if let Some(at) = text.find("do shell script \"") {
                        let code = text[at + 17..].split('"').next().unwrap_or_default();
                        self.nested(code, Origin::at(pair[1].span, None), Flow::Nothing, false);
                    }
                }
            }
            "expect" => {
                for pair in args.windows(2).filter(|p| p[0].text == "-c") {
                    for prefix in ["spawn ", "exec ", "system "] {
                        if let Some(at) = pair[1].text.find(prefix) {
                            self.code_word(&pair[1], at + prefix.len());
                        }
                    }
                }
            }
            "zip" => {
                for (at, arg) in args.iter().enumerate() {
                    if arg.text == "-TT" || arg.text == "--unzip-command" {
                        args.get(at + 1).map(|a| self.code_word(a, 0));
                    }
                }
            }
            "man" => {
                for pair in args
                    .windows(2)
                    .filter(|p| matches!(p[0].text, "-P" | "--pager" | "-H"))
                {
                    self.code_word(&pair[1], 0);
                }
            }
            "make" => {
                if let Flow::Literal(text) = io.stdin {
                    for line in text.lines().filter_map(|l| l.strip_prefix('\t')) {
                        self.nested(
                            line.trim_start_matches(['@', '-', '+']),
                            Origin::at(io.span, None),
                            Flow::Nothing,
                            false,
                        );
                    }
                }
                for arg in args.iter().filter(|a| a.text.starts_with("--eval=")) {
                    self.code_word(arg, "--eval=".len());
                }
            }
            "capsh" => {
                if let Some(at) = args.iter().position(|a| a.text == "-c") {
                    args.get(at + 1).map(|a| self.code_word(a, 0));
                }
            }
            "crontab" if args.get(1).is_some_and(|a| a.text == "-") => {
                if let Flow::Literal(text) = io.stdin {
                    for line in text
                        .lines()
                        .take(64)
                        .filter(|l| !l.trim_start().starts_with('#'))
                    {
                        let code: Vec<&str> = line
                            .split_whitespace()
                            .skip(if line.starts_with('@') { 1 } else { 5 })
                            .collect();
                        self.nested(
                            &code.join(" "),
                            Origin::at(io.span, None),
                            Flow::Nothing,
                            false,
                        );
                    }
                }
            }
            _ => {}
        }
    }

    /// `sed '1e command'`, `s/…/…/e`, `w file`.
    fn sed(&mut self, args: &[Arg<'_>]) {
        let mut script_next = !args.iter().any(|a| {
            matches!(a.text, "-e" | "--expression" | "-f" | "--file")
                || a.text.starts_with("--expression=")
        });
        for (at, arg) in args.iter().enumerate().skip(1) {
            let after = args[at - 1].text;
            let is_script =
                matches!(after, "-e" | "--expression") || script_next && !arg.text.starts_with('-');
            if !is_script {
                continue;
            }
            script_next = false;
            let command = arg
                .text
                .trim_start_matches(|c: char| c.is_ascii_digit() || "$,~! ".contains(c));
            if let Some(code) = command
                .strip_prefix('e')
                .filter(|c| c.starts_with([' ', '\t']))
            {
                self.code_word(arg, arg.text.len() - code.len());
            }
        }
    }

    /// PowerShell and cmd.
    pub(crate) fn windows_shell(&mut self, name: &str, args: &[Arg<'_>], io: &Io<'_>) {
        let dashes = |t: &str| t.trim_start_matches(['-', '/']).to_ascii_lowercase();
        for (at, arg) in args.iter().enumerate().skip(1) {
            let option = dashes(arg.text);
            let runs = if name == "cmd" {
                arg.text.starts_with('/') && matches!(option.as_str(), "c" | "k")
            } else {
                arg.text.starts_with('-')
                    && matches!(
                        option.as_str(),
                        "command" | "c" | "encodedcommand" | "enc" | "ec"
                    )
            };
            if !runs {
                continue;
            }
            if option.starts_with("enc") || option == "ec" {
                return self.special("core.shell:decoded-code", io.span, false);
            }
            let code = super::run::join(&args[at + 1..]);
            return self.language(
                Language::Powershell,
                &code,
                Origin::at(io.span, None),
                io.span,
            );
        }
        if let (Flow::Literal(code), "powershell" | "pwsh") = (io.stdin, name) {
            self.language(
                Language::Powershell,
                &code.clone(),
                Origin::at(io.span, None),
                io.span,
            );
        }
    }

    /// An interpreter of another language: `-c CODE`, `-e CODE`, standard input, a script.
    pub(crate) fn interpreter(
        &mut self,
        language: Language,
        name: &str,
        args: &[Arg<'_>],
        io: &Io<'_>,
    ) -> Flow {
        let (letters, values): (&str, &[&str]) = match language {
            Language::Python => ("c", &["-W", "-X", "-Q"]),
            Language::Javascript => ("ep", &["-r", "--require", "--import", "--loader", "-C"]),
            Language::Ruby => ("e", &["-I", "-r", "-C"]),
            Language::Perl => ("eE", &["-I", "-M", "-m"]),
            Language::Php => ("rBRE", &["-d", "-c", "-f", "-z"]),
            Language::Awk => (
                "",
                &[
                    "-F",
                    "-v",
                    "-f",
                    "-i",
                    "-l",
                    "--include",
                    "--assign",
                    "--field-separator",
                ],
            ),
            _ => ("e", &["-l"]),
        };
        let mut i = 1;
        let mut any = false;
        while let Some(arg) = args.get(i) {
            let text = arg.text;
            if text == "--" || text == "-" || !text.starts_with('-') {
                break;
            }
            let next = args.get(i + 1);
            if text == "-m" && language == Language::Python {
                break;
            }
            if let Some(long) = text.strip_prefix("--") {
                let (name, value) = long
                    .split_once('=')
                    .map_or((long, None), |(n, v)| (n, Some(v)));
                if matches!(
                    name,
                    "eval" | "print" | "run" | "execute" | "source" | "command"
                ) {
                    match (value, next) {
                        (Some(_), _) => self.code_of(language, arg, name.len() + 3),
                        (None, Some(next)) => {
                            self.code_of(language, next, 0);
                            i += 1;
                        }
                        _ => {}
                    }
                    any = true;
                } else if value.is_none() && values.contains(&text) {
                    i += 1;
                }
            } else if values.contains(&text) {
                i += 1;
            } else if let Some(at) = text[1..].find(|c| letters.contains(c)).filter(|&at| {
                text[1..1 + at].chars().all(|c| c.is_ascii_alphanumeric())
                    && !values.iter().any(|v| text.starts_with(v))
            }) {
                any = true;
                if text.len() > at + 2 {
                    self.code_of(language, arg, at + 2);
                } else if let Some(next) = next {
                    self.code_of(language, next, 0);
                    i += 1;
                }
                if language == Language::Python {
                    break;
                }
            }
            i += 1;
        }
        let rest = args.get(i..).unwrap_or_default();
        match rest.first() {
            Some(program)
                if language == Language::Awk && !args[1..i].iter().any(|a| a.text == "-f") =>
            {
                self.code_of(language, program, 0);
            }
            // deno eval CODE, bun run FILE
            Some(verb)
                if language == Language::Javascript && verb.text == "eval" && name == "deno" =>
            {
                if let Some(code) = rest.get(1) {
                    self.code_of(language, code, 0);
                }
            }
            Some(file) if !any && !matches!(file.text, "-" | "/dev/stdin") => {
                if let Flow::Literal(code) = self.file(file.text) {
                    self.language(language, &code, Origin::at(file.span, None), file.span);
                }
                if !matches!(name, "bun" | "deno") {
                    let module = usize::from(file.text == "-m");
                    self.named_script(&rest[module..], io);
                }
            }
            _ if !any && language != Language::Awk => self.stdin_language(language, io),
            _ => {}
        }
        self.apply(name, args, io);
        if io.wanted {
            Flow::Unknown(Producer::Other)
        } else {
            Flow::Nothing
        }
    }

    /// Program text on standard input.
    pub(crate) fn stdin_language(&mut self, language: Language, io: &Io<'_>) {
        match io.stdin {
            Flow::Literal(code) => {
                let span = io.input_span.unwrap_or(io.span);
                let origin = if io.input_span.is_some() {
                    self.origin_of(span, code)
                } else {
                    Origin::at(span, None)
                };
                self.language(language, &code.clone(), origin, span);
            }
            Flow::Unknown(Producer::Network) => {
                self.special("core.shell:remote-code", io.span, false)
            }
            Flow::Unknown(Producer::Decoder) => {
                self.special("core.shell:decoded-code", io.span, false)
            }
            _ => {}
        }
    }

    /// Program text in a word, from an offset on.
    fn code_of(&mut self, language: Language, arg: &Arg<'_>, offset: usize) {
        let code = arg.text.get(offset..).unwrap_or_default();
        let origin = self.origin_of(arg.span, code);
        self.language(language, code, origin, arg.span);
    }
}

/// Whether input becomes the code of a shell: `xargs sh -c`, `xargs -I{} sh -c {}`.
fn feeds_shell(command: &[Arg<'_>], mark: Option<&str>) -> bool {
    let Some(at) = command.iter().position(|a| {
        matches!(
            super::run::base_name(a.text),
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

/// What a `find` command looks for.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Paths that it may find, as patterns.
    pub(crate) targets: Vec<String>,
    /// It deletes them itself.
    pub(crate) deletes: bool,
    /// Only things of certain names.
    pub(crate) named: bool,
}

impl Search {
    /// Reads the words of a `find` command.
    pub(crate) fn read(args: &[Arg<'_>]) -> Self {
        let mut search = Self::default();
        let mut i = 1;
        while args.get(i).is_some_and(|a| {
            matches!(
                a.text,
                "-H" | "-L" | "-P" | "-E" | "-X" | "-x" | "-d" | "-s"
            ) || a.text.starts_with("-O")
        }) {
            i += 1;
        }
        let mut paths = Vec::new();
        while let Some(arg) = args
            .get(i)
            .filter(|a| !a.text.starts_with('-') && !matches!(a.text, "(" | "!" | ")"))
        {
            paths.push(arg.text);
            i += 1;
        }
        if paths.is_empty() {
            paths.push(".");
        }
        let (mut names, mut within, mut all_named) = (Vec::new(), false, true);
        let mut negated = false;
        while let Some(arg) = args.get(i) {
            let value = args.get(i + 1).map_or("", |a| a.text);
            match arg.text {
                "-delete" => search.deletes = true,
                "!" | "-not" => {
                    negated = true;
                    i += 1;
                    continue;
                }
                "-name" | "-iname" | "-path" | "-ipath" | "-wholename" | "-regex" | "-iregex" => {
                    if !negated && !value.trim_matches(['*', '.', '/']).is_empty() {
                        names.push(value);
                    }
                    i += 1;
                }
                "-mindepth" => {
                    within |= value != "0";
                    i += 1;
                }
                "-o" | "-or" => all_named &= !names.is_empty(),
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    search.deletes |= matches!(super::run::base_name(value), "rm" | "unlink");
                    while args
                        .get(i + 1)
                        .is_some_and(|a| !matches!(a.text, ";" | "+" | "\\;"))
                    {
                        i += 1;
                    }
                }
                "-type" | "-maxdepth" | "-mtime" | "-mmin" | "-atime" | "-amin" | "-ctime"
                | "-cmin" | "-newer" | "-size" | "-user" | "-group" | "-perm" | "-fprint"
                | "-printf" | "-inum" | "-links" | "-newermt" | "-xtype" | "-lname" | "-fstype"
                | "-samefile" | "-uid" | "-gid" | "-anewer" | "-cnewer" => i += 1,
                _ => {}
            }
            negated = false;
            i += 1;
        }
        search.named = !names.is_empty() && all_named;
        for path in paths.iter().take(16) {
            let path = path.trim_end_matches('/');
            if search.named {
                for name in names.iter().take(16) {
                    let name = name.trim_start_matches("./");
                    search.targets.push(format!(
                        "{path}/{}",
                        name.strip_prefix("*/").unwrap_or(name)
                    ));
                }
            } else if within {
                search.targets.push(format!("{path}/*"));
            } else {
                search.targets.push(if path.is_empty() {
                    "/".to_owned()
                } else {
                    path.to_owned()
                });
            }
        }
        search
    }

    /// The classes of what it may find.
    pub(crate) fn classes(&self, walker: &Walker<'_>) -> u32 {
        self.targets.iter().fold(0, |all, t| {
            all | path::classify(t, &walker.state, walker.context, walker.remote)
        })
    }
}

/// Whether a text is known in full.
pub(crate) fn certain(text: &str) -> bool {
    !text.contains(UNKNOWN)
}
