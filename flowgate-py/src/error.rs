use flowgate_core::runtime::Error;
#[cfg(target_os = "linux")]
use flowgate_core::runtime::process::ControlError;
use pyo3::import_exception;
use pyo3::prelude::*;

use crate::values;

import_exception!(flowgate.exceptions, AccountsError);
import_exception!(flowgate.exceptions, ConfigError);
import_exception!(flowgate.exceptions, FileError);
import_exception!(flowgate.exceptions, FlowgateError);
import_exception!(flowgate.exceptions, GuardError);
import_exception!(flowgate.exceptions, ProfileError);
import_exception!(flowgate.exceptions, SuperviseError);
import_exception!(flowgate.exceptions, SuperviseTimeout);

/// Turns an error of the core into the exception that a Python programmer would expect.
pub(crate) fn into_py(py: Python<'_>, error: impl Into<Error>) -> PyErr {
    let error = error.into();
    let (message, code) = (error.to_string(), error.code().to_owned());
    let diagnostics: Vec<Py<PyAny>> = match values::diagnostics(py, error.diagnostics()) {
        Ok(diagnostics) => diagnostics.into_iter().map(Bound::unbind).collect(),
        Err(error) => return error,
    };
    match error {
        Error::Config(_) => ConfigError::new_err((message, code, diagnostics)),
        Error::Profile(_) => ProfileError::new_err((message, code, diagnostics)),
        Error::Read { path, .. } | Error::Write { path, .. } => {
            FileError::new_err((message, code, diagnostics, path.into_os_string()))
        }
        #[cfg(target_os = "linux")]
        Error::Control(ControlError::Timeout { .. }) => SuperviseTimeout::new_err((message, code)),
        #[cfg(target_os = "linux")]
        Error::Control(_) | Error::Supervise(_) => SuperviseError::new_err((message, code)),
        _ => FlowgateError::new_err((message, code, diagnostics)),
    }
}
