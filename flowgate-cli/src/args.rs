//! The commands and their options. The doc comments are the help texts.

use std::env;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use flowgate_core::accounts::{Settings, Transport};
use flowgate_core::clients::Client;
use flowgate_core::config::Duration;
use flowgate_core::guard::hook::Agent;

/// The control layer for AI coding agents: guard the commands they run, check a configuration, see
/// what a profile makes of it, and make it active.
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
        /// Write what `flowgate up` brings up where there is no configuration: a gateway and
        /// providers that pretend, so that no key is needed.
        #[arg(long)]
        quickstart: bool,
    },
    /// Check, show and migrate the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List, show, compare and activate profiles.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Decide whether shell commands may run, and stop agents before they destroy something.
    #[command(subcommand)]
    Guard(GuardCommand),
    /// See what provider accounts do, and what their answers mean.
    #[command(subcommand)]
    Accounts(AccountsCommand),
    /// Point the agents' own settings at the gateway, and back.
    #[command(subcommand)]
    Integration(IntegrationCommand),
    /// Bring the services up and keep them up, until Ctrl-C or `flowgate down`. Where there is no
    /// configuration, a quickstart that needs no key. If they are up already, show what they do.
    Up {
        /// Go on in the background.
        #[arg(long)]
        detach: bool,
        /// Fail if they are supervised already, rather than show that.
        #[arg(long)]
        no_attach: bool,
        /// Which, with those they need. Default: all.
        services: Vec<String>,
    },
    /// Bring everything down, in order.
    Down {
        /// At once, without asking the services.
        #[arg(long)]
        force: bool,
    },
    /// Show where the services stand. Exit code 1 if one of them does not work.
    Status,
    /// Read the configuration again while services run: make the change whole, or put it all back.
    /// Exit code 1 if it was put back.
    Apply {
        /// Say what would become of which service, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Start, stop and restart services of a supervisor that runs.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Print what services wrote.
    Logs {
        /// Go on as they write.
        #[arg(short, long)]
        follow: bool,
        /// How many of the last lines to begin with.
        #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
        lines: usize,
        /// Which. Default: all.
        services: Vec<String>,
    },
    /// Sign in at providers, and see which credentials there are.
    #[command(subcommand)]
    Auth(crate::commands::auth::AuthCommand),
    /// Install what the services run, verified, and put versions back.
    #[command(subcommand)]
    Bootstrap(crate::commands::bootstrap::BootstrapCommand),
    /// Ask the services how they are. Exit code: 0 all is well, 1 something is not.
    Health(crate::commands::health::HealthArgs),
    /// Look for what is wrong with the installation; nothing is changed. Exit code 1 if something is.
    Doctor(crate::commands::health::DoctorArgs),
    /// Try things out without keys.
    #[command(subcommand)]
    Dev(DevCommand),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Bring services up, with those they need.
    Start {
        /// Their names, or `all`.
        #[arg(required = true)]
        services: Vec<String>,
    },
    /// Bring services down.
    Stop {
        /// Their names, or `all`.
        #[arg(required = true)]
        services: Vec<String>,
    },
    /// Replace the processes of services. Those that overlap lose no request.
    Restart {
        /// Their names, or `all`.
        #[arg(required = true)]
        services: Vec<String>,
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

/// Where a command would run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The packs that are on, separated by commas: `all`, `core`, `database.redis`, `-windows`.
    /// Default: what the policy says.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub(crate) packs: Option<Vec<String>>,
    /// The directory it would run in. Default: this one.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// The home directory. Default: `$HOME`.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GuardCommand {
    /// Decide whether a command may run. Exit code: 0 it may, 1 it may not.
    Check {
        #[command(flatten)]
        place: Place,
        /// Check many: read a JSON object with `command` a line, answer one each.
        #[arg(long, conflicts_with = "command")]
        jsonl: bool,
        /// The command: one text, or words. Default: standard input.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Show how the guard reads a command, and what decides.
    Explain {
        #[command(flatten)]
        place: Place,
        /// The command: one text, or words.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Measure the guard: JSON lines with `command` and `expect` (`allow`, `warn`, `ask`, `deny`).
    Test {
        #[command(flatten)]
        place: Place,
        /// Run the examples in these packs of one's own instead.
        #[arg(long, value_name = "FILE", conflicts_with = "corpus")]
        pack: Vec<PathBuf>,
        /// The file; `-` is standard input.
        #[arg(required_unless_present = "pack")]
        corpus: Option<PathBuf>,
    },
    /// List the packs of rules.
    Packs {
        /// Only those whose id, name, description or rules have this in them.
        filter: Option<String>,
        /// Show the rules.
        #[arg(long)]
        rules: bool,
    },
    /// Find destructive commands in scripts, Makefiles, Dockerfiles, packages and workflows.
    Scan {
        #[command(flatten)]
        place: Place,
        /// Print a SARIF 2.1.0 log.
        #[arg(long)]
        sarif: bool,
        /// Files and directories.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Answer an agent that asks before it runs a command; or manage that.
    #[command(args_conflicts_with_subcommands = true)]
    Hook {
        /// The agent. Default: told by what it asks.
        #[arg(long, value_parser = agent)]
        agent: Option<Agent>,
        #[command(subcommand)]
        command: Option<HookCommand>,
    },
    /// Let a command that was stopped run once. Only a person at a terminal can.
    Allow {
        /// The code of the command, or `list`.
        #[arg(value_name = "CODE|list")]
        code: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountsCommand {
    /// Show what each account is doing, as the configuration and the saved state have it.
    List,
    /// Say of each account whether it could serve a request, and if not, why and until when. Exit
    /// code: 0 one could, 1 none could now.
    Explain(ExplainArgs),
    /// Say what an answer of a provider means. Exit code: 0 the request was served, 1 it was not.
    Classify {
        #[command(flatten)]
        answer: ClassifyArgs,
        /// Classify many: read a JSON object with `provider`, `status`, `headers`, `body`,
        /// `transport` and `now_ms` a line, answer one each.
        #[arg(long, exclusive = true)]
        jsonl: bool,
    },
    /// Tell a pool what happened, and see what it decides: read a JSON object with `accounts`,
    /// `strategy`, `opts` and `events` a line, answer one with `results`, one for each pick.
    Replay {
        /// The form of input and output; there is only this.
        #[arg(long, required = true)]
        jsonl: bool,
    },
    /// Try ways to choose accounts against a simulated provider: how many requests are served, how
    /// many are refused, how long they wait, and how warm their prompts are.
    Simulate(Box<SimulateArgs>),
}

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The model, if the limits of one are to count.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The session, whose requests stay with one account.
    #[arg(long, value_name = "NAME")]
    pub(crate) session: Option<String>,
    /// How many tokens it will take.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) tokens: u32,
    /// An account that may not serve it; give one for each.
    #[arg(long, value_name = "ID")]
    pub(crate) exclude: Vec<String>,
}

/// What to simulate.
#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    /// Only these, such as `A1`; give one for each. Default: all.
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Vec<String>,
    /// Only these, such as `auto`; give one for each. Default: all.
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Vec<String>,
    /// Where chance comes from; several are several days, and the table is their mean.
    #[arg(
        long,
        value_name = "NUMBER",
        value_delimiter = ',',
        default_value = "1"
    )]
    pub(crate) seed: Vec<u64>,
    /// How the pool is set, as JSON: `{"strategy": "lru", "affinity": {"enabled": false}}`.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = pool_settings)]
    pub(crate) settings: Settings,
    /// Let each day last a part of its time: 10 is a tenth.
    #[arg(long, value_name = "BY", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) shorten: u32,
}

/// What came back from a provider.
#[derive(Debug, clap::Args)]
pub(crate) struct ClassifyArgs {
    /// The provider: `openai`, `azure`, `anthropic`, `codex`, `gemini`, `openrouter`, or another.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) provider: String,
    /// The HTTP status.
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(100..=999))]
    pub(crate) status: Option<u16>,
    /// A header; give one for each.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// The file with the body; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) body: Option<PathBuf>,
    /// How the exchange ended without a status: `cancelled`, `connect`, `eof`, `reset`, `timeout`.
    #[arg(long, value_name = "HOW", value_parser = transport, required_unless_present_any = ["status", "jsonl"])]
    pub(crate) transport: Option<Transport>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("write the name, a colon, and the value: `retry-after: 20`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn transport(name: &str) -> Result<Transport, String> {
    serde_json::from_value(name.into())
        .map_err(|_| "it is one of cancelled, connect, eof, reset and timeout".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevCommand {
    /// Pretend to be a provider: the HTTP of OpenAI and Anthropic, with limits, refusals and
    /// outages. Prints where it listens; SIGTERM lets it finish what is under way, and ends it.
    ///
    /// A socket that is handed over (LISTEN_FDS) is used instead of the port. The script is YAML or
    /// JSON, for example:
    ///
    ///     limits: { requests_per_minute: 60, burst: 2s, max_inflight: 4 }
    ///     keys:
    ///       - { key: good }
    ///       - { key: gone, state: revoked }
    ///       - { key: plan, limits: { window: { tokens: 5000, length: 5h } } }
    ///     outages:
    ///       - { from: 10s, until: 20s, fault: overloaded }
    #[command(verbatim_doc_comment)]
    Provider(ProviderArgs),
    /// Pretend to be LiteLLM, until it is told to end: send requests where a LiteLLM configuration
    /// says (`model_list`, `model_group_alias`, `fallbacks`). A listening socket that is handed over
    /// (LISTEN_FDS) is used instead of the port.
    Gateway(DevGatewayArgs),
}

/// Where to pretend to be a gateway.
#[derive(Debug, clap::Args)]
pub(crate) struct DevGatewayArgs {
    /// The LiteLLM configuration.
    pub(crate) routes: PathBuf,
    /// The address to listen at.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// The port to listen at; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
}

/// How to pretend.
#[derive(Debug, clap::Args)]
pub(crate) struct ProviderArgs {
    /// The address to listen at.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// The port to listen at; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// What it calls itself in its answers. Default: `dev`.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The script; the options come over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// How many requests a minute each key may send.
    #[arg(long, value_name = "COUNT")]
    pub(crate) requests_per_minute: Option<NonZeroU32>,
    /// How many tokens a minute each key may use.
    #[arg(long, value_name = "COUNT")]
    pub(crate) tokens_per_minute: Option<NonZeroU32>,
    /// How much of a minute may be used at once, such as `2s`. Default: all of it.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) burst: Option<Duration>,
    /// How many requests each key may have under way.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_inflight: Option<NonZeroU32>,
    /// The time until an answer begins, such as `200ms`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) latency: Option<Duration>,
    /// The time between two parts of a stream.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) chunk_interval: Option<Duration>,
    /// Do not say when to come back.
    #[arg(long)]
    pub(crate) no_hints: bool,
    /// Do not state limits in headers.
    #[arg(long)]
    pub(crate) no_quota_headers: bool,
    /// A key that works; others do not, then. Give one for each.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,
    /// A key that was revoked; only those that are named work, then. Give one for each.
    #[arg(long, value_name = "KEY")]
    pub(crate) revoked: Vec<String>,
}

fn pool_settings(text: &str) -> Result<Settings, String> {
    serde_json::from_str(text).map_err(|problem| problem.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::try_from(text.to_owned()).map_err(|problem| problem.replace('\n', ": "))
}

#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// Put the hook into an agent's settings.
    Install {
        /// claude, codex, copilot, cursor, gemini or kimi.
        #[arg(value_parser = agent)]
        agent: Agent,
    },
    /// Take the hook out of an agent's settings.
    Uninstall {
        /// claude, codex, copilot, cursor, gemini or kimi.
        #[arg(value_parser = agent)]
        agent: Agent,
    },
    /// Say whether the hook is in an agent's settings, or in those of all.
    Status {
        /// claude, codex, copilot, cursor, gemini or kimi.
        #[arg(value_parser = agent)]
        agent: Option<Agent>,
    },
}

fn agent(name: &str) -> Result<Agent, String> {
    Agent::from_name(name).ok_or_else(|| {
        let known = Agent::ALL.map(Agent::name);
        format!("known agents are {}", known.join(", "))
    })
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

#[derive(Debug, Subcommand)]
pub(crate) enum IntegrationCommand {
    /// Print what a person would write into the settings of an agent.
    Print {
        /// claude-code, codex, copilot, gemini or kimi.
        #[arg(value_parser = client)]
        client: Client,
        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Edit the settings of an agent so that it uses the gateway. The old file is kept beside it.
    Apply {
        #[command(flatten)]
        file: ClientArgs,
        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Put the settings of an agent back to what they were.
    Revert {
        #[command(flatten)]
        file: ClientArgs,
    },
}

/// The settings of an agent.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClientArgs {
    /// claude-code, codex, gemini or kimi.
    #[arg(value_parser = client)]
    pub(crate) client: Client,
    /// The settings file. Default: where the agent keeps it.
    #[arg(long, value_name = "FILE")]
    pub(crate) target: Option<PathBuf>,
    /// Show what would change, and touch nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The gateway that agents are pointed at.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GatewayArgs {
    /// Where the gateway is. Default: what the configuration says.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// The model that agents ask for.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The model that agents ask for in small tasks.
    #[arg(long, value_name = "NAME")]
    pub(crate) fast_model: Option<String>,
    /// Leave the models as the agent has them.
    #[arg(long, conflicts_with_all = ["model", "fast_model"])]
    pub(crate) keep_models: bool,
    /// A file with the key that the gateway asks for; `/dev/stdin` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

fn client(name: &str) -> Result<Client, String> {
    Client::from_name(name).ok_or_else(|| {
        let known = Client::ALL.map(Client::name);
        format!("known agents are {}", known.join(", "))
    })
}
