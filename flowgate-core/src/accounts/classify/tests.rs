//! The kinds of answers that providers give, and what each means.

use proptest::prelude::*;

use super::*;

/// 2023-11-14 22:13:20 UTC
const NOW: Timestamp = 1_700_000_000_000;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn meaning(provider: &str, status: u16, headers: Pairs<'_>, body: &str) -> Classification {
    let answer = Answer {
        provider,
        status: Some(status),
        headers: &headers,
        body: body.as_bytes(),
        transport: None,
    };
    classify(&answer, NOW, &Rules::default())
}

/// The class as the tables have it, and the wait.
fn kind(provider: &str, status: u16, headers: Pairs<'_>, body: &str) -> (Class, Option<u64>) {
    let meaning = meaning(provider, status, headers, body);
    (meaning.class, meaning.cooldown_ms)
}

const LIMITED: &str = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Over your account's rate limit."}}"#;
const CODE_LIMITED: &str = r#"{"error":{"code":"rate_limit_exceeded"}}"#;

#[test]
fn a_success_is_done() {
    for body in [
        "",
        "{}",
        r#"{"id":"msg_1","type":"message","content":[{"type":"text","text":"error: limit reached"}]}"#,
        r#"{"object":"response","error":null,"status":"completed"}"#,
        "data: {\"choices\":[]}\n\ndata: [DONE]\n\n",
        "event: message_start\ndata: {\"type\":\"message_start\"}\n\n",
        "the word error alone",
    ] {
        let meaning = meaning("openai", 200, &[], body);
        assert_eq!(
            (meaning.class, meaning.action),
            (Class::Ok, Action::Done),
            "{body}"
        );
    }
}

#[test]
fn an_error_inside_a_success_is_an_error() {
    for (body, class) in [
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Class::Overloaded,
        ),
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            Class::Overloaded,
        ),
        (
            r#"{"type":"response.failed","response":{"error":{"code":"server_is_overloaded"}}}"#,
            Class::Overloaded,
        ),
        (
            r#"{"type":"error","error":{"type":"usage_limit_reached","resets_in_seconds":60}}"#,
            Class::Quota,
        ),
        (
            r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"try again in 2s"}}}"#,
            Class::Rate,
        ),
        (
            r#"{"type":"response.failed","response":{"error":{"code":"context_length_exceeded"}}}"#,
            Class::RequestFault,
        ),
        (
            r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#,
            Class::ServerError,
        ),
        (r#"{"error":"something else"}"#, Class::Unknown),
        (
            r#"{"code":"invalid_value","type":"invalid_request_error"}"#,
            Class::RequestFault,
        ),
    ] {
        assert_eq!(meaning("openai", 200, &[], body).class, class, "{body}");
    }
}

#[test]
fn an_error_in_a_stream_is_found_behind_what_comes_first() {
    let created = "data: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\n";
    let failed = r#"data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"Please try again in 2s."}}}"#;
    for (body, expected) in [
        (format!("{created}{failed}\n\n"), (Class::Rate, Some(2_000))),
        (
            format!(": OPENROUTER PROCESSING\r\n\r\n{failed}"),
            (Class::Rate, Some(2_000)),
        ),
        (
            format!("id: 1\nretry: 3000\n{failed}\n\n"),
            (Class::Rate, Some(2_000)),
        ),
        (
            "data: {\"type\":\"error\",\ndata: \"error\":{\"type\":\"overloaded_error\"}}\n\n"
                .to_owned(),
            (Class::Overloaded, None),
        ),
        (
            "event: error\ndata: it broke\n\n".to_owned(),
            (Class::Unknown, None),
        ),
        (format!("{created}data: [DONE]\n\n"), (Class::Ok, None)),
        (": error\n\ndata: {}\n\n".to_owned(), (Class::Ok, None)),
    ] {
        assert_eq!(kind("openai", 200, &[], &body), expected, "{body}");
    }
}

