//! What a person does every day, with the built binary: what is printed, how it exits, what is
//! written, and what stands in the log of events.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod asking;
mod mistakes;
mod profiles;
#[cfg(target_os = "linux")]
mod services;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A project: `config/flowgate.yaml`, a home directory, and nothing else.
struct Project(TempDir);

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    /// It ends with this code, and says this on either stream.
    #[track_caller]
    fn is(self, code: i32, says: &[&str]) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{all}");
        for part in says {
            assert!(all.contains(part), "{part:?} is not in:\n{all}");
        }
        self
    }
}

impl Project {
    fn new(config: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(project.path("config")).unwrap();
        fs::create_dir_all(project.path("home")).unwrap();
        project.write("config/flowgate.yaml", config);
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flowgate"));
        command
            .args(args)
            .current_dir(self.0.path())
            .env("HOME", self.path("home"))
            .env_remove("FLOWGATE_CONFIG");
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().unwrap())
    }

    fn run_in(&self, directory: &Path, args: &[&str]) -> Said {
        said(self.command(args).current_dir(directory).output().unwrap())
    }

    /// The records of the log of events: whole lines, each with the fields that all have.
    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("run/events.log")).unwrap_or_default();
        let records: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (number, record) in records.iter().enumerate() {
            assert_eq!(record["seq"], number as u64 + 1, "{record}");
            let keys: Vec<&String> = record.as_object().unwrap().keys().collect();
            assert_eq!(
                keys,
                ["ts", "seq", "event", "level", "subject", "data"],
                "{record}"
            );
            let ts = record["ts"].as_str().unwrap();
            assert!(ts.len() == 24 && ts.ends_with('Z'), "{ts}");
        }
        records
    }
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A configuration with two profiles that need one key.
const PROFILES: &str = "\
config_version: 2
paths: { runtime_dir: ../run }
credentials: { upstream: { main: { file: ../main.key } } }
services: { litellm: { command: { args: [sleep, '600'] }, port: 1 } }
litellm_base:
  model_list:
    - { model_name: m, litellm_params: { model: openai/x, api_key_ref: main } }
profiles: { balanced: {}, cost: { litellm_settings: { num_retries: 0 } } }
";
