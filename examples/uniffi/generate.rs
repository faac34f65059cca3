//! Generates Kotlin, Swift, Ruby or Python sources from a built `libflowgate_core`.
//!
//! Here, so that generator and scaffolding are always of the same version.

fn main() {
    uniffi::uniffi_bindgen_main();
}
