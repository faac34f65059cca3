//! Names of programs that [`dispatch`](super) treats alike.

use crate::guard::format::Language;

/// The name of a command: without directory, version (`prisma@5`), `.exe` and the like.
pub(crate) fn base_name(word: &str) -> &str {
    let bytes = word.as_bytes();
    let start = memchr::memrchr2(b'/', b'\\', bytes).map_or(0, |n| n + 1);
    let end = match memchr::memchr(b'@', &bytes[start..]) {
        Some(n) if n > 0 => start + n,
        _ => bytes.len(),
    };
    let name = &word[start..end];
    let Some(at) = name.len().checked_sub(4).filter(|&at| at > 0) else {
        return name;
    };
    if name.as_bytes()[at] != b'.' {
        return name;
    }
    match name.split_at_checked(at) {
        Some((stem, ending))
            if [".exe", ".cmd", ".bat", ".com"]
                .iter()
                .any(|e| ending.eq_ignore_ascii_case(e)) =>
        {
            stem
        }
        _ => name,
    }
}

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

pub(super) fn interpreter(name: &str) -> Option<Language> {
    Some(match name {
        "python" | "python2" | "python3" | "pypy" | "pypy3" | "ipython" | "py" => Language::Python,
        "node" | "nodejs" | "deno" | "bun" | "tsx" | "ts-node" => Language::Javascript,
        "ruby" | "jruby" | "irb" => Language::Ruby,
        "perl" => Language::Perl,
        "php" => Language::Php,
        "lua" | "luajit" => Language::Lua,
        "Rscript" | "R" | "littler" | "julia" | "elixir" | "groovy" | "scala" | "raku" | "go" => {
            Language::Other
        }
        "awk" | "gawk" | "mawk" | "nawk" => Language::Awk,
        _ => return None,
    })
}
