//! The command line of FlowGate: reads arguments, asks the library, prints the answer.

mod args;
mod commands;
mod diff;
mod jsonl;
mod output;
#[cfg(test)]
mod reference;
mod report;
mod visible;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::output::Output;

fn main() -> ExitCode {
    // A shim is one of many, and carries nothing that it does not need.
    #[cfg(target_os = "linux")]
    flowgate_core::runtime::process::run_if_asked();
    // An agent waits for this answer before every command: nothing else is set up for it.
    if let Some(agent) = commands::hook::asked(std::env::args_os().skip(1)) {
        return commands::hook::answer(agent);
    }
    let args = Args::parse();
    let mut output = Output::new(args.format, args.no_color);
    let result = commands::run(args, &mut output);
    output.finish(result)
}
