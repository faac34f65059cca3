use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use flowgate_core::guard::{self, Context, Decision, Evidence, Policy, Severity, UserPacks};
use flowgate_core::runtime;
use flowgate_core::yaml::to_yaml;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyMapping, PyString, PyTuple};

use crate::error::GuardError;
use crate::{node, now, values};

type Text = Cow<'static, str>;

/// Commands longer than this are checked while other threads run Python.
const SHORT: usize = 4096;

/// The native half of :class:`flowgate.Guard`.
#[pyclass(frozen, subclass, name = "_Guard", module = "flowgate._flowgate")]
pub(crate) struct Guard {
    guard: guard::Guard,
    home: String,
}

#[pymethods]
impl Guard {
    #[new]
    #[pyo3(
        signature = (policy = None, *, packs = Vec::new()),
        text_signature = "(policy=None, *, packs=())"
    )]
    fn new(
        py: Python<'_>,
        policy: Option<&Bound<'_, PyMapping>>,
        packs: Vec<PyBackedStr>,
    ) -> PyResult<Self> {
        let policy = policy.map(|policy| node::from_py(policy)).transpose()?;
        let made = py.detach(|| {
            let policy = match policy {
                // As a section of a configuration: null is "not given", comments are skipped.
                Some(policy) => Policy::from_yaml(&to_yaml(&policy))
                    .map_err(|error| (error.to_string(), error.code().to_owned()))?,
                None => Policy::default(),
            };
            policy
                .embedded()
                .map_err(|error| (error.to_string(), error.code().to_owned()))?;
            let files = runtime::guard::pack_texts(&policy)
                .map_err(|error| (error.to_string(), error.code().to_owned()))?;
            let texts = files.iter().map(String::as_str);
            let packs = UserPacks::from_yaml(texts.chain(packs.iter().map(|pack| &**pack)))
                .map_err(|error| (error.to_string(), error.code().to_owned()))?;
            guard::Guard::new(&policy, packs)
                .map_err(|error| (error.to_string(), error.code().to_owned()))
        });
        Ok(Self {
            guard: made.map_err(GuardError::new_err)?,
            home: std::env::home_dir()
                .map(text)
                .transpose()?
                .unwrap_or_default(),
        })
    }

    /// Decides whether a command may run, without running it.
    ///
    /// ``cwd`` is the directory that it would run in, or else the current one; ``home`` is the
    /// home directory, or else that of the user when the guard was made.
    #[pyo3(signature = (command, *, cwd = None, home = None))]
    fn check(
        &self,
        py: Python<'_>,
        command: &str,
        cwd: Option<&Bound<'_, PyAny>>,
        home: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Verdict> {
        let context = self.context(cwd, home)?;
        let verdict = if command.len() <= SHORT {
            self.guard.check(command, &context)
        } else {
            py.detach(|| self.guard.check(command, &context))
        };
        Ok(Verdict::new(verdict, command))
    }

    /// Decides many commands, in order, while other threads run.
    ///
    /// ``cwd`` and ``home`` are those of :meth:`check`.
    #[pyo3(signature = (commands, *, cwd = None, home = None))]
    fn check_batch(
        &self,
        py: Python<'_>,
        commands: &Bound<'_, PyAny>,
        cwd: Option<&Bound<'_, PyAny>>,
        home: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Verdict>> {
        if commands.is_instance_of::<PyString>() {
            return Err(pyo3::exceptions::PyTypeError::new_err(
                "a batch is many commands, not one text",
            ));
        }
        let commands = commands.try_iter()?.map(|command| command?.extract());
        let commands = commands.collect::<PyResult<Vec<PyBackedStr>>>()?;
        let context = self.context(cwd, home)?;
        Ok(py.detach(|| {
            let check =
                |command: &PyBackedStr| Verdict::new(self.guard.check(command, &context), command);
            commands.iter().map(check).collect()
        }))
    }

    /// Decides like :meth:`check`, and tells how, for people.
    #[pyo3(signature = (command, *, cwd = None, home = None))]
    fn explain(
        &self,
        py: Python<'_>,
        command: &str,
        cwd: Option<&Bound<'_, PyAny>>,
        home: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let context = self.context(cwd, home)?;
        Ok(py.detach(|| self.guard.explain(command, &context).render(command)))
    }

    /// The built-in packs and those of the user, with the rules in each.
    fn packs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let packs = py.detach(|| self.guard.packs());
        packs.iter().map(|pack| values::pack(py, pack)).collect()
    }
}

