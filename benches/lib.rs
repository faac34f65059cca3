//! The documents that the suites measure, so that all of them measure the same.

use std::fmt::Write;

use flowgate_core::config::{Base, Config, STARTER};

/// Where the paths of every document start.
pub const BASE: Base<'static> = Base {
    dir: "/home/dev/project",
    home: Some("/home/dev"),
};

const LARGE_LINES: usize = 10_000;
const MODEL_LINES: usize = 8;

/// The starter configuration, read and checked.
pub fn starter() -> Config {
    Config::from_yaml(STARTER).expect("the starter configuration is right")
}

/// A valid document of ten thousand lines, as a large team might generate one: 150 services, 200
/// credentials, 20 profiles and a good thousand models, in block style and with comments.
pub fn large() -> String {
    let mut out = String::from(
        "# Generated: do not edit.\nconfig_version: 2\npaths:\n  runtime_dir: .router/runtime\n",
    );
    write_services(&mut out, 150);
    write_credentials(&mut out, 200);
    out.push_str("profiles:\n");
    for number in 0..20 {
        write_profile(&mut out, number);
    }
    out.push_str(
        "litellm_base:
  litellm_settings:
    num_retries: 1
    request_timeout: 30
    cooldown_time: 10
  model_list:
",
    );
    let free = LARGE_LINES - out.lines().count();
    for number in 0..free / MODEL_LINES {
        write_model(&mut out, number);
    }
    out.extend(std::iter::repeat_n("# end\n", free % MODEL_LINES));
    out
}

fn write_services(out: &mut String, count: usize) {
    out.push_str("services:\n");
    for number in 0..count {
        // Writing to a `String` cannot fail.
        let _ = write!(
            out,
            "  worker-{number}:
    command:
      args: [/opt/workers/bin/worker, --config, \"{{active_config}}\", --port, \"{{port}}\"]
      cwd: workers/{number}
      env:
        WORKER_REGION: eu-west-{}
    port: {}
    readiness: {{ http: /health/readiness }}
    restart: {{ policy: on_failure, backoff: {{ initial: 200ms, max: 30s }}, max_restarts: 5, within: 60s }}
",
            number % 3,
            4000 + number
        );
        if number > 0 {
            let _ = writeln!(out, "    depends_on: [worker-{}]", number - 1);
        }
    }
}

fn write_credentials(out: &mut String, count: usize) {
    out.push_str("credentials:\n  upstream:\n");
    for number in 0..count {
        let _ = writeln!(
            out,
            "    team-{number}:\n      file: ~/.router/secrets/team-{number}.key"
        );
    }
}

fn write_model(out: &mut String, number: usize) {
    let _ = write!(
        out,
        "    # Team {team}, tier {tier}
    - model_name: team-{team}/chat-{number}
      litellm_params:
        model: openai/gpt-4o-mini-{number}
        api_base: https://models-{tier}.example.com/v1
        api_key_ref: team-{team}
        rpm: {rpm}
        temperature: 0.{tier}
",
        team = number % 200,
        tier = number % 4,
        rpm = 60 + number,
    );
}

fn write_profile(out: &mut String, number: usize) {
    let _ = write!(
        out,
        "  region-{number}:
    litellm_settings:
      num_retries: {}
      cooldown_time: 30
      fallbacks:
",
        number % 5
    );
    for model in 0..10 {
        let _ = writeln!(
            out,
            "        - team-{model}/chat-{model}: [team-{next}/chat-{next}]",
            next = model + 1
        );
    }
}

/// A document with forty mistakes of spelling, each of which deserves a "did you mean".
pub fn forty_typos() -> String {
    let mut out = String::from("config_version: 2\nservices:\n");
    for number in 0..10 {
        let _ = write!(
            out,
            "  worker-{number}:
    command: {{ args: [worker], cdw: work }}
    prot: {}
    readines: {{ http: /health }}
    restart: {{ polcy: always }}
",
            4000 + number
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_large_document_is_right_and_as_long_as_it_says() {
        let text = large();
        assert_eq!(text.lines().count(), 10_000);
        let config = Config::from_yaml(&text).unwrap();
        assert_eq!(config.diagnostics(), []);
        assert_eq!(config.profile_names().count(), 20);
    }

    #[test]
    fn every_one_of_the_forty_typos_is_named() {
        let error = Config::from_yaml(&forty_typos()).unwrap_err();
        let hints = error.diagnostics().iter().filter_map(|d| d.hint.as_deref());
        assert_eq!(
            hints
                .filter(|hint| hint.starts_with("did you mean"))
                .count(),
            40
        );
    }
}
