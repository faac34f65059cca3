//! The pack file as a person writes it.
//!
//! These types are only the spelling: `build.rs` reads the built-in packs through them, and
//! [`pack`](super::pack) reads user packs through them at run time. `packs/FORMAT.md` is the
//! explanation for people.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// One pack file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackFile {
    /// Dotted identifier: `group.name`, or one word.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// What the pack protects, in one sentence.
    pub description: String,
    /// How to read the command lines of the tools that the rules name.
    #[serde(default)]
    pub tools: Vec<ToolDef>,
    /// The rules.
    #[serde(default)]
    pub rules: Vec<RuleDef>,
}

/// How to read the command line of a tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolDef {
    /// The command words; the first one stands for all of them in `match.command`.
    pub names: OneOrMany<String>,
    /// Options that take their value from the next word.
    #[serde(default)]
    pub values: Vec<String>,
    /// Options (or a last word) that make the tool only print something.
    #[serde(default)]
    pub inert: Vec<String>,
    /// Options that make the tool only say what it would do.
    #[serde(default)]
    pub dry_run: Vec<String>,
    /// `-destroy` is one long option, not a cluster of short ones.
    #[serde(default)]
    pub single_dash: bool,
    /// `--help` and `--version` count only before the first word: some versions of the tool take
    /// what follows a word for another word.
    #[serde(default)]
    pub help_first: bool,
    /// Subcommands are compared without regard to case.
    #[serde(default)]
    pub ignore_case: bool,
    /// Where the tool takes program text from.
    #[serde(default)]
    pub code: Option<CodeDef>,
}

/// Where a tool takes program text from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeDef {
    /// The language of the text.
    pub language: Language,
    /// Options whose value is program text.
    #[serde(default)]
    pub options: Vec<String>,
    /// The first positional word (counted from 1) that is program text.
    #[serde(default)]
    pub positional: Option<u8>,
    /// Standard input is program text.
    #[serde(default)]
    pub stdin: bool,
}

/// A language that the guard can read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Language {
    /// awk.
    Awk,
    /// JavaScript and TypeScript, and the shells of MongoDB.
    Javascript,
    /// Lua.
    Lua,
    /// Another language with calls: Go, R, Julia, Elixir, Groovy, Swift.
    Other,
    /// Perl.
    Perl,
    /// PHP.
    Php,
    /// PowerShell.
    Powershell,
    /// Python.
    Python,
    /// Ruby.
    Ruby,
    /// POSIX shell, bash, zsh.
    Shell,
    /// SQL.
    Sql,
}

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleDef {
    /// Identifier inside the pack; the full one is `pack:rule`.
    pub id: String,
    /// How bad it is.
    pub severity: Level,
    /// What to do, when not what the severity implies.
    #[serde(default)]
    pub decision: Option<Action>,
    /// What is lost, in one sentence.
    pub reason: String,
    /// What to do instead; commands stand in backticks and are themselves allowed.
    #[serde(default)]
    pub suggestion: Option<String>,
    /// What the rule matches: one matcher, or a list of which any may match.
    #[serde(rename = "match")]
    pub matchers: OneOrMany<MatchDef>,
    /// Commands that this rule must stop.
    pub deny: Vec<String>,
    /// Commands that the guard must let through.
    pub allow: Vec<String>,
}

/// Severity, as written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// Data, history or a system is gone for good.
    Critical,
    /// Much work or a service is lost.
    High,
    /// Something is lost that can be had back with effort.
    Medium,
    /// Worth a remark.
    Low,
}

/// Decision, as written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Let it run, with a remark.
    Warn,
    /// A person decides.
    Ask,
    /// Do not run it.
    Deny,
}

