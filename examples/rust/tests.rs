//! Runs the Rust examples; those in Python and Node are run by the tests of their packages.

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
