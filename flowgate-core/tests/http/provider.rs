//! The pretended provider, over real sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use flowgate_core::runtime::dev_provider::{Provider, Script};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A provider that runs while this lives.
pub(crate) struct Running {
    address: SocketAddr,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) fn new(script: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let script = Script::from_yaml(script).unwrap();
        let provider = Provider::bind(script, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = provider.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(provider.serve(async {
            let _ = stopped.await;
        }));
        let client = Client::builder().no_proxy().build().unwrap();
        Self {
            address,
            client,
            stop: Some(stop),
            served,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn post(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        let request = self.client.post(self.url(path)).json(body);
        match path {
            "/v1/messages" => request.header("x-api-key", key),
            _ => request.bearer_auth(key),
        }
    }

    async fn chat(&self, key: &str) -> Response {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        self.post("/v1/chat/completions", key, &body)
            .send()
            .await
            .unwrap()
    }

    /// Waits until this holds.
    pub(crate) async fn until(&self, holds: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        while !holds(&self.counts().await) {
            assert!(begun.elapsed() < Duration::from_secs(10));
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn counts(&self) -> Value {
        self.client
            .get(self.url("/dev/counts"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn each_api_answers_in_its_shape() {
    let provider = Running::new("name: one");
    let messages = json!([{"role": "user", "content": "hi"}]);
    let chat = provider.chat("k").await;
    assert_eq!(
        (chat.status().as_u16(), header(&chat, "x-served-by")),
        (200, Some("one"))
    );
    let chat: Value = chat.json().await.unwrap();
    assert_eq!(
        chat["choices"][0]["message"]["content"],
        "This is answer 1 of one."
    );
    assert_eq!(chat["usage"]["completion_tokens"], 16);

    let body = json!({"model": "m", "input": "hi", "max_output_tokens": 3});
    let response: Value = provider
        .post("/v1/responses", "k", &body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&response["status"], &response["usage"]["output_tokens"]),
        (&json!("completed"), &json!(3))
    );

    let body = json!({"model": "m", "messages": messages, "max_tokens": 5});
    let message: Value = provider
        .post("/v1/messages", "k", &body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&message["type"], &message["stop_reason"]),
        (&json!("message"), &json!("end_turn"))
    );

    let count = provider
        .post("/v1/messages/count_tokens", "k", &body)
        .send()
        .await
        .unwrap();
    assert!(
        count.json::<Value>().await.unwrap()["input_tokens"]
            .as_u64()
            .unwrap()
            > 0
    );
    let models = provider
        .client
        .get(provider.url("/v1/models"))
        .bearer_auth("k")
        .send()
        .await
        .unwrap();
    assert_eq!(
        models.json::<Value>().await.unwrap()["data"][0]["id"],
        "dev-model"
    );
    for path in ["/health", "/health/liveliness", "/health/readiness"] {
        assert!(
            provider
                .client
                .get(provider.url(path))
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
    let unknown = provider
        .client
        .get(provider.url("/nowhere"))
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(provider.counts().await["k"]["served"], 3);
}

#[tokio::test]
async fn streams_come_as_events() {
    let provider = Running::new("chunks: 3");
    for (path, content, first, last) in [
        (
            "/v1/chat/completions",
            "messages",
            "data: {",
            "data: [DONE]",
        ),
        (
            "/v1/responses",
            "input",
            "event: response.created",
            "event: response.completed",
        ),
        (
            "/v1/messages",
            "messages",
            "event: message_start",
            "event: message_stop",
        ),
    ] {
        let body = json!({"model": "m", content: "hi", "stream": true});
        let response = provider.post(path, "k", &body).send().await.unwrap();
        assert_eq!(header(&response, "content-type"), Some("text/event-stream"));
        let text = response.text().await.unwrap();
        let events: Vec<&str> = text.trim_end().split("\n\n").collect();
        assert!(events[0].starts_with(first), "{text}");
        assert!(events[events.len() - 1].starts_with(last), "{text}");
        let said = text.contains("\"content\":\"This")
            || text.contains("\"delta\":\"This")
            || text.contains("\"text\":\"This");
        assert!(said, "{text}");
    }
}

#[tokio::test]
async fn limits_are_stated_and_kept() {
    let provider = Running::new("limits: {requests_per_minute: 60, burst: 2s}");
    let first = provider.chat("k").await;
    assert_eq!(header(&first, "x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(header(&first, "x-ratelimit-remaining-requests"), Some("1"));
    assert_eq!(provider.chat("k").await.status(), 200);
    let refused = provider.chat("k").await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = header(&refused, "retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=1_000).contains(&wait) && header(&refused, "retry-after") == Some("1"));
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    assert_eq!(provider.chat("other").await.status(), 200);

    let silent =
        Running::new("{limits: {requests_per_minute: 1}, hints: false, quota_headers: false}");
    silent.chat("k").await;
    let refused = silent.chat("k").await;
    assert!(
        refused
            .headers()
            .keys()
            .all(|name| !name.as_str().contains("rate") && name != "retry-after")
    );
}

#[tokio::test]
async fn anthropic_windows_are_stated() {
    let provider = Running::new("limits: {window: {tokens: 20, length: 5h}}");
    let body = json!({"model": "m", "messages": "hi"});
    let send = || provider.post("/v1/messages", "k", &body).send();
    let first = send().await.unwrap();
    let used: f64 = header(&first, "anthropic-ratelimit-unified-5h-utilization")
        .unwrap()
        .parse()
        .unwrap();
    assert!(used > 0.5, "{used}");
    first.bytes().await.unwrap();
    while send().await.unwrap().status() == 200 {}
    let refused = send().await.unwrap();
    assert_eq!(
        header(&refused, "anthropic-ratelimit-unified-status"),
        Some("rejected")
    );
    assert_eq!(
        refused.json::<Value>().await.unwrap()["error"]["type"],
        "rate_limit_error"
    );
}

#[tokio::test]
async fn keys_faults_and_bad_requests_are_told() {
    let provider = Running::new(
        "{keys: [{key: good}, {key: gone, state: revoked}, {key: poor, state: no_money}], models: [m]}",
    );
    assert_eq!(provider.chat("good").await.status(), 200);
    assert_eq!(provider.chat("gone").await.status(), 401);
    assert_eq!(provider.chat("stranger").await.status(), 401);
    assert_eq!(
        provider.chat("poor").await.json::<Value>().await.unwrap()["error"]["code"],
        "insufficient_quota"
    );
    let send = |body: Value| provider.post("/v1/chat/completions", "good", &body).send();
    assert_eq!(
        send(json!({"model": "x", "messages": []}))
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(send(json!({"messages": []})).await.unwrap().status(), 400);
    assert_eq!(send(json!({"model": "m"})).await.unwrap().status(), 400);
    let garbage = provider
        .client
        .post(provider.url("/v1/messages"))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(garbage.json::<Value>().await.unwrap()["type"], "error");

    let overloaded = Running::new("outages: [{from: 0s, until: 1h, fault: overloaded}]");
    assert_eq!(overloaded.chat("k").await.status(), 503);
    let reset = Running::new("outages: [{from: 0s, until: 1h, fault: reset}]");
    let body = json!({"model": "m", "messages": []});
    assert!(
        reset
            .post("/v1/chat/completions", "k", &body)
            .send()
            .await
            .is_err()
    );
    let broken = Running::new("outages: [{from: 0s, until: 1h, fault: stream}]");
    let body = json!({"model": "m", "messages": [], "stream": true});
    let text = broken
        .post("/v1/messages", "k", &body)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        text.contains("overloaded_error") && !text.contains("message_stop"),
        "{text}"
    );
}

#[tokio::test]
async fn a_caller_that_goes_away_frees_its_place() {
    let provider = Running::new("{limits: {max_inflight: 1}, chunk_interval: 1h}");
    let body = json!({"model": "m", "messages": [], "stream": true});
    let mut stream = provider
        .post("/v1/chat/completions", "k", &body)
        .send()
        .await
        .unwrap();
    stream.chunk().await.unwrap();
    assert_eq!(provider.chat("k").await.status(), 429);
    drop(stream);
    provider.until(|counts| counts["k"]["cancelled"] == 1).await;
    assert_eq!(provider.chat("k").await.status(), 200);
}

#[tokio::test]
async fn what_is_under_way_is_finished_before_the_end() {
    let mut provider = Running::new("{chunks: 3, chunk_interval: 50ms}");
    let body = json!({"model": "m", "messages": [], "stream": true});
    let mut stream = provider
        .post("/v1/chat/completions", "k", &body)
        .send()
        .await
        .unwrap();
    stream.chunk().await.unwrap();
    provider.stop.take().unwrap().send(()).unwrap();
    let mut text = String::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    provider.served.await.unwrap().unwrap();
    let refused = provider
        .client
        .get(format!("http://{}/health", provider.address))
        .send()
        .await;
    assert!(refused.is_err());
}
