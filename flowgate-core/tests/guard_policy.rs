//! What people say about the rules: modes, allowlists, policies of projects, packs of their own.

use flowgate_core::guard::{Allow, Context, Decision, Guard, Mode, Policy, Scope, UserPacks, pack};

const RESET: &str = "git reset --hard";
const PACK: &str = r#"
id: team.deploy
name: Deploys
description: Our deploy tool.
rules:
  - id: wipe
    severity: high
    reason: Deletes the stage.
    match: {command: stagectl, subcommand: wipe}
    deny: [stagectl wipe blue]
    allow: [stagectl list]
  - id: marker
    severity: medium
    reason: Marks everything.
    match: {regex: "^marker .*--all( |$)"}
    deny: [marker run --all]
    allow: [marker run --one]
"#;

fn context() -> Context {
    Context::new("/home/dev/project", "/home/dev")
}

fn allow() -> Allow {
    Allow {
        reason: "we know".to_owned(),
        ..Allow::default()
    }
}

fn decision(policy: &Policy, command: &str) -> Decision {
    decision_in(policy, command, &context())
}

fn decision_in(policy: &Policy, command: &str, context: &Context) -> Decision {
    let user = UserPacks::from_yaml([PACK]).expect("the pack is valid");
    Guard::new(policy, user)
        .expect("the policy is valid")
        .check(command, context)
        .decision
}

fn with_allow(allow: Allow) -> Policy {
    Policy {
        allow: vec![allow],
        ..Policy::default()
    }
}

fn modes(modes: &[(&str, Mode)]) -> Policy {
    Policy {
        modes: modes
            .iter()
            .map(|(name, mode)| ((*name).to_owned(), *mode))
            .collect(),
        ..Policy::default()
    }
}

#[test]
fn the_narrowest_mode_counts() {
    let severe = |mode| Policy {
        severities: [("high".to_owned(), mode)].into(),
        ..Policy::default()
    };
    assert_eq!(
        decision(
            &Policy {
                mode: Mode::Warn,
                ..Policy::default()
            },
            RESET
        ),
        Decision::Warn
    );
    assert_eq!(decision(&severe(Mode::Ask), RESET), Decision::Ask);
    assert_eq!(
        decision(
            &modes(&[("core", Mode::Ask), ("core.git", Mode::Warn)]),
            RESET
        ),
        Decision::Warn
    );
    assert_eq!(
        decision(
            &modes(&[("core.git:reset-hard", Mode::Off), ("core.git", Mode::Deny)]),
            RESET
        ),
        Decision::Allow
    );
    assert_eq!(
        decision(
            &Policy {
                packs: vec!["all".to_owned(), "-core.git".to_owned()],
                ..Policy::default()
            },
            RESET
        ),
        Decision::Allow
    );
}

#[test]
fn nothing_switches_off_what_protects_the_guard() {
    let policy = Policy {
        packs: Vec::new(),
        mode: Mode::Off,
        ..with_allow(Allow {
            rule: Some("core.*".to_owned()),
            ..allow()
        })
    };
    assert_eq!(decision(&policy, RESET), Decision::Allow);
    assert!(!decision(&policy, "echo x > ~/.claude/settings.json").runs());
}

#[test]
fn a_rule_is_allowed_by_name_or_pattern() {
    for name in ["core.git:reset-hard", "core.git:*"] {
        let policy = with_allow(Allow {
            rule: Some(name.to_owned()),
            ..allow()
        });
        assert_eq!(decision(&policy, RESET), Decision::Allow);
        assert_eq!(
            decision(&policy, &format!("{RESET}; rm -rf /")),
            Decision::Deny
        );
    }
    let policy = with_allow(Allow {
        rule: Some("team.deploy:wipe".to_owned()),
        ..allow()
    });
    assert_eq!(decision(&policy, "stagectl wipe blue"), Decision::Allow);
    assert_eq!(decision(&policy, "marker run --all"), Decision::Ask);
}

#[test]
fn an_exact_command_is_the_whole_line() {
    let policy = with_allow(Allow {
        exact: Some(RESET.to_owned()),
        ..allow()
    });
    assert_eq!(decision(&policy, " git reset --hard\n"), Decision::Allow);
    assert_eq!(decision(&policy, "git reset --hard HEAD~1"), Decision::Deny);
    assert_eq!(
        decision(&policy, "true && git reset --hard"),
        Decision::Deny
    );
}

#[test]
fn a_prefix_is_words_of_one_simple_command() {
    let policy = with_allow(Allow {
        prefix: Some("git reset".to_owned()),
        ..allow()
    });
    assert_eq!(
        decision(&policy, "true; sudo git reset --hard HEAD~1"),
        Decision::Allow
    );
    assert_eq!(
        decision(&policy, "git reset --hard; git clean -fdx"),
        Decision::Deny
    );
    assert_eq!(
        decision(&policy, "git reset --hard $(git clean -fdx)"),
        Decision::Deny
    );
    let policy = with_allow(Allow {
        prefix: Some("git re".to_owned()),
        ..allow()
    });
    assert_eq!(decision(&policy, RESET), Decision::Deny);
}

#[test]
fn a_path_holds_for_every_path_and_nothing_unknown() {
    let policy = with_allow(Allow {
        path: Some("/srv/cache/*".to_owned()),
        ..allow()
    });
    assert_eq!(
        decision(&policy, "rm -rf /srv/cache/a /srv/cache/b"),
        Decision::Allow
    );
    for command in [
        "rm -rf /srv/cache/a /srv/b",
        "rm -rf /srv/cache/../b",
        "rm -rf /srv/cache/$X",
        "rm -rf /srv/cache",
    ] {
        assert_eq!(decision(&policy, command), Decision::Deny, "{command}");
    }
    let policy = with_allow(Allow {
        path: Some("src/*".to_owned()),
        ..allow()
    });
    assert_eq!(decision(&policy, "rm -rf src/old"), Decision::Allow);
    assert_eq!(
        decision(&policy, "cd /srv && rm -rf src/old"),
        Decision::Deny
    );
}

