//! The account pool as a handle: the caller brings the time and keeps the number of its permit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::FlowgateError;
use crate::Timestamp;
use crate::accounts::{
    self, AccountSpec, Action, Answer, Class, Outcome, Permit, PoolState, QuotaView, Request,
    Rules, Scope, Settings, Slot, Transport, Why,
};

/// What came back from a provider, or how it failed to.
#[derive(Clone, Default, uniffi::Record)]
pub struct ProviderAnswer {
    /// The HTTP status, if there was one.
    #[uniffi(default = None)]
    pub status: Option<u16>,
    /// The headers.
    #[uniffi(default)]
    pub headers: HashMap<String, String>,
    /// The body, at least its first 16 KB.
    #[uniffi(default = "")]
    pub body: String,
    /// How the exchange ended, if not with an answer.
    #[uniffi(default = None)]
    pub transport: Option<Transport>,
}

/// Headers and bodies may hold what nobody should see.
impl std::fmt::Debug for ProviderAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderAnswer")
            .field("status", &self.status)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl ProviderAnswer {
    fn of<'a>(&'a self, provider: &'a str, headers: &'a Vec<(&str, &str)>) -> Answer<'a> {
        Answer {
            provider,
            status: self.status,
            headers,
            body: self.body.as_bytes(),
            transport: self.transport,
        }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let pairs = self.headers.iter();
        pairs
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}

/// See [`crate::accounts::Classification`]. Its `class` is a `kind` here, since every object of Ruby
/// has a class.
#[derive(Clone, Copy, Debug, Eq, PartialEq, uniffi::Record)]
pub struct Classification {
    /// What kind of answer it is.
    pub kind: Class,
    /// Whom it is about.
    pub scope: Scope,
    /// What to do with the request.
    pub action: Action,
    /// How long the provider asks to wait, in milliseconds, where it says so.
    pub cooldown_ms: Option<u64>,
}

/// See [`crate::accounts::classify`].
#[uniffi::export]
pub fn classify(provider: &str, answer: ProviderAnswer, now: Timestamp) -> Classification {
    let headers = answer.headers();
    let meaning = accounts::classify(&answer.of(provider, &headers), now, &Rules::default());
    Classification {
        kind: meaning.class,
        scope: meaning.scope,
        action: meaning.action,
        cooldown_ms: meaning.cooldown_ms,
    }
}

/// See [`crate::accounts::Pick`].
#[derive(Clone, Debug, Eq, PartialEq, uniffi::Enum)]
pub enum Pick {
    /// Send it with this account, and report.
    Use {
        /// The account.
        account: String,
        /// What to report with.
        permit: u64,
    },
    /// Nobody can now. Ask again then, or when something was reported.
    Wait {
        /// When somebody can, in milliseconds since 1970, if nothing else happens.
        until: Timestamp,
        /// Why nobody can now.
        why: Why,
    },
    /// Nobody can, as things are.
    Never {
        /// Why.
        why: Why,
    },
}

/// See [`crate::accounts::Verdict`].
#[derive(Clone, Debug, Eq, PartialEq, uniffi::Record)]
pub struct PoolVerdict {
    /// The account; nothing if the permit was reported before, or taken back.
    pub account: Option<String>,
    /// What kind of answer it was.
    pub kind: Class,
    /// What to do with the request.
    pub action: Action,
    /// Until when the account, the model or the provider is left alone because of it, in
    /// milliseconds since 1970.
    pub until: Option<Timestamp>,
}

/// See [`crate::accounts::Pool`]. May be shared by threads.
#[derive(Debug, uniffi::Object)]
pub struct Pool(Mutex<accounts::Pool>);

#[uniffi::export]
impl Pool {
    /// A pool of accounts, a JSON array of [`AccountSpec`]; `settings` are those of
    /// [`Settings`] as a JSON object, and `state` is what [`snapshot`](Self::snapshot) gave before.
    ///
    /// # Errors
    ///
    /// [`FlowgateError::AccountsError`] if one of them cannot be used.
    #[uniffi::constructor(default(settings = "{}", state = None))]
    pub fn new(
        accounts: &str,
        now: Timestamp,
        settings: &str,
        state: Option<String>,
    ) -> Result<Self, FlowgateError> {
        let settings: Settings = read("settings", settings)?;
        let specs: Vec<AccountSpec> = read("accounts", accounts)?;
        let mut pool = match state {
            None => accounts::Pool::new(settings),
            Some(text) => {
                accounts::Pool::restore(settings, &read::<PoolState>("state", &text)?, now)?
            }
        };
        for spec in &specs {
            pool.upsert(spec, now);
        }
        pool.retain(now, |id| specs.iter().any(|spec| spec.id == id));
        Ok(Self(Mutex::new(pool)))
    }

    /// Decides who serves a request. `session` names a conversation, which stays with its account;
    /// `exclude` names accounts that may not serve; `tokens` is about how many it will take.
    #[uniffi::method(default(model = "", session = None, tokens = 0, exclude = []))]
    pub fn pick(
        &self,
        now: Timestamp,
        model: &str,
        session: Option<String>,
        tokens: u32,
        exclude: Vec<String>,
    ) -> Pick {
        let mut pool = self.lock();
        let model = pool.model(model);
        let exclude: Vec<Slot> = exclude.iter().filter_map(|id| pool.find(id)).collect();
        let request = Request {
            model,
            session: session.as_deref().map(accounts::session),
            tokens,
            exclude: &exclude,
            since: None,
        };
        match pool.pick(now, &request) {
            accounts::Pick::Use(permit) => Pick::Use {
                account: pool.id(permit.slot()).unwrap_or_default().to_owned(),
                permit: permit.id(),
            },
            accounts::Pick::Wait { until, why } => Pick::Wait { until, why },
            accounts::Pick::None { why } => Pick::Never { why },
        }
    }

