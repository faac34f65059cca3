//! What a command does to the shell itself: directory, variables, arguments.

use crate::guard::value::{Place, UNKNOWN, UNKNOWN_TEXT};
use crate::guard::walk::{Arg, Walker, assignment};

impl Walker<'_> {
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
}
