//! What a command does to the shell itself: directory, variables, arguments.

use crate::guard::lex::assignment;
use crate::guard::value::{MANY, Place, UNKNOWN, UNKNOWN_TEXT};
use crate::guard::walk::{Arg, Walker};

impl Walker<'_> {
    /// Follows what a command does to the shell itself.
    pub(crate) fn state_after(&mut self, args: &[Arg<'_>], branch: bool) {
        let words = &args[1..];
        match args[0].text {
            "cd" | "pushd" => {
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
            "popd" => self.state.place = self.state.left.pop().unwrap_or(Place::Unknown),
            "shift" => {
                let count = words.first().map_or(Ok(1), |a| a.text.parse());
                if let (Some(arguments), Ok(count)) = (&mut self.state.arguments, count) {
                    let end = arguments.len().min(1 + count);
                    arguments.drain(1.min(end)..end);
                }
            }
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