    /// The headers of an answer came, though its end may be minutes away.
    pub fn on_headers(&self, now: Timestamp, permit: u64, answer: ProviderAnswer) {
        let quota = QuotaView::from_headers(&answer.headers(), now);
        let mut pool = self.lock();
        if let Some(permit) = pool.permit(permit) {
            let accepted = answer
                .status
                .is_some_and(|status| (200..300).contains(&status));
            pool.on_headers(now, &permit, accepted, &quota);
        }
    }

    /// The request is over. Only the first report about a permit counts. `tokens` is how many it
    /// really took.
    #[uniffi::method(default(tokens = None))]
    pub fn report(
        &self,
        now: Timestamp,
        permit: u64,
        answer: ProviderAnswer,
        tokens: Option<u32>,
    ) -> PoolVerdict {
        let headers = answer.headers();
        let quota = QuotaView::from_headers(&headers, now);
        let mut pool = self.lock();
        let permit = pool.permit(permit);
        let slot = permit.as_ref().map(Permit::slot);
        let provider = slot
            .and_then(|slot| pool.provider_of(slot))
            .unwrap_or_default();
        let meaning = accounts::classify(&answer.of(provider, &headers), now, &Rules::default());
        let Some(permit) = permit else {
            return PoolVerdict {
                account: None,
                kind: meaning.class,
                action: meaning.action,
                until: None,
            };
        };
        let outcome = Outcome {
            answer: meaning,
            quota: (!quota.is_empty()).then_some(&quota),
            tokens,
        };
        let verdict = pool.report(now, permit, &outcome);
        PoolVerdict {
            account: verdict
                .slot
                .and_then(|slot| pool.id(slot))
                .map(str::to_owned),
            kind: verdict.class,
            action: verdict.action,
            until: verdict.until,
        }
    }

    /// Adds an account, a JSON object of [`AccountSpec`], or changes it.
    ///
    /// # Errors
    ///
    /// [`FlowgateError::AccountsError`] if it cannot be read.
    pub fn upsert(&self, now: Timestamp, account: &str) -> Result<(), FlowgateError> {
        let spec: AccountSpec = read("account", account)?;
        self.lock().upsert(&spec, now);
        Ok(())
    }

    /// Removes an account; false if there is none of this id.
    pub fn remove(&self, now: Timestamp, id: &str) -> bool {
        let mut pool = self.lock();
        pool.find(id).is_some_and(|slot| pool.remove(slot, now))
    }

    /// Lets an account serve, or not; false if there is none of this id.
    pub fn set_enabled(&self, now: Timestamp, id: &str, enabled: bool) -> bool {
        let mut pool = self.lock();
        pool.find(id)
            .is_some_and(|slot| pool.set_enabled(slot, enabled, now))
    }

    /// Forgets every failure of an account; false if there is none of this id.
    pub fn reset(&self, now: Timestamp, id: &str) -> bool {
        let mut pool = self.lock();
        pool.find(id).is_some_and(|slot| pool.reset(slot, now))
    }

    /// The ids of the accounts.
    pub fn accounts(&self) -> Vec<String> {
        let pool = self.lock();
        let ids = pool.slots().filter_map(|slot| pool.id(slot));
        ids.map(str::to_owned).collect()
    }

    /// How many requests are under way.
    pub fn inflight(&self) -> u32 {
        u32::try_from(self.lock().inflight(None)).unwrap_or(u32::MAX)
    }

    /// Whether each account could serve, and if not, why and until when, as JSON.
    #[uniffi::method(default(model = "", session = None, tokens = 0))]
    pub fn explain(
        &self,
        now: Timestamp,
        model: &str,
        session: Option<String>,
        tokens: u32,
    ) -> String {
        let mut pool = self.lock();
        let request = Request {
            model: pool.model(model),
            session: session.as_deref().map(accounts::session),
            tokens,
            ..Request::default()
        };
        write(&pool.explain(now, &request))
    }

    /// When something happens by itself next, in milliseconds since 1970.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.lock().next_deadline()
    }

    /// Does what is due; answers how many permits were lost.
    pub fn expire(&self, now: Timestamp) -> u32 {
        u32::try_from(self.lock().expire(now)).unwrap_or(u32::MAX)
    }

    /// What happened since the last call, as JSON, oldest first.
    pub fn drain_events(&self) -> String {
        let mut pool = self.lock();
        let events: Vec<_> = pool.drain_events().collect();
        let named: Vec<_> = events.iter().map(|event| event.named(&pool)).collect();
        write(&named)
    }

    /// All that the pool has learned, as JSON: to continue after a restart. No secret is in it.
    pub fn snapshot(&self) -> String {
        write(&self.lock().snapshot())
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, accounts::Pool> {
        // A panic inside leaves a pool that has forgotten a request, and still decides.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read<T: serde::de::DeserializeOwned>(what: &str, json: &str) -> Result<T, FlowgateError> {
    serde_json::from_str(json).map_err(|error| FlowgateError::AccountsError {
        code: "accounts.invalid".to_owned(),
        reason: format!("{what}: {error}"),
    })
}

fn write(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
