use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::Config;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    before: String,
    after: Option<String>,
    like: Option<String>,
    #[serde(default)]
    keeps: Vec<String>,
    provider: Option<String>,
    error: Option<String>,
    place: Option<(usize, usize)>,
    warnings: Option<Vec<String>>,
}

fn cases() -> BTreeMap<Client, Vec<Case>> {
    serde_yaml::from_str(include_str!("../../testdata/clients.yaml")).unwrap()
}

fn gateway() -> Gateway {
    Gateway::new("http://127.0.0.1:4000", None, None).unwrap()
}

#[test]
fn every_case_gives_what_is_written_beside_it() {
    for (client, cases) in cases() {
        for case in &cases {
            run(client, case, &cases);
        }
    }
}

fn run(client: Client, case: &Case, all: &[Case]) {
    let name = format!("{}: {}", client.name(), case.name);
    let edit = match (apply(client, &case.before, &gateway()), &case.error) {
        (Ok(edit), None) => edit,
        (Err(error), Some(code)) => {
            assert_eq!(error.code(), code, "{name}: {error}");
            if let (Error::Syntax { line, column, .. }, Some(place)) = (&error, case.place) {
                assert_eq!((*line, *column), place, "{name}");
            }
            return;
        }
        (result, _) => panic!("{name}: {result:?}"),
    };
    let like = case
        .like
        .as_ref()
        .and_then(|like| all.iter().find(|case| case.name == *like));
    match like.unwrap_or(case).after.as_deref() {
        Some("same") => assert_eq!(
            (edit.text.as_str(), edit.changes.len()),
            (case.before.as_str(), 0),
            "{name}"
        ),
        Some(after) => assert_eq!(edit.text, after, "{name}"),
        None => assert_ne!(edit.text, case.before, "{name}"),
    }
    for kept in &case.keeps {
        assert!(
            edit.text.contains(kept),
            "{name}: {kept:?} is not in\n{}",
            edit.text
        );
    }
    if let Some(provider) = &case.provider {
        let at = ["model_providers", provider, "base_url"];
        let document = Document::read(client, &edit.text).unwrap();
        assert_eq!(
            document.text_at(&["model_provider"]).as_ref(),
            Some(provider),
            "{name}"
        );
        assert_eq!(
            document.text_at(&at).as_deref(),
            Some("http://127.0.0.1:4000/v1"),
            "{name}\n{}",
            edit.text
        );
        assert!(
            document.has(&["model_providers", provider, "name"]),
            "{name}"
        );
    }
    if let Some(warnings) = &case.warnings {
        let codes: Vec<_> = edit.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(&codes, warnings, "{name}");
    }
    let uses = base_url(client, &edit.text).unwrap().unwrap_or_default();
    assert!(
        uses.starts_with("http://127.0.0.1:4000"),
        "{name}: {uses:?}"
    );
    let again = apply(client, &edit.text, &gateway()).unwrap();
    assert_eq!(
        (again.text, again.changes),
        (edit.text.clone(), vec![]),
        "{name}: a second time"
    );
    let back = revert(client, &edit.text, &case.before).unwrap();
    assert_eq!(
        meaning(client, &back.text),
        meaning(client, &case.before),
        "{name}\n{}",
        back.text
    );
}

/// The content of settings, without their layout; objects that are empty count as none.
fn meaning(client: Client, text: &str) -> Value {
    let text = text.trim_start_matches('\u{feff}');
    match client {
        Client::Codex | Client::Kimi => {
            toml_value(text.parse::<toml_edit::DocumentMut>().unwrap().as_item())
        }
        Client::ClaudeCode => {
            let root = jsonc_parser::cst::CstRootNode::parse(text, &Default::default()).unwrap();
            without_empty(root.to_serde_value().unwrap_or_default())
        }
        _ => Value::from(
            text.lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>(),
        ),
    }
}

fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map
                .into_iter()
                .map(|(key, value)| (key, without_empty(value)));
            let kept: serde_json::Map<_, _> = kept.filter(|(_, value)| !value.is_null()).collect();
            if kept.is_empty() {
                Value::Null
            } else {
                Value::Object(kept)
            }
        }
        other => other,
    }
}

fn toml_value(item: &toml_edit::Item) -> Value {
    fn of(value: &toml_edit::Value) -> Value {
        match value {
            toml_edit::Value::Array(items) => items.iter().map(of).collect(),
            toml_edit::Value::InlineTable(table) => without_empty(
                table
                    .iter()
                    .map(|(key, value)| (key.to_owned(), of(value)))
                    .collect(),
            ),
            toml_edit::Value::String(text) => Value::from(text.value().as_str()),
            other => Value::from(other.clone().decorated("", "").to_string()),
        }
    }
    match item {
        toml_edit::Item::None => Value::Null,
        toml_edit::Item::Value(value) => of(value),
        toml_edit::Item::ArrayOfTables(tables) => tables
            .iter()
            .map(|table| toml_value(&toml_edit::Item::Table(table.clone())))
            .collect(),
        toml_edit::Item::Table(table) => without_empty(
            table
                .iter()
                .map(|(key, item)| (key.to_owned(), toml_value(item)))
                .collect(),
        ),
    }
}

