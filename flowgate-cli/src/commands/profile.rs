//! `flowgate profile …`.

use std::path::Path;

use flowgate_core::config::Config;
use flowgate_core::event::{Event, Level};
use flowgate_core::profile::{Change, ChangeKind, ExplainedLine, merge_documents};
use flowgate_core::redact::{redact_at, redact_document};
use flowgate_core::yaml::{self, Node, to_yaml};
use flowgate_core::{config, diagnostic::Diagnostic, runtime};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{now, record};
use crate::jsonl::answer_lines;
use crate::output::{ADDED, DIM, Exit, Output, REMOVED, Result, STRONG, WARN};
use crate::visible;

pub(crate) fn list(file: &Path, output: &mut Output) -> Result {
    let config = runtime::resolve(&runtime::load(file)?)?;
    let active = runtime::active_profile(&config)?.map(|state| state.current_profile);
    let names: Vec<&str> = config.profile_names().collect();
    note_state(&config, active.as_deref(), &names, output);
    if output.is_json() {
        output.json(&json!({ "profiles": names, "active": active }))?;
        return Ok(Exit::Done);
    }
    for name in names {
        let is_active = active.as_deref() == Some(name);
        let name = visible::one_line(name);
        if is_active {
            output.text(format_args!("{STRONG}* {name}{STRONG:#}\n"))?;
        } else {
            output.text(format_args!("  {name}\n"))?;
        }
    }
    Ok(Exit::Done)
}

/// Says what is wrong with what is remembered of the active profile.
fn note_state(config: &Config, active: Option<&str>, names: &[&str], output: &mut Output) {
    let file = config.settings().paths.state_file();
    let problem = match active {
        Some(active) if !names.contains(&active) => {
            format!("the active profile `{active}` is no longer in the configuration")
        }
        None if Path::new(&file).exists() => format!("`{file}` does not say which is active"),
        _ => return,
    };
    output.note(format_args!(
        "{WARN}note{WARN:#}: {}; `flowgate profile set` makes one active\n",
        visible::one_line(&problem)
    ));
}

pub(crate) fn show(file: &Path, name: &str, explain: bool, output: &mut Output) -> Result {
    let config = runtime::load(file)?;
    let profile = config.profile(name)?;
    let warnings = profile.diagnostics();
    if output.is_json() {
        let mut shown = Shown {
            profile: name,
            document: redact_document(&profile.document()),
            origins: None,
            warnings,
        };
        shown.origins = explain.then(|| json!(profile.origins()));
        output.json(&shown)?;
        return Ok(Exit::Done);
    }
    if !warnings.is_empty() {
        output.diagnostics(warnings);
    }
    let mut lines = profile.explain();
    for line in &mut lines {
        line.text = visible::one_line(&line.text).into_owned();
    }
    let width = lines
        .iter()
        .map(|line| line.text.chars().count())
        .max()
        .unwrap_or(0)
        .min(60);
    for line in &lines {
        let explanation = if explain { explanation(line) } else { None };
        match explanation {
            Some(text) => {
                output.text(format_args!("{:width$}  {DIM}# {text}{DIM:#}\n", line.text))?;
            }
            None => output.text(format_args!("{}\n", line.text))?,
        }
    }
    Ok(Exit::Done)
}

/// The answer of `profile show`.
#[derive(Serialize)]
struct Shown<'a> {
    profile: &'a str,
    document: Node,
    #[serde(skip_serializing_if = "Option::is_none")]
    origins: Option<serde_json::Value>,
    warnings: &'a [Diagnostic],
}

fn explanation(line: &ExplainedLine) -> Option<String> {
    let origin = line.origin.as_ref()?;
    let file = origin.file.as_deref().unwrap_or("the text");
    let text = format!("{}, {file}:{}", origin.layer, origin.span.line);
    Some(visible::one_line(&text).into_owned())
}

