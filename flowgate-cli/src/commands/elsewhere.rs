//! `flowgate up` and what belongs to it, where there is no way yet to hold a service's processes
//! together: everything but Linux.

use std::path::{Path, PathBuf};

use flowgate_core::config::Config;
use flowgate_core::health::Supervised;
use serde_json::Value;

use crate::args::ServiceCommand;
use crate::output::{Failure, Output, Result};

fn refused<T>() -> Result<T> {
    Err(Failure::Usage(
        "supervise.unsupported",
        format!(
            "services are supervised on Linux alone, and this is {}",
            std::env::consts::OS
        ),
        "run `flowgate` in a Linux container or in WSL 2; every other command works here"
            .to_owned(),
    ))
}

/// As on Linux.
#[expect(dead_code, reason = "nobody reads it")]
pub(crate) struct Up {
    pub(crate) detach: bool,
    pub(crate) no_attach: bool,
    pub(crate) names: Vec<String>,
}

pub(crate) fn up(_: Option<PathBuf>, _: Up, _: &mut Output) -> Result {
    refused()
}

pub(crate) fn down(_: &Path, _: bool, _: &mut Output) -> Result {
    refused()
}

pub(crate) fn status(_: &Path, _: &mut Output) -> Result {
    refused()
}

pub(crate) fn apply(_: &Path, _: bool, _: &mut Output) -> Result {
    refused()
}

pub(crate) fn service(_: &Path, _: ServiceCommand, _: &mut Output) -> Result {
    refused()
}

pub(crate) fn logs(_: &Path, _: bool, _: usize, _: &[String], _: &mut Output) -> Result {
    refused()
}

/// No supervisor runs here, so there is none that would have to be asked.
pub(super) fn change(_: &Path, _: Option<&str>, _: bool) -> Result<Option<Value>> {
    Ok(None)
}

pub(super) fn outcome(_: &Value, _: &str, _: &mut Output) -> Result {
    refused()
}

/// No supervisor runs here.
pub(super) fn supervised(_: &Config) -> Option<Vec<Supervised>> {
    None
}
