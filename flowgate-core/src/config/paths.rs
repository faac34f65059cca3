//! Paths as people write them, and where they lead. Text only: nothing is looked up.

use super::schema::Paths;
use super::{Error, invalid};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{Entry, Node, Value};

/// Where the paths of a document start.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The absolute directory of the configuration file.
    pub dir: &'a str,
    /// The absolute home directory, if it is known.
    pub home: Option<&'a str>,
}

/// Where a path leads: absolute stays, `~` is the home directory, anything else starts at the
/// directory of the configuration file.
///
/// In a relative path `..` goes up; an absolute path keeps it, since a link may stand before it.
///
/// # Errors
///
/// [`Error::Invalid`] for a path that is blank, a URL, of another user (`~name`), or that needs a
/// home directory which is not known.
///
/// # Example
///
/// ```
/// use flowgate_core::config::{Base, resolve_path};
///
/// let base = Base { dir: "/home/dev/project", home: Some("/home/dev") };
/// assert_eq!(resolve_path("../logs/./a.log", &base).unwrap(), "/home/dev/logs/a.log");
/// assert_eq!(resolve_path("~/keys/main", &base).unwrap(), "/home/dev/keys/main");
/// assert_eq!(resolve_path("/etc//key", &base).unwrap(), "/etc/key");
/// ```
pub fn resolve_path(text: &str, base: &Base<'_>) -> Result<String, Error> {
    lead(text, base).map_err(|reason| {
        let problem = super::text::refusal(Span::default(), &reason);
        invalid(None, vec![problem])
    })
}

/// [`resolve_path`] with `problem\nhint` for what is wrong.
pub(super) fn lead(text: &str, base: &Base<'_>) -> Result<String, String> {
    check_path_text(text)?;
    if text.starts_with('/') {
        return Ok(join("", text, false));
    }
    let Some(rest) = text.strip_prefix('~') else {
        return Ok(join(base.dir, text, true));
    };
    match base.home {
        Some(home) => Ok(join(home, rest, false)),
        None => Err(
            "`~` is used, but the home directory is not known\nset HOME, or write the path in full"
                .to_owned(),
        ),
    }
}

/// Resolves, in place, the paths of a document: `paths.*`, `secret_files`, the files of
/// credentials, and the working directory and variable files of services. Everything else is left alone.
///
/// # Errors
///
/// Every path that cannot be resolved; those that can are resolved all the same.
pub fn resolve_document(document: &mut Node, base: &Base<'_>) -> Result<(), Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut resolve = |node: Option<&mut Node>, path: &dyn Fn() -> String| {
        let Some(node) = node else { return };
        let Value::String(text) = &node.value else {
            return;
        };
        match lead(text, base) {
            Ok(resolved) => node.value = Value::String(resolved),
            Err(reason) => problems.push(super::text::refusal(node.span, &reason).at(path())),
        }
    };
    for entry in children(document.get_mut("paths")) {
        resolve(Some(&mut entry.value), &|| format!("paths.{}", entry.key));
    }
    if document.entries().is_some() {
        document.set_default(&["secret_files"], Node::new(Value::Sequence(Vec::new())));
    }
    if let Some(Node {
        value: Value::Sequence(files),
        ..
    }) = document.get_mut("secret_files")
    {
        for (index, file) in files.iter_mut().enumerate() {
            resolve(Some(file), &|| format!("secret_files[{index}]"));
        }
    }
    let upstream = document
        .get_mut("credentials")
        .and_then(|node| node.get_mut("upstream"));
    for entry in children(upstream) {
        resolve(entry.value.get_mut("file"), &|| {
            format!("credentials.upstream.{}.file", entry.key)
        });
    }
    for key in ["dir", "seal_key_file"] {
        let file = document.get_mut("auth").and_then(|auth| auth.get_mut(key));
        resolve(file, &|| format!("auth.{key}"));
    }
    let litellm = document
        .get_mut("bootstrap")
        .and_then(|node| node.get_mut("litellm"));
    resolve(litellm.and_then(|node| node.get_mut("python")), &|| {
        "bootstrap.litellm.python".to_owned()
    });
    for entry in children(document.get_mut("services")) {
        let Some(command) = entry.value.get_mut("command") else {
            continue;
        };
        let path = format!("services.{}.command", entry.key);
        resolve(command.get_mut("cwd"), &|| format!("{path}.cwd"));
        let files = command.get_mut("env_file").map(|files| &mut files.value);
        let Some(Value::Sequence(files)) = files else {
            continue;
        };
        for (index, file) in files.iter_mut().enumerate() {
            resolve(Some(file), &|| format!("{path}.env_file[{index}]"));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Writes out the one default that others are made of.
pub(super) fn write_runtime_dir(document: &mut Node, paths: &Paths) {
    let runtime_dir = Value::String(paths.runtime_dir.to_string());
    document.set_default(&["paths", "runtime_dir"], Node::new(runtime_dir));
}

/// Writes out the other defaults of a resolved document: files in its runtime directory, and where
/// services are started.
pub(super) fn write_defaults(document: &mut Node, base: &Base<'_>) {
    let text = |text: String| Node::new(Value::String(text));
    let paths = document.get("paths");
    let runtime_dir = paths.and_then(|paths| paths.get("runtime_dir")?.as_str());
    let runtime_dir = runtime_dir
        .unwrap_or_default()
        .trim_end_matches('/')
        .to_owned();
    for (key, name) in Paths::FILES {
        document.set_default(&["paths", key], text(format!("{runtime_dir}/{name}")));
    }
    let here = join(base.dir, "", true);
    for service in children(document.get_mut("services")) {
        service
            .value
            .set_default(&["command", "cwd"], text(here.clone()));
    }
}

fn children(node: Option<&mut Node>) -> impl Iterator<Item = &mut Entry> {
    node.and_then(Node::entries_mut).into_iter().flatten()
}

/// Refuses what cannot be a path, with `problem\nhint`.
pub(super) fn check_path_text(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("a path must not be blank\nleave the key out to get its default".to_owned());
    }
    if text.contains('\0') {
        return Err("a path cannot hold a NUL character".to_owned());
    }
    if text.starts_with('~') && text != "~" && !text.starts_with("~/") {
        return Err(
            "`~name` is not supported\nwrite the path of the other user's directory in full"
                .to_owned(),
        );
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
    }) {
        return Err("expected a path, found a URL\nwrite the path of a local file".to_owned());
    }
    Ok(())
}

/// Joins by text: drops empty parts and `.`, and goes up for `..` if `go_up`.
fn join(dir: &str, text: &str, go_up: bool) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let dir = dir.split('/').map(|part| (part, true));
    for (part, go_up) in dir.chain(text.split('/').map(|part| (part, go_up))) {
        match part {
            "" | "." => {}
            ".." if go_up => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_path_is_refused_with_a_reason() {
        let base = Base {
            dir: "/cfg",
            home: None,
        };
        for text in [
            "",
            "  ",
            "file:///x",
            "http://h/x",
            "~root/x",
            "~/x",
            "a\0b",
        ] {
            assert!(resolve_path(text, &base).is_err(), "{text:?}");
        }
        for (text, leads) in [
            ("a/~/b", "/cfg/a/~/b"),
            ("./~/x", "/cfg/~/x"),
            ("..a/b..", "/cfg/..a/b.."),
            ("../../x", "/x"),
            ("/a/../b", "/a/../b"),
            ("a/../b/", "/cfg/b"),
        ] {
            assert_eq!(resolve_path(text, &base).unwrap(), leads);
        }
    }
}
