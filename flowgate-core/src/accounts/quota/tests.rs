use proptest::prelude::*;

use super::*;

const NOW: Timestamp = 1_700_000_000_000;

fn headers(pairs: &[(&str, &str)]) -> QuotaView {
    QuotaView::from_headers(&pairs, NOW)
}

fn windows(view: &QuotaView) -> Vec<(Window, f32, Option<Timestamp>, bool)> {
    let shown = |w: &WindowView| (w.window, w.used, w.resets_at, w.rejected);
    view.windows().map(shown).collect()
}

#[test]
fn openai_states_requests_and_tokens() {
    let view = headers(&[
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"),
        ("X-RateLimit-Limit-Tokens", "150000"),
        ("X-RateLimit-Remaining-Tokens", "149984"),
        ("X-RateLimit-Reset-Tokens", "6m0s"),
    ]);
    let bucket = |limit, remaining, full| {
        Some(BucketView {
            limit: Some(limit),
            remaining,
            full_in_ms: Some(full),
        })
    };
    assert_eq!(view.requests, bucket(60, 59, 1_000));
    assert_eq!(view.tokens, bucket(150_000, 149_984, 360_000));
}

#[test]
fn azure_states_only_what_is_left() {
    let view = headers(&[
        ("x-ratelimit-remaining-requests", "9"),
        ("x-ratelimit-remaining-tokens", "0"),
    ]);
    let left = |remaining| {
        Some(BucketView {
            limit: None,
            remaining,
            full_in_ms: None,
        })
    };
    assert_eq!((view.requests, view.tokens), (left(9), left(0)));
}

#[test]
fn anthropic_states_four_dimensions_with_moments() {
    let view = headers(&[
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:50Z"),
        ("anthropic-ratelimit-input-tokens-remaining", "1000"),
        ("anthropic-ratelimit-output-tokens-remaining", "500"),
        (
            "anthropic-ratelimit-output-tokens-reset",
            "2023-11-14T22:13:00Z",
        ),
    ]);
    assert_eq!(view.requests.unwrap().full_in_ms, Some(30_000));
    assert_eq!(view.input_tokens.unwrap().remaining, 1000);
    // It is full already.
    assert_eq!(view.output_tokens.unwrap().full_in_ms, Some(0));
    assert_eq!(view.tokens, None);
}

#[test]
fn a_subscription_states_windows() {
    let view = headers(&[
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-5h-status", "allowed_warning"),
        ("anthropic-ratelimit-unified-5h-utilization", "0.75"),
        ("anthropic-ratelimit-unified-5h-reset", "1700003600"),
        ("anthropic-ratelimit-unified-7d-status", "rejected"),
        ("anthropic-ratelimit-unified-7d-reset", "1600000000"),
        ("anthropic-ratelimit-unified-7d_oi-status", "allowed"),
        ("anthropic-ratelimit-unified-new-utilization", "0.1"),
    ]);
    assert_eq!(
        windows(&view),
        [
            (Window::FiveHour, 0.75, Some(NOW + 3_600_000), false),
            (Window::SevenDay, 1.0, None, true),
        ]
    );
}

