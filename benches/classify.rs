//! What it costs to understand an answer of a provider: `cargo bench --bench classify`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use flowgate_core::accounts::{Answer, Rules, classify};

const NOW: u64 = 1_700_000_000_000;

/// What stands beside the headers that matter, in most answers.
const USUAL: [(&str, &str); 12] = [
    ("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
    ("content-type", "application/json"),
    ("content-length", "337"),
    ("connection", "keep-alive"),
    ("vary", "Origin"),
    ("x-request-id", "req_0123456789"),
    ("openai-processing-ms", "12"),
    ("openai-version", "2020-10-01"),
    ("strict-transport-security", "max-age=31536000"),
    ("server", "cloudflare"),
    ("cf-ray", "8a1b2c3d4e5f-FRA"),
    ("alt-svc", "h3=\":443\"; ma=86400"),
];

const OPENAI: [(&str, &str); 7] = [
    ("x-ratelimit-limit-requests", "60"),
    ("x-ratelimit-remaining-requests", "59"),
    ("x-ratelimit-reset-requests", "1s"),
    ("x-ratelimit-limit-tokens", "150000"),
    ("x-ratelimit-remaining-tokens", "0"),
    ("x-ratelimit-reset-tokens", "6m0s"),
    ("x-should-retry", "true"),
];

const CLAUDE: [(&str, &str); 9] = [
    ("anthropic-ratelimit-unified-status", "rejected"),
    ("anthropic-ratelimit-unified-reset", "1700604800"),
    (
        "anthropic-ratelimit-unified-representative-claim",
        "seven_day",
    ),
    ("anthropic-ratelimit-unified-5h-status", "allowed"),
    ("anthropic-ratelimit-unified-5h-reset", "1700018000"),
    ("anthropic-ratelimit-unified-5h-utilization", "0.4"),
    ("anthropic-ratelimit-unified-7d-status", "rejected"),
    ("anthropic-ratelimit-unified-7d-reset", "1700604800"),
    ("anthropic-ratelimit-unified-7d-utilization", "1.01"),
];

/// A refusal of Google as long as they come: two kilobytes.
fn google() -> String {
    let violation = r#"{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{"location":"global","model":"gemini-3.1-pro"},"quotaValue":"10"}"#;
    format!(
        r#"{{"error":{{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, head over to the documentation.","status":"RESOURCE_EXHAUSTED","details":[{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{violation},{violation},{violation},{violation},{violation},{violation}]}},{{"@type":"type.googleapis.com/google.rpc.Help","links":[{{"description":"Learn more about Gemini API quotas","url":"https://ai.google.dev/gemini-api/docs/rate-limits"}}]}},{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"27.86s"}}]}}}}"#
    )
}

/// A refusal with a long message: two kilobytes.
fn prose() -> String {
    let words = "The request could not be served at this time because of the load. ".repeat(28);
    format!(
        r#"{{"error":{{"type":"tokens","code":"rate_limit_exceeded","message":"{words}Please try again in 1.2s."}}}}"#
    )
}

fn bench(c: &mut Criterion) {
    let rules = Rules::default();
    let openai = [USUAL.as_slice(), &OPENAI].concat();
    let claude = [USUAL.as_slice(), &CLAUDE].concat();
    let (google, prose) = (google(), prose());
    assert!((1_800..2_400).contains(&google.len()) && (1_800..2_400).contains(&prose.len()));
    let success =
        r#"{"id":"msg_1","type":"message","content":[{"type":"text","text":"Hello."}]}"#.repeat(27);
    let cases = [
        ("200_no_body", "openai", 200, &openai, ""),
        ("429_no_body_openai", "openai", 429, &openai, ""),
        ("429_no_body_claude", "anthropic", 429, &claude, ""),
        ("500_no_body", "openai", 500, &openai, ""),
        (
            "429_200B",
            "anthropic",
            429,
            &claude,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your account's rate limit. Please try again later."}}"#,
        ),
        (
            "400_100B",
            "openai",
            400,
            &openai,
            r#"{"error":{"type":"invalid_request_error","message":"Unknown parameter: `x`.","code":null}}"#,
        ),
        ("200_2KB", "anthropic", 200, &claude, &success),
        ("429_2KB_google", "google", 429, &USUAL.to_vec(), &google),
        ("429_2KB_prose", "openai", 429, &openai, &prose),
        ("500_2KB_prose", "openai", 500, &openai, &prose),
        ("400_2KB_google", "google", 400, &USUAL.to_vec(), &google),
    ];
    let mut group = c.benchmark_group("classify");
    for (name, provider, status, headers, body) in &cases {
        let answer = Answer {
            provider,
            status: Some(*status),
            headers: *headers,
            body: body.as_bytes(),
            transport: None,
        };
        group.bench_function(*name, |b| {
            b.iter(|| classify(black_box(&answer), NOW, &rules))
        });
    }
    let hostile = format!("{{\"error\":{}", "[{\"model\":\"retry in 1".repeat(1_000));
    let answer = Answer {
        status: Some(429),
        body: hostile.as_bytes(),
        ..Answer::default()
    };
    group.bench_function("hostile_20KB", |b| {
        b.iter(|| classify(black_box(&answer), NOW, &rules))
    });
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().without_plots().warm_up_time(std::time::Duration::from_millis(100)).measurement_time(std::time::Duration::from_millis(400)).sample_size(20); targets = bench }
criterion_main!(benches);
