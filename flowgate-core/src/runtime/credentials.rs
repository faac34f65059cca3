//! The directory of stored credentials: written so that only their owner can read them, described
//! without their secrets, and sealed with a key if that is wanted.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};

use super::atomic::{Access, Planned, write_all, write_new};
use super::auth_dir::auth_dir;
use super::regular::regular;
use super::secrets::fetch_secret;
use super::{Error, read_document};
use crate::auth::{Format, Imported, Stored, describe, import};
use crate::config::{Config, Settings};
use crate::{Timestamp, auth, profile};

/// What a sealed file says about its kind.
const SEALED: &str = "flowgate-chacha20-poly1305";
/// The length of a key, in bytes.
const KEY_LEN: usize = 32;

/// Where credentials are stored.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CredentialStore {
    /// The directory.
    pub dir: PathBuf,
    /// The file of the key that new files are sealed with.
    pub key_file: Option<PathBuf>,
    /// The key itself, where it is in no file.
    key: Option<SealKey>,
}

/// A key that files are sealed with. `{:?}` hides it.
#[derive(Clone, Eq, PartialEq)]
struct SealKey([u8; KEY_LEN]);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// The key that a text holds.
    fn read(text: &str) -> Option<Self> {
        let key = BASE64_STANDARD.decode(text.trim()).ok()?;
        key.try_into().ok().map(Self)
    }
}

/// A stored credential and its file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoredFile {
    /// The file.
    pub path: PathBuf,
    /// What it says about itself.
    #[serde(flatten)]
    pub stored: Stored,
}

impl CredentialStore {
    /// The store of a resolved configuration: `auth.dir`, or else `auth` beside the runtime
    /// directory, or `auths` if that is there and `auth` is not.
    pub fn of(settings: &Settings) -> Self {
        let key_file = settings.auth.seal_key_file.as_ref();
        Self {
            dir: auth_dir(settings),
            key_file: key_file.map(|file| PathBuf::from(file.to_string())),
            key: None,
        }
    }

