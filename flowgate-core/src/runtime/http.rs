//! One way to speak HTTP for every driver: ring for TLS, no proxy to this machine, redirects and
//! bodies with a limit, nothing but http and https, and failures in words.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, ClientBuilder, Response, Url, redirect};

/// How many redirects are followed where they are.
const MOST_REDIRECTS: usize = 5;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is read of a body that is not a download, in bytes.
pub(super) const MOST_BODY: usize = 1024 * 1024;

/// Why a request had no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL cannot be asked.
    #[error("`{url}` cannot be asked: {reason}; write it as `https://host/path`")]
    BadUrl {
        /// The URL, without what may be secret.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no answer.
    #[error("`{url}`: {reason}; {hint}")]
    NoAnswer {
        /// The URL, without what may be secret.
        url: String,
        /// Why not.
        reason: String,
        /// What to do about it.
        hint: &'static str,
        /// True if trying again will not help.
        permanent: bool,
    },
    /// The answer is longer than it may be.
    #[error("`{url}`: the answer is longer than {limit} bytes; check the address")]
    TooLong {
        /// The URL, without what may be secret.
        url: String,
        /// The most that is read.
        limit: u64,
    },
    /// The server says no.
    #[error("`{url}`: HTTP {status}{message}; {hint}")]
    Status {
        /// The URL, without what may be secret.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server says, with `: ` before it, or nothing.
        message: String,
        /// What to do about it.
        hint: &'static str,
    },
}

impl HttpError {
    /// A stable, machine-readable name for this kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadUrl { .. } => "http.bad_url",
            Self::NoAnswer { .. } => "http.no_answer",
            Self::TooLong { .. } => "http.too_long",
            Self::Status { .. } => "http.status",
        }
    }

    /// True if trying again may help.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::NoAnswer { permanent, .. } => !*permanent,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::BadUrl { .. } | Self::TooLong { .. } => false,
        }
    }

    /// The reason alone, without address and hint.
    pub fn reason(&self) -> String {
        match self {
            Self::BadUrl { reason, .. } | Self::NoAnswer { reason, .. } => reason.clone(),
            Self::TooLong { .. } => "the answer is too long".to_owned(),
            Self::Status { status, .. } => format!("HTTP {status}"),
        }
    }
}

/// Clients that are made when they are first needed: loading the certificates takes longer than all
/// the rest of a command.
#[derive(Debug, Default)]
pub(super) struct Http {
    follow: bool,
    proxy: Option<Url>,
    local: OnceLock<Result<Client, String>>,
    remote: OnceLock<Result<Client, String>>,
}

impl Http {
    /// Clients that follow no redirect.
    pub(super) fn direct() -> Self {
        Self::default()
    }

    /// Clients that follow a few redirects, to http and https only, and never from https to http.
    pub(super) fn following() -> Self {
        Self {
            follow: true,
            ..Self::default()
        }
    }

    /// The same clients, through a proxy wherever they do not ask this machine.
    pub(super) fn through(mut self, proxy: Option<Url>) -> Self {
        self.proxy = proxy;
        self
    }

    /// The client for a URL.
    pub(super) fn client(&self, url: &Url) -> Result<&Client, HttpError> {
        let made = match is_local(url) && url.scheme() == "http" {
            true => self.local.get_or_init(|| {
                // No certificate is needed, and none is read.
                self.build(Client::builder().no_proxy().tls_certs_only([]))
            }),
            false if is_local(url) => {
                // A service of one's own with TLS: rare, and still no proxy.
                self.remote
                    .get_or_init(|| self.build(Client::builder().no_proxy()))
            }
            false => self.remote.get_or_init(|| {
                let builder = match &self.proxy {
                    Some(url) => match reqwest::Proxy::all(url.clone()) {
                        Ok(proxy) => Client::builder().proxy(proxy),
                        Err(error) => return Err(causes(&error)),
                    },
                    None => Client::builder(),
                };
                self.build(builder)
            }),
        };
        made.as_ref().map_err(|reason| HttpError::NoAnswer {
            url: shown(url),
            reason: reason.clone(),
            hint: "look at the proxy and the certificates of this machine",
            permanent: true,
        })
    }

    fn build(&self, builder: ClientBuilder) -> Result<Client, String> {
        // Another part of the program may have chosen before us, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let policy = match self.follow {
            true => redirect::Policy::custom(follow),
            false => redirect::Policy::none(),
        };
        builder
            .redirect(policy)
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("flowgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| causes(&error))
    }
}

fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let from = attempt.previous().last();
    let secure = from.is_some_and(|url| url.scheme() == "https");
    let local = from.is_some_and(is_local);
    let to = attempt.url().clone();
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("it redirects too often")
    } else if !matches!(to.scheme(), "http" | "https") {
        attempt.error("it redirects to something other than http")
    } else if secure && to.scheme() == "http" {
        attempt.error("it redirects from https to http")
    } else if !local && is_local(&to) {
        attempt.error("it redirects to this machine")
    } else {
        attempt.follow()
    }
}