#[test]
fn an_entry_ends_and_has_a_place() {
    let policy = with_allow(Allow {
        rule: Some("core.git:*".to_owned()),
        expires: Some(1_000),
        ..allow()
    });
    let at = |now| decision_in(&policy, RESET, &Context { now, ..context() });
    assert_eq!(
        (at(999), at(1_000), at(0)),
        (Decision::Allow, Decision::Deny, Decision::Deny)
    );
    let policy = with_allow(Allow {
        rule: Some("core.git:*".to_owned()),
        scope: Scope::Directory("/home/dev/project".to_owned()),
        ..allow()
    });
    assert_eq!(decision(&policy, RESET), Decision::Allow);
    assert_eq!(
        decision(&policy, "cd sub && git reset --hard"),
        Decision::Allow
    );
    for command in [
        "cd /srv/x && git reset --hard",
        "cd .. && git reset --hard",
        "cd $X && git reset --hard",
    ] {
        assert_eq!(decision(&policy, command), Decision::Deny, "{command}");
    }
    assert_eq!(
        decision_in(
            &policy,
            RESET,
            &Context::new("/home/dev/project2", "/home/dev")
        ),
        Decision::Deny
    );
}

#[test]
fn entries_that_say_too_much_or_too_little_are_refused() {
    let some = |text: &str| Some(text.to_owned());
    for wrong in [
        allow(),
        Allow {
            rule: some("*"),
            ..allow()
        },
        Allow {
            path: some("/*"),
            ..allow()
        },
        Allow {
            prefix: some(" "),
            ..allow()
        },
        Allow {
            rule: some("core.git:*"),
            exact: some("x"),
            ..allow()
        },
        Allow {
            exact: some("x"),
            ..Allow::default()
        },
    ] {
        assert!(
            Guard::new(&with_allow(wrong.clone()), UserPacks::default()).is_err(),
            "{wrong:?}"
        );
    }
    assert!(Guard::new(&modes(&[("core.gti", Mode::Off)]), UserPacks::default()).is_err());
}

#[test]
fn a_project_only_tightens() {
    let user = modes(&[("core.git", Mode::Deny)]);
    let mild = Policy {
        packs: vec!["-core.git".to_owned()],
        mode: Mode::Off,
        ..modes(&[("core.git:reset-hard", Mode::Ask), ("core", Mode::Off)])
    };
    let mild = Policy {
        allow: vec![Allow {
            rule: Some("core.git:*".to_owned()),
            ..allow()
        }],
        severities: [("high".to_owned(), Mode::Warn)].into(),
        unanalyzable: Decision::Allow,
        ..mild
    };
    let joined = user.tightened_by(&mild);
    assert_eq!(decision(&joined, RESET), Decision::Deny);
    assert_eq!(joined.unanalyzable, Decision::Ask);
    // What a severity of the user made strict stays strict when the project names the pack.
    let user = Policy {
        severities: [("medium".to_owned(), Mode::Deny)].into(),
        ..Policy::default()
    };
    assert_eq!(
        decision(
            &user.tightened_by(&modes(&[("team", Mode::Ask)])),
            "marker run --all"
        ),
        Decision::Deny
    );
    // What the user switched off stays off until a project says otherwise.
    let user = modes(&[("core.git", Mode::Off)]);
    assert_eq!(
        decision(&user.tightened_by(&Policy::default()), RESET),
        Decision::Allow
    );
    assert_eq!(
        decision(
            &user.tightened_by(&modes(&[("core.git", Mode::Ask)])),
            RESET
        ),
        Decision::Ask
    );
    let user = Policy {
        packs: vec!["all".to_owned(), "-core".to_owned()],
        ..Policy::default()
    };
    assert_eq!(
        decision(&user.tightened_by(&Policy::default()), RESET),
        Decision::Allow
    );
    assert_eq!(
        decision(
            &user.tightened_by(&Policy {
                packs: vec!["core.git".to_owned()],
                ..Policy::default()
            }),
            RESET
        ),
        Decision::Deny
    );
}

#[test]
fn packs_of_the_user_are_checked_and_count() {
    assert_eq!(pack::check_user_packs([PACK]), Ok(Vec::new()));
    assert_eq!(
        decision(&Policy::default(), "sudo sh -c 'stagectl wipe blue'"),
        Decision::Deny
    );
    assert_eq!(
        decision(&Policy::default(), "X=--all; marker run $X"),
        Decision::Ask
    );
    assert_eq!(
        decision(&Policy::default(), "echo marker run --all"),
        Decision::Allow
    );
    assert!(UserPacks::from_yaml([PACK.replace("team.deploy", "core.git").as_str()]).is_err());
    assert!(UserPacks::from_yaml([PACK.replace("^marker", "(marker").as_str()]).is_err());
    assert!(
        UserPacks::from_yaml([PACK.replace("--all( |$)", "(a{1000}){1000}").as_str()]).is_err()
    );
    let wrong = pack::check_user_packs([PACK
        .replace("deny: [marker run --all]", "deny: [marker run]")
        .as_str()]);
    assert_eq!(wrong.map(|w| w.len()), Ok(1));
}
