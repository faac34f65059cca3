//! What does this answer mean, for whom, and when to come back?
//!
//! A table of statuses, words and phrases, as the providers document and send them; rules of the
//! user come first. Any bytes have a meaning, no more than [`SCANNED`] of a body are looked at, and
//! the time that takes is linear in them.

mod frame;
mod limits;
mod phrases;
mod rules;
mod words;

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;

pub use rules::{Rule, RuleError, Rules};

use self::frame::Frame;
use self::limits::Limits;
use self::phrases::{Phrases, Says};
use self::words::Subject;
use super::class::{Action, Class, Classification, Scope, Transport};
use super::headers::{Headers, Name};
use super::moment::plausible;
use super::sse;
use crate::Timestamp;

/// How much of a body is looked at, in bytes. Errors are shorter.
pub const SCANNED: usize = 16 << 10;

/// A wait from here on is a budget that is spent, whatever it is called.
const QUOTA_FROM_MS: u64 = 5 * 60 * 1000;

/// The longest wait that a provider without capacity can ask for: it does not know.
const LONGEST_OVERLOAD_MS: u64 = 60 * 1000;

/// What came back from a provider, or how it failed to.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The provider as the account names it: `openai`, `azure`, `anthropic`, `codex`, `gemini`,
    /// `openrouter`, or any other name.
    pub provider: &'a str,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// The headers.
    pub headers: &'a dyn Headers,
    /// The body, or the event of a stream; at least its first 16 KB.
    pub body: &'a [u8],
    /// How the exchange ended, if not with an answer.
    pub transport: Option<Transport>,
}

impl Default for Answer<'_> {
    fn default() -> Self {
        Self {
            provider: "",
            status: None,
            headers: &(),
            body: b"",
            transport: None,
        }
    }
}

/// Headers and bodies may hold what nobody should see.
impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("provider", &self.provider)
            .field("status", &self.status)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// The providers whose answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    OpenAi,
    Azure,
    Anthropic,
    Codex,
    Google,
    OpenRouter,
    Other,
}

impl Provider {
    const NAMES: [(&'static str, Self); 14] = [
        ("openai", Self::OpenAi),
        ("azure", Self::Azure),
        ("azure_openai", Self::Azure),
        ("anthropic", Self::Anthropic),
        ("claude", Self::Anthropic),
        ("codex", Self::Codex),
        ("chatgpt", Self::Codex),
        ("google", Self::Google),
        ("gemini", Self::Google),
        ("gemini_cli", Self::Google),
        ("antigravity", Self::Google),
        ("vertex", Self::Google),
        ("vertex_ai", Self::Google),
        ("openrouter", Self::OpenRouter),
    ];

    /// The provider of a name; most names are of none of these.
    pub(super) fn of(name: &str) -> Self {
        let same = |known: &str| {
            known.len() == name.len()
                && known.bytes().zip(name.bytes()).all(|(known, byte)| {
                    known == byte.to_ascii_lowercase() || (known == b'_' && byte == b'-')
                })
        };
        let found = Self::NAMES.iter().find(|(known, _)| same(known));
        found.map_or(Self::Other, |(_, provider)| *provider)
    }
}

impl Class {
    /// Whom an answer of this class is about, usually.
    pub const fn usual_scope(self) -> Scope {
        match self {
            Self::Ok | Self::ClientCancelled => Scope::None,
            Self::RequestFault | Self::Entitlement | Self::Windowless => Scope::Request,
            Self::ModelUnsupported | Self::NotFound => Scope::Model,
            Self::Challenge => Scope::Egress,
            Self::Overloaded => Scope::Provider,
            _ => Scope::Account,
        }
    }

    /// What to do with the request, usually.
    pub const fn usual_action(self) -> Action {
        match self {
            Self::Ok => Action::Done,
            Self::ClientCancelled | Self::RequestFault | Self::Entitlement => Action::Stop,
            Self::Auth => Action::Refresh,
            _ => Action::Next,
        }
    }

