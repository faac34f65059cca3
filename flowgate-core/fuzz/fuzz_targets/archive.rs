//! Any file that was fetched is an archive with a program in it, or refused.

#![no_main]

use flowgate_core::runtime::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::archive(bytes));
