//! Compiled rules: plain tables that are either in the binary or built at run time.
//!
//! `build.rs` prints the built-in packs as statics of these types; user packs become the same
//! types with owned lists. The matcher in [`rules`](super::rules) knows only this form.

use std::borrow::Cow;
use std::ops::Deref;

use super::format::{Action, Language, Level};

/// A string that is in the binary or owned.
pub(crate) type Text = Cow<'static, str>;

/// A list that is in the binary or owned.
#[derive(Clone, Debug)]
pub(crate) enum List<T: 'static> {
    /// Built at run time.
    Owned(Vec<T>),
    /// In the binary.
    Static(&'static [T]),
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(items) => items,
            Self::Static(items) => items,
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::Static(&[])
    }
}

/// A pattern of one word, taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pattern {
    /// The alternatives; `*` in one is any run of characters.
    pub any: List<Text>,
    /// The words that may match, as a set of [`word_bit`]s.
    pub bits: u64,
    /// How many bytes a word has at least that may match.
    pub least: u8,
}

impl Pattern {
    /// Reads `delete-*|remove`.
    pub(crate) fn new(text: &str) -> Self {
        let may = |word: &str| {
            if word.contains('*') {
                u64::MAX
            } else {
                word_bit(word)
            }
        };
        Self {
            any: List::Owned(text.split('|').map(|t| Cow::Owned(t.to_owned())).collect()),
            bits: text.split('|').fold(0, |set, word| set | may(word)),
            least: text.split('|').map(least).min().unwrap_or(0),
        }
    }
}

/// An option as rules name it: any of some spellings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flag {
    /// The spellings.
    pub any: List<Spelling>,
    /// How these may begin, as a set of [`initial`]s.
    pub initials: u64,
}

/// One spelling of an option.
#[derive(Clone, Debug)]
pub(crate) struct Spelling {
    /// How many dashes stand before the name; without any, the name is a pattern of a word: `/s`.
    pub dashes: u8,
    /// The name.
    pub name: Text,
    /// The value it must have, as a pattern.
    pub value: Option<Text>,
}

impl Flag {
    /// Reads `-X=DELETE|--request=DELETE`.
    pub(crate) fn new(text: &str) -> Self {
        let any: Vec<Spelling> = text.split('|').map(Spelling::new).collect();
        let initials = any.iter().fold(0, |set, one| {
            set | if one.dashes == 0 {
                BARE
            } else {
                initial(&one.name)
            }
        });
        Self {
            any: List::Owned(any),
            initials,
        }
    }
}

impl Spelling {
    fn new(text: &str) -> Self {
        let own = |text: &str| Cow::Owned(text.to_owned());
        if !text.starts_with('-') {
            return Self {
                dashes: 0,
                name: own(text),
                value: None,
            };
        }
        let (spelled, value) = match text.split_once('=') {
            Some((spelled, value)) => (spelled, Some(own(value))),
            None => (text, None),
        };
        let name = spelled.trim_start_matches('-');
        Self {
            dashes: (spelled.len() - name.len()).min(2) as u8,
            name: own(name),
            value,
        }
    }
}

/// What people read about a pack.
#[derive(Clone, Debug)]
pub(crate) struct Pack {
    /// Dotted identifier.
    pub id: Text,
    /// Name for people.
    pub name: Text,
    /// What it protects.
    pub description: Text,
}

/// What people read about a rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Index of the pack.
    pub pack: u16,
    /// `pack:rule`.
    pub id: Text,
    /// How bad it is.
    pub severity: Level,
    /// What to do, when not what the severity implies.
    pub decision: Option<Action>,
    /// What is lost.
    pub reason: Text,
    /// What to do instead.
    pub suggestion: Option<Text>,
    /// Commands that this rule stops.
    pub deny: List<Text>,
    /// Commands that the guard lets through.
    pub allow: List<Text>,
}

/// How to read the command line of a tool; what all packs say about it, joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tool {
    /// Options that take the next word as value.
    pub values: List<Text>,
    /// Those of one letter, as a set of ASCII characters.
    pub value_letters: u128,
    /// The names of all of them, as a set of [`word_bit`]s.
    pub value_bits: u64,
    /// Options that make the tool only print.
    pub inert: List<Flag>,
    /// First words that make the tool only print.
    pub inert_first: List<Text>,
    /// Last words that make the tool only print.
    pub inert_last: List<Text>,
    /// Options that make the tool only simulate.
    pub dry_run: List<Flag>,
    /// Long options that some rule or table names: no abbreviations of others.
    pub known: List<Text>,
    /// `-destroy` is one option.
    pub single_dash: bool,
    /// `--help` counts only before the first word.
    pub help_first: bool,
    /// Subcommands are compared without case.
    pub ignore_case: bool,
    /// Where it takes program text from.
    pub code: List<Code>,
}

/// Where a tool takes program text from.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    /// Its language.
    pub language: Language,
    /// Options whose value it is.
    pub options: List<Text>,
    /// First positional word that it is, counted from 1; 0 if none is.
    pub positional: u8,
    /// Whether standard input is it.
    pub stdin: bool,
}

