//! Supervisors: questions and answers as JSON text, each answer a promise that is kept from the
//! supervisor's thread.

#![expect(
    clippy::use_self,
    reason = "`#[napi]` moves signatures to where `Self` has no meaning"
)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flowgate_core::runtime::Error as CoreError;
use flowgate_core::runtime::process::{
    ControlError, Embedded, Follower, Request, Supervisor as Given, given_services,
};
use flowgate_core::supervise::ServiceId;
use napi::JsDeferred;
use napi::bindgen_prelude::*;
use napi_derive::napi;

use crate::config::Config;
use crate::document;
use crate::error::into_js;
use crate::work::Work;

type Resolver = Box<dyn FnOnce(Env) -> Result<Option<String>> + Send>;
type Deferred = JsDeferred<Option<String>, Resolver>;

/// A supervisor of this process, or the way to one of another.
#[napi]
pub struct Supervisor(Mutex<Option<Embedded>>);

#[napi]
impl Supervisor {
    /// Starts a supervisor of services, as a configuration has them.
    #[napi(catch_unwind)]
    pub fn of_services(
        env: &Env,
        services: Unknown<'_>,
        dir: String,
        program: String,
    ) -> Result<AsyncTask<Work<Supervisor>>> {
        let services = document::from_js(env, services)?;
        Ok(Work::start(move || {
            let dir = PathBuf::from(dir);
            let services = given_services(services, &dir)?;
            let supervisor = Given::in_directory(services, &dir)?;
            Ok(Self::of(Embedded::start(supervisor.shim(program))?))
        }))
    }

    /// Starts the supervisor of a configuration.
    #[napi(catch_unwind)]
    pub fn of_config(config: &Config, program: String) -> AsyncTask<Work<Supervisor>> {
        let config = Arc::clone(&config.0);
        Work::start(move || {
            let supervisor = Given::of_config(&config)?;
            Ok(Self::of(Embedded::start(supervisor.shim(program))?))
        })
    }

    /// The way to the supervisor of a runtime directory.
    #[napi(catch_unwind)]
    pub fn connect(dir: String) -> AsyncTask<Work<Supervisor>> {
        Work::start(move || Ok(Self::of(Embedded::connect(&PathBuf::from(dir))?)))
    }

    /// Where it keeps what it needs.
    #[napi(catch_unwind)]
    pub fn dir(&self) -> Option<String> {
        let open = self.lock();
        open.as_ref()
            .map(|embedded| embedded.dir().to_string_lossy().into_owned())
    }

    /// Asks, in JSON; a promise for an answer in JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn ask<'env>(
        &self,
        env: &'env Env,
        request: String,
        timeout_ms: Option<f64>,
    ) -> Result<Object<'env>> {
        let request: Request =
            serde_json::from_str(&request).map_err(|e| Error::from_reason(e.to_string()))?;
        let timeout = timeout_ms
            .map(|ms| Duration::try_from_secs_f64(ms.max(0.0) / 1000.0).unwrap_or(Duration::MAX));
        let (deferred, promise) = env.create_deferred()?;
        if let Some(embedded) = &*self.lock() {
            embedded.ask(request, timeout, move |answer| {
                resolve(deferred, answer.map(|value| Some(value.to_string())));
            });
        } else {
            resolve(deferred, Err(closed()));
        }
        Ok(promise)
    }

    /// Makes the services be these.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn replace<'env>(&self, env: &'env Env, services: Unknown<'env>) -> Result<Object<'env>> {
        let services = document::from_js(env, services)?;
        let (deferred, promise) = env.create_deferred()?;
        if let Some(embedded) = &*self.lock() {
            let services =
                given_services(services, embedded.dir()).map_err(|error| into_js(env, error))?;
            embedded.apply(services, move |answer| {
                resolve(deferred, answer.map(|value| Some(value.to_string())));
            });
        } else {
            resolve(deferred, Err(closed()));
        }
        Ok(promise)
    }

    /// A promise that is kept when the supervisor has ended.
    #[napi(catch_unwind, ts_return_type = "Promise<null>")]
    pub fn at_end<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let (deferred, promise): (Deferred, _) = env.create_deferred()?;
        if let Some(embedded) = &*self.lock() {
            embedded.at_end(move || resolve(deferred, Ok(None)));
        } else {
            resolve(deferred, Ok(None));
        }
        Ok(promise)
    }

    /// What happens from now on.
    #[napi(catch_unwind)]
    pub fn follow(&self) -> Events {
        let open = self.lock();
        Events(Mutex::new(open.as_ref().map(Embedded::follow)))
    }

    /// The file that the output of a service goes to.
    #[napi(catch_unwind)]
    pub fn log_file(&self, service: String) -> Option<String> {
        let open = self.lock();
        open.as_ref().map(|embedded| {
            let file = embedded.log_file(&ServiceId::from(service));
            file.to_string_lossy().into_owned()
        })
    }

    /// Ends it, while the caller waits. A supervisor of this process brings everything down first.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        let open = self.lock().take();
        drop(open);
    }
}

impl Supervisor {
    fn of(embedded: Embedded) -> Self {
        Self(Mutex::new(Some(embedded)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Embedded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens, one event at a time.
#[napi]
pub struct Events(Mutex<Option<Follower>>);

#[napi]
impl Events {
    /// A promise for the next event in JSON; for nothing when there will be none.
    #[napi(catch_unwind, ts_return_type = "Promise<string | null>")]
    pub fn next<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let (deferred, promise) = env.create_deferred()?;
        match &*self.lock() {
            Some(follower) => follower.next(move |next| {
                resolve(
                    deferred,
                    next.map(|event| event.map(|event| event.to_string())),
                );
            }),
            None => resolve(deferred, Ok(None)),
        }
        Ok(promise)
    }

    /// Hears no more.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        let follower = self.lock().take();
        drop(follower);
    }
}

impl Events {
    fn lock(&self) -> MutexGuard<'_, Option<Follower>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn resolve(deferred: Deferred, answer: std::result::Result<Option<String>, ControlError>) {
    deferred.resolve(Box::new(move |env| {
        answer.map_err(|error| into_js(&env, CoreError::from(error)))
    }));
}

fn closed() -> ControlError {
    ControlError::Lost {
        reason: "it is closed".to_owned(),
    }
}
