#![expect(
    clippy::use_self,
    reason = "`#[napi]` moves signatures to where `Self` has no meaning"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowgate_core::accounts::{
    self, AccountSpec, Class, Pick, PoolGuard, PoolState, QuotaView, Refreshed, Request, Rules,
    Settings, SharedPool, Slot, Step,
};
use flowgate_core::runtime;
use flowgate_core::runtime::shared::{BlockingFleet, FleetRefresh, Options};
use napi::bindgen_prelude::*;
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;

use super::{ClassifyRules, Said, bad, read, word, write};
use crate::config::Config;
use crate::error::guard_into_js as into_js;
use crate::work::{Failure, Work};

/// The answer of a pick: a permit and its account, or why there is none.
#[napi(object, object_from_js = false)]
pub struct Picked {
    pub permit: Option<BigInt>,
    pub account: Option<String>,
    pub until: Option<f64>,
    pub why: Option<String>,
}

impl Picked {
    fn of(pool: &accounts::Pool, pick: &Pick) -> Self {
        let (permit, account, until, why) = match pick {
            Pick::Use(permit) => {
                let account = pool.id(permit.slot()).map(str::to_owned);
                (Some(BigInt::from(permit.id())), account, None, None)
            }
            Pick::Wait { until, why } => (None, None, Some(*until as f64), Some(word(why))),
            Pick::None { why } => (None, None, None, Some(word(why))),
        };
        Self {
            permit,
            account,
            until,
            why,
        }
    }
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
pub struct Pool(Arc<Inner>);

struct Inner {
    pool: SharedPool,
    rules: Rules,
    /// What shares it with other processes.
    fleet: Option<BlockingFleet>,
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
        Ok(Self(Arc::new(Inner {
            pool: SharedPool::from(pool),
            rules: rules.map(|rules| rules.0.clone()).unwrap_or_default(),
            fleet: None,
        })))
    }

    /// Makes a pool of the accounts of a configuration, shared if that says so.
    #[napi(catch_unwind)]
    pub fn of_config(config: &Config, state: Option<String>, now: f64) -> AsyncTask<Work<Pool>> {
        let config = Arc::clone(&config.0);
        Work::start(move || {
            let bad = |error: serde_json::Error| {
                Failure::of(&format!("state: {error}"), "accounts.invalid")
            };
            let state = state.map(|text| serde_json::from_str(&text)).transpose();
            let state: Option<PoolState> = state.map_err(bad)?;
            let accounts = config.settings().accounts.as_ref();
            let pool = runtime::configured_pool(accounts, state.as_ref(), now as u64)
                .map_err(|error| Failure::of(&error, error.code()))?;
            let rules = accounts.map_or_else(|| Ok(Rules::default()), |accounts| accounts.rules());
            let rules = rules.map_err(|error| Failure::of(&error, error.code()))?;
            let pool = SharedPool::from(pool);
            let options = Options::of(&config);
            let options = options.map_err(|error| Failure::of(&error, error.code()))?;
            let fleet = options.map(|options| BlockingFleet::join(&pool, options));
            let fleet = fleet
                .transpose()
                .map_err(|error| Failure::of(&error, "accounts.thread"))?;
            Ok(Self(Arc::new(Inner { pool, rules, fleet })))
        })
    }

    /// How sharing goes, as JSON; nothing if the pool is not shared.
    #[napi(catch_unwind)]
    pub fn shared(&self) -> Option<String> {
        let fleet = self.0.fleet.as_ref()?;
        Some(write(&fleet.status()))
    }

    /// Whether the server is asked whose turn it is: then only `pick_later` is of use.
    #[napi(catch_unwind)]
    pub fn is_strict(&self) -> bool {
        self.0.fleet.as_ref().is_some_and(BlockingFleet::is_strict)
    }

