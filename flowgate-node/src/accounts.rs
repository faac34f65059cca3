use std::sync::{Mutex, MutexGuard, PoisonError};

use flowgate_core::accounts::{
    self, AccountSpec, Answer, Class, Pick, PoolState, QuotaView, Refreshed, Request, Rule, Rules,
    Settings, Step, Transport,
};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::guard_into_js as into_js;

/// Rules of classification, ready to be asked.
#[napi]
#[derive(Default)]
pub struct ClassifyRules(Rules);

#[napi]
impl ClassifyRules {
    /// Compiles rules, given as JSON.
    #[napi(factory, catch_unwind)]
    pub fn create(env: &Env, rules: String) -> Result<Self> {
        let rules: Vec<Rule> = read(env, "rules", &rules)?;
        let rules = Rules::new(rules).map_err(|error| into_js(env, &error, error.code()))?;
        Ok(Self(rules))
    }
}

/// What a provider answered, or how it did not.
#[napi(object)]
pub struct Said {
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Either<String, Uint8Array>>,
    pub transport: Option<String>,
}

impl Said {
    fn answer<'a>(&'a self, env: &Env, provider: &'a str) -> Result<Answer<'a>> {
        let transport: Option<Transport> = match &self.transport {
            Some(name) => Some(read(env, "transport", &format!("{name:?}"))?),
            None => None,
        };
        Ok(Answer {
            provider,
            status: self.status,
            headers: &self.headers,
            body: match &self.body {
                Some(Either::A(text)) => text.as_bytes(),
                Some(Either::B(bytes)) => bytes,
                None => b"",
            },
            transport,
        })
    }
}

/// What an answer means.
#[napi(object, object_from_js = false, use_nullable = true)]
pub struct Classification {
    pub class: String,
    pub scope: String,
    pub action: String,
    pub cooldown_ms: Option<f64>,
}

impl Classification {
    pub(crate) fn of(
        env: &Env,
        provider: &str,
        said: &Said,
        rules: Option<&ClassifyRules>,
        now: u64,
    ) -> Result<Self> {
        let usual = Rules::default();
        let rules = rules.map_or(&usual, |rules| &rules.0);
        let meaning = accounts::classify(&said.answer(env, provider)?, now, rules);
        Ok(Self {
            class: word(meaning.class),
            scope: word(meaning.scope),
            action: word(meaning.action),
            cooldown_ms: meaning.cooldown_ms.map(|ms| ms as f64),
        })
    }
}

/// The answer of a pick: a permit and its account, or why there is none.
#[napi(object, object_from_js = false)]
pub struct Picked {
    pub permit: Option<BigInt>,
    pub account: Option<String>,
    pub until: Option<f64>,
    pub why: Option<String>,
}

/// What a pool made of an answer.
#[napi(object, use_nullable = true)]
pub struct PoolVerdict {
    pub account: Option<String>,
    pub class: String,
    pub action: String,
    pub until: Option<f64>,
    pub served: bool,
}

/// Which account serves the next request.
#[napi]
pub struct Pool {
    pool: Mutex<accounts::Pool>,
    rules: Rules,
}

#[napi]
impl Pool {
    /// Makes a pool of accounts and settings, given as JSON, and of what another has learned.
    #[napi(factory, catch_unwind)]
    pub fn create(
        env: &Env,
        accounts: String,
        settings: String,
        rules: Option<&ClassifyRules>,
        state: Option<String>,
        now: f64,
    ) -> Result<Self> {
        let now = now as u64;
        let settings: Settings = read(env, "settings", &settings)?;
        let specs: Vec<AccountSpec> = read(env, "accounts", &accounts)?;
        let mut pool = match state {
            None => accounts::Pool::new(settings),
            Some(text) => {
                let state: PoolState = read(env, "state", &text)?;
                accounts::Pool::restore(settings, &state, now)
                    .map_err(|error| into_js(env, &error, error.code()))?
            }
        };
        for (index, spec) in specs.iter().enumerate() {
            if specs[..index].iter().any(|before| before.id == spec.id) {
                return Err(bad(
                    env,
                    &format!("accounts[{index}]: `{}` is there twice", spec.id),
                ));
            }
            pool.upsert(spec, now);
        }
        pool.retain(now, |id| specs.iter().any(|spec| spec.id == id));
        Ok(Self {
            pool: Mutex::new(pool),
            rules: rules.map(|rules| rules.0.clone()).unwrap_or_default(),
        })
    }

