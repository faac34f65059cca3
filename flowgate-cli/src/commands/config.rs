//! `flowgate config …`.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flowgate_core::config::{Base, Config, JSON_SCHEMA, resolve_document, resolve_path};
use flowgate_core::diagnostic::Diagnostic;
use flowgate_core::redact::{redact_document, redact_text};
use flowgate_core::runtime;
use flowgate_core::yaml::{Node, to_yaml};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::now;
use crate::diff::unified;
use crate::jsonl::{answer_lines, problem};
use crate::output::{DIM, Exit, Output, Result, STRONG, counted};
use crate::visible;

/// The answer of `config check`.
#[derive(Serialize)]
struct Checked {
    ok: bool,
    normalized: Option<Node>,
    diagnostics: Vec<Diagnostic>,
}

pub(crate) fn check(file: &Path, output: &mut Output) -> Result {
    let (config, diagnostics) = match runtime::load(file) {
        Ok(config) => {
            let diagnostics = all_diagnostics(&config);
            (Some(config), diagnostics)
        }
        // A text that cannot be read as a document at all is bad input, not a "no".
        Err(runtime::Error::Config(error)) if error.diagnostics().iter().all(is_about_content) => {
            (None, error.diagnostics().to_vec())
        }
        Err(error) => return Err(error.into()),
    };
    let ok = config.is_some();
    if output.is_json() {
        let normalized = config.map(|config| redact_document(&config.normalized()));
        output.json(&Checked {
            ok,
            normalized,
            diagnostics,
        })?;
    } else {
        if !diagnostics.is_empty() {
            output.diagnostics(&diagnostics);
        }
        if let Some(config) = &config {
            summarize(file, config, output)?;
        }
    }
    Ok(if ok { Exit::Done } else { Exit::No })
}

fn all_diagnostics(config: &Config) -> Vec<Diagnostic> {
    let mut diagnostics = config.diagnostics().to_vec();
    diagnostics.extend(config.profile_diagnostics());
    diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    diagnostics
}

fn is_about_content(diagnostic: &Diagnostic) -> bool {
    const UNREADABLE: [&str; 8] = [
        "config.not_utf8",
        "config.empty",
        "yaml.syntax",
        "yaml.too_large",
        "yaml.too_deep",
        "yaml.too_many_values",
        "yaml.many_documents",
        "yaml.recursive_alias",
    ];
    !UNREADABLE.contains(&diagnostic.code)
}

fn summarize(file: &Path, config: &Config, output: &mut Output) -> Result<()> {
    let settings = config.settings();
    let parts = [
        (settings.services.len(), "service"),
        (settings.profiles.len(), "profile"),
        (settings.credentials.upstream.len(), "credential"),
    ];
    let parts = parts.map(|(n, what)| counted(n, what));
    output.text(format_args!(
        "{STRONG}{}{STRONG:#} is right: {}\n",
        visible::one_line(&file.to_string_lossy()),
        parts.join(", ")
    ))
}

pub(crate) fn show(file: &Path, output: &mut Output) -> Result {
    print(&runtime::load(file)?, output)
}

pub(crate) fn resolve(file: &Path, output: &mut Output) -> Result {
    print(&runtime::resolve(&runtime::load(file)?)?, output)
}

fn print(config: &Config, output: &mut Output) -> Result {
    let document = redact_document(config.document());
    if output.is_json() {
        output.json(&document)?;
    } else {
        output.text(format_args!("{}", visible::lines(&to_yaml(&document))))?;
    }
    Ok(Exit::Done)
}

