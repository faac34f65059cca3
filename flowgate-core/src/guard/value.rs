//! What is known about values: variables, the working directory, files written on the way.
//!
//! A value is text in which [`UNKNOWN`] stands for a part that only the running shell knows. A
//! variable may hold one of several values (a loop over words, a branch).

use super::Context;
use super::walk::Origin;

/// Stands for text that is not known before the command runs.
pub(crate) const UNKNOWN: char = '\u{1}';

/// The text that is wholly unknown.
pub(crate) const UNKNOWN_TEXT: &str = "\u{1}";

/// What is known to be in a directory made by `mktemp -d`.
pub(crate) const TEMP_NAME: &str = "/tmp/mktemp.d/new";

/// The most values a variable, a brace expansion or a word is followed through.
pub(crate) const MANY: usize = 64;

/// Where the shell stands.
#[derive(Clone, Debug, Default)]
pub(crate) enum Place {
    /// In a known directory.
    At(String),
    /// Where the command was started.
    #[default]
    Start,
    /// Somewhere.
    Unknown,
}

/// What a command writes or reads.
#[derive(Clone, Debug, Default)]
pub(crate) enum Flow {
    /// Known text.
    Literal(String),
    /// Nothing, or nothing that matters.
    #[default]
    Nothing,
    /// Text from somewhere.
    Unknown(Producer),
}

impl Flow {
    /// Adds what is written after this.
    pub(crate) fn append(&mut self, more: Self) {
        match (&mut *self, more) {
            (_, Self::Nothing) => {}
            (Self::Literal(text), Self::Literal(more)) => text.push_str(&more),
            (Self::Literal(text), Self::Unknown(_)) => text.push(UNKNOWN),
            (this @ Self::Nothing, more) => *this = more,
            (Self::Unknown(_), Self::Literal(more)) => {
                *self = Self::Literal(format!("{UNKNOWN}{more}"))
            }
            (Self::Unknown(_), Self::Unknown(_)) => {}
        }
    }

    /// The text, if all of it is known.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            _ => None,
        }
    }
}

/// Where unknown text comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Producer {
    /// A decoder: what comes out was hidden on purpose.
    Decoder,
    /// The network.
    Network,
    /// Another command or a file.
    #[default]
    Other,
}

/// The state of the shell, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    variables: Vec<(String, Vec<String>)>,
    pub(crate) place: Place,
    /// `$1`, `$2` …, if known.
    pub(crate) arguments: Option<Vec<String>>,
    /// Files written with known text.
    pub(crate) files: Vec<(String, String)>,
    /// Files that were fetched from the network.
    pub(crate) downloads: Vec<String>,
    /// Functions that are defined, in their order.
    pub(crate) functions: Vec<Function>,
    /// The files are those of a container that goes when the command ends.
    pub(crate) throwaway: bool,
    /// Directories that `pushd` left.
    pub(crate) left: Vec<Place>,
}

/// A function of the shell.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) body: String,
    pub(crate) origin: Origin,
    /// It is defined on another machine.
    pub(crate) remote: bool,
    /// Some command called it.
    pub(crate) called: bool,
}

impl State {
    /// A mark to [`restore`](Self::restore) variables to.
    pub(crate) fn mark(&self) -> usize {
        self.variables.len()
    }

    /// Forgets the variables set since the mark.
    pub(crate) fn restore(&mut self, mark: usize) {
        self.variables.truncate(mark);
    }

    /// Sets a variable; in a branch, it may also keep its old values.
    pub(crate) fn set(&mut self, name: &str, mut values: Vec<String>, branch: bool) {
        if branch && let Some(old) = self.find(name) {
            let old: Vec<String> = old
                .iter()
                .filter(|v| !values.contains(v))
                .cloned()
                .collect();
            values.extend(old);
        }
        if values.len() > MANY {
            values.truncate(MANY);
            values.push(UNKNOWN_TEXT.to_owned());
        }
        self.variables.push((name.to_owned(), values));
    }

    /// Looks a variable up among those that the command sets.
    pub(crate) fn find(&self, name: &str) -> Option<&[String]> {
        self.variables
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, values)| values.as_slice())
    }

    /// How many variables a look-up may visit.
    pub(crate) fn size(&self) -> usize {
        self.variables.len()
    }

    /// The directory where the shell stands.
    pub(crate) fn directory<'s>(&'s self, context: &'s Context) -> Option<&'s str> {
        match &self.place {
            Place::At(path) => Some(path),
            Place::Start => Some(&context.cwd),
            Place::Unknown => None,
        }
    }
}

/// The value of a variable that the environment is known to give.
pub(crate) fn environment(name: &str, state: &State, context: &Context) -> Option<String> {
    Some(match name {
        "HOME" => context.home.clone(),
        "PWD" => state.directory(context)?.to_owned(),
        "TMPDIR" | "TMP" | "TEMP" | "RUNNER_TEMP" => "/tmp".to_owned(),
        "XDG_CACHE_HOME" => format!("{}/.cache", context.home),
        "IFS" => " ".to_owned(),
        "$" | "?" | "!" | "#" | "RANDOM" | "SECONDS" | "LINENO" | "UID" | "EUID" | "BASHPID"
        | "PPID" | "SRANDOM" | "EPOCHSECONDS" => "0".to_owned(),
        _ => return None,
    })
}
