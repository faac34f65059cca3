//! Whatever stands where a supervisor keeps its records is one or is not.

#![no_main]

use flowgate_core::runtime::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::record(bytes));