#[test]
fn what_a_message_quotes_says_nothing_against_the_code() {
    let error =
        |words: &str, message: &str| format!(r#"{{"error":{{{words}"message":"{message}"}}}}"#);
    let class = |status, body: &str| meaning("openai", status, &[], body).class;
    let fault = r#""type":"invalid_request_error","code":"invalid_value","#;
    let request = r#""type":"invalid_request_error","#;
    for (words, message) in [
        (fault, "messages[3]: 'invalid_grant' is not a valid role"),
        (fault, "'Your credit balance is too low' is not a role"),
        (fault, "'account has been deactivated' is not a role"),
        (
            request,
            "tool_result 'error: account_deactivated' must follow",
        ),
        (request, r#"role \"refresh_token_reused\" is not known"#),
        (request, "unknown parameter: api_key_invalid"),
    ] {
        let body = error(words, message);
        assert_eq!(class(400, &body), Class::RequestFault, "{body}");
    }
    let capacity = "the prompt says MODEL_CAPACITY_EXHAUSTED";
    for words in [
        r#""type":"server_error","#,
        r#""code":500,"status":"INTERNAL","#,
    ] {
        let body = error(words, capacity);
        assert_eq!(class(500, &body), Class::ServerError, "{body}");
    }
    let denied = error(
        r#""type":"permission_error","#,
        "see /cdn-cgi/challenge-platform/x",
    );
    assert_eq!(class(403, &denied), Class::Forbidden);
}

#[test]
fn what_a_message_says_counts_where_the_code_leaves_it_open() {
    for (status, body, class) in [
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
            Class::Payment,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"This organization has been disabled."}}"#,
            Class::AuthDead,
        ),
        (
            401,
            r#"{"error":{"message":"Deactivated.","type":"invalid_request_error","code":"account_deactivated"}}"#,
            Class::AuthDead,
        ),
        (
            401,
            r#"{"error":{"type":"authentication_error","message":"refresh_token_reused: sign in again"}}"#,
            Class::AuthDead,
        ),
        (
            400,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"Not valid.","details":[{"reason":"API_KEY_INVALID"}]}}"#,
            Class::Auth,
        ),
        (
            503,
            r#"{"error":{"code":503,"status":"UNAVAILABLE","details":[{"reason":"MODEL_CAPACITY_EXHAUSTED"}]}}"#,
            Class::Overloaded,
        ),
        (
            403,
            r#"{"error":{"message":"<html>Cloudflare</html>"}}"#,
            Class::Challenge,
        ),
    ] {
        assert_eq!(meaning("x", status, &[], body).class, class, "{body}");
    }
}

#[test]
fn what_the_caller_or_the_network_ended_is_not_the_accounts_fault() {
    let ended = |status, transport| {
        let answer = Answer {
            status,
            transport,
            ..Answer::default()
        };
        let meaning = classify(&answer, NOW, &Rules::default());
        (meaning.class, meaning.action)
    };
    let cancelled = (Class::ClientCancelled, Action::Stop);
    assert_eq!(ended(None, Some(Transport::Cancelled)), cancelled);
    assert_eq!(ended(Some(200), Some(Transport::Cancelled)), cancelled);
    assert_eq!(ended(Some(499), None), cancelled);
    for transport in [
        Transport::Connect,
        Transport::Eof,
        Transport::Reset,
        Transport::Timeout,
    ] {
        assert_eq!(ended(None, Some(transport)), (Class::Network, Action::Next));
    }
    assert_eq!(ended(None, None), (Class::Network, Action::Next));
}

#[test]
fn statuses_without_a_word_mean_the_usual() {
    for (status, class, scope, action) in [
        (400, Class::RequestFault, Scope::Request, Action::Stop),
        (401, Class::Auth, Scope::Account, Action::Refresh),
        (402, Class::Payment, Scope::Account, Action::Next),
        (403, Class::Forbidden, Scope::Account, Action::Next),
        (404, Class::NotFound, Scope::Model, Action::Next),
        (405, Class::RequestFault, Scope::Request, Action::Stop),
        (408, Class::Timeout, Scope::Account, Action::Next),
        (409, Class::RequestFault, Scope::Request, Action::Stop),
        (413, Class::RequestFault, Scope::Request, Action::Stop),
        (422, Class::RequestFault, Scope::Request, Action::Stop),
        (429, Class::Rate, Scope::Account, Action::Next),
        (500, Class::ServerError, Scope::Account, Action::Next),
        (501, Class::RequestFault, Scope::Request, Action::Stop),
        (502, Class::ServerError, Scope::Account, Action::Next),
        (503, Class::ServerError, Scope::Account, Action::Next),
        (529, Class::Overloaded, Scope::Provider, Action::Next),
        (302, Class::Unknown, Scope::Account, Action::Next),
        (418, Class::Unknown, Scope::Account, Action::Next),
    ] {
        let meaning = meaning("any", status, &[], "");
        assert_eq!(
            (meaning.class, meaning.scope, meaning.action),
            (class, scope, action),
            "{status}"
        );
        assert_eq!(meaning.cooldown_ms, None, "{status}");
    }
}

