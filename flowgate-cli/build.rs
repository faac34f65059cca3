//! Links the program at a fixed address on Linux.
//!
//! The tables of rules are full of pointers. To relocate them at every start would take the hook,
//! which agents wait for before every command, longer than everything else it does.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name: &str| std::env::var(name).unwrap_or_default();
    if target("CARGO_CFG_TARGET_OS") == "linux" && target("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