    /// Calls a function when something was learned from another process. It keeps nobody alive.
    #[napi(catch_unwind)]
    pub fn on_change(&self, wake: Function<'_, (), ()>) -> Result<()> {
        let Some(fleet) = &self.0.fleet else {
            return Ok(());
        };
        let wake = wake.build_threadsafe_function::<()>().weak::<true>();
        let wake = wake.build()?;
        fleet.on_change(move || {
            // It fails when the program ends, and nobody waits any more.
            let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        });
        Ok(())
    }

    /// Resolves when the server of a shared pool was reached, or found to be away.
    #[napi(catch_unwind)]
    pub fn settle(&self) -> AsyncTask<Work<bool>> {
        let inner = Arc::clone(&self.0);
        Work::start(move || Ok(inner.fleet.as_ref().map(BlockingFleet::settled).is_some()))
    }

    /// Gives back what this process holds for itself of what is shared.
    #[napi(catch_unwind)]
    pub fn leave(&self) -> AsyncTask<Work<bool>> {
        let inner = Arc::clone(&self.0);
        Work::start(move || Ok(inner.fleet.as_ref().map(BlockingFleet::leave).is_some()))
    }

    /// Decides who serves a request, and asks the server whose turn it is.
    #[napi(catch_unwind)]
    pub fn pick_later(
        &self,
        model: String,
        session: Option<String>,
        tokens: u32,
        attempt: Option<&Attempt>,
        since: Option<f64>,
        now: f64,
    ) -> AsyncTask<Work<Picked>> {
        let inner = Arc::clone(&self.0);
        let failed: Vec<Slot> = attempt.map_or_else(Vec::new, |a| a.lock().exclude().to_vec());
        Work::start(move || {
            let request = Request {
                model: inner.pool.lock().model(&model),
                session: session.as_deref().map(accounts::session),
                tokens,
                exclude: &failed,
                since: since.map(|since| since as u64),
            };
            let pick = match &inner.fleet {
                Some(fleet) => fleet.pick(&request),
                None => inner.pool.lock().pick(now as u64, &request),
            };
            Ok(Picked::of(&inner.pool.lock(), &pick))
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
        let pick = pool.pick(now as u64, &request);
        Picked::of(&pool, &pick)
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
    pub fn refresh_begin(&self, id: String, now: f64) -> AsyncTask<Work<Option<RefreshLease>>> {
        let inner = Arc::clone(&self.0);
        Work::start(move || {
            let Some(slot) = inner.pool.lock().find(&id) else {
                return Ok(None);
            };
            let lease = match &inner.fleet {
                Some(fleet) => fleet.refresh_begin(slot).map(Held::Fleet),
                None => {
                    let lease = inner.pool.lock().refresh_begin(now as u64, slot);
                    lease.map(Held::Alone)
                }
            };
            Ok(lease.map(|lease| RefreshLease(Mutex::new(Some(lease)))))
        })
    }

    /// The refresh is over.
    #[napi(catch_unwind)]
    pub fn refresh_end(&self, lease: &RefreshLease, done: bool, now: f64) -> AsyncTask<Work<bool>> {
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
        let inner = Arc::clone(&self.0);
        Work::start(move || {
            Ok(match (lease, &inner.fleet) {
                (Some(Held::Alone(lease)), _) => {
                    inner.pool.lock().refresh_end(now as u64, lease, how)
                }
                (Some(Held::Fleet(lease)), Some(fleet)) => fleet.refresh_end(lease, how),
                (Some(Held::Fleet(_)), None) | (None, _) => false,
            })
        })
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
    fn lock(&self) -> PoolGuard<'_> {
        self.0.pool.lock()
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
            let answer = accounts::classify(&said, now, &self.0.rules);
            return Ok(accounts::Verdict {
                slot: None,
                class: answer.class,
                action: answer.action,
                until: None,
            });
        };
        Ok(pool.answered(now, permit, &said, tokens, &self.0.rules))
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
pub struct RefreshLease(Mutex<Option<Held>>);

enum Held {
    Alone(accounts::RefreshLease),
    Fleet(FleetRefresh),
}
