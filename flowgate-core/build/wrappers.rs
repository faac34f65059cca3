//! Turns `wrappers.yaml` into a static table (`$OUT_DIR/wrappers.rs`).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapper {
    names: Vec<String>,
    #[serde(default = "plain")]
    ways: Vec<Way>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Way {
    assigns: bool,
    code: String,
    dashes: bool,
    named: String,
    query: String,
    remote: bool,
    skip: u8,
    stdin: bool,
    sub: String,
    then: Then,
    values: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Then {
    #[default]
    Argv,
    Each,
    Joined,
    Nothing,
}

fn plain() -> Vec<Way> {
    vec![Way::default()]
}

/// Prints the table, or says what is wrong with the file.
pub(crate) fn print(text: &str) -> Result<String, String> {
    let wrappers: Vec<Wrapper> =
        serde_yaml::from_str(text).map_err(|error| format!("wrappers.yaml: {error}"))?;
    let mut seen = BTreeSet::new();
    let mut out = String::new();
    let mut table = String::new();
    for (index, wrapper) in wrappers.iter().enumerate() {
        let ways: Vec<String> = wrapper.ways.iter().map(way).collect();
        let _ = writeln!(
            out,
            "static WAYS_{index}: [Exec; {}] = [{}];",
            ways.len(),
            ways.join(", ")
        );
        for name in &wrapper.names {
            if !seen.insert(name) {
                return Err(format!("wrappers.yaml: `{name}` stands there twice"));
            }
            let _ = write!(table, "({name:?}, &WAYS_{index}), ");
        }
    }
    let _ = writeln!(
        out,
        "pub(super) static NAMES: [(&str, &[Exec]); {}] = [{table}];",
        seen.len()
    );
    Ok(out)
}

fn way(way: &Way) -> String {
    format!(
        "Exec {{ named: {:?}, sub: {:?}, values: {:?}, code: {:?}, query: {:?}, skip: {}, then: Then::{:?}, assigns: {}, dashes: {}, remote: {}, stdin: {} }}",
        way.named,
        way.sub,
        way.values,
        way.code,
        way.query,
        way.skip,
        way.then,
        way.assigns,
        way.dashes,
        way.remote,
        way.stdin
    )
}
