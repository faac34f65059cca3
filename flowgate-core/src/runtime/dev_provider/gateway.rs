//! A pretended gateway: it reads what LiteLLM reads, and sends each request where that says.
//!
//! It knows deployments (`model_list`), other names for them (`router_settings.model_group_alias`)
//! and what takes over when one fails (`litellm_settings.fallbacks`); that is enough to see what a
//! profile changes, and to put LiteLLM in its place later.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::http::{Http, parse};
use super::server::{LARGEST_REQUEST, serve_with};
use crate::diagnostic::Diagnostic;
use crate::yaml;

/// Where requests go, as a LiteLLM configuration says it. What is not known here is passed over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Routes {
    model_list: Vec<Deployment>,
    router_settings: RouterSettings,
    litellm_settings: LiteLlmSettings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RouterSettings {
    model_group_alias: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LiteLlmSettings {
    fallbacks: Vec<BTreeMap<String, Vec<String>>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Deployment {
    model_name: String,
    litellm_params: Params,
}

/// Where a deployment is. `{:?}` hides its key.
#[derive(Clone, Deserialize)]
struct Params {
    model: String,
    api_base: String,
    #[serde(default)]
    api_key: String,
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Params")
            .field("model", &self.model)
            .field("api_base", &self.api_base)
            .finish_non_exhaustive()
    }
}

impl Routes {
    /// Reads a LiteLLM configuration.
    ///
    /// # Errors
    ///
    /// If it is none, or has no deployment: everything that is wrong, with its place.
    pub fn from_yaml(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let read = yaml::read(text);
        let mut problems = read.problems;
        let decoded = read.root.as_ref().map(|root| yaml::decode(root, &[]));
        let routes = decoded.and_then(|decoded| {
            problems.extend(decoded.problems);
            decoded.value
        });
        problems.retain(Diagnostic::is_error);
        routes.filter(|_| problems.is_empty()).ok_or(problems)
    }

    /// The deployments for a model, in the order in which they are tried.
    fn of(&self, model: &str, turn: usize) -> Vec<&Params> {
        let alias = &self.router_settings.model_group_alias;
        let model = alias.get(model).map_or(model, String::as_str);
        let fallbacks = self.litellm_settings.fallbacks.iter();
        let fallbacks = fallbacks.filter_map(|names| names.get(model)).flatten();
        let names = std::iter::once(model).chain(fallbacks.map(String::as_str));
        names
            .flat_map(|name| {
                let mut group: Vec<&Params> = self
                    .model_list
                    .iter()
                    .filter(|deployment| deployment.model_name == name)
                    .map(|deployment| &deployment.litellm_params)
                    .collect();
                // They take turns.
                let first = turn.checked_rem(group.len()).unwrap_or(0);
                group.rotate_left(first);
                group
            })
            .collect()
    }

    fn names(&self) -> Vec<&str> {
        let aliases = self.router_settings.model_group_alias.keys();
        let models = self.model_list.iter();
        let models = models.map(|deployment| deployment.model_name.as_str());
        let mut names: Vec<&str> = aliases.map(String::as_str).chain(models).collect();
        names.dedup();
        names
    }
}

/// A pretended gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    routes: Routes,
    http: Http,
    turn: AtomicUsize,
}

impl Gateway {
    /// Listens at an address of this machine; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// If it cannot.
    pub fn bind(routes: Routes, address: SocketAddr) -> io::Result<Self> {
        Self::from_listener(routes, TcpListener::bind(address)?)
    }

    /// Takes a socket that listens already, such as one that a supervisor hands over.
    ///
    /// # Errors
    ///
    /// If it cannot be used.
    pub fn from_listener(routes: Routes, listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let state = State {
            routes,
            http: Http::direct(),
            turn: AtomicUsize::new(0),
        };
        let state = Arc::new(state);
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

type Answer = Response<Either<Full<Bytes>, reqwest::Body>>;
type BoxError = Box<dyn Error + Send + Sync>;

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Answer, BoxError> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/health/readiness" | "/health/liveliness" | "/health/liveness") => {
            Ok(reply(StatusCode::OK, &json!({"status": "healthy"})))
        }
        (&Method::GET, "/v1/models" | "/models") => {
            let names = state.routes.names().into_iter();
            let models: Vec<Value> = names
                .map(|name| json!({"id": name, "object": "model", "created": 0, "owned_by": "dev"}))
                .collect();
            Ok(reply(
                StatusCode::OK,
                &json!({"object": "list", "data": models}),
            ))
        }
        (&Method::POST, _) => forward(&state, request).await,
        _ => Ok(refusal(
            StatusCode::NOT_FOUND,
            "there is nothing at this address",
        )),
    }
}

