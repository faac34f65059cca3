//! What a provider sends where it does not serve, and the headers of all answers.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::limits::{Level, Refusal, Standing, WindowLevel};
use super::script::{Fault, KeyState};
use crate::Timestamp;

/// Whose HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
}

/// A status with its body.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) body: Value,
    /// When to come back, in milliseconds, if that is told.
    pub(super) wait_ms: Option<u64>,
}

impl Dialect {
    /// An error, in the shape of the provider.
    pub(super) fn error(
        self,
        status: u16,
        kind: &str,
        code: Option<&str>,
        message: &str,
    ) -> Failure {
        let body = match self {
            Self::OpenAi => {
                json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
            }
            Self::Anthropic => {
                json!({"type": "error", "error": {"type": kind, "message": message}})
            }
        };
        Failure {
            status,
            body,
            wait_ms: None,
        }
    }

    /// What the caller did wrong.
    pub(super) fn bad_request(self, message: &str) -> Failure {
        self.error(400, "invalid_request_error", None, message)
    }

    pub(super) fn no_model(self, model: &str) -> Failure {
        match self {
            Self::OpenAi => self.error(
                404,
                "invalid_request_error",
                Some("model_not_found"),
                &format!("The model `{model}` does not exist or you do not have access to it."),
            ),
            Self::Anthropic => self.error(404, "not_found_error", None, &format!("model: {model}")),
        }
    }

    /// The answer to a request that is refused. None: there is no answer at all.
    pub(super) fn refusal(self, refusal: Refusal, hints: bool, now: Timestamp) -> Option<Failure> {
        let mut failure = match refusal {
            Refusal::NoKey | Refusal::State(KeyState::Revoked | KeyState::Active) => self.no_key(),
            Refusal::State(state) => self.bad_state(state),
            Refusal::Fault(Fault::Overloaded, _) => self.overloaded(),
            Refusal::Fault(Fault::Reset, _) => return None,
            Refusal::Fault(..) => self.broken(),
            Refusal::Requests { wait_ms } => self.limited("requests", wait_ms, hints),
            Refusal::Tokens { wait_ms } => self.limited("tokens", wait_ms, hints),
            Refusal::Window { resets_at } => self.spent(resets_at, now, hints),
            Refusal::Concurrency => self.limited("requests", 0, false),
        };
        failure.wait_ms = failure.wait_ms.filter(|_| hints);
        Some(failure)
    }

    fn no_key(self) -> Failure {
        match self {
            Self::OpenAi => self.error(
                401,
                "invalid_request_error",
                Some("invalid_api_key"),
                "Incorrect API key provided.",
            ),
            Self::Anthropic => self.error(401, "authentication_error", None, "invalid x-api-key"),
        }
    }

