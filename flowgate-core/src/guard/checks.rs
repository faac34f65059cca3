//! What rules cannot say with words and options alone.

use super::format::ClassDef;
use super::options::Line;
use super::path::{bit, classify};
use super::run::Search;
use super::walk::Walker;

/// Runs a check by its name; `start` is the first word after the subcommand.
pub(crate) fn check(name: &str, walker: &mut Walker<'_>, line: &Line<'_>, start: usize) -> bool {
    match name {
        "git_checkout_paths" => git_checkout_paths(line, start),
        "git_restore" => {
            (line.has_any(&["-W", "--worktree"]) || !line.has_any(&["-S", "--staged"]))
                && line.words.len() > start
        }
        "find_delete" => find_delete(walker, line),
        "move_whole" => {
            let last = line.words.len().saturating_sub(1);
            let whole = [
                ClassDef::Root,
                ClassDef::Home,
                ClassDef::System,
                ClassDef::ProjectRoot,
                ClassDef::Vcs,
                ClassDef::Parent,
            ]
            .into_iter()
            .fold(0, |b, c| b | bit(c));
            line.words_from(start).take(last).any(|a| {
                classify(a.text, &walker.state, walker.context, walker.remote) & whole != 0
            })
        }
        "remote_copy_target" => line.words.last().is_some_and(|w| {
            let text = line.args[w.index as usize].text;
            let Some((host, path)) = text.split_once(':') else {
                return false;
            };
            !host.contains('/')
                && host.len() > 1
                && path.starts_with('/')
                && classify(path, &walker.state, walker.context, false)
                    & (bit(ClassDef::Root) | bit(ClassDef::System))
                    != 0
        }),
        "kept_target" => line.words.last().is_some_and(|w| {
            let target = line.args[w.index as usize].text;
            classify(target, &walker.state, walker.context, walker.remote) != bit(ClassDef::Temp)
        }),
        "guard_file" => line.words_from(start).any(|a| guard_file(a.text)),
        _ => false,
    }
}

/// Whether a path is one of the guard's own, or of the settings that call it.
pub(crate) fn guard_file(path: &str) -> bool {
    if !is_hidden(path) && !path.contains("flowgate") {
        return false;
    }
    let path = path.trim_end_matches('/');
    let ends = |ending: &str| {
        path == ending || path.strip_suffix(ending).is_some_and(|p| p.ends_with('/'))
    };
    path.contains(".flowgate/guard")
        || path.contains(".config/flowgate")
        || path.contains(".router/guard")
        || ["guard.yaml", "guard-allow.json", "guard-exceptions.json"]
            .iter()
            .any(|e| ends(e) && path.contains("flowgate"))
        || [
            ".claude/settings.json",
            ".claude/settings.local.json",
            ".gemini/settings.json",
            ".codex/hooks.json",
            ".codex/config.toml",
            ".cursor/hooks.json",
            ".github/hooks/guard.json",
            ".kimi/config.toml",
            ".kimi-code/config.toml",
            "bin/flowgate",
        ]
        .iter()
        .any(|e| ends(e))
        || path.contains(".copilot/hooks")
        || path.contains(".local/state/flowgate")
}

/// Whether a part of a path begins with a dot and a letter: all that is ours does, or names us.
fn is_hidden(path: &str) -> bool {
    let bytes = path.as_bytes();
    memchr::memchr_iter(b'.', bytes).any(|at| {
        bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic)
            && (at == 0 || matches!(bytes[at - 1], b'/' | b'\\'))
    })
}

/// `git checkout` with paths: their changes are lost.
fn git_checkout_paths(line: &Line<'_>, start: usize) -> bool {
    if line.has_any(&["-p", "--patch", "-b", "-B", "--orphan", "--detach"]) {
        return false;
    }
    if line.has_any(&["--pathspec-from-file"]) {
        return true;
    }
    if line.before_dashes != usize::MAX && line.words.len() > line.before_dashes.max(start) {
        return true;
    }
    // Options whose value may stand apart although git wants it joined.
    let detached = |index: u32, text: &str| {
        let before = index
            .checked_sub(1)
            .map_or("", |i| line.args[i as usize].text);
        matches!(
            (before, text),
            ("--recurse-submodules", "checkout" | "on-demand")
                | ("--track" | "-t", "direct" | "inherit")
        )
    };
    let words: Vec<&str> = line
        .words
        .iter()
        .skip(start)
        .map(|w| (w.index, line.args[w.index as usize].text))
        .filter(|(i, t)| !detached(*i, t))
        .map(|(_, t)| t)
        .collect();
    match words.as_slice() {
        [] => false,
        [one] => looks_like_path(one),
        _ => true,
    }
}

fn looks_like_path(word: &str) -> bool {
    if matches!(word, "." | "..")
        || word.starts_with("./")
        || word.starts_with("../")
        || word.starts_with(":/")
        || word.ends_with('/')
        || word.contains('*')
    {
        return true;
    }
    const SOURCES: &[&str] = &[
        "rs", "py", "js", "ts", "tsx", "jsx", "mjs", "cjs", "md", "json", "toml", "yaml", "yml",
        "html", "css", "scss", "c", "h", "cc", "cpp", "hpp", "go", "java", "kt", "rb", "sh", "txt",
        "lock", "sql", "vue", "svelte", "php", "swift", "scala", "xml", "cfg", "ini", "env",
        "ipynb", "cs", "ex", "exs", "lua", "proto", "tf",
    ];
    word.rsplit_once('.')
        .is_some_and(|(stem, ending)| !stem.is_empty() && SOURCES.contains(&ending))
}

/// Endings of files that nobody misses.
const LITTER: &[&str] = &[
    ".log",
    ".tmp",
    ".temp",
    ".bak",
    ".orig",
    ".rej",
    ".old",
    "~",
    ".swp",
    ".part",
    ".pid",
    ".stackdump",
    ".cache",
];

/// Whether a path or pattern names files that nobody misses.
pub(crate) fn is_litter(path: &str) -> bool {
    LITTER.iter().any(|ending| path.ends_with(ending))
}

/// `find … -delete` where what it finds is not made again.
fn find_delete(walker: &Walker<'_>, line: &Line<'_>) -> bool {
    if !Search::acts(line.args) {
        return false;
    }
    let mut args = vec![super::walk::Arg::default()];
    args.extend_from_slice(line.args);
    let search = Search::read(&args);
    if !search.deletes {
        return false;
    }
    let ours = bit(ClassDef::Project) | bit(ClassDef::Regenerable) | bit(ClassDef::Temp);
    if search.named
        && search.classes(walker) & !ours == 0
        && search.targets.iter().all(|t| is_litter(t))
    {
        return false;
    }
    search.classes(walker) & !(bit(ClassDef::Temp) | bit(ClassDef::Regenerable)) != 0
}
