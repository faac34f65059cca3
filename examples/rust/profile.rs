//! Shows what a profile becomes and where each value was written:
//!
//! ```console
//! $ cargo run -p flowgate-examples --example profile [FILE [PROFILE]]
//! ```

use std::path::Path;

use flowgate_core::config::{Config, STARTER};
use flowgate_core::runtime;

fn main() -> Result<(), runtime::Error> {
    let mut arguments = std::env::args().skip(1);
    let config = match arguments.next() {
        Some(file) => runtime::load(Path::new(&file))?,
        None => Config::from_yaml(STARTER)?,
    };
    let name = arguments.next().unwrap_or_else(|| "balanced".to_owned());
    for line in config.profile(&name)?.explain() {
        match line.origin {
            Some(origin) => println!(
                "{:50}  # {}, line {}",
                line.text, origin.layer, origin.span.line
            ),
            None => println!("{}", line.text),
        }
    }
    Ok(())
}
