//! Any file of another program is credentials or an error, and what is taken over is JSON.

#![no_main]

use flowgate_core::auth::{Format, import};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret;

fuzz_target!(|text: &str| {
    for format in [Format::Codex, Format::Copilot, Format::Kiro] {
        if let Ok(imported) = import(format, text, 1_700_000_000_000) {
            let content = imported.content.expose_secret();
            serde_json::from_str::<serde_json::Value>(content).expect("JSON is written");
            assert!(!imported.file_name.contains(['/', '\\', '\0']), "{}", imported.file_name);
        }
    }
});
