//! The pool by the numbers of its permits.
//!
//! No lock is held while Python runs, so that a fork finds none taken.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowgate_core::accounts::{
    self, AccountSpec, Attempt, Pick, PoolGuard, PoolState, QuotaView, RefreshLease, Refreshed,
    Request, Rules, Settings, SharedPool, Slot, Step,
};
use flowgate_core::runtime;
use flowgate_core::runtime::shared::{BlockingFleet, FleetRefresh, Options};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyMapping, PyString, PyTuple};

use super::{ClassifyRules, PoolVerdict, Said, Text, bad, from_py, pairs, to_py, word};
use crate::config::Config;
use crate::error::AccountsError;
use crate::now;

/// The native half of :class:`flowgate.Pool`.
#[pyclass(frozen, subclass, name = "_Pool", module = "flowgate._flowgate")]
pub(crate) struct Pool {
    pool: SharedPool,
    rules: Py<ClassifyRules>,
    /// What shares it with other processes.
    fleet: Option<BlockingFleet>,
}

#[pymethods]
impl Pool {
    #[new]
    #[pyo3(signature = (accounts, settings = None, rules = None, state = None, config = None))]
    fn new(
        py: Python<'_>,
        accounts: Vec<Bound<'_, PyMapping>>,
        settings: Option<&Bound<'_, PyMapping>>,
        rules: Option<Py<ClassifyRules>>,
        state: Option<&str>,
        config: Option<&Config>,
    ) -> PyResult<Self> {
        if let Some(config) = config {
            return Self::configured(py, config, state);
        }
        let settings = settings.map(|settings| from_py("settings", settings));
        let settings: Settings = settings.transpose()?.unwrap_or_default();
        let mut pool = match state {
            None => accounts::Pool::new(settings),
            Some(text) => restore(settings, text)?,
        };
        let mut wanted = Vec::new();
        for (index, account) in accounts.iter().enumerate() {
            let spec: AccountSpec = from_py(&format!("accounts[{index}]"), account)?;
            if wanted.contains(&spec.id) {
                return Err(bad(&format!(
                    "accounts[{index}]: `{}` is there twice",
                    spec.id
                )));
            }
            pool.upsert(&spec, now());
            wanted.push(spec.id);
        }
        pool.retain(now(), |id| wanted.iter().any(|wanted| wanted == id));
        let rules = rules.map_or_else(|| Py::new(py, ClassifyRules::default()), Ok)?;
        Ok(Self {
            pool: SharedPool::from(pool),
            rules,
            fleet: None,
        })
    }

