//! The commands and their options. The doc comments are the help texts.

use std::env;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// The control layer for AI coding agents: check a configuration, see what a profile makes of it,
/// and make it active.
///
/// Exit codes: 0 done, 1 the answer is no, 2 wrong usage or bad input, 3 the machine failed
/// (permission, disk, a missing secret).
#[derive(Debug, Parser)]
#[command(name = "flowgate", version, max_term_width = 100)]
pub(crate) struct Args {
    /// The configuration file. Default: `$FLOWGATE_CONFIG`, or else `flowgate.yaml`, or else
    /// `config/flowgate.yaml`.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print the answer.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// No colour, not even on a terminal.
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// The configuration file that was named. A variable that is empty names none, which clap would
    /// take for a mistake.
    pub(crate) fn config(&self) -> Option<PathBuf> {
        let variable = || env::var_os("FLOWGATE_CONFIG").filter(|name| !name.is_empty());
        self.config
            .clone()
            .or_else(|| variable().map(PathBuf::from))
    }
}

/// How to print the answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented configuration to start from.
    Init {
        /// The file to write. Default: the file of `--config`, or else `flowgate.yaml`.
        file: Option<PathBuf>,
        /// Replace the file if it is there.
        #[arg(long)]
        force: bool,
    },
    /// Check, show and migrate the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List, show, compare and activate profiles.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether the configuration is right, and where exactly it is not.
    Check {
        /// Check many: read a JSON object with `yaml` or `yaml_b64` a line, answer one each.
        #[arg(long)]
        jsonl: bool,
    },
    /// Print the configuration in the shape of version 2, with secrets hidden.
    Show,
    /// Print the configuration with every path absolute and the defaults of paths written out.
    Resolve {
        /// Resolve many: read a JSON object with `config_path` and `config` or `input` a line.
        #[arg(long)]
        jsonl: bool,
    },
    /// Rewrite a file of version 1 or 3 as version 2, keeping comments and order.
    Migrate {
        /// Show what would change, and touch nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the JSON Schema, with which editors complete and check the configuration.
    Schema,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// List the profiles; `*` marks the active one.
    List,
    /// Print what the LiteLLM configuration becomes under a profile, with secrets hidden.
    Show {
        /// The profile.
        name: String,
        /// Say where each value was written.
        #[arg(long)]
        explain: bool,
    },
    /// Print what changes from one profile to another.
    Diff {
        /// The profile to start from.
        from: String,
        /// The profile to go to.
        to: String,
    },
    /// Make a profile the active one: write the LiteLLM configuration and `state.json`.
    Set {
        /// The profile.
        name: String,
    },
    /// Lay one YAML or JSON file over another, as profiles are laid over their base.
    Merge {
        /// The file below.
        #[arg(required_unless_present = "jsonl")]
        base: Option<PathBuf>,
        /// The file above.
        #[arg(required_unless_present = "jsonl")]
        overlay: Option<PathBuf>,
        /// Merge many: read a JSON object with `base` and `overlay` a line, answer one each.
        #[arg(long, conflicts_with_all = ["base", "overlay"])]
        jsonl: bool,
    },
}
