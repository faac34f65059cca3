use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use flowgate_core::runtime;
use napi::bindgen_prelude::*;

use crate::error::{guard_into_js, into_js};

/// Why a call failed.
pub enum Failure {
    /// As the core says it.
    Core(runtime::Error),
    /// Another error of the core: its message and its code.
    Other(String, String),
}

impl Failure {
    pub(crate) fn of(error: &dyn Display, code: &str) -> Self {
        Self::Other(error.to_string(), code.to_owned())
    }
}

impl<E: Into<runtime::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Core(error.into())
    }
}

/// A call that blocks, on a thread of Node's pool; a promise for its outcome.
pub struct Work<T>(Option<Job<T>>);

type Job<T> = Box<dyn FnOnce() -> std::result::Result<T, Failure> + Send>;

impl<T: Send + ToNapiValue + TypeName + 'static> Work<T> {
    pub(crate) fn start(
        job: impl FnOnce() -> std::result::Result<T, Failure> + Send + 'static,
    ) -> AsyncTask<Self> {
        AsyncTask::new(Self(Some(Box::new(job))))
    }
}

impl<T: Send + ToNapiValue + TypeName + 'static> Task for Work<T> {
    type Output = std::result::Result<T, Failure>;
    type JsValue = T;

    fn compute(&mut self) -> Result<Self::Output> {
        let job = self
            .0
            .take()
            .ok_or_else(|| Error::from_reason("started twice"))?;
        // A panic must not leave this function, for C has called it.
        catch_unwind(AssertUnwindSafe(job)).map_err(|_| Error::from_reason("panic in flowgate"))
    }

    fn resolve(&mut self, env: Env, outcome: Self::Output) -> Result<T> {
        outcome.map_err(|failure| match failure {
            Failure::Core(error) => into_js(&env, error),
            Failure::Other(message, code) => guard_into_js(&env, &message, &code),
        })
    }
}
