use flowgate_core::runtime::Error as CoreError;
use napi::bindgen_prelude::*;

use crate::types::{self, Diagnostic};

/// An `Error` with the `code` and the `diagnostics` of the core's; `errors.cjs` gives it its class.
pub(crate) fn into_js(env: &Env, error: impl Into<CoreError>) -> Error {
    build(env, &error.into()).unwrap_or_else(|failed| failed)
}

fn build(env: &Env, error: &CoreError) -> Result<Error> {
    let mut js = env.create_error(Error::from_reason(error.to_string()))?;
    let diagnostics: Vec<Diagnostic> = types::all(error.diagnostics());
    js.set("code", error.code())?;
    js.set("diagnostics", diagnostics)?;
    if let CoreError::Read { path, .. } | CoreError::Write { path, .. } = error {
        js.set("path", path.to_string_lossy().as_ref())?;
    }
    Ok(Error::from(js.into_unknown(env)?))
}
