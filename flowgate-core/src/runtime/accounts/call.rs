//! What is asked of the accounts, and why there may be no answer.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};

use super::endpoint::EndpointError;
use crate::accounts::{Attempt, Pool, Request, Why, session};

/// A request that any account of a pool may serve. `{:?}` hides headers and body.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path at the provider, such as `/v1/messages`.
    pub path: String,
    /// The headers. Keys of the caller are not passed on.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The model, if the limits of one are to count.
    pub model: Option<String>,
    /// The session, whose requests stay with one account.
    pub session: Option<String>,
    /// How many tokens it will take, as far as that can be told.
    pub tokens: u32,
    /// How long to wait and try, until the headers of an answer. None: for ever.
    pub deadline: Option<Duration>,
    /// How long one account may take to answer before the next is tried. None: until the deadline.
    pub attempt_timeout: Option<Duration>,
}

impl Call {
    /// A POST of JSON, with a minute until it has to be answered.
    pub fn post(path: impl Into<String>, json: impl Into<Bytes>) -> Self {
        let kind = HeaderValue::from_static("application/json");
        Self {
            method: Method::POST,
            path: path.into(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, kind)]),
            body: json.into(),
            model: None,
            session: None,
            tokens: 0,
            deadline: Some(Duration::from_secs(60)),
            attempt_timeout: None,
        }
    }

    /// What the pool is asked for the next attempt.
    pub(super) fn request<'a>(&self, pool: &mut Pool, attempt: &'a Attempt) -> Request<'a> {
        Request {
            model: pool.model(self.model.as_deref().unwrap_or_default()),
            session: self.session.as_deref().map(session),
            tokens: self.tokens,
            exclude: attempt.exclude(),
            since: Some(attempt.begun()),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("model", &self.model)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer at all. An answer of a provider, however bad, is an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// No account can serve, as things are.
    #[error("no account can serve this ({why:?}); `flowgate accounts explain` says why for each")]
    NoAccount {
        /// Why.
        why: Why,
    },
    /// No account can serve in time.
    #[error("no account can serve before the deadline ({why:?}); ask again in {wait_ms} ms")]
    Deadline {
        /// Why none could.
        why: Why,
        /// When one can, in milliseconds from now, as far as that is known.
        wait_ms: u64,
    },
    /// The account that was asked last did not answer, and no other is to be asked.
    #[error("`{account}` did not answer: {message}; check the network and its `base_url`")]
    NoAnswer {
        /// The account.
        account: String,
        /// What happened.
        message: String,
    },
    /// An account cannot be asked at all.
    #[error("`{account}`: {error}")]
    Endpoint {
        /// The account.
        account: String,
        /// Why.
        error: EndpointError,
    },
}

impl ExecuteError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoAccount { .. } => "accounts.no_account",
            Self::Deadline { .. } => "accounts.deadline",
            Self::NoAnswer { .. } => "accounts.no_answer",
            Self::Endpoint { error, .. } => error.code(),
        }
    }
}
