//! `flowgate auth`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use flowgate_core::auth::{Error, Format, Outcome, Prompt, Provider, Timing, providers};
use flowgate_core::config::Config;
use flowgate_core::event::{Event, Level};
use flowgate_core::runtime::{self, CredentialStore, StoredFile};
use flowgate_core::{Timestamp, auth};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{now, record};
use crate::output::{DIM, Exit, Failure, Output, Result, STRONG, WARN};
use crate::visible::one_line;

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// List the providers one can sign in at, or whose credentials can be taken over.
    List,
    /// Show the credentials that are stored: whose they are and how long they last, never the
    /// secret. Exit code 1 if one has ended and cannot be renewed.
    Status {
        /// Only this provider's.
        provider: Option<String>,
    },
    /// Sign in at a provider: open a page, and wait until it is done.
    Login {
        /// The provider; `flowgate auth list` shows them.
        provider: String,
        /// How long to wait, in seconds.
        #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = seconds)]
        timeout: u64,
        /// How long to wait between two questions, in seconds.
        #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
        poll_interval: u64,
        /// Do not open a browser, only print the address.
        #[arg(long)]
        no_browser: bool,
        /// A file with the management key; `/dev/stdin` is standard input. Default: the credential
        /// of `auth.management_key`.
        #[arg(long, value_name = "FILE")]
        management_key_file: Option<PathBuf>,
    },
    /// Delete the stored credentials of a provider.
    Logout {
        /// The provider.
        provider: String,
        /// Only those of this account.
        #[arg(long)]
        account: Option<String>,
    },
    /// Take over the credentials of another program: codex, copilot or kiro.
    ImportHeadless {
        /// The provider.
        provider: String,
        /// The file to read. Default: where that program keeps it.
        #[arg(long, value_name = "FILE")]
        source: Option<PathBuf>,
        /// The directory to write to. Default: that of the configuration.
        #[arg(long, value_name = "DIR")]
        dest_dir: Option<PathBuf>,
    },
}

/// Seconds, whole or not, as milliseconds.
fn seconds(text: &str) -> std::result::Result<u64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok((seconds * 1000.0) as u64),
        _ => Err("expected seconds, from 0 to 86400".to_owned()),
    }
}

pub(crate) fn run(
    command: AuthCommand,
    config: impl Fn() -> Result<PathBuf>,
    output: &mut Output,
) -> Result {
    let config = runtime::resolve(&runtime::load(&config()?)?)?;
    // The key may come from a program, which only runs where it is needed.
    let store = || CredentialStore::open(&config);
    let providers = providers(config.settings());
    match command {
        AuthCommand::List => list(&providers, output),
        AuthCommand::Status { provider } => status(&store()?, provider.as_deref(), output),
        AuthCommand::Login {
            provider,
            timeout,
            poll_interval,
            no_browser,
            management_key_file,
        } => {
            let provider = Provider::find(&providers, &provider).map_err(usage)?;
            let key = management_key(&config, provider, management_key_file.as_deref())?;
            let timing = Timing {
                timeout,
                interval: poll_interval,
            };
            login(
                &config,
                provider,
                timing,
                key,
                !no_browser,
                &store()?,
                output,
            )
        }
        AuthCommand::Logout { provider, account } => {
            logout(&config, &store()?, &provider, account.as_deref(), output)
        }
        AuthCommand::ImportHeadless {
            provider,
            source,
            dest_dir,
        } => {
            let provider = Provider::find(&providers, &provider).map_err(usage)?;
            let store = match dest_dir {
                Some(dir) => CredentialStore::at(&dir),
                None => store()?,
            };
            import(&config, &providers, provider, source, &store, output)
        }
    }
}

fn usage(error: Error) -> Failure {
    Failure::Usage(error.code(), error.to_string(), String::new())
}

