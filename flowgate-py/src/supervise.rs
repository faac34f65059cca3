//! The native half of `flowgate.supervisor`: questions and answers as JSON text.
//!
//! Answers come on the thread of the supervisor, which must not wait for the interpreter. They are
//! handed on to a thread that may.

use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowgate_core::runtime::process::{
    ControlError, Embedded, Follower, Request, Supervisor as Given, given_services,
};
use flowgate_core::runtime::{self, Error};
use flowgate_core::supervise::ServiceId;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyMapping;
use serde_json::Value;

use crate::config::Config;
use crate::error::into_py;
use crate::node;

type Call = Box<dyn FnOnce(Python<'_>) + Send>;

/// A thread that calls Python back.
#[derive(Clone)]
struct Teller(Sender<Call>);

impl Teller {
    fn start() -> std::io::Result<Self> {
        let (calls, called) = channel::<Call>();
        std::thread::Builder::new()
            .name("flowgate-python".to_owned())
            .spawn(move || {
                for call in called {
                    // An interpreter that ends hears of nothing more.
                    let _ = Python::try_attach(call);
                }
            })?;
        Ok(Self(calls))
    }

    /// What calls `answer` with a text, or with nothing and an exception.
    fn then(
        &self,
        answer: Py<PyAny>,
    ) -> impl FnOnce(Result<Option<String>, ControlError>) + Send + 'static {
        let calls = self.0.clone();
        move |result| {
            let call = move |py: Python<'_>| {
                let called = match result {
                    Ok(text) => answer.call1(py, (text, py.None())),
                    Err(error) => answer.call1(py, (py.None(), into_py(py, error))),
                };
                if let Err(error) = called {
                    error.write_unraisable(py, None);
                }
            };
            // The thread ends with the interpreter only.
            let _ = calls.send(Box::new(call));
        }
    }

    /// Waits until everything that was to be told has been.
    fn flush(&self) {
        let (done, flushed) = channel::<()>();
        // What drops it says it, called or not.
        let _ = self.0.send(Box::new(move |_| drop(done)));
        let _ = flushed.recv();
    }
}

/// A supervisor of this process, or the way to one of another.
#[pyclass(frozen, name = "_Supervisor", module = "flowgate._flowgate")]
pub(crate) struct Supervisor {
    open: Mutex<Option<(Embedded, Teller)>>,
    dir: PathBuf,
    pid: u32,
}

#[pymethods]
impl Supervisor {
    /// Starts a supervisor of services, as ``services`` of a configuration has them.
    #[staticmethod]
    fn of_services(
        py: Python<'_>,
        services: &Bound<'_, PyMapping>,
        dir: PathBuf,
        program: PathBuf,
    ) -> PyResult<Self> {
        let services = node::from_py(services)?;
        Self::open(py, move || {
            let services = given_services(services, &dir)?;
            let supervisor = Given::in_directory(services, &dir)?;
            Ok(Embedded::start(supervisor.shim(program))?)
        })
    }

    /// Starts the supervisor of a configuration.
    #[staticmethod]
    fn of_config(py: Python<'_>, config: &Config, program: PathBuf) -> PyResult<Self> {
        Self::open(py, || {
            let supervisor = Given::of_config(&config.0)?;
            Ok(Embedded::start(supervisor.shim(program))?)
        })
    }

    /// The way to the supervisor of a runtime directory.
    #[staticmethod]
    fn connect(py: Python<'_>, dir: PathBuf) -> PyResult<Self> {
        Self::open(py, move || Embedded::connect(&dir))
    }

    /// Where it keeps what it needs.
    #[getter]
    fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    /// Asks, in JSON; ``answer`` is called with a text in JSON, or with nothing and an exception.
    fn ask(
        &self,
        py: Python<'_>,
        request: &str,
        timeout: Option<f64>,
        answer: Py<PyAny>,
    ) -> PyResult<()> {
        let request: Request = serde_json::from_str(request)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let timeout = timeout.map(seconds).transpose()?;
        self.with(py, |embedded, teller| {
            embedded.ask(request, timeout, text(teller.then(answer)));
        })
    }

