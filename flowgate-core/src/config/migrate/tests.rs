use super::*;

fn text(before: &str) -> String {
    let migration = migrate(before).unwrap();
    let again = migrate(&migration.text).unwrap();
    assert_eq!(again.changes, [] as [String; 0], "{}", migration.text);
    assert_eq!(again.text, migration.text);
    migration.text
}

#[test]
fn comments_order_quotes_and_anchors_stay() {
    let before = "\
# my gateway
config_version: 1  # old
services:
  litellm: &s { port: 04000, command: { args: [x] } }   # keep
  'cliproxyapi': *s
oauth:  # sign-in
  # the first
  codex: { method: oauth_poll }

  copilot:
    method: oauth_poll
# last
secrets: [ a.json,
  b.json ]
";
    assert_eq!(
        text(before),
        "\
# my gateway
config_version: 2  # old
services:
  litellm: &s { port: 04000, command: { args: [x] } }   # keep
  'cliproxyapi_plus': *s
auth:
  providers:  # sign-in
    # the first
    codex: { method: oauth_poll }

    copilot:
      method: oauth_poll
# last
secret_files: [ a.json,
  b.json ]
"
    );
}

#[test]
fn an_indented_document_stays_indented() {
    assert_eq!(
        text("  oauth:\n    codex: {}\n  paths: {}\n"),
        "  config_version: 2\n  auth:\n    providers:\n      codex: {}\n  paths: {}\n"
    );
}

#[test]
fn what_cannot_be_rewritten_safely_is_refused() {
    for before in ["? A\n", "? oauth\n: {codex: {}}\n"] {
        let error = migrate(before).unwrap_err();
        assert_eq!(error.diagnostics()[0].code, "config.cannot_migrate");
    }
}

#[test]
fn json_stays_json() {
    let after = text(
        r#"{"config_version":1,"services":{"cliproxyapi":{"command":{"args":["y"]}}},"oauth":{"codex":{}},"secrets":["k"]}"#,
    );
    assert_eq!(
        after,
        "{\"config_version\":2,\"services\":{\"cliproxyapi_plus\":{\"command\":{\"args\":[\"y\"]}}},\"auth\": {\"providers\":{\"codex\":{}}},\"secret_files\":[\"k\"]}\n"
    );
    assert!(serde_json::from_str::<serde_json::Value>(&after).is_ok());
}

#[test]
fn version_3_becomes_a_service() {
    let before = "config_version: 3\npaths: { runtime_dir: run }\ncliproxyapi_plus:\n  # here\n  config_file: proxy.yaml  # its own\nsecret_files: []\n";
    let after = text(before);
    assert_eq!(
        after,
        "\
config_version: 2
paths: { runtime_dir: run }
# here
services:
  cliproxyapi_plus:
    readiness_path: /
    command:
      args:
        - \"{runtime_dir}/bin/CLIProxyAPIPlus\"
        - \"-config\"
        - \"{config_dir}/proxy.yaml\"
    port: 8317  # its own
secret_files: []
"
    );
    assert_eq!(migrate(&after).unwrap().remaining, []);

    let proxy: Node = serde_json::from_str(r#"{"host": "0.0.0.0", "port": 9000, "x": 1}"#).unwrap();
    let with_proxy = migrate_with_proxy(before, &proxy).unwrap().text;
    assert!(
        with_proxy.contains("    host: \"0.0.0.0\"\n    port: 9000  # its own\n"),
        "{with_proxy}"
    );
}

#[test]
fn what_cannot_be_rewritten_safely_is_left_alone() {
    for before in [
        "? oauth\n: {codex: {}}\nprofile: x\n",
        "x-a: &one 1\nconfig_version: *one\nbad: 1\n",
        "config_version: 3\npaths: {runtime_dir: r}\ncliproxyapi_plus:\n  config_file: p\n  other: 5\n",
    ] {
        let error = migrate(before).unwrap_err();
        assert_eq!(
            error.diagnostics()[0].code,
            "config.cannot_migrate",
            "{before}"
        );
    }
    assert_eq!(text("{}"), "{\"config_version\": 2}\n");
    assert_eq!(
        text(
            "config_version: 2\nservices:\n  cliproxyapi: {command: {args: [x]}}\n  b: {command: {args: [x]}, depends_on: ['cliproxyapi']}\n"
        ),
        "config_version: 2\nservices:\n  cliproxyapi_plus: {command: {args: [x]}}\n  b: {command: {args: [x]}, depends_on: ['cliproxyapi_plus']}\n"
    );
}

#[test]
fn a_missing_version_is_added_above_the_first_key() {
    assert_eq!(
        text("# c\n\npaths: {}\n"),
        "# c\n\nconfig_version: 2\npaths: {}\n"
    );
    assert_eq!(
        text("\u{feff}paths: {}\r\n"),
        "\u{feff}config_version: 2\r\npaths: {}\r\n"
    );
    assert_eq!(
        text("{\"paths\": {}}"),
        "{\"config_version\": 2, \"paths\": {}}\n"
    );
}

#[test]
fn what_contradicts_itself_is_refused_and_what_is_wrong_is_kept() {
    for before in [
        "secrets: [a]\nsecret_files: [b]\n",
        "oauth: {}\nauth: {}\n",
        "services: {cliproxyapi: {}, cliproxyapi_plus: {}}\n",
        "config_version: 99\n",
    ] {
        let error = migrate(before).unwrap_err();
        assert_eq!(
            error.diagnostics()[0].code,
            "config.cannot_migrate",
            "{before}"
        );
    }
    let migration = migrate("config_version: 1\nservices: {a: {command: {args: []}}}\n").unwrap();
    assert_eq!(
        migration.remaining.iter().filter(|p| p.is_error()).count(),
        1
    );
}
