//! New credentials: of many requests that need one, one asks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::{Instant, sleep_until};

use super::client::Client;
use super::lease::now;
use super::{Account, FAR_MS, Inner};
use crate::accounts::{Lifecycle, RefreshLease, Refreshed, Slot};

/// Gets new credentials. Of many requests that need one, one asks.
pub trait Refresher: Send + Sync + 'static {
    /// A new key for an account. Where several processes share a pool, one of them is asked.
    fn refresh<'a>(
        &'a self,
        account: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<SecretString, RefreshError>> + Send + 'a>>;

    /// The key that another process got meanwhile, where this process can find it. The usual answer
    /// is that it cannot, and goes on with the key that it has.
    fn reload<'a>(
        &'a self,
        account: &'a str,
    ) -> Pin<Box<dyn Future<Output = Option<SecretString>> + Send + 'a>> {
        let _ = account;
        Box::pin(std::future::ready(None))
    }
}

/// Why there is no new credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshError {
    /// It failed for now.
    Failed,
    /// The account needs a new sign-in.
    Dead,
}

impl<C: Client> Inner<C> {
    /// Gets a new credential; or waits, if another request gets one.
    pub(super) async fn refresh(self: &Arc<Self>, slot: Slot, deadline: Option<Instant>) {
        if self.refresher.is_none() {
            return;
        }
        let mut waited = false;
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let lease = {
                let mut pool = self.shared.pool();
                if pool.lifecycle(slot) != Some(Lifecycle::NeedsRefresh) {
                    return;
                }
                pool.refresh_begin(now(), slot)
            };
            match lease {
                Some(lease) if waited => {
                    // The other failed, and so would this.
                    self.shared
                        .pool()
                        .refresh_end(now(), lease, Refreshed::Failed);
                    return;
                }
                Some(lease) => return self.renew(lease).await,
                None => waited = true,
            }
            let end = Instant::now() + Duration::from_millis(FAR_MS);
            tokio::select! {
                () = changed => {}
                () = sleep_until(deadline.unwrap_or(end)) => return,
            }
        }
    }

    /// Gets a new credential. It goes on if the caller goes away: a refresh token that was used and
    /// whose answer is lost is gone.
    async fn renew(self: &Arc<Self>, lease: RefreshLease) {
        let Some(account) = self.account(lease.slot()) else {
            self.shared
                .pool()
                .refresh_end(now(), lease, Refreshed::Failed);
            return;
        };
        let inner = Arc::clone(self);
        let refreshed = tokio::spawn(async move {
            let refreshing = Refreshing::new(&inner.refreshing);
            let (how, alone) = inner.ask_alone(&account).await;
            drop(refreshing);
            inner.shared.pool().refresh_end(now(), lease, how);
            inner.shared.changed.notify_waiters();
            if let Some(alone) = alone {
                alone.end().await;
            }
        });
        // If it panicked, its lease ends by itself.
        let _ = refreshed.await;
    }

    /// Without other processes, nobody else asks.
    #[cfg(not(feature = "redis"))]
    async fn ask_alone(&self, account: &Account) -> (Refreshed, Option<Alone>) {
        (self.ask(account).await, None)
    }

    /// Sends from now on with another key.
    pub(super) fn renewed(&self, account: &Account, secret: SecretString) -> bool {
        let endpoint = account.endpoint.with_secret(secret);
        let Ok(endpoint) = endpoint else {
            return false;
        };
        let spec = account.spec.clone();
        self.keep(Account { spec, endpoint });
        true
    }

    pub(super) async fn ask(&self, account: &Account) -> Refreshed {
        let Some(refresher) = &self.refresher else {
            return Refreshed::Failed;
        };
        match refresher.refresh(&account.spec.id).await {
            Ok(secret) => match self.renewed(account, secret) {
                true => Refreshed::Done,
                false => Refreshed::Failed,
            },
            Err(RefreshError::Failed) => Refreshed::Failed,
            Err(RefreshError::Dead) => Refreshed::Dead,
        }
    }
}

#[cfg(not(feature = "redis"))]
enum Alone {}

#[cfg(not(feature = "redis"))]
impl Alone {
    async fn end(self) {}
}

/// One refresh that is under way, however it ends.
struct Refreshing<'c>(&'c AtomicUsize);

impl<'c> Refreshing<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Refreshing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
