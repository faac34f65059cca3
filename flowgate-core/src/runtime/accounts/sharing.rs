//! An executor whose pool is shared with other processes.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::lease::{Turn, now};
use super::{Account, Attempt, Call, Client, Executor, Inner};
use crate::accounts::{Lifecycle, Pick, Refreshed};
use crate::runtime::shared::{Fleet, Lease, Options, Status};

/// How long one process may take to get a new credential before another tries.
const REFRESH: Duration = Duration::from_secs(60);
/// How often to look whether another process has got it.
const LOOK: Duration = Duration::from_millis(500);

impl<C: Client> Executor<C> {
    /// Shares the pool with other processes from now on, in the background: see
    /// [`runtime::shared`](crate::runtime::shared). It has to be called in a tokio runtime.
    pub fn share(&self, options: Options) -> Fleet {
        let shared = Arc::clone(&self.inner.shared);
        let changed = move || shared.changed.notify_waiters();
        let fleet = Fleet::join(self.inner.shared.handle(), options, changed);
        let mut place = self
            .inner
            .fleet
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(fleet.clone());
        fleet
    }

    /// How sharing goes. `None`: the pool is not shared.
    pub fn shared(&self) -> Option<Status> {
        self.inner.fleet().map(|fleet| fleet.status())
    }
}

impl<C> Inner<C> {
    fn fleet(&self) -> Option<Fleet> {
        let fleet = self.fleet.read().unwrap_or_else(PoisonError::into_inner);
        fleet.clone()
    }

    /// Whose turn it is: as the processes agreed on.
    pub(super) async fn choose(&self, call: &Call, attempt: &Attempt) -> (Pick, Turn) {
        let Some(fleet) = self.fleet().filter(Fleet::is_strict) else {
            return (self.pick(call, attempt), None);
        };
        let request = call.request(&mut self.shared.pool(), attempt);
        fleet.pick(&request).await
    }
}

impl<C: Client> Inner<C> {
    /// Gets a new credential, or waits until another process has got it.
    pub(super) async fn ask_alone(&self, account: &Account) -> Refreshed {
        let Some(fleet) = self.fleet() else {
            return self.ask(account).await;
        };
        let id = &account.spec.id;
        let name = format!("r\u{1f}{id}");
        loop {
            match fleet.lease(&name, REFRESH).await {
                // Nobody can tell whether another does: better twice than never.
                Lease::Away => return self.ask(account).await,
                Lease::Mine(token) => {
                    let how = match self.is_refused(id) {
                        true => self.ask(account).await,
                        false => self.reload(account).await,
                    };
                    fleet.release(&name, &token).await;
                    return how;
                }
                Lease::Others(until) => {
                    let time = Duration::from_millis(until.saturating_sub(now()).max(1));
                    tokio::time::sleep(time.min(LOOK)).await;
                    if !self.is_refused(id) {
                        return self.reload(account).await;
                    }
                }
            }
        }
    }

    fn is_refused(&self, id: &str) -> bool {
        let pool = self.shared.pool();
        let slot = pool.find(id);
        slot.and_then(|slot| pool.lifecycle(slot)) == Some(Lifecycle::NeedsRefresh)
    }

    /// Takes over what another process has got.
    async fn reload(&self, account: &Account) -> Refreshed {
        if let Some(refresher) = &self.refresher
            && let Some(secret) = refresher.reload(&account.spec.id).await
        {
            self.renewed(account, secret);
        }
        // The pool knows already: whoever got it has said so.
        Refreshed::Failed
    }
}
