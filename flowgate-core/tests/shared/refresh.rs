//! A credential that was refused is refreshed by one process of all.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flowgate_core::accounts::{AccountSpec, Rules, Settings};
use flowgate_core::runtime::accounts::{
    Call, Client, Endpoint, Executor, RefreshError, Refresher, SendError,
};
use flowgate_core::runtime::shared::{Options, State};
use http_body_util::Full;
use secrecy::SecretString;

use crate::server::Server;

/// What all processes read: the key that is good, and how often it was made.
#[derive(Clone, Default)]
struct Vault {
    key: Arc<Mutex<Option<&'static str>>>,
    made: Arc<AtomicUsize>,
}

impl Refresher for Vault {
    fn refresh<'a>(
        &'a self,
        _account: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<SecretString, RefreshError>> + Send + 'a>> {
        Box::pin(async {
            self.made.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            *self.key.lock().unwrap() = Some("new");
            Ok("new".into())
        })
    }

    fn reload<'a>(
        &'a self,
        _account: &'a str,
    ) -> Pin<Box<dyn Future<Output = Option<SecretString>> + Send + 'a>> {
        let key = *self.key.lock().unwrap();
        Box::pin(std::future::ready(key.map(Into::into)))
    }
}

/// A provider that knows the new key.
struct Provider;

impl Client for Provider {
    type Body = Full<Bytes>;

    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Full<Bytes>>, SendError> {
        let key = request.headers()["authorization"].as_bytes();
        let status = if key == b"Bearer new" { 200 } else { 401 };
        let answer = http::Response::builder().status(status);
        Ok(answer.body(Full::default()).unwrap())
    }
}

async fn executor(server: &Server, vault: &Vault) -> Executor<Provider> {
    let executor = Executor::with_refresher(
        Provider,
        Settings::default(),
        Rules::default(),
        vault.clone(),
    );
    let old = SecretString::from("old");
    let endpoint = Endpoint::new("openai", Some("http://provider.example"), Some(old)).unwrap();
    executor.upsert(AccountSpec::new("a", "openai"), endpoint, None);
    let options = Options::new(&server.url().into()).unwrap();
    let fleet = executor.share(options.timeout(Duration::from_secs(5)));
    assert_eq!(fleet.settled().await.state, State::Shared);
    executor
}

#[tokio::test]
async fn three_that_are_refused_at_once_refresh_once() {
    let Some(server) = Server::start() else {
        return;
    };
    let vault = Vault::default();
    let mut executors = Vec::new();
    for _ in 0..3 {
        executors.push(executor(&server, &vault).await);
    }
    let asked = executors.iter().map(|executor| {
        let executor = executor.clone();
        tokio::spawn(async move {
            let answer = executor.execute(&Call::post("/v1/responses", "{}")).await;
            answer.map(|answer| answer.status.as_u16())
        })
    });
    for answer in asked.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), Ok(200));
    }
    assert_eq!(vault.made.load(SeqCst), 1);
}