fn list(providers: &[Provider], output: &mut Output) -> Result {
    if output.is_json() {
        let shown = providers.iter().map(|provider| {
            let flow = provider.flow();
            json!({
                "name": provider.name,
                "sign_in": flow.is_ok(),
                "why_not": flow.as_ref().err().map(ToString::to_string),
                "auth_url_endpoint": flow.as_ref().ok().map(|flow| flow.auth_endpoint()),
                "status_endpoint": flow.as_ref().ok().map(|flow| flow.status_endpoint()),
                "import": provider.import,
            })
        });
        output.json(&shown.collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    for provider in providers {
        let sign_in = match provider.flow() {
            Ok(flow) => format!("sign in at {}", flow.auth_endpoint()),
            Err(error) => error.to_string(),
        };
        let import = provider
            .import
            .map_or("", |_| "; credentials can be taken over");
        output.text(format_args!(
            "{STRONG}{:<12}{STRONG:#} {}{import}\n",
            one_line(&provider.name),
            one_line(&sign_in)
        ))?;
    }
    Ok(Exit::Done)
}

fn status(store: &CredentialStore, provider: Option<&str>, output: &mut Output) -> Result {
    let mut files = store.list()?;
    files.retain(|file| provider.is_none() || file.stored.provider.as_deref() == provider);
    let now = now();
    let ended = files.iter().any(|file| state(file, now) == State::Ended);
    let exit = if ended { Exit::No } else { Exit::Done };
    if output.is_json() {
        let shown = files.iter().map(|file| {
            let mut shown = json!(file);
            shown["state"] = json!(state(file, now).name());
            shown
        });
        let shown: Vec<Value> = shown.collect();
        output.json(&json!({ "dir": store.dir, "credentials": shown }))?;
        return Ok(exit);
    }
    let dir = store.dir.to_string_lossy();
    output.text(format_args!("{DIM}{}{DIM:#}\n", one_line(&dir)))?;
    if files.is_empty() {
        output.text(format_args!(
            "nobody is signed in; see `flowgate auth login --help`\n"
        ))?;
    }
    for file in &files {
        let stored = &file.stored;
        let name = stored.provider.as_deref().unwrap_or("?");
        let account = stored.account.as_deref().unwrap_or("account unknown");
        output.text(format_args!(
            "{STRONG}{:<12}{STRONG:#} {:<28} {}{}\n",
            one_line(name),
            one_line(account),
            expiry(file, now),
            if stored.sealed { ", sealed" } else { "" }
        ))?;
    }
    Ok(exit)
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Disabled,
    Ended,
    Good,
    Renewable,
    Unknown,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Ended => "ended",
            Self::Good => "good",
            Self::Renewable => "renewable",
            Self::Unknown => "unknown",
        }
    }
}

fn state(file: &StoredFile, now: Timestamp) -> State {
    let stored = &file.stored;
    match stored.expires {
        _ if stored.disabled => State::Disabled,
        None => State::Unknown,
        Some(moment) if moment > now => State::Good,
        Some(_) if stored.renewable => State::Renewable,
        Some(_) => State::Ended,
    }
}

fn expiry(file: &StoredFile, now: Timestamp) -> String {
    let moment = file.stored.expires.unwrap_or_default();
    let seconds = moment.abs_diff(now) / 1000;
    let far =
        std::time::Duration::from_secs(seconds - seconds % if seconds > 3600 { 3600 } else { 60 });
    let far = humantime::format_duration(far);
    match state(file, now) {
        State::Disabled => "disabled".to_owned(),
        State::Ended => format!("ended {far} ago: sign in again"),
        State::Good => format!("good for {far}"),
        State::Renewable => format!("ended {far} ago, is renewed when needed"),
        State::Unknown => "no end known".to_owned(),
    }
}

fn login(
    config: &Config,
    provider: &Provider,
    timing: Timing,
    key: Option<SecretString>,
    browser: bool,
    store: &CredentialStore,
    output: &mut Output,
) -> Result {
    // The address goes out the moment it is known, through a pipe as well.
    let mut failed = None;
    let show = |prompt: &Prompt| failed = self::show(provider, prompt, browser, output).err();
    let outcome = runtime::sign_in_blocking(provider, timing, key.as_ref(), show);
    let outcome = outcome?.map_err(usage)?;
    record(config, outcome.event(&provider.name), output);
    if let Some(failure) = failed {
        return Err(failure);
    }
    let mut saved = None;
    if let Outcome::Success {
        credentials: Some(credentials),
        ..
    } = &outcome
    {
        saved = Some(save(provider, credentials, store)?);
    }
    report(provider, &outcome, saved.as_deref(), output)
}

fn save(
    provider: &Provider,
    credentials: &serde_json::Map<String, Value>,
    store: &CredentialStore,
) -> Result<PathBuf> {
    let mut credentials = credentials.clone();
    credentials
        .entry("type")
        .or_insert_with(|| json!(provider.name));
    let content = SecretString::from(Value::Object(credentials).to_string());
    Ok(store.save(&auth::file_name(&provider.name), &content)?)
}

fn show(provider: &Provider, prompt: &Prompt, browser: bool, output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.line(&json!({ "event": "prompt", "provider": provider.name, "url": prompt.url, "user_code": prompt.user_code }));
    }
    output.text(format_args!(
        "to sign in at {}, open\n\n  {STRONG}{}{STRONG:#}\n\n",
        one_line(&provider.name),
        one_line(&prompt.url)
    ))?;
    if let Some(code) = &prompt.user_code {
        output.text(format_args!(
            "and type {STRONG}{}{STRONG:#}\n\n",
            one_line(code)
        ))?;
    }
    if std::io::stdout().is_terminal() {
        if browser && has_display() {
            // Whoever has no browser has the address.
            let _ = open::that_detached(&prompt.url);
        } else if let Ok(code) = qrcode::QrCode::new(&prompt.url) {
            let picture = code.render::<qrcode::render::unicode::Dense1x2>().build();
            output.text(format_args!("{picture}\n\n"))?;
        }
    }
    output.text(format_args!("{DIM}waiting; Ctrl-C stops{DIM:#}\n"))
}