    /// Decides who serves a request.
    #[napi(catch_unwind)]
    pub fn pick(
        &self,
        model: String,
        session: Option<String>,
        tokens: u32,
        attempt: Option<&Attempt>,
        since: Option<f64>,
        now: f64,
    ) -> Picked {
        let mut pool = self.lock();
        let failed = attempt.map(Attempt::lock);
        let request = Request {
            model: pool.model(&model),
            session: session.as_deref().map(accounts::session),
            tokens,
            exclude: failed.as_ref().map_or(&[], |attempt| attempt.exclude()),
            since: since.map(|since| since as u64),
        };
        let (permit, account, until, why) = match pool.pick(now as u64, &request) {
            Pick::Use(permit) => {
                let account = pool.id(permit.slot()).map(str::to_owned);
                (Some(BigInt::from(permit.id())), account, None, None)
            }
            Pick::Wait { until, why } => (None, None, Some(until as f64), Some(word(why))),
            Pick::None { why } => (None, None, None, Some(word(why))),
        };
        Picked {
            permit,
            account,
            until,
            why,
        }
    }

    /// The request is over. What to do next is decided too, if it may be sent again.
    #[napi(catch_unwind)]
    pub fn report(
        &self,
        env: &Env,
        permit: BigInt,
        said: Said,
        tokens: Option<u32>,
        now: f64,
    ) -> Result<PoolVerdict> {
        self.end(env, &permit, &said, tokens, now as u64)
            .map(|verdict| self.named(&verdict))
    }

    /// Reports, and says what to do with the request: when to try again, `-1` to refresh the
    /// credential first, nothing to stop.
    #[napi(catch_unwind)]
    pub fn report_attempt(
        &self,
        env: &Env,
        permit: BigInt,
        said: Said,
        tokens: Option<u32>,
        attempt: &Attempt,
        now: f64,
    ) -> Result<(PoolVerdict, Option<f64>)> {
        let verdict = self.end(env, &permit, &said, tokens, now as u64)?;
        let step = self.lock().next(now as u64, &verdict, &mut attempt.lock());
        let step = match step {
            Step::RetryNow => Some(now),
            Step::RetryAt(at) => Some(at as f64),
            Step::Refresh(_) => Some(-1.0),
            Step::Stop => None,
        };
        Ok((self.named(&verdict), step))
    }

    /// The first bytes of an answer came.
    #[napi(catch_unwind)]
    pub fn on_headers(&self, permit: BigInt, said: Said, now: f64) {
        let quota = QuotaView::from_headers(&said.headers, now as u64);
        let mut pool = self.lock();
        if let Some(permit) = pool.permit(permit.get_u64().1) {
            let accepted = said
                .status
                .is_some_and(|status| (200..300).contains(&status));
            pool.on_headers(now as u64, &permit, accepted, &quota);
        }
    }

    /// Asks to refresh a credential; nothing if somebody else does, or there is no such account.
    #[napi(catch_unwind)]
    pub fn refresh_begin(&self, id: String, now: f64) -> Option<RefreshLease> {
        let mut pool = self.lock();
        let slot = pool.find(&id)?;
        let lease = pool.refresh_begin(now as u64, slot)?;
        Some(RefreshLease(Mutex::new(Some(lease))))
    }

    /// The refresh is over.
    #[napi(catch_unwind)]
    pub fn refresh_end(&self, lease: &RefreshLease, done: bool, now: f64) {
        let lease = lease
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let how = if done {
            Refreshed::Done
        } else {
            Refreshed::Failed
        };
        if let Some(lease) = lease {
            self.lock().refresh_end(now as u64, lease, how);
        }
    }

    /// Adds an account, given as JSON, or changes it.
    #[napi(catch_unwind)]
    pub fn upsert(&self, env: &Env, account: String, now: f64) -> Result<()> {
        let spec: AccountSpec = read(env, "account", &account)?;
        self.lock().upsert(&spec, now as u64);
        Ok(())
    }

    /// Removes an account; false if there is none of this id.
    #[napi(catch_unwind)]
    pub fn remove(&self, id: String, now: f64) -> bool {
        let mut pool = self.lock();
        pool.find(&id)
            .is_some_and(|slot| pool.remove(slot, now as u64))
    }

    /// Lets an account serve, or not; false if there is none of this id.
    #[napi(catch_unwind)]
    pub fn set_enabled(&self, id: String, enabled: bool, now: f64) -> bool {
        let mut pool = self.lock();
        pool.find(&id)
            .is_some_and(|slot| pool.set_enabled(slot, enabled, now as u64))
    }

