//! `accounts list` and `accounts explain`: what was saved, and what the configuration says.

use std::path::PathBuf;

use flowgate_core::Timestamp;
use flowgate_core::accounts::{
    Action, BucketView, Class, Classification, Outcome, Pick, Pool, QuotaView, Request, Scope,
    session,
};
use flowgate_core::config::Config;
use flowgate_core::runtime::{configured_pool, save_pool};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{ask, parsed};

const ACCOUNTS: &str = "
config_version: 2
credentials: { upstream: { main: { file: main.key } } }
accounts:
  pool:
    - { id: first, provider: openai, credential: main, max_inflight: 4 }
    - { id: second, provider: openai, credential: main }
    - { id: off, provider: openai, credential: main, enabled: false }
    - { id: spare, provider: anthropic, credential: main, tier: 1, models: [claude-sonnet] }
";

/// A directory with a configuration, and perhaps with what a pool has saved.
struct Place {
    directory: TempDir,
    pool: Pool,
    now: Timestamp,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("flowgate.yaml"), ACCOUNTS).unwrap();
        std::fs::write(directory.path().join("main.key"), "sk-never-shown").unwrap();
        let config = Config::from_yaml(ACCOUNTS).unwrap();
        let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let now = Timestamp::try_from(since).unwrap();
        let pool = configured_pool(config.settings().accounts.as_ref(), None, now).unwrap();
        Self {
            directory,
            pool,
            now,
        }
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join(".router/runtime/accounts.json")
    }

    fn save(&self) {
        save_pool(&self.state(), &self.pool.snapshot()).unwrap();
    }

    /// A request of a session is refused like this, by the account that is chosen.
    fn refused(&mut self, model: &str, class: Class, scope: Scope, cooldown_ms: Option<u64>) {
        let request = Request {
            model: self.pool.model(model),
            ..Request::default()
        };
        let Pick::Use(permit) = self.pool.pick(self.now, &request) else {
            unreachable!("somebody serves")
        };
        let answer = Classification {
            class,
            scope,
            action: Action::Next,
            cooldown_ms,
        };
        self.pool.report(self.now, permit, &Outcome::from(answer));
    }

    fn ask(&self, args: &[&str]) -> std::process::Output {
        let config = self.directory.path().join("flowgate.yaml");
        let config = ["--config", config.to_str().unwrap()];
        ask(&[args, &config].concat(), "")
    }

    fn list(&self) -> Value {
        let output = self.ask(&["list", "--format", "json"]);
        assert_eq!(output.status.code(), Some(0));
        parsed(&output)
    }
}

fn find<'v>(list: &'v Value, id: &str) -> &'v Value {
    let mut all = list.as_array().unwrap().iter();
    all.find(|account| account["id"] == id).unwrap()
}

#[test]
fn without_a_saved_state_the_configuration_is_shown() {
    let place = Place::new();
    let list = place.list();
    assert_eq!(list["saved_at"], Value::Null);
    assert_eq!(find(&list["accounts"], "first")["state"], "ready");
    assert_eq!(find(&list["accounts"], "off")["state"], "disabled");
    let text = place.ask(&["list"]);
    let (out, note) = (
        String::from_utf8(text.stdout).unwrap(),
        String::from_utf8(text.stderr).unwrap(),
    );
    assert!(out.starts_with("ACCOUNT") && out.contains("0/4"), "{out}");
    assert!(note.contains("nothing was saved yet"), "{note}");
    assert!(!place.state().exists(), "it only reads");
}

#[test]
fn what_was_saved_is_shown_with_times_and_reasons() {
    let mut place = Place::new();
    place.refused("gpt-5", Class::Rate, Scope::Account, Some(600_000));
    place.refused("gpt-5", Class::Quota, Scope::Model, Some(900_000));
    let second = place.pool.find("second").unwrap();
    let mut quota = QuotaView::default();
    quota.requests = Some(BucketView {
        limit: Some(60),
        remaining: 12,
        full_in_ms: Some(48_000),
    });
    place.pool.observe_quota(place.now, second, &quota);
    let request = Request::default();
    assert!(matches!(place.pool.pick(place.now, &request), Pick::Use(_)));
    place.save();

    let list = place.list();
    assert_eq!(list["saved_at"], place.now);
    let first = find(&list["accounts"], "first");
    assert_eq!(
        (&first["state"], &first["class"]),
        (&json!("cooling"), &json!("rate"))
    );
    let until = first["until"].as_u64().unwrap();
    assert!((place.now + 600_000..place.now + 606_000).contains(&until));
    let second = find(&list["accounts"], "second");
    assert_eq!(
        (&second["state"], &second["inflight"]),
        (&json!("ready"), &json!(1))
    );
    assert_eq!(second["models"][0]["model"], "gpt-5");
    assert_eq!(second["models"][0]["class"], "quota");
    assert_eq!(second["requests"]["limit"], 60.0);
    assert!(second["requests"]["full_at"].as_u64().unwrap() > place.now);

    let text = String::from_utf8(place.ask(&["list"]).stdout).unwrap();
    assert!(text.contains("cooling (rate)"), "{text}");
    assert!(text.contains("of 60 requests, full in"), "{text}");
    assert!(text.contains("second: `gpt-5` rests until"), "{text}");
    assert!(!text.contains("sk-never-shown"));
}

