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
    /// Options or last words that make the tool only print.
    pub inert: List<Text>,
    /// Options that make the tool only simulate.
    pub dry_run: List<Text>,
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
    /// Which first words of subcommands may match, as a set of [`word_bit`]s.
    pub first: u64,
    /// Paths of subcommand words.
    pub subcommand: List<List<Text>>,
    /// One of these options.
    pub flags_any: List<Text>,
    /// All of these options.
    pub flags_all: List<Text>,
    /// None of these options.
    pub flags_none: List<Text>,
    /// Some word matches one of these.
    pub args_any: List<Text>,
    /// Each of these matches some word.
    pub args_all: List<Text>,
    /// No word matches one of these.
    pub args_none: List<Text>,
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
    pub method: List<Text>,
    /// Globs over the address.
    pub url: List<Text>,
    /// Globs over the body.
    pub body: List<Text>,
    /// Globs over call names.
    pub call: List<Text>,
    /// Globs over lines of standard input.
    pub stdin: List<Text>,
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
    /// Indices of the matchers that apply to it.
    pub matchers: List<u16>,
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
    /// Entries whose name is a prefix (written with a trailing `*`).
    pub prefixes: List<u16>,
}

impl RuleSet {
    /// Finds what is known about a command word.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        if self.hash.is_empty() {
            return None;
        }
        let mask = self.hash.len() - 1;
        let mut slot = hash(name) as usize & mask;
        while self.hash[slot] != 0 {
            let entry = &self.entries[self.hash[slot] as usize - 1];
            if entry.name == name {
                return Some(entry);
            }
            slot = (slot + 1) & mask;
        }
        self.prefixes
            .iter()
            .map(|&i| &self.entries[i as usize])
            .find(|e| {
                name.strip_prefix(e.name.trim_end_matches('*'))
                    .is_some_and(|rest| !rest.is_empty())
            })
    }
}

/// The place of a word in a set of 64 bits; words that differ only in case share it.
pub(crate) const fn word_bit(word: &str) -> u64 {
    let bytes = word.as_bytes();
    let mut hash: u32 = bytes.len() as u32;
    let mut i = 0;
    while i < bytes.len() && i < 16 {
        hash = hash
            .wrapping_mul(31)
            .wrapping_add(bytes[i].to_ascii_lowercase() as u32);
        i += 1;
    }
    1 << ((hash ^ (hash >> 7)) & 63)
}

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
