//! The machine of a sign-in.

mod said;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use said::{Action, Event, Method, Outcome, Prompt, Request, Timing};

use super::answer::{harmless, message, number, object, text, url};
use super::provider::{Flow, Provider};
use super::stored::ENDS;
use crate::{Timestamp, rfc3339};

/// How long a person has to sign in, in milliseconds.
pub const DEFAULT_TIMEOUT: u64 = 180_000;
/// How long to wait between two questions, in milliseconds.
pub const POLL_INTERVAL: u64 = 2_000;
/// The shortest wait between two questions, in milliseconds.
pub const MIN_INTERVAL: u64 = 100;
/// The longest wait after failures, in milliseconds.
const LONGEST_BACK_OFF: u64 = 30_000;
/// How many answers in a row may have a status that nobody knows.
const UNKNOWN_ALLOWED: u32 = 5;
/// How much longer to wait once a server says `slow_down`, in milliseconds.
/// Source: RFC 8628, section 3.5.
const SLOW_DOWN: u64 = 5_000;

/// Where a sign-in stands.
#[derive(Clone, Debug, Deserialize, Serialize)]
enum Phase {
    /// The first request is under way.
    Asking,
    /// The status is to be asked for at a moment.
    Waiting { until: Timestamp },
    /// The status is being asked for.
    Polling,
    /// It is over.
    Over,
}

/// A sign-in under way. It can be stored and taken up again.
///
/// # Example
///
/// ```
/// use flowgate_core::auth::{Action, Event, Outcome, Provider, SignIn, Timing};
///
/// let provider = Provider::polled("acme", "http://127.0.0.1:9000/auth_url", "http://127.0.0.1:9000/status");
/// let answer = |body: &str| Event::Answer { status: 200, retry_after: None, body: body.to_owned() };
/// let (mut sign_in, first) = SignIn::start(&provider, Timing::default(), 0)?;
/// assert!(matches!(first, Action::Send(_)));
///
/// let actions = sign_in.step(answer(r#"{"url": "https://acme.example/login", "token": "t"}"#), 100);
/// let [Action::Show(prompt), Action::Wait { until: 2100 }] = &actions[..] else { panic!() };
/// assert_eq!(prompt.url, "https://acme.example/login");
///
/// sign_in.step(Event::Tick, 2100);
/// let actions = sign_in.step(answer(r#"{"status": "success"}"#), 2200);
/// assert!(matches!(&actions[..], [Action::Finish(Outcome::Success { .. })]));
/// # Ok::<(), flowgate_core::auth::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SignIn {
    flow: Flow,
    timing: Timing,
    deadline: Timestamp,
    phase: Phase,
    /// What the status is asked for with: `state`, `token` or `device_code`.
    handle: Option<(String, Secret)>,
    shown: Option<Prompt>,
    failures: u32,
    unknown: u32,
    last_status: Option<String>,
    last_error: Option<String>,
}

/// A text that `{:?}` does not show.
#[derive(Clone, Deserialize, Serialize)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::redact::HIDDEN)
    }
}

impl SignIn {
    /// Begins to sign in at a provider.
    ///
    /// # Errors
    ///
    /// [`super::Error::NotPossible`] if the provider has no way to.
    pub fn start(
        provider: &Provider,
        timing: Timing,
        now: Timestamp,
    ) -> Result<(Self, Action), super::Error> {
        let flow = provider.flow()?.clone();
        let timing = Timing {
            interval: timing.interval.max(MIN_INTERVAL),
            ..timing
        };
        let request = flow.first_request();
        let sign_in = Self {
            flow,
            timing,
            deadline: now.saturating_add(timing.timeout),
            phase: Phase::Asking,
            handle: None,
            shown: None,
            failures: 0,
            unknown: 0,
            last_status: None,
            last_error: None,
        };
        Ok((sign_in, Action::Send(request)))
    }

