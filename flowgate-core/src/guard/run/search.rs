//! What a `find` command looks for.

use super::base_name;
use crate::guard::path;
use crate::guard::walk::{Arg, Walker};

/// What a `find` command looks for.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Paths that it may find, as patterns.
    pub(crate) targets: Vec<String>,
    /// It deletes them itself.
    pub(crate) deletes: bool,
    /// Only things of certain names.
    pub(crate) named: bool,
}

/// `cp /dev/null {}`, `tee {}`: the command of an `-exec` that leaves an empty file.
fn empties(command: &[Arg<'_>]) -> bool {
    match command.first().map_or("", |a| base_name(a.text)) {
        "tee" => true,
        "cp" => command.get(1).is_some_and(|a| a.text == "/dev/null"),
        _ => false,
    }
}

impl Search {
    /// Whether a `find` command does more than to look.
    pub(crate) fn acts(args: &[Arg<'_>]) -> bool {
        args.iter().any(|a| {
            matches!(
                a.text,
                "-delete" | "-exec" | "-execdir" | "-ok" | "-okdir" | "-fprint" | "-fls"
            )
        })
    }

    /// Reads the words of a `find` command.
    pub(crate) fn read(args: &[Arg<'_>]) -> Self {
        let mut search = Self::default();
        let mut i = 1;
        while args.get(i).is_some_and(|a| {
            matches!(
                a.text,
                "-H" | "-L" | "-P" | "-E" | "-X" | "-x" | "-d" | "-s"
            ) || a.text.starts_with("-O")
        }) {
            i += 1;
        }
        let mut paths = Vec::new();
        while let Some(arg) = args
            .get(i)
            .filter(|a| !a.text.starts_with('-') && !matches!(a.text, "(" | "!" | ")"))
        {
            paths.push(arg.text);
            i += 1;
        }
        if paths.is_empty() {
            paths.push(".");
        }
        let (mut names, mut within, mut all_named) = (Vec::new(), false, true);
        let mut negated = false;
        // Where the names since the last `-o` begin, and whether that part only says what is left out.
        let (mut branch, mut passes_over) = (0, false);
        while let Some(arg) = args.get(i) {
            let value = args.get(i + 1).map_or("", |a| a.text);
            match arg.text {
                "-delete" => {
                    search.deletes = true;
                    passes_over = false;
                }
                "!" | "-not" => {
                    negated = true;
                    i += 1;
                    continue;
                }
                "-name" | "-iname" | "-path" | "-ipath" | "-wholename" | "-regex" | "-iregex" => {
                    if !negated && !value.trim_matches(['*', '.', '/']).is_empty() {
                        names.push(value);
                    }
                    i += 1;
                }
                "-mindepth" => {
                    within |= value != "0";
                    i += 1;
                }
                "-prune" => passes_over = true,
                "-o" | "-or" | "," => {
                    if passes_over {
                        // What is passed over is not what is found.
                        names.truncate(branch);
                    } else {
                        all_named &= names.len() > branch;
                    }
                    (branch, passes_over) = (names.len(), false);
                }
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    passes_over = false;
                    search.deletes |= empties(&args[i + 1..])
                        || matches!(
                            base_name(value),
                            "rm" | "unlink" | "truncate" | "shred" | "dd"
                        );
                    while args
                        .get(i + 1)
                        .is_some_and(|a| !matches!(a.text, ";" | "+" | "\\;"))
                    {
                        i += 1;
                    }
                }
                // What was not touched for long, or belongs to somebody: not the directory itself.
                "-mtime" | "-mmin" | "-atime" | "-amin" | "-ctime" | "-cmin" | "-user"
                | "-newer"
                    if !negated =>
                {
                    within = true;
                    i += 1;
                }
                "-type" | "-maxdepth" | "-mtime" | "-mmin" | "-atime" | "-amin" | "-ctime"
                | "-cmin" | "-newer" | "-size" | "-user" | "-group" | "-perm" | "-fprint"
                | "-printf" | "-inum" | "-links" | "-newermt" | "-xtype" | "-lname" | "-fstype"
                | "-samefile" | "-uid" | "-gid" | "-anewer" | "-cnewer" => i += 1,
                _ => {}
            }
            negated = false;
            i += 1;
        }
        search.named = names.len() > branch && all_named;
        for path in paths.iter().take(16) {
            let path = path.trim_end_matches('/');
            if search.named {
                for name in names.iter().take(16) {
                    let name = name.trim_start_matches("./");
                    search.targets.push(format!(
                        "{path}/{}",
                        name.strip_prefix("*/").unwrap_or(name)
                    ));
                }
            } else if within {
                search.targets.push(format!("{path}/*"));
            } else {
                search.targets.push(if path.is_empty() {
                    "/".to_owned()
                } else {
                    path.to_owned()
                });
            }
        }
        search
    }

    /// The classes of what it may find.
    pub(crate) fn classes(&self, walker: &Walker<'_>) -> u32 {
        self.targets.iter().fold(0, |all, t| {
            all | path::classify(t, &walker.state, walker.context, walker.remote)
        })
    }
}