pub(crate) fn diff(file: &Path, from: &str, to: &str, output: &mut Output) -> Result {
    let config = runtime::load(file)?;
    let mut changes = config.profile(from)?.diff(&config.profile(to)?);
    for change in &mut changes {
        change.before = change
            .before
            .as_ref()
            .map(|node| redact_at(&change.path, node));
        change.after = change
            .after
            .as_ref()
            .map(|node| redact_at(&change.path, node));
    }
    if output.is_json() {
        output.json(&changes)?;
        return Ok(Exit::Done);
    }
    for change in &changes {
        print_change(change, output)?;
    }
    if changes.is_empty() {
        output.text(format_args!(
            "`{}` and `{}` are the same\n",
            visible::one_line(from),
            visible::one_line(to)
        ))?;
    }
    Ok(Exit::Done)
}

fn print_change(change: &Change, output: &mut Output) -> Result<()> {
    let shown = |node: &Option<Node>| {
        let text = to_yaml(node.as_ref().unwrap_or(&Node::default()));
        visible::lines(text.trim_end()).into_owned()
    };
    let path = visible::one_line(&change.path);
    if change.kind != ChangeKind::Added {
        output.text(format_args!(
            "{REMOVED}- {path}: {}{REMOVED:#}\n",
            shown(&change.before)
        ))?;
    }
    if change.kind != ChangeKind::Removed {
        output.text(format_args!(
            "{ADDED}+ {path}: {}{ADDED:#}\n",
            shown(&change.after)
        ))?;
    }
    Ok(())
}

pub(crate) fn set(file: &Path, name: &str, output: &mut Output) -> Result {
    let switched = || Event::new("profile.switched", Level::Info, name);
    if let Some(answer) = super::supervise::change(file, Some(name), false)? {
        let done = format!("profile {} is active", visible::one_line(name));
        let exit = super::supervise::outcome(&answer, &done, output)?;
        if exit == Exit::Done {
            let config = runtime::resolve(&runtime::load(file)?)?;
            record(&config, switched(), output);
        }
        return Ok(exit);
    }
    let config = runtime::resolve(&runtime::load(file)?)?;
    let activation = runtime::activate(&config, name, now())?;
    if activation.changed {
        record(&config, switched(), output);
    }
    let name = visible::one_line(name);
    if output.is_json() {
        output.json(&json!({
            "profile": activation.profile,
            "active_config": activation.active_config,
            "state_file": activation.state_file,
            "changed": activation.changed,
        }))?;
    } else if activation.changed {
        output.text(format_args!(
            "profile {STRONG}{name}{STRONG:#} is active\n  active config  {}\n  state          {}\n",
            visible::one_line(&activation.active_config.to_string_lossy()),
            visible::one_line(&activation.state_file.to_string_lossy())
        ))?;
    } else {
        output.text(format_args!(
            "profile {STRONG}{name}{STRONG:#} is active already\n"
        ))?;
    }
    Ok(Exit::Done)
}

/// A line of `profile merge --jsonl`.
#[derive(Deserialize)]
struct MergeLine {
    base: Node,
    overlay: Node,
}

/// The answer of `profile merge`.
#[derive(Serialize)]
struct Merge {
    merged: Node,
    warnings: Vec<Diagnostic>,
}

pub(crate) fn merge(base: &Path, overlay: &Path, output: &mut Output) -> Result {
    let (base, overlay) = (document(base)?, document(overlay)?);
    let (merged, warnings) = merge_documents(&base, &overlay);
    if output.is_json() {
        output.json(&Merge { merged, warnings })?;
        return Ok(Exit::Done);
    }
    if !warnings.is_empty() {
        output.diagnostics(&warnings);
    }
    output.text(format_args!("{}", visible::lines(&to_yaml(&merged))))?;
    Ok(Exit::Done)
}

fn document(path: &Path) -> Result<Node> {
    let file = path.to_string_lossy();
    let bytes = runtime::read_document(path)?;
    let text = Config::text(&file, &bytes)?;
    let read = yaml::parse(text)
        .map_err(|diagnostics| config::Error::Invalid { diagnostics }.in_file(&file))?;
    Ok(read.0.unwrap_or_default())
}

pub(crate) fn merge_lines() -> Result {
    answer_lines(|line: MergeLine| {
        let (merged, warnings) = merge_documents(&line.base, &line.overlay);
        Ok(Merge { merged, warnings })
    })
}
