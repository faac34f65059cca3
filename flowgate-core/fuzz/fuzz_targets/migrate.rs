//! Any text migrates to a text that can be read, and migrating again changes nothing.

#![no_main]

use flowgate_core::config::{Config, migrate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(once) = migrate(text) else {
        return;
    };
    let twice = migrate(&once.text).expect("a migrated document is YAML");
    assert_eq!(once.text, twice.text);
    assert!(twice.changes.is_empty(), "{:?}", twice.changes);
    if Config::from_yaml(text).is_ok() {
        Config::from_yaml(&once.text).expect("a right document stays right");
    }
});