impl Guard {
    fn context(
        &self,
        cwd: Option<&Bound<'_, PyAny>>,
        home: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Context> {
        let cwd = match cwd {
            Some(cwd) => absolute(cwd)?,
            None => text(std::env::current_dir()?)?,
        };
        let home = match home {
            Some(home) => absolute(home)?,
            None => self.home.clone(),
        };
        let mut context = Context::new(cwd, home);
        context.now = now();
        Ok(context)
    }
}

fn absolute(path: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(path) = path.cast::<PyString>() {
        let path = path.to_str()?;
        if path.starts_with('/') {
            return Ok(path.to_owned());
        }
    }
    text(std::path::absolute(path.extract::<PathBuf>()?)?)
}

fn text(path: PathBuf) -> PyResult<String> {
    let unreadable = |_| PyValueError::new_err("the path is not valid Unicode");
    path.into_os_string().into_string().map_err(unreadable)
}

/// What a guard says about a command. True if the command may run: ``allow`` or ``warn``.
#[pyclass(frozen, eq, module = "flowgate")]
#[derive(PartialEq)]
pub(crate) struct Verdict {
    decision: Decision,
    rule: Option<Text>,
    severity: Option<Severity>,
    reason: Option<Text>,
    suggestion: Option<Text>,
    span: Option<(usize, usize)>,
    evidence: Evidence,
}

#[pymethods]
impl Verdict {
    #[new]
    #[pyo3(signature = (
        decision, rule = None, severity = None, reason = None, suggestion = None, span = None,
        evidence = "certain"
    ))]
    fn from_py(
        decision: &str,
        rule: Option<String>,
        severity: Option<&str>,
        reason: Option<String>,
        suggestion: Option<String>,
        span: Option<(usize, usize)>,
        evidence: &str,
    ) -> PyResult<Self> {
        Ok(Self {
            decision: named(DECISIONS, Decision::name, decision)?,
            rule: rule.map(Cow::Owned),
            severity: severity
                .map(|severity| named(SEVERITIES, severity_name, severity))
                .transpose()?,
            reason: reason.map(Cow::Owned),
            suggestion: suggestion.map(Cow::Owned),
            span,
            evidence: named(EVIDENCE, evidence_name, evidence)?,
        })
    }

    /// What to do: ``"allow"``, ``"warn"``, ``"ask"`` or ``"deny"``.
    #[getter]
    fn decision(&self) -> &'static str {
        self.decision.name()
    }

    /// The rule that decided, such as ``"core.filesystem:rm-root"``.
    #[getter]
    fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// How bad it is: ``"low"``, ``"medium"``, ``"high"`` or ``"critical"``.
    #[getter]
    fn severity(&self) -> Option<&'static str> {
        self.severity.map(severity_name)
    }

    /// What would be lost.
    #[getter]
    fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What to do instead.
    #[getter]
    fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// The part that decided: ``command[start:end]``.
    #[getter]
    fn span(&self) -> Option<(usize, usize)> {
        self.span
    }

    /// ``"unresolved"`` if a part of the command is known only when it runs, or else ``"certain"``.
    #[getter]
    fn evidence(&self) -> &'static str {
        evidence_name(self.evidence)
    }

    fn __bool__(&self) -> bool {
        self.decision.runs()
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.decision.name(), &self.rule, self.span).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let rule = self.rule().into_pyobject(py)?.repr()?;
        let decision = self.decision();
        Ok(format!("<flowgate.Verdict {decision} rule={rule}>"))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let me = slf.get();
        let fields = (
            me.decision(),
            me.rule(),
            me.severity(),
            me.reason(),
            me.suggestion(),
            me.span,
            me.evidence(),
        );
        let fields = fields.into_pyobject(slf.py())?;
        Ok((slf.get_type().into_any(), fields))
    }
}

impl Verdict {
    fn new(verdict: guard::Verdict, command: &str) -> Self {
        Self {
            decision: verdict.decision,
            rule: verdict.rule,
            severity: verdict.severity,
            reason: verdict.reason,
            suggestion: verdict.suggestion,
            span: verdict.span.map(|span| {
                (
                    characters(command, span.start),
                    characters(command, span.end),
                )
            }),
            evidence: verdict.evidence,
        }
    }
}

/// How many characters begin in the first bytes of a text.
fn characters(text: &str, bytes: usize) -> usize {
    let bytes = text.as_bytes().get(..bytes).unwrap_or(text.as_bytes());
    bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
}

const DECISIONS: [Decision; 4] = [
    Decision::Allow,
    Decision::Warn,
    Decision::Ask,
    Decision::Deny,
];
const SEVERITIES: [Severity; 4] = [
    Severity::Low,
    Severity::Medium,
    Severity::High,
    Severity::Critical,
];
const EVIDENCE: [Evidence; 2] = [Evidence::Certain, Evidence::Unresolved];

fn named<T: Copy, const N: usize>(
    all: [T; N],
    name: impl Fn(T) -> &'static str,
    text: &str,
) -> PyResult<T> {
    let found = all.into_iter().find(|&one| name(one) == text);
    found.ok_or_else(|| {
        PyValueError::new_err(format!("`{text}` is none of {}", all.map(name).join(", ")))
    })
}

pub(crate) fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

fn evidence_name(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Certain => "certain",
        Evidence::Unresolved => "unresolved",
    }
}
