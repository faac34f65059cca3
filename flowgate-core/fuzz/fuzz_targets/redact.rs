//! A redacted line is as long as the line, and redacting it again changes nothing.

#![no_main]

use flowgate_core::redact::redact_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let redacted = redact_text(line);
    assert_eq!(redacted.chars().count(), line.chars().count());
    assert_eq!(redact_text(&redacted), redacted);
});
