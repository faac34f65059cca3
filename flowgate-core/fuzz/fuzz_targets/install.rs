//! Putting the hook into any settings and taking it out again leaves settings that can be read.
//!
//! The first byte says whose settings they are.

#![no_main]

use flowgate_core::guard::hook::Agent;
use flowgate_core::guard::install::{command, commands, install, uninstall};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (number, settings) = input;
    let agent = Agent::ALL[usize::from(number) % Agent::ALL.len()];
    let ours = command(agent, "/usr/bin/flowgate");
    let _ = uninstall(agent, settings);
    let Ok(installed) = install(agent, settings, &ours) else {
        return;
    };
    let found = commands(agent, &installed).expect("what is written can be read");
    assert!(found.contains(&ours), "{found:?}\n{installed}");
    assert_eq!(install(agent, &installed, &ours).expect("it can be read"), installed);
    let out = uninstall(agent, &installed).expect("what was put in can be taken out");
    assert_eq!(commands(agent, &out).expect("it can be read"), Vec::<String>::new());
});
