//! Runs the built binary the way a person does.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// An empty directory to work in.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(config: &str) -> Self {
        let project = Self::new();
        project.write("flowgate.yaml", config);
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowgate"));
        command
            .args(args)
            .current_dir(self.0.path())
            .env("HOME", self.0.path());
        command
            .env_remove("FLOWGATE_CONFIG")
            .env_remove("CLIPROXY_API_KEY");
        command
    }

    fn run(&self, args: &[&str]) -> Answer {
        Answer::of(self.command(args).output().unwrap())
    }
}

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

const TWO_PROFILES: &str = "\
config_version: 2
litellm_base:
  litellm_settings: { num_retries: 1, request_timeout: 30 }
profiles:
  cost: { litellm_settings: { num_retries: 0 } }
  plain: {}
";

#[test]
fn a_newcomer_gets_from_nothing_to_an_active_profile() {
    let project = Project::new();
    let init = project.run(&["init"]);
    assert_eq!((init.code, init.err.as_str()), (0, ""));
    assert!(init.out.contains("flowgate config check"), "{}", init.out);
    let again = project.run(&["init"]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("--force"), "{}", again.err);

    let check = project.run(&["config", "check"]);
    assert_eq!(
        (check.code, check.out.as_str(), check.err.as_str()),
        (
            0,
            "flowgate.yaml is right: 2 services, 3 profiles, 1 credential\n",
            ""
        )
    );
    let show = project.run(&["profile", "show", "balanced", "--explain"]);
    let line = show
        .out
        .lines()
        .find(|line| line.contains("num_retries"))
        .unwrap();
    assert!(
        line.starts_with("  num_retries: 2")
            && line.contains("# profiles.balanced, flowgate.yaml:"),
        "{line}"
    );

    let without = project.run(&["profile", "set", "balanced"]);
    assert_eq!(without.code, 3);
    assert!(without.err.contains("CLIPROXY_API_KEY"), "{}", without.err);
    assert!(
        !project.path(".router").exists(),
        "nothing is written when a secret is missing"
    );

    let set = Answer::of(
        project
            .command(&["profile", "set", "balanced"])
            .env("CLIPROXY_API_KEY", "sk-test")
            .output()
            .unwrap(),
    );
    assert_eq!(set.code, 0, "{}", set.err);
    assert!(!set.out.contains("sk-test"));
    let active = project.read(".router/runtime/litellm.active.yaml");
    assert!(
        active.contains("api_key: sk-test") && active.contains("num_retries: 2"),
        "{active}"
    );
    assert_eq!(
        project.run(&["profile", "list"]).out,
        "* balanced\n  cost\n  reliability\n"
    );
}

#[cfg(unix)]
#[test]
fn what_holds_a_secret_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::with(TWO_PROFILES);
    assert_eq!(project.run(&["profile", "set", "cost"]).code, 0);
    let mode = |name: &str| {
        fs::metadata(project.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(".router/runtime/litellm.active.yaml"), 0o600);
    assert_eq!(mode(".router/runtime"), 0o700);
}

#[test]
fn mistakes_are_shown_like_a_compiler_does_without_secrets() {
    let project = Project::with(
        "config_version: 2\nprofile: {}\nlitellm_base:\n  model_list:\n    - { model_name: a, litellm_params: { api_key: sk-very-secret, api_key_ref: nope } }\n",
    );
    let check = project.run(&["config", "check"]);
    assert_eq!((check.code, check.out.as_str()), (1, ""));
    assert!(
        check
            .err
            .contains("error[config.unknown_key]: unknown key `profile`"),
        "{}",
        check.err
    );
    assert!(check.err.contains("--> flowgate.yaml:2:1"), "{}", check.err);
    assert!(
        check.err.contains("did you mean `profiles`?"),
        "{}",
        check.err
    );
    assert!(
        check.err.contains("error[config.unknown_credential]"),
        "{}",
        check.err
    );
    assert!(check.err.contains("2 errors, 1 warning"), "{}", check.err);
    assert!(!check.err.contains("very-secret"), "{}", check.err);
    assert!(!check.err.contains('\u{1b}'), "no colour in a pipe");

    let other = project.run(&["profile", "list"]);
    assert_eq!(other.code, 2, "another command cannot work with it");

    let json = project.run(&["config", "check", "--format", "json"]).json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["diagnostics"][0]["code"], "config.unknown_key");
    assert_eq!(
        (
            json["diagnostics"][0]["line"].as_u64(),
            json["diagnostics"][0]["column"].as_u64()
        ),
        (Some(2), Some(1))
    );
}

