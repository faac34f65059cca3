//! Where an account's requests go, and with which key.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri};
use secrecy::{ExposeSecret, SecretString};

use super::Call;

/// Where an account's requests go, and with which key. `{:?}` hides the key.
#[derive(Clone, Debug)]
pub struct Endpoint {
    provider: String,
    base_url: String,
    secret: Option<SecretString>,
}

/// The usual addresses of providers.
const USUAL: [(&str, &str); 5] = [
    ("openai", "https://api.openai.com"),
    ("anthropic", "https://api.anthropic.com"),
    ("claude", "https://api.anthropic.com"),
    ("gemini", "https://generativelanguage.googleapis.com"),
    ("openrouter", "https://openrouter.ai/api"),
];

/// What a caller may have set for itself; it is not for the provider.
const OWN_KEYS: [HeaderName; 2] = [AUTHORIZATION, HOST];
const KEY_NAMES: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// Why an endpoint cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The provider has no usual address.
    #[error("where requests for the provider `{0}` go is not known; add `base_url`")]
    NoBaseUrl(String),
    /// The address is none.
    #[error("`{0}` is not an address that can be asked; write it as `https://host/path`")]
    BadUrl(String),
    /// The key has characters that no header can have.
    #[error("the key of `{0}` has characters that cannot be sent; is it the right file?")]
    BadSecret(String),
}

impl EndpointError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoBaseUrl(_) => "accounts.no_base_url",
            Self::BadUrl(_) => "accounts.bad_base_url",
            Self::BadSecret(_) => "accounts.bad_secret",
        }
    }
}

