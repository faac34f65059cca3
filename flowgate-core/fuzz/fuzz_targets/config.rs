//! Any bytes are a configuration or an error with a place, and a configuration keeps its promises.

#![no_main]

use flowgate_core::config::{Base, Config};
use flowgate_core::profile::Secrets;
use flowgate_core::yaml::{self, Entry, Node, Value};
use libfuzzer_sys::fuzz_target;

const BASE: Base<'static> = Base {
    dir: "/home/dev/project",
    home: Some("/home/dev"),
};

fuzz_target!(|bytes: &[u8]| {
    let config = match Config::from_file("fuzz.yaml", bytes) {
        Ok(config) => config,
        Err(error) => {
            assert!(error.diagnostics().iter().any(|d| d.is_error()));
            // What is printed to a person must not fail either.
            let _ = error.to_string();
            return;
        }
    };

    let once = config.resolve(&BASE).expect("the home directory is known");
    let twice = once.resolve(&BASE).expect("absolute paths resolve");
    assert_eq!(once.document(), twice.document());
    assert_eq!(once.settings(), twice.settings());

    let normalized = config.normalized();
    let written = yaml::to_yaml(&normalized);
    let (read, _) = yaml::parse(&written).expect("what is written can be read");
    let read = read.expect("a mapping is written");
    assert_eq!(
        without_places(&read),
        without_places(&normalized),
        "{written}"
    );

    config.profile_diagnostics();
    for name in config.profile_names() {
        let profile = config.profile(name).expect("the name is known");
        let _ = profile.render(&Secrets::new());
        let explained = profile.explain();
        let origins = profile.origins().len();
        let lines = explained
            .iter()
            .filter(|line| line.origin.is_some())
            .count();
        assert_eq!(lines, origins, "{explained:#?}");
        assert_eq!(profile.diff(&profile), []);
    }
});

fn without_places(node: &Node) -> Node {
    Node::new(match &node.value {
        Value::Sequence(items) => Value::Sequence(items.iter().map(without_places).collect()),
        Value::Mapping(entries) => Value::Mapping(
            entries
                .iter()
                .map(|entry| Entry::new(&entry.key, without_places(&entry.value)))
                .collect(),
        ),
        other => other.clone(),
    })
}
