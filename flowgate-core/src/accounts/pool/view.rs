//! What each account is doing, for displays.

use serde::Serialize;

use super::super::{Class, Window};
use super::Pool;
use super::account::{Lifecycle, Slot};
use super::explain::Standing;
use super::pick::{Request, Why};
use crate::Timestamp;

/// An account, whatever is asked of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccountView {
    /// Its id.
    pub id: String,
    /// Its provider.
    pub provider: String,
    /// Its tier.
    pub tier: u8,
    /// The group whose quota it shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What it is doing.
    pub state: AccountState,
    /// When it serves again, if nothing else happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The failure that it rests after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// The models that rest by themselves, while the account serves others.
    pub models: Vec<ModelView>,
    /// How many requests are under way.
    pub inflight: u32,
    /// How many may be, where there is a limit that was set or learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_inflight: Option<u32>,
    /// The requests that are left of its quota, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Remaining>,
    /// The tokens that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Remaining>,
    /// Whether that is a guess from refusals, because the provider states no quota.
    pub guessed: bool,
    /// The long windows, where the provider states them.
    pub windows: Vec<WindowLeft>,
}

/// What an account is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccountState {
    /// It serves.
    Ready,
    /// It has as many requests under way as it may.
    Busy,
    /// One request may find out whether it is back.
    Probing,
    /// It rests after a failure.
    Cooling,
    /// Its quota is used up, and refills.
    Spent,
    /// Its provider is overloaded and left alone.
    Overloaded,
    /// Its credential was refused and is to be refreshed.
    NeedsRefresh,
    /// Its credential is gone for good; it needs a new one.
    Dead,
    /// It was switched off, or has no weight.
    Disabled,
}

/// One model of an account that rests by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelView {
    /// The model.
    pub model: String,
    /// When the account serves it again. `None`: the next request finds out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The failure that it rests after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
}

/// What is left of a quota that refills all the time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Remaining {
    /// That much is left.
    pub level: f64,
    /// Of that much.
    pub limit: f64,
    /// When it is full again.
    pub full_at: Timestamp,
}

/// What is used of a long window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WindowLeft {
    /// Which.
    pub window: Window,
    /// The part that is used, of 1.
    pub used: f64,
    /// When it starts anew.
    pub resets_at: Timestamp,
}

impl Pool {
    /// Says of every account what it is doing. Calls of [`expire`](Self::expire) keep that true
    /// while time passes.
    pub fn view(&self, now: Timestamp) -> Vec<AccountView> {
        let now = self.now.max(now);
        self.slots().map(|slot| self.view_of(slot, now)).collect()
    }

    fn view_of(&self, slot: Slot, now: Timestamp) -> AccountView {
        let index = slot.index;
        let account = &self.accounts[index as usize];
        let budget = self.budgets.get(account.budget as usize);
        let [requests, tokens] = budget.map_or([None; 2], |budget| budget.remaining(now));
        let (state, until) = self.state_of(slot, now);
        let resting = account.breaker.until > now;
        AccountView {
            id: self.ids.name(index).unwrap_or_default().to_owned(),
            provider: self.provider_of(slot).unwrap_or_default().to_owned(),
            tier: account.tier,
            group: self
                .group_names
                .name(self.cold[index as usize].group)
                .map(str::to_owned),
            state,
            until,
            class: account.breaker.reason.filter(|_| resting),
            models: self.resting_models(index, now),
            inflight: account.inflight,
            max_inflight: Some(account.capacity()).filter(|cap| *cap < u32::MAX),
            requests,
            tokens,
            guessed: requests.is_some() && budget.is_some_and(|budget| !budget.is_stated()),
            windows: budget.map_or_else(Vec::new, |budget| budget.windows_left(now)),
        }
    }

    fn state_of(&self, slot: Slot, now: Timestamp) -> (AccountState, Option<Timestamp>) {
        let account = &self.accounts[slot.index as usize];
        if !account.enabled || account.weight == 0 {
            return (AccountState::Disabled, None);
        }
        let (standing, why, until) = self.standing(slot, 0, &Request::default(), now);
        let state = match (account.lifecycle, standing, why) {
            (Lifecycle::Dead, ..) => AccountState::Dead,
            (Lifecycle::NeedsRefresh, ..) => AccountState::NeedsRefresh,
            (_, Standing::Eligible, _) => AccountState::Ready,
            (_, Standing::Probe, _) => AccountState::Probing,
            (_, Standing::Busy, _) => AccountState::Busy,
            (_, _, Some(Why::Budget)) => AccountState::Spent,
            (_, _, Some(Why::Provider)) => AccountState::Overloaded,
            (_, _, Some(Why::Probe)) => AccountState::Probing,
            (_, Standing::Waiting | Standing::Excluded, _) => AccountState::Cooling,
        };
        (state, until)
    }