#[test]
fn a_request_at_fault_is_known_behind_any_status() {
    for (status, body) in [
        (
            400,
            r#"{"error":{"type":"invalid_request_error","message":"bad"}}"#,
        ),
        (413, r#"{"error":{"code":"context_length_exceeded"}}"#),
        (
            500,
            r#"{"response":{"error":{"type":"server_error","code":"context_length_exceeded"}}}"#,
        ),
        (502, r#"{"error":{"type":"invalid_request_error"}}"#),
        (
            404,
            "Item not found. Items are not persisted when `store` is set to false.",
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"Your input was flagged by moderation"}}"#,
        ),
    ] {
        let meaning = meaning("openai", status, &[], body);
        assert_eq!(
            (meaning.class, meaning.action),
            (Class::RequestFault, Action::Stop),
            "{body}"
        );
    }
}

#[test]
fn a_generic_code_does_not_hide_the_status() {
    let body = r#"{"error":{"code":"invalid_request_error","type":"unknown_error","message":"Insufficient Balance"}}"#;
    assert_eq!(
        meaning("deepseek", 401, &[], CODE_LIMITED).class,
        Class::Auth
    );
    assert_eq!(meaning("deepseek", 402, &[], body).class, Class::Payment);
    assert_eq!(meaning("deepseek", 429, &[], body).class, Class::Quota);
    assert_eq!(
        meaning("openai", 500, &[], "error at line 429: 14290ms").class,
        Class::ServerError
    );
}

