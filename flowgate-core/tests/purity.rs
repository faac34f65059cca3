//! Without features the core reaches nothing outside: no runtime, no network, no files, no clock.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::Command;

fn dependencies(features: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "flowgate-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--offline", "--no-default-features"])
        .args(features)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_core_depends_on_nothing_that_acts() {
    let found = dependencies(&[]);
    assert!(found.contains(&"serde".to_owned()), "{found:?}");
    for banned in [
        "tokio",
        "reqwest",
        "mio",
        "socket2",
        "hyper",
        "tempfile",
        "rustix",
        "libc",
        "getrandom",
        "process_control",
        "uniffi",
        "pyo3",
        "napi",
    ] {
        assert!(!found.contains(&banned.to_owned()), "{banned} in {found:?}");
    }
    assert!(dependencies(&["--features", "runtime"]).contains(&"tempfile".to_owned()));
}

/// What the source of the pure modules may not name.
#[test]
fn the_pure_modules_name_nothing_that_acts() {
    let banned = [
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "std::env",
        "std::io",
        "SystemTime::now",
        "Instant::now",
        "println!",
        "eprintln!",
        "static mut",
        "OnceLock",
        "LazyLock",
        "thread_local!",
    ];
    let mut files = 0;
    let mut directories = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("runtime") {
                    directories.push(path);
                }
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests may use what they like.
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let named = format!("{code}\n{}", imports(code).join("\n"));
            for name in banned {
                assert!(!named.contains(name), "{} names {name}", path.display());
            }
            files += 1;
        }
    }
    assert!(files > 10, "{files}");
}

/// Every path that is imported, with the groups written out: `std::{fs, io::Read}` is `std::fs` and
/// `std::io::Read`.
fn imports(code: &str) -> Vec<String> {
    let statements = code.split("use ").skip(1);
    let trees = statements.filter_map(|rest| rest.split(';').next());
    trees.flat_map(|tree| expand("", tree)).collect()
}

fn expand(prefix: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        return vec![format!("{prefix}{tree}")];
    };
    let prefix = format!("{prefix}{}", head.trim());
    let group = group.strip_suffix('}').unwrap_or(group);
    let mut depth = 0;
    let members = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let members = members.filter(|member| !member.trim().is_empty());
    members.flat_map(|member| expand(&prefix, member)).collect()
}

#[test]
fn grouped_imports_are_seen_one_by_one() {
    assert_eq!(
        imports(
            "use std::{\n    collections::{BTreeMap, BTreeSet}, fs as f,\n    io::{self},\n};\nuse a::b;"
        ),
        [
            "std::collections::BTreeMap",
            "std::collections::BTreeSet",
            "std::fs as f",
            "std::io::self",
            "a::b"
        ]
    );
}
