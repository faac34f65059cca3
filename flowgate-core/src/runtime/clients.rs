//! The settings files of the agents: edited with a copy kept, and put back from it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::atomic::{directory_of, write_all};
use super::backup::{backups, write_backed_up};
use super::regular::regular;
use super::{Access, Error, Planned, read_document};
use crate::Timestamp;
use crate::clients::{self, Client, Edit, Gateway};
use crate::config::Config;

/// A settings file and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientFile {
    /// The file.
    pub path: PathBuf,
    /// The text before. It may hold the client's secrets.
    pub before: String,
    /// The text after, what changed, and what is worth knowing.
    pub edit: Edit,
    /// The copy that was kept, or that was put back.
    pub backup: Option<PathBuf>,
    /// Whether the file changed.
    pub written: bool,
}

/// Where a client keeps its settings, given the home directory and the environment.
///
/// # Errors
///
/// [`Error::Client`] if it reads no file.
pub fn client_file(
    client: Client,
    home: &Path,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, Error> {
    if let Some((name, file)) = client.settings_variable()
        && let Some(directory) = variable(name).filter(|value| !value.is_empty())
    {
        return Ok(Path::new(&directory).join(file));
    }
    let files = client.settings_files().iter().map(|file| home.join(file));
    let mut files: Vec<PathBuf> = files.collect();
    let there = files.iter().position(|file| directory_of(file).is_dir());
    match files.is_empty() {
        true => Err(Error::Client {
            path: home.to_owned(),
            error: clients::Error::NoFile { client },
        }),
        false => Ok(files.swap_remove(there.unwrap_or_default())),
    }
}

/// Edits a settings file so that the client uses the gateway, after a private copy of it is kept
/// beside it. With `dry_run`, or if nothing changes, no file is touched.
///
/// A file that is not there is made, private; an empty copy says that there was none.
///
/// # Errors
///
/// [`Error::Client`] if the settings are not understood, [`Error::Read`], [`Error::Write`]. The file
/// is untouched then, and no copy is left.
pub fn apply_client(
    client: Client,
    path: &Path,
    gateway: &Gateway,
    dry_run: bool,
    now: Timestamp,
) -> Result<ClientFile, Error> {
    let before = read(path)?;
    let text = before.as_deref().unwrap_or_default();
    let edit = clients::apply(client, text, gateway).map_err(|error| Error::client(path, error))?;
    if dry_run || edit.changes.is_empty() {
        return Ok(untouched(path, text, edit));
    }
    let access = if before.is_some() {
        Access::Keep
    } else {
        Access::Private
    };
    let planned = Planned {
        path: path.to_owned(),
        content: edit.text.clone(),
        access,
    };
    let backup = write_backed_up(planned, text.as_bytes(), Access::Private, now)?;
    Ok(ClientFile {
        path: path.to_owned(),
        before: text.to_owned(),
        edit,
        backup: Some(backup),
        written: true,
    })
}

/// Puts a settings file back to what it was before the last [`apply_client`].
///
/// If nothing else changed since then, the file is put back byte for byte, and the copy goes. If
/// something did, that stays: only our keys are put back, and the copy is kept under a name that is
/// not looked at again.
///
/// # Errors
///
/// As [`apply_client`]; [`Error::Read`] if there is no copy to put back.
pub fn revert_client(client: Client, path: &Path, dry_run: bool) -> Result<ClientFile, Error> {
    let refused = |error| Error::client(path, error);
    let copies = backups(path);
    if copies.is_empty() {
        return Err(Error::Read {
            path: path.to_owned(),
            reason: "there is no copy of it from before".to_owned(),
            hint: "there is nothing to put back".to_owned(),
            environment: false,
        });
    }
    let text = read(path)?.unwrap_or_default();
    for copy in copies {
        let original = read(&copy)?.unwrap_or_default();
        let mut edit = clients::revert(client, &text, &original).map_err(refused)?;
        // Our keys, put into the old text, give the new one: nothing else changed.
        let again = clients::revert(client, &original, &text).map_err(refused)?;
        let exact = again.text == text;
        if exact {
            edit.text.clone_from(&original);
        }
        if edit.changes.is_empty() {
            if !dry_run {
                set_aside(&copy);
            }
            continue;
        }
        if dry_run {
            return Ok(ClientFile {
                backup: Some(copy),
                ..untouched(path, &text, edit)
            });
        }
        put_back(path, &edit.text, exact)?;
        if exact {
            drop(fs::remove_file(&copy));
        } else {
            set_aside(&copy);
        }
        return Ok(ClientFile {
            path: path.to_owned(),
            before: text,
            edit,
            backup: Some(copy),
            written: true,
        });
    }
    let edit = clients::revert(client, &text, &text).map_err(refused)?;
    Ok(untouched(path, &text, edit))
}

/// The copy has given what it had to give. That it stays where it is would do no harm but surprise.
fn set_aside(copy: &Path) {
    let name = copy.file_name().unwrap_or_default().to_string_lossy();
    let used = copy.with_file_name(name.replace(".backup-", ".reverted-"));
    drop(fs::rename(copy, used));
}

fn put_back(path: &Path, text: &str, exact: bool) -> Result<(), Error> {
    if exact && text.is_empty() {
        return fs::remove_file(path).map_err(|error| Error::write(path, &error));
    }
    write_all(&[Planned {
        path: path.to_owned(),
        content: text.to_owned(),
        access: Access::Keep,
    }])
}

fn untouched(path: &Path, before: &str, edit: Edit) -> ClientFile {
    ClientFile {
        path: path.to_owned(),
        before: before.to_owned(),
        edit,
        backup: None,
        written: false,
    }
}

/// The text of a file, or `None` if there is none.
fn read(path: &Path) -> Result<Option<String>, Error> {
    if regular(path)
        .map_err(|error| Error::read(path, &error))?
        .is_none()
        && !path.is_symlink()
    {
        return Ok(None);
    }
    let bytes = read_document(path)?;
    Ok(Some(
        Config::text(&path.to_string_lossy(), &bytes)?.to_owned(),
    ))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: Timestamp = 1_700_000_000_000;

    fn gateway() -> Gateway {
        Gateway::new("http://127.0.0.1:4000", None, None).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn files(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn r03_the_copy_is_private_and_the_real_token_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        let before = "{\r\n  \"env\": {\"ANTHROPIC_AUTH_TOKEN\": \"tok-real\"}\r\n}";
        fs::write(&path, before).unwrap();
        for access in [0o600, 0o644] {
            fs::set_permissions(&path, PermissionsExt::from_mode(access)).unwrap();
            let applied = apply_client(Client::ClaudeCode, &path, &gateway(), false, NOW).unwrap();
            let backup = applied.backup.unwrap();
            assert_eq!((mode(&path), mode(&backup)), (access, 0o600));
            assert_eq!(
                fs::read(&backup).unwrap(),
                before.as_bytes(),
                "byte for byte"
            );
            assert!(fs::read_to_string(&path).unwrap().contains("tok-real"));
            revert_client(Client::ClaudeCode, &path, false).unwrap();
            assert_eq!(fs::read(&path).unwrap(), before.as_bytes());
            assert_eq!(
                (mode(&path), files(dir.path())),
                (access, 1),
                "and the copy is gone"
            );
        }
    }

    #[test]
    fn r05_a_file_that_cannot_be_written_or_read_is_untouched_and_no_copy_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let apply = || apply_client(Client::Codex, &path, &gateway(), false, NOW);
        fs::write(&path, "a = = 1\n").unwrap();
        let error = apply().unwrap_err();
        assert_eq!(error.code(), "clients.syntax");
        assert!(
            error.to_string().contains("config.toml")
                && error.to_string().contains("line 1, column 5"),
            "{error}"
        );
        fs::write(&path, b"a = '\xff'\n").unwrap();
        assert!(apply().unwrap_err().to_string().contains("UTF-8"));
        fs::write(&path, "a = 1\n").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
        assert!(apply().unwrap_err().to_string().contains("read-only"));
        assert_eq!(
            (
                fs::read_to_string(&path).unwrap().as_str(),
                files(dir.path())
            ),
            ("a = 1\n", 1)
        );
    }

    #[test]
    fn nothing_is_written_when_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.toml");
        let dry = apply_client(Client::Codex, &path, &gateway(), true, NOW).unwrap();
        assert!(!dry.written && !dry.edit.changes.is_empty() && files(dir.path()) == 0);
        let first = apply_client(Client::Codex, &path, &gateway(), false, NOW).unwrap();
        assert!(first.written && mode(&path) == 0o600);
        let second = apply_client(Client::Codex, &path, &gateway(), false, NOW + 1).unwrap();
        assert_eq!((second.written, second.backup), (false, None));
        assert_eq!(files(&dir.path().join("new")), 2);
        let gone = revert_client(Client::Codex, &path, false).unwrap();
        assert!(gone.written && !path.exists() && files(&dir.path().join("new")) == 0);
        let error = revert_client(Client::Codex, &path, false).unwrap_err();
        assert!(error.to_string().contains("no copy"), "{error}");
    }

    #[test]
    fn what_changed_in_between_stays_and_links_too() {
        let dir = tempfile::tempdir().unwrap();
        let (real, path) = (
            dir.path().join("dotfiles.toml"),
            dir.path().join("config.toml"),
        );
        fs::write(&real, "model = \"gpt-9\"\n").unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        apply_client(Client::Codex, &path, &gateway(), false, NOW).unwrap();
        let elsewhere = Gateway::new("http://127.0.0.1:5000", None, None).unwrap();
        apply_client(Client::Codex, &path, &elsewhere, false, NOW).unwrap();
        assert!(path.is_symlink());
        let edited = fs::read_to_string(&real).unwrap() + "\n[mcp_servers.new]\ncommand = \"x\"\n";
        fs::write(&real, &edited).unwrap();
        let back = revert_client(Client::Codex, &path, false).unwrap();
        assert_eq!(back.edit.changes.len(), 1);
        assert_eq!(
            fs::read_to_string(&real).unwrap(),
            edited.replace("5000", "4000")
        );
        // The newest copy has nothing left to give: the one before is meant.
        revert_client(Client::Codex, &path, false).unwrap();
        assert_eq!(
            fs::read_to_string(&real).unwrap(),
            "model = \"gpt-9\"\n\n[mcp_servers.new]\ncommand = \"x\"\n"
        );
        assert!(path.is_symlink());
        assert!(
            revert_client(Client::Codex, &path, false).is_err(),
            "nothing is left"
        );
    }

    #[test]
    fn the_environment_says_where_settings_are() {
        let dir = tempfile::tempdir().unwrap();
        let none = |_: &str| None;
        let file = |client| {
            client_file(client, dir.path(), none)
                .map(|path| path.strip_prefix(dir.path()).unwrap().to_owned())
        };
        assert_eq!(
            file(Client::Kimi).unwrap(),
            Path::new(".kimi-code/config.toml")
        );
        fs::create_dir(dir.path().join(".kimi")).unwrap();
        assert_eq!(file(Client::Kimi).unwrap(), Path::new(".kimi/config.toml"));
        assert_eq!(file(Client::Copilot).unwrap_err().code(), "clients.no_file");
        let named = client_file(Client::Codex, dir.path(), |name| {
            (name == "CODEX_HOME").then(|| "/x".into())
        });
        assert_eq!(named.unwrap(), Path::new("/x/config.toml"));
    }
}
