//! Installing what the services run: fetched from a release or taken from a file, verified, and put
//! in its place at once, with the version before it kept.

mod archive;
mod fetch;
mod install;
mod litellm;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde::Serialize;

#[cfg(fuzzing)]
pub(super) use self::archive::fuzz as fuzz_archive;
use self::fetch::Source;
pub use self::install::Installed;
pub use self::litellm::{LITELLM_VERSION, write_litellm_runner};
use super::atomic::make_directory;
use super::http::{block_on, parse};
use super::{Error, HttpError};
use crate::Timestamp;
use crate::bootstrap::{self, Asset, Checksums, Platform, Release, UpdateCache, is_newer, pick};
use crate::config::Settings;

/// The repository that CLIProxyAPIPlus is released in.
pub const REPOSITORY: &str = "router-for-me/CLIProxyAPIPlus";
/// The version that is installed if nobody says otherwise.
pub const DEFAULT_VERSION: &str = "v6.8.18-1";
/// Where releases are described.
const API: &str = "https://api.github.com";

/// What to install and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bootstrap {
    /// The runtime directory; programs go to `bin` in it.
    pub runtime_dir: PathBuf,
    /// The version, or `latest`.
    pub version: String,
    /// The repository, `owner/name`.
    pub repository: String,
    /// Where releases are described, in the form of GitHub's API.
    pub api: String,
    /// Where files are fetched from instead: `VERSION/NAME` below this URL.
    pub mirror: Option<String>,
    /// The proxy; that of the environment if none is named.
    pub proxy: Option<String>,
    /// The platform.
    pub platform: Platform,
    /// The SHA-256 that the configuration pins for this platform.
    pub sha256: Option<String>,
    /// Whether something without a checksum is refused.
    pub require_checksum: bool,
    /// The first wait before something is tried again.
    pub patience: Duration,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Bytes that are there.
    pub done: u64,
    /// Bytes in all, if that is known.
    pub total: Option<u64>,
}

/// What was installed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The version.
    pub version: String,
    /// The program.
    pub path: PathBuf,
    /// The version before.
    pub previous: Option<String>,
    /// The SHA-256 of what was fetched.
    pub sha256: String,
    /// Who vouches for it: `configuration`, `release`, or nobody.
    pub verified_by: Option<&'static str>,
}

/// Whether there is something newer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Update {
    /// What is installed.
    pub current: Option<String>,
    /// The latest version.
    pub latest: String,
    /// The page about it.
    pub page: Option<String>,
    /// True if it is newer.
    pub newer: bool,
}

impl Bootstrap {
    /// What a resolved configuration wants for this machine.
    ///
    /// # Errors
    ///
    /// [`Error::Bootstrap`] if there are no builds for this machine.
    pub fn of(settings: &Settings) -> Result<Self, Error> {
        let platform = Platform::of(std::env::consts::OS, std::env::consts::ARCH)?;
        let proxy = &settings.bootstrap.cliproxyapi_plus;
        let text = |given: Option<String>, usual: &str| given.unwrap_or_else(|| usual.to_owned());
        let pinned = proxy.sha256.get(platform.to_string().as_str());
        Ok(Self {
            runtime_dir: PathBuf::from(settings.paths.runtime_dir.to_string()),
            version: text(
                proxy.version.as_ref().map(ToString::to_string),
                DEFAULT_VERSION,
            ),
            repository: text(
                proxy.repository.as_ref().map(ToString::to_string),
                REPOSITORY,
            ),
            api: text(
                settings.bootstrap.api.as_ref().map(ToString::to_string),
                API,
            ),
            mirror: settings.bootstrap.mirror.as_ref().map(ToString::to_string),
            proxy: settings.bootstrap.proxy.as_ref().map(ToString::to_string),
            platform,
            sha256: pinned.map(|sum| sum.to_string().to_lowercase()),
            require_checksum: settings.bootstrap.require_checksum,
            patience: Duration::from_millis(500),
        })
    }

