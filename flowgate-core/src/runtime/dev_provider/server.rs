//! The HTTP server of the pretended provider.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};

use super::answers::{Dialect, Failure, put};
use super::limits::{Limiter, Refusal};
use super::script::{Fault, Script};
use super::speech::{Speech, Verb};
use crate::Timestamp;

/// Requests are not larger.
pub(super) const LARGEST_REQUEST: usize = 16 << 20;

/// A pretended provider that listens.
#[derive(Debug)]
pub struct Provider {
    listener: TcpListener,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    script: Script,
    limiter: Mutex<Limiter>,
    answers: AtomicU64,
}

impl State {
    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        // Nothing in there panics; and if it did, the numbers would still be numbers.
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider {
    /// Listens at an address of this machine; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// If it cannot.
    pub fn bind(script: Script, address: SocketAddr) -> io::Result<Self> {
        Self::from_listener(script, TcpListener::bind(address)?)
    }

    /// Takes a socket that listens already, such as one that a supervisor hands over.
    ///
    /// # Errors
    ///
    /// If it cannot be used.
    pub fn from_listener(script: Script, listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let limiter = Mutex::new(Limiter::new(&script, now()));
        let answers = AtomicU64::new(0);
        let state = Arc::new(State {
            script,
            limiter,
            answers,
        });
        Ok(Self { listener, state })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is done: then it accepts no more, and ends when the requests that are
    /// under way have their answers.
    ///
    /// # Errors
    ///
    /// If the socket cannot be used.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let state = self.state;
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        serve_with(self.listener, stop, service).await
    }
}

/// Serves until `stop` is done: then it accepts no more, and ends when the requests that are under
/// way have their answers.
pub(super) async fn serve_with<S, B>(
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    service: S,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // The caller went away again, or there are too many files: the next may do.
                Err(_) => {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        // An answer that is sent in parts arrives in parts.
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A caller that goes away is no error of ours.
            let _ = connection.await;
        });
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

/// Serves a script at an address until `stop` is done.
///
/// # Errors
///
/// As [`Provider::bind`] and [`Provider::serve`].
pub async fn serve(
    script: Script,
    address: SocketAddr,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    Provider::bind(script, address)?.serve(stop).await
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the script says so")
    }
}

impl std::error::Error for Closed {}

type Answered = Result<Response<Reply>, Closed>;

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Answered {
    let path = request.uri().path();
    let verb = match (request.method(), path) {
        (&Method::POST, "/v1/chat/completions" | "/chat/completions") => Verb::Chat,
        (&Method::POST, "/v1/responses" | "/responses") => Verb::Responses,
        (&Method::POST, "/v1/messages") => Verb::Messages,
        (&Method::POST, "/v1/messages/count_tokens") => return count_tokens(&state, request).await,
        (&Method::GET, "/v1/models" | "/models") => return Ok(models(&state, &request)),
        (&Method::GET, "/health" | "/health/liveliness" | "/health/liveness") => {
            return Ok(reply(&state, 200, &json!("I'm alive!")));
        }
        (&Method::GET, "/health/readiness") => {
            return Ok(reply(
                &state,
                200,
                &json!({"status": "healthy", "name": state.script.name}),
            ));
        }
        (&Method::GET, "/dev/counts") => return Ok(counts(&state)),
        _ => {
            let failure =
                Dialect::OpenAi.error(404, "invalid_request_error", None, "Unknown request URL.");
            return Ok(reply(&state, 404, &failure.body));
        }
    };
    speak(&state, verb, request).await
}

fn reply(state: &State, status: u16, body: &Value) -> Response<Reply> {
    let mut response = Response::new(Reply::whole(body.to_string(), None));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    put(headers, "x-served-by", &state.script.name);
    response
}

fn counts(state: &State) -> Response<Reply> {
    let counts: serde_json::Map<_, _> = state
        .limiter()
        .counts()
        .map(|(key, count)| (key.to_owned(), json!(count)))
        .collect();
    reply(state, 200, &Value::Object(counts))
}