/// Conditions on one simple command; all that are given must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MatchDef {
    /// Command words; a trailing `*` is allowed (`mkfs.*`).
    pub command: OneOrMany<String>,
    /// Paths of subcommands, words separated by spaces.
    pub subcommand: OneOrMany<String>,
    /// Conditions on options.
    pub flags: FlagsDef,
    /// Conditions on the words that are neither options nor subcommands.
    pub args: ArgsDef,
    /// Some positional word is a path of one of these classes.
    pub paths: OneOrMany<ClassDef>,
    /// Output is redirected to a path of one of these classes, truncating it.
    pub redirect: OneOrMany<ClassDef>,
    /// The SQL that the tool runs has a statement of one of these kinds.
    pub sql: OneOrMany<SqlKind>,
    /// The request that an HTTP client makes.
    pub http: Option<HttpDef>,
    /// Calls in inline program text, as globs over the dotted name.
    pub call: OneOrMany<String>,
    /// Globs over each line of literal standard input.
    pub stdin: OneOrMany<String>,
    /// Name of a built-in check, for what the other keys cannot say.
    pub check: Option<String>,
    /// Regular expression over the words of the command joined by single spaces (user packs only).
    pub regex: Option<String>,
}

/// Conditions on options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FlagsDef {
    /// At least one of these.
    pub any: Vec<String>,
    /// Every one of these.
    pub all: Vec<String>,
    /// None of these.
    pub none: Vec<String>,
}

/// Conditions on positional words, as globs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ArgsDef {
    /// Some word matches one of these.
    pub any: Vec<String>,
    /// For each of these, some word matches.
    pub all: Vec<String>,
    /// No word matches any of these.
    pub none: Vec<String>,
    /// At least this many words.
    pub min: Option<u8>,
    /// At most this many words.
    pub max: Option<u8>,
}

/// Conditions on an HTTP request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpDef {
    /// Methods; none means any.
    pub method: OneOrMany<String>,
    /// Globs over `host[:port]/path`, without scheme, credentials and query; none means any.
    pub url: OneOrMany<String>,
    /// Globs over the body; none means any.
    pub body: OneOrMany<String>,
}

/// Class of a path.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClassDef {
    /// A database file (`*.db`, `*.sqlite3` …), wherever it is.
    Database,
    /// A block device.
    Device,
    /// A home directory itself.
    Home,
    /// Inside a home directory, outside the project.
    InHome,
    /// Somewhere else that is absolute.
    Outside,
    /// A parent of the project.
    Parent,
    /// A file or directory inside the project.
    Project,
    /// The whole project, or everything in it.
    ProjectRoot,
    /// Inside the project, made again by a build.
    Regenerable,
    /// The root directory, or everything in it.
    Root,
    /// Keys and credentials, shell start-up files.
    Sensitive,
    /// A system directory.
    System,
    /// Inside a directory for temporary files.
    Temp,
    /// A directory for temporary files itself.
    TempRoot,
    /// Not known before it runs.
    Unknown,
    /// Version control data (`.git`).
    Vcs,
}

/// Kind of an SQL statement.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SqlKind {
    /// `ALTER TABLE … DROP COLUMN` and the like.
    AlterDrop,
    /// `DELETE` without a `WHERE` that says something.
    DeleteAll,
    /// `DROP DATABASE`, `DROP KEYSPACE`.
    DropDatabase,
    /// `DROP` of anything else.
    DropOther,
    /// `DROP SCHEMA`.
    DropSchema,
    /// `DROP TABLE`, `DROP COLLECTION`.
    DropTable,
    /// `GRANT ALL` on everything.
    GrantAll,
    /// `TRUNCATE`.
    Truncate,
    /// `UPDATE` without a `WHERE` that says something.
    UpdateAll,
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(crate) enum OneOrMany<T> {
    /// A list.
    Many(Vec<T>),
    /// One value.
    One(T),
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a list of words")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.into_deserializer()).map(OneOrMany::One)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(OneOrMany::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(OneOrMany::Many)
            }

            // A matcher that stands alone.
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OneOrMany::One)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<T> OneOrMany<T> {
    /// Views it as a slice.
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::Many(many) => many,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}
