use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

/// An installation to look at.
struct Installation {
    dir: tempfile::TempDir,
}

impl Installation {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let installation = Self { dir };
        installation.write("flowgate.yaml", config, 0o600);
        installation
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.path(name);
        super::super::atomic::make_directory(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn examine(&self) -> Vec<Finding> {
        let config = self.path("flowgate.yaml");
        examine(&Patient {
            config: &config,
            home: Some(self.dir.path()),
            path: Some("/bin:/usr/bin".into()),
            now: 1_780_000_000_000,
            supervised: None,
        })
    }

    /// The findings that are not good, of one check.
    fn bad(&self, check: &str) -> Vec<(Level, String)> {
        let findings = self.examine().into_iter();
        let bad = findings.filter(|finding| finding.check == check && finding.level != Level::Good);
        bad.map(|finding| (finding.level, finding.message))
            .collect()
    }

    /// Everything that is there: paths, modes and times.
    fn snapshot(&self) -> BTreeMap<PathBuf, (u32, i64, u64)> {
        let mut all = BTreeMap::new();
        let mut directories = vec![self.dir.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                let metadata = entry.path().symlink_metadata().unwrap();
                all.insert(
                    entry.path(),
                    (metadata.mode(), metadata.mtime_nsec(), metadata.len()),
                );
                if metadata.is_dir() {
                    directories.push(entry.path());
                }
            }
        }
        all
    }
}

const SOUND: &str = "
services: { web: { port: 0x0, command: { args: [sh] } } }
credentials: { upstream: { main: { file: key } } }
litellm_base: { model_list: [ { model_name: m, litellm_params: { model: m, api_key_ref: main } } ] }
profiles: { p: {} }
";

fn sound(port: u16) -> Installation {
    let installation = Installation::new(&SOUND.replace("0x0", &port.to_string()));
    installation.write("key", "sk-1", 0o600);
    installation.write(".router/runtime/litellm.active.yaml", "{}", 0o600);
    installation.write(
        ".router/runtime/state.json",
        r#"{"current_profile": "p", "updated_at": "2026-01-01T00:00:00Z"}"#,
        0o600,
    );
    installation.write(
        ".router/auth/codex.json",
        r#"{"type": "codex", "access_token": "a", "expired": "2099-01-01T00:00:00Z"}"#,
        0o600,
    );
    installation
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[test]
fn a_sound_installation_has_no_problem_and_everything_was_looked_at() {
    let findings = sound(free_port()).examine();
    let problems: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == Level::Problem)
        .collect();
    // The machine that runs the tests may be short of something.
    assert!(
        problems
            .iter()
            .all(|problem| matches!(problem.check, "disk" | "memory")),
        "{problems:?}"
    );
    for check in [
        "config",
        "paths",
        "permissions",
        "ports",
        "programs",
        "disk",
        "credentials",
        "sign_in",
        "state",
    ] {
        assert!(
            findings.iter().any(|finding| finding.check == check),
            "{check}"
        );
    }
    assert!(findings.iter().all(|finding| finding.level == Level::Good
        || !finding.hint.is_empty()
        || !finding.message.is_empty()));
}