#[test]
fn what_is_printed_is_what_is_applied() {
    let printed = snippet(Client::Codex, &gateway());
    assert_eq!(
        apply(Client::Codex, &printed, &gateway()).unwrap().changes,
        []
    );
    assert_eq!(apply(Client::Codex, "", &gateway()).unwrap().text, printed);
    let with_models = Gateway::new("http://127.0.0.1:4000", Some(" m "), Some("f")).unwrap();
    assert_eq!(
        snippet(Client::ClaudeCode, &with_models),
        "ANTHROPIC_BASE_URL=http://127.0.0.1:4000\nANTHROPIC_AUTH_TOKEN=your-gateway-token\nANTHROPIC_MODEL=m\n\
         ANTHROPIC_DEFAULT_OPUS_MODEL=m\nANTHROPIC_DEFAULT_SONNET_MODEL=m\nANTHROPIC_DEFAULT_HAIKU_MODEL=f\n"
    );
    assert!(
        snippet(Client::Copilot, &with_models)
            .contains("COPILOT_PROVIDER_BASE_URL=http://127.0.0.1:4000/v1\n")
    );
}

#[test]
fn values_are_written_so_that_they_can_be_read() {
    for model in ["a\"b", "a\\1", "a\nb", "é"] {
        let gateway = Gateway::new("http://h\\1", Some(model), None).unwrap();
        for client in [Client::Codex, Client::ClaudeCode, Client::Kimi] {
            let text = apply(client, "", &gateway).unwrap().text;
            assert_eq!(
                apply(client, &text, &gateway).unwrap().changes,
                [],
                "{text}"
            );
        }
    }
}

#[test]
fn a_real_token_replaces_a_placeholder_and_is_never_shown() {
    let gateway = gateway().with_token("tok-real\n".to_owned().into());
    let before = "{\"env\": {\"ANTHROPIC_AUTH_TOKEN\": \"your-gateway-token\"}}";
    let edit = apply(Client::ClaudeCode, before, &gateway).unwrap();
    assert!(
        edit.text.contains("\"ANTHROPIC_AUTH_TOKEN\": \"tok-real\"") && edit.warnings.is_empty()
    );
    let shown = format!(
        "{edit:?} {gateway:?} {}",
        serde_json::to_string(&edit).unwrap()
    );
    assert!(
        !shown.contains("tok-real") && shown.contains(HIDDEN),
        "{shown}"
    );
    assert!(!snippet(Client::ClaudeCode, &gateway).contains("tok-real"));
    let codex = apply(Client::Codex, "", &gateway).unwrap();
    assert!(!codex.text.contains("tok-real"));
    assert_eq!(codex.warnings[0].code, "clients.token_in_environment");
}

#[test]
fn models_can_be_left_alone() {
    let gateway = gateway().without_models();
    let edit = apply(
        Client::ClaudeCode,
        "{\"env\": {\"ANTHROPIC_MODEL\": \"mine\"}}",
        &gateway,
    )
    .unwrap();
    assert!(
        edit.text.contains("\"mine\"") && edit.changes.len() == 1,
        "{edit:?}"
    );
    let edit = apply(Client::Codex, "model = \"mine\"\n", &gateway).unwrap();
    assert!(edit.text.starts_with("model = \"mine\"\n"));
}

#[test]
fn the_gateway_is_where_the_configuration_says() {
    let url = |text: &str| {
        let config = Config::from_yaml(text).unwrap();
        Gateway::from_settings(config.settings()).map(|gateway| gateway.base_url)
    };
    let service = |listens: &str| {
        url(&format!(
            "services: {{ litellm: {{ {listens} command: {{ args: [x] }} }} }}"
        ))
    };
    for (listens, base_url) in [
        ("port: 4000,", "http://127.0.0.1:4000"),
        ("host: 10.0.0.1, port: 1,", "http://10.0.0.1:1"),
        ("host: 0.0.0.0, port: 4000,", "http://127.0.0.1:4000"),
        ("host: '::', port: 4000,", "http://[::1]:4000"),
        ("host: 'fe80::1', port: 4000,", "http://[fe80::1]:4000"),
    ] {
        assert_eq!(service(listens).as_deref(), Ok(base_url));
    }
    for missing in [service(""), url("services: {}")] {
        let error = missing.unwrap_err();
        assert!(
            error.code() == "clients.no_gateway"
                && error.to_string().contains("integration.base_url"),
            "{error}"
        );
    }
    assert_eq!(
        url("integration: { base_url: 'https://gw.example/' }").as_deref(),
        Ok("https://gw.example")
    );
    for bad in ["", "file:///x", "h:4000", "http://"] {
        assert!(Gateway::new(bad, None, None).is_err(), "{bad}");
    }
}

