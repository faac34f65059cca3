//! What a path is, judged by its text, the home and the project alone.

use smallvec::SmallVec;

use super::Context;
use super::format::ClassDef;
use super::value::{State, UNKNOWN};

/// The bit of a class.
pub(crate) const fn bit(class: ClassDef) -> u32 {
    1 << class as u32
}

/// Directories that builds and package managers make again.
const REGENERABLE: &[&str] = &[
    "node_modules",
    "target",
    "dist",
    ".venv",
    "venv",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    ".cache",
    ".parcel-cache",
    ".next",
    ".nuxt",
    ".turbo",
    ".svelte-kit",
    ".angular",
    ".gradle",
    ".eggs",
    "coverage",
    ".nyc_output",
    "htmlcov",
    ".coverage",
    "bower_components",
    ".terraform",
    "DerivedData",
    ".dart_tool",
    "zig-cache",
    ".zig-cache",
    "zig-out",
    "cmake-build-debug",
    "cmake-build-release",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".vite",
    ".output",
    ".serverless",
    ".aws-sam",
    "elm-stuff",
    "_build",
    ".stack-work",
    "dist-newstyle",
    ".bundle",
    "storybook-static",
    ".build",
    ".expo",
    ".docusaurus",
    ".astro",
    ".webpack",
    "tmp",
    ".tmp",
    "temp",
    "obj",
];

/// Endings of files that are made again or that nobody keeps.
const REGENERABLE_ENDINGS: &[&str] = &[
    ".pyc",
    ".pyo",
    ".o",
    ".obj",
    ".class",
    ".egg-info",
    ".tsbuildinfo",
    ".swp",
    ".swo",
    ".DS_Store",
    "~",
    ".gcda",
    ".gcno",
    ".profraw",
    ".elc",
    ".beam",
    ".cache",
];

const SYSTEM: &[&str] = &[
    "bin",
    "boot",
    "dev",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "usr",
    "var",
    "home",
    "Users",
    "Applications",
    "Library",
    "System",
    "Windows",
    "Program Files",
    "Program Files (x86)",
    "ProgramData",
    "private",
    "snap",
];

/// Parts of a home that hold keys, credentials or start-up files.
const SENSITIVE: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".password-store",
    ".bashrc",
    ".zshrc",
    ".profile",
    ".bash_profile",
    ".zprofile",
    ".zshenv",
    ".gitconfig",
    ".vault-token",
    "authorized_keys",
    ".claude",
    ".codex",
    ".gemini",
];

const DATABASE_ENDINGS: &[&str] = &[
    ".db", ".sqlite", ".sqlite3", ".db3", ".mdb", ".duckdb", ".rdb", ".aof", ".ldf", ".mdf",
];

const DEVICES: &[&str] = &[
    "sd", "nvme", "hd", "vd", "xvd", "mmcblk", "disk", "rdisk", "md", "dm-", "mapper", "loop",
    "nbd", "sr", "zd", "mem", "kmem", "port",
];

type Parts<'t> = SmallVec<[&'t str; 32]>;

/// Gives the classes of a path, as bits of [`ClassDef`].
pub(crate) fn classify(text: &str, state: &State, context: &Context, remote: bool) -> u32 {
    if state.throwaway {
        return bit(ClassDef::Temp);
    }
    let class = local(text, state, context);
    if !remote {
        return class;
    }
    // Elsewhere there is no project, and nothing is known to be made again.
    let here = bit(ClassDef::Temp)
        | bit(ClassDef::Regenerable)
        | bit(ClassDef::Project)
        | bit(ClassDef::Vcs);
    if class & here != 0 {
        bit(ClassDef::Outside)
    } else {
        class
    }
}

