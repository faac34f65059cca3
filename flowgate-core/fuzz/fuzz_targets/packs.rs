//! Any text is a policy, a pack, or an error, and a guard made of it answers.

#![no_main]

use flowgate_core::guard::{Context, Guard, Policy, UserPacks};
use libfuzzer_sys::fuzz_target;

const COMMANDS: [&str; 3] = ["acme wipe --all x", "rm -rf /", "git commit -m 'rm -rf /'"];

fuzz_target!(|text: &str| {
    let packs = UserPacks::from_yaml([text]).unwrap_or_default();
    let policy = Policy::from_yaml(text).unwrap_or_default();
    let Ok(guard) = Guard::new(&policy, packs) else {
        return;
    };
    let context = Context::new("/home/dev/project", "/home/dev");
    for command in COMMANDS {
        assert_eq!(guard.check(command, &context), guard.check(command, &context));
    }
});