    /// The store of a resolved configuration, with the key of `auth.seal_key`: which may ask a
    /// program for it, such as that of the keyring of the operating system.
    ///
    /// # Errors
    ///
    /// [`Error::Profile`] if the key cannot be had, or is none.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let store = Self::of(config.settings());
        let Some(name) = &config.settings().auth.seal_key else {
            return Ok(store);
        };
        let text = fetch_secret(config, name)?;
        let key = SealKey::read(text.expose_secret());
        let problem = || {
            let hint =
                "a key is 32 random bytes in base64, as `openssl rand -base64 32` makes them";
            let message = "it holds no key that could seal".to_owned();
            profile::CredentialProblem::new(name.to_string(), message, hint)
        };
        let none = || profile::Error::Credentials {
            problems: vec![problem()],
        };
        let key = Some(key.ok_or_else(none)?);
        Ok(Self { key, ..store })
    }

    /// A store in a directory.
    pub fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            key_file: None,
            key: None,
        }
    }

    /// Writes a credential, sealed if there is a key file; one of that name is replaced at once.
    ///
    /// # Errors
    ///
    /// [`Error::Write`]; what was there is untouched then.
    pub fn save(&self, name: &str, content: &SecretString) -> Result<PathBuf, Error> {
        let path = self.dir.join(name);
        let key = match (&self.key, &self.key_file) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(file)) => Some(key_for_sealing(file)?),
            (None, None) => None,
        };
        let content = match key {
            Some(key) => seal(content.expose_secret(), &key, name)
                .map_err(|error| Error::write(&path, &error))?,
            None => content.expose_secret().to_owned(),
        };
        write_all(&[Planned {
            path: path.clone(),
            content,
            access: Access::Private,
        }])?;
        Ok(path)
    }

    /// Reads a credential; a sealed one is opened.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if it cannot be read, or not be opened with the key.
    pub fn read(&self, path: &Path) -> Result<SecretString, Error> {
        let text = text_of(path)?;
        let Some((nonce, data)) = sealed(&text) else {
            return Ok(text.into());
        };
        let bad = |reason: &str| Error::Read {
            path: path.to_owned(),
            reason: reason.to_owned(),
            hint: "name the key it was sealed with under `auth.seal_key_file` or `auth.seal_key`"
                .to_owned(),
            environment: true,
        };
        let key = match (&self.key, &self.key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(file)) => key_of(file)?,
            (None, None) => return Err(bad("it is sealed")),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let opened = open(&nonce, data, &key, &name);
        opened
            .map(SecretString::from)
            .ok_or_else(|| bad("it was sealed with another key, or changed"))
    }

    /// The credentials that are stored, by name. Files that are none are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the directory cannot be read.
    pub fn list(&self) -> Result<Vec<StoredFile>, Error> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::read(&self.dir, &error)),
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        });
        paths.sort();
        let describe = |path: PathBuf| {
            let text = text_of(&path).ok()?;
            let mut stored = match self.read(&path) {
                Ok(opened) => describe(opened.expose_secret())?,
                Err(_) => describe(&text)?,
            };
            stored.sealed = sealed(&text).is_some();
            if stored.provider.is_none() {
                stored.provider = provider_of(&path);
            }
            Some(StoredFile { path, stored })
        };
        Ok(paths.into_iter().filter_map(describe).collect())
    }

    /// Deletes the stored credentials of a provider, or those of one of its accounts.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::Write`].
    pub fn remove(&self, provider: &str, account: Option<&str>) -> Result<Vec<PathBuf>, Error> {
        let mut removed = Vec::new();
        for file in self.list()? {
            let of = file.stored.provider.as_deref().unwrap_or_default();
            let is_provider = of == provider || of.strip_prefix("github-") == Some(provider);
            let is_account = account.is_none() || file.stored.account.as_deref() == account;
            if is_provider && is_account {
                fs::remove_file(&file.path).map_err(|error| Error::write(&file.path, &error))?;
                removed.push(file.path);
            }
        }
        Ok(removed)
    }

    /// Takes over the credentials in a file of another program. Another account's are not replaced:
    /// the file gets another name.
    ///
    /// # Errors
    ///
    /// [`Error::Credential`] if it holds none, [`Error::Read`], [`Error::Write`].
    pub fn import(
        &self,
        format: Format,
        source: &Path,
        now: Timestamp,
    ) -> Result<(PathBuf, Imported), Error> {
        let text = text_of(source)?;
        let imported = import(format, &text, now).map_err(|error| Error::auth(source, error))?;
        let name = self.free_name(&imported);
        let path = self.save(&name, &imported.content)?;
        Ok((path, imported))
    }

    fn free_name(&self, imported: &Imported) -> String {
        let wanted = &imported.file_name;
        let mut name = wanted.clone();
        for number in 2..1000 {
            let path = self.dir.join(&name);
            let there = regular(&path)
                .ok()
                .flatten()
                .and_then(|_| self.read(&path).ok());
            let same = there.is_none_or(|there| same_account(&there, &imported.content));
            if same {
                break;
            }
            let stem = wanted.trim_end_matches(".json");
            name = format!("{stem}-{number}.json");
        }
        name
    }
}

/// True if two credentials are of one account; if they do not say, if they hold one refresh token.
fn same_account(a: &SecretString, b: &SecretString) -> bool {
    let account =
        |text: &SecretString| describe(text.expose_secret()).and_then(|stored| stored.account);
    let refresh = |text: &SecretString| {
        let root: Value = serde_json::from_str(text.expose_secret()).ok()?;
        root.get("refresh_token").cloned()
    };
    match (account(a), account(b)) {
        (Some(a), Some(b)) => a == b,
        _ => refresh(a) == refresh(b),
    }
}

/// The provider that a file is named for: `codex.json`, `kiro-….json`.
fn provider_of(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    Some(stem.split('-').next().unwrap_or(stem).to_owned())
}

fn text_of(path: &Path) -> Result<String, Error> {
    regular(path).map_err(|error| Error::read(path, &error))?;
    let bytes = read_document(path)?;
    Ok(Config::text(&path.to_string_lossy(), &bytes)?.to_owned())
}