/// The conditions of one way to match a rule. Empty lists and zero bits ask nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Matcher {
    /// Index of the rule.
    pub rule: u16,
    /// Paths of subcommand words.
    pub subcommand: List<List<Pattern>>,
    /// One of these options.
    pub flags_any: List<Flag>,
    /// All of these options.
    pub flags_all: List<Flag>,
    /// None of these options.
    pub flags_none: List<Flag>,
    /// Some word matches one of these.
    pub args_any: List<Pattern>,
    /// Each of these matches some word.
    pub args_all: List<Pattern>,
    /// No word matches one of these.
    pub args_none: List<Pattern>,
    /// Fewest words.
    pub args_min: u8,
    /// Most words; 255 if any number will do.
    pub args_max: u8,
    /// Classes of which a word has one, as bits of `ClassDef`.
    pub paths: u32,
    /// Classes of which a redirect target has one.
    pub redirect: u32,
    /// Kinds of SQL statement, as bits of `SqlKind`.
    pub sql: u32,
    /// HTTP methods.
    pub method: List<Pattern>,
    /// Globs over the address.
    pub url: List<Pattern>,
    /// Globs over the body.
    pub body: List<Pattern>,
    /// Globs over call names.
    pub call: List<Text>,
    /// Globs over lines of standard input.
    pub stdin: List<Pattern>,
    /// Built-in check.
    pub check: Text,
    /// Source of a regular expression (user packs).
    pub regex: Text,
}

/// What the guard knows about one command word.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The command word; a virtual one ends with a colon (`http:`).
    pub name: Text,
    /// Index of its tool.
    pub tool: u16,
    /// The matchers that apply to it.
    pub matchers: List<Candidate>,
}

/// A matcher that applies to a command word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Which first words of subcommands may match, as a set of [`word_bit`]s; for a call, which
    /// last parts of its name.
    pub first: u64,
    /// Index of the matcher.
    pub matcher: u16,
}

/// A set of packs, ready to match.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleSet {
    /// The packs.
    pub packs: List<Pack>,
    /// The rules, sorted by identifier.
    pub rules: List<Rule>,
    /// The matchers.
    pub matchers: List<Matcher>,
    /// The tools.
    pub tools: List<Tool>,
    /// The command words.
    pub entries: List<Entry>,
    /// Open-addressed hash table of entry index + 1 by name; its length is a power of two.
    pub hash: List<u16>,
    /// Names that are prefixes (written with a trailing `*`), and the indices of their entries.
    pub prefixes: List<(Text, u16)>,
}

/// A command word, and its place in tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'t> {
    pub(crate) text: &'t str,
    pub(crate) hash: u32,
}

impl<'t> From<&'t str> for Name<'t> {
    fn from(text: &'t str) -> Self {
        Self {
            text,
            hash: hash(text),
        }
    }
}

impl RuleSet {
    /// Finds what is known about a command word.
    pub(crate) fn entry<'n>(&self, name: impl Into<Name<'n>>) -> Option<&Entry> {
        if self.hash.is_empty() {
            return None;
        }
        let Name { text, hash } = name.into();
        let mask = self.hash.len() - 1;
        let mut slot = hash as usize & mask;
        while self.hash[slot] != 0 {
            let entry = &self.entries[self.hash[slot] as usize - 1];
            if entry.name == text {
                return Some(entry);
            }
            slot = (slot + 1) & mask;
        }
        self.prefixes
            .iter()
            .find(|(prefix, _)| {
                // Most differ in the first letter, which costs no call.
                text.as_bytes().first() == prefix.as_bytes().first()
                    && text.len() > prefix.len()
                    && text.starts_with(&**prefix)
            })
            .map(|&(_, entry)| &self.entries[entry as usize])
    }
}

/// How many bytes a word has at least that matches a pattern.
fn least(pattern: &str) -> u8 {
    let bytes = pattern.bytes().filter(|byte| *byte != b'*').count();
    u8::try_from(bytes).unwrap_or(u8::MAX)
}

/// The place of a word in a set of 64 bits; words that differ only in case share it.
pub(crate) const fn word_bit(word: &str) -> u64 {
    let bytes = word.as_bytes();
    let len = bytes.len();
    if len == 0 {
        return 1;
    }
    let first = bytes[0].to_ascii_lowercase() as usize;
    let middle = bytes[len / 2].to_ascii_lowercase() as usize;
    let last = bytes[len - 1].to_ascii_lowercase() as usize;
    1 << ((len * 13 + first * 5 + middle * 11 + last * 29) & 63)
}

/// The place of an option in a set of 64 bits, by the first letter of its name.
pub(crate) const fn initial(name: &str) -> u64 {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        0
    } else {
        1 << (bytes[0] & 63)
    }
}

/// The place of what is spelled without dashes in a set of [`initial`]s.
pub(crate) const BARE: u64 = 1;

/// Hashes a command word (FNV-1a).
pub(crate) const fn hash(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let mut hash: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash ^ (hash >> 15)
}

/// An open-addressed table of index + 1 by name; `SLOTS` is a power of two.
pub(crate) const fn index<const SLOTS: usize>(names: &[&str]) -> [u16; SLOTS] {
    let mut table = [0; SLOTS];
    let mut i = 0;
    while i < names.len() {
        let mut slot = hash(names[i]) as usize % SLOTS;
        while table[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = i as u16 + 1;
        i += 1;
    }
    table
}

/// Finds a name in the table that [`index`] made of a list.
pub(crate) fn position<const SLOTS: usize>(
    table: &[u16; SLOTS],
    names: &[&str],
    name: Name<'_>,
) -> Option<usize> {
    let mut slot = name.hash as usize % SLOTS;
    while table[slot] != 0 {
        let at = table[slot] as usize - 1;
        if names[at] == name.text {
            return Some(at);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}
