//! The programs that run other programs: where the inner command stands.
//!
//! A table, not code: `wrappers.yaml` says which options take a value, how many words to skip, and
//! whether what follows is a command of words or one string of shell code. `build.rs` compiles it.

use super::ruleset::{Name, index, position};
use super::walk::Arg;

/// What the words after the options are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Then {
    /// A command: word by word.
    Argv,
    /// Shell code: the words joined by spaces.
    Joined,
    /// Each word is shell code.
    Each,
    /// Nothing that runs.
    Nothing,
}

/// One way in which a program runs another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exec {
    /// The command is the words that follow, behind this name.
    pub(crate) named: &'static str,
    /// The first words must be one of these (`run`, `compose exec`); `*` is any word.
    pub(crate) sub: &'static [&'static [&'static str]],
    /// Options that take the next word.
    pub(crate) values: &'static [&'static str],
    /// Options whose value is shell code.
    pub(crate) code: &'static [&'static str],
    /// Options with which nothing runs.
    pub(crate) query: &'static [&'static str],
    /// Words to skip before the command.
    pub(crate) skip: u8,
    pub(crate) then: Then,
    /// `NAME=value` words come first.
    pub(crate) assigns: bool,
    /// The command stands after `--` only.
    pub(crate) dashes: bool,
    /// It runs on another machine.
    pub(crate) remote: bool,
    /// With no command, standard input is shell code.
    pub(crate) stdin: bool,
}

mod table {
    use super::{Exec, Then};

    include!(concat!(env!("OUT_DIR"), "/wrappers.rs"));
}

use table::{NAMES, WAYS};

const SLOTS: usize = 1024;

static TABLE: [u16; SLOTS] = index(&NAMES);

/// The ways in which a program runs others.
pub(crate) fn ways(name: Name<'_>) -> &'static [Exec] {
    position(&TABLE, &NAMES, name).map_or(&[], |at| WAYS[at])
}

/// A command found behind a wrapper.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inner {
    /// Words from this index on are the command.
    Argv(usize),
    /// The word at this index is shell code.
    Code(usize),
    /// The part after `=` of the word at this index is shell code.
    CodeAfter(usize, usize),
    /// Each word from this index on is shell code.
    Each(usize),
    /// Words from this index on, joined, are shell code.
    Joined(usize),
    /// Nothing is given to run: a shell that reads standard input, if the way says so.
    Nothing,
}

/// Applies one way to a command line; `None` if it is not this way.
pub(crate) fn apply(way: &Exec, args: &[Arg<'_>], mut found: impl FnMut(Inner)) -> Option<()> {
    let has = |list: &[&str], option: &str| list.contains(&option);
    let slash = way.code.iter().any(|o| o.starts_with('/'));
    let mut i = 1;
    let mut skip = way.skip;
    let mut sub = Some(way.sub).filter(|paths| !paths.is_empty());
    let mut any = false;
    while let Some(word) = args.get(i).map(|a| a.text) {
        if let Some(paths) = sub {
            // Options of the tool itself may stand before the subcommand.
            if word.starts_with('-') && word.len() > 1 {
                i += if has(way.values, word) || before_sub(word) {
                    2
                } else {
                    1
                };
                continue;
            }
            let fits = |path: &&&[&str]| {
                args.len() >= i + path.len()
                    && path
                        .iter()
                        .zip(&args[i..])
                        .all(|(p, w)| *p == w.text || *p == "*")
            };
            i += paths.iter().find(fits)?.len();
            sub = None;
            continue;
        }
        if word == "--" {
            i += 1;
            if way.dashes {
                if i < args.len() {
                    found(Inner::Argv(i));
                    any = true;
                }
                break;
            }
            continue;
        }
        if word.starts_with('-') && word.len() > 1 || slash && has(way.code, word) {
            if has(way.query, word) || asks(way, word) {
                return Some(());
            }
            if let Some((option, _)) = word.split_once('=')
                && has(way.code, option)
            {
                found(Inner::CodeAfter(i, option.len() + 1));
                any = true;
                i += 1;
            } else if has(way.code, word) || clustered(way.code, word) {
                if i + 1 < args.len() {
                    found(Inner::Code(i + 1));
                    any = true;
                }
                i += 2;
            } else if let Some(at) = joined_code(way.code, word) {
                found(Inner::CodeAfter(i, at));
                any = true;
                i += 1;
            } else {
                i += if has(way.values, word) { 2 } else { 1 };
            }
            continue;
        }
        if way.assigns && super::lex::assignment(word).is_some() {
            i += 1;
            continue;
        }
        if skip > 0 {
            skip -= 1;
            i += 1;
            continue;
        }
        if way.dashes || way.then == Then::Nothing {
            i += 1;
            continue;
        }
        found(match way.then {
            Then::Argv => Inner::Argv(i),
            Then::Joined => Inner::Joined(i),
            _ => Inner::Each(i),
        });
        return Some(());
    }
    if sub.is_some() {
        return None;
    }
    if !any {
        found(Inner::Nothing);
    }
    Some(())
}

/// Global options with a value that may stand before the subcommand of any tool.
fn before_sub(word: &str) -> bool {
    matches!(
        word,
        "-n" | "--namespace"
            | "--context"
            | "--kubeconfig"
            | "-H"
            | "--host"
            | "--config"
            | "--profile"
            | "--region"
            | "--project"
            | "-f"
            | "--file"
            | "-p"
            | "--project-name"
            | "--log-level"
            | "-C"
            | "--directory"
            | "--cwd"
            | "--prefix"
    )
}

/// `-qc CODE`: a cluster of letters of which the last takes the code.
fn clustered(code: &[&str], word: &str) -> bool {
    let Some(letters) = word
        .strip_prefix('-')
        .filter(|l| !l.starts_with('-') && l.len() > 1)
    else {
        return false;
    };
    let Some(last) = letters.chars().last() else {
        return false;
    };
    last.is_ascii_alphabetic()
        && letters.chars().all(|c| c.is_ascii_alphabetic())
        && code.iter().any(|o| o.len() == 2 && o.ends_with(last))
}

/// `-nl`: a cluster of letters, one of which only asks; what follows a letter with a value is its value.
fn asks(way: &Exec, word: &str) -> bool {
    if way.query.is_empty() || word.starts_with("--") {
        return false;
    }
    let in_list = |list: &[&str], letter: char| {
        list.iter()
            .any(|o| o.strip_prefix('-').is_some_and(|l| l.chars().eq([letter])))
    };
    word[1..]
        .chars()
        .take_while(|&c| !in_list(way.values, c))
        .any(|c| in_list(way.query, c))
}

/// `-cCODE`.
fn joined_code(code: &[&str], word: &str) -> Option<usize> {
    (word.len() > 2
        && !word.starts_with("--")
        && code.iter().any(|o| o.len() == 2 && word.starts_with(o)))
    .then_some(2)
}
