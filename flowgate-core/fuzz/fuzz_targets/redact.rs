//! A redacted text differs from the text only in characters that became `*`.

#![no_main]

use flowgate_core::redact::redact_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let redacted = redact_text(line);
    assert_eq!(redacted.chars().count(), line.chars().count());
    assert_eq!(redact_text(&redacted), redacted);
});
