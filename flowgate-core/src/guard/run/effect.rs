//! What a command does to the shell itself: directory, variables, arguments.

use super::output::printf;
use crate::guard::lex::assignment;
use crate::guard::value::{Flow, MANY, Place, UNKNOWN, UNKNOWN_TEXT};
use crate::guard::walk::{Arg, Io, Origin, Walker};

impl Walker<'_> {
    /// Follows what a command does to the shell itself.
    pub(crate) fn state_after(&mut self, args: &[Arg<'_>], io: &Io<'_>, branch: bool) {
        let words = &args[1..];
        match args[0].text.as_bytes() {
            b"cd" | b"pushd" => {
                if args[0].text == "pushd" && self.state.left.len() < MANY {
                    self.state.left.push(self.state.place.clone());
                }
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
            b"popd" => self.state.place = self.state.left.pop().unwrap_or(Place::Unknown),
            b"shift" => {
                let count = words.first().map_or(Ok(1), |a| a.text.parse());
                if let (Some(arguments), Ok(count)) = (&mut self.state.arguments, count) {
                    let end = arguments.len().min(1 + count);
                    arguments.drain(1.min(end)..end);
                }
            }
            b"export" | b"declare" | b"typeset" | b"local" | b"readonly" => {
                for arg in words {
                    if let Some((name, value)) = assignment(arg.text) {
                        let value = &arg.text[value..];
                        self.assigned_code(name, value, arg.span);
                        self.state.set(name, vec![value.to_owned()], branch);
                    }
                }
            }
            b"read" | b"mapfile" | b"readarray" | b"unset" | b"getopts" => {
                let names = words.iter().filter(|a| !a.text.starts_with('-'));
                let known = match io.stdin {
                    Flow::Literal(text) if names.clone().count() == 1 => read_lines(args, text),
                    _ => None,
                };
                for name in names {
                    let values = known
                        .clone()
                        .unwrap_or_else(|| vec![UNKNOWN_TEXT.to_owned()]);
                    self.state.set(name.text, values, false);
                }
            }
            b"printf" if words.first().is_some_and(|a| a.text == "-v") => {
                if let Some(name) = words.get(1) {
                    let value = match printf(words.get(2..).unwrap_or_default()) {
                        Flow::Literal(text) => text,
                        _ => UNKNOWN_TEXT.to_owned(),
                    };
                    self.state.set(name.text, vec![value], branch);
                }
            }
            b"set" => {
                if let Some(at) = words.iter().position(|a| a.text == "--") {
                    let mut all = vec![String::new()];
                    all.extend(words[at + 1..].iter().map(|a| a.text.to_owned()));
                    self.state.arguments = Some(all);
                }
            }
            b"alias" => {
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

    /// Text that goes to a file which shells read when they start is code.
    pub(crate) fn starts_later(&mut self, path: &str, text: &Flow, span: (u32, u32)) {
        if path.ends_with("/.ssh/authorized_keys") {
            self.special("system.permissions:authorized-keys", span, true);
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        if STARTUP_FILES.contains(&name)
            && let Flow::Literal(code) = text
        {
            self.nested(code, Origin::at(span, None), Flow::Nothing, false);
        }
    }

    /// Remembers where a download is kept.
    pub(super) fn downloads(&mut self, words: &[Arg<'_>], mut by_url: bool) {
        let mut kept = Vec::new();
        let last_part = |url: &str| url.rsplit('/').next().unwrap_or(url).to_owned();
        let mut named = None;
        for (at, word) in words.iter().enumerate() {
            match word.text {
                "-o" | "--output" | "-O" | "--output-document"
                    if words
                        .get(at + 1)
                        .is_some_and(|next| !next.text.contains("://")) =>
                {
                    named = words.get(at + 1).map(|next| next.text.to_owned());
                }
                "-O" | "--remote-name" => by_url = true,
                text if text.starts_with("--output=") => {
                    named = text.split_once('=').map(|(_, path)| path.to_owned());
                }
                // -fsSLo FILE, -LO
                text if text.starts_with('-') && !text.starts_with("--") => {
                    if text.ends_with('o') {
                        named = words.get(at + 1).map(|next| next.text.to_owned());
                    }
                    by_url |= text.ends_with('O');
                }
                text if text.contains("://") => kept.push(last_part(text)),
                _ => {}
            }
        }
        let files = match named {
            Some(path) => vec![path],
            None if by_url => kept,
            None => Vec::new(),
        };
        let plain = files.iter().map(|f| f.trim_start_matches("./").to_owned());
        if self.state.downloads.len() < MANY {
            self.state.downloads.extend(plain);
        }
    }
}

/// The values that `read NAME` and `mapfile NAME` give to their one variable.
fn read_lines(args: &[Arg<'_>], text: &str) -> Option<Vec<String>> {
    match args[0].text {
        "read" => Some(vec![text.lines().next()?.trim().to_owned()]),
        "mapfile" | "readarray" => Some(text.lines().take(MANY).map(str::to_owned).collect()),
        _ => None,
    }
}

/// Files that shells read when they start.
const STARTUP_FILES: [&str; 10] = [
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".profile",
    ".zlogin",
    ".zprofile",
    ".zshenv",
    ".zshrc",
    "config.fish",
];
