//! Runs the Rust examples; those in Python and Node are run by the tests of their packages.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::process::Command;

#[test]
fn the_profile_example_explains_the_starter() {
    let output = Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--package",
            "flowgate-examples",
            "--example",
            "profile",
        ])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let retries = printed
        .lines()
        .find(|line| line.contains("num_retries"))
        .unwrap();
    assert!(
        retries.starts_with("  num_retries: 2 ") && retries.contains("# profiles.balanced, line "),
        "{retries}"
    );
}