    /// Makes the services be these.
    fn replace(
        &self,
        py: Python<'_>,
        services: &Bound<'_, PyMapping>,
        answer: Py<PyAny>,
    ) -> PyResult<()> {
        let services = given_services(node::from_py(services)?, &self.dir)
            .map_err(|error| into_py(py, error))?;
        self.with(py, |embedded, teller| {
            embedded.apply(services, text(teller.then(answer)));
        })
    }

    /// Calls ``answer`` when the supervisor has ended.
    fn at_end(&self, py: Python<'_>, answer: Py<PyAny>) -> PyResult<()> {
        self.with(py, |embedded, teller| {
            let then = teller.then(answer);
            embedded.at_end(move || then(Ok(None)));
        })
    }

    /// What happens from now on.
    fn follow(&self, py: Python<'_>) -> PyResult<Events> {
        self.with(py, |embedded, teller| Events {
            follower: embedded.follow(),
            teller: teller.clone(),
            pid: self.pid,
        })
    }

    /// The file that the output of a service goes to.
    fn log_file(&self, py: Python<'_>, service: &str) -> PyResult<PathBuf> {
        self.with(py, |embedded, _| {
            embedded.log_file(&ServiceId::from(service))
        })
    }

    /// Ends it. A supervisor of this process brings everything down first.
    fn close(&self, py: Python<'_>) {
        if self.pid != std::process::id() {
            // A fork has nothing to close, and its locks may be held by nobody.
            return;
        }
        let open = self.lock().take();
        py.detach(|| {
            if let Some((embedded, teller)) = open {
                drop(embedded);
                teller.flush();
            }
        });
    }
}

impl Supervisor {
    fn open(
        py: Python<'_>,
        open: impl FnOnce() -> Result<Embedded, Error> + Send,
    ) -> PyResult<Self> {
        let embedded = py.detach(open).map_err(|error| into_py(py, error))?;
        let dir = embedded.dir().to_owned();
        Ok(Self {
            open: Mutex::new(Some((embedded, Teller::start()?))),
            dir,
            pid: std::process::id(),
        })
    }

    fn with<T>(&self, py: Python<'_>, use_: impl FnOnce(&Embedded, &Teller) -> T) -> PyResult<T> {
        own_process(py, self.pid)?;
        match &*self.lock() {
            Some((embedded, teller)) => Ok(use_(embedded, teller)),
            None => Err(PyValueError::new_err("it is closed")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Embedded, Teller)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens, one event at a time.
#[pyclass(frozen, name = "_Events", module = "flowgate._flowgate")]
pub(crate) struct Events {
    follower: Follower,
    teller: Teller,
    pid: u32,
}

#[pymethods]
impl Events {
    /// Calls ``answer`` with the next event in JSON, or with nothing when there will be none.
    fn next(&self, py: Python<'_>, answer: Py<PyAny>) -> PyResult<()> {
        own_process(py, self.pid)?;
        let then = self.teller.then(answer);
        self.follower
            .next(move |next| then(next.map(|event| event.map(|event| event.to_string()))));
        Ok(())
    }
}

/// A copy of the process has no thread that could answer.
fn own_process(py: Python<'_>, pid: u32) -> PyResult<()> {
    if pid == std::process::id() {
        return Ok(());
    }
    Err(into_py(
        py,
        runtime::Error::from(ControlError::Forked { pid }),
    ))
}

fn text(
    then: impl FnOnce(Result<Option<String>, ControlError>) + Send + 'static,
) -> impl FnOnce(Result<Value, ControlError>) + Send + 'static {
    move |answer| then(answer.map(|value| Some(value.to_string())))
}

fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err("`timeout` must be a number of seconds, 0 or more"))
}
