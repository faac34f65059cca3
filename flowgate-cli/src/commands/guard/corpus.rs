//! `flowgate guard test`: a corpus of commands, or the examples in packs of one's own.

use std::path::{Path, PathBuf};

use flowgate_core::guard::Decision;
use flowgate_core::guard::pack::check_user_packs;
use flowgate_core::runtime;
use serde::Deserialize;
use serde_json::json;

use super::{Seat, text_of};
use crate::args::Place;
use crate::output::{Exit, Failure, Output, Result, STRONG};

/// A line of a corpus.
#[derive(Deserialize)]
struct Row {
    command: String,
    expect: Decision,
}

pub(super) fn test(place: &Place, corpus: &Path, output: &mut Output) -> Result {
    let seat = Seat::of(place)?;
    let text = if corpus == Path::new("-") {
        text_of(Vec::new())?
    } else {
        let bytes = runtime::read_document(corpus)?;
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (mut stop, mut stopped, mut run, mut ran) = (0, 0, 0, 0);
    let mut misses = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let row: Row = serde_json::from_str(line).map_err(|error| {
            Failure::Usage(
                "cli.bad_line",
                format!("{}:{}: {error}", corpus.display(), index + 1),
                "a line is {\"command\": \"…\", \"expect\": \"allow\" or \"deny\"}".to_owned(),
            )
        })?;
        let verdict = seat.guard.check(&row.command, &seat.context);
        let right = verdict.decision.runs() == row.expect.runs();
        let (all, good) = if row.expect.runs() {
            (&mut run, &mut ran)
        } else {
            (&mut stop, &mut stopped)
        };
        *all += 1;
        *good += usize::from(right);
        if !right {
            misses.push(json!({
                "line": index + 1,
                "command": row.command,
                "expect": row.expect,
                "decision": verdict.decision,
                "rule": verdict.rule,
            }));
        }
    }
    if output.is_json() {
        output.json(&json!({
            "to_stop": stop, "stopped": stopped, "to_run": run, "stopped_wrongly": run - ran, "misses": misses,
        }))?;
    } else {
        for miss in &misses {
            output.text(format_args!(
                "{STRONG}{}:{}{STRONG:#}: expected {}, got {}{}\n  {}\n",
                corpus.display(),
                miss["line"],
                miss["expect"].as_str().unwrap_or_default(),
                miss["decision"].as_str().unwrap_or_default(),
                miss["rule"]
                    .as_str()
                    .map(|rule| format!(" by {rule}"))
                    .unwrap_or_default(),
                miss["command"].as_str().unwrap_or_default().escape_debug(),
            ))?;
        }
        output.text(format_args!(
            "recall {} ({stopped} of {stop}), false positives {} ({} of {run})\n",
            percent(stopped, stop),
            percent(run - ran, run),
            run - ran
        ))?;
    }
    Ok(if misses.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of lines are small")]
    let share = part as f64 * 100.0 / whole as f64;
    format!("{share:.1} %")
}

pub(super) fn test_packs(files: &[PathBuf], output: &mut Output) -> Result {
    let mut texts = Vec::new();
    for file in files {
        let bytes = runtime::read_document(file)?;
        texts.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    let wrong = check_user_packs(texts.iter().map(String::as_str)).map_err(|error| {
        let names: Vec<String> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        Failure::Usage(
            error.code(),
            format!("{}: {error}", names.join(", ")),
            "docs/packs.md describes the format".to_owned(),
        )
    })?;
    if output.is_json() {
        output.json(&json!({ "wrong": wrong }))?;
    } else if wrong.is_empty() {
        output.text(format_args!("every example comes out as written\n"))?;
    } else {
        for line in &wrong {
            output.text(format_args!("{line}\n"))?;
        }
    }
    Ok(if wrong.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}
