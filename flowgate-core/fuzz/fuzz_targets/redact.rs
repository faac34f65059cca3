//! A redacted line differs from the line only in characters that became `*`.

#![no_main]

use flowgate_core::redact::redact_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let redacted = redact_line(line);
    assert_eq!(redacted.chars().count(), line.chars().count());
    let mut pairs = redacted.chars().zip(line.chars());
    assert!(pairs.all(|(shown, written)| shown == written || shown == '*'));
});