    fn bin(&self) -> PathBuf {
        self.runtime_dir.join("bin")
    }

    /// Fetches the version that is wanted, verifies it and puts it in its place.
    ///
    /// # Errors
    ///
    /// [`Error::Http`] and [`Error::Bootstrap`] if it cannot be had or is not what it should be,
    /// [`Error::Write`]. What is installed is untouched then.
    pub fn download(&self, progress: impl FnMut(Progress)) -> Result<Outcome, Error> {
        let _lock = self.lock()?;
        block_on(async {
            let source = self.source()?;
            let release = self.release(&source, &self.version).await?;
            let asset = pick(&release.assets, self.platform)?.clone();
            let (expected, verified_by) = self.expected(&source, &release, &asset).await?;
            let url = self.asset_url(&release, &asset)?;
            let part = self
                .runtime_dir
                .join("downloads")
                .join(file_name(&release, &asset));
            let sum = source
                .download(&url, &part, expected.is_some(), progress)
                .await?;
            check_sum(&asset.name, expected.as_deref(), &sum)
                .inspect_err(|_| drop(fs::remove_file(&part)))?;
            let program = archive::program(&part, &asset.name)?;
            let outcome = install::install(
                &self.bin(),
                &release.version,
                &asset.name,
                &program,
                self.platform,
            )?;
            drop(fs::remove_file(&part));
            Ok(Outcome {
                sha256: sum,
                verified_by,
                ..outcome
            })
        })?
    }

    /// Installs from a file that is on this machine: an archive or the program itself.
    ///
    /// # Errors
    ///
    /// As [`download`](Self::download), and [`Error::Read`].
    pub fn install_file(&self, file: &Path, sha256: Option<&str>) -> Result<Outcome, Error> {
        let _lock = self.lock()?;
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let sum = fetch::sha256_of(file)?;
        let given = sha256.map(str::to_lowercase);
        let expected = given.or_else(|| self.sha256.clone());
        if expected.is_none() && self.require_checksum {
            return Err(bootstrap::Error::NoChecksum { name }.into());
        }
        check_sum(&name, expected.as_deref(), &sum)?;
        let program = archive::program(file, &name)?;
        let outcome = install::install(&self.bin(), &self.version, &name, &program, self.platform)?;
        Ok(Outcome {
            sha256: sum,
            verified_by: expected.map(|_| "configuration"),
            ..outcome
        })
    }

    /// Asks whether there is something newer than what is installed. An answer is kept for a day, and
    /// asked for again with `fresh`.
    ///
    /// # Errors
    ///
    /// [`Error::Http`] and [`Error::Bootstrap`] if that cannot be learned.
    pub fn check_update(&self, fresh: bool, now: Timestamp) -> Result<Update, Error> {
        let current = self
            .installed()?
            .into_iter()
            .find(|one| one.active)
            .map(|one| one.version);
        let kept = self.cache_file();
        let name = current.clone().unwrap_or_default();
        let cached = fs::read_to_string(&kept)
            .ok()
            .and_then(|text| UpdateCache::read(&text));
        if let Some(cache) = cached.filter(|cache| !fresh && cache.holds(&name, now))
            && let Some(latest) = &cache.latest_version
        {
            return Ok(update(current, latest.clone(), cache.release_url.clone()));
        }
        let asked = block_on(async { self.release(&self.source()?, "latest").await })?;
        let (latest, page) = match &asked {
            Ok(release) => (Some(release.version.clone()), release.page.clone()),
            Err(_) => (None, None),
        };
        let cache = UpdateCache {
            checked_at: now,
            current_version: name,
            latest_version: latest,
            release_url: page,
        };
        // That it cannot be kept is no reason not to answer.
        if self.runtime_dir.is_dir() {
            drop(serde_json::to_string(&cache).map(|text| fs::write(&kept, text)));
        }
        let release = asked?;
        Ok(update(current, release.version, release.page))
    }