#[test]
fn each_candidate_is_explained() {
    let mut place = Place::new();
    place.refused("gpt-5", Class::Rate, Scope::Account, Some(600_000));
    place.save();
    let output = place.ask(&["explain", "--model", "gpt-5", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let said = parsed(&output);
    assert_eq!(
        (&said["chosen"], &said["strategy"]),
        (&json!("second"), &json!("auto"))
    );
    let standing = |id: &str| find(&said["candidates"], id)["standing"].clone();
    assert_eq!(standing("first"), "waiting");
    assert_eq!(standing("second"), "eligible");
    assert_eq!(
        (standing("off"), standing("spare")),
        (json!("excluded"), json!("excluded"))
    );
    let first = find(&said["candidates"], "first");
    assert_eq!(
        (&first["why"], &first["class"]),
        (&json!("cooldown"), &json!("rate"))
    );

    let text = place.ask(&["explain", "--model", "gpt-5"]);
    let text = String::from_utf8(text.stdout).unwrap();
    for says in [
        "* second",
        "it rests after rate, until 20",
        "it is switched off",
        "does not serve the model",
        "second would serve, by `auto`",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert!(!text.contains("sk-never-shown"));
}

#[test]
fn a_warm_session_and_those_that_are_excluded_are_told() {
    let mut place = Place::new();
    let request = Request {
        session: Some(session("chat-7")),
        exclude: &[place.pool.find("first").unwrap()],
        ..Request::default()
    };
    let Pick::Use(permit) = place.pool.pick(place.now, &request) else {
        unreachable!("the second is free")
    };
    place.pool.report(place.now, permit, &Outcome::ok(None));
    place.save();
    let said = parsed(&place.ask(&["explain", "--session", "chat-7", "--format", "json"]));
    assert_eq!(said["chosen"], "second");
    assert_eq!(find(&said["candidates"], "second")["warm"], true);

    let none = place.ask(&[
        "explain",
        "--exclude",
        "first",
        "--exclude",
        "second",
        "--exclude",
        "spare",
    ]);
    assert_eq!(none.status.code(), Some(1));
    let text = String::from_utf8(none.stdout).unwrap();
    assert!(text.contains("nobody could serve it now"), "{text}");
    let wrong = place.ask(&["explain", "--exclude", "nobody"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        String::from_utf8(wrong.stderr)
            .unwrap()
            .contains("there are first, second")
    );
}

#[test]
fn accounts_that_left_the_configuration_are_named() {
    let place = Place::new();
    place.save();
    let fewer = "accounts: { pool: [{ id: first, provider: openai }] }";
    std::fs::write(place.directory.path().join("flowgate.yaml"), fewer).unwrap();
    let list = place.list();
    assert_eq!(
        list["no_longer_configured"],
        json!(["second", "off", "spare"])
    );
    assert_eq!(list["accounts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_damaged_state_is_told_and_stays() {
    let place = Place::new();
    place.save();
    for damaged in ["{}", "not json", "{\"version\": 99}"] {
        std::fs::write(place.state(), damaged).unwrap();
        for verb in ["list", "explain"] {
            let output = place.ask(&[verb]);
            assert_eq!(output.status.code(), Some(2), "{damaged}");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(
                said.contains("damaged") && said.contains("delete the file"),
                "{said}"
            );
        }
        assert_eq!(std::fs::read_to_string(place.state()).unwrap(), damaged);
    }
}

#[test]
fn no_configuration_is_wrong_usage() {
    let output = ask(&["list", "--config", "/no/such/flowgate.yaml"], "");
    assert_eq!(output.status.code(), Some(2));
    let empty = tempfile::tempdir().unwrap();
    let file = empty.path().join("flowgate.yaml");
    std::fs::write(&file, "config_version: 2\n").unwrap();
    let output = ask(&["list", "--config", file.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("has no accounts")
    );
}
