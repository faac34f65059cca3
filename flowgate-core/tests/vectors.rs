//! The vectors that every language runs.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;

use flowgate_core::config::{Base, Config, resolve_path};
use flowgate_core::profile::{Secrets, merge_documents};
use flowgate_core::yaml::Node;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Vectors {
    config: Vec<Document>,
    merge: Vec<Merge>,
    paths: Vec<Path>,
    profile: Profiles,
}

#[derive(Deserialize)]
struct Document {
    name: String,
    yaml: String,
    ok: bool,
    problems: Vec<(String, u32, u32)>,
    document: Option<Value>,
}

#[derive(Deserialize)]
struct Merge {
    name: String,
    base: Node,
    overlay: Node,
    merged: Value,
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Path {
    name: String,
    dir: String,
    home: Option<String>,
    path: String,
    resolved: Option<String>,
}

#[derive(Deserialize)]
struct Profiles {
    yaml: String,
    secrets: BTreeMap<String, String>,
    cases: Vec<Profile>,
    diff: Diff,
}

#[derive(Deserialize)]
struct Profile {
    name: String,
    error: Option<String>,
    rendered: Option<String>,
    document: Option<Value>,
    #[serde(default)]
    origins: Vec<(String, String, u32)>,
}

#[derive(Deserialize)]
struct Diff {
    before: String,
    after: String,
    changes: Vec<(String, String, Value, Value)>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../testdata/vectors.json")).unwrap()
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn config() {
    for Document {
        name,
        yaml,
        ok,
        problems,
        document,
    } in vectors().config
    {
        let read = Config::from_yaml(&yaml);
        assert_eq!(read.is_ok(), ok, "{name}: {read:?}");
        let found = match &read {
            Ok(config) => config.diagnostics(),
            Err(error) => error.diagnostics(),
        };
        let found: Vec<_> = found
            .iter()
            .map(|d| (d.code.to_owned(), d.span.line, d.span.column))
            .collect();
        assert_eq!(found, problems, "{name}");
        if let (Ok(config), Some(document)) = (&read, document) {
            assert_eq!(json(config.document()), document, "{name}");
        }
    }
}

#[test]
fn merge() {
    for Merge {
        name,
        base,
        overlay,
        merged,
        warnings,
    } in vectors().merge
    {
        let (result, found) = merge_documents(&base, &overlay);
        // As text, because the order of keys counts.
        assert_eq!(json(&result).to_string(), merged.to_string(), "{name}");
        assert_eq!(
            found.iter().map(|d| d.code.to_owned()).collect::<Vec<_>>(),
            warnings,
            "{name}"
        );
    }
}

#[test]
fn paths() {
    for Path {
        name,
        dir,
        home,
        path,
        resolved,
    } in vectors().paths
    {
        let base = Base {
            dir: &dir,
            home: home.as_deref(),
        };
        assert_eq!(resolve_path(&path, &base).ok(), resolved, "{name}");
    }
}

#[test]
fn profiles() {
    let Profiles {
        yaml,
        secrets,
        cases,
        diff,
    } = vectors().profile;
    let config = Config::from_yaml(&yaml).unwrap();
    let secrets: Secrets = secrets
        .into_iter()
        .map(|(name, secret)| (name, secret.into()))
        .collect();
    for Profile {
        name,
        error,
        rendered,
        document,
        origins,
    } in cases
    {
        let profile = match config.profile(&name) {
            Ok(profile) => profile,
            Err(found) => {
                assert_eq!(Some(found.code()), error.as_deref(), "{name}");
                continue;
            }
        };
        assert_eq!(Some(profile.render(&secrets).unwrap()), rendered, "{name}");
        assert_eq!(Some(json(&profile.document())), document, "{name}");
        let found: Vec<_> = profile
            .origins()
            .into_iter()
            .map(|o| (o.path, o.layer, o.span.line))
            .collect();
        assert_eq!(found, origins, "{name}");
    }
    let [before, after] = [&diff.before, &diff.after].map(|name| config.profile(name).unwrap());
    let changes: Vec<_> = before
        .diff(&after)
        .iter()
        .map(|c| {
            (
                c.path.clone(),
                json(&c.kind).as_str().unwrap().to_owned(),
                json(&c.before),
                json(&c.after),
            )
        })
        .collect();
    assert_eq!(changes, diff.changes);
}
