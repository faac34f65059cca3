//! Requests through the account pool: pick, send, observe, and try the next, within a deadline.
//!
//! The pool decides; this sends. A request that fails where another account can serve is sent
//! again with that, and the caller sees one answer. Rotation is for what is yours to use: your own
//! keys, the projects of your organisation, your own accounts. The terms of the providers hold, and
//! nothing here disguises who asks.

mod answer;
mod call;
mod client;
mod endpoint;
mod lease;
mod refresh;
#[cfg(feature = "redis")]
mod sharing;
mod state;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use super::saved_pool::StateError;
pub use answer::{BodyError, Response, Tracked};
pub use call::{Call, ExecuteError};
pub use client::{Client, SendError, client};
pub use endpoint::{Endpoint, EndpointError};
pub use refresh::{RefreshError, Refresher};
#[cfg(fuzzing)]
pub(super) use watch::fuzz as fuzz_body;

use self::lease::{Lease, Shared, now};
use crate::Timestamp;
use crate::accounts::{
    AccountSpec, Action, Answer, Attempt, Classification, Outcome, Pick, Pool, QuotaView, Rules,
    Settings, Slot, Step, Transport, Verdict, Why, classify,
};

/// The longest body of a refusal, in bytes; what is longer breaks off.
const LONGEST_REFUSAL: usize = 1 << 20;
/// How long the body of a refusal may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends requests through a pool of accounts. Clones share the pool.
pub struct Executor<C> {
    inner: Arc<Inner<C>>,
}

struct Inner<C> {
    shared: Arc<Shared>,
    client: C,
    rules: Arc<Rules>,
    accounts: RwLock<HashMap<String, Arc<Account>>>,
    refresher: Option<Box<dyn Refresher>>,
    /// How many credentials are being refreshed.
    refreshing: AtomicUsize,
    /// What shares the pool with other processes.
    #[cfg(feature = "redis")]
    fleet: RwLock<Option<super::shared::Fleet>>,
}

/// Whoever waits for a change learns that there will be none.
impl<C> Drop for Inner<C> {
    fn drop(&mut self) {
        self.shared.changed.notify_waiters();
    }
}

/// An account and where its requests go.
#[derive(Debug)]
struct Account {
    spec: AccountSpec,
    endpoint: Endpoint,
}

impl<C> Clone for Executor<C> {
    fn clone(&self) -> Self {
        let inner = Arc::clone(&self.inner);
        Self { inner }
    }
}

impl<C> fmt::Debug for Executor<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").finish_non_exhaustive()
    }
}

impl<C: Client> Executor<C> {
    /// An executor without accounts.
    pub fn new(client: C, settings: Settings, rules: Rules) -> Self {
        Self::build(client, settings, rules, None)
    }

    /// An executor that can refresh credentials.
    pub fn with_refresher(
        client: C,
        settings: Settings,
        rules: Rules,
        refresher: impl Refresher,
    ) -> Self {
        Self::build(client, settings, rules, Some(Box::new(refresher)))
    }

    fn build(
        client: C,
        settings: Settings,
        rules: Rules,
        refresher: Option<Box<dyn Refresher>>,
    ) -> Self {
        let inner = Arc::new(Inner {
            shared: Arc::new(Shared::new(Pool::new(settings))),
            client,
            rules: Arc::new(rules),
            accounts: RwLock::default(),
            refresher,
            refreshing: AtomicUsize::new(0),
            #[cfg(feature = "redis")]
            fleet: RwLock::default(),
        });
        Self { inner }
    }

    /// Adds an account, or changes the one of that id. `quota` is what it starts with, if that is
    /// known.
    pub fn upsert(&self, spec: AccountSpec, endpoint: Endpoint, quota: Option<&QuotaView>) -> Slot {
        let now = now();
        let mut pool = self.inner.shared.pool();
        let slot = pool.upsert(&spec, now);
        if let Some(quota) = quota {
            pool.observe_quota(now, slot, quota);
        }
        drop(pool);
        self.inner.keep(Account { spec, endpoint });
        self.inner.shared.changed.notify_waiters();
        slot
    }

    /// Takes an account out. What it has under way goes on. Answers whether it was there.
    pub fn remove(&self, id: &str) -> bool {
        let mut pool = self.inner.shared.pool();
        let slot = pool.find(id);
        let removed = slot.is_some_and(|slot| pool.remove(slot, now()));
        drop(pool);
        self.inner.accounts_mut().remove(id);
        self.inner.shared.changed.notify_waiters();
        removed
    }