#[test]
fn credentials_that_are_gone_stay_gone() {
    for (status, body) in [
        (
            400,
            r#"{"error":"invalid_grant","error_description":"Token has been revoked."}"#,
        ),
        (401, r#"{"error":{"code":"refresh_token_reused"}}"#),
        (
            401,
            r#"{"error":{"message":"Your ACCOUNT has been deactivated"}}"#,
        ),
        (
            403,
            r#"{"error":{"details":[{"reason":"CONSUMER_SUSPENDED"}]}}"#,
        ),
    ] {
        assert_eq!(
            meaning("x", status, &[], body).class,
            Class::AuthDead,
            "{body}"
        );
    }
    let unknown_key = r#"{"error":{"code":400,"message":"API key not valid.","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    assert_eq!(meaning("gemini", 400, &[], unknown_key).class, Class::Auth);
}

#[test]
fn models_that_an_account_lacks_are_tried_elsewhere() {
    for (status, body) in [
        (400, r#"{"error":{"code":"model_not_supported"}}"#),
        (422, "The requested model is not available for your plan"),
        (404, r#"{"error":{"code":"model_not_found"}}"#),
        (
            404,
            "The model `x` does not exist or you do not have access to it.",
        ),
        (
            404,
            r#"{"error":{"message":"models/x is not found for API version v1"}}"#,
        ),
    ] {
        let meaning = meaning("x", status, &[], body);
        assert_eq!(
            (meaning.class, meaning.scope),
            (Class::ModelUnsupported, Scope::Model),
            "{body}"
        );
    }
    assert_eq!(
        meaning("x", 404, &[], "nothing here").class,
        Class::NotFound
    );
}

#[test]
fn a_challenge_is_about_the_address_we_send_from() {
    for (headers, body) in [
        (&[][..], "cf-mitigated: challenge"),
        (&[("CF-Mitigated", "challenge")], ""),
        (&[], "<HTML><title>Cloudflare</title>"),
        (&[], "/cdn-cgi/challenge-platform/x"),
    ] {
        for status in [403, 503] {
            let meaning = meaning("anthropic", status, headers, body);
            assert_eq!(
                (meaning.class, meaning.scope),
                (Class::Challenge, Scope::Egress)
            );
        }
    }
}

#[test]
fn an_overload_is_about_the_provider_or_a_model() {
    let body = r#"{"type":"error","error":{"type":"overloaded_error"}}"#;
    assert_eq!(meaning("anthropic", 500, &[], body).scope, Scope::Provider);
    assert_eq!(
        kind("anthropic", 529, &[("retry-after", "14400")], ""),
        (Class::Overloaded, Some(60_000))
    );
    assert_eq!(
        kind("anthropic", 529, &[("retry-after", "0")], ""),
        (Class::Overloaded, None)
    );
    for body in [
        r#"{"error":{"details":[{"reason":"MODEL_CAPACITY_EXHAUSTED"}]}}"#,
        "Selected model is at capacity. Please try a different model.",
    ] {
        let meaning = meaning("google", 503, &[], body);
        assert_eq!(
            (meaning.class, meaning.scope),
            (Class::Overloaded, Scope::Model),
            "{body}"
        );
    }
}

#[test]
fn windows_of_a_subscription_decide_for_whom() {
    let reject = |extra: Pairs<'_>| {
        let meaning = meaning("anthropic", 429, extra, LIMITED);
        (meaning.class, meaning.scope, meaning.cooldown_ms)
    };
    let status = "anthropic-ratelimit-unified-status";
    let (five, five_reset) = (
        "Anthropic-Ratelimit-Unified-5h-Status",
        "anthropic-ratelimit-unified-5h-reset",
    );
    let (week, week_reset) = (
        "anthropic-ratelimit-unified-7d-status",
        "anthropic-ratelimit-unified-7d-reset",
    );
    let (opus, opus_reset) = (
        "anthropic-ratelimit-unified-7d_opus-status",
        "anthropic-ratelimit-unified-7d_opus-reset",
    );
    assert_eq!(
        reject(&[
            (status, "rejected"),
            (five, "allowed"),
            (five_reset, "1700018000"),
            (week, "rejected"),
            (week_reset, "1700604800")
        ]),
        (Class::Quota, Scope::Account, Some(604_800_000))
    );
    assert_eq!(
        reject(&[
            (status, "rejected"),
            (five, "allowed"),
            (week, "allowed"),
            (opus, "rejected"),
            (opus_reset, "1700604800"),
            ("retry-after", "60")
        ]),
        (Class::Quota, Scope::Model, Some(604_800_000))
    );
    assert_eq!(
        reject(&[(five, "rejected"), (five_reset, "1699982000")]),
        (Class::Quota, Scope::Account, None)
    );
    assert_eq!(
        reject(&[
            (status, "blocked"),
            ("anthropic-ratelimit-unified-reset", "1700000100"),
            ("retry-after", "7")
        ]),
        (Class::Quota, Scope::Account, Some(100_000))
    );
}

#[test]
fn a_refusal_without_any_window_is_about_this_request() {
    let retry = ("x-should-retry", "true");
    let class = |provider, headers: Pairs<'_>| meaning(provider, 429, headers, LIMITED).class;
    assert_eq!(class("anthropic", &[retry]), Class::Windowless);
    assert_eq!(class("claude", &[retry]), Class::Windowless);
    assert_eq!(class("anthropic", &[]), Class::Rate);
    assert_eq!(
        class("anthropic", &[retry, ("x-ratelimit-limit", "1000")]),
        Class::Rate
    );
    assert_eq!(
        class("anthropic", &[retry, ("retry-after", "1")]),
        Class::Rate
    );
    assert_eq!(class("zai", &[retry]), Class::Rate);
}

#[test]
fn waits_come_from_the_surest_place() {
    for (headers, body, wait) in [
        (
            &[("retry-after-ms", "1250"), ("retry-after", "2")][..],
            CODE_LIMITED,
            Some(1_250),
        ),
        (&[("x-ms-retry-after-ms", "800")], "", Some(800)),
        (&[("retry-after", "0.5")], "", Some(500)),
        (&[("retry-after", "0")], "", Some(0)),
        (
            &[("Retry-After", "Tue, 14 Nov 2023 22:14:50 GMT")],
            "",
            Some(90_000),
        ),
        (&[("retry-after", "-5")], "", None),
        (&[("retry-after", "nan")], "", None),
        (&[("retry-after", "99999999")], "", None),
        (
            &[("retry-after", "99999999")],
            r#"{"error":{"message":"try again in 9s"}}"#,
            Some(9_000),
        ),
        (
            &[],
            r#"{"error":{"message":"Please try again in 6m0s."}}"#,
            Some(360_000),
        ),
        (
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "12ms"),
            ],
            "",
            Some(12),
        ),
        (
            &[
                ("X-RateLimit-Remaining", "0"),
                ("X-RateLimit-Reset", "1700000045000"),
            ],
            "",
            Some(45_000),
        ),
        (
            &[],
            r#"{"error":{"metadata":{"headers":{"X-RateLimit-Reset":"1700000045000"}}}}"#,
            Some(45_000),
        ),
        (
            &[],
            r#"{"error":{"type":"usage_limit_reached","resets_at":7258118400}}"#,
            None,
        ),
    ] {
        assert_eq!(
            kind("openai", 429, headers, body).1,
            wait,
            "{headers:?} {body}"
        );
    }
}