fn local(text: &str, state: &State, context: &Context) -> u32 {
    let mut parts = Parts::new();
    if text.is_empty() {
        return 0;
    }
    if let Some(class) = windows(text) {
        return class;
    }
    if text.starts_with(UNKNOWN) {
        return bit(ClassDef::Unknown);
    }
    let absolute = text.starts_with('/');
    if let Some(user) = text.strip_prefix('~') {
        // Another user's home; the own one has been expanded.
        let inside = user
            .find('/')
            .is_some_and(|at| !matches!(user[at..].trim_end_matches('/'), "" | "/*"));
        return bit(if inside {
            ClassDef::InHome
        } else {
            ClassDef::Home
        });
    }
    if !absolute {
        let Some(directory) = state.directory(context) else {
            return floating(text);
        };
        if directory.contains(UNKNOWN) {
            return floating(text);
        }
        resolve(directory, &mut parts);
    }
    let database =
        bit(ClassDef::Database) * u32::from(DATABASE_ENDINGS.iter().any(|e| text.ends_with(e)));
    resolve(text, &mut parts);
    // `dir/*` is everything in the directory.
    let contents = matches!(
        parts.last(),
        Some(&("*" | ".*" | "{*,.*}" | "**" | ".[!.]*" | "?*"))
    );
    if contents {
        parts.pop();
    }
    let class = absolute_class(&parts, contents, context);
    if class == bit(ClassDef::Temp) {
        class
    } else {
        class | database
    }
}

/// Resolves a path against the parts, by text.
fn resolve<'t>(path: &'t str, parts: &mut Parts<'t>) {
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
}

/// A relative path where the directory is not known.
fn floating(text: &str) -> u32 {
    let first = text
        .trim_start_matches("./")
        .split('/')
        .next()
        .unwrap_or_default();
    match first {
        "" | "." | "*" | ".*" => bit(ClassDef::Unknown),
        ".." => bit(ClassDef::Parent),
        ".git" => bit(ClassDef::Vcs),
        _ if text.split('/').any(regenerable) => bit(ClassDef::Regenerable),
        _ if first.contains(UNKNOWN) => bit(ClassDef::Unknown),
        _ => bit(ClassDef::Project),
    }
}

fn absolute_class(parts: &[&str], contents: bool, context: &Context) -> u32 {
    let all = parts;
    let parts = match parts {
        ["private", rest @ ..] if matches!(rest, ["tmp" | "var", ..]) => rest,
        _ => parts,
    };
    if temp(parts).is_some_and(|inside| inside > 0) && is_parent(all, &context.home) {
        return bit(ClassDef::Home);
    }
    if let Some(inside) = temp(parts)
        && below(parts, &context.home).is_none()
    {
        return bit(if inside == 0 && !contents {
            ClassDef::TempRoot
        } else {
            ClassDef::Temp
        });
    }
    if let Some(rest) = below(parts, &context.cwd) {
        return project(rest, contents);
    }
    for root in &context.roots {
        if let Some(rest) = below(parts, root) {
            return project(rest, contents);
        }
    }
    if let Some(rest) = below(parts, &context.home) {
        return match rest {
            [] => bit(ClassDef::Home),
            [".cache", ..] | ["Library", "Caches", ..] => bit(ClassDef::Regenerable),
            _ if rest.iter().any(|p| SENSITIVE.contains(p)) => bit(ClassDef::Sensitive),
            _ if is_parent(all, &context.cwd) => bit(ClassDef::Parent),
            _ if rest[0].contains(UNKNOWN) => bit(ClassDef::InHome),
            _ if rest.iter().skip(1).any(|p| regenerable(p)) => bit(ClassDef::Regenerable),
            _ => bit(ClassDef::InHome),
        };
    }
    match parts {
        [] => bit(ClassDef::Root),
        ["home" | "Users"] => bit(ClassDef::System),
        ["home" | "Users", _] => bit(ClassDef::Home),
        ["home" | "Users", _, rest @ ..] if rest.iter().any(|p| SENSITIVE.contains(p)) => {
            bit(ClassDef::Sensitive)
        }
        ["home" | "Users", _, ..] => bit(ClassDef::InHome),
        [
            "dev",
            "null" | "stdout" | "stderr" | "stdin" | "tty" | "fd" | "zero" | "full" | "random"
            | "urandom" | "pts" | "ptmx",
            ..,
        ] => 0,
        ["dev", device, ..] if DEVICES.iter().any(|d| device.starts_with(d)) => {
            bit(ClassDef::Device)
        }
        _ if is_parent(all, &context.cwd) => bit(ClassDef::Parent),
        [one] if one.contains(UNKNOWN) => bit(ClassDef::Unknown),
        ["etc", "shadow" | "sudoers" | "passwd" | "ssh", ..] => {
            bit(ClassDef::System) | bit(ClassDef::Sensitive)
        }
        [first, ..] if SYSTEM.contains(first) => bit(ClassDef::System),
        ["opt" | "srv" | "mnt" | "media" | "data" | "Volumes"] => bit(ClassDef::System),
        _ => bit(ClassDef::Outside),
    }
}

