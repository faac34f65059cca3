//! Any answer has a meaning, the same each time, and nobody waits longer than 32 days.
//!
//! The first line is the provider and the status, the next ones up to an empty one are headers,
//! and the rest is the body.

#![no_main]

use std::sync::LazyLock;

use flowgate_core::accounts::{Answer, QuotaView, Rules, classify};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_700_000_000_000;
const LONGEST_WAIT_MS: u64 = 32 * 24 * 60 * 60 * 1000;

static RULES: LazyLock<Rules> = LazyLock::new(Rules::default);

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (head, body) = input.split_at(end.unwrap_or(0));
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let (provider, status) = lines.next().unwrap_or_default().split_once(' ').unwrap_or_default();
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
    let answer = Answer {
        provider,
        status: status.parse().ok(),
        headers: &headers,
        body: body.trim_ascii_start(),
        transport: None,
    };
    let meaning = classify(&answer, NOW, &RULES);
    assert_eq!(meaning, classify(&answer, NOW, &RULES));
    assert!(meaning.cooldown_ms.is_none_or(|wait| wait <= LONGEST_WAIT_MS));
    for view in [Some(QuotaView::from_headers(&headers, NOW)), QuotaView::from_usage(body, NOW)] {
        for window in view.iter().flat_map(QuotaView::windows) {
            assert!((0.0..=10.0).contains(&window.used));
            assert!(window.resets_at.is_none_or(|at| at > NOW && at - NOW <= LONGEST_WAIT_MS));
        }
    }
});