async fn forward(state: &State, request: Request<Incoming>) -> Result<Answer, BoxError> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_REQUEST)
        .collect()
        .await?
        .to_bytes();
    let Ok(Value::Object(mut body)) = serde_json::from_slice(&body) else {
        return Ok(refusal(
            StatusCode::BAD_REQUEST,
            "the body is no JSON object",
        ));
    };
    let model = body
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let turn = state.turn.fetch_add(1, Relaxed);
    let deployments = state.routes.of(model, turn);
    if deployments.is_empty() {
        let known = state.routes.names().join(", ");
        let why = format!("there is no model `{model}`; there are: {known}");
        return Ok(refusal(StatusCode::BAD_REQUEST, &why));
    }
    let mut last = None;
    for params in deployments {
        // LiteLLM has the kind of the provider before the name of the model.
        let (_, name) = params.model.split_once('/').unwrap_or(("", &params.model));
        body.insert("model".to_owned(), name.into());
        let path = head.uri.path().trim_start_matches("/v1");
        let asked = ask(state, params, path, &head.headers, &body).await;
        match asked {
            Ok(answer) if answer.status().is_server_error() || answer.status() == 429 => {
                last = Some(answer);
            }
            Ok(answer) => return Ok(answer),
            Err(why) => last = Some(refusal(StatusCode::BAD_GATEWAY, &why)),
        }
    }
    Ok(last.unwrap_or_else(|| refusal(StatusCode::BAD_GATEWAY, "nobody was asked")))
}

/// Asks one deployment, and passes on what it answers as it comes.
async fn ask(
    state: &State,
    params: &Params,
    path: &str,
    headers: &HeaderMap,
    body: &serde_json::Map<String, Value>,
) -> Result<Answer, String> {
    let url = format!("{}{path}", params.api_base.trim_end_matches('/'));
    let url = parse(&url).map_err(|error| error.to_string())?;
    let client = state.http.client(&url).map_err(|error| error.to_string())?;
    let mut headers = headers.clone();
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    if let Ok(key) = HeaderValue::from_str(&format!("Bearer {}", params.api_key)) {
        headers.insert(AUTHORIZATION, key);
    }
    let request = client.post(url.clone()).headers(headers).json(body);
    let answered = request.send().await;
    let answered =
        answered.map_err(|error| super::super::http::no_answer(&url, &error).to_string())?;
    let mut answer = Response::<reqwest::Body>::from(answered).map(Either::Right);
    for name in [CONNECTION, TRANSFER_ENCODING] {
        answer.headers_mut().remove(name);
    }
    Ok(answer)
}

fn refusal(status: StatusCode, why: &str) -> Answer {
    reply(
        status,
        &json!({"error": {"message": why, "type": "invalid_request_error"}}),
    )
}

fn reply(status: StatusCode, body: &Value) -> Answer {
    let mut response = Response::new(Either::Left(Full::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::super::{Provider, Script};
    use super::*;

    const CONFIG: &str = "
model_list:
  - {model_name: best, litellm_params: {model: openai/b, api_base: 'http://127.0.0.1:PORT/v1', api_key: secret}}
  - {model_name: cheap, litellm_params: {model: openai/c, api_base: 'http://127.0.0.1:1/v1'}}
router_settings: {model_group_alias: {default: cheap}, routing_strategy: simple-shuffle}
litellm_settings: {fallbacks: [{cheap: [best]}]}
";

    async fn post(port: u16, model: &str) -> (u16, String) {
        let client = Http::direct();
        let url = parse(&format!("http://127.0.0.1:{port}/v1/chat/completions")).unwrap();
        let body = json!({"model": model, "messages": []});
        let answer = client.client(&url).unwrap().post(url).json(&body);
        let answer = answer.send().await.unwrap();
        let by = answer.headers().get("x-served-by").cloned();
        let by = by.map_or(String::new(), |by| by.to_str().unwrap().to_owned());
        (answer.status().as_u16(), by)
    }

    #[tokio::test]
    async fn a_request_goes_where_the_configuration_says_and_on_when_that_fails() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let provider = Provider::bind(Script::default(), any).unwrap();
        let config = CONFIG.replace("PORT", &provider.address().unwrap().port().to_string());
        tokio::spawn(provider.serve(std::future::pending()));
        let gateway = Gateway::bind(Routes::from_yaml(&config).unwrap(), any).unwrap();
        let port = gateway.address().unwrap().port();
        tokio::spawn(gateway.serve(std::future::pending()));
        assert_eq!(post(port, "best").await, (200, "dev".to_owned()));
        // By another name, and nobody listens there: the next one answers.
        assert_eq!(post(port, "default").await, (200, "dev".to_owned()));
        assert_eq!(post(port, "other").await.0, 400);
    }

    #[test]
    fn those_of_one_name_take_turns_and_no_key_is_shown() {
        let text = CONFIG.replace("model_name: cheap", "model_name: best");
        let routes = Routes::from_yaml(&text).unwrap();
        let first = |turn| routes.of("best", turn)[0].model.clone();
        assert_eq!(
            [first(0), first(1), first(2)],
            ["openai/b", "openai/c", "openai/b"]
        );
        assert!(!format!("{routes:?}").contains("secret"));
        assert!(Routes::from_yaml("model_list: 3").is_err());
    }
}
