//! The version stands in `Cargo.toml`; what cannot be taken from there says the same.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::Path;

use serde_json::Value;

fn read(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(file)).unwrap()
}

#[test]
fn every_package_has_the_same_version() {
    let version = env!("CARGO_PKG_VERSION");
    let package: Value = serde_json::from_str(&read("flowgate-node/package.json")).unwrap();
    assert_eq!(package["version"], version, "package.json");
    let lock: Value = serde_json::from_str(&read("flowgate-node/package-lock.json")).unwrap();
    assert_eq!(lock["version"], version, "package-lock.json");
    assert_eq!(
        lock["packages"][""]["version"], version,
        "package-lock.json"
    );
    for name in ["flowgate-core", "flowgate-sys"] {
        let dependency = format!("{name} = {{ path = \"{name}\", version = \"{version}\" }}");
        assert!(
            read("Cargo.toml").contains(&dependency),
            "Cargo.toml: workspace.dependencies"
        );
    }
    let pyproject = read("flowgate-py/pyproject.toml");
    assert!(
        pyproject.contains("dynamic = [\"version\"]"),
        "pyproject.toml takes it from Cargo"
    );
    for file in [
        "benches",
        "examples",
        "flowgate-cli",
        "flowgate-core",
        "flowgate-node",
        "flowgate-py",
        "flowgate-sys",
    ] {
        let manifest = read(&format!("{file}/Cargo.toml"));
        assert!(
            manifest.contains("version.workspace = true"),
            "{file}/Cargo.toml"
        );
    }
}

/// A release has its chapter, and what is not released yet another.
#[test]
fn the_changelog_tells_of_the_version() {
    let changelog = read("CHANGELOG.md");
    let chapters: Vec<&str> = changelog
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    let known = |chapter: &&str| *chapter == "Unreleased" || chapter.starts_with(version);
    assert!(chapters.first().is_some_and(known), "{chapters:?}");
}