fn project(rest: &[&str], contents: bool) -> u32 {
    match rest {
        [] => bit(ClassDef::ProjectRoot),
        // What a git that was killed left behind.
        [".git", .., last] if last.ends_with(".lock") => bit(ClassDef::Regenerable),
        [".git", ..] => bit(ClassDef::Vcs),
        _ if rest.iter().any(|p| regenerable(p)) => bit(ClassDef::Regenerable),
        [one] if one.contains(UNKNOWN) && one.chars().all(|c| c == UNKNOWN || c == '*') => {
            bit(ClassDef::Unknown)
        }
        _ => {
            let _ = contents;
            bit(ClassDef::Project)
        }
    }
}

/// Whether builds make a thing of this name again.
pub(crate) fn regenerable(name: &str) -> bool {
    REGENERABLE.contains(&name)
        || REGENERABLE_ENDINGS.iter().any(|e| name.ends_with(e))
        || name.starts_with("bazel-")
}

/// Whether a name means something that is made again when it stands beside others that are:
/// `dist build`, `node_modules package-lock.json`.
pub(crate) fn companion(path: &str) -> bool {
    const LOCKS: &[&str] = &[
        "package-lock.json",
        "npm-shrinkwrap.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "bun.lock",
        "bun.lockb",
        "poetry.lock",
        "uv.lock",
        "Pipfile.lock",
        "Gemfile.lock",
        "composer.lock",
        "Podfile.lock",
    ];
    let name = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(path);
    matches!(
        name,
        "build" | "out" | "es" | "esm" | "cjs" | "Pods" | "wheelhouse"
    ) || LOCKS.contains(&name)
}

/// How many parts stand below a directory for temporary files.
fn temp(parts: &[&str]) -> Option<usize> {
    match parts {
        ["tmp", rest @ ..] | ["var", "tmp", rest @ ..] | ["dev", "shm", rest @ ..] => {
            Some(rest.len())
        }
        ["var", "folders", rest @ ..] => Some(rest.len()),
        _ => None,
    }
}

/// The parts below a directory, if it is one that contains them.
fn below<'p, 't>(parts: &'p [&'t str], directory: &str) -> Option<&'p [&'t str]> {
    let mut rest = parts;
    let mut any = false;
    for part in directory.split('/').filter(|p| !p.is_empty()) {
        let (first, more) = rest.split_first()?;
        if *first != part {
            return None;
        }
        any = true;
        rest = more;
    }
    any.then_some(rest)
}

fn is_parent(parts: &[&str], project: &str) -> bool {
    let mut project = project.split('/').filter(|p| !p.is_empty());
    !parts.is_empty()
        && parts.iter().all(|p| project.next() == Some(*p))
        && project.next().is_some()
}

/// Paths with a drive letter.
fn windows(text: &str) -> Option<u32> {
    let bytes = text.as_bytes();
    if bytes.len() < 2 || !bytes[0].is_ascii_alphabetic() || bytes[1] != b':' {
        return None;
    }
    let rest = text[2..].trim_start_matches(['\\', '/']);
    let mut parts = rest
        .split(['\\', '/'])
        .filter(|p| !p.is_empty() && *p != "*" && *p != "*.*");
    Some(match (parts.next(), parts.next(), parts.next()) {
        (None, _, _) => bit(ClassDef::Root),
        (Some(first), second, third) if first.eq_ignore_ascii_case("users") => {
            match (second, third) {
                (None, _) => bit(ClassDef::System),
                (_, None) => bit(ClassDef::Home),
                _ if text.to_ascii_lowercase().contains("\\temp\\") => bit(ClassDef::Temp),
                _ => bit(ClassDef::InHome),
            }
        }
        (Some(first), ..) if SYSTEM.iter().any(|s| s.eq_ignore_ascii_case(first)) => {
            bit(ClassDef::System)
        }
        (Some(first), Some(_), _)
            if first.eq_ignore_ascii_case("temp") || first.eq_ignore_ascii_case("tmp") =>
        {
            bit(ClassDef::Temp)
        }
        _ => bit(ClassDef::Outside),
    })
}