    /// Looks at the pool, or changes it, at this moment.
    pub fn with_pool<T>(&self, look: impl FnOnce(&mut Pool, Timestamp) -> T) -> T {
        let result = look(&mut self.inner.shared.pool(), now());
        self.inner.shared.changed.notify_waiters();
        result
    }

    /// Sends a request with the account that suits best, and with others if that fails where
    /// another may not, until there is an answer to give to the caller.
    ///
    /// A permit is given back whatever happens: when the body was read to its end, when it breaks
    /// off, and when the caller drops it, or this future, before.
    ///
    /// # Errors
    ///
    /// If no account can serve in time, or none answers. A refusal of a provider that no other
    /// account can turn into a success is no error: it is the answer.
    pub async fn execute(&self, call: &Call) -> Result<Response<C::Body>, ExecuteError> {
        let begun = now();
        let deadline = call.deadline.map(|time| Instant::now() + time);
        let deadline_ms = call
            .deadline
            .map(|time| begun.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
        let mut attempt = Attempt::new(begun, deadline_ms);
        let mut last = None;
        loop {
            let lease = match self.inner.lease(call, &attempt, deadline).await {
                Ok(lease) => lease,
                // What a provider said says more than that nobody else is left.
                Err(error) => return last.unwrap_or(Err(error)),
            };
            let (verdict, answer) = match self.inner.send(call, lease, &attempt, deadline).await? {
                Sent::Served(response) => return Ok(response),
                Sent::Failed(verdict, answer) => (verdict, answer),
            };
            let step = self.inner.shared.pool().next(now(), &verdict, &mut attempt);
            match step {
                Step::RetryNow => {}
                Step::RetryAt(at) => wait_until(at).await,
                Step::Refresh(slot) => self.inner.refresh(slot, deadline).await,
                Step::Stop => return answer,
            }
            last = Some(answer);
        }
    }
}

/// How one try ended.
enum Sent<B> {
    Served(Response<B>),
    Failed(Verdict, Result<Response<B>, ExecuteError>),
}

async fn wait_until(at: Timestamp) {
    tokio::time::sleep(Duration::from_millis(at.saturating_sub(now()))).await;
}

impl<C> Inner<C> {
    fn keep(&self, account: Account) {
        self.accounts_mut()
            .insert(account.spec.id.clone(), Arc::new(account));
    }

