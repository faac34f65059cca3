//! Keeps `docs/cli.md`, the help of every command on one page, fresh.

use std::fmt::Write;
use std::fs;

use clap::{Arg, Command, CommandFactory};

use crate::args::Args;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");

const TITLE: &str = "# The command line

What `flowgate COMMAND --help` prints, for every command. Options that every command takes are listed with the
first only.
";

/// The help of a command and of those below it, a section each.
fn describe(command: &mut Command, path: &str, page: &mut String) {
    let help = command.render_long_help().to_string();
    let help: String = help
        .lines()
        .fold(String::new(), |text, line| text + line.trim_end() + "\n");
    let level = "#".repeat(2 + path.split(' ').count().saturating_sub(1).min(2));
    write!(
        page,
        "\n{level} {path}\n\n```text\n{}\n```\n",
        help.trim_end()
    )
    .unwrap();
    let shown = |command: &&mut Command| !command.is_hide_set() && command.get_name() != "help";
    for sub in command.get_subcommands_mut().filter(shown) {
        let path = format!("{path} {}", sub.get_name());
        let common = |arg: &Arg| arg.is_global_set() || arg.get_id() == "help";
        let mut sub = sub.clone().mut_args(|arg| {
            let hidden = arg.is_hide_set() || common(&arg);
            arg.hide(hidden)
        });
        describe(&mut sub, &path, page);
    }
}

#[test]
fn the_page_of_the_command_line_is_fresh() {
    let mut command = Args::command().term_width(100);
    command.build();
    let mut page = TITLE.to_owned();
    describe(&mut command, "flowgate", &mut page);
    if std::env::var_os("FLOWGATE_UPDATE").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    let committed = fs::read_to_string(PAGE).unwrap();
    assert!(
        committed == page,
        "docs/cli.md is stale: run the tests with FLOWGATE_UPDATE=1 and commit it"
    );
}