    /// The models of an account that something was learned about and that do not simply serve.
    fn resting_models(&self, index: u32, now: Timestamp) -> Vec<ModelView> {
        let mut resting = Vec::new();
        let mut place = self.accounts[index as usize].scopes;
        while let Some(state) = self.states.get(place as usize) {
            let until = Some(state.breaker.until).filter(|until| *until > now);
            if until.is_some() || state.breaker.tries(now, &self.settings) {
                resting.push(ModelView {
                    model: self.model_name(state.model).unwrap_or_default().to_owned(),
                    until,
                    class: state.breaker.reason,
                });
            }
            place = state.next;
        }
        resting.sort_by(|a, b| a.model.cmp(&b.model));
        resting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{
        AccountSpec, Action, BucketView, Classification, Outcome, Pick, QuotaView, Scope, Settings,
        WindowView,
    };

    const NOW: Timestamp = 1_700_000_000_000;

    fn fails(pool: &mut Pool, model: &str, class: Class, scope: Scope, cooldown_ms: Option<u64>) {
        let request = Request {
            model: pool.model(model),
            ..Request::default()
        };
        let Pick::Use(permit) = pool.pick(NOW, &request) else {
            panic!("somebody serves");
        };
        let answer = Classification {
            class,
            scope,
            action: Action::Next,
            cooldown_ms,
        };
        pool.report(NOW, permit, &Outcome::from(answer));
    }

    fn pool() -> Pool {
        let mut pool = Pool::new(Settings {
            jitter: false,
            ..Settings::default()
        });
        pool.upsert(&AccountSpec::new("a", "openai"), NOW);
        pool
    }

    fn only(pool: &Pool, now: Timestamp) -> AccountView {
        pool.view(now).remove(0)
    }

    #[test]
    fn an_account_that_rests_says_why_and_until_when() {
        let mut pool = pool();
        assert_eq!(only(&pool, NOW).state, AccountState::Ready);
        fails(&mut pool, "m", Class::Rate, Scope::Account, Some(30_000));
        let resting = only(&pool, NOW);
        assert_eq!(
            (resting.state, resting.until, resting.class),
            (AccountState::Cooling, Some(NOW + 30_000), Some(Class::Rate))
        );
        let back = only(&pool, NOW + 30_000);
        assert_eq!((back.state, back.class), (AccountState::Probing, None));
    }

    #[test]
    fn a_model_rests_by_itself() {
        let mut pool = pool();
        fails(&mut pool, "m", Class::Quota, Scope::Model, Some(60_000));
        let seen = only(&pool, NOW);
        assert_eq!(seen.state, AccountState::Ready);
        let expected = ModelView {
            model: "m".to_owned(),
            until: Some(NOW + 60_000),
            class: Some(Class::Quota),
        };
        assert_eq!(seen.models, [expected]);
    }

    #[test]
    fn who_cannot_come_back_by_itself_has_no_time() {
        let mut pool = pool();
        let slot = pool.find("a").unwrap();
        fails(&mut pool, "", Class::AuthDead, Scope::Account, None);
        assert_eq!(
            (only(&pool, NOW).state, only(&pool, NOW).until),
            (AccountState::Dead, None)
        );
        pool.set_enabled(slot, false, NOW);
        assert_eq!(only(&pool, NOW).state, AccountState::Disabled);
    }

    #[test]
    fn what_is_left_says_when_it_is_full_again() {
        let mut pool = pool();
        let slot = pool.find("a").unwrap();
        let mut quota = QuotaView::default();
        quota.requests = Some(BucketView {
            limit: Some(60),
            remaining: 0,
            full_in_ms: Some(60_000),
        });
        quota.add_window(WindowView {
            used: 0.25,
            resets_at: Some(NOW + 3_600_000),
            ..WindowView::new(Window::FiveHour)
        });
        pool.observe_quota(NOW, slot, &quota);
        let seen = only(&pool, NOW);
        assert_eq!(seen.state, AccountState::Spent);
        let requests = seen.requests.unwrap();
        assert_eq!((requests.level, requests.limit), (0.0, 60.0));
        assert!((NOW + 59_900..=NOW + 60_100).contains(&requests.full_at));
        assert_eq!(
            (seen.windows[0].used, seen.windows[0].resets_at),
            (0.25, NOW + 3_600_000)
        );
        assert!(
            only(&pool, NOW + 3_600_000).windows.is_empty(),
            "it is over"
        );
    }
}