    const fn usual(self) -> Classification {
        Classification {
            class: self,
            scope: self.usual_scope(),
            action: self.usual_action(),
            cooldown_ms: None,
        }
    }
}

/// Says what an answer means: pure, total, and bounded in time by [`SCANNED`].
///
/// * `answer`: what came back.
/// * `now`: the time, in milliseconds since the Unix epoch, against which moments are read.
/// * `rules`: what the user knows better; the first rule that holds comes before the tables.
///
/// # Example
///
/// ```
/// use flowgate_core::accounts::{Answer, Class, Rules, classify};
///
/// let answer = Answer {
///     provider: "openai",
///     status: Some(429),
///     headers: &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "12ms")],
///     ..Answer::default()
/// };
/// let meaning = classify(&answer, 1_700_000_000_000, &Rules::default());
/// assert_eq!((meaning.class, meaning.cooldown_ms), (Class::Rate, Some(12)));
/// ```
///
/// Sources: OpenAI, "Rate limits" and "Error codes"; Azure OpenAI, "quotas and limits"; Anthropic,
/// "Rate limits" and "Errors"; Google, `google.rpc.RetryInfo` and `ErrorInfo`; OpenRouter, "Limits";
/// RFC 9110, `Retry-After`.
pub fn classify(answer: &Answer<'_>, now: Timestamp, rules: &Rules) -> Classification {
    let body = &answer.body[..answer.body.len().min(SCANNED)];
    rules.apply(answer, body, judge(answer, body, now, rules))
}

fn judge(answer: &Answer<'_>, body: &[u8], now: Timestamp, rules: &Rules) -> Classification {
    let status = answer.status.unwrap_or(0);
    if answer.transport == Some(Transport::Cancelled) || status == 499 {
        return Class::ClientCancelled.usual();
    }
    if status == 0 && (answer.transport.is_some() || body.is_empty()) {
        return Class::Network.usual();
    }
    let success = (200..300).contains(&status);
    if success && !may_hold_an_error(body) {
        return Class::Ok.usual();
    }
    let document = Document::find(body, now);
    if success && !document.is_error {
        return Class::Ok.usual();
    }
    in_lower_case(&document.text, |lower| {
        let mut case = Case {
            status,
            success,
            provider: Provider::of(answer.provider),
            headers: answer.headers,
            frame: &document.frame,
            text: Phrases::new(lower, rules.lexicon()),
            now,
        };
        case.decide()
    })
}

/// Whether it is worth while to read the body of a success.
fn may_hold_an_error(body: &[u8]) -> bool {
    let hints: [&[u8]; 4] = [b"error", b"overloaded", b"limit", b"slow_down"];
    hints.iter().any(|hint| memmem::find(body, hint).is_some())
}

/// The part of a body that says what went wrong.
struct Document<'b> {
    text: Cow<'b, [u8]>,
    frame: Frame,
    /// Whether it is an error whatever the status is, as in a stream.
    is_error: bool,
}

impl<'b> Document<'b> {
    /// The first event of a stream that is an error, or else one that could be. The body itself, if
    /// it is no stream.
    fn find(body: &'b [u8], now: Timestamp) -> Self {
        let mut doubtful = None;
        for event in sse::events(body) {
            if !event.is_error && !may_hold_an_error(&event.data) {
                continue;
            }
            let mut document = Self::of(event.data, now);
            document.is_error |= event.is_error;
            if document.is_error {
                return document;
            }
            doubtful.get_or_insert(document);
        }
        doubtful.unwrap_or_else(|| Self::of(Cow::Borrowed(body), now))
    }

    fn of(text: Cow<'b, [u8]>, now: Timestamp) -> Self {
        let frame = Frame::read(&text, now);
        let is_error = frame.has_error || frame.document.is_error();
        Self {
            text,
            frame,
            is_error,
        }
    }
}

