//! Requests through the pool, against the pretended provider.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flowgate_core::accounts::{
    AccountSpec, AccountState, Lifecycle, PoolState, QuotaView, Request, Rules, Settings, Standing,
    Strategy, Why,
};
use flowgate_core::runtime::accounts::{
    Call, Client, Endpoint, ExecuteError, Executor, RefreshError, Refresher, Response, client,
};
use flowgate_core::runtime::saved_pool;
use serde_json::json;

use crate::provider::Running;

type Pool = Executor<reqwest::Client>;

fn settings() -> Settings {
    Settings {
        strategy: Strategy::FillFirst,
        jitter: false,
        ..Settings::default()
    }
}

/// A pool whose accounts have these keys at one provider.
fn pool(provider: &Running, keys: &[&str]) -> Pool {
    let executor = Executor::new(client().unwrap(), settings(), Rules::default());
    add(&executor, provider, keys);
    executor
}

fn add(executor: &Pool, provider: &Running, keys: &[&str]) {
    for key in keys {
        let url = provider.url("/v1");
        let endpoint = Endpoint::new("openai", Some(&url), Some((*key).into())).unwrap();
        executor.upsert(AccountSpec::new(*key, "openai"), endpoint, None);
    }
}

fn chat(stream: bool) -> Call {
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream});
    Call {
        model: Some("m".to_owned()),
        deadline: Some(Duration::from_secs(10)),
        ..Call::post("/v1/chat/completions", body.to_string())
    }
}

async fn status<C: Client>(executor: &Executor<C>, call: &Call) -> (u16, String, u32) {
    let response = executor.execute(call).await.unwrap();
    let Response {
        status,
        account,
        attempts,
        body,
        ..
    } = response;
    body.bytes().await.unwrap();
    (status.as_u16(), account, attempts)
}

fn inflight(executor: &Pool) -> usize {
    executor.with_pool(|pool, _| pool.inflight(None))
}