impl Endpoint {
    /// The endpoint of an account.
    ///
    /// * `provider`: decides the usual address and in which header the key goes.
    /// * `base_url`: the address, with or without `/v1` at its end. None: the usual one.
    /// * `secret`: the key. None: requests go without.
    ///
    /// # Errors
    ///
    /// If there is no address, or what there is cannot be sent.
    pub fn new(
        provider: &str,
        base_url: Option<&str>,
        secret: Option<SecretString>,
    ) -> Result<Self, EndpointError> {
        let usual = || {
            USUAL
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(provider))
        };
        let base_url = match base_url {
            Some(url) => url,
            None => usual()
                .map(|(_, url)| *url)
                .ok_or_else(|| EndpointError::NoBaseUrl(provider.to_owned()))?,
        };
        let parsed: Option<Uri> = base_url.parse().ok();
        let good = parsed.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some()
                && uri.query().is_none()
        });
        if !good {
            return Err(EndpointError::BadUrl(base_url.to_owned()));
        }
        let endpoint = Self {
            provider: provider.to_owned(),
            base_url: base_url.trim_end_matches('/').to_owned(),
            secret,
        };
        endpoint
            .key()
            .ok_or_else(|| EndpointError::BadSecret(provider.to_owned()))?;
        Ok(endpoint)
    }

    /// The provider.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The same endpoint with another key.
    pub(super) fn with_secret(&self, secret: SecretString) -> Result<Self, EndpointError> {
        Self::new(&self.provider, Some(&self.base_url), Some(secret))
    }

    /// The request as this account sends it.
    pub(super) fn request(&self, call: &Call) -> Result<Request<Bytes>, EndpointError> {
        let bad = || EndpointError::BadUrl(self.base_url.clone());
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(self.url(&call.path))
            .body(call.body.clone())
            .map_err(|_| bad())?;
        let headers = request.headers_mut();
        headers.clone_from(&call.headers);
        for name in OWN_KEYS {
            headers.remove(name);
        }
        for name in KEY_NAMES {
            headers.remove(name);
        }
        self.sign(headers);
        Ok(request)
    }

    /// `…/v1` and `/v1/messages` make one `/v1`.
    fn url(&self, path: &str) -> String {
        let path = path.trim_start_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let ends_so = self
            .base_url
            .rsplit_once('/')
            .is_some_and(|(_, last)| last == first);
        match ends_so && !rest.is_empty() {
            true => format!("{}/{rest}", self.base_url),
            false => format!("{}/{path}", self.base_url),
        }
    }

    fn sign(&self, headers: &mut HeaderMap) {
        if let Some(Some((name, value))) = self.key() {
            headers.insert(name, value);
        }
        if self.is("anthropic") || self.is("claude") {
            let version = HeaderName::from_static("anthropic-version");
            headers
                .entry(version)
                .or_insert(HeaderValue::from_static("2023-06-01"));
        }
    }

    fn is(&self, provider: &str) -> bool {
        self.provider.eq_ignore_ascii_case(provider)
    }

    /// The header with the key. `None` if it cannot be sent; `Some(None)` if there is none.
    fn key(&self) -> Option<Option<(HeaderName, HeaderValue)>> {
        let Some(secret) = &self.secret else {
            return Some(None);
        };
        let secret = secret.expose_secret().trim();
        let anthropic = self.is("anthropic") || self.is("claude");
        // Tokens of subscriptions are sent as such; they start like this.
        let name = if anthropic && !secret.starts_with("sk-ant-oat") {
            HeaderName::from_static("x-api-key")
        } else if self.is("azure") {
            HeaderName::from_static("api-key")
        } else if self.is("gemini") || self.is("google") {
            HeaderName::from_static("x-goog-api-key")
        } else {
            AUTHORIZATION
        };
        let text = match name == AUTHORIZATION {
            true => format!("Bearer {secret}"),
            false => secret.to_owned(),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(Some((name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(provider: &str, url: Option<&str>, secret: &str) -> Endpoint {
        Endpoint::new(provider, url, Some(secret.into())).unwrap()
    }

    fn sent(endpoint: &Endpoint) -> Request<Bytes> {
        let mut call = Call::post("/v1/messages", "{}");
        call.headers.insert(
            AUTHORIZATION,
            HeaderValue::from_static("Bearer of-the-caller"),
        );
        endpoint.request(&call).unwrap()
    }

    #[test]
    fn each_provider_has_its_address_and_its_header() {
        for (provider, url, header, value) in [
            (
                "openai",
                "https://api.openai.com/v1/messages",
                "authorization",
                "Bearer k",
            ),
            (
                "Anthropic",
                "https://api.anthropic.com/v1/messages",
                "x-api-key",
                "k",
            ),
            (
                "gemini",
                "https://generativelanguage.googleapis.com/v1/messages",
                "x-goog-api-key",
                "k",
            ),
        ] {
            let request = sent(&endpoint(provider, None, "k"));
            assert_eq!(request.uri(), url);
            assert_eq!(request.headers()[header], value);
            let own = request
                .headers()
                .values()
                .any(|value| value.as_bytes().ends_with(b"caller"));
            assert!(!own, "{provider}");
        }
        let subscription = sent(&endpoint("anthropic", None, "sk-ant-oat01-x"));
        assert_eq!(
            subscription.headers()[AUTHORIZATION],
            "Bearer sk-ant-oat01-x"
        );
        assert_eq!(
            sent(&endpoint("azure", Some("https://x.test"), "k")).headers()["api-key"],
            "k"
        );
    }

    #[test]
    fn an_address_may_end_with_the_version() {
        for base in ["http://h:1/v1", "http://h:1/v1/", "http://h:1"] {
            assert_eq!(
                sent(&endpoint("x", Some(base), "k")).uri(),
                "http://h:1/v1/messages"
            );
        }
        assert_eq!(
            sent(&endpoint("x", Some("http://h/a"), "k")).uri(),
            "http://h/a/v1/messages"
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_showing_it() {
        let error = |provider: &str, url: Option<&str>, secret: &str| {
            Endpoint::new(provider, url, Some(secret.into())).unwrap_err()
        };
        assert_eq!(error("mine", None, "k").code(), "accounts.no_base_url");
        for url in ["", "ftp://x", "/v1", "http://", "http://h?x=1"] {
            assert_eq!(
                error("openai", Some(url), "k").code(),
                "accounts.bad_base_url",
                "{url}"
            );
        }
        let bad = error("openai", None, "two\nlines");
        assert_eq!(bad.code(), "accounts.bad_secret");
        assert!(!bad.to_string().contains("lines"));
        assert!(!format!("{:?}", endpoint("openai", None, "hidden")).contains("hidden"));
    }
}
