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
    let (mut names, mut ways_of) = (String::new(), String::new());
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
            let _ = write!(names, "{name:?}, ");
            let _ = write!(ways_of, "&WAYS_{index}, ");
        }
    }
    let count = seen.len();
    let _ = writeln!(
        out,
        "pub(super) const NAMES: [&str; {count}] = [{names}];\npub(super) static WAYS: [&[Exec]; {count}] = [{ways_of}];",
    );
    Ok(out)
}

fn way(way: &Way) -> String {
    let words = |list: &str| format!("&{:?}", list.split_whitespace().collect::<Vec<_>>());
    let paths: Vec<String> = way
        .sub
        .split('|')
        .filter(|path| !path.is_empty())
        .map(words)
        .collect();
    format!(
        "Exec {{ named: {:?}, sub: &[{}], values: {}, code: {}, query: {}, skip: {}, then: Then::{:?}, assigns: {}, dashes: {}, remote: {}, stdin: {} }}",
        way.named,
        paths.join(", "),
        words(&way.values),
        words(&way.code),
        words(&way.query),
        way.skip,
        way.then,
        way.assigns,
        way.dashes,
        way.remote,
        way.stdin
    )
}