#[tokio::test]
async fn a_limited_account_is_left_for_the_next() {
    let provider = Running::new("limits: {requests_per_minute: 1}");
    let executor = pool(&provider, &["a", "b"]);
    assert_eq!(
        status(&executor, &chat(false)).await,
        (200, "a".to_owned(), 1)
    );
    // The headers said that `a` has nothing left: it is not even asked.
    assert_eq!(
        status(&executor, &chat(false)).await,
        (200, "b".to_owned(), 1)
    );
    assert_eq!(provider.counts().await["a"]["refused"], 0);
    let error = executor.execute(&chat(false)).await.unwrap_err();
    assert!(
        matches!(error, ExecuteError::Deadline { why: Why::Budget, wait_ms } if wait_ms > 10_000),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refusal_without_any_sign_goes_to_the_next() {
    let provider =
        Running::new("{limits: {requests_per_minute: 1}, hints: false, quota_headers: false}");
    let executor = pool(&provider, &["a", "b"]);
    assert_eq!(status(&executor, &chat(false)).await.1, "a");
    assert_eq!(
        status(&executor, &chat(false)).await,
        (200, "b".to_owned(), 2)
    );
}

#[tokio::test]
async fn a_short_wait_is_waited_for() {
    let provider = Running::new("limits: {requests_per_minute: 600, burst: 100ms}");
    let executor = pool(&provider, &["a"]);
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(status(&executor, &chat(false)).await.0, 200);
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(250),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_revoked_key_is_not_asked_again() {
    let provider = Running::new("keys: [{key: a, state: revoked}, {key: b}]");
    let executor = pool(&provider, &["a", "b"]);
    assert_eq!(
        status(&executor, &chat(false)).await,
        (200, "b".to_owned(), 2)
    );
    assert_eq!(
        status(&executor, &chat(false)).await,
        (200, "b".to_owned(), 1)
    );
    assert_eq!(provider.counts().await["a"]["refused"], 1);

    let dead = Running::new("keys: [{key: a, state: deactivated}]");
    let executor = pool(&dead, &["a"]);
    assert_eq!(status(&executor, &chat(false)).await.0, 401);
    let life = executor.with_pool(|pool, _| pool.lifecycle(pool.find("a").unwrap()));
    assert_eq!(life, Some(Lifecycle::Dead));
    let error = executor.execute(&chat(false)).await.unwrap_err();
    assert_eq!(
        error,
        ExecuteError::NoAccount {
            why: Why::Unavailable
        }
    );
}

#[tokio::test]
async fn a_request_at_fault_is_the_callers() {
    let provider = Running::new("models: [other]");
    let executor = pool(&provider, &["a", "b"]);
    let bad = Call::post("/v1/chat/completions", "{}");
    assert_eq!(status(&executor, &bad).await, (400, "a".to_owned(), 1));
    // Another account may have the model; if none has, the answer says so.
    assert_eq!(status(&executor, &chat(false)).await.0, 404);
    assert_eq!(inflight(&executor), 0);
}

#[tokio::test]
async fn an_outage_opens_the_breaker_and_passes() {
    // Making a client takes a while on a busy machine, and the outage starts with the provider.
    let executor = Executor::new(client().unwrap(), settings(), Rules::default());
    let provider = Running::new("outages: [{from: 0s, until: 1500ms, fault: overloaded}]");
    add(&executor, &provider, &["a", "b"]);
    let (code, _, attempts) = status(&executor, &chat(false)).await;
    assert_eq!(code, 200);
    assert!((2..=6).contains(&attempts), "{attempts}");
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_told() {
    let provider = Running::new("outages: [{from: 0s, until: 1h, fault: reset}]");
    let mut settings = settings();
    settings.retry.max_attempts = 2;
    let executor = Executor::new(client().unwrap(), settings, Rules::default());
    add(&executor, &provider, &["a", "b"]);
    let error = executor.execute(&chat(false)).await.unwrap_err();
    assert_eq!(error.code(), "accounts.no_answer");
    assert_eq!(inflight(&executor), 0);
}

#[tokio::test]
async fn an_account_that_hangs_is_left_in_time() {
    let provider = Running::new("latency: 1h");
    let quick = Running::new("");
    let executor = pool(&provider, &["a"]);
    add(&executor, &quick, &["b"]);
    let call = Call {
        attempt_timeout: Some(Duration::from_millis(100)),
        ..chat(false)
    };
    assert_eq!(status(&executor, &call).await.1, "b");
    // The deadline of the caller is no fault of the account.
    let executor = pool(&provider, &["a"]);
    let call = Call {
        deadline: Some(Duration::from_millis(100)),
        ..chat(false)
    };
    let error = executor.execute(&call).await.unwrap_err();
    assert_eq!(error.code(), "accounts.no_answer");
    let standing = executor.with_pool(|pool, now| pool.explain(now, &Request::default()));
    assert_eq!(standing[0].standing, Standing::Eligible);
}

#[tokio::test]
async fn a_stream_occupies_its_account_until_its_end() {
    let provider = Running::new("{chunks: 2, chunk_interval: 20ms}");
    let executor = pool(&provider, &["a"]);
    let mut response = executor.execute(&chat(true)).await.unwrap();
    assert_eq!((response.status.as_u16(), inflight(&executor)), (200, 1));
    let mut text = Vec::new();
    while let Some(chunk) = response.body.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    assert!(text.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(inflight(&executor), 0);
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_cancelled() {
    let provider = Running::new("{limits: {max_inflight: 1}, chunk_interval: 1h}");
    let executor = pool(&provider, &["a"]);
    let mut response = executor.execute(&chat(true)).await.unwrap();
    response.body.chunk().await.unwrap();
    assert_eq!(inflight(&executor), 1);
    drop(response);
    assert_eq!(inflight(&executor), 0);
    provider.until(|counts| counts["a"]["cancelled"] == 1).await;

    // So is a request whose future is dropped.
    let slow = Running::new("latency: 1h");
    let executor = pool(&slow, &["a"]);
    let call = chat(false);
    tokio::select! {
        _ = executor.execute(&call) => unreachable!("it takes an hour"),
        () = async { while inflight(&executor) == 0 { tokio::task::yield_now().await; } } => {}
    }
    assert_eq!(inflight(&executor), 0);
}

#[tokio::test]
async fn an_error_in_a_stream_counts() {
    let provider = Running::new("outages: [{from: 0s, until: 1h, fault: stream}]");
    let executor = pool(&provider, &["a"]);
    let response = executor.execute(&chat(true)).await.unwrap();
    let body = response.body.bytes().await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("server_is_overloaded"));
    let standing = executor.with_pool(|pool, now| pool.explain(now, &Request::default()));
    assert_ne!(standing[0].standing, Standing::Eligible);
}

#[tokio::test]
async fn requests_wait_for_a_place() {
    let provider = Running::new("{limits: {max_inflight: 2}, latency: 30ms}");
    let executor = Executor::new(client().unwrap(), settings(), Rules::default());
    let endpoint = Endpoint::new("openai", Some(&provider.url("")), Some("a".into())).unwrap();
    let spec = AccountSpec {
        max_inflight: Some(2),
        ..AccountSpec::new("a", "openai")
    };
    executor.upsert(spec, endpoint, None);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let executor = executor.clone();
            tokio::spawn(async move { status(&executor, &chat(false)).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), (200, "a".to_owned(), 1));
    }
    assert_eq!(
        provider.counts().await["a"],
        json!({"served": 8, "refused": 0, "cancelled": 0})
    );
}

/// Gives a good key, and counts how often it was asked.
struct Keys(Arc<AtomicUsize>, Result<&'static str, RefreshError>);

impl Refresher for Keys {
    fn refresh<'a>(
        &'a self,
        _account: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<secrecy::SecretString, RefreshError>> + Send + 'a>>
    {
        Box::pin(async {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.1.map(Into::into)
        })
    }
}

#[tokio::test]
async fn one_refresh_serves_all_that_wait() {
    let provider = Running::new("keys: [{key: old, state: revoked}, {key: new}]");
    let asked = Arc::new(AtomicUsize::new(0));
    let keys = Keys(Arc::clone(&asked), Ok("new"));
    let executor = Executor::with_refresher(client().unwrap(), settings(), Rules::default(), keys);
    add(&executor, &provider, &["old"]);
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let executor = executor.clone();
            tokio::spawn(async move { status(&executor, &chat(false)).await.0 })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refresh_that_needs_a_person_ends_the_account() {
    let provider = Running::new("keys: [{key: old, state: revoked}]");
    let keys = Keys(Arc::default(), Err(RefreshError::Dead));
    let executor = Executor::with_refresher(client().unwrap(), settings(), Rules::default(), keys);
    add(&executor, &provider, &["old"]);
    assert_eq!(status(&executor, &chat(false)).await.0, 401);
    let life = executor.with_pool(|pool, _| pool.lifecycle(pool.find("old").unwrap()));
    assert_eq!(life, Some(Lifecycle::Dead));
}

/// Reads the file until it says so; a change is written within a second.
async fn saved(file: &std::path::Path, says: impl Fn(&PoolState) -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !saved_pool(file).unwrap().is_some_and(|state| says(&state)) {
        assert!(Instant::now() < end, "it was not saved");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_learned_is_kept_and_found_again() {
    let provider = Running::new("keys: [{key: a, state: revoked}, {key: b}]");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accounts.json");
    let executor = pool(&provider, &["a", "b"]);
    assert!(!executor.keep_state(&file).unwrap());
    assert_eq!(status(&executor, &chat(false)).await.1, "b");
    let refused = |state: &PoolState| {
        let pool = flowgate_core::accounts::Pool::restore(settings(), state, 0).unwrap();
        pool.lifecycle(pool.find("a").unwrap()) == Some(Lifecycle::NeedsRefresh)
    };
    saved(&file, refused).await;
    // While the collected second passes something changes, and then it ends.
    executor.with_pool(|pool, now| pool.set_enabled(pool.find("b").unwrap(), false, now));
    let disabled = |state: &PoolState| {
        let pool = flowgate_core::accounts::Pool::restore(settings(), state, 0).unwrap();
        pool.view(0)
            .iter()
            .any(|a| a.state == AccountState::Disabled)
    };
    drop(executor);
    saved(&file, disabled).await;

    let again = pool(&provider, &["a", "b"]);
    assert!(again.keep_state(&file).unwrap());
    assert_eq!(status(&again, &chat(false)).await, (200, "b".to_owned(), 1));
    assert_eq!(again.save_error(), None);
}

#[tokio::test]
async fn what_was_learned_survives_a_restart() {
    let provider = Running::new("keys: [{key: a, limits: {requests_per_minute: 1}}, {key: b}]");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accounts.json");
    let executor = pool(&provider, &["a", "b"]);
    assert!(!executor.load(&file).unwrap());
    assert_eq!(status(&executor, &chat(false)).await.1, "a");
    let open = executor.execute(&chat(true)).await.unwrap();
    executor.save(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("Bearer"));

    let again = pool(&provider, &["a", "b"]);
    assert!(again.load(&file).unwrap());
    assert_eq!(inflight(&again), 0);
    assert_eq!(status(&again, &chat(false)).await, (200, "b".to_owned(), 1));
    drop(open);

    std::fs::write(&file, "{}").unwrap();
    assert_eq!(
        again.load(&file).unwrap_err().code(),
        "accounts.state_damaged"
    );
    assert_eq!(status(&again, &chat(false)).await.0, 200);
}

#[tokio::test]
async fn limits_that_are_configured_count_at_once() {
    let provider = Running::new("quota_headers: false");
    let executor = Executor::new(client().unwrap(), settings(), Rules::default());
    for (id, quota) in [("a", Some(1)), ("b", None)] {
        let endpoint =
            Endpoint::new("openai", Some(&provider.url("/v1")), Some(id.into())).unwrap();
        let mut view = QuotaView::default();
        view.requests = quota.map(|limit| flowgate_core::accounts::BucketView {
            limit: Some(limit),
            remaining: limit,
            full_in_ms: None,
        });
        executor.upsert(AccountSpec::new(id, "openai"), endpoint, Some(&view));
    }
    assert_eq!(status(&executor, &chat(false)).await.1, "a");
    assert_eq!(status(&executor, &chat(false)).await.1, "b");
}