    /// The permit and its account, or when to ask again and why nobody can serve now.
    #[pyo3(signature = (model, session, tokens, exclude, since))]
    fn _pick<'py>(
        &self,
        py: Python<'py>,
        model: &str,
        session: Option<&str>,
        tokens: u32,
        exclude: Option<&Retries>,
        since: Option<u64>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let mut pool = self.lock()?;
        let model = pool.model(model);
        let mut request = Request {
            model,
            session: session.map(accounts::session),
            tokens,
            exclude: &[],
            since,
        };
        let failed = exclude.map(Retries::lock);
        let failed = failed.as_ref().map_or(&[][..], |attempt| attempt.exclude());
        if let Some(fleet) = self.fleet.as_ref().filter(|fleet| fleet.is_strict()) {
            drop(pool);
            let failed = failed.to_vec();
            request.exclude = &failed;
            let pick = py.detach(|| fleet.pick(&request));
            return picked(py, &*self.lock()?, &pick);
        }
        request.exclude = failed;
        let pick = pool.pick(now(), &request);
        picked(py, &pool, &pick)
    }

    #[pyo3(signature = (permit, status, headers, body, transport, tokens))]
    #[expect(
        clippy::too_many_arguments,
        reason = "called from one place, by position"
    )]
    fn _report(
        &self,
        py: Python<'_>,
        permit: u64,
        status: Option<u16>,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&Bound<'_, PyAny>>,
        transport: Option<&str>,
        tokens: Option<u32>,
    ) -> PyResult<PoolVerdict> {
        let said = Said::read(status, headers, body, transport)?;
        let now = now();
        let rules = &self.rules.get().0;
        let mut pool = self.lock()?;
        let Some(permit) = pool.permit(permit) else {
            return Ok(PoolVerdict::lost(accounts::classify(
                &said.answer(""),
                now,
                rules,
            )));
        };
        let verdict = pool.answered(now, permit, &said.answer(""), tokens, rules);
        let account = verdict.slot.and_then(|slot| pool.id(slot));
        let account = account.map(|id| PyString::new(py, id).unbind());
        Ok(PoolVerdict { account, verdict })
    }

    fn _headers(
        &self,
        permit: u64,
        status: u16,
        headers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let headers = headers.map(pairs).transpose()?.unwrap_or_default();
        let now = now();
        let quota = QuotaView::from_headers(&headers, now);
        let mut pool = self.lock()?;
        if let Some(permit) = pool.permit(permit) {
            pool.on_headers(now, &permit, (200..300).contains(&status), &quota);
        }
        Ok(())
    }

    /// What to do with a request after a report: ``"stop"``, ``"refresh"``, or when to try again.
    fn _next<'py>(
        &self,
        py: Python<'py>,
        report: &PoolVerdict,
        retries: &Retries,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut pool = self.lock()?;
        Ok(
            match pool.next(now(), &report.verdict, &mut retries.lock()) {
                Step::RetryNow => 0_u64.into_pyobject(py)?.into_any(),
                Step::RetryAt(at) => at.into_pyobject(py)?.into_any(),
                Step::Refresh(_) => intern!(py, "refresh").clone().into_any(),
                Step::Stop => intern!(py, "stop").clone().into_any(),
            },
        )
    }

    fn _refresh_begin(&self, py: Python<'_>, id: &str) -> PyResult<Option<Refresh>> {
        let mut pool = self.lock()?;
        let slot = find(&pool, id)?;
        let lease = match &self.fleet {
            None => pool.refresh_begin(now(), slot).map(Held::Alone),
            Some(fleet) => {
                drop(pool);
                py.detach(|| fleet.refresh_begin(slot)).map(Held::Fleet)
            }
        };
        Ok(lease.map(|lease| Refresh(Mutex::new(Some(lease)))))
    }

    fn _refresh_end(&self, py: Python<'_>, refresh: &Refresh, how: &str) -> PyResult<bool> {
        let how = match how {
            "done" => Refreshed::Done,
            "failed" => Refreshed::Failed,
            "dead" => Refreshed::Dead,
            _ => return Err(PyValueError::new_err("a refresh ends done, failed or dead")),
        };
        let lease = refresh
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Ok(match (lease, &self.fleet) {
            (Some(Held::Alone(lease)), _) => self.lock()?.refresh_end(now(), lease, how),
            (Some(Held::Fleet(lease)), Some(fleet)) => py.detach(|| fleet.refresh_end(lease, how)),
            (Some(Held::Fleet(_)), None) | (None, _) => false,
        })
    }

    /// Adds an account, or changes the one of that id. What was learned about it stays, unless its
    /// ``revision`` is new: then its credential is, and it is given a new try.
    fn upsert(&self, account: &Bound<'_, PyMapping>) -> PyResult<()> {
        let spec: AccountSpec = from_py("account", account)?;
        self.lock()?.upsert(&spec, now());
        Ok(())
    }

    /// Removes an account. Its requests under way may still be reported. Raises ``KeyError`` if
    /// there is none of this id.
    fn remove(&self, id: &str) -> PyResult<()> {
        let mut pool = self.lock()?;
        let slot = find(&pool, id)?;
        pool.remove(slot, now());
        Ok(())
    }

    /// Lets an account serve, or not. Requests under way are not touched. Raises ``KeyError`` if
    /// there is none of this id.
    fn set_enabled(&self, id: &str, enabled: bool) -> PyResult<()> {
        let mut pool = self.lock()?;
        let slot = find(&pool, id)?;
        pool.set_enabled(slot, enabled, now());
        Ok(())
    }

    /// Forgets every failure of an account. Raises ``KeyError`` if there is none of this id.
    fn reset(&self, id: &str) -> PyResult<()> {
        let mut pool = self.lock()?;
        let slot = find(&pool, id)?;
        pool.reset(slot, now());
        Ok(())
    }

    /// Learns from what a usage endpoint of the provider answered (Claude's ``/api/oauth/usage``,
    /// Codex's ``/wham/usage``); false if it is none of these. Raises ``KeyError`` if there is no
    /// account of this id.
    fn observe_usage(&self, id: &str, body: &Bound<'_, PyAny>) -> PyResult<bool> {
        let body = Text::of("body", body)?;
        let now = now();
        let view = QuotaView::from_usage(body.as_ref(), now);
        let mut pool = self.lock()?;
        let slot = find(&pool, id)?;
        Ok(view.is_some_and(|view| pool.observe_quota(now, slot, &view)))
    }

    /// The ids of the accounts.
    #[getter]
    fn accounts(&self) -> PyResult<Vec<String>> {
        let pool = self.lock()?;
        let ids = pool.slots().filter_map(|slot| pool.id(slot));
        Ok(ids.map(str::to_owned).collect())
    }

    /// How many requests are under way.
    #[getter]
    fn inflight(&self) -> PyResult<usize> {
        Ok(self.lock()?.inflight(None))
    }

    /// Takes back the permits of which nothing was heard for too long; answers how many.
    fn expire(&self) -> PyResult<usize> {
        Ok(self.lock()?.expire(now()))
    }

    /// All that the pool has learned, as JSON text: to continue after a restart. No secret is in it.
    fn snapshot(&self) -> PyResult<String> {
        let state = self.lock()?.snapshot();
        serde_json::to_string(&state).map_err(|error| bad(&error.to_string()))
    }

    fn _explain<'py>(
        &self,
        py: Python<'py>,
        model: &str,
        session: Option<&str>,
        tokens: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let candidates = {
            let mut pool = self.lock()?;
            let request = Request {
                model: pool.model(model),
                session: session.map(accounts::session),
                tokens,
                ..Request::default()
            };
            pool.explain(now(), &request)
        };
        to_py(py, &candidates)
    }

    /// Whether other processes use the same pool.
    #[getter]
    fn _is_shared(&self) -> bool {
        self.fleet.is_some()
    }

    /// Whether the server is asked whose turn it is, which takes a moment.
    #[getter]
    fn _is_strict(&self) -> bool {
        self.fleet.as_ref().is_some_and(BlockingFleet::is_strict)
    }

    /// How sharing goes; ``None`` if the pool is not shared.
    fn _status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        to_py(py, &self.fleet.as_ref().map(BlockingFleet::status))
    }

    /// Waits, for so many seconds at most, until something is learned from another process after the
    /// change of that number. Answers the number of the last one.
    fn _changed(&self, py: Python<'_>, seen: u64, seconds: f64) -> u64 {
        let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let fleet = self.fleet.as_ref();
        fleet.map_or(seen, |fleet| py.detach(|| fleet.changed(seen, time)))
    }

    /// Waits until the server of a shared pool was reached, or found to be away.
    fn _settle(&self, py: Python<'_>) {
        if let Some(fleet) = &self.fleet {
            py.detach(|| fleet.settled());
        }
    }

    /// Gives back what this process holds for itself of what is shared. The pool goes on alone.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        drop(self.lock()?);
        if let Some(fleet) = &self.fleet {
            py.detach(|| fleet.leave());
        }
        Ok(())
    }

    fn _drain_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let events: Vec<serde_json::Value> = {
            let mut pool = self.lock()?;
            let events: Vec<_> = pool.drain_events().collect();
            events.iter().map(|event| event.named(&pool)).collect()
        };
        to_py(py, &events)
    }
}