fn sealed(text: &str) -> Option<([u8; NONCE_LEN], Vec<u8>)> {
    let root: Value = serde_json::from_str(text).ok()?;
    if root.get("sealed")?.as_str()? != SEALED {
        return None;
    }
    let bytes = |key: &str| BASE64_STANDARD.decode(root.get(key)?.as_str()?).ok();
    Some((bytes("nonce")?.try_into().ok()?, bytes("data")?))
}

/// Seals a text for a file of this name: under another, it does not open.
fn seal(text: &str, key: &SealKey, name: &str) -> io::Result<String> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
    let key = aead_key(key).ok_or_else(|| io::Error::other("the key is not usable"))?;
    let mut data = text.as_bytes().to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(name.as_bytes()),
        &mut data,
    )
    .map_err(|_| io::Error::other("it cannot be sealed"))?;
    let sealed = json!({
        "sealed": SEALED,
        "nonce": BASE64_STANDARD.encode(nonce),
        "data": BASE64_STANDARD.encode(data),
    });
    Ok(format!("{sealed}\n"))
}

fn open(nonce: &[u8; NONCE_LEN], mut data: Vec<u8>, key: &SealKey, name: &str) -> Option<String> {
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let aad = Aad::from(name.as_bytes());
    let opened = aead_key(key)?.open_in_place(nonce, aad, &mut data).ok()?;
    String::from_utf8(opened.to_vec()).ok()
}

fn aead_key(key: &SealKey) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, &key.0)
        .ok()
        .map(LessSafeKey::new)
}

/// The key in a file; one is made if the file is not there.
fn key_for_sealing(file: &Path) -> Result<SealKey, Error> {
    if regular(file)
        .map_err(|error| Error::read(file, &error))?
        .is_none()
    {
        let mut key = [0; KEY_LEN];
        getrandom::fill(&mut key)
            .map_err(|error| Error::write(file, &io::Error::other(error.to_string())))?;
        // Of two that make one at once, both use that of the first.
        write_new(&Planned {
            path: file.to_owned(),
            content: BASE64_STANDARD.encode(key) + "\n",
            access: Access::Private,
        })?;
    }
    key_of(file)
}

fn key_of(file: &Path) -> Result<SealKey, Error> {
    SealKey::read(&text_of(file)?).ok_or_else(|| Error::Read {
        path: file.to_owned(),
        reason: "it holds no key".to_owned(),
        hint: "a key is 32 random bytes in base64; take the file away to have one made".to_owned(),
        environment: true,
    })
}

