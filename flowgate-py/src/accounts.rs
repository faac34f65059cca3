//! The native half of `flowgate.accounts`: the pool by the numbers of its permits.
//!
//! No lock is held while Python runs, so that a fork finds none taken.

use std::sync::{Mutex, MutexGuard, PoisonError};

use flowgate_core::accounts::{
    self, AccountSpec, Answer, Attempt, Class, Classification, Pick, PoolState, QuotaView,
    RefreshLease, Refreshed, Request, Rule, Rules, Settings, Slot, Step, Transport, Verdict,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyDict, PyMapping, PyString, PyTuple};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::AccountsError;
use crate::{node, now};

/// What a user knows better than the tables: rules of :func:`classify`, ready to be asked.
#[pyclass(frozen, module = "flowgate")]
#[derive(Default)]
pub(crate) struct ClassifyRules(Rules);

#[pymethods]
impl ClassifyRules {
    #[new]
    fn new(rules: Vec<Bound<'_, PyMapping>>) -> PyResult<Self> {
        let rules = rules.iter().enumerate();
        let rules = rules.map(|(index, rule)| from_py::<Rule>(&format!("rules[{index}]"), rule));
        let rules = rules.collect::<PyResult<Vec<_>>>()?;
        let rules = Rules::new(rules)
            .map_err(|error| AccountsError::new_err((error.to_string(), error.code())))?;
        Ok(Self(rules))
    }
}

/// Says what an answer of a provider means, for whom, and when to come back.
///
/// ``provider`` is ``"openai"``, ``"azure"``, ``"anthropic"``, ``"codex"``, ``"gemini"``,
/// ``"openrouter"`` or any other name; ``headers`` are a mapping or pairs, of text or bytes; of
/// ``body``, 16 KB are looked at. ``transport`` says how an exchange ended without an answer:
/// ``"cancelled"``, ``"connect"``, ``"eof"``, ``"reset"`` or ``"timeout"``. ``now`` is the time in
/// milliseconds since 1970, or else the current one. Every answer has a meaning.
#[pyfunction]
#[pyo3(signature = (
    provider = "", *, status = None, headers = None, body = None, transport = None, rules = None,
    now = None
))]
pub(crate) fn classify(
    provider: &str,
    status: Option<u16>,
    headers: Option<&Bound<'_, PyAny>>,
    body: Option<&Bound<'_, PyAny>>,
    transport: Option<&str>,
    rules: Option<&ClassifyRules>,
    now: Option<u64>,
) -> PyResult<Meaning> {
    let said = Said::read(status, headers, body, transport)?;
    let usual = Rules::default();
    let rules = rules.map_or(&usual, |rules| &rules.0);
    let now = now.unwrap_or_else(crate::now);
    Ok(Meaning(accounts::classify(
        &said.answer(provider),
        now,
        rules,
    )))
}

/// An answer, as Python gives it.
struct Said {
    status: Option<u16>,
    headers: Vec<(Text, Text)>,
    body: Option<Text>,
    transport: Option<Transport>,
}

impl Said {
    fn read(
        status: Option<u16>,
        headers: Option<&Bound<'_, PyAny>>,
        body: Option<&Bound<'_, PyAny>>,
        transport: Option<&str>,
    ) -> PyResult<Self> {
        Ok(Self {
            status,
            headers: headers.map(pairs).transpose()?.unwrap_or_default(),
            body: body.map(|body| Text::of("body", body)).transpose()?,
            transport: transport.map(transport_of).transpose()?,
        })
    }

    fn answer<'a>(&'a self, provider: &'a str) -> Answer<'a> {
        Answer {
            provider,
            status: self.status,
            headers: &self.headers,
            body: self.body.as_ref().map_or(b"", |body| body.as_ref()),
            transport: self.transport,
        }
    }
}

/// Text or bytes, borrowed from Python.
enum Text {
    Bytes(PyBackedBytes),
    Str(PyBackedStr),
}

