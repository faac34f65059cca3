//! Runs what the README and the pages in `docs/` show, and compares what is printed.
//!
//! The blocks of a page share one directory, in order, which has nothing but the `flowgate-core` of
//! this repository in it. A comment above a block says what to do with it:
//!
//! * `<!-- run -->`: a `console` block; each `$ ` line is run, and what stands below it compared.
//! * `<!-- file: NAME -->`: the block is written to that file.
//! * `<!-- not run: WHY -->`: it is only shown.
//!
//! Blocks in Python, JavaScript and Rust are run by the tests of those packages.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Languages whose blocks somebody else runs, and text.
const ELSEWHERE: [&str; 8] = [
    "js", "json", "kotlin", "mermaid", "python", "rust", "ruby", "text",
];

/// A fenced block of a page.
struct Block {
    line: usize,
    language: String,
    mark: Option<String>,
    text: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines().enumerate();
    let mut above = "";
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            above = line;
            continue;
        };
        let inside = lines.by_ref().map(|(_, line)| line);
        let text: Vec<&str> = inside
            .take_while(|line| line.trim_start() != "```")
            .collect();
        let mark = above.trim().strip_prefix("<!-- ");
        blocks.push(Block {
            line: number + 1,
            language: language.to_owned(),
            mark: mark
                .and_then(|mark| mark.strip_suffix(" -->"))
                .map(str::to_owned),
            text: text.iter().map(|line| format!("{line}\n")).collect(),
        });
        above = "";
    }
    blocks
}

/// A command, and the lines that are shown for it.
struct Shown {
    command: String,
    output: String,
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

/// Runs the commands in one shell, so that variables stay, and compares what each prints.
fn run(place: &str, session: &[Shown], directory: &Path) {
    let flowgate = Path::new(env!("CARGO_BIN_EXE_flowgate")).parent().unwrap();
    let path = format!("{}:{}", flowgate.display(), std::env::var("PATH").unwrap());
    // After each command stand two marks with its exit status between them.
    let script: String = session
        .iter()
        .map(|shown| format!("{}\nprintf '\\001%s\\002' $?\n", shown.command))
        .collect();
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .env("PATH", &path)
        .env("HOME", directory)
        .env_remove("FLOWGATE_CONFIG")
        .current_dir(directory)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = printed
        .split('\u{2}')
        .filter_map(|answer| answer.split_once('\u{1}'))
        .collect();
    assert_eq!(answers.len(), session.len(), "{place}: {printed}");
    for (shown, (found, status)) in session.iter().zip(answers) {
        assert!(
            matches(&shown.output, found),
            "{place}\n$ {}\nshown:\n{}\nfound:\n{found}",
            shown.command,
            shown.output
        );
        // Exit code 1 is the answer "no", which the output shows.
        let says_no = status == "1" && !shown.output.is_empty();
        assert!(
            status == "0" || says_no || shown.output.contains("error"),
            "{place}\n$ {}\nends with {status} and shows no error",
            shown.command
        );
    }
}

/// Services that a page has started end with it, also if it does not get to its end.
struct Down<'d>(&'d Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let mut down = Command::new(env!("CARGO_BIN_EXE_flowgate"));
        let down = down.args(["down", "--force"]).current_dir(self.0);
        let _ = down.env_remove("FLOWGATE_CONFIG").output();
    }
}

fn try_page(page: &Path) {
    let directory = tempfile::tempdir().unwrap();
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("flowgate-core");
    symlink(core, directory.path().join("flowgate-core")).unwrap();
    let _down = Down(directory.path());
    let name = page.file_name().unwrap().to_string_lossy();
    for block in blocks(&fs::read_to_string(page).unwrap()) {
        let place = format!("{name}:{}", block.line);
        let language = block.language.split(',').next().unwrap();
        match block.mark.as_deref() {
            Some("run") => run(&place, &session(&block.text), directory.path()),
            Some(mark) if mark.starts_with("not run: ") => {}
            Some(mark) if mark.starts_with("file: ") => {
                let file = directory.path().join(&mark["file: ".len()..]);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, block.text).unwrap();
            }
            _ if ELSEWHERE.contains(&language) => {}
            _ => panic!("{place}: a block of {language:?} that nothing runs says why"),
        }
    }
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages: Vec<PathBuf> = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

#[test]
fn the_pages_show_what_happens() {
    // Independent of each other, and mostly waiting for processes.
    std::thread::scope(|scope| {
        for page in pages() {
            scope.spawn(move || try_page(&page));
        }
    });
}

#[test]
fn the_book_lists_every_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let summary = fs::read_to_string(root.join("docs/SUMMARY.md")).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        if name != "README.md" && name != "SUMMARY.md" {
            assert!(summary.contains(&format!("({name})")), "{name}");
        }
    }
}

#[test]
fn a_command_shown_without_output_prints_nothing() {
    assert!(matches("", "") && !matches("", "surprise\n"));
    assert!(matches("…\n", "anything\n") && matches("a\n…\n", "a\nb\n"));
    assert!(!matches("a\n…\nc\n", "a\nb\n") && !matches("a\n", "a\nb\n"));
}

#[test]
fn blocks_know_their_mark_and_their_place() {
    let found = blocks("text\n<!-- run -->\n```console\n$ true\n```\n\n```yaml\na: 1\n```\n");
    let seen: Vec<_> = found
        .iter()
        .map(|block| (block.line, block.language.as_str(), block.mark.as_deref()))
        .collect();
    assert_eq!(seen, [(3, "console", Some("run")), (7, "yaml", None)]);
}