/// Most errors are short, and then a small place on the stack is enough.
fn in_lower_case<T>(text: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    fn with<const SIZE: usize, T>(text: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
        let mut lower = [0; SIZE];
        let lower = &mut lower[..text.len()];
        lower.copy_from_slice(text);
        lower.make_ascii_lowercase();
        read(lower)
    }
    match text.len() {
        0 => read(text),
        1..=512 => with::<512, _>(text, read),
        513..=4096 => with::<4096, _>(text, read),
        _ => with::<SCANNED, _>(text, read),
    }
}

/// One answer that is not a plain success.
struct Case<'c> {
    status: u16,
    success: bool,
    provider: Provider,
    headers: &'c dyn Headers,
    frame: &'c Frame,
    text: Phrases<'c>,
    now: Timestamp,
}

impl Case<'_> {
    /// The table, from the surest sign to the weakest.
    fn decide(&mut self) -> Classification {
        let words = &self.frame.error;
        if let Some(scope) = self.lacks_capacity() {
            return self.overloaded(scope);
        }
        let document = &self.frame.document;
        let usage = words.is_usage_limit() || document.is_usage_limit();
        if usage && (self.success || matches!(self.status, 0 | 400 | 403)) {
            // Codex says so behind several statuses.
            self.status = 429;
        }
        if let Some(class) = self.about_the_account() {
            return class.usual();
        }
        if self.status == 429 || words.is_rate() {
            return self.refused(usage);
        }
        self.about_the_request().usual()
    }

    /// Whether the words say so, and no code of the error says otherwise: a message may quote what
    /// was sent.
    fn says(&self, says: Says) -> bool {
        match self.frame.error.subject() {
            None => self.text.says(says),
            Some(Subject::Account) if says != Says::NoCapacity => self.text.says(says),
            Some(Subject::Fault) => self.text.names(says),
            Some(_) => self.text.names(says) || self.text.tells(says),
        }
    }

    /// Whether there is no capacity, and for whom.
    fn lacks_capacity(&self) -> Option<Scope> {
        if self.says(Says::NoCapacity) {
            return Some(Scope::Model);
        }
        let overloaded = self.status == 529 || self.frame.error.is_overload();
        overloaded.then_some(Scope::Provider)
    }

    fn overloaded(&self, scope: Scope) -> Classification {
        let wait = Limits::read(self.headers, self.now).retry_after;
        let wait = wait
            .and_then(|wait| u64::try_from(wait).ok())
            .filter(|wait| *wait > 0);
        Classification {
            scope,
            cooldown_ms: wait.map(|wait| wait.min(LONGEST_OVERLOAD_MS)),
            ..Class::Overloaded.usual()
        }
    }

    /// What is wrong with the credential, the money or the way there.
    fn about_the_account(&self) -> Option<Class> {
        let status = self.status;
        match status {
            400 | 401 | 403 if self.says(Says::Dead) => return Some(Class::AuthDead),
            401 => return Some(Class::Auth),
            400 if self.says(Says::BadKey) => return Some(Class::Auth),
            402 => return Some(Class::Payment),
            _ => {}
        }
        let broke = self.says(Says::Broke) || status != 429 && self.says(Says::NoBalance);
        match status {
            _ if broke => Some(Class::Payment),
            403 | 503 if self.is_challenge() => Some(Class::Challenge),
            // OpenRouter's moderation.
            403 if self.text.says(Says::Flagged) => Some(Class::RequestFault),
            403 => Some(Class::Forbidden),
            _ => None,
        }
    }

    /// A challenge is a page: where the provider itself answers, words are only words.
    fn is_challenge(&self) -> bool {
        let mut mitigated = false;
        self.headers
            .each(&mut |name, _| mitigated |= Name::of(name) == Some(Name::Mitigated));
        let is_page = || {
            self.text.says(Says::Challenge)
                || self.text.says(Says::Cloudflare) && self.text.says(Says::Html)
        };
        mitigated || self.frame.error.subject().is_none() && is_page()
    }

    /// A 429, or what means the same.
    fn refused(&self, usage: bool) -> Classification {
        let limits = Limits::read(self.headers, self.now);
        if let Some(spent) = self.spent_window(&limits) {
            return spent;
        }
        let text = self.text;
        let extra = text.says(Says::FastMode) && text.says(Says::CreditsRequired);
        if extra || text.says(Says::ExtraUsage) {
            return Class::Entitlement.usual();
        }
        if self
            .frame
            .error
            .code
            .is_one_of(&["websocket_connection_limit_reached"])
        {
            let wait = limits.retry_after.and_then(plausible);
            return Classification {
                cooldown_ms: wait.or(Some(0)),
                ..Class::Concurrency.usual()
            };
        }
        let says_nothing = limits.retry_after.is_none() && !limits.stated;
        if self.provider == Provider::Anthropic && limits.should_retry && says_nothing {
            return Class::Windowless.usual();
        }
        let wait = self.wait(&limits);
        Classification {
            scope: match self.provider {
                Provider::Google => Scope::Model,
                _ => Scope::Account,
            },
            cooldown_ms: wait,
            ..self.kind_of_refusal(usage, wait).usual()
        }
    }

    /// A window of a subscription that is spent, if the headers say so.
    fn spent_window(&self, limits: &Limits<'_>) -> Option<Classification> {
        let retry_after = limits
            .retry_after
            .and_then(plausible)
            .filter(|wait| *wait > 0);
        let latest = limits.window_wait(self.now).max(retry_after);
        let (scope, cooldown_ms) = if limits.account_is_spent() {
            (Scope::Account, latest.max(limits.together.wait(self.now)))
        } else if limits.family_is_spent() {
            (Scope::Model, latest)
        } else {
            return None;
        };
        Some(Classification {
            scope,
            cooldown_ms,
            ..Class::Quota.usual()
        })
    }

    /// How long to wait: what the headers ask for, then what the body says, then when the limits
    /// that are spent are full again.
    fn wait(&self, limits: &Limits<'_>) -> Option<u64> {
        let stated = limits.retry_after.and_then(plausible);
        let body = || {
            let wait = self.frame.wait().or_else(|| self.text.wait(self.now));
            wait.and_then(plausible)
        };
        stated
            .or_else(body)
            .or_else(|| limits.bucket_wait(self.now))
            .or_else(|| self.frame.late_wait().and_then(plausible))
    }

    fn kind_of_refusal(&self, usage: bool, wait: Option<u64>) -> Class {
        let text = self.text;
        if usage || wait.is_some_and(|wait| wait >= QUOTA_FROM_MS) {
            return Class::Quota;
        }
        let google_day = || self.provider == Provider::Google && text.says(Says::DaySpent);
        let spent = || {
            let said = text.says(Says::Spent) || text.says(Says::NoBalance) || google_day();
            said && !text.says(Says::OnlyRate)
        };
        if text.says(Says::QuotaExhausted) || spent() {
            Class::Quota
        } else if wait.is_none() && text.says(Says::Concurrency) {
            Class::Concurrency
        } else {
            Class::Rate
        }
    }

    /// Everything else: the model, the request, or the provider.
    fn about_the_request(&self) -> Class {
        let (status, text, words) = (self.status, self.text, &self.frame.error);
        let no_model = || text.says(Says::NoModel);
        match status {
            400 | 422 if no_model() => Class::ModelUnsupported,
            404 if text.says(Says::NotStored) => Class::RequestFault,
            404 if text.says(Says::ModelNotFound) || text.misses_model() => Class::ModelUnsupported,
            404 => Class::NotFound,
            _ if words.is_fault() => Class::RequestFault,
            // 406, 411, 414, 415, 416 and 431 are about how a request is written, too.
            400 | 405 | 406 | 409 | 411 | 413..=416 | 422 | 431 | 501 => Class::RequestFault,
            408 => Class::Timeout,
            500.. => Class::ServerError,
            _ if words.is_server_error() => Class::ServerError,
            _ => Class::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
