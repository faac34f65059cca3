//! `flowgate guard packs`.

use std::path::Path;

use flowgate_core::guard::PackInfo;
use flowgate_core::runtime::guard::{self as files, GuardFiles};

use super::here;
use crate::output::{DIM, Exit, Output, Result, STRONG, counted};

pub(super) fn packs(filter: Option<&str>, rules: bool, output: &mut Output) -> Result {
    let home = std::env::var("HOME").unwrap_or_default();
    let guard = files::governed(&GuardFiles::of(Path::new(&home)), Path::new(&here()))?.guard;
    let mut packs = guard.packs();
    if let Some(filter) = filter {
        let filter = filter.to_lowercase();
        packs.retain(|pack| has(pack, &filter));
    }
    if output.is_json() {
        output.json(&packs)?;
    } else {
        let width = packs.iter().map(|pack| pack.id.len()).max().unwrap_or(0);
        for pack in &packs {
            output.text(format_args!(
                "{STRONG}{:width$}{STRONG:#}  {:3} rules  {}\n",
                pack.id,
                pack.rules.len(),
                pack.description
            ))?;
            for rule in pack.rules.iter().filter(|_| rules) {
                output.text(format_args!(
                    "  {} {DIM}({}, {:?}){DIM:#}\n      {}\n",
                    rule.id,
                    rule.decision.name(),
                    rule.severity,
                    rule.reason
                ))?;
                if let Some(suggestion) = &rule.suggestion {
                    output.text(format_args!("      {DIM}instead: {suggestion}{DIM:#}\n"))?;
                }
                for example in &rule.deny {
                    output.text(format_args!(
                        "      {DIM}e.g. {}{DIM:#}\n",
                        example.escape_debug()
                    ))?;
                }
            }
        }
        let count: usize = packs.iter().map(|pack| pack.rules.len()).sum();
        output.text(format_args!(
            "{}, {}\n",
            counted(packs.len(), "pack"),
            counted(count, "rule")
        ))?;
    }
    Ok(if packs.is_empty() {
        Exit::No
    } else {
        Exit::Done
    })
}

fn has(pack: &PackInfo, filter: &str) -> bool {
    let rules = pack.rules.iter().map(|rule| rule.id.as_str());
    [pack.id.as_str(), &pack.name, &pack.description]
        .into_iter()
        .chain(rules)
        .any(|text| text.to_lowercase().contains(filter))
}
