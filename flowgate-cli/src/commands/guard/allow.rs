//! `flowgate guard allow`: what only a person at a terminal may do.

use std::io::{self, IsTerminal};
use std::path::Path;

use flowgate_core::runtime::guard::{self as files, GuardFiles};

use super::super::now;
use crate::output::{DIM, Exit, Failure, Output, Result, STRONG};

fn user_files() -> GuardFiles {
    GuardFiles::of(Path::new(&std::env::var_os("HOME").unwrap_or_default()))
}

pub(super) fn allow(code: &str, output: &mut Output) -> Result {
    // The hook refuses these verbs to agents; a shell without a terminal is probably one.
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "cli.no_terminal",
            "only a person at a terminal can grant an exception".to_owned(),
            "run it in a terminal of your own".to_owned(),
        ));
    }
    let files = user_files();
    if code == "list" {
        let requests = files::requests(&files, now())?;
        if output.is_json() {
            output.json(&requests)?;
        } else if requests.is_empty() {
            output.text(format_args!("no command waits for you\n"))?;
        }
        let shown = if output.is_json() {
            &[]
        } else {
            requests.as_slice()
        };
        for request in shown {
            let minutes = request.expires.saturating_sub(now()) / 60_000;
            output.text(format_args!(
                "{STRONG}{}{STRONG:#}  {}\n           {DIM}in {}, for {minutes} more minutes{DIM:#}\n",
                request.code,
                request.command.escape_debug(),
                request.cwd
            ))?;
        }
        return Ok(Exit::Done);
    }
    match files::grant(&files, code, now())? {
        Some(grant) if output.is_json() => output.json(&grant)?,
        Some(grant) => output.text(format_args!(
            "may run once in {}, within ten minutes:\n  {}\n",
            grant.cwd,
            grant.command.escape_debug()
        ))?,
        None => {
            return Err(Failure::Usage(
                "guard.unknown_code",
                "no command waits under this code".to_owned(),
                "`flowgate guard allow list` shows those that do".to_owned(),
            ));
        }
    }
    Ok(Exit::Done)
}
