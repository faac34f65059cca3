//! Doors for the fuzzer to parsers of foreign input that nobody else calls directly.

/// A downloaded archive.
pub fn archive(bytes: &[u8]) {
    super::bootstrap::fuzz_archive(bytes);
}

/// The body of an answer as it passes by.
pub fn body(bytes: &[u8]) {
    super::accounts::fuzz_body(bytes);
}

/// What a supervisor wrote down about a process.
#[cfg(target_os = "linux")]
pub fn record(bytes: &[u8]) {
    super::process::fuzz_record(bytes);
}
