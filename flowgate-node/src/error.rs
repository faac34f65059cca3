use std::fmt::Display;

use flowgate_core::diagnostic::Diagnostic as CoreDiagnostic;
use flowgate_core::runtime::Error as CoreError;
use napi::bindgen_prelude::*;

use crate::types::{self, Diagnostic};

/// An `Error` with the `code` and the `diagnostics` of the core's; `errors.cjs` gives it its class.
pub(crate) fn into_js(env: &Env, error: impl Into<CoreError>) -> Error {
    build(env, &error.into()).unwrap_or_else(|failed| failed)
}

/// The same for a policy or a pack, whose errors share no type.
pub(crate) fn guard_into_js(env: &Env, error: &dyn Display, code: &str) -> Error {
    let js = create(env, error, code, &[]).and_then(|js| js.into_unknown(env));
    js.map_or_else(|failed| failed, Error::from)
}

fn build(env: &Env, error: &CoreError) -> Result<Error> {
    let mut js = create(env, error, error.code(), error.diagnostics())?;
    if let CoreError::Read { path, .. } | CoreError::Write { path, .. } = error {
        js.set("path", path.to_string_lossy().as_ref())?;
    }
    Ok(Error::from(js.into_unknown(env)?))
}

fn create<'env>(
    env: &'env Env,
    error: &dyn Display,
    code: &str,
    diagnostics: &[CoreDiagnostic],
) -> Result<Object<'env>> {
    let mut js = env.create_error(Error::from_reason(error.to_string()))?;
    let diagnostics: Vec<Diagnostic> = types::all(diagnostics);
    js.set("code", code)?;
    js.set("diagnostics", diagnostics)?;
    Ok(js)
}