    /// What to do after something happened. Nothing, once it is over.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        match (&self.phase, event) {
            (Phase::Over, _) => Vec::new(),
            (_, Event::Cancelled) => self.finish(Outcome::Cancelled),
            (Phase::Asking, Event::Answer { status, body, .. }) => self.begun(status, &body, now),
            (Phase::Asking, Event::Failed { error, .. }) => {
                let outcome = self.unreachable(self.flow.auth_endpoint(), &error);
                self.finish(outcome)
            }
            (Phase::Waiting { until }, Event::Tick) if now >= *until => {
                self.phase = Phase::Polling;
                vec![Action::Send(self.flow.next_request(self.handle_text()))]
            }
            (Phase::Waiting { until }, _) => vec![Action::Wait { until: *until }],
            (
                Phase::Polling,
                Event::Answer {
                    status,
                    retry_after,
                    body,
                },
            ) => self.polled(status, retry_after, &body, now),
            (Phase::Polling, Event::Failed { error, permanent }) if permanent => {
                let outcome = self.unreachable(self.flow.status_endpoint(), &error);
                self.finish(outcome)
            }
            (Phase::Polling, Event::Failed { error, .. }) => {
                self.stumble(harmless(&error), None, now)
            }
            (Phase::Asking | Phase::Polling, Event::Tick) => Vec::new(),
        }
    }

    /// When it will be over at the latest, unless a request takes longer.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    fn handle_text(&self) -> Option<(&str, &str)> {
        let (name, secret) = self.handle.as_ref()?;
        Some((name, &secret.0))
    }

    fn finish(&mut self, outcome: Outcome) -> Vec<Action> {
        self.phase = Phase::Over;
        vec![Action::Finish(outcome)]
    }

    fn unreachable(&self, endpoint: &str, error: &str) -> Outcome {
        Outcome::Unreachable {
            endpoint: endpoint.to_owned(),
            message: harmless(error),
        }
    }

    fn refused(&mut self, endpoint: String, message: String, hint: &str) -> Vec<Action> {
        self.finish(Outcome::Refused {
            endpoint,
            message,
            hint: hint.to_owned(),
        })
    }

    /// The answer to the first request.
    fn begun(&mut self, status: u16, body: &str, now: Timestamp) -> Vec<Action> {
        let endpoint = self.flow.auth_endpoint().to_owned();
        let read = object(body);
        if !(200..300).contains(&status) {
            let said = read.ok().as_ref().and_then(message);
            return self.refused(endpoint, http_message(status, said), hint_for(status));
        }
        let answer = match read {
            Ok(answer) => answer,
            Err(_) if status == 204 => {
                return self.refused(endpoint, "the answer has no content".to_owned(), CHECK);
            }
            Err(problem) => return self.refused(endpoint, problem, CHECK),
        };
        if is_failure(text(&answer, &["status"])) {
            let said = message(&answer).unwrap_or_else(|| "it says that it failed".to_owned());
            return self.refused(endpoint, said, CHECK);
        }
        self.handle = handle(&answer);
        if self.handle.is_none() && self.flow.needs_handle() {
            let problem = "the answer has no `state`, without which the status means nothing";
            return self.refused(endpoint, problem.to_owned(), CHECK);
        }
        if let Some(seconds) = number(&answer, "interval") {
            self.timing.interval = self.timing.interval.max(seconds.saturating_mul(1000));
        }
        if let Some(seconds) = number(&answer, "expires_in") {
            self.deadline = self
                .deadline
                .min(now.saturating_add(seconds.saturating_mul(1000)));
        }
        let mut actions = match self.show(&answer) {
            Ok(actions) => actions,
            Err(problem) => return self.refused(endpoint, problem, CHECK),
        };
        let to_come = text(&answer, &["method"]) == Some("device_code");
        if self.shown.is_none() && !to_come {
            let problem = "the answer has no `auth_url`, `url` or `login_url`";
            return self.refused(endpoint, problem.to_owned(), CHECK);
        }
        actions.extend(self.wait(self.timing.interval, now));
        actions
    }

    /// Shows a page or a code, if there is one that was not shown yet.
    fn show(&mut self, answer: &Map<String, Value>) -> Result<Vec<Action>, String> {
        let page = [
            "verification_uri_complete",
            "verification_url_complete",
            "verification_uri",
            "verification_url",
            "auth_url",
            "url",
            "login_url",
        ];
        let Some(page) = text(answer, &page) else {
            return Ok(Vec::new());
        };
        let prompt = Prompt {
            url: url(page)?,
            user_code: text(answer, &["user_code"]).map(harmless),
        };
        if self.shown.as_ref() == Some(&prompt) {
            return Ok(Vec::new());
        }
        self.shown = Some(prompt.clone());
        Ok(vec![Action::Show(prompt)])
    }

    /// The answer to a question for the status.
    fn polled(
        &mut self,
        status: u16,
        retry_after: Option<u64>,
        body: &str,
        now: Timestamp,
    ) -> Vec<Action> {
        let read = object(body);
        let word = read
            .as_ref()
            .ok()
            .and_then(|answer| status_word(answer, &self.flow));
        // RFC 8628 answers 400 until the person is done.
        let decided = matches!(&self.flow, Flow::Device { .. }) && word.is_some();
        if !(200..300).contains(&status) && !decided {
            let said = read.ok().as_ref().and_then(message);
            let what = http_message(status, said);
            if matches!(status, 408 | 425 | 429 | 500..=599) {
                return self.stumble(what, retry_after, now);
            }
            let endpoint = self.flow.status_endpoint().to_owned();
            return self.refused(endpoint, what, hint_for(status));
        }
        let answer = match read {
            Ok(answer) => answer,
            Err(problem) => return self.stumble(problem, retry_after, now),
        };
        if let (Some(("state", ours)), Some(theirs)) =
            (self.handle_text(), text(&answer, &["state"]))
            && ours != theirs
        {
            let endpoint = self.flow.status_endpoint().to_owned();
            let problem = "the answer belongs to another sign-in: its `state` differs";
            return self.refused(endpoint, problem.to_owned(), "start again");
        }
        self.failures = 0;
        self.judge(word, &answer, retry_after, now)
    }

    fn judge(
        &mut self,
        word: Option<String>,
        answer: &Map<String, Value>,
        retry_after: Option<u64>,
        now: Timestamp,
    ) -> Vec<Action> {
        self.last_status = word.clone().or_else(|| {
            answer
                .get("status")
                .map(|status| harmless(&status.to_string()))
        });
        let said = || {
            message(answer)
                .filter(|said| Some(said) != word.as_ref())
                .unwrap_or_default()
        };
        match word.as_deref() {
            Some(
                "success" | "completed" | "complete" | "authorized" | "authenticated" | "ok"
                | "done",
            ) => {
                let status = word.clone().unwrap_or_default();
                let credentials = credentials(answer, now);
                self.finish(Outcome::Success {
                    status,
                    credentials,
                })
            }
            Some("denied" | "access_denied" | "cancelled" | "canceled" | "rejected") => {
                let message = said();
                self.finish(Outcome::Denied { message })
            }
            Some("expired" | "expired_token") => {
                let message = said();
                self.finish(Outcome::Expired { message })
            }
            Some("failed" | "failure" | "error") => {
                let message = said();
                self.finish(Outcome::Failed { message })
            }
            Some(word) => self.pending(word, answer, retry_after, now),
            None => self.pending("?", answer, retry_after, now),
        }
    }

    fn pending(
        &mut self,
        word: &str,
        answer: &Map<String, Value>,
        retry_after: Option<u64>,
        now: Timestamp,
    ) -> Vec<Action> {
        let known = matches!(
            word,
            "" | "pending"
                | "wait"
                | "waiting"
                | "in_progress"
                | "processing"
                | "started"
                | "authorization_pending"
                | "slow_down"
                | "device_code"
                | "auth_url"
        );
        self.unknown = if known { 0 } else { self.unknown + 1 };
        if self.unknown >= UNKNOWN_ALLOWED {
            let endpoint = self.flow.status_endpoint().to_owned();
            let said = self
                .last_status
                .clone()
                .unwrap_or_else(|| "none".to_owned());
            let problem = format!("it keeps giving a status that is not known: `{said}`");
            return self.refused(endpoint, problem, CHECK);
        }
        if word == "slow_down" {
            self.timing.interval = self.timing.interval.saturating_add(SLOW_DOWN);
        }
        // A page that cannot be shown is no reason to stop: another may have been shown.
        let mut actions = self.show(answer).unwrap_or_default();
        let pause = self.timing.interval.max(retry_after.unwrap_or_default());
        actions.extend(self.wait(pause, now));
        actions
    }

    /// Something failed that may be over soon: wait longer each time.
    fn stumble(&mut self, error: String, retry_after: Option<u64>, now: Timestamp) -> Vec<Action> {
        self.last_error = Some(error);
        let longer = self
            .timing
            .interval
            .saturating_mul(1 << self.failures.min(8));
        self.failures += 1;
        let pause = longer.min(LONGEST_BACK_OFF.max(self.timing.interval));
        self.wait(pause.max(retry_after.unwrap_or_default()), now)
    }

    /// Waits, but not beyond the deadline: there, the status is asked for a last time.
    fn wait(&mut self, pause: u64, now: Timestamp) -> Vec<Action> {
        let polled = matches!(self.phase, Phase::Polling);
        if polled && now >= self.deadline {
            let (last_status, last_error) = (self.last_status.take(), self.last_error.take());
            return self.finish(Outcome::TimedOut {
                last_status,
                last_error,
            });
        }
        let until = now.saturating_add(pause).min(self.deadline.max(now));
        self.phase = Phase::Waiting { until };
        vec![Action::Wait { until }]
    }
}