/// Where there is no display, what opens addresses may take the terminal over.
fn has_display() -> bool {
    cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn report(
    provider: &Provider,
    outcome: &Outcome,
    saved: Option<&Path>,
    output: &mut Output,
) -> Result {
    let exit = match outcome {
        Outcome::Success { .. } => Exit::Done,
        Outcome::Cancelled => Exit::Interrupted,
        Outcome::Refused { .. } | Outcome::Unreachable { .. } => Exit::Environment,
        _ => Exit::No,
    };
    if output.is_json() {
        output.line(&json!({
            "event": "result",
            "provider": provider.name,
            "code": outcome.code(),
            "message": outcome.to_string(),
            "saved": saved,
        }))?;
        return Ok(exit);
    }
    if exit == Exit::Done {
        output.text(format_args!(
            "signed in at {STRONG}{}{STRONG:#}\n",
            one_line(&provider.name)
        ))?;
        if let Some(path) = saved {
            output.text(format_args!(
                "{DIM}saved as {}{DIM:#}\n",
                one_line(&path.to_string_lossy())
            ))?;
        }
    } else {
        output.error(&outcome.to_string(), "");
    }
    Ok(exit)
}

/// The key that the management API of CLIProxyAPI asks for.
fn management_key(
    config: &Config,
    provider: &Provider,
    file: Option<&Path>,
) -> Result<Option<SecretString>> {
    if let Some(file) = file {
        let bytes = runtime::read_document(file)?;
        let text = Config::text(&file.to_string_lossy(), &bytes)?;
        return Ok(Some(text.trim().to_owned().into()));
    }
    let settings = config.settings();
    match &settings.auth.management_key {
        Some(name) if provider.managed => Ok(Some(runtime::fetch_secret(config, name)?)),
        _ => Ok(None),
    }
}

fn logout(
    config: &Config,
    store: &CredentialStore,
    provider: &str,
    account: Option<&str>,
    output: &mut Output,
) -> Result {
    let removed = store.remove(provider, account)?;
    for path in &removed {
        let event = Event::new("auth.removed", Level::Info, provider);
        record(config, event.with("path", path.to_string_lossy()), output);
    }
    let exit = if removed.is_empty() {
        Exit::No
    } else {
        Exit::Done
    };
    if output.is_json() {
        output.json(&json!({ "removed": removed }))?;
        return Ok(exit);
    }
    for path in &removed {
        output.text(format_args!(
            "deleted {STRONG}{}{STRONG:#}\n",
            one_line(&path.to_string_lossy())
        ))?;
    }
    if removed.is_empty() {
        output.text(format_args!(
            "nothing is stored for {}\n",
            one_line(provider)
        ))?;
    }
    Ok(exit)
}

fn import(
    config: &Config,
    providers: &[Provider],
    provider: &Provider,
    source: Option<PathBuf>,
    store: &CredentialStore,
    output: &mut Output,
) -> Result {
    let Some(format) = provider.import else {
        let can = providers
            .iter()
            .filter(|provider| provider.import.is_some());
        return Err(usage(Error::NoImport {
            provider: provider.name.clone(),
            known: can.map(|provider| provider.name.clone()).collect(),
        }));
    };
    let source = source.map_or_else(|| usual_source(format), Ok)?;
    let (path, imported) = store.import(format, &source, now())?;
    let event = Event::new("auth.imported", Level::Info, provider.name.as_str());
    let event = event
        .with("path", path.to_string_lossy())
        .with("account", imported.account.clone());
    record(config, event, output);
    if output.is_json() {
        output.json(&json!({
            "provider": provider.name,
            "saved": path,
            "account": imported.account,
            "warnings": imported.warnings,
        }))?;
        return Ok(Exit::Done);
    }
    let account = imported.account.as_deref().unwrap_or("the account");
    output.text(format_args!(
        "took over the credentials of {}\n{DIM}saved as {}{DIM:#}\n",
        one_line(account),
        one_line(&path.to_string_lossy())
    ))?;
    for warning in &imported.warnings {
        output.note(format_args!("{WARN}note{WARN:#}: {}\n", one_line(warning)));
    }
    Ok(Exit::Done)
}

/// The first place that is there, or else the first.
fn usual_source(format: Format) -> Result<PathBuf> {
    let home = super::home()?;
    let places: Vec<PathBuf> = format
        .sources()
        .iter()
        .map(|source| home.join(source))
        .collect();
    let there = places
        .iter()
        .position(|place| place.exists())
        .unwrap_or_default();
    Ok(places[there].clone())
}
