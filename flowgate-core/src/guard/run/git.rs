//! Ways in which git runs code.

use crate::guard::value::Flow;
use crate::guard::walk::{Arg, Io, Origin, Walker};

impl Walker<'_> {
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
            "rebase" => self.code_option(rest, "-x", "--exec"),
            "difftool" => self.code_option(rest, "-x", "--extcmd"),
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

    /// An option whose value is shell code: `-x CODE`, `--exec CODE`, `--exec=CODE`.
    fn code_option(&mut self, words: &[Arg<'_>], short: &str, long: &str) {
        for (at, arg) in words.iter().enumerate() {
            if arg.text == short || arg.text == long {
                words.get(at + 1).map(|code| self.code_word(code, 0));
            } else if let Some(code) = arg.text.strip_prefix(long)
                && code.starts_with('=')
            {
                self.code_word(arg, long.len() + 1);
            }
        }
    }

    /// `-c NAME=VALUE` where the value is a command.
    pub(in crate::guard) fn git_setting(&mut self, arg: &Arg<'_>, offset: usize) {
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
}
