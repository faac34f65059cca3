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
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for name in banned {
                assert!(!code.contains(name), "{} names {name}", path.display());
            }
            files += 1;
        }
    }
    assert!(files > 10, "{files}");
}