    /// The versions that are there, the newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the directory cannot be read.
    pub fn installed(&self) -> Result<Vec<Installed>, Error> {
        install::installed(&self.bin())
    }

    /// Puts a version back that was installed before: the one before the active one, if none is
    /// named.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if there is none, [`Error::Write`].
    pub fn rollback(&self, version: Option<&str>) -> Result<Installed, Error> {
        let _lock = self.lock()?;
        install::rollback(&self.bin(), version)
    }

    fn cache_file(&self) -> PathBuf {
        self.runtime_dir.join("cliproxyapiplus_update_cache.json")
    }

    fn source(&self) -> Result<Source, Error> {
        let proxy = self.proxy.as_deref().map(parse).transpose()?;
        Ok(Source::new(proxy, self.patience))
    }

    async fn release(&self, source: &Source, version: &str) -> Result<Release, Error> {
        let api = self.api.trim_end_matches('/');
        let which = match version {
            "latest" => "latest".to_owned(),
            tag => format!("tags/{tag}"),
        };
        let url = parse(&format!("{api}/repos/{}/releases/{which}", self.repository))?;
        secure(&url)?;
        Ok(Release::from_json(&source.text(&url).await?)?)
    }

    /// The checksum that the download must have, and who says so.
    async fn expected(
        &self,
        source: &Source,
        release: &Release,
        asset: &Asset,
    ) -> Result<(Option<String>, Option<&'static str>), Error> {
        if let Some(pinned) = &self.sha256 {
            return Ok((Some(pinned.clone()), Some("configuration")));
        }
        let mut published = asset.sha256.clone();
        let lists = [release.checksums(), release.checksum_of(asset)];
        for list in lists.into_iter().flatten() {
            if published.is_some() {
                break;
            }
            let text = source.text(&self.asset_url(release, list)?).await?;
            published = Checksums::read(&text, &asset.name)
                .of(&asset.name)
                .map(str::to_owned);
        }
        match published {
            Some(sum) => Ok((Some(sum), Some("release"))),
            None if self.require_checksum => Err(bootstrap::Error::NoChecksum {
                name: asset.name.clone(),
            }
            .into()),
            None => Ok((None, None)),
        }
    }

    fn asset_url(&self, release: &Release, asset: &Asset) -> Result<Url, Error> {
        let url = match &self.mirror {
            Some(mirror) => {
                let mut url = parse(mirror)?;
                // A URL of http or https always has a path.
                if let Ok(mut path) = url.path_segments_mut() {
                    path.pop_if_empty().push(&release.version).push(&asset.name);
                }
                url
            }
            None => parse(&asset.url)?,
        };
        secure(&url)?;
        Ok(url)
    }

    fn lock(&self) -> Result<File, Error> {
        let path = self.runtime_dir.join("bootstrap.lock");
        let failed = |error| Error::write(&path, &error);
        make_directory(&self.runtime_dir).map_err(failed)?;
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(_) => Err(Error::Write {
                path,
                reason: "another installation is under way".to_owned(),
                hint: "wait until it is done".to_owned(),
            }),
        }
    }
}

/// What crosses a network comes over https; this machine needs none.
fn secure(url: &Url) -> Result<(), HttpError> {
    if url.scheme() == "https" || super::http::is_local(url) {
        return Ok(());
    }
    Err(HttpError::BadUrl {
        url: super::http::shown(url),
        reason: "programs are fetched over https only".to_owned(),
    })
}

fn update(current: Option<String>, latest: String, page: Option<String>) -> Update {
    let newer = is_newer(&latest, current.as_deref().unwrap_or("v0"));
    Update {
        current,
        latest,
        page,
        newer,
    }
}

/// A name of one's own for each version, so that the rest of another is never taken up.
fn file_name(release: &Release, asset: &Asset) -> String {
    let text = format!("{}-{}", release.version, asset.name);
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect::<String>()
        + ".part"
}

fn check_sum(name: &str, expected: Option<&str>, found: &str) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != found => Err(bootstrap::Error::Checksum {
            name: name.to_owned(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