impl Pool {
    /// A pool of the accounts that a configuration has, shared if it says so.
    fn configured(py: Python<'_>, config: &Config, state: Option<&str>) -> PyResult<Self> {
        let state = state.map(saved).transpose()?;
        let failed =
            |message: String, code: &str| AccountsError::new_err((message, code.to_owned()));
        let settings = config.0.settings();
        let accounts = settings.accounts.as_ref();
        let pool = runtime::configured_pool(accounts, state.as_ref(), now())
            .map_err(|error| failed(error.to_string(), error.code()))?;
        let rules = accounts.map_or_else(|| Ok(Rules::default()), |accounts| accounts.rules());
        let rules = rules.map_err(|error| failed(error.to_string(), error.code()))?;
        let pool = SharedPool::from(pool);
        let options = py
            .detach(|| Options::of(&config.0))
            .map_err(|error| failed(error.to_string(), error.code()))?;
        let fleet = options.map(|options| BlockingFleet::join(&pool, options));
        Ok(Self {
            pool,
            rules: Py::new(py, ClassifyRules(rules))?,
            fleet: fleet.transpose()?,
        })
    }

    fn lock(&self) -> PyResult<PoolGuard<'_>> {
        if self.fleet.as_ref().is_some_and(|fleet| !fleet.is_here()) {
            let message = "a shared pool cannot be used in a process that was forked from the one that made it; make the pool after the fork, or start processes with `spawn`";
            return Err(AccountsError::new_err((message, "accounts.forked")));
        }
        Ok(self.pool.lock())
    }
}

