//! The configuration of who has none: something to look at, without a key or a download.

use std::env;
use std::path::Path;

use flowgate_core::config::QUICKSTART;

use crate::output::{Failure, Result};

/// Where it is kept while nobody has made it their own.
pub(super) const FILE: &str = ".router/runtime/quickstart.yaml";

/// Writes it where the commands find it, and returns the place.
#[cfg(target_os = "linux")]
pub(super) fn place() -> Result<std::path::PathBuf> {
    use flowgate_core::runtime::{Access, Planned, write_all};
    let path = std::path::PathBuf::from(FILE);
    // It stands in the directory that it calls `.router/runtime`.
    let content = text()?.replace("runtime_dir: .router/runtime", "runtime_dir: .");
    let note = format!(
        "# Written by `flowgate up`, which found no configuration here. Changes are lost: make it your\n# own with `flowgate init --quickstart`.\n{content}"
    );
    if std::fs::read_to_string(&path).is_ok_and(|found| found == note) {
        return Ok(path);
    }
    write_all(&[Planned {
        path: path.clone(),
        content: note,
        access: Access::Keep,
    }])?;
    Ok(path)
}

/// The text, with the program that runs now: it need not be on the path.
pub(super) fn text() -> Result<String> {
    let this = env::current_exe().map_err(|error| {
        Failure::Environment("cli.no_program", error.to_string(), String::new())
    })?;
    if is_on_path(&this) {
        return Ok(QUICKSTART.to_owned());
    }
    let program = serde_json::to_string(&this.to_string_lossy()).unwrap_or_default();
    Ok(QUICKSTART.replace("[flowgate, dev,", &format!("[{program}, dev,")))
}

fn is_on_path(program: &Path) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).find_map(|dir| dir.join("flowgate").canonicalize().ok());
    found.is_some() && found == program.canonicalize().ok()
}

/// What to try first, when it is up.
#[cfg(target_os = "linux")]
pub(super) const TRY: &str = "curl -i http://127.0.0.1:4000/v1/chat/completions -d '{\"model\": \"default\", \"messages\": []}'";