pub(crate) fn migrate(file: &Path, dry_run: bool, output: &mut Output) -> Result {
    let migrated = runtime::migrate_file(file, dry_run, now())?;
    let changes = &migrated.migration.changes;
    let diff = || {
        unified(
            &redact_text(&migrated.before),
            &redact_text(&migrated.migration.text),
        )
    };
    if output.is_json() {
        output.json(&json!({
            "changed": !changes.is_empty() && !dry_run,
            "changes": changes,
            "backup": migrated.backup,
            "diff": anstream::adapter::strip_str(&diff()).to_string(),
            "remaining": migrated.migration.remaining,
        }))?;
        return Ok(Exit::Done);
    }
    if changes.is_empty() {
        output.text(format_args!(
            "{STRONG}{}{STRONG:#} is version 2 already\n",
            visible::one_line(&file.to_string_lossy())
        ))?;
    } else if dry_run {
        output.text(format_args!("{}", diff()))?;
    } else {
        output.text(format_args!(
            "{STRONG}{}{STRONG:#} is version 2 now\n",
            visible::one_line(&file.to_string_lossy())
        ))?;
        for change in changes {
            output.text(format_args!("  {}\n", visible::one_line(change)))?;
        }
        if let Some(backup) = &migrated.backup {
            output.text(format_args!(
                "{DIM}the old file is kept as {}{DIM:#}\n",
                visible::one_line(&backup.to_string_lossy())
            ))?;
        }
    }
    let errors = migrated
        .migration
        .remaining
        .iter()
        .filter(|problem| problem.is_error())
        .count();
    if errors > 0 {
        let what = if errors == 1 {
            "problem is"
        } else {
            "problems are"
        };
        output.text(format_args!(
            "{errors} {what} left: see `flowgate config check`\n"
        ))?;
    }
    Ok(Exit::Done)
}

pub(crate) fn schema(output: &mut Output) -> Result {
    output.text(format_args!("{JSON_SCHEMA}"))?;
    Ok(Exit::Done)
}

/// A line of `config check --jsonl`.
#[derive(Deserialize)]
struct CheckLine {
    yaml: Option<String>,
    yaml_b64: Option<String>,
    #[serde(default)]
    config_path: String,
}

pub(crate) fn check_lines() -> Result {
    answer_lines(|line: CheckLine| {
        let bytes = match (line.yaml, line.yaml_b64) {
            (Some(yaml), None) => yaml.into_bytes(),
            (None, Some(encoded)) => BASE64_STANDARD.decode(encoded).map_err(|error| {
                problem(
                    "cli.bad_line",
                    &format!("`yaml_b64` is not base64: {error}"),
                )
            })?,
            _ => {
                return Err(problem(
                    "cli.bad_line",
                    "a line has either `yaml` or `yaml_b64`",
                ));
            }
        };
        Ok(match Config::from_file(&line.config_path, &bytes) {
            Ok(config) => Checked {
                ok: true,
                normalized: Some(config.normalized()),
                diagnostics: all_diagnostics(&config),
            },
            Err(error) => Checked {
                ok: false,
                normalized: None,
                diagnostics: error.diagnostics().to_vec(),
            },
        })
    })
}

/// A line of `config resolve --jsonl`: a document, or one path.
#[derive(Deserialize)]
struct ResolveLine {
    config_path: String,
    home: Option<String>,
    config: Option<Node>,
    input: Option<String>,
}

/// The answer to a [`ResolveLine`].
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Resolved {
    Output(String),
    Resolved(Node),
}

pub(crate) fn resolve_lines() -> Result {
    answer_lines(|line: ResolveLine| {
        let (dir, _) = line.config_path.rsplit_once('/').unwrap_or((".", ""));
        let base = Base {
            dir,
            home: line.home.as_deref(),
        };
        match (line.config, line.input) {
            (Some(mut document), None) => match resolve_document(&mut document, &base) {
                Ok(()) => Ok(Resolved::Resolved(document)),
                Err(problems) => Err(json!({
                    "code": "config.invalid",
                    "message": problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
                    "diagnostics": problems,
                })),
            },
            (None, Some(input)) => resolve_path(&input, &base)
                .map(Resolved::Output)
                .map_err(|error| problem(error.code(), &error.to_string())),
            _ => Err(problem(
                "cli.bad_line",
                "a line has either `config` or `input`",
            )),
        }
    })
}
