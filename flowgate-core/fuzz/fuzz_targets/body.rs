//! Any body is read as it passes by, wherever it is cut.

#![no_main]

use flowgate_core::runtime::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::body(bytes));
