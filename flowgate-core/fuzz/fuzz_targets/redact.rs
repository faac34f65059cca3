//! A redacted text differs from the text only in characters that became `*`.

#![no_main]

use flowgate_core::redact::redact_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let redacted = redact_text(text);
    assert_eq!(redacted.chars().count(), text.chars().count());
    let mut pairs = redacted.chars().zip(text.chars());
    assert!(pairs.all(|(shown, written)| shown == written || shown == '*'));
});
