//! Runs the commands of the README and compares what they print.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

use std::path::Path;
use std::process::Command;

/// A command, and the lines that are shown for it.
struct Shown {
    command: String,
    output: String,
}

/// The console blocks that are marked with `<!-- run -->`.
fn sessions(markdown: &str) -> Vec<Vec<Shown>> {
    let blocks = markdown.split("<!-- run -->\n```console\n").skip(1);
    blocks
        .map(|rest| session(rest.split("```").next().unwrap()))
        .collect()
}

fn session(block: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), shown.last_mut()) {
            (Some(command), _) => shown.push(Shown {
                command: command.to_owned(),
                output: String::new(),
            }),
            (None, Some(last)) => last.output += &format!("{line}\n"),
            (None, None) => panic!("a block starts with a command: {line}"),
        }
    }
    shown
}

/// `…` stands for anything; as a line of its own, for any number of lines. No line at all stands
/// for nothing printed.
fn matches(expected: &str, found: &str) -> bool {
    let pieces: Vec<&str> = expected
        .split('…')
        .map(|piece| piece.trim_matches('\n'))
        .collect();
    let mut rest = found;
    for (index, piece) in pieces.iter().enumerate() {
        match rest.find(piece) {
            Some(at) if index > 0 || at == 0 => rest = &rest[at + piece.len()..],
            _ => return false,
        }
    }
    let open = pieces.len() > 1 && pieces.last().is_some_and(|last| last.is_empty());
    open || rest.trim().is_empty()
}

#[test]
fn the_readme_shows_what_happens() {
    let readme = include_str!("../../README.md");
    let flowgate = Path::new(env!("CARGO_BIN_EXE_flowgate")).parent().unwrap();
    let path = format!("{}:{}", flowgate.display(), std::env::var("PATH").unwrap());
    let sessions = sessions(readme);
    assert!(sessions.len() >= 2);
    for session in sessions {
        let directory = tempfile::tempdir().unwrap();
        // One shell for the session, so that variables stay; after each command stand two marks
        // with its exit status between them.
        let script: String = session
            .iter()
            .map(|shown| format!("{}\nprintf '\\001%s\\002' $?\n", shown.command))
            .collect();
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{script}")])
            .env("PATH", &path)
            .env("HOME", directory.path())
            .env_remove("FLOWGATE_CONFIG")
            .current_dir(directory.path())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<_> = printed
            .split('\u{2}')
            .filter_map(|answer| answer.split_once('\u{1}'))
            .collect();
        assert_eq!(answers.len(), session.len(), "{printed}");
        for (shown, (found, status)) in session.iter().zip(answers) {
            assert!(
                matches(&shown.output, found),
                "$ {}\nshown:\n{}\nfound:\n{found}",
                shown.command,
                shown.output
            );
            // Exit code 1 is the answer "no", which the output shows.
            let says_no = status == "1" && !shown.output.is_empty();
            assert!(
                status == "0" || says_no || shown.output.contains("error"),
                "$ {}\nends with {status} and shows no error",
                shown.command
            );
        }
    }
}

#[test]
fn a_command_shown_without_output_prints_nothing() {
    assert!(matches("", "") && !matches("", "surprise\n"));
    assert!(matches("…\n", "anything\n") && matches("a\n…\n", "a\nb\n"));
    assert!(!matches("a\n…\nc\n", "a\nb\n") && !matches("a\n", "a\nb\n"));
}
