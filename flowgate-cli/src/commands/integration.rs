//! `flowgate integration`.

use std::path::PathBuf;

use flowgate_core::clients::{Change, Client, Gateway, redacted, snippet};
use flowgate_core::event::{Event, Level};
use flowgate_core::runtime::{
    self, ClientFile, apply_client, client_file, read_document, revert_client,
};
use serde_json::json;

use super::{now, record};
use crate::args::{ClientArgs, GatewayArgs, IntegrationCommand};
use crate::diff::unified;
use crate::output::{DIM, Exit, Failure, Output, Result, STRONG, WARN};
use crate::visible;

pub(crate) fn run(
    command: IntegrationCommand,
    config: impl Fn() -> Result<PathBuf>,
    output: &mut Output,
) -> Result {
    match command {
        IntegrationCommand::Print { client, gateway } => {
            print(client, &gateway_of(&gateway, &config)?, output)
        }
        IntegrationCommand::Apply { file, gateway } => {
            let path = target(&file)?;
            let gateway = gateway_of(&gateway, &config)?;
            let done = apply_client(file.client, &path, &gateway, file.dry_run, now())?;
            note("client.applied", &done, file.client, &config, output);
            report(
                file.client,
                &done,
                file.dry_run,
                "uses the gateway already",
                output,
            )
        }
        IntegrationCommand::Revert { file } => {
            let done = revert_client(file.client, &target(&file)?, file.dry_run)?;
            note("client.reverted", &done, file.client, &config, output);
            report(
                file.client,
                &done,
                file.dry_run,
                "has nothing of ours to take back",
                output,
            )
        }
    }
}

/// Notes a change in the event log of the configuration, if there is one.
fn note(
    event: &'static str,
    done: &ClientFile,
    client: Client,
    config: &impl Fn() -> Result<PathBuf>,
    output: &mut Output,
) {
    let file = config().ok().filter(|_| done.written);
    let read = file.and_then(|file| runtime::load(&file).ok());
    if let Some(config) = read.and_then(|config| runtime::resolve(&config).ok()) {
        let keys: Vec<&str> = done
            .edit
            .changes
            .iter()
            .map(|change| change.key.as_str())
            .collect();
        let event = Event::new(event, Level::Info, client.name());
        let event = event
            .with("path", done.path.to_string_lossy())
            .with("keys", keys);
        record(&config, event, output);
    }
}

fn print(client: Client, gateway: &Gateway, output: &mut Output) -> Result {
    let snippet = snippet(client, gateway);
    if output.is_json() {
        output.json(
            &json!({ "client": client, "base_url": gateway.base_url(), "snippet": snippet }),
        )?;
    } else {
        output.text(format_args!("{snippet}"))?;
    }
    Ok(Exit::Done)
}

fn report(
    client: Client,
    done: &ClientFile,
    dry_run: bool,
    nothing: &str,
    output: &mut Output,
) -> Result {
    let edit = &done.edit;
    let diff = || {
        unified(
            &redacted(client, &done.before),
            &redacted(client, &edit.text),
        )
    };
    if output.is_json() {
        output.json(&json!({
            "client": client,
            "path": done.path,
            "written": done.written,
            "backup": done.backup,
            "changes": edit.changes,
            "warnings": edit.warnings,
            "diff": dry_run.then(|| anstream::adapter::strip_str(&diff()).to_string()),
        }))?;
        return Ok(Exit::Done);
    }
    let path = done.path.to_string_lossy();
    let path = visible::one_line(&path);
    if edit.changes.is_empty() {
        output.text(format_args!("{STRONG}{path}{STRONG:#} {nothing}\n"))?;
    } else if dry_run {
        output.text(format_args!("{}", diff()))?;
    } else {
        output.text(format_args!("wrote {STRONG}{path}{STRONG:#}\n"))?;
        for change in &edit.changes {
            output.text(format_args!("  {}\n", visible::one_line(&line(change))))?;
        }
        if let Some(backup) = done.backup.as_ref().filter(|backup| backup.exists()) {
            let backup = backup.to_string_lossy();
            output.text(format_args!(
                "{DIM}as it was before: {}{DIM:#}\n",
                visible::one_line(&backup)
            ))?;
        }
    }
    for warning in &edit.warnings {
        let message = visible::one_line(&warning.message).into_owned();
        output.note(format_args!("{WARN}note{WARN:#}: {message}\n"));
    }
    Ok(Exit::Done)
}

fn line(change: &Change) -> String {
    match (&change.before, &change.after) {
        (None, Some(after)) => format!("{} = {after}", change.key),
        (Some(before), Some(after)) => format!("{} = {after} (was {before})", change.key),
        (Some(before), None) => format!("{} is gone (was {before})", change.key),
        (None, None) => change.key.clone(),
    }
}

/// The settings file that is meant.
fn target(file: &ClientArgs) -> Result<PathBuf> {
    if let Some(target) = &file.target {
        return Ok(target.clone());
    }
    let home = super::home()?;
    Ok(client_file(file.client, &home, |name| {
        std::env::var_os(name)
    })?)
}

fn gateway_of(args: &GatewayArgs, config: &impl Fn() -> Result<PathBuf>) -> Result<Gateway> {
    let mut gateway = match &args.base_url {
        Some(url) => Gateway::new(url, args.model.as_deref(), args.fast_model.as_deref()),
        None => {
            let config = runtime::load(&config()?)?;
            Gateway::from_settings(config.settings()).map(|gateway| {
                gateway.with_models(args.model.as_deref(), args.fast_model.as_deref())
            })
        }
    }
    .map_err(|error| Failure::Usage(error.code(), error.to_string(), String::new()))?;
    if args.keep_models {
        gateway = gateway.without_models();
    }
    if let Some(file) = &args.token_file {
        let bytes = read_document(file)?;
        let token = String::from_utf8(bytes).map_err(|_| {
            Failure::Usage(
                "cli.bad_token",
                format!("`{}` is not text", file.display()),
                "a token file holds the token and nothing else".to_owned(),
            )
        })?;
        gateway = gateway.with_token(token.into());
    }
    Ok(gateway)
}
