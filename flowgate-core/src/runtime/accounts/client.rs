//! The HTTP client behind the executor: any that can send a request, and reqwest.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::Body;

use crate::accounts::{Headers, Transport};

/// Headers of the `http` crate are read in place.
impl Headers for HeaderMap {
    fn each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self {
            visit(name.as_str(), value.as_bytes());
        }
    }
}

/// Something that sends requests. It neither retries nor follows limits: the executor does.
pub trait Client: Send + Sync + 'static {
    /// The body of an answer, as it comes in.
    type Body: Body<Data = Bytes, Error: fmt::Display> + Send + Unpin + 'static;

    /// Sends a request and waits for the headers of the answer.
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Self::Body>, SendError>> + Send;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// How it failed.
    pub how: Transport,
    /// In words, without anything secret.
    pub message: String,
}

impl Client for reqwest::Client {
    type Body = reqwest::Body;

    async fn send(&self, request: Request<Bytes>) -> Result<Response<reqwest::Body>, SendError> {
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        self.execute(request)
            .await
            .map(Response::from)
            .map_err(failed)
    }
}

fn failed(error: reqwest::Error) -> SendError {
    let how = if error.is_timeout() {
        Transport::Timeout
    } else if error.is_connect() {
        Transport::Connect
    } else {
        Transport::Reset
    };
    // The URL may have a key in it. The last cause is the one that says something.
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    SendError {
        how,
        message: cause.to_string(),
    }
}

/// A reqwest client with the settings that suit a pool: ring for TLS, and no redirects, which would
/// carry keys elsewhere.
///
/// # Errors
///
/// If the certificates of this machine cannot be read.
pub fn client() -> Result<reqwest::Client, SendError> {
    // Another part of the program may have chosen before us, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(std::time::Duration::from_secs(10))
        .build()
        .map_err(failed)
}