/// One request over all the times that it is sent.
#[pyclass(frozen, name = "_Retries", module = "flowgate._flowgate")]
pub(crate) struct Retries(Mutex<Attempt>);

#[pymethods]
impl Retries {
    #[new]
    fn new(begun: u64, deadline: Option<u64>) -> Self {
        Self(Mutex::new(Attempt::new(begun, deadline)))
    }
}

impl Retries {
    fn lock(&self) -> MutexGuard<'_, Attempt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to refresh one credential.
#[pyclass(frozen, name = "_Refresh", module = "flowgate._flowgate")]
pub(crate) struct Refresh(Mutex<Option<Held>>);

enum Held {
    Alone(RefreshLease),
    Fleet(FleetRefresh),
}

/// The permit and its account, or when to ask again and why nobody can serve now.
fn picked<'py>(
    py: Python<'py>,
    pool: &accounts::Pool,
    pick: &Pick,
) -> PyResult<Bound<'py, PyTuple>> {
    match pick {
        Pick::Use(permit) => {
            let account = pool.id(permit.slot()).unwrap_or_default();
            (permit.id(), account).into_pyobject(py)
        }
        Pick::Wait { until, why } => (None::<u64>, Some(*until), word(why)).into_pyobject(py),
        Pick::None { why } => (None::<u64>, None::<u64>, word(why)).into_pyobject(py),
    }
}

fn saved(text: &str) -> PyResult<PoolState> {
    serde_json::from_str(text).map_err(|error| bad(&error.to_string()))
}

fn restore(settings: Settings, text: &str) -> PyResult<accounts::Pool> {
    accounts::Pool::restore(settings, &saved(text)?, now())
        .map_err(|error| AccountsError::new_err((error.to_string(), error.code())))
}

fn find(pool: &accounts::Pool, id: &str) -> PyResult<Slot> {
    let unknown = || pyo3::exceptions::PyKeyError::new_err(id.to_owned());
    pool.find(id).ok_or_else(unknown)
}
