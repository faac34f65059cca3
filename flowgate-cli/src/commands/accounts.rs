//! `flowgate accounts …`.

mod replay;
mod simulate;
mod state;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flowgate_core::accounts::{self, Answer, Class, Classification, Rules, SCANNED, Transport};
use flowgate_core::runtime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::now;
use crate::args::{AccountsCommand, ClassifyArgs};
use crate::jsonl::answer_lines;
use crate::output::{DIM, Exit, Failure, Output, Result, STRONG};

pub(crate) fn run(
    command: &AccountsCommand,
    file: impl Fn() -> Result<PathBuf>,
    output: &mut Output,
) -> Result {
    match command {
        AccountsCommand::List => state::list(&file()?, output),
        AccountsCommand::Explain(args) => state::explain(&file()?, args, output),
        AccountsCommand::Classify { jsonl: true, .. } => classify_lines(),
        AccountsCommand::Classify { answer, .. } => classify(answer, output),
        AccountsCommand::Replay { jsonl: _ } => replay::lines(),
        AccountsCommand::Simulate(args) => simulate::simulate(args, output),
    }
}

/// Says what one answer means. Exit code: 0 the request was served, 1 it was not.
fn classify(args: &ClassifyArgs, output: &mut Output) -> Result {
    let body = args.body.as_deref().map(read).transpose()?;
    let answer = Answer {
        provider: &args.provider,
        status: args.status,
        headers: &args.header,
        body: body.as_deref().unwrap_or_default(),
        transport: args.transport,
    };
    let meaning = accounts::classify(&answer, now(), &Rules::default());
    if output.is_json() {
        output.json(&meaning)?;
    } else {
        print(&meaning, output)?;
    }
    Ok(match meaning.class {
        Class::Ok => Exit::Done,
        _ => Exit::No,
    })
}

fn print(meaning: &Classification, output: &mut Output) -> Result<()> {
    let wait = match meaning.cooldown_ms {
        None => "not stated".to_owned(),
        Some(wait) => format!("{wait} ms"),
    };
    output.text(format_args!(
        "{STRONG}{}{STRONG:#}\n{DIM}about {DIM:#} {}\n{DIM}action{DIM:#} {}\n{DIM}wait  {DIM:#} {wait}\n",
        word(meaning.class),
        word(meaning.scope),
        word(meaning.action),
    ))
}

/// The word that JSON has for it.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// The part of a body that is looked at.
fn read(file: &Path) -> Result<Vec<u8>> {
    if file != Path::new("-") {
        return Ok(runtime::read_document(file)?);
    }
    let mut body = Vec::new();
    let mut start = io::stdin().lock().take(SCANNED as u64);
    start.read_to_end(&mut body).map_err(|error| {
        Failure::Usage(
            "cli.bad_input",
            format!("cannot read the body: {error}"),
            "write it into standard input, or name a file".to_owned(),
        )
    })?;
    Ok(body)
}

/// A line of `accounts classify --jsonl`.
#[derive(Deserialize)]
struct ClassifyLine {
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    transport: Option<Transport>,
    #[serde(default)]
    now_ms: Option<u64>,
}

fn classify_lines() -> Result {
    answer_lines(|line: ClassifyLine| {
        let headers: Vec<(String, String)> = line
            .headers
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect();
        let body = plain(line.body);
        let answer = Answer {
            provider: line.provider.as_deref().unwrap_or_default(),
            status: line.status,
            headers: &headers,
            body: body.as_bytes(),
            transport: line.transport,
        };
        let now = line.now_ms.unwrap_or_else(now);
        Ok(accounts::classify(&answer, now, &Rules::default()))
    })
}

/// A text as it is, nothing for `null`, and anything else as the JSON that it is.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