/// A URL that can be asked.
pub(super) fn parse(text: &str) -> Result<Url, HttpError> {
    let bad = |reason: &str| HttpError::BadUrl {
        url: text.chars().filter(|c| !c.is_control()).collect(),
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(bad("only http and https are spoken")),
    }
}

/// True for this machine: no proxy knows the way there.
pub(super) fn is_local(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// A URL without user, password, query and fragment, which may be secret.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // These fail for URLs that have no host, of which there are none here.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// What went wrong, in words, and what to do about it.
pub(super) fn no_answer(url: &Url, error: &reqwest::Error) -> HttpError {
    let text = causes(error);
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let (reason, hint, permanent) = if error.is_timeout() {
        ("it takes too long to answer", "try again later", false)
    } else if has(&["connection refused"]) {
        (
            "connection refused",
            "nothing listens there: is the service up?",
            false,
        )
    } else if has(&["dns error", "failed to lookup", "name or service not known"]) {
        (
            "the host is not known",
            "check its name and the network",
            true,
        )
    } else if has(&["redirect"]) {
        (text.as_str(), "check the address", true)
    } else if has(&["certificate", "invalid peer"]) {
        (
            text.as_str(),
            "its certificate is not trusted: check the address",
            true,
        )
    } else if has(&[
        "invalid http version",
        "message head is too large",
        "invalid header",
        "parse error",
    ]) {
        ("it does not speak HTTP", "check the port", false)
    } else if error.is_builder() {
        (text.as_str(), "check the address", true)
    } else if has(&[
        "connection reset",
        "closed before",
        "unexpected end of file",
        "incomplete message",
        "end of file before",
    ]) {
        (
            "it closed the connection without a whole answer",
            "try again",
            false,
        )
    } else if has(&["network is unreachable", "no route to host"]) {
        ("there is no way to the network", "check the network", false)
    } else {
        (text.as_str(), "check the address and the network", false)
    };
    HttpError::NoAnswer {
        url: shown(url),
        reason: reason.to_owned(),
        hint,
        permanent,
    }
}

/// The innermost causes of an error: the outer ones only repeat the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    let mut before = innermost;
    while let Some(source) = innermost.source() {
        before = innermost;
        innermost = source;
    }
    let (outer, inner) = (before.to_string(), innermost.to_string());
    let plain = |text: String| {
        text.split(" (os error")
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    match error.source() {
        // Nothing inside: the error itself, without the URL it may name.
        None => plain(
            error
                .to_string()
                .split(" for url")
                .next()
                .unwrap_or_default()
                .to_owned(),
        ),
        Some(_) if outer.contains(&inner) || before.source().is_none() => plain(inner),
        Some(_) if outer.contains("for url") => plain(inner),
        Some(_) => plain(format!("{outer}: {inner}")),
    }
}

/// Runs a future to its end on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, super::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| super::Error::write("/dev/epoll".as_ref(), &error))?;
    Ok(runtime.block_on(future))
}

/// The body as text, up to a limit.
pub(super) async fn body(mut response: Response, limit: usize) -> Result<String, HttpError> {
    let url = response.url().clone();
    let mut bytes = Vec::new();
    loop {
        let chunk = response
            .chunk()
            .await
            .map_err(|error| no_answer(&url, &error))?;
        let Some(chunk) = chunk else { break };
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            return Err(HttpError::TooLong {
                url: shown(&url),
                limit: limit as u64,
            });
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The wait that a server asks for: seconds, or until a date.
pub(super) fn retry_after(response: &Response, now: SystemTime) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_in_every_spelling() {
        let local = |text: &str| is_local(&Url::parse(text).unwrap());
        for url in [
            "http://127.0.0.1:1/",
            "http://127.9.9.9/",
            "http://localhost/",
            "http://[::1]:1/",
            "http://a.localhost/",
            "http://0.0.0.0/",
            "http://2130706433/",
        ] {
            assert!(local(url), "{url}");
        }
        for url in [
            "http://example.com/",
            "http://10.0.0.1/",
            "http://localhost.example/",
            "http://[fe80::1]/",
        ] {
            assert!(!local(url), "{url}");
        }
    }

    #[test]
    fn what_is_shown_of_a_url_holds_no_secret() {
        let url = Url::parse("https://user:pw@h:1/p?token=t#f").unwrap();
        assert_eq!(shown(&url), "https://h:1/p");
        for bad in ["file:///x", "h:4000/x", "", "http://", "ftp://h/"] {
            assert_eq!(parse(bad).unwrap_err().code(), "http.bad_url", "{bad}");
        }
    }
}
