//! Everything a process starts with: arguments, variables, output.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::tend::MARKER;
use super::wire::variable;
use crate::supervise::{CommandSpec, Placeholders, SpawnError, SpawnStage};

/// Variables that are about the supervisor's own start, and would mislead its services.
const ABOUT_US: [&str; 7] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    MARKER,
];

/// The variables of a process: those of the supervisor, if they are wanted; those of the files; its
/// own; and what FlowGate adds.
pub(super) fn environment(
    command: &CommandSpec,
    start: &Placeholders,
    added: Vec<(&str, String)>,
) -> Result<Vec<Vec<u8>>, SpawnError> {
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    if command.inherit_env {
        let inherited = std::env::vars_os();
        variables.extend(inherited.filter(|(name, _)| !ABOUT_US.iter().any(|us| name == us)));
    }
    for file in &command.env_file {
        let failed = |message: String| SpawnError {
            stage: SpawnStage::Environment,
            message,
            path: Some(file.clone()),
            permanent: true,
        };
        let text =
            fs::read_to_string(file).map_err(|error| failed(crate::runtime::plain(&error)))?;
        variables.extend(parse(&text).map_err(failed)?);
    }
    for (name, value) in &command.env {
        variables.insert(name.into(), start.expand(value).into());
    }
    for (name, value) in added {
        variables.insert(name.into(), value.into());
    }
    Ok(variables
        .iter()
        .map(|(name, value)| variable(name, value))
        .collect())
}

/// The lines of a file of variables: `NAME=value`, with `export` before it, quotes around the
/// value, blank lines and comments allowed.
fn parse(text: &str) -> Result<Vec<(OsString, OsString)>, String> {
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line
            .split_once('=')
            .filter(|(name, _)| !name.trim().is_empty())
            .ok_or_else(|| format!("line {} is not `NAME=value`", number + 1))?;
        let value = value.trim();
        let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        variables.push((name.trim().into(), value.into()));
    }
    Ok(variables)
}

/// Where a program is: one without a slash is looked for where its own `PATH` says.
pub(super) fn program(name: &str, env: &[Vec<u8>]) -> String {
    let found = if name.contains('/') {
        None
    } else {
        find(name, env)
    };
    found.unwrap_or_else(|| name.to_owned())
}

fn find(program: &str, env: &[Vec<u8>]) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let path = env
        .iter()
        .find_map(|variable| variable.strip_prefix(b"PATH="))?;
    let candidates = std::env::split_paths(OsStr::from_bytes(path));
    let runs = |path: &std::path::PathBuf| {
        fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let found = candidates.map(|dir| dir.join(program)).find(runs)?;
    found
        .is_absolute()
        .then(|| found.to_str().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_variables_are_read_as_people_write_them() {
        let text = "# keys\nA=1\nexport B='x = y'\n\nC=\"\"\n D = d \n";
        let pairs: Vec<(String, String)> = parse(text)
            .unwrap()
            .into_iter()
            .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
            .collect();
        let expected = [("A", "1"), ("B", "x = y"), ("C", ""), ("D", "d")];
        assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(
            parse("A=1\nnonsense").unwrap_err(),
            "line 2 is not `NAME=value`"
        );
    }
}