#[test]
fn what_changed_since_the_edit_stays_when_it_is_taken_back() {
    let before = "model = \"gpt-9\" # mine\n";
    let edited = apply(Client::Codex, before, &gateway()).unwrap().text;
    let later = format!("{edited}\n[mcp_servers.new]\ncommand = \"x\"\n");
    let back = revert(Client::Codex, &later, before).unwrap();
    assert_eq!(
        back.text,
        format!("{before}\n[mcp_servers.new]\ncommand = \"x\"\n")
    );
    let before = "{\n  \"env\": {\n    \"ANTHROPIC_BASE_URL\": \"https://x\"\n  }\n}\n";
    let edited = apply(Client::ClaudeCode, before, &gateway()).unwrap().text;
    let later = edited.replace("{\n  \"env\"", "{\n  \"new\": 1,\n  \"env\"");
    let back = revert(Client::ClaudeCode, &later, before).unwrap();
    assert_eq!(
        back.text,
        before.replace("{\n  \"env\"", "{\n  \"new\": 1,\n  \"env\"")
    );
}

/// Any TOML value but a date.
fn toml() -> impl Strategy<Value = String> {
    let key = "(model|model_provider|name|\"base_url\"|'x y'|profile|[a-z]{1,4})";
    let scalar = prop_oneof![
        "\"[ -!#-\\-/-\\[\\]-~é]{0,6}\"",
        "'[ -&(-\\-/-~]{0,6}'",
        "\"\"\"\n[a\\]\\[=\n#]{0,9}\"\"\"",
        "(0|-1|0x1F|1_000|1\\.50|true|inf)",
        "\\[ 1, \\[\"a\"\\], # x\n \\]",
        "\\{ a = 1, b = \\{ c = \"d\" \\} \\}",
    ];
    let line = (key, "( = |=|  =\t)", scalar, "( # c|)")
        .prop_map(|(key, is, value, end)| format!("{key}{is}{value}{end}\n"));
    let line =
        prop_oneof![4 => line, 1 => Just("# comment\n".to_owned()), 1 => Just("\n".to_owned())];
    let header = prop_oneof![
        Just(String::new()),
        "\\[(model_providers|model_providers\\.acme|model_providers\\.flowgate|model_providers\\.flowgate\\.sub|providers\\.flowgate|models|profiles\\.[ab]|'q r')\\]( # c|)\n",
        "\\[\\[(hooks|list)\\]\\]\n",
    ];
    let section = (header, prop::collection::vec(line, 0..4))
        .prop_map(|(header, lines)| format!("{header}{}", lines.concat()));
    (prop::collection::vec(section, 0..5), any::<bool>()).prop_map(|(sections, crlf)| {
        let text = sections.concat();
        if crlf {
            text.replace('\n', "\r\n")
        } else {
            text
        }
    })
}

fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        "\"[ -!#-\\[\\]-~é]{0,6}\"",
        "(0|-1.50|1e2|true|null|\"\\\\u00e9\")"
    ]
    .prop_map(|text: String| text);
    let value = scalar.prop_recursive(3, 16, 4, |inner| {
        let key = "(env|model|ANTHROPIC_MODEL|ANTHROPIC_BASE_URL|[a-z]{1,3})";
        let entries = prop::collection::btree_map(key, inner.clone(), 0..4);
        let blank = "( |\n  |\t|)";
        prop_oneof![
            (entries, blank).prop_map(|(entries, blank)| {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{blank}\"{key}\":{blank}{value}"))
                    .collect();
                format!("{{{}{blank}}}", entries.join(","))
            }),
            prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    });
    (
        prop::collection::btree_map("(env|model|[a-z]{1,3})", value, 0..4),
        "(\n|\r\n|)",
    )
        .prop_map(|(entries, end)| {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| format!("{end}  \"{key}\": {value}"))
                .collect();
            format!("{{{}{end}}}{end}", entries.join(","))
        })
}

/// The content without our keys, which are those that `apply` says it changed.
fn others(client: Client, text: &str, changes: &[Change]) -> Value {
    let mut value = meaning(client, text);
    for change in changes {
        // A part that is no bare key is quoted (`model_providers."my own".name`).
        let keys = toml_edit::Key::parse(&change.key).unwrap();
        let (last, above) = keys.split_last().unwrap();
        let table = above
            .iter()
            .try_fold(&mut value, |value, key| value.get_mut(key.get()));
        if let Some(Value::Object(map)) = table {
            map.shift_remove(last.get());
        }
    }
    without_empty(value)
}

