//! The answer that the caller gets: its body passes through, and its end is reported.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};

use super::lease::{Lease, now};
use super::watch::{About, Watch};
use crate::accounts::{Answer, Outcome, Rules, Transport, classify};

/// What a provider answered in the end, good or bad.
#[derive(Debug)]
pub struct Response<B> {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers, as the provider sent them.
    pub headers: HeaderMap,
    /// The account that served.
    pub account: String,
    /// How often the request was sent.
    pub attempts: u32,
    /// The body.
    pub body: Tracked<B>,
}

/// A body that reports how it ended: complete, broken, or dropped by the caller before its end.
pub struct Tracked<B> {
    source: Source<B>,
    track: Option<Track>,
}

enum Source<B> {
    Stream(B),
    Whole(Option<Bytes>),
}

/// What is needed to report.
struct Track {
    lease: Lease,
    watch: Watch,
    provider: String,
    rules: Arc<Rules>,
}

impl<B> fmt::Debug for Tracked<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.track.is_none();
        f.debug_struct("Tracked")
            .field("done", &done)
            .finish_non_exhaustive()
    }
}

/// The body of an answer broke off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct BodyError(String);

impl<B> Tracked<B> {
    /// A body that was read already and is reported.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self {
            source: Source::Whole(Some(bytes)),
            track: None,
        }
    }

    /// A body that is coming in.
    pub(super) fn stream(
        body: B,
        streams: bool,
        lease: Lease,
        provider: &str,
        rules: &Arc<Rules>,
    ) -> Self {
        Self {
            source: Source::Stream(body),
            track: Some(Track {
                lease,
                watch: Watch::new(streams),
                provider: provider.to_owned(),
                rules: Arc::clone(rules),
            }),
        }
    }
}

impl<B: Body<Data = Bytes, Error: fmt::Display> + Unpin> Tracked<B> {
    /// The next part, or `None` at the end.
    ///
    /// # Errors
    ///
    /// If the body breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        while let Some(frame) = self.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// If the body breaks off.
    pub async fn bytes(mut self) -> Result<Bytes, BodyError> {
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let mut all = BytesMut::from(first);
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

impl Track {
    fn about<'t>(provider: &'t str, rules: &'t Rules) -> About<'t> {
        About {
            provider,
            rules,
            now: now(),
        }
    }

    fn see(&mut self, part: &[u8]) {
        self.watch
            .see(part, Self::about(&self.provider, &self.rules));
    }

    fn end(self) {
        let (error, tokens) = self.watch.end(Self::about(&self.provider, &self.rules));
        let mut outcome = Outcome::ok(tokens);
        if let Some(error) = error {
            outcome.answer = error;
        }
        self.lease.report(&outcome);
    }

    fn broke(self) {
        let answer = Answer {
            provider: &self.provider,
            transport: Some(Transport::Eof),
            ..Answer::default()
        };
        let meaning = classify(&answer, now(), &self.rules);
        self.lease.report(&Outcome::from(meaning));
    }
}

impl<B: Body<Data = Bytes, Error: fmt::Display> + Unpin> Body for Tracked<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let body = match &mut this.source {
            Source::Stream(body) => body,
            Source::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
        };
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(track), Some(data)) = (&mut this.track, frame.data_ref()) {
                    track.see(data);
                }
                // Whoever knows the length does not ask for the end.
                if body.is_end_stream()
                    && let Some(track) = this.track.take()
                {
                    track.end();
                }
            }
            Some(Err(_)) => {
                if let Some(track) = this.track.take() {
                    track.broke();
                }
            }
            None => {
                if let Some(track) = this.track.take() {
                    track.end();
                }
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError(error.to_string()))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Stream(body) => self.track.is_none() && body.is_end_stream(),
            Source::Whole(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Stream(body) => body.size_hint(),
            Source::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
        }
    }
}