const CHECK: &str = "check the endpoint under `auth.providers`";

fn is_failure(word: Option<&str>) -> bool {
    word.is_some_and(|word| matches!(word.to_lowercase().as_str(), "error" | "failed"))
}

/// What the status is asked for with.
fn handle(answer: &Map<String, Value>) -> Option<(String, Secret)> {
    ["state", "device_code", "token"].iter().find_map(|name| {
        let value = text(answer, &[name])?;
        Some(((*name).to_owned(), Secret(value.to_owned())))
    })
}

/// The status in an answer, in lower case; `None` if there is none that is a text.
fn status_word(answer: &Map<String, Value>, flow: &Flow) -> Option<String> {
    if matches!(flow, Flow::Device { .. }) {
        if text(answer, &["access_token"]).is_some() {
            return Some("success".to_owned());
        }
        return text(answer, &["error"]).map(str::to_lowercase);
    }
    let word = answer.get("status")?.as_str()?;
    Some(harmless(&word.trim().to_lowercase()))
}

/// The credentials in an answer: under `credentials`, or the answer itself. How long they last is
/// counted from now, which nobody who reads them later knows.
fn credentials(answer: &Map<String, Value>, now: Timestamp) -> Option<Map<String, Value>> {
    let mut credentials = match answer.get("credentials") {
        Some(Value::Object(credentials)) if !credentials.is_empty() => credentials.clone(),
        Some(Value::Object(_)) => return None,
        _ => {
            text(answer, &["access_token"])?;
            answer.clone()
        }
    };
    if !answer.contains_key("credentials") {
        credentials.shift_remove("status");
    }
    let seconds = credentials.get("expires_in").and_then(Value::as_u64);
    if let Some(seconds) = seconds
        && !ENDS.iter().any(|key| credentials.contains_key(*key))
    {
        let end = now.saturating_add(seconds.saturating_mul(1000));
        credentials.insert("expires_at".to_owned(), rfc3339(end).into());
    }
    Some(credentials)
}

fn http_message(status: u16, said: Option<String>) -> String {
    match said {
        Some(said) => format!("HTTP {status}: {said}"),
        None => format!("HTTP {status}"),
    }
}

fn hint_for(status: u16) -> &'static str {
    match status {
        401 | 403 => "give the management key: name its credential under `auth.management_key`",
        404 | 410 => "check the endpoint; CLIProxyAPI answers so while it has no management key",
        408 | 429 | 500..=599 => "try again later",
        _ => CHECK,
    }
}