#[test]
fn a_long_wait_is_a_quota() {
    assert_eq!(
        kind("openai", 429, &[("retry-after", "299")], "").0,
        Class::Rate
    );
    assert_eq!(
        kind("openai", 429, &[("retry-after", "300")], "").0,
        Class::Quota
    );
}

#[test]
fn budgets_that_are_spent_are_quota() {
    for (provider, body) in [
        (
            "openai",
            r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#,
        ),
        (
            "codex",
            r#"{"error":{"type":"usage_limit_reached","resets_in_seconds":120}}"#,
        ),
        (
            "google",
            r#"{"error":{"details":[{"reason":"QUOTA_EXHAUSTED"}]}}"#,
        ),
        (
            "google",
            r#"{"error":{"details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"retryDelay":"36s"}]}}"#,
        ),
        ("kimi", "You have reached your monthly usage limit"),
    ] {
        assert_eq!(
            meaning(provider, 429, &[], body).class,
            Class::Quota,
            "{body}"
        );
    }
    let codex = r#"{"error":{"type":"usage_limit_reached","resets_in_seconds":120}}"#;
    for status in [200, 400, 403, 429] {
        assert_eq!(
            kind("codex", status, &[], codex),
            (Class::Quota, Some(120_000)),
            "{status}"
        );
    }
}

#[test]
fn google_limits_a_model_and_says_when() {
    let body = r#"{"error":{"code":429,"message":"Your quota will reset after 0s.","status":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","metadata":{"quotaResetDelay":"479.417207ms"}},
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"0.479417207s"}]}}"#;
    for provider in ["google", "gemini", "Gemini-CLI", "antigravity"] {
        let meaning = meaning(provider, 429, &[], body);
        assert_eq!(
            (meaning.class, meaning.scope, meaning.cooldown_ms),
            (Class::Rate, Scope::Model, Some(480))
        );
    }
}

#[test]
fn too_many_at_once_is_no_reason_to_wait() {
    let sockets = r#"{"error":{"code":"websocket_connection_limit_reached"}}"#;
    assert_eq!(
        kind("openai", 429, &[("retry-after", "1")], sockets),
        (Class::Concurrency, Some(1_000))
    );
    assert_eq!(
        kind("openai", 429, &[], sockets),
        (Class::Concurrency, Some(0))
    );
    let many = "Number of concurrent connections has exceeded your limit";
    assert_eq!(
        kind("anthropic", 429, &[], many),
        (Class::Concurrency, None)
    );
    assert_eq!(
        kind("anthropic", 429, &[("retry-after", "3")], many),
        (Class::Rate, Some(3_000))
    );
}

