//! The codes, types and statuses that providers write into errors, and what they are about.

use super::frame::Words;

/// Codes that mean the request itself, behind any status: 500 and 502 too.
const FAULT_CODES: [&str; 10] = [
    "cyber_policy",
    "content_policy_violation",
    "context_length_exceeded",
    "context_too_large",
    "invalid_prompt",
    "invalid_value",
    "message_too_big",
    "previous_response_not_found",
    "string_above_max_length",
    "unsupported_value",
];
/// Types that mean the request, or whatever else is wrong with it: a plan, a key, a balance.
const FAULT_TYPES: [&str; 4] = [
    "bad_request_error",
    "invalid_prompt",
    "invalid_request",
    "invalid_request_error",
];
const OVERLOADED_TYPES: [&str; 2] = ["overloaded_error", "service_unavailable_error"];
const OVERLOADED_CODES: [&str; 2] = ["server_is_overloaded", "slow_down"];
const RATE_CODES: [&str; 2] = ["rate_limit_error", "rate_limit_exceeded"];
const SERVER_ERRORS: [&str; 3] = ["api_error", "internal_server_error", "server_error"];
const USAGE_LIMIT: [&str; 1] = ["usage_limit_reached"];
/// Of the request or the server, as `google.rpc.Code` has them.
const STATUSES: [&str; 5] = [
    "deadline_exceeded",
    "failed_precondition",
    "internal",
    "invalid_argument",
    "out_of_range",
];
/// The credential, the plan or the money.
const ACCOUNT: [&str; 5] = [
    "authentication_error",
    "billing_error",
    "permission_denied",
    "permission_error",
    "unauthenticated",
];

/// What the codes of an error are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The request and nothing else.
    Fault,
    /// The account.
    Account,
    /// The request, the server or a limit, as far as a word without details can say.
    Other,
}

impl Words {
    /// What they are about. `None`: there are none that anyone knows.
    pub(super) fn subject(&self) -> Option<Subject> {
        let any = |words: &[&str]| {
            let own = [&self.code, &self.kind, &self.status];
            own.iter().any(|word| word.is_one_of(words))
        };
        if any(&FAULT_CODES) {
            Some(Subject::Fault)
        } else if any(&ACCOUNT) {
            Some(Subject::Account)
        } else {
            let others: [&[&str]; 6] = [
                &FAULT_TYPES,
                &OVERLOADED_TYPES,
                &OVERLOADED_CODES,
                &RATE_CODES,
                &SERVER_ERRORS,
                &STATUSES,
            ];
            others
                .iter()
                .any(|words| any(words))
                .then_some(Subject::Other)
        }
    }

    pub(super) fn is_fault(&self) -> bool {
        self.code.is_one_of(&FAULT_CODES)
            || self.code.is_one_of(&["invalid_request_error"])
            || self.kind.is_one_of(&FAULT_TYPES)
    }

    pub(super) fn is_overload(&self) -> bool {
        self.kind.is_one_of(&OVERLOADED_TYPES) || self.code.is_one_of(&OVERLOADED_CODES)
    }

    pub(super) fn is_rate(&self) -> bool {
        self.either(&RATE_CODES)
    }

    pub(super) fn is_server_error(&self) -> bool {
        self.either(&SERVER_ERRORS)
    }

    pub(super) fn is_usage_limit(&self) -> bool {
        self.either(&USAGE_LIMIT)
    }

    /// Whether a document that says so is an error, whatever its status is.
    pub(super) fn is_error(&self) -> bool {
        self.kind.is_one_of(&["error", "response.failed"])
            || self.kind.as_bytes().ends_with(b"_error")
            || self.code.is_one_of(&OVERLOADED_CODES)
            || self.code.is_one_of(&RATE_CODES)
            || self.is_usage_limit()
    }

    fn either(&self, words: &[&str]) -> bool {
        self.code.is_one_of(words) || self.kind.is_one_of(words)
    }
}