impl Error {
    fn auth(path: &Path, error: auth::Error) -> Self {
        Self::Credential {
            path: path.to_owned(),
            error,
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn r20_credentials_are_private_from_the_first_byte() {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialStore::at(&dir.path().join("auth"));
        let source = dir.path().join("auth.json");
        fs::write(
            &source,
            r#"{"tokens": {"access_token": "at", "refresh_token": "rt", "account_id": "one"}}"#,
        )
        .unwrap();
        let (path, _) = store.import(Format::Codex, &source, 0).unwrap();
        assert!(path.ends_with("auth/codex-headless-import.json"));
        assert_eq!((mode(&path), mode(&store.dir)), (0o600, 0o700));
        // The same account again replaces it; another one does not.
        assert_eq!(store.import(Format::Codex, &source, 0).unwrap().0, path);
        fs::write(
            &source,
            r#"{"tokens": {"access_token": "at", "refresh_token": "r2", "account_id": "two"}}"#,
        )
        .unwrap();
        let (second, _) = store.import(Format::Codex, &source, 0).unwrap();
        assert!(second.ends_with("codex-headless-import-2.json"));
        let listed = store.list().unwrap();
        let accounts: Vec<_> = listed
            .iter()
            .filter_map(|file| file.stored.account.as_deref())
            .collect();
        assert_eq!(accounts, ["two", "one"]);
        assert_eq!(store.remove("codex", Some("two")).unwrap(), [second]);
        assert_eq!(store.remove("codex", None).unwrap(), [path]);
        assert!(store.remove("codex", None).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_place_or_no_source_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialStore::at(&dir.path().join("file"));
        fs::write(&store.dir, "").unwrap();
        let error = store
            .save("codex.json", &"{}".to_owned().into())
            .unwrap_err();
        assert!(
            error.is_environment() && error.to_string().contains("file"),
            "{error}"
        );
        let missing = store
            .import(Format::Codex, &dir.path().join("nosuch.json"), 0)
            .unwrap_err();
        assert!(missing.to_string().contains("nosuch.json"), "{missing}");
        fs::write(dir.path().join("bad.json"), "{}").unwrap();
        let bad = store
            .import(Format::Codex, &dir.path().join("bad.json"), 0)
            .unwrap_err();
        assert_eq!(
            (bad.code(), bad.is_environment()),
            ("auth.bad_credentials", false)
        );
    }

    #[test]
    fn a_sealed_credential_shows_nothing_and_opens_with_its_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = CredentialStore::at(dir.path());
        store.key_file = Some(dir.path().join("keys/seal.key"));
        let content = r#"{"type": "acme", "email": "me@ex.com", "access_token": "tok-secret"}"#;
        let path = store.save("acme.json", &content.to_owned().into()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("tok-secret") && !text.contains("me@ex.com"));
        assert_eq!(
            (mode(&path), mode(store.key_file.as_ref().unwrap())),
            (0o600, 0o600)
        );
        assert_eq!(store.read(&path).unwrap().expose_secret(), content);
        let listed = &store.list().unwrap()[0].stored;
        assert_eq!(
            (listed.account.as_deref(), listed.sealed),
            (Some("me@ex.com"), true)
        );

        let renamed = dir.path().join("other.json");
        fs::copy(&path, &renamed).unwrap();
        assert!(
            store.read(&renamed).is_err(),
            "it was sealed for another name"
        );
        fs::write(&path, text.replace("\"data\":\"", "\"data\":\"AAAA")).unwrap();
        assert!(
            store
                .read(&path)
                .unwrap_err()
                .to_string()
                .contains("another key, or changed")
        );
        store.key_file = None;
        assert!(
            store
                .read(&renamed)
                .unwrap_err()
                .to_string()
                .contains("seal_key_file")
        );
        assert!(store.list().unwrap().iter().all(|file| file.stored.sealed));
    }

    #[test]
    fn the_key_may_come_from_a_keyring() {
        let dir = tempfile::tempdir().unwrap();
        let config = |command: &str| {
            let text = format!(
                "paths: {{ runtime_dir: '{}/run' }}\ncredentials: {{ upstream: {{ ring: {{ command: {command} }} }} }}\nauth: {{ seal_key: ring }}",
                dir.path().display()
            );
            Config::from_yaml(&text).unwrap()
        };
        // Whatever prints the key stands for `secret-tool lookup` or `security find-generic-password`.
        let key = BASE64_STANDARD.encode([7; KEY_LEN]);
        let store = CredentialStore::open(&config(&format!("[echo, {key}]"))).unwrap();
        let content = r#"{"type": "acme", "access_token": "tok-secret"}"#;
        let path = store.save("acme.json", &content.to_owned().into()).unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains("tok-secret"));
        assert_eq!(store.read(&path).unwrap().expose_secret(), content);
        assert!(format!("{store:?}").contains("SealKey(…)"));

        let other = BASE64_STANDARD.encode([8; KEY_LEN]);
        let other = CredentialStore::open(&config(&format!("[echo, {other}]"))).unwrap();
        assert!(other.read(&path).is_err() && other.list().unwrap()[0].stored.sealed);
        for (command, says) in [("['false']", "ended"), ("[echo, short]", "32 random bytes")] {
            let error = CredentialStore::open(&config(command)).unwrap_err();
            assert!(
                error.is_environment() && error.to_string().contains(says),
                "{error}"
            );
        }
    }

    #[test]
    fn an_installation_of_the_first_flowgate_keeps_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "paths: {{ runtime_dir: '{}/.router/runtime' }}",
            dir.path().display()
        );
        let config = Config::from_yaml(&text).unwrap();
        let store = || CredentialStore::of(config.settings()).dir;
        assert!(store().ends_with(".router/auth"));
        fs::create_dir_all(dir.path().join(".router/auths")).unwrap();
        assert!(store().ends_with(".router/auths"));
        fs::create_dir(dir.path().join(".router/auth")).unwrap();
        assert!(store().ends_with(".router/auth"));
    }
}
