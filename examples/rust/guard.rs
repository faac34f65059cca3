//! Runs commands as `sh -c` does, unless they would destroy something:
//!
//! ```console
//! $ cargo run -p flowgate-examples --example guard [COMMAND]
//! ```

use std::env;
use std::process::{Command, ExitCode};

use flowgate_core::guard::{Context, Decision, Guard};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let guard = Guard::default();
    let wishes = match env::args().nth(1) {
        Some(command) => vec![command],
        None => vec![
            "echo 'rm -rf / is a text here'".to_owned(),
            "X=/; sudo rm -rf $X".to_owned(),
        ],
    };
    let cwd = env::current_dir()?;
    let home = env::var("HOME").unwrap_or_default();
    let context = Context::new(cwd.to_string_lossy(), home);
    let mut stopped = false;
    for command in wishes {
        let verdict = guard.check(&command, &context);
        // `ask` is for a person; this program has none to ask.
        if matches!(verdict.decision, Decision::Allow | Decision::Warn) {
            Command::new("sh").args(["-c", &command]).status()?;
            continue;
        }
        stopped = true;
        println!("stopped: {command}");
        for text in [verdict.reason, verdict.suggestion].into_iter().flatten() {
            println!("  {text}");
        }
    }
    Ok(ExitCode::from(u8::from(stopped)))
}