fn models(state: &State, request: &Request<Incoming>) -> Response<Reply> {
    if key(request.headers()).is_empty() {
        return refuse(state, Dialect::OpenAi, Refusal::NoKey, "")
            .unwrap_or_else(|Closed| reply(state, 401, &Value::Null));
    }
    let names = if state.script.models.is_empty() {
        vec!["dev-model".to_owned()]
    } else {
        state.script.models.clone()
    };
    let models: Vec<_> = names
        .iter()
        .map(|name| json!({"id": name, "object": "model", "created": 0, "owned_by": state.script.name}))
        .collect();
    reply(state, 200, &json!({"object": "list", "data": models}))
}

/// The key of the caller, in whichever header.
fn key(headers: &HeaderMap) -> &str {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    header("x-api-key")
        .or(bearer)
        .or(header("api-key"))
        .unwrap_or_default()
        .trim()
}

/// A request, as far as it matters here.
struct Asked {
    model: String,
    stream: bool,
    input_tokens: u64,
    output_tokens: u64,
}

impl Asked {
    fn read(verb: Verb, script: &Script, body: &[u8]) -> Result<Self, Failure> {
        let dialect = dialect(verb);
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            dialect.bad_request(&format!(
                "We could not parse the JSON body of your request: {error}"
            ))
        })?;
        let model = value["model"].as_str().unwrap_or_default();
        if model.is_empty() {
            return Err(dialect.bad_request("you must provide a model parameter"));
        }
        let content = if verb == Verb::Responses {
            "input"
        } else {
            "messages"
        };
        if value.get(content).is_none_or(Value::is_null) {
            return Err(dialect.bad_request(&format!("Missing required parameter: '{content}'.")));
        }
        if !script.models.is_empty() && !script.models.iter().any(|known| known == model) {
            return Err(dialect.no_model(model));
        }
        let most = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
            .iter()
            .find_map(|key| value[key].as_u64());
        Ok(Self {
            model: model.to_owned(),
            stream: value["stream"].as_bool() == Some(true),
            // Four characters a token, as a rule of thumb.
            input_tokens: (value[content].to_string().len() as u64).div_ceil(4),
            output_tokens: script.output_tokens.min(most.unwrap_or(u64::MAX)),
        })
    }
}

fn dialect(verb: Verb) -> Dialect {
    match verb {
        Verb::Chat | Verb::Responses => Dialect::OpenAi,
        Verb::Messages => Dialect::Anthropic,
    }
}

async fn read_body(request: Request<Incoming>) -> Option<Bytes> {
    let body = Limited::new(request.into_body(), LARGEST_REQUEST);
    body.collect()
        .await
        .ok()
        .map(http_body_util::Collected::to_bytes)
}

async fn count_tokens(state: &State, request: Request<Incoming>) -> Answered {
    let has_key = !key(request.headers()).is_empty();
    let body = read_body(request).await.ok_or(Closed)?;
    if !has_key {
        return refuse(state, Dialect::Anthropic, Refusal::NoKey, "");
    }
    Ok(match Asked::read(Verb::Messages, &state.script, &body) {
        Ok(asked) => reply(state, 200, &json!({"input_tokens": asked.input_tokens})),
        Err(failure) => reply(state, failure.status, &failure.body),
    })
}

