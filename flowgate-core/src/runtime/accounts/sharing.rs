//! An executor whose pool is shared with other processes.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::lease::now;
use super::{Account, Attempt, Call, Client, Executor, Inner};
use crate::accounts::{Lifecycle, Pick, Refreshed};
use crate::runtime::shared::{Fleet, Lease, Options, Status, refresh_lease};

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
    pub(super) async fn choose(&self, call: &Call, attempt: &Attempt) -> Pick {
        let Some(fleet) = self.fleet().filter(Fleet::is_strict) else {
            return self.pick(call, attempt);
        };
        let request = call.request(&mut self.shared.pool(), attempt);
        fleet.pick(&request).await
    }
}

/// The right to be the only one that refreshes a credential, until others know how that ended.
pub(super) struct Alone {
    fleet: Fleet,
    name: String,
    token: String,
}

impl Alone {
    /// It is over, and the pool knows how.
    pub(super) async fn end(self) {
        self.fleet.release_refresh(&self.name, &self.token).await;
    }
}

impl<C: Client> Inner<C> {
    /// Gets a new credential, or waits until another process has got it. The right to do so is to be
    /// kept until the pool knows how it ended.
    pub(super) async fn ask_alone(&self, account: &Account) -> (Refreshed, Option<Alone>) {
        let Some(fleet) = self.fleet() else {
            return (self.ask(account).await, None);
        };
        let id = &account.spec.id;
        let name = refresh_lease(id);
        loop {
            match fleet.lease_refresh(&name).await {
                // Nobody can tell whether another does: better twice than never.
                Lease::Away => return (self.ask(account).await, None),
                Lease::Mine(token) => {
                    let how = match self.is_refused(id) {
                        true => self.ask(account).await,
                        false => self.reload(account).await,
                    };
                    return (how, Some(Alone { fleet, name, token }));
                }
                Lease::Others(until) => {
                    let time = Duration::from_millis(until.saturating_sub(now()).max(1));
                    tokio::time::sleep(time.min(LOOK)).await;
                    if !self.is_refused(id) {
                        return (self.reload(account).await, None);
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
