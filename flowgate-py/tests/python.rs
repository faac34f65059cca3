//! Runs the Python suite and the Python examples, so that `cargo test --workspace` means all of it.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes helpers of tests for ordinary code"
)]

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

#[test]
fn python_suite() {
    let suite = python()
        .args(["-W", "error", "-m", "unittest", "discover"])
        .args(["--start-directory", "tests"])
        .status()
        .unwrap();
    assert!(suite.success());
}

#[test]
fn python_examples() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/python");
    for file in fs::read_dir(examples).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "py") {
            let example = python().args(["-W", "error"]).arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&example.stderr);
            assert!(example.status.success(), "{}: {said}", path.display());
        }
    }
}

/// An interpreter that imports the package as it is built here.
fn python() -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(build);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()));
    python
        .env("PYTHONPATH", here.join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("FLOWGATE_BINARY", target().join("debug/flowgate"))
        .current_dir(here);
    python
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// Cargo does not build a `cdylib` for the tests of its own package.
fn build() {
    let target = target();
    let built = Command::new(env!("CARGO"))
        // As the workspace is tested, so that nothing is compiled twice.
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--lib",
            "--bin",
            "flowgate",
        ])
        .args(["--features", "flowgate-core/schema", "--target-dir"])
        .arg(target)
        .status()
        .unwrap();
    assert!(built.success());
    let library = target.join(format!("debug/{DLL_PREFIX}_flowgate{DLL_SUFFIX}"));
    let suffix = if cfg!(windows) { "pyd" } else { "abi3.so" };
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/flowgate/_flowgate");
    // Written beside and moved into place: an interpreter may have the old one mapped.
    let new = module.with_extension("new");
    fs::copy(library, &new).unwrap();
    fs::rename(new, module.with_extension(suffix)).unwrap();
}
