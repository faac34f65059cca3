//! Names of programs that [`dispatch`](super) treats alike.

use crate::guard::format::Language;
use crate::guard::ruleset::{Name, index, position};

/// The name of a command: without directory, version (`prisma@5`), `.exe` and the like.
pub(crate) fn base_name(word: &str) -> &str {
    let bytes = word.as_bytes();
    if !bytes.iter().any(|byte| b"./@\\".contains(byte)) {
        return word;
    }
    let (mut start, mut at, mut dot) = (0, None, None);
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'/' | b'\\' => (start, at, dot) = (i + 1, None, None),
            b'@' if i > start && at.is_none() => at = Some(i),
            b'.' if at.is_none() => dot = Some(i),
            _ => {}
        }
    }
    let end = at.unwrap_or(bytes.len());
    let name = &word[start..end];
    match dot.filter(|&dot| dot > start && end - dot == 4) {
        Some(dot)
            if ENDINGS
                .iter()
                .any(|e| word[dot..end].eq_ignore_ascii_case(e)) =>
        {
            &word[start..dot]
        }
        _ => name,
    }
}

const ENDINGS: [&str; 4] = [".exe", ".cmd", ".bat", ".com"];

/// `python3.11` is `python`.
pub(super) fn unversioned(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if stem.is_empty() { name } else { stem }
}

/// Programs whose words are never commands.
pub(super) const READERS: &[&str] = &[
    "man",
    "info",
    "help",
    "tldr",
    "apropos",
    "which",
    "type",
    "hash",
    "whereis",
    "less",
    "more",
    "bat",
    "nl",
    "file",
    "stat",
    "touch",
    "mkdir",
    "cp",
    "mv",
    "ln",
    "diff",
    "cmp",
    "test",
    "[",
    "ag",
    "ack",
    "egrep",
    "fgrep",
    "zgrep",
    "logger",
    "notify-send",
    "say",
    "wall",
    "write",
    "mail",
    "figlet",
    "cowsay",
    "export",
    "declare",
    "local",
    "readonly",
    "typeset",
    "alias",
    "unalias",
    "unset",
    "read",
    "return",
    "exit",
    "set",
    "shopt",
    "jq",
    "yq",
    "bd",
    "gh",
    "glab",
    "hub",
    "jira",
    "claude",
    "codex",
    "gemini",
    "aider",
    "llm",
    "vim",
    "vi",
    "nano",
    "emacs",
    "code",
    "open",
    "true",
    "false",
    ":",
    "apt",
    "apt-get",
    "yum",
    "dnf",
    "brew",
    "pacman",
    "apk",
    "snap",
    "pip",
    "npm",
    "cargo",
    "go",
    "zypper",
    "dpkg",
    "rpm",
    "port",
    "choco",
    "winget",
    "scoop",
    "spell",
    "look",
    "complete",
    "compgen",
    "dot",
    "basename",
    "dirname",
    "realpath",
    "readlink",
    "uniq",
    "cut",
    "paste",
    "join",
    "comm",
    "tr",
    "od",
    "xxd",
    "strings",
    "seq",
    "yes",
    "expr",
    "column",
    "fold",
    "fmt",
    "pr",
    "tac",
    "rev",
    "shuf",
    "split",
    "csplit",
    "md5sum",
    "sha256sum",
    "base64",
    "ls",
    "dir",
    "tree",
    "exa",
    "eza",
    "du",
    "df",
    "ps",
    "pgrep",
    "pkill",
    "killall",
    "kill",
    "history",
    "fc",
];

/// Verbs of package managers that are also names of programs.
pub(super) const PACKAGE_VERBS: &[&str] = &[
    "add",
    "audit",
    "cache",
    "config",
    "create",
    "deploy",
    "dlx",
    "env",
    "exec",
    "i",
    "import",
    "info",
    "init",
    "install",
    "link",
    "list",
    "ln",
    "login",
    "logout",
    "ls",
    "node",
    "npm",
    "outdated",
    "pack",
    "patch",
    "prune",
    "publish",
    "rebuild",
    "remove",
    "restart",
    "rm",
    "set",
    "start",
    "stop",
    "store",
    "test",
    "un",
    "uninstall",
    "unlink",
    "unpublish",
    "up",
    "update",
    "upgrade",
    "version",
    "why",
    "workspace",
    "workspaces",
    "x",
];