impl Text {
    fn of(what: &str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if value.is_instance_of::<PyString>() {
            value.extract().map(Self::Str)
        } else if value.is_instance_of::<PyBytes>() {
            Ok(Self::Bytes(value.extract()?))
        } else {
            // The value stays out of the message: it may be a secret.
            Err(PyTypeError::new_err(format!(
                "{what}: expected str or bytes"
            )))
        }
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Str(text) => text.as_bytes(),
        }
    }
}

/// The name of a header. One that is no text says nothing.
impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
            Self::Str(text) => text,
        }
    }
}

/// Headers as pairs: of a dictionary, of another mapping, or of an iterable.
fn pairs(headers: &Bound<'_, PyAny>) -> PyResult<Vec<(Text, Text)>> {
    let pair = |name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>| {
        Ok((Text::of("headers", name)?, Text::of("headers", value)?))
    };
    if let Ok(headers) = headers.cast::<PyDict>() {
        return headers
            .iter()
            .map(|(name, value)| pair(&name, &value))
            .collect();
    }
    let items = match headers.getattr(intern!(headers.py(), "items")) {
        Ok(items) => items.call0()?,
        Err(_) => headers.clone(),
    };
    let items = items.try_iter()?;
    items
        .map(|item| {
            let (name, value) = item?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            pair(&name, &value)
        })
        .collect()
}

/// The native half of :class:`flowgate.Pool`.
#[pyclass(frozen, subclass, name = "_Pool", module = "flowgate._flowgate")]
pub(crate) struct Pool {
    pool: Mutex<accounts::Pool>,
    rules: Py<ClassifyRules>,
}

#[pymethods]
impl Pool {
    #[new]
    #[pyo3(signature = (accounts, settings = None, rules = None, state = None))]
    fn new(
        py: Python<'_>,
        accounts: Vec<Bound<'_, PyMapping>>,
        settings: Option<&Bound<'_, PyMapping>>,
        rules: Option<Py<ClassifyRules>>,
        state: Option<&str>,
    ) -> PyResult<Self> {
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
        let pool = Mutex::new(pool);
        Ok(Self { pool, rules })
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
        let mut pool = self.lock();
        let model = pool.model(model);
        let failed = exclude.map(Retries::lock);
        let request = Request {
            model,
            session: session.map(accounts::session),
            tokens,
            exclude: failed.as_ref().map_or(&[], |attempt| attempt.exclude()),
            since,
        };
        match pool.pick(now(), &request) {
            Pick::Use(permit) => {
                let account = pool.id(permit.slot()).unwrap_or_default();
                (permit.id(), account).into_pyobject(py)
            }
            Pick::Wait { until, why } => (None::<u64>, Some(until), word(why)).into_pyobject(py),
            Pick::None { why } => (None::<u64>, None::<u64>, word(why)).into_pyobject(py),
        }
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
        let mut pool = self.lock();
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
        let mut pool = self.lock();
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
        let mut pool = self.lock();
        Ok(
            match pool.next(now(), &report.verdict, &mut retries.lock()) {
                Step::RetryNow => 0_u64.into_pyobject(py)?.into_any(),
                Step::RetryAt(at) => at.into_pyobject(py)?.into_any(),
                Step::Refresh(_) => intern!(py, "refresh").clone().into_any(),
                Step::Stop => intern!(py, "stop").clone().into_any(),
            },
        )
    }

    fn _refresh_begin(&self, id: &str) -> PyResult<Option<Refresh>> {
        let mut pool = self.lock();
        let slot = find(&pool, id)?;
        let lease = pool.refresh_begin(now(), slot);
        Ok(lease.map(|lease| Refresh(Mutex::new(Some(lease)))))
    }

    fn _refresh_end(&self, refresh: &Refresh, how: &str) -> PyResult<bool> {
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
        let end = |lease| self.lock().refresh_end(now(), lease, how);
        Ok(lease.is_some_and(end))
    }

    /// Adds an account, or changes the one of that id. What was learned about it stays, unless its
    /// ``revision`` is new: then its credential is, and it is given a new try.
    fn upsert(&self, account: &Bound<'_, PyMapping>) -> PyResult<()> {
        let spec: AccountSpec = from_py("account", account)?;
        self.lock().upsert(&spec, now());
        Ok(())
    }