#[test]
fn codex_states_windows_in_two_spellings() {
    let view = headers(&[
        ("x-codex-primary-used-percent", "12.5"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-primary-reset-after-seconds", "60"),
        ("x-codex-7d-used-percent", "50"),
        ("x-codex-7d-reset-at", "1700604800"),
    ]);
    assert_eq!(
        windows(&view),
        [
            (Window::Primary, 0.125, Some(NOW + 60_000), false),
            (Window::Secondary, 0.5, Some(NOW + 604_800_000), false),
        ]
    );
    assert_eq!(view.windows().next().unwrap().length_ms, Some(18_000_000));
}

#[test]
fn openrouter_states_one_number() {
    let view = headers(&[
        ("X-RateLimit-Limit", "20"),
        ("X-RateLimit-Remaining", "19"),
        ("X-RateLimit-Reset", "1700000045000"),
    ]);
    assert_eq!(
        view.requests,
        Some(BucketView {
            limit: Some(20),
            remaining: 19,
            full_in_ms: Some(45_000)
        })
    );
}

#[test]
fn what_cannot_be_meant_is_left_out() {
    let view = headers(&[
        ("x-ratelimit-remaining-requests", "nan"),
        ("x-ratelimit-remaining-tokens", "-5"),
        ("x-ratelimit-reset-tokens", "99999h"),
        ("anthropic-ratelimit-unified-5h-utilization", "-1"),
        ("x-codex-primary-used-percent", "1e300"),
    ]);
    assert_eq!(view.requests, None);
    assert_eq!(
        view.tokens,
        Some(BucketView {
            limit: None,
            remaining: 0,
            full_in_ms: None
        })
    );
    assert_eq!(windows(&view), [(Window::Primary, 10.0, None, false)]);
    assert!(headers(&[("server", "x")]).is_empty());
}

#[test]
fn claude_usage_is_per_cent_or_a_fraction() {
    let read = |body: &str| windows(&QuotaView::from_usage(body.as_bytes(), NOW).unwrap());
    assert_eq!(
        read(
            r#"{"five_hour":{"utilization":37.0,"resets_at":"2023-11-15T00:00:00.5+00:00"},"seven_day":{"utilization":1.0,"resets_at":null},"seven_day_opus":null,"extra_usage":{}}"#
        ),
        [
            (Window::FiveHour, 0.37, Some(1_700_006_400_500), false),
            (Window::SevenDay, 0.01, None, false),
        ]
    );
    assert_eq!(
        read(r#"{"five_hour":{"utilization":0.5},"opus":{"utilization":1.0}}"#),
        [
            (Window::FiveHour, 0.5, None, false),
            (Window::SevenDayOpus, 1.0, None, false)
        ]
    );
}

#[test]
fn codex_usage_comes_from_the_endpoint_and_from_frames() {
    let read = |body: &str| windows(&QuotaView::from_usage(body.as_bytes(), NOW).unwrap());
    assert_eq!(
        read(
            r#"{"plan_type":"plus","rate_limit":{"allowed":false,"limit_reached":true,
            "primary_window":{"used_percent":100,"limit_window_seconds":18000,"reset_at":1700000300},
            "secondary_window":{"used_percent":40,"limit_window_seconds":604800,"reset_at":1700604800}}}"#
        ),
        [
            (Window::Primary, 1.0, Some(NOW + 300_000), true),
            (Window::Secondary, 0.4, Some(NOW + 604_800_000), false),
        ]
    );
    assert_eq!(
        read(
            r#"{"type":"codex.rate_limits","rate_limits":{"primary":{"used_percent":5.0,"window_minutes":300,"reset_after_seconds":9},"secondary":null}}"#
        ),
        [(Window::Primary, 0.05, Some(NOW + 9_000), false)]
    );
}

#[test]
fn other_bodies_say_nothing() {
    for body in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"five_hour":7}"#,
        "not json",
        r#"{"rate_limit":"#,
    ] {
        assert_eq!(QuotaView::from_usage(body.as_bytes(), NOW), None, "{body}");
    }
    let huge = " ".repeat(LARGEST_USAGE);
    assert_eq!(QuotaView::from_usage(huge.as_bytes(), NOW), None);
}

proptest! {
    #[test]
    fn any_headers_make_a_sane_view(
        values in proptest::collection::vec(("\\PC{0,8}|-?[0-9.e]{1,12}|rejected|nan|inf", 0usize..6), 0..12),
        now in any::<u64>(),
    ) {
        let names = [
            "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "anthropic-ratelimit-unified-5h-utilization",
            "anthropic-ratelimit-unified-5h-reset", "x-codex-primary-used-percent", "x-codex-primary-reset-after-seconds",
        ];
        let headers: Vec<_> = values.iter().map(|(value, name)| (names[*name], value)).collect();
        let view = QuotaView::from_headers(&headers, now);
        for window in view.windows() {
            prop_assert!((0.0..=10.0).contains(&window.used));
            prop_assert!(window.resets_at.is_none_or(|at| at >= now && at - now <= moment::LONGEST_WAIT_MS));
        }
        prop_assert!(view.tokens.is_none_or(|t| t.full_in_ms.is_none_or(|ms| ms <= moment::LONGEST_WAIT_MS)));
    }

    #[test]
    fn any_body_is_a_view_or_nothing(body in "\\PC{0,64}") {
        let _ = QuotaView::from_usage(body.as_bytes(), NOW);
    }
}