/// How [`dispatch`](super) treats a program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Downloader,
    Env,
    Escape,
    Eval,
    Fd,
    Find,
    Git,
    /// The words of it are a program or a task of the project.
    Packager,
    Parallel,
    Plain,
    Shell,
    Source,
    Tcl,
    /// It only reads and writes text.
    Text,
    Trap,
    WindowsShell,
    Xargs,
}

/// The programs of each kind; a name stands in one line, and a program of no kind in none.
const KINDS: &[(Kind, &[&str])] = &[
    (Kind::Downloader, &["curl", "wget"]),
    (Kind::Env, &["env"]),
    (
        Kind::Escape,
        &[
            "sed",
            "gsed",
            "tar",
            "gtar",
            "bsdtar",
            "rsync",
            "vim",
            "vi",
            "nvim",
            "ex",
            "view",
            "gdb",
            "osascript",
            "expect",
            "crontab",
            "capsh",
            "zip",
            "scp",
            "sftp",
            "ssh",
            "lftp",
            "ed",
            "split",
            "guile",
            "make",
            "man",
            "less",
            "svn",
            "hg",
            "go",
            "emacs",
            "emacsclient",
            "screen",
        ],
    ),
    (Kind::Eval, &["eval"]),
    (Kind::Fd, &["fd", "fdfind"]),
    (Kind::Find, &["find", "gfind"]),
    (Kind::Git, &["git"]),
    (Kind::Packager, &["yarn", "pnpm", "bun"]),
    (Kind::Parallel, &["parallel", "rush"]),
    (
        Kind::Shell,
        &[
            "bash", "sh", "zsh", "dash", "ksh", "ash", "rbash", "mksh", "fish", "yash",
        ],
    ),
    (Kind::Source, &["source", "."]),
    (Kind::Tcl, &["tclsh", "wish", "jimsh"]),
    (
        Kind::Text,
        &[
            "echo", "printf", "cat", "ls", "grep", "cd", "rg", "head", "tail", "wc", "sort", "tee",
        ],
    ),
    (Kind::Trap, &["trap"]),
    (Kind::WindowsShell, &["powershell", "pwsh", "cmd"]),
    (Kind::Xargs, &["xargs", "gxargs"]),
];

/// The programs that run program text of a language.
const INTERPRETERS: &[(Language, &[&str])] = &[
    (
        Language::Python,
        &[
            "python", "python2", "python3", "pypy", "pypy3", "ipython", "ipython3", "py",
        ],
    ),
    (
        Language::Javascript,
        &["node", "nodejs", "deno", "bun", "tsx", "ts-node", "zx"],
    ),
    (Language::Ruby, &["ruby", "jruby", "irb"]),
    (Language::Perl, &["perl"]),
    (Language::Php, &["php"]),
    (Language::Lua, &["lua", "luajit"]),
    (
        Language::Other,
        &[
            "Rscript", "R", "littler", "julia", "elixir", "groovy", "scala", "raku", "go",
            "jshell", "swift", "gnuplot",
        ],
    ),
    (Language::Awk, &["awk", "gawk", "mawk", "nawk"]),
];

/// A table of what programs are, by name.
struct Table<T: 'static> {
    names: [&'static str; MOST],
    values: [T; MOST],
    slots: [u16; SLOTS],
}

/// How many names a table holds at most, and in how many places.
const MOST: usize = 96;
const SLOTS: usize = 512;

impl<T: Copy> Table<T> {
    const fn of(groups: &[(T, &[&'static str])], none: T) -> Self {
        let mut names = [""; MOST];
        let mut values = [none; MOST];
        let (mut count, mut group) = (0, 0);
        while group < groups.len() {
            let mut i = 0;
            while i < groups[group].1.len() {
                names[count] = groups[group].1[i];
                values[count] = groups[group].0;
                count += 1;
                i += 1;
            }
            group += 1;
        }
        Self {
            slots: index(names.split_at(count).0),
            names,
            values,
        }
    }

    fn find(&self, name: Name<'_>) -> Option<T> {
        position(&self.slots, &self.names, name).map(|at| self.values[at])
    }
}

/// How a program is treated.
pub(super) fn kind(name: Name<'_>) -> Kind {
    static TABLE: Table<Kind> = Table::of(KINDS, Kind::Plain);
    TABLE.find(name).unwrap_or(Kind::Plain)
}

/// The language whose text a program runs.
pub(super) fn interpreter(name: Name<'_>) -> Option<Language> {
    static TABLE: Table<Language> = Table::of(INTERPRETERS, Language::Other);
    TABLE.find(name)
}
