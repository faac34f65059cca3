//! What holds for every document, however it was written.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use flowgate_core::config::{Base, Config, migrate, resolve_path};
use flowgate_core::profile::Secrets;
use flowgate_core::yaml;
use proptest::prelude::*;

/// Lines that documents are made of: good ones, old ones, and wrong ones.
const LINES: [&str; 34] = [
    "config_version: 2",
    "config_version: 1",
    "config_version: 3",
    "config_version: [2]",
    "paths: {runtime_dir: run}",
    "paths: {runtime_dir: ~/run, log_file: ../log, other: /abs/./x}",
    "paths: {active_config: '', state_file: 5}",
    "services:",
    "  litellm: {port: 4000, command: {args: [litellm, --port, \"4000\"], cwd: ..}}",
    "  cliproxyapi: {command: {args: [x]}} # old",
    "  cliproxyapi_plus: {command: {args: [y]}, depends_on: [litellm]}",
    "  é: &a {command: {args: [é], env: {A: b}}, readiness: {http: /x}}",
    "  b: *a",
    "secrets: [a, ~/b]",
    "secret_files: [c]",
    "oauth:",
    "  codex: {method: oauth_poll}",
    "",
    "  # a comment",
    "auth: {providers: {}}",
    "cliproxyapi_plus: {config_file: proxy.yaml}",
    "credentials: {upstream: {k: {file: keys/k}, e: {env: E}}}",
    "litellm_base: {litellm_settings: {num_retries: 1, on: yes}, model_list: [{model_name: m, litellm_params: {api_key_ref: k}}]}",
    "profiles:",
    "  p: {litellm_settings: {num_retries: 2}}",
    "  q: {litellm_settings: ~, model_list: $delete}",
    "  r: {litellm_settings: {num_retries: $delete, new: [1, {a: b}]}}",
    "_comment: x",
    "x-mine: {deep: [1, 2.5, ~]}",
    "guard: {packs: [core], mode: ask}",
    "accounts: {strategy: lru, pool: [{id: a, provider: openai, credential: k}]}",
    "integration: {default_model: m}",
    "\tbad",
    "profile: 5",
];

fn document() -> impl Strategy<Value = String> {
    let lines = prop::collection::vec(prop::sample::select(&LINES[..]), 0..16);
    (lines, prop::sample::select(vec!["\n", "\r\n"])).prop_map(|(lines, end)| lines.join(end) + end)
}

const BASE: Base<'static> = Base {
    dir: "/home/dev/project",
    home: Some("/home/dev"),
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}|[a-z:{}\\[\\]&*!|>'\"#,\\-? \\n\\t]{0,200}") {
        let _ = Config::from_yaml(&text);
        let _ = migrate(&text);
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Config::from_file("f", &bytes);
    }

    #[test]
    fn every_problem_has_a_place_a_code_and_words(text in document()) {
        if let Err(error) = Config::from_yaml(&text) {
            prop_assert!(error.diagnostics().iter().any(|d| d.is_error()));
            for problem in error.diagnostics() {
                prop_assert!(problem.span.is_known() || problem.path.starts_with("paths."), "{problem:?}\n{text}");
                prop_assert!(problem.code.contains('.') && !problem.message.is_empty(), "{problem:?}");
            }
        }
    }

    #[test]
    fn resolving_twice_is_resolving_once(text in document()) {
        if let Ok(config) = Config::from_yaml(&text) {
            let before = config.document().clone();
            let once = config.resolve(&BASE).unwrap();
            prop_assert_eq!(config.document(), &before, "the input is untouched");
            let twice = once.resolve(&BASE).unwrap();
            prop_assert_eq!(once.document(), twice.document());
            prop_assert!(once.settings().paths.active_config().starts_with('/'));
        }
    }

    #[test]
    fn resolved_paths_are_absolute_and_stay(path in "[a-z./~]{1,20}") {
        if let Ok(resolved) = resolve_path(&path, &BASE) {
            prop_assert!(resolved.starts_with('/'));
            prop_assert_eq!(resolve_path(&resolved, &BASE), Ok(resolved.clone()));
        }
    }

    #[test]
    fn migrating_twice_is_migrating_once_and_means_the_same(text in document()) {
        let Ok(migration) = migrate(&text) else { return Ok(()) };
        let again = migrate(&migration.text).unwrap();
        prop_assert_eq!(&again.text, &migration.text);
        prop_assert!(again.changes.is_empty(), "{:?}\n{}", again.changes, migration.text);
        if let Ok(config) = Config::from_yaml(&text) {
            let migrated = Config::from_yaml(&migration.text);
            prop_assert!(migrated.is_ok(), "{migrated:?}\n{text}\n{}", migration.text);
            prop_assert_eq!(canonical(&migrated.unwrap()), canonical(&config), "{}\n{}", text, migration.text);
        }
    }

    #[test]
    fn every_profile_of_a_good_document_can_be_explained(text in document()) {
        let Ok(config) = Config::from_yaml(&text) else { return Ok(()) };
        for name in config.profile_names() {
            let profile = config.profile(name).unwrap();
            let explained = profile.explain();
            prop_assert_eq!(explained.iter().filter(|line| line.origin.is_some()).count(), profile.origins().len());
            let secrets: Secrets = profile.references().into_iter().map(|r| (r.name, "sk".into())).collect();
            let rendered = profile.render(&secrets).unwrap();
            prop_assert!(yaml::parse(&rendered).is_ok());
        }
    }
}

/// The content of a document, whatever the order of its keys.
fn canonical(config: &Config) -> String {
    fn sorted(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(map) => {
                let mut entries: Vec<_> = map
                    .into_iter()
                    .map(|(key, value)| (key, sorted(value)))
                    .collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                serde_json::Value::Object(entries.into_iter().collect())
            }
            other => other,
        }
    }
    sorted(serde_json::to_value(config.document()).unwrap()).to_string()
}