    fn bad_state(self, state: KeyState) -> Failure {
        match (self, state) {
            (Self::OpenAi, KeyState::Deactivated) => self.error(
                401,
                "invalid_request_error",
                Some("account_deactivated"),
                "Your account has been deactivated.",
            ),
            (Self::OpenAi, KeyState::NoMoney) => self.error(
                429,
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            (Self::Anthropic, KeyState::Deactivated) => self.error(
                403,
                "permission_error",
                None,
                "This organization has been disabled.",
            ),
            (Self::Anthropic, KeyState::NoMoney) => self.error(
                400,
                "invalid_request_error",
                None,
                "Your credit balance is too low to access the API.",
            ),
            _ => self.error(403, "permission_error", None, "This key may not do this."),
        }
    }

    pub(super) fn overloaded(self) -> Failure {
        match self {
            Self::OpenAi => self.error(
                503,
                "server_error",
                Some("server_is_overloaded"),
                "The server is overloaded.",
            ),
            Self::Anthropic => self.error(529, "overloaded_error", None, "Overloaded"),
        }
    }

    pub(super) fn broken(self) -> Failure {
        match self {
            Self::OpenAi => self.error(
                500,
                "server_error",
                None,
                "The server had an error while processing your request.",
            ),
            Self::Anthropic => self.error(500, "api_error", None, "Internal server error"),
        }
    }

    fn limited(self, what: &str, wait_ms: u64, hints: bool) -> Failure {
        let failure = match self {
            Self::OpenAi => {
                let when = if hints {
                    format!(" Please try again in {}.", duration(wait_ms))
                } else {
                    String::new()
                };
                let message = format!("Rate limit reached for {what} per min.{when}");
                self.error(429, what, Some("rate_limit_exceeded"), &message)
            }
            Self::Anthropic => self.error(
                429,
                "rate_limit_error",
                None,
                &format!("This request would exceed your account's rate limit for {what}."),
            ),
        };
        Failure {
            wait_ms: Some(wait_ms),
            ..failure
        }
    }

    fn spent(self, resets_at: Timestamp, now: Timestamp, hints: bool) -> Failure {
        let wait_ms = resets_at.saturating_sub(now);
        let mut failure = match self {
            Self::OpenAi => self.error(
                429,
                "usage_limit_reached",
                None,
                "The usage limit has been reached",
            ),
            Self::Anthropic => self.limited("this window", wait_ms, hints),
        };
        if self == Self::OpenAi && hints {
            failure.body["error"]["resets_at"] = json!(resets_at.div_ceil(1_000));
            failure.body["error"]["resets_in_seconds"] = json!(wait_ms.div_ceil(1_000));
        }
        failure.wait_ms = (self == Self::Anthropic).then_some(wait_ms);
        failure
    }

    /// The headers that state limits.
    pub(super) fn limit_headers(
        self,
        standing: &Standing,
        now: Timestamp,
        headers: &mut HeaderMap,
    ) {
        let mut put = |name: String, value: String| put(headers, &name, &value);
        for (what, level) in [("requests", standing.requests), ("tokens", standing.tokens)] {
            let Some(Level {
                limit,
                remaining,
                full_in_ms,
            }) = level
            else {
                continue;
            };
            match self {
                Self::OpenAi => {
                    put(format!("x-ratelimit-limit-{what}"), limit.to_string());
                    put(
                        format!("x-ratelimit-remaining-{what}"),
                        remaining.to_string(),
                    );
                    put(format!("x-ratelimit-reset-{what}"), duration(full_in_ms));
                }
                Self::Anthropic => {
                    let name = |field| format!("anthropic-ratelimit-{what}-{field}");
                    put(name("limit"), limit.to_string());
                    put(name("remaining"), remaining.to_string());
                    put(
                        name("reset"),
                        crate::rfc3339(now.saturating_add(full_in_ms)),
                    );
                }
            }
        }
        let Some(WindowLevel {
            used,
            resets_at,
            length_ms,
        }) = standing.window
        else {
            return;
        };
        let resets_at = resets_at.div_ceil(1_000).to_string();
        match self {
            Self::OpenAi => {
                put(
                    "x-codex-primary-used-percent".into(),
                    format!("{:.1}", used * 100.0),
                );
                put(
                    "x-codex-primary-window-minutes".into(),
                    (length_ms / 60_000).max(1).to_string(),
                );
                put("x-codex-primary-reset-at".into(), resets_at);
            }
            Self::Anthropic => {
                let status = if used >= 1.0 { "rejected" } else { "allowed" };
                let name = |field| format!("anthropic-ratelimit-unified-5h-{field}");
                put("anthropic-ratelimit-unified-status".into(), status.into());
                put(name("status"), status.into());
                put(name("utilization"), format!("{used:.3}"));
                put(name("reset"), resets_at);
            }
        }
    }

    /// The headers that say when to come back: whole seconds, never early.
    pub(super) fn hint_headers(self, wait_ms: u64, headers: &mut HeaderMap) {
        put(headers, "retry-after", &wait_ms.div_ceil(1_000).to_string());
        if self == Self::OpenAi {
            put(headers, "retry-after-ms", &wait_ms.to_string());
        }
    }
}

/// A header whose name and value this module wrote itself.
pub(super) fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// A duration as Go writes it, which is how OpenAI does: `12ms`, `1.5s`, `6m0s`.
fn duration(millis: u64) -> String {
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let seconds = rest as f64 / 1e3;
    match (minutes, rest) {
        (0, 0..1_000) => format!("{rest}ms"),
        (0, _) => format!("{seconds}s"),
        (1..60, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{}h{}m{seconds}s", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Answer, Class, QuotaView, Rules, classify};

    const NOW: Timestamp = 1_700_000_000_000;

    /// What our own tables make of an answer of the pretended provider.
    fn meaning(dialect: Dialect, refusal: Refusal, hints: bool) -> (Class, Option<u64>) {
        let failure = dialect.refusal(refusal, hints, NOW).unwrap();
        let mut headers = HeaderMap::new();
        if let Some(wait) = failure.wait_ms {
            dialect.hint_headers(wait, &mut headers);
        }
        let pairs: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let body = failure.body.to_string();
        let answer = Answer {
            provider: match dialect {
                Dialect::OpenAi => "openai",
                Dialect::Anthropic => "anthropic",
            },
            status: Some(failure.status),
            headers: &pairs,
            body: body.as_bytes(),
            transport: None,
        };
        let meaning = classify(&answer, NOW, &Rules::default());
        (meaning.class, meaning.cooldown_ms)
    }

    #[test]
    fn each_refusal_means_what_it_should() {
        let both = [Dialect::OpenAi, Dialect::Anthropic];
        for dialect in both {
            let meaning = |refusal| meaning(dialect, refusal, true);
            assert_eq!(meaning(Refusal::NoKey).0, Class::Auth);
            assert_eq!(meaning(Refusal::State(KeyState::Revoked)).0, Class::Auth);
            assert_eq!(
                meaning(Refusal::State(KeyState::Deactivated)).0,
                Class::AuthDead
            );
            assert_eq!(
                meaning(Refusal::State(KeyState::Forbidden)).0,
                Class::Forbidden
            );
            assert_eq!(
                meaning(Refusal::Fault(Fault::Overloaded, 0)).0,
                Class::Overloaded
            );
            assert_eq!(
                meaning(Refusal::Fault(Fault::ServerError, 0)).0,
                Class::ServerError
            );
            assert_eq!(
                meaning(Refusal::Window {
                    resets_at: NOW + 900_000
                }),
                (Class::Quota, Some(900_000))
            );
        }
        assert_eq!(
            meaning(Dialect::OpenAi, Refusal::State(KeyState::NoMoney), true).0,
            Class::Quota
        );
        assert_eq!(
            meaning(Dialect::Anthropic, Refusal::State(KeyState::NoMoney), true).0,
            Class::Payment
        );
        let requests = Refusal::Requests { wait_ms: 1_500 };
        assert_eq!(
            meaning(Dialect::OpenAi, requests, true),
            (Class::Rate, Some(1_500))
        );
        assert_eq!(
            meaning(Dialect::Anthropic, requests, true),
            (Class::Rate, Some(2_000))
        );
        for dialect in both {
            assert_eq!(meaning(dialect, requests, false), (Class::Rate, None));
            assert_eq!(
                meaning(dialect, Refusal::Concurrency, true),
                (Class::Rate, Some(0))
            );
        }
    }

    #[test]
    fn the_headers_say_what_is_left() {
        let level = Level {
            limit: 60,
            remaining: 59,
            full_in_ms: 90_500,
        };
        let standing = Standing {
            requests: Some(level),
            tokens: Some(level),
            window: Some(WindowLevel {
                used: 1.25,
                resets_at: NOW + 60_000,
                length_ms: 18_000_000,
            }),
        };
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let mut headers = HeaderMap::new();
            dialect.limit_headers(&standing, NOW, &mut headers);
            let pairs: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes()))
                .collect();
            let view = QuotaView::from_headers(&pairs, NOW);
            let requests = view.requests.unwrap();
            assert_eq!(
                (requests.limit, requests.remaining, requests.full_in_ms),
                (Some(60), 59, Some(90_500))
            );
            let window = view.windows().next().unwrap();
            assert_eq!((window.used, window.resets_at), (1.25, Some(NOW + 60_000)));
            assert_eq!(window.rejected, dialect == Dialect::Anthropic);
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (millis, text) in [
            (0, "0ms"),
            (12, "12ms"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (3_723_000, "1h2m3s"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }
}
