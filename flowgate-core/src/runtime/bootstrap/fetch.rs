//! Fetching texts and files, again if need be, and from where it broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url};
use ring::digest::{Context, SHA256};

use super::Progress;
use crate::runtime::atomic::{directory_of, make_directory};
use crate::runtime::http::{Http, MOST_BODY, body, no_answer, shown};
use crate::runtime::{Error, HttpError};

/// How often a file is tried.
const ATTEMPTS: u32 = 5;
/// How often a text is tried, for which a person waits.
const TEXT_ATTEMPTS: u32 = 3;
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);
/// The most that is fetched, in bytes.
const MOST_BYTES: u64 = 512 * 1024 * 1024;

/// Where things are fetched from.
pub(super) struct Source {
    http: Http,
    patience: Duration,
}

impl Source {
    pub(super) fn new(proxy: Option<Url>, patience: Duration) -> Self {
        Self {
            http: Http::following().through(proxy),
            patience,
        }
    }

    /// A text.
    pub(super) async fn text(&self, url: &Url) -> Result<String, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let answer = async {
                let response = self.ask(url, 0).await?;
                body(response, MOST_BODY).await
            };
            match answer.await {
                Ok(text) => return Ok(text),
                Err(error) if error.is_transient() && attempt < TEXT_ATTEMPTS => {
                    self.pause(attempt).await
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A file. What an earlier attempt left is taken up, if a checksum will tell whether it fits.
    /// Gives the SHA-256.
    pub(super) async fn download(
        &self,
        url: &Url,
        part: &Path,
        resume: bool,
        mut progress: impl FnMut(Progress),
    ) -> Result<String, Error> {
        let failed = |error: io::Error| Error::write(part, &error);
        make_directory(directory_of(part)).map_err(failed)?;
        if !resume {
            drop(fs::remove_file(part));
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            let had = fs::metadata(part).map_or(0, |metadata| metadata.len());
            match self.continue_at(url, part, had, &mut progress).await {
                Ok(()) => break,
                Err(Trouble::Disk(error)) => return Err(failed(error)),
                Err(Trouble::Http(error)) if error.is_transient() && attempt < ATTEMPTS => {
                    // What came is progress: only attempts that bring nothing count.
                    if fs::metadata(part).map_or(0, |metadata| metadata.len()) > had {
                        attempt = 0;
                    }
                    self.pause(attempt.max(1)).await;
                }
                Err(Trouble::Http(error)) => return Err(error.into()),
            }
        }
        sha256_of(part)
    }

    async fn continue_at(
        &self,
        url: &Url,
        part: &Path,
        had: u64,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(), Trouble> {
        let mut response = match self.ask(url, had).await {
            // All of it is there already, or the rest of something else.
            Err(HttpError::Status { status: 416, .. }) if had > 0 => {
                drop(fs::remove_file(part));
                self.ask(url, 0).await?
            }
            answer => answer?,
        };
        let resumes = response.status() == StatusCode::PARTIAL_CONTENT && starts_at(&response, had);
        let start = if resumes { had } else { 0 };
        let mut options = OpenOptions::new();
        options
            .create(true)
            .write(true)
            .append(resumes)
            .truncate(!resumes);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(part)?;
        let total = response.content_length().map(|rest| start + rest);
        let mut done = start;
        progress(Progress { done, total });
        loop {
            let next = tokio::time::timeout(SILENCE, response.chunk()).await;
            let chunk = match next {
                Ok(chunk) => chunk.map_err(|error| no_answer(url, &error))?,
                Err(_) => return Err(Trouble::Http(silent(url))),
            };
            let Some(chunk) = chunk else { break };
            done += chunk.len() as u64;
            if done > MOST_BYTES {
                return Err(Trouble::Http(HttpError::TooLong {
                    url: shown(url),
                    limit: MOST_BYTES,
                }));
            }
            file.write_all(&chunk)?;
            progress(Progress { done, total });
        }
        file.sync_all()?;
        Ok(())
    }

    async fn ask(&self, url: &Url, from: u64) -> Result<Response, HttpError> {
        let mut request = self.http.client(url)?.get(url.clone());
        request = request.header(
            ACCEPT,
            "application/vnd.github+json, application/octet-stream;q=0.9, */*;q=0.5",
        );
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let sent = tokio::time::timeout(SILENCE, request.send()).await;
        let response = sent
            .map_err(|_| silent(url))?
            .map_err(|error| no_answer(url, &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(HttpError::Status {
            url: shown(url),
            status: status.as_u16(),
            message: String::new(),
            hint: hint_for(status.as_u16()),
        })
    }

    async fn pause(&self, attempt: u32) {
        tokio::time::sleep(self.patience * 2_u32.pow(attempt.min(6) - 1)).await;
    }
}

enum Trouble {
    Disk(io::Error),
    Http(HttpError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<HttpError> for Trouble {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

fn silent(url: &Url) -> HttpError {
    HttpError::NoAnswer {
        url: shown(url),
        reason: "nothing came for 30 seconds".to_owned(),
        hint: "try again later",
        permanent: false,
    }
}

fn hint_for(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "the server wants a sign-in, or has had too many requests: try later, or name a mirror"
        }
        404 => "there is no such release: check repository and version",
        407 => "the proxy wants a sign-in: write it into its URL",
        429 | 500..=599 => "try again later",
        _ => "check the address",
    }
}

/// True if a partial answer starts where the file ends.
fn starts_at(response: &Response, had: u64) -> bool {
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {had}-")))
}

/// The SHA-256 of a file, in hexadecimal.
pub(super) fn sha256_of(path: &Path) -> Result<String, Error> {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let mut context = Context::new(&SHA256);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => context.update(&buffer[..n]),
            }
        }
        let digest = context.finish();
        Ok(digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    };
    read().map_err(|error| Error::read(path, &error))
}
