//! The guard's parser beside two others: what one of them takes for a command, the guard sees too.
//!
//! Here and not in the core, so that the tests of the core need not build other parsers.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;

use flowgate_core::guard::{Context, Guard};
use rable::{Node, NodeKind};
use serde_json::Value;

/// Commands of every kind: the examples of the rules, and the vectors.
fn commands(guard: &Guard) -> Vec<String> {
    let vectors = include_str!("../../flowgate-core/testdata/guard_vectors.json");
    let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
    let rules = guard.packs().into_iter().flat_map(|pack| pack.rules);
    let examples = rules.flat_map(|rule| rule.deny.into_iter().chain(rule.allow));
    let vectors = vectors
        .into_iter()
        .filter_map(|vector| Some(vector["command"].as_str()?.to_owned()));
    // What the other parsers need too long for is left to `guard_total` in the core.
    examples
        .chain(vectors)
        .filter(|c| c.len() < 2_000)
        .collect()
}

/// The names of the commands that the guard looks at, and whether it finds all quotes closed.
fn ours(guard: &Guard, command: &str) -> (BTreeSet<String>, bool) {
    let context = Context::new("/home/dev/project", "/home/dev");
    let steps = guard.explain(command, &context).steps;
    let names = steps
        .iter()
        .filter_map(|step| step.text.strip_prefix("command: "))
        .filter_map(|words| words.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    let closed = !steps.iter().any(|step| step.text.contains("not closed"));
    (names, closed)
}

/// A name that is what it says: no quotes, expansions or patterns in it.
fn plain(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_./+-".contains(&b);
    word.bytes().all(plain)
}

fn names_of(node: &Node, names: &mut BTreeSet<String>) {
    use NodeKind::{
        BraceGroup, Case, Command, Coproc, For, Function, If, List, Negation, Pipeline, Select,
        Subshell, Time, Until, While,
    };
    match &node.kind {
        Command { words, .. } => {
            if let Some(NodeKind::Word { value, .. }) = words.first().map(|word| &word.kind)
                && plain(value)
            {
                names.insert(value.clone());
            }
        }
        Pipeline { commands, .. } => commands.iter().for_each(|node| names_of(node, names)),
        List { items } => items.iter().for_each(|item| names_of(&item.command, names)),
        If {
            condition,
            then_body,
            else_body,
            ..
        } => {
            names_of(condition, names);
            names_of(then_body, names);
            if let Some(body) = else_body {
                names_of(body, names);
            }
        }
        While {
            condition, body, ..
        }
        | Until {
            condition, body, ..
        } => {
            names_of(condition, names);
            names_of(body, names);
        }
        For { body, .. }
        | Select { body, .. }
        | Subshell { body, .. }
        | BraceGroup { body, .. }
        | Function { body, .. } => names_of(body, names),
        Case { patterns, .. } => {
            for body in patterns.iter().filter_map(|pattern| pattern.body.as_ref()) {
                names_of(body, names);
            }
        }
        Coproc { command, .. } => names_of(command, names),
        Negation { pipeline } | Time { pipeline, .. } => names_of(pipeline, names),
        _ => {}
    }
}

/// The names of the simple commands in what brush reads, wherever they stand.
fn names_in(json: &Value, names: &mut BTreeSet<String>) {
    match json {
        Value::Object(map) => {
            let name = map
                .get("word_or_name")
                .and_then(|word| word["value"].as_str());
            names.extend(name.filter(|name| plain(name)).map(str::to_owned));
            map.values().for_each(|value| names_in(value, names));
        }
        Value::Array(items) => items.iter().for_each(|value| names_in(value, names)),
        _ => {}
    }
}

/// What they found and we did not. The call of a function that the command itself defines is
/// followed, and is no command.
fn missing(command: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> Vec<String> {
    let found = theirs.difference(ours);
    let commands = found.filter(|name| !command.contains(&format!("{name}()")));
    commands.cloned().collect()
}

#[test]
fn every_command_that_rable_finds_is_looked_at() {
    let guard = Guard::default();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for command in commands(&guard) {
        let (ours, closed) = ours(&guard, &command);
        match rable::parse(&command, true) {
            Ok(nodes) => {
                let mut names = BTreeSet::new();
                nodes.iter().for_each(|node| names_of(node, &mut names));
                compared += names.len();
                let missing = missing(&command, &ours, &names);
                if !missing.is_empty() || !closed {
                    wrong.push(format!("{missing:?}, closed: {closed}: {command}"));
                }
            }
            Err(rable::RableError::MatchedPair { .. }) if closed => {
                wrong.push(format!(
                    "rable misses an end that the guard found: {command}"
                ));
            }
            Err(_) => {}
        }
    }
    assert!(compared > 3_000, "only {compared} names were compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_that_brush_finds_is_looked_at() {
    let guard = Guard::default();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for command in commands(&guard) {
        let options = brush_parser::ParserOptions::default();
        let mut parser = brush_parser::Parser::new(command.as_bytes(), &options);
        let Ok(program) = parser.parse_program() else {
            continue;
        };
        let mut names = BTreeSet::new();
        names_in(&serde_json::to_value(&program).unwrap(), &mut names);
        compared += names.len();
        let (ours, closed) = ours(&guard, &command);
        let missing = missing(&command, &ours, &names);
        if !missing.is_empty() || !closed {
            wrong.push(format!("{missing:?}, closed: {closed}: {command}"));
        }
    }
    assert!(compared > 3_000, "only {compared} names were compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
