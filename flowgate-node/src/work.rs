use std::panic::{AssertUnwindSafe, catch_unwind};

use flowgate_core::runtime;
use napi::bindgen_prelude::*;

use crate::error::into_js;

/// A call that blocks, on a thread of Node's pool; a promise for its outcome.
pub struct Work<T>(Option<Job<T>>);

type Job<T> = Box<dyn FnOnce() -> std::result::Result<T, runtime::Error> + Send>;

impl<T: Send + ToNapiValue + TypeName + 'static> Work<T> {
    pub(crate) fn start(
        job: impl FnOnce() -> std::result::Result<T, runtime::Error> + Send + 'static,
    ) -> AsyncTask<Self> {
        AsyncTask::new(Self(Some(Box::new(job))))
    }
}

impl<T: Send + ToNapiValue + TypeName + 'static> Task for Work<T> {
    type Output = std::result::Result<T, runtime::Error>;
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
        outcome.map_err(|error| into_js(&env, error))
    }
}
