//! Any settings file of an agent stays one that can be read, an edit is made once, and it can be taken
//! back.
//!
//! The first byte says whose settings they are.

#![no_main]

use std::sync::LazyLock;

use flowgate_core::clients::{Client, Gateway, apply, base_url, redacted, revert};
use libfuzzer_sys::fuzz_target;

static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| {
    Gateway::new("http://127.0.0.1:4000", None, None).expect("an address of this machine")
});

fuzz_target!(|input: (u8, &str)| {
    let (number, settings) = input;
    let client = Client::ALL[usize::from(number) % Client::ALL.len()];
    let _ = base_url(client, settings);
    let _ = redacted(client, settings);
    let Ok(edit) = apply(client, settings, &GATEWAY) else {
        return;
    };
    let again = apply(client, &edit.text, &GATEWAY).expect("what is written can be read");
    assert_eq!(again.text, edit.text);
    assert!(again.changes.is_empty(), "{:?}", again.changes);
    revert(client, &edit.text, settings).expect("what was written can be taken back");
});
