//! Tools with a door to the shell, and the shells of Windows.

use super::{join, output::substitution};
use crate::guard::format::Language;
use crate::guard::value::{Flow, UNKNOWN_TEXT};
use crate::guard::walk::{Arg, Io, Origin, Walker};

impl Walker<'_> {
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
            "ssh" => self.ssh_options(args),
            "rsync" | "scp" | "sftp" => {
                for pair in args
                    .windows(2)
                    .filter(|p| matches!(p[0].text, "-e" | "--rsh" | "-S"))
                {
                    self.code_word(&pair[1], 0);
                }
                self.ssh_options(args);
                if let (Flow::Literal(lines), "sftp") = (io.stdin, name) {
                    self.transfer_commands(&lines.clone(), io.span);
                }
            }
            "lftp" => {
                for pair in args.windows(2).filter(|p| matches!(p[0].text, "-c" | "-e")) {
                    self.transfer_commands(pair[1].text, pair[1].span);
                }
                if let Flow::Literal(lines) = io.stdin {
                    self.transfer_commands(&lines.clone(), io.span);
                }
            }
            "vim" | "vi" | "nvim" | "ex" | "view" => {
                for (at, arg) in args.iter().enumerate() {
                    let (text, index, offset) = match arg.text {
                        "-c" | "--cmd" | "-sc" | "-esc" | "-Esc" | "-ec" => {
                            (args.get(at + 1).map_or("", |a| a.text), at + 1, 0)
                        }
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
                    } else if let Some(rest) = line.strip_prefix("call delete(") {
                        self.vim_delete(rest, args[index].span);
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
            "emacs" | "emacsclient" => {
                for pair in args.windows(2) {
                    if matches!(pair[0].text, "--eval" | "-eval" | "-e" | "--execute") {
                        self.emacs(&pair[1]);
                    }
                }
            }
            "ed" => {
                if let Flow::Literal(lines) = io.stdin {
                    for line in lines.clone().lines().filter_map(|l| l.strip_prefix('!')) {
                        self.nested(line, Origin::at(io.span, None), Flow::Nothing, false);
                    }
                }
            }
            "less" | "more" => {
                for arg in args.iter().filter(|a| a.text.starts_with("+!")) {
                    self.code_word(arg, 2);
                }
            }
            "split" => {
                for arg in args.iter().filter(|a| a.text.starts_with("--filter=")) {
                    self.code_word(arg, "--filter=".len());
                }
            }
            "guile" => {
                for pair in args.windows(2).filter(|p| p[0].text == "-c") {
                    self.emacs(&pair[1]);
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
            "screen" => {
                for words in args.windows(3) {
                    if words[0].text == "-X" && matches!(words[1].text, "stuff" | "exec") {
                        let line = words[2].text.trim_end_matches("\\n").trim_end_matches("^M");
                        self.nested(line, Origin::at(words[2].span, None), Flow::Nothing, false);
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
                    self.recipes(text, io.span);
                }
                for pair in args
                    .windows(2)
                    .filter(|p| matches!(p[0].text, "-f" | "--file"))
                {
                    if let Flow::Literal(text) = self.file(pair[1].text) {
                        self.recipes(&text, pair[1].span);
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

    /// `-o ProxyCommand=CODE` and the like: what `ssh` runs here.
    fn ssh_options(&mut self, args: &[Arg<'_>]) {
        for arg in args {
            for option in ["ProxyCommand", "LocalCommand", "KnownHostsCommand"] {
                if let Some(at) = arg.text.find(option)
                    && arg.text[at + option.len()..].starts_with(['=', ' '])
                {
                    self.code_word(arg, at + option.len() + 1);
                }
            }
        }
    }

    /// Commands of `sftp` and `lftp`, which are spelled as those of a shell on the server.
    fn transfer_commands(&mut self, lines: &str, span: (u32, u32)) {
        let remote = std::mem::replace(&mut self.remote, true);
        self.nested(lines, Origin::at(span, None), Flow::Nothing, false);
        self.remote = remote;
    }

    /// What the recipes of a makefile run.
    fn recipes(&mut self, makefile: &str, span: (u32, u32)) {
        for line in makefile.lines().filter_map(|l| l.strip_prefix('\t')) {
            let code = line.trim_start_matches(['@', '-', '+']);
            self.nested(code, Origin::at(span, None), Flow::Nothing, false);
        }
    }

    /// `delete('PATH', 'rf')` of Vim.
    fn vim_delete(&mut self, arguments: &str, span: (u32, u32)) {
        let mut words = arguments.split(['"', '\'']).skip(1).step_by(2);
        let path = words.next().unwrap_or(UNKNOWN_TEXT);
        let flags = words.next().unwrap_or_default();
        let option = if flags.contains('r') { "-rf" } else { "-f" };
        self.run_call(&["rm", option, "--", path], span);
    }

    /// Lisp of Emacs: what runs a shell or deletes a tree.
    fn emacs(&mut self, code: &Arg<'_>) {
        let mut rest = code.text;
        while let Some(at) = rest.find('(') {
            rest = &rest[at + 1..];
            let name = rest.split([' ', ')', '(']).next().unwrap_or_default();
            let text = rest.split('"').nth(1).unwrap_or(UNKNOWN_TEXT);
            match name {
                "shell-command"
                | "call-process-shell-command"
                | "shell-command-to-string"
                | "system"
                | "async-shell-command" => {
                    self.nested(text, Origin::at(code.span, None), Flow::Nothing, false);
                }
                "delete-directory" => self.run_call(&["rm", "-rf", "--", text], code.span),
                "delete-file" => self.run_call(&["rm", "-f", "--", text], code.span),
                _ => {}
            }
        }
    }

    /// `sed '1e command'`, `s/…/…/e`, `w file`.
    pub(in crate::guard) fn sed(&mut self, args: &[Arg<'_>]) {
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
            } else if let Some(replacement) = run_replacement(command) {
                self.nested(
                    &replacement.replace('&', UNKNOWN_TEXT),
                    Origin::at(arg.span, None),
                    Flow::Nothing,
                    false,
                );
            }
        }
    }

    /// Tcl on standard input. Its commands are words as those of a shell are; `exec` runs others,
    /// and `file delete` is its `rm`.
    pub(crate) fn tcl(&mut self, io: &Io<'_>) {
        if let Flow::Literal(code) = io.stdin {
            let code = code
                .replace("file delete -force", "rm -rf")
                .replace("file delete", "rm");
            self.nested(&code, Origin::at(io.span, None), Flow::Nothing, false);
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
            let code = join(&args[at + 1..]);
            return self.language(
                Language::Powershell,
                &code,
                Origin::at(io.span, None),
                io.span,
            );
        }
        // Windows PowerShell takes the words after its options for the command, PowerShell 7 for a file.
        let valued = |a: &Arg<'_>| {
            let option = a.text.trim_start_matches('-').to_ascii_lowercase();
            [
                "executionpolicy",
                "ep",
                "ex",
                "windowstyle",
                "version",
                "inputformat",
                "outputformat",
            ]
            .contains(&option.as_str())
        };
        let mut at = 1;
        while args.get(at).is_some_and(|a| a.text.starts_with('-')) {
            at += 1 + usize::from(valued(&args[at]));
        }
        let file = args.iter().any(|a| a.text.eq_ignore_ascii_case("-file"));
        if name == "powershell" && args.len() > at && !file {
            let code = super::join(&args[at..]);
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
}

/// The replacement of `s/…/replacement/e`, which sed runs.
fn run_replacement(command: &str) -> Option<&str> {
    let (_, replacement, flags) = substitution(command)?;
    flags?.contains('e').then_some(replacement)
}
