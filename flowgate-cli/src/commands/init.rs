//! `flowgate init`.

use std::path::Path;

use flowgate_core::config::STARTER;
use flowgate_core::runtime::{Access, Planned, write_all, write_new};
use serde_json::json;

use crate::output::{Exit, Failure, Output, Result, STRONG};
use crate::visible;

pub(crate) fn init(file: &Path, force: bool, quickstart: bool, output: &mut Output) -> Result {
    let planned = Planned {
        path: file.to_owned(),
        content: match quickstart {
            true => super::quickstart::text()?,
            false => STARTER.to_owned(),
        },
        access: Access::Keep,
    };
    if force {
        write_all(&[planned])?;
    } else if !write_new(&planned)? {
        return Err(Failure::Usage(
            "cli.file_exists",
            format!("`{}` is there already", file.display()),
            "name another file, or replace it with `--force`".to_owned(),
        ));
    }
    if output.is_json() {
        output.json(&json!({ "written": file }))?;
    } else {
        let next = match quickstart {
            true => "flowgate up\n  flowgate profile set cost",
            false => "flowgate config check\n  flowgate profile show balanced --explain",
        };
        output.text(format_args!(
            "wrote {STRONG}{}{STRONG:#}; next:\n  {next}\n",
            visible::one_line(&file.to_string_lossy())
        ))?;
    }
    Ok(Exit::Done)
}