#[test]
fn what_costs_extra_is_about_the_request() {
    for message in [
        "Usage credits are required for fast mode",
        "Extra usage is required for long context requests.",
    ] {
        let meaning = meaning("anthropic", 429, &[("retry-after", "30")], message);
        assert_eq!(
            (meaning.class, meaning.action, meaning.cooldown_ms),
            (Class::Entitlement, Action::Stop, None)
        );
    }
}

#[test]
fn rules_of_the_user_come_first() {
    let rule = Rule {
        status: vec![429],
        class: Some(Class::RequestFault),
        ..Rule::default()
    };
    let rules = Rules::new([rule]).unwrap();
    let answer = Answer {
        status: Some(429),
        ..Answer::default()
    };
    assert_eq!(classify(&answer, NOW, &rules).class, Class::RequestFault);
}

#[test]
fn nothing_that_was_received_shows_in_debug() {
    let answer = Answer {
        headers: &[("authorization", "secret-1")],
        body: b"secret-2",
        ..Answer::default()
    };
    assert!(!format!("{answer:?}").contains("secret"));
}

#[test]
fn only_the_start_of_a_body_is_looked_at() {
    let late = format!("{}insufficient_quota", " ".repeat(SCANNED));
    assert_eq!(meaning("openai", 429, &[], &late).class, Class::Rate);
    let nested = "[".repeat(100_000);
    assert_eq!(
        meaning("openai", 400, &[], &nested).class,
        Class::RequestFault
    );
}

/// Pieces of bodies and headers that mean something, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let words: Vec<_> = phrases::PHRASES
        .iter()
        .flat_map(|(_, stem, phrases)| phrases.iter().chain([stem]).copied())
        .collect();
    let piece = prop_oneof![
        proptest::sample::select(words).prop_map(str::to_owned),
        proptest::sample::select(vec![
            "{\"error\":",
            "{",
            "}",
            "\"code\":",
            "\"type\":",
            ",",
            "try again in ",
            "1.5s",
            "99999999999999h",
            "\"resets_at\":1e308",
            "\"usage_limit_reached\"",
            "\"rate_limit_exceeded\"",
            "data: ",
            "\n",
            "limit reached|9999999999999",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn any_headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = proptest::sample::select(vec![
        "retry-after",
        "Retry-After-Ms",
        "x-ms-retry-after-ms",
        "x-should-retry",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-reset",
        "anthropic-ratelimit-unified-status",
        "anthropic-ratelimit-unified-7d-status",
        "anthropic-ratelimit-unified-7d-reset",
        "anthropic-ratelimit-unified-7d_oi-status",
        "anthropic-ratelimit-unified-7d_oi-reset",
        "x-codex-primary-reset-at",
    ]);
    let value = prop_oneof![
        "\\PC{0,12}",
        "-?[0-9]{1,20}(\\.[0-9]{1,5})?",
        proptest::sample::select(vec![
            "rejected",
            "allowed",
            "true",
            "1e300",
            "inf",
            "-inf",
            "NaN",
            "6m0s",
            "2023-11-14T22:14:50Z"
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec((name.prop_map(str::to_owned), value), 0..8)
}

proptest! {
    #[test]
    fn any_answer_has_a_meaning_and_a_bounded_wait(
        provider in "(openai|anthropic|google|codex|\\PC{0,6})",
        status in proptest::option::of(prop_oneof![Just(200), Just(400), Just(401), Just(403), Just(404), Just(429), Just(500), Just(529), any::<u16>()]),
        headers in any_headers(),
        body in prop_oneof![pieces().prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..64)],
        now in prop_oneof![Just(NOW), any::<u64>()],
    ) {
        let answer = Answer { provider: &provider, status, headers: &headers, body: &body, transport: None };
        let meaning = classify(&answer, now, &Rules::default());
        prop_assert!(meaning.cooldown_ms.is_none_or(|wait| wait <= 32 * 86_400_000));
        prop_assert_eq!(meaning, classify(&answer, now, &Rules::default()));
        let waits = matches!(meaning.class, Class::Rate | Class::Quota | Class::Concurrency | Class::Overloaded);
        prop_assert!(waits || meaning.cooldown_ms.is_none());
    }
}