/// Serves one request, or says why not.
async fn speak(state: &Arc<State>, verb: Verb, request: Request<Incoming>) -> Answered {
    let dialect = dialect(verb);
    let key = key(request.headers()).to_owned();
    let body = read_body(request).await.ok_or(Closed)?;
    let asked = match Asked::read(verb, &state.script, &body) {
        Ok(asked) => asked,
        Err(failure) => return Ok(reply(state, failure.status, &failure.body)),
    };
    let tokens = asked.input_tokens + asked.output_tokens;
    let admitted = state.limiter().admit(now(), &key, tokens);
    if let Err(refusal) = admitted {
        if let Refusal::Fault(Fault::Hang, until) = refusal {
            sleep(Duration::from_millis(until.saturating_sub(now()))).await;
        }
        return refuse(state, dialect, refusal, &key);
    }
    let ticket = Ticket {
        state: Arc::clone(state),
        key: key.clone(),
        tokens,
        done: false,
    };
    let at = now();
    if let Some(latency) = state.script.latency {
        sleep(latency.into()).await;
    }
    let mut response = Response::new(tell(state, verb, &asked, at, ticket));
    let headers = response.headers_mut();
    let kind = if asked.stream {
        "text/event-stream"
    } else {
        "application/json"
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    stamp(state, dialect, &key, headers);
    Ok(response)
}

/// The headers that every answer has that is about a key.
fn stamp(state: &State, dialect: Dialect, key: &str, headers: &mut HeaderMap) {
    let answer = state.answers.fetch_add(1, Relaxed) + 1;
    put(headers, "x-served-by", &state.script.name);
    let id = match dialect {
        Dialect::OpenAi => "x-request-id",
        Dialect::Anthropic => "request-id",
    };
    put(headers, id, &format!("req_{}_{answer}", state.script.name));
    if state.script.quota_headers {
        let now = now();
        let standing = state.limiter().standing(now, key);
        dialect.limit_headers(&standing, now, headers);
    }
}

fn refuse(state: &State, dialect: Dialect, refusal: Refusal, key: &str) -> Answered {
    let failure = dialect
        .refusal(refusal, state.script.hints, now())
        .ok_or(Closed)?;
    let mut response = reply(state, failure.status, &failure.body);
    let headers = response.headers_mut();
    // A limit on what runs at a time is not told, nor is anything else on the way.
    if refusal == Refusal::Concurrency {
        return Ok(response);
    }
    stamp(state, dialect, key, headers);
    if let Some(wait) = failure.wait_ms {
        dialect.hint_headers(wait, headers);
    }
    Ok(response)
}

/// The body of an answer.
fn tell(state: &Arc<State>, verb: Verb, asked: &Asked, at: Timestamp, ticket: Ticket) -> Reply {
    let speech = Speech {
        verb,
        script: &state.script,
        model: &asked.model,
        number: state.answers.load(Relaxed) + 1,
        input_tokens: asked.input_tokens,
        output_tokens: asked.output_tokens,
        created: at / 1_000,
    };
    if !asked.stream {
        return Reply::whole(speech.whole().to_string(), Some(ticket));
    }
    let breaks = state.limiter().breaks_streams(now());
    let fault = breaks.then(|| dialect(verb).overloaded().body);
    let events = speech.events(fault.as_ref());
    Reply {
        frames: events.into_iter().map(Bytes::from).collect(),
        interval: state.script.chunk_interval.map(Duration::from),
        pause: None,
        streams: true,
        ticket: Some(ticket),
    }
}

/// A request that is under way. When it is dropped, the limits are told.
#[derive(Debug)]
struct Ticket {
    state: Arc<State>,
    key: String,
    tokens: u64,
    done: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let used = self.done.then_some(self.tokens);
        self.state
            .limiter()
            .finish(now(), &self.key, self.tokens, used);
    }
}

/// The body of an answer: whole, or in parts with pauses between them.
#[derive(Debug)]
struct Reply {
    frames: VecDeque<Bytes>,
    interval: Option<Duration>,
    pause: Option<Pin<Box<Sleep>>>,
    streams: bool,
    ticket: Option<Ticket>,
}

impl Reply {
    fn whole(text: String, ticket: Option<Ticket>) -> Self {
        Self {
            frames: VecDeque::from([Bytes::from(text)]),
            interval: None,
            pause: None,
            streams: false,
            ticket,
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let Some(frame) = self.frames.pop_front() else {
            return Poll::Ready(None);
        };
        if self.frames.is_empty() {
            if let Some(ticket) = &mut self.ticket {
                ticket.done = true;
            }
            // Whoever has read the last part finds its place free.
            self.ticket = None;
        } else if let Some(interval) = self.interval {
            self.pause = Some(Box::pin(sleep(interval)));
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.streams {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.frames.iter().map(|frame| frame.len() as u64).sum())
    }
}