#[test]
fn r17_and_r26_looking_changes_nothing() {
    for installation in [
        sound(free_port()),
        Installation::new(SOUND.replace("0x0", "4000").as_str()),
        Installation::new("a: ["),
    ] {
        let before = installation.snapshot();
        let _ = installation.examine();
        assert_eq!(installation.snapshot(), before);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let config = elsewhere.path().join("typo/flowgate.yaml");
    let findings = examine(&Patient {
        config: &config,
        home: None,
        path: None,
        now: 0,
        supervised: None,
    });
    assert_eq!((findings.len(), findings[0].level), (1, Level::Problem));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn r06_every_file_with_a_secret_is_looked_at_and_can_be_fixed() {
    let installation = sound(free_port());
    assert!(installation.bad("permissions").is_empty());
    let secrets = [
        "key",
        ".router/runtime/litellm.active.yaml",
        ".router/auth/codex.json",
    ];
    for name in secrets {
        fs::set_permissions(installation.path(name), PermissionsExt::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(
        installation.path(".router/auth"),
        PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let bad = installation.bad("permissions");
    assert_eq!(bad.len(), 4, "{bad:?}");
    assert!(
        bad.iter()
            .all(|(level, message)| *level == Level::Problem
                && message.contains("others can read it"))
    );
    for (fix, done) in fix(&installation.examine()) {
        assert!(done.is_ok(), "{fix:?}");
    }
    assert!(installation.bad("permissions").is_empty());
}

#[test]
fn secret_files_that_are_named_must_be_there() {
    let installation = Installation::new("secret_files: [gone, dangling, there]\n");
    installation.write("there", "x", 0o400);
    std::os::unix::fs::symlink("nowhere", installation.path("dangling")).unwrap();
    let bad = installation.bad("permissions");
    assert_eq!(bad.len(), 2, "{bad:?}");
}

#[test]
fn what_is_missing_is_named_with_a_way_out() {
    let installation = Installation::new("
services: { a: { command: { args: ['{runtime_dir}/bin/nosuch'] } }, b: { command: { args: [no-such-program] } }, c: { command: { args: [./script] } } }
credentials: { upstream: { used: { file: gone }, spare: { env: FLOWGATE_TEST_NOT_SET }, tool: { command: [no-such-program] } } }
litellm_base: { model_list: [ { model_name: m, litellm_params: { model: m, api_key_ref: used } } ] }
profiles: { p: {} }
");
    installation.write("script", "#!/bin/sh\n", 0o644);
    let programs = installation.bad("programs");
    assert_eq!(programs.len(), 3, "{programs:?}");
    assert!(
        programs[0].1.contains("is not there")
            && programs[1].1.contains("not on the `PATH`")
            && programs[2].1.contains("cannot be executed")
    );
    let credentials = installation.bad("credentials");
    let levels: Vec<Level> = credentials.iter().map(|(level, _)| *level).collect();
    assert_eq!(
        levels,
        [Level::Note, Level::Note, Level::Problem],
        "{credentials:?}"
    );
    assert_eq!(installation.bad("paths").len(), 1);
    fix(&installation.examine());
    assert!(installation.bad("paths").is_empty());
    assert_eq!(
        fs::metadata(installation.path(".router/runtime"))
            .unwrap()
            .mode()
            & 0o777,
        0o700
    );
}

#[test]
fn a_program_for_another_machine_is_seen() {
    let installation = Installation::new("services: { a: { command: { args: [./wrong] } } }\n");
    let mut head = b"\x7fELF\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    head[18] = 8;
    fs::write(installation.path("wrong"), head).unwrap();
    fs::set_permissions(installation.path("wrong"), PermissionsExt::from_mode(0o755)).unwrap();
    assert!(installation.bad("programs")[0].1.contains("a program for"));
}

#[test]
fn ports_say_why_they_cannot_be_used() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let in_use = sound(port).bad("ports");
    assert!(
        in_use.len() == 1 && in_use[0].0 == Level::Note && in_use[0].1.contains("in use"),
        "{in_use:?}"
    );
    let foreign = Installation::new(
        "services: { a: { host: 192.0.2.1, port: 4999, command: { args: [sh] } }, b: { host: no-such-host.invalid, port: 4998, command: { args: [sh] } } }\n",
    );
    let bad = foreign.bad("ports");
    assert!(
        bad.len() == 1 && bad[0].1.contains("no address of this machine"),
        "{bad:?}"
    );
}

#[test]
fn what_was_left_behind_is_found_and_cleaned_up() {
    let installation = sound(free_port());
    installation.write(".router/runtime/pids/old.pid", "4194303", 0o600);
    installation.write(
        ".router/runtime/pids/mine.pid",
        &std::process::id().to_string(),
        0o600,
    );
    installation.write(".router/runtime/.flowgate-fresh", "", 0o600);
    installation.write(".router/runtime/.flowgate-old", "", 0o600);
    let hours_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    fs::File::options()
        .write(true)
        .open(installation.path(".router/runtime/.flowgate-old"))
        .unwrap()
        .set_modified(hours_ago)
        .unwrap();
    assert_eq!(
        installation.bad("state").len(),
        2,
        "{:?}",
        installation.bad("state")
    );
    fix(&installation.examine());
    assert!(installation.bad("state").is_empty());
    assert!(
        installation
            .path(".router/runtime/.flowgate-fresh")
            .exists()
            && installation.path(".router/runtime/pids/mine.pid").exists()
    );
}

#[test]
fn the_state_must_fit_the_configuration() {
    let installation = sound(free_port());
    installation.write(
        ".router/runtime/state.json",
        r#"{"current_profile": "gone", "updated_at": "2026-01-01T00:00:00Z"}"#,
        0o600,
    );
    assert!(
        installation.bad("state")[0]
            .1
            .contains("not in the configuration")
    );
    let installation = sound(free_port());
    fs::remove_file(installation.path(".router/runtime/litellm.active.yaml")).unwrap();
    assert!(installation.bad("state")[0].1.contains("is not there"));
}

#[test]
fn sign_ins_that_ended_are_named() {
    let installation = sound(free_port());
    installation.write(
        ".router/auth/a.json",
        r#"{"type": "acme", "access_token": "tok-1", "expired": "2001-01-01T00:00:00Z"}"#,
        0o600,
    );
    installation.write(
        ".router/auth/b.json",
        r#"{"type": "acme", "refresh_token": "tok-1", "expired": "2001-01-01T00:00:00Z"}"#,
        0o600,
    );
    let bad = installation.bad("sign_in");
    assert!(
        bad.len() == 1 && bad[0].1.contains("a.json") && !bad[0].1.contains("tok-"),
        "{bad:?}"
    );
}

#[test]
fn agents_that_look_elsewhere_are_named() {
    let installation =
        Installation::new("services: { litellm: { port: 4000, command: { args: [sh] } } }\n");
    installation.write(
        ".claude/settings.json",
        r#"{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:4999"}}"#,
        0o600,
    );
    installation.write(
        ".gemini/.env",
        "GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:4000\n",
        0o600,
    );
    let clients = || installation.bad("clients");
    let claude: Vec<_> = clients()
        .into_iter()
        .filter(|(_, message)| message.contains("claude-code"))
        .collect();
    assert!(
        claude.len() == 1 && claude[0].0 == Level::Note && claude[0].1.contains("4999"),
        "{claude:?}"
    );
    assert!(
        !clients()
            .iter()
            .any(|(_, message)| message.contains("gemini"))
    );
    installation.write(".claude/settings.json", "{", 0o600);
    assert!(
        clients()
            .iter()
            .any(|(level, message)| *level == Level::Problem && message.contains("line 1"))
    );
}

#[test]
fn what_the_supervisor_knows_is_told_and_a_port_of_its_own_is_no_surprise() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let installation = sound(listener.local_addr().unwrap().port());
    let config = installation.path("flowgate.yaml");
    let resolved = resolve(&load(&config).unwrap()).unwrap();
    let name = resolved.settings().services.keys().next().unwrap();
    let says = |state: &str, pid, last_error: Option<&str>| Supervised {
        service: name.to_string(),
        state: state.to_owned(),
        pid,
        restarts: 0,
        last_error: last_error.map(str::to_owned),
    };
    let examined = |says: &[Supervised], check: &str| -> Vec<(Level, String)> {
        let findings = examine(&Patient {
            config: &config,
            home: None,
            path: Some("/bin:/usr/bin".into()),
            now: 1_780_000_000_000,
            supervised: Some(says),
        });
        let of = findings
            .into_iter()
            .filter(|finding| finding.check == check);
        of.map(|finding| (finding.level, finding.message)).collect()
    };
    let running = [says("running", Some(7), None)];
    assert_eq!(examined(&running, "ports")[0].0, Level::Good);
    assert_eq!(
        examined(&running, "services"),
        [(Level::Good, "1 of 1 are running".to_owned())]
    );
    let failed = [says("error", None, Some("it ended with code 3"))];
    let told = examined(&failed, "services");
    assert!(told[0].0 == Level::Problem && told[0].1.contains("it ended with code 3"));
    assert_eq!(examined(&failed, "ports")[0].0, Level::Note);
}