proptest! {
    #[test]
    fn any_toml_stays_valid_and_only_our_keys_change(text in toml(), kimi in any::<bool>()) {
        let client = if kimi { Client::Kimi } else { Client::Codex };
        let plain = text.clone();
        prop_assume!(plain.parse::<toml_edit::DocumentMut>().is_ok());
        if let Ok(edit) = apply(client, &text, &gateway()) {
            prop_assert!(edit.text.parse::<toml_edit::DocumentMut>().is_ok(), "{}", edit.text);
            prop_assert_eq!(others(client, &edit.text, &edit.changes), others(client, &text, &edit.changes), "{}\n---\n{}", text, edit.text);
            prop_assert_eq!(apply(client, &edit.text, &gateway()).unwrap().changes, vec![]);
            let comments = |text: &str| text.matches("# c").count();
            prop_assert!(comments(&edit.text) >= comments(&text), "{}\n---\n{}", text, edit.text);
            let back = revert(client, &edit.text, &text).unwrap();
            prop_assert_eq!(meaning(client, &back.text), meaning(client, &text), "{}\n---\n{}\n---\n{}", text, edit.text, back.text);
        }
    }

    #[test]
    fn any_json_stays_valid_and_only_our_keys_change(text in json_text()) {
        prop_assume!(serde_json::from_str::<Value>(&text).is_ok());
        if let Ok(edit) = apply(Client::ClaudeCode, &text, &gateway()) {
            prop_assert!(serde_json::from_str::<Value>(&edit.text).is_ok(), "{}", edit.text);
            let of = |text: &str| others(Client::ClaudeCode, text, &edit.changes);
            prop_assert_eq!(of(&edit.text), of(&text), "{}\n---\n{}", text, edit.text);
            prop_assert_eq!(apply(Client::ClaudeCode, &edit.text, &gateway()).unwrap().changes, vec![]);
            let back = revert(Client::ClaudeCode, &edit.text, &text).unwrap();
            prop_assert_eq!(meaning(Client::ClaudeCode, &back.text), meaning(Client::ClaudeCode, &text));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|\n|=|\\[|\\]|\\{|\\}|\"|:){0,40}") {
        for client in Client::ALL {
            let _ = apply(client, &text, &gateway());
            let _ = revert(client, &text, "");
        }
    }
}

#[test]
fn r01_valid_settings_stay_valid_wherever_the_address_stands() {
    for rest in [
        "base_url = \"https://old\"\n[mcp_servers.x]\ncommand = \"y\"\n",
        "base_url = \"https://old\"",
        "name = \"A\"\nbase_url = 'https://old' # mine\n\n[[things]]\na = 1\n",
        "base_url = \"\"\"\nhttps://old\"\"\"\n",
        "base_url = \"a\\\"b\"\n[model_providers.other]\nbase_url = \"https://kept\"\n",
    ] {
        let before = format!("model_provider = \"acme\"\n[model_providers.acme]\n{rest}");
        let edit = apply(Client::Codex, &before, &gateway()).unwrap();
        let after: toml_edit::DocumentMut = edit.text.parse().unwrap();
        let provider = after["model_provider"].as_str().unwrap();
        let url = after["model_providers"][provider]["base_url"].as_str();
        assert_eq!(url, Some("http://127.0.0.1:4000/v1"), "{}", edit.text);
        assert_eq!(
            edit.text.contains("https://kept"),
            before.contains("https://kept")
        );
    }
}

#[test]
fn r02_no_key_and_no_table_is_written_twice() {
    for before in [
        "model = \"gpt-9\"\napproval_policy = \"never\"\n",
        "# top\nmodel = \"gpt-9\"\n\n[profiles.work]\nmodel_provider = \"acme\"\nmodel = \"x\"\n",
        "\"model_provider\" = \"acme\"\n[ model_providers . acme ]\nname = \"A\"\n",
        "model_provider = \"acme\"\nmodel_providers.acme.name = \"A\"\n",
        "model_provider = \"acme\"\n[model_providers]\nacme = { name = \"A\" }\n",
    ] {
        let mut text = before.to_owned();
        for _ in 0..2 {
            text = apply(Client::Codex, &text, &gateway()).unwrap().text;
            // TOML takes nothing twice.
            let document: toml_edit::DocumentMut = text.parse().unwrap();
            let provider = document["model_provider"].as_str().unwrap();
            assert_eq!(text.matches(gateway().base_url()).count(), 1, "{text}");
            assert!(document["model_providers"][provider]["base_url"].is_str());
        }
    }
}