#[test]
fn secrets_in_the_configuration_are_not_shown() {
    let project = Project::with(
        "config_version: 2\nlitellm_base: { general_settings: { master_key: sk-very-secret } }\nprofiles: { a: {}, b: { general_settings: { master_key: sk-other-secret } } }\n",
    );
    let mut shown = String::new();
    for args in [
        &["config", "show"][..],
        &["config", "resolve"],
        &["profile", "show", "a"],
        &["profile", "show", "a", "--explain"],
        &["profile", "diff", "a", "b"],
        &["config", "check"],
    ] {
        for format in ["text", "json"] {
            let answer = project.run(&[args, &["--format", format]].concat());
            assert_eq!(answer.code, 0, "{args:?} {}", answer.err);
            shown += &(answer.out + &answer.err);
        }
    }
    assert!(
        shown.contains("********") && !shown.contains("-secret"),
        "{shown}"
    );
}

#[test]
fn bad_input_is_said_clearly_and_touches_nothing() {
    let project = Project::new();
    let mut bomb =
        String::from("config_version: 2\nlitellm_base:\n  a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for i in 1..9 {
        let row = vec![format!("*a{}", i - 1); 9].join(",");
        bomb += &format!("  a{i}: &a{i} [{row}]\n");
    }
    project.write("not_utf8", b"config_version: 2\n_comment: \xff\n");
    project.write("syntax", "services: [\n");
    project.write("bomb", bomb);
    project.write("nul", "config_version: 2\n_comment: a\0b\n");
    project.write("empty", "");
    fs::File::create(project.path("huge"))
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    fs::create_dir(project.path("directory")).unwrap();
    for (name, says) in [
        ("not_utf8", "byte 0xFF"),
        ("syntax", "this is not YAML"),
        ("bomb", "more than 250000 values"),
        ("nul", "U+0000"),
        ("empty", "flowgate init"),
        ("huge", "104857600 bytes"),
        ("directory", "is a directory"),
        ("missing", "no such file"),
    ] {
        for command in [
            &["config", "check"][..],
            &["profile", "list"],
            &["profile", "set", "a"],
            &["config", "migrate"],
        ] {
            let answer = project.run(&[command, &["--config", name]].concat());
            assert_eq!(
                (answer.code, answer.out.as_str()),
                (2, ""),
                "{name} {command:?} {}",
                answer.err
            );
            assert!(
                answer.err.contains(says),
                "{name} {command:?}: {}",
                answer.err
            );
            let json = project
                .run(&[command, &["--config", name, "--format", "json"]].concat())
                .json();
            assert!(
                json["error"]["message"].as_str().unwrap().contains(says),
                "{name}: {json}"
            );
        }
    }
    assert!(!project.path(".router").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_leaves_the_old_files() {
    let project = Project::with(TWO_PROFILES);
    assert_eq!(project.run(&["profile", "set", "plain"]).code, 0);
    let before = project.read(".router/runtime/litellm.active.yaml");
    // A process that may write no more than so many bytes to a file meets the same failure.
    let limited = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 0; exec \"$0\" profile set cost",
            env!("CARGO_BIN_EXE_flowgate"),
        ])
        .current_dir(project.0.path())
        .output()
        .unwrap();
    let answer = Answer::of(limited);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(answer.err.contains("cannot write"), "{}", answer.err);
    assert_eq!(project.read(".router/runtime/litellm.active.yaml"), before);
    assert_eq!(project.run(&["profile", "list"]).out, "  cost\n* plain\n");
    let left: Vec<_> = fs::read_dir(project.path(".router/runtime"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    // The active configuration, the state, the lock and the events; nothing half written.
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn a_target_that_is_read_only_is_respected() {
    let project = Project::with(TWO_PROFILES);
    assert_eq!(project.run(&["profile", "set", "plain"]).code, 0);
    let active = project.path(".router/runtime/litellm.active.yaml");
    let mut permissions = fs::metadata(&active).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&active, permissions).unwrap();
    let answer = project.run(&["profile", "set", "cost"]);
    assert_eq!(answer.code, 3);
    assert!(answer.err.contains("read-only"), "{}", answer.err);
    assert_eq!(project.run(&["profile", "list"]).out, "  cost\n* plain\n");
}

#[test]
fn many_profile_sets_at_once_leave_one_whole_result() {
    let project = Project::with(TWO_PROFILES);
    let children: Vec<_> = (0..12)
        .map(|i| {
            project
                .command(&["profile", "set", ["cost", "plain"][i % 2]])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let state: Value = serde_json::from_str(&project.read(".router/runtime/state.json")).unwrap();
    let active = project.read(".router/runtime/litellm.active.yaml");
    let retries = if state["current_profile"] == "cost" {
        "num_retries: 0"
    } else {
        "num_retries: 1"
    };
    assert!(active.contains(retries), "{state} {active}");
}

#[test]
fn migration_shows_first_then_keeps_the_old_file() {
    let old = "config_version: 1  # mine\nsecrets: []\n";
    let project = Project::with(old);
    let dry = project.run(&["config", "migrate", "--dry-run"]);
    assert_eq!(dry.code, 0);
    assert!(
        dry.out.contains("-secrets: []\n") && dry.out.contains("+secret_files: []\n"),
        "{}",
        dry.out
    );
    assert_eq!(project.read("flowgate.yaml"), old);

    let done = project
        .run(&["config", "migrate", "--format", "json"])
        .json();
    assert_eq!(done["changed"], true);
    assert_eq!(project.read(done["backup"].as_str().unwrap()), old);
    assert_eq!(
        project.read("flowgate.yaml"),
        "config_version: 2  # mine\nsecret_files: []\n"
    );
    assert!(
        project
            .run(&["config", "migrate"])
            .out
            .contains("version 2 already")
    );
}

#[test]
fn a_dry_run_shows_no_secret() {
    let project = Project::with(
        "config_version: 1\nlitellm_base: {general_settings: {master_key: sk-very-secret}}\nsecrets: []\n",
    );
    for format in ["text", "json"] {
        let dry = project.run(&["config", "migrate", "--dry-run", "--format", format]);
        assert!(
            dry.out.contains("secret_files") && !dry.out.contains("very-secret"),
            "{}",
            dry.out
        );
    }
}

#[test]
fn the_file_is_found_where_it_usually_is() {
    let project = Project::new();
    let nothing = project.run(&["profile", "list"]);
    assert_eq!(nothing.code, 2);
    assert!(nothing.err.contains("flowgate init"), "{}", nothing.err);
    fs::create_dir(project.path("config")).unwrap();
    project.write("config/flowgate.yaml", TWO_PROFILES);
    assert_eq!(project.run(&["profile", "list"]).out, "  cost\n  plain\n");
    let named = Answer::of(
        project
            .command(&["profile", "list"])
            .env("FLOWGATE_CONFIG", "elsewhere.yaml")
            .output()
            .unwrap(),
    );
    assert!(named.err.contains("elsewhere.yaml"), "{}", named.err);
}

#[test]
fn relative_paths_start_at_the_file_wherever_the_command_runs() {
    let project = Project::new();
    fs::create_dir(project.path("sub")).unwrap();
    project.write(
        "sub/a.yaml",
        "config_version: 2\npaths: { runtime_dir: ../run }\nsecret_files: [~/key]\n",
    );
    let resolved = project
        .run(&[
            "--config",
            "sub/a.yaml",
            "config",
            "resolve",
            "--format",
            "json",
        ])
        .json();
    let root = fs::canonicalize(project.0.path()).unwrap();
    let root_text = |path: &Path| path.to_str().unwrap().to_owned();
    assert_eq!(
        resolved["paths"]["runtime_dir"],
        root_text(&root.join("run"))
    );
    assert_eq!(
        resolved["paths"]["state_file"],
        root_text(&root.join("run/state.json"))
    );
    assert_eq!(resolved["secret_files"][0], root_text(&project.path("key")));
}

#[test]
fn bulk_verbs_answer_every_line_even_a_bad_one() {
    let ask = |args: &[&str], input: &str| -> Vec<Value> {
        let project = Project::new();
        project.write("input", input);
        let input = fs::File::open(project.path("input")).unwrap();
        let answer = Answer::of(project.command(args).stdin(input).output().unwrap());
        assert_eq!(answer.code, 0);
        assert!(
            answer.out.is_ascii(),
            "readers end lines in different places"
        );
        answer
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let checked = ask(
        &["config", "check", "--jsonl"],
        "{\"yaml\": \"config_version: 2\\n_c: é\\n\"}\nnot json\n{\"yaml_b64\": \"/w==\"}\n{}\n{\"yaml\": \"x-a: \\\"\u{85}\\\"\\n\"}\n",
    );
    assert_eq!(
        (&checked[0]["ok"], &checked[0]["diagnostics"][0]["code"]),
        (&Value::from(false), &Value::from("config.unknown_key"))
    );
    assert_eq!(checked[1]["error"]["code"], "cli.bad_line");
    assert_eq!(checked[2]["diagnostics"][0]["code"], "config.not_utf8");
    assert_eq!(checked[3]["error"]["code"], "cli.bad_line");
    assert_eq!(checked[4]["normalized"]["x-a"], "\u{85}");

    let resolved = ask(
        &["config", "resolve", "--jsonl"],
        "{\"config_path\": \"/cfg/f.yaml\", \"home\": \"/h\", \"input\": \"~/a\"}\n{\"config_path\": \"/cfg/f.yaml\", \"config\": {\"paths\": {\"x\": \"a\"}}}\n{\"config_path\": \"/cfg/f.yaml\", \"input\": \" \"}\n",
    );
    assert_eq!(resolved[0]["output"], "/h/a");
    assert_eq!(resolved[1]["resolved"]["paths"]["x"], "/cfg/a");
    assert_eq!(resolved[2]["error"]["code"], "config.invalid");

    let merged = ask(
        &["profile", "merge", "--jsonl"],
        "{\"base\": {\"a\": {\"b\": 1}}, \"overlay\": {\"a\": null}}\n",
    );
    assert_eq!(
        (&merged[0]["merged"]["a"], &merged[0]["warnings"][0]["code"]),
        (&Value::Null, &Value::from("profile.type_change"))
    );
}

#[test]
fn two_files_can_be_merged() {
    let project = Project::new();
    project.write("base.yaml", "a: { b: 1, c: 2 }\n");
    project.write("over.json", "{\"a\": {\"b\": \"$delete\"}}");
    assert_eq!(
        project
            .run(&["profile", "merge", "base.yaml", "over.json"])
            .out,
        "a:\n  c: 2\n"
    );
    assert_eq!(project.run(&["profile", "merge", "base.yaml"]).code, 2);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let project = Project::with(TWO_PROFILES);
    let mut child = project
        .command(&["config", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let answer = child.wait_with_output().unwrap();
    assert_eq!(
        (
            answer.status.code(),
            String::from_utf8(answer.stderr).unwrap().as_str()
        ),
        (Some(0), "")
    );
}

#[cfg(unix)]
fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_pipe_with_mistakes_in_it_is_read_once() {
    let project = Project::new();
    let pipe = project.path("pipe");
    mkfifo(&pipe);
    let child = project
        .command(&["--config", "pipe", "config", "check"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    fs::write(&pipe, "config_version: 2\nprofile: {}\n").unwrap();
    let answer = Answer::of(child.wait_with_output().unwrap());
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("pipe:2:1"), "{}", answer.err);
}

#[test]
fn what_a_document_says_cannot_command_the_terminal() {
    let project = Project::with(
        "config_version: 2\nlitellm_base: { \"k\\e[2J\": \"v\\e]0;x\\x9b\" }\nprofiles: { a: {}, b: { \"k\\e[2J\": [1], \"n\\e\": {} } }\n",
    );
    project.write(
        "bad.yaml",
        "config_version: 2\n\"a\\e[2J\": 1\n\"a\\e[2J\": 2\n\"b\\x9bc\": 1\n",
    );
    project.write(
        "odd.yaml",
        "config_version: 2 # \u{9b}2J\nwrong: 1 # \u{9b}2J\n",
    );
    project.write("old.yaml", "config_version: 1 # \u{9b}2J \u{202e}\n");
    for args in [
        &["config", "show"][..],
        &["profile", "show", "a", "--explain"],
        &["profile", "show", "\u{1b}]0;x\u{7}"],
        &["profile", "diff", "a", "b"],
        &["profile", "diff", "b", "b"],
        &["config", "check", "--config", "bad.yaml"],
        &["config", "check", "--config", "odd.yaml"],
        &["config", "check", "--config", "a\u{1b}[2J.yaml"],
        &["config", "migrate", "--dry-run", "--config", "old.yaml"],
        &["profile", "merge", "flowgate.yaml", "flowgate.yaml"],
    ] {
        for format in ["text", "json"] {
            let answer = project.run(&[args, &["--format", format]].concat());
            let shown = answer.out + &answer.err;
            let raw = shown.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(raw, None, "{args:?} {shown:?}");
        }
    }
}

#[test]
fn a_line_is_answered_before_the_next_one_is_asked() {
    let project = Project::new();
    let mut child = project
        .command(&["config", "check", "--jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (send, answers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            send.send(line.unwrap()).unwrap();
        }
    });
    // The second question is half asked when the first one has to be answered.
    for part in ["{\"yaml\": \"\"}\n{\"ya", "ml\": \"\"}\n"] {
        input.write_all(part.as_bytes()).unwrap();
        let answer = answers.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(answer.contains("config.empty"), "{answer}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn init_writes_the_file_that_config_names() {
    let project = Project::new();
    assert_eq!(project.run(&["--config", "other.yaml", "init"]).code, 0);
    assert!(project.path("other.yaml").exists() && !project.path("flowgate.yaml").exists());
    let both = project.run(&["--config", "other.yaml", "init", "third.yaml"]);
    assert_eq!(both.code, 0, "{}", both.err);
    assert!(project.path("third.yaml").exists());
}

#[test]
fn of_many_inits_at_once_one_writes() {
    let project = Project::new();
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = project.command(&["init"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    let codes = children
        .into_iter()
        .map(|mut child| child.wait().unwrap().code());
    let mut codes: Vec<_> = codes.collect();
    codes.sort_unstable();
    assert_eq!(codes[..2], [Some(0), Some(2)]);
}

#[test]
fn text_that_cannot_be_read_as_one_document_is_bad_input() {
    for text in ["a: 1\n---\nb: 2\n", "a: &a [*a]\n"] {
        let answer = Project::with(text).run(&["config", "check"]);
        assert_eq!(answer.code, 2, "{text} {}", answer.err);
    }
}

#[cfg(unix)]
#[test]
fn a_current_directory_that_is_gone_is_said() {
    let project = Project::new();
    let flowgate = env!("CARGO_BIN_EXE_flowgate");
    for command in ["profile list", "--config a.yaml profile list", "init"] {
        let script = format!("mkdir gone; cd gone; rmdir ../gone; {flowgate} {command}");
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", &script]).current_dir(project.0.path());
        let answer = Answer::of(shell.output().unwrap());
        assert_eq!(answer.code, 3, "{command}: {}", answer.err);
        assert!(
            answer.err.contains("current directory is gone"),
            "{command}: {}",
            answer.err
        );
    }
}

#[test]
fn an_empty_variable_names_no_file() {
    let project = Project::with(TWO_PROFILES);
    let mut command = project.command(&["profile", "list"]);
    let answer = Answer::of(command.env("FLOWGATE_CONFIG", "").output().unwrap());
    assert_eq!(answer.out, "  cost\n  plain\n", "{}", answer.err);
}

#[test]
fn schema_completions_and_help_are_there() {
    let project = Project::new();
    let schema = project.run(&["config", "schema"]).json();
    assert_eq!(schema["title"], "FlowGate configuration");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = project.run(&["completions", shell]);
        assert!(
            script.code == 0 && script.out.contains("flowgate"),
            "{shell}"
        );
    }
    let help = project.run(&["--help"]);
    assert!(help.out.contains("Exit codes:"), "{}", help.out);
    assert_eq!(project.run(&["profile", "sett"]).code, 2);
}