    /// Forgets every failure of an account; false if there is none of this id.
    #[napi(catch_unwind)]
    pub fn reset(&self, id: String, now: f64) -> bool {
        let mut pool = self.lock();
        pool.find(&id)
            .is_some_and(|slot| pool.reset(slot, now as u64))
    }

    /// Learns from the answer of a usage endpoint; false if it is none, or there is no such account.
    #[napi(catch_unwind)]
    pub fn observe_usage(&self, id: String, body: String, now: f64) -> bool {
        let view = QuotaView::from_usage(body.as_bytes(), now as u64);
        let mut pool = self.lock();
        let slot = pool.find(&id);
        let known = view.zip(slot);
        known.is_some_and(|(view, slot)| pool.observe_quota(now as u64, slot, &view))
    }

    /// The ids of the accounts.
    #[napi(catch_unwind)]
    pub fn accounts(&self) -> Vec<String> {
        let pool = self.lock();
        let ids = pool.slots().filter_map(|slot| pool.id(slot));
        ids.map(str::to_owned).collect()
    }

    /// How many requests are under way.
    #[napi(catch_unwind)]
    pub fn inflight(&self) -> u32 {
        self.lock().inflight(None) as u32
    }

    /// Takes back the permits of which nothing was heard for too long; answers how many.
    #[napi(catch_unwind)]
    pub fn expire(&self, now: f64) -> u32 {
        self.lock().expire(now as u64) as u32
    }

    /// All that the pool has learned, as JSON.
    #[napi(catch_unwind)]
    pub fn snapshot(&self) -> String {
        write(&self.lock().snapshot())
    }

    /// Whether each account could serve, as JSON.
    #[napi(catch_unwind)]
    pub fn explain(&self, model: String, session: Option<String>, tokens: u32, now: f64) -> String {
        let mut pool = self.lock();
        let request = Request {
            model: pool.model(&model),
            session: session.as_deref().map(accounts::session),
            tokens,
            ..Request::default()
        };
        write(&pool.explain(now as u64, &request))
    }

    /// What happened since the last call, as JSON.
    #[napi(catch_unwind)]
    pub fn drain_events(&self) -> String {
        let mut pool = self.lock();
        let events: Vec<_> = pool.drain_events().collect();
        let named: Vec<_> = events.iter().map(|event| event.named(&pool)).collect();
        write(&named)
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, accounts::Pool> {
        // A panic inside leaves a pool that has forgotten a request, and still decides.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(
        &self,
        env: &Env,
        permit: &BigInt,
        said: &Said,
        tokens: Option<u32>,
        now: u64,
    ) -> Result<accounts::Verdict> {
        let said = said.answer(env, "")?;
        let mut pool = self.lock();
        let Some(permit) = pool.permit(permit.get_u64().1) else {
            let answer = accounts::classify(&said, now, &self.rules);
            return Ok(accounts::Verdict {
                slot: None,
                class: answer.class,
                action: answer.action,
                until: None,
            });
        };
        Ok(pool.answered(now, permit, &said, tokens, &self.rules))
    }

    fn named(&self, verdict: &accounts::Verdict) -> PoolVerdict {
        let pool = self.lock();
        PoolVerdict {
            account: verdict
                .slot
                .and_then(|slot| pool.id(slot))
                .map(str::to_owned),
            class: word(verdict.class),
            action: word(verdict.action),
            until: verdict.until.map(|until| until as f64),
            served: verdict.class == Class::Ok,
        }
    }
}

/// One request over all the times that it is sent.
#[napi]
pub struct Attempt(Mutex<accounts::Attempt>);

#[napi]
impl Attempt {
    /// A request that is asked for now, and is of no use after the deadline.
    #[napi(factory, catch_unwind)]
    pub fn create(now: f64, deadline: Option<f64>) -> Self {
        let deadline = deadline.map(|deadline| deadline as u64);
        Self(Mutex::new(accounts::Attempt::new(now as u64, deadline)))
    }
}

impl Attempt {
    fn lock(&self) -> MutexGuard<'_, accounts::Attempt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to refresh one credential.
#[napi]
pub struct RefreshLease(Mutex<Option<accounts::RefreshLease>>);

fn read<T: DeserializeOwned>(env: &Env, what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| bad(env, &format!("{what}: {error}")))
}

fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn bad(env: &Env, message: &str) -> Error {
    into_js(env, &message, "accounts.invalid")
}

/// The word that JSON has for a value.
fn word(value: impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}