    fn accounts_mut(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Arc<Account>>> {
        self.accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, slot: Slot) -> Option<Arc<Account>> {
        let id = self.shared.pool().id(slot)?.to_owned();
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.get(&id).map(Arc::clone)
    }

    /// Without other processes, this one chooses.
    #[cfg(not(feature = "redis"))]
    async fn choose(&self, call: &Call, attempt: &Attempt) -> Pick {
        self.pick(call, attempt)
    }

    fn pick(&self, call: &Call, attempt: &Attempt) -> Pick {
        let mut pool = self.shared.pool();
        let request = call.request(&mut pool, attempt);
        pool.pick(now(), &request)
    }

    /// Waits until an account can serve.
    async fn lease(
        &self,
        call: &Call,
        attempt: &Attempt,
        deadline: Option<Instant>,
    ) -> Result<Lease, ExecuteError> {
        loop {
            // Before the pick, so that nothing that is reported after it is missed.
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let (until, why) = match self.choose(call, attempt).await {
                Pick::Use(permit) => {
                    return Ok(Lease::new(Arc::clone(&self.shared), permit));
                }
                Pick::Wait { until, why } => (until, why),
                Pick::None { why } => return Err(ExecuteError::NoAccount { why }),
            };
            let wait_ms = until.saturating_sub(now());
            let late = ExecuteError::Deadline { why, wait_ms };
            let ready = Instant::now() + Duration::from_millis(wait_ms.min(FAR_MS));
            // What is under way may end at any time, and so may a probe; anything else comes when it
            // is said to.
            let anytime = matches!(why, Why::Concurrency | Why::Probe | Why::Affinity);
            let hopeless = !anytime && deadline.is_some_and(|deadline| ready > deadline);
            if hopeless || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(late);
            }
            let wake = deadline.map_or(ready, |deadline| deadline.min(ready));
            tokio::select! {
                () = changed => {}
                () = sleep_until(wake) => {}
            }
        }
    }
}

/// Longer than anyone sleeps.
const FAR_MS: u64 = 24 * 60 * 60 * 1000;

impl<C: Client> Inner<C> {
    /// Sends a request with one account.
    async fn send(
        &self,
        call: &Call,
        lease: Lease,
        attempt: &Attempt,
        deadline: Option<Instant>,
    ) -> Result<Sent<C::Body>, ExecuteError> {
        let Some(account) = self.account(lease.slot()) else {
            // It was taken out since it was picked.
            let verdict = report(lease, self.lost("", Transport::Cancelled));
            let verdict = Verdict {
                action: Action::Next,
                ..verdict
            };
            return Ok(Sent::Failed(
                verdict,
                Err(ExecuteError::NoAccount {
                    why: Why::NoneMatch,
                }),
            ));
        };
        let id = &account.spec.id;
        let provider = account.endpoint.provider();
        let endpoint_error = |error| ExecuteError::Endpoint {
            account: id.clone(),
            error,
        };
        let request = account.endpoint.request(call).map_err(endpoint_error)?;
        let own = call.attempt_timeout.map(|time| Instant::now() + time);
        let answer = match own.into_iter().chain(deadline).min() {
            None => Ok(self.client.send(request).await),
            Some(end) => timeout_at(end, self.client.send(request)).await,
        };
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let verdict = report(lease, self.lost(provider, error.how));
                let error = ExecuteError::NoAnswer {
                    account: id.clone(),
                    message: error.message,
                };
                return Ok(Sent::Failed(verdict, Err(error)));
            }
            Err(_) if own.is_some_and(|own| deadline.is_none_or(|deadline| own < deadline)) => {
                let verdict = report(lease, self.lost(provider, Transport::Timeout));
                let message = "it took too long".to_owned();
                let error = ExecuteError::NoAnswer {
                    account: id.clone(),
                    message,
                };
                return Ok(Sent::Failed(verdict, Err(error)));
            }
            // The time of the caller is over, which says nothing about the account.
            Err(_) => {
                drop(lease);
                let message = "it did not answer before the deadline".to_owned();
                return Err(ExecuteError::NoAnswer {
                    account: id.clone(),
                    message,
                });
            }
        };
        let (head, body) = response.into_parts();
        let attempts = attempt.sent() + 1;
        let answer = |status: StatusCode, headers: HeaderMap, body| Response {
            status,
            headers,
            account: id.clone(),
            attempts,
            body,
        };
        if head.status.is_success() {
            lease.accepted(&QuotaView::from_headers(&head.headers, now()));
            let streams = is_stream(&head.headers);
            let body = Tracked::stream(body, streams, lease, provider, &self.rules);
            return Ok(Sent::Served(answer(head.status, head.headers, body)));
        }
        let body = refusal(body).await;
        let (meaning, quota) = self.meaning(provider, head.status, &head.headers, &body);
        let outcome = Outcome {
            quota: Some(&quota),
            ..Outcome::from(meaning)
        };
        let verdict = lease.report(&outcome).unwrap_or_else(|| gone(meaning));
        let response = answer(head.status, head.headers, Tracked::whole(body));
        Ok(Sent::Failed(verdict, Ok(response)))
    }

    fn meaning(
        &self,
        provider: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> (Classification, QuotaView) {
        let now = now();
        let answer = Answer {
            provider,
            status: Some(status.as_u16()),
            headers,
            body,
            transport: None,
        };
        (
            classify(&answer, now, &self.rules),
            QuotaView::from_headers(headers, now),
        )
    }

    /// The meaning of no answer.
    fn lost(&self, provider: &str, how: Transport) -> Classification {
        let answer = Answer {
            provider,
            transport: Some(how),
            ..Answer::default()
        };
        classify(&answer, now(), &self.rules)
    }
}

fn report(lease: Lease, meaning: Classification) -> Verdict {
    lease
        .report(&Outcome::from(meaning))
        .unwrap_or_else(|| gone(meaning))
}

/// The verdict on a permit that is gone, which a lease never has.
fn gone(meaning: Classification) -> Verdict {
    Verdict {
        slot: None,
        class: meaning.class,
        action: meaning.action,
        until: None,
    }
}

/// The body of a refusal, as far as it comes.
async fn refusal<B: hyper::body::Body<Data = Bytes, Error: fmt::Display> + Unpin>(
    mut body: B,
) -> Bytes {
    let mut read = bytes::BytesMut::new();
    let end = Instant::now() + REFUSAL_TIMEOUT;
    while let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await {
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data[..data.len().min(LONGEST_REFUSAL - read.len())]);
        }
        if read.len() == LONGEST_REFUSAL {
            break;
        }
    }
    read.freeze()
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| {
        kind.trim_start()
            .to_ascii_lowercase()
            .starts_with("text/event-stream")
    })
}