    /// Removes an account. Its requests under way may still be reported. Raises ``KeyError`` if
    /// there is none of this id.
    fn remove(&self, id: &str) -> PyResult<()> {
        let mut pool = self.lock();
        let slot = find(&pool, id)?;
        pool.remove(slot, now());
        Ok(())
    }

    /// Lets an account serve, or not. Requests under way are not touched. Raises ``KeyError`` if
    /// there is none of this id.
    fn set_enabled(&self, id: &str, enabled: bool) -> PyResult<()> {
        let mut pool = self.lock();
        let slot = find(&pool, id)?;
        pool.set_enabled(slot, enabled, now());
        Ok(())
    }

    /// Forgets every failure of an account. Raises ``KeyError`` if there is none of this id.
    fn reset(&self, id: &str) -> PyResult<()> {
        let mut pool = self.lock();
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
        let mut pool = self.lock();
        let slot = find(&pool, id)?;
        Ok(view.is_some_and(|view| pool.observe_quota(now, slot, &view)))
    }

    /// The ids of the accounts.
    #[getter]
    fn accounts(&self) -> Vec<String> {
        let pool = self.lock();
        let ids = pool.slots().filter_map(|slot| pool.id(slot));
        ids.map(str::to_owned).collect()
    }

    /// How many requests are under way.
    #[getter]
    fn inflight(&self) -> usize {
        self.lock().inflight(None)
    }

    /// Takes back the permits of which nothing was heard for too long; answers how many.
    fn expire(&self) -> usize {
        self.lock().expire(now())
    }

