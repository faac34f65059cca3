//! Runs the Node suite and the Node examples, so that `cargo test --workspace` means all of it.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn node_suite_and_examples() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let native = build();

    let mut suite = node(&native, here);
    suite.args(["--test", "--test-reporter=spec"]);
    let tests = files(&here.join("tests"), &[".test.cjs", ".test.mjs"]);
    run(suite.args(tests));

    let root = here.parent().unwrap();
    for example in files(&root.join("examples/node"), &[".mjs"]) {
        run(node(&native, root).arg(example));
    }
}

/// Builds the library, because Cargo does not build a `cdylib` for the tests of its own package.
fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    // As the workspace is tested, so that nothing is compiled twice.
    build.args([
        "build",
        "--quiet",
        "--workspace",
        "--lib",
        "--bin",
        "flowgate",
    ]);
    build.args(["--features", "flowgate-core/schema", "--target-dir"]);
    run(build.arg(target));
    target
        .join("debug")
        .join(format!("{DLL_PREFIX}flowgate_node{DLL_SUFFIX}"))
}

fn node(native: &Path, directory: &Path) -> Command {
    let mut node = Command::new("node");
    node.env("FLOWGATE_NATIVE", native)
        .env("FLOWGATE_BINARY", native.with_file_name("flowgate"))
        .current_dir(directory);
    node
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
}

fn files(directory: &Path, suffixes: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            suffixes
                .iter()
                .any(|suffix| path.to_string_lossy().ends_with(suffix))
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "nothing in {}", directory.display());
    files
}