    /// All that the pool has learned, as JSON text: to continue after a restart. No secret is in it.
    fn snapshot(&self) -> PyResult<String> {
        let state = self.lock().snapshot();
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
            let mut pool = self.lock();
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

    fn _drain_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let events: Vec<serde_json::Value> = {
            let mut pool = self.lock();
            let events: Vec<_> = pool.drain_events().collect();
            events.iter().map(|event| event.named(&pool)).collect()
        };
        to_py(py, &events)
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, accounts::Pool> {
        // A panic inside leaves a pool that has forgotten a request, and still decides.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(crate) struct Refresh(Mutex<Option<RefreshLease>>);

/// What an answer means, for whom, and what to do.
#[pyclass(frozen, eq, hash, name = "Classification", module = "flowgate")]
#[derive(PartialEq)]
pub(crate) struct Meaning(Classification);

impl std::hash::Hash for Meaning {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        let Classification {
            class,
            scope,
            action,
            cooldown_ms,
        } = self.0;
        (class, scope, action, cooldown_ms).hash(hasher);
    }
}

#[pymethods]
impl Meaning {
    #[new]
    #[pyo3(signature = (class_, scope, action, cooldown_ms = None))]
    fn new(class_: &str, scope: &str, action: &str, cooldown_ms: Option<u64>) -> PyResult<Self> {
        Ok(Self(Classification {
            class: named("class_", class_)?,
            scope: named("scope", scope)?,
            action: named("action", action)?,
            cooldown_ms,
        }))
    }

    /// What kind of answer it is: ``"ok"``, ``"rate"``, ``"quota"``, ``"auth"`` …
    #[getter]
    fn class_(&self) -> String {
        word(self.0.class)
    }

    /// Whom it is about: ``"none"``, ``"request"``, ``"model"``, ``"account"``, ``"egress"`` or
    /// ``"provider"``.
    #[getter]
    fn scope(&self) -> String {
        word(self.0.scope)
    }

    /// What to do with the request: ``"done"``, ``"stop"``, ``"next"`` or ``"refresh"``.
    #[getter]
    fn action(&self) -> String {
        word(self.0.action)
    }

    /// How long the provider asks to wait, in milliseconds, where it says so.
    #[getter]
    fn cooldown_ms(&self) -> Option<u64> {
        self.0.cooldown_ms
    }

    fn __repr__(&self) -> String {
        let cooldown = self
            .0
            .cooldown_ms
            .map_or("None".to_owned(), |ms| ms.to_string());
        format!(
            "<flowgate.Classification {} scope={} action={} cooldown_ms={cooldown}>",
            self.class_(),
            self.scope(),
            self.action()
        )
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let me = slf.get();
        let fields = (me.class_(), me.scope(), me.action(), me.0.cooldown_ms);
        Ok((slf.get_type().into_any(), fields.into_pyobject(slf.py())?))
    }
}

/// What a pool made of an answer.
#[pyclass(frozen, module = "flowgate")]
pub(crate) struct PoolVerdict {
    account: Option<Py<PyString>>,
    verdict: Verdict,
}

impl PoolVerdict {
    /// The permit was reported before, or taken back.
    fn lost(answer: Classification) -> Self {
        let verdict = Verdict {
            slot: None,
            class: answer.class,
            action: answer.action,
            until: None,
        };
        Self {
            account: None,
            verdict,
        }
    }
}

#[pymethods]
impl PoolVerdict {
    /// The account; ``None`` if the lease was reported before or taken back, and nothing changed.
    #[getter]
    fn account(&self, py: Python<'_>) -> Option<Py<PyString>> {
        self.account.as_ref().map(|account| account.clone_ref(py))
    }

    /// What kind of answer it was: ``"ok"``, ``"rate"``, ``"quota"``, ``"auth"`` …
    #[getter]
    fn class_(&self) -> String {
        word(self.verdict.class)
    }

    /// What to do with the request: ``"done"``, ``"stop"``, ``"next"`` or ``"refresh"``.
    #[getter]
    fn action(&self) -> String {
        word(self.verdict.action)
    }

    /// Until when the account, the model or the provider is left alone because of it, in
    /// milliseconds since 1970.
    #[getter]
    fn until(&self) -> Option<u64> {
        self.verdict.until
    }

    /// Whether the request was served.
    #[getter]
    fn served(&self) -> bool {
        self.verdict.class == Class::Ok
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let account = match &self.account {
            Some(account) => account.bind(py).repr()?.to_string(),
            None => "None".to_owned(),
        };
        let (class, action) = (self.class_(), self.action());
        Ok(format!(
            "<flowgate.PoolVerdict {class} account={account} action={action}>"
        ))
    }
}

fn restore(settings: Settings, text: &str) -> PyResult<accounts::Pool> {
    let state: PoolState = serde_json::from_str(text).map_err(|error| bad(&error.to_string()))?;
    accounts::Pool::restore(settings, &state, now())
        .map_err(|error| AccountsError::new_err((error.to_string(), error.code())))
}

fn find(pool: &accounts::Pool, id: &str) -> PyResult<Slot> {
    let unknown = || pyo3::exceptions::PyKeyError::new_err(id.to_owned());
    pool.find(id).ok_or_else(unknown)
}

/// Reads a mapping as a type of the core. Mistakes name the field.
fn from_py<T: DeserializeOwned>(what: &str, value: &Bound<'_, PyMapping>) -> PyResult<T> {
    let json = serde_json::to_value(node::from_py(value)?).map_err(|e| bad(&e.to_string()))?;
    serde_json::from_value(json).map_err(|error| bad(&format!("{what}: {error}")))
}

fn to_py<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value).map_err(|error| bad(&error.to_string()))?;
    py.import(intern!(py, "json"))?
        .call_method1(intern!(py, "loads"), (text,))
}

fn bad(message: &str) -> PyErr {
    AccountsError::new_err((message.to_owned(), "accounts.invalid"))
}

/// The word that JSON has for a value.
fn word(value: impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

fn named<T: DeserializeOwned>(what: &str, name: &str) -> PyResult<T> {
    serde_json::from_value(name.into())
        .map_err(|error| PyValueError::new_err(format!("{what}: {error}")))
}

fn transport_of(name: &str) -> PyResult<Transport> {
    named("transport", name)
}
