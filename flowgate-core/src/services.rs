//! The services of a configuration, as the supervisor takes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::config::{self, Config, Service};
use crate::supervise::{
    CommandSpec, Condition, Dependency, DrainHook, DrainSpec, GraphError, LivenessSpec, LogMode,
    LogSpec, OnLoss, OnPortConflict, OnSupervisorExit, Overlap, Probe, ReadinessSpec,
    RestartPolicy, RestartSpec, ServiceSpec, Services, Signal, SignalTo, StopSpec,
};

/// The services of a resolved configuration, with every default written out and every placeholder
/// replaced that is the same at each start.
///
/// # Errors
///
/// None for a [`Config`], which has been checked: services that do not fit together are among what
/// is wrong with a document.
///
/// # Example
///
/// ```
/// use flowgate_core::config::{Base, Config};
/// use flowgate_core::runtime::services;
///
/// let config = Config::from_yaml(
///     "config_version: 2\nservices: {web: {command: {args: [serve, '{runtime_dir}']}, port: 80}}\n",
/// )?;
/// let resolved = config.resolve(&Base { dir: "/srv", home: None })?;
/// let services = services(&resolved)?;
/// let web = services.get("web").unwrap();
/// assert_eq!(web.command.args, ["serve", "/srv/.router/runtime"]);
/// assert_eq!(web.command.cwd.as_deref(), Some("/srv"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn services(config: &Config) -> Result<Services, GraphError> {
    let settings = config.settings();
    let specs = settings.services.iter();
    let specs = specs.map(|(name, service)| spec(config, name, service));
    Services::new(specs.collect())
}

fn spec(config: &Config, name: &str, service: &Service) -> ServiceSpec {
    let host = service.host.as_deref().unwrap_or("127.0.0.1");
    let known = Known::of(config, host);
    let plain = ServiceSpec::new(name, Vec::<String>::new());
    let readiness = readiness(service, &known, &plain.readiness);
    let overlap = match service.overlap {
        Some(config::Overlap::Forward) => Overlap::Forward,
        Some(config::Overlap::Socket) => Overlap::Socket,
        Some(config::Overlap::Never) | None => Overlap::Never,
    };
    ServiceSpec {
        command: command(&service.command, &known),
        host: host.to_owned(),
        port: service.port.map(u16::from),
        on_port_conflict: match service.on_port_conflict {
            Some(config::OnPortConflict::Fail) => OnPortConflict::Fail,
            Some(config::OnPortConflict::Wait) | None => OnPortConflict::Wait,
        },
        overlap,
        restart: restart(service.restart.clone().unwrap_or_default()),
        start_timeout: or(service.start_timeout, plain.start_timeout),
        readiness,
        liveness: liveness(service, &known),
        stop: stop(service.stop.clone().unwrap_or_default(), overlap, &known),
        depends_on: depends_on(&service.depends_on),
        logs: logs(service.logs.clone().unwrap_or_default()),
        on_supervisor_exit: match service.on_supervisor_exit {
            Some(config::OnSupervisorExit::Leave) => OnSupervisorExit::Leave,
            Some(config::OnSupervisorExit::Stop) | None => OnSupervisorExit::Stop,
        },
        ..plain
    }
}

fn or(given: Option<config::Duration>, default: Duration) -> Duration {
    given.map_or(default, Duration::from)
}

/// What the placeholders stand for that are the same at each start.
struct Known {
    values: Vec<(&'static str, String)>,
}

impl Known {
    fn of(config: &Config, host: &str) -> Self {
        let paths = &config.settings().paths;
        Self {
            values: vec![
                ("{active_config}", paths.active_config()),
                ("{runtime_dir}", paths.runtime_dir.to_string()),
                ("{state_file}", paths.state_file()),
                ("{config_dir}", config.directory().unwrap_or(".").to_owned()),
                ("{host}", host.to_owned()),
            ],
        }
    }

    fn expand(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.values {
            if text.contains(name) {
                text = text.replace(name, value);
            }
        }
        text
    }

    fn all(&self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.expand(text)).collect()
    }
}

fn command(command: &config::Command, known: &Known) -> CommandSpec {
    let cwd = command.cwd.as_deref().map(str::to_owned);
    let mut args = known.all(&command.args);
    // A program with a path is found from where it is started, whoever starts it.
    if let (Some(cwd), Some(program)) = (&cwd, args.first_mut())
        && program.contains('/')
        && !program.starts_with('/')
    {
        *program = Path::new(cwd)
            .join(&*program)
            .to_string_lossy()
            .into_owned();
    }
    let env = command.env.iter();
    let env: BTreeMap<String, String> = env
        .map(|(name, value)| (name.to_string(), known.expand(value)))
        .collect();
    let env_file = command.env_file.iter().map(ToString::to_string).collect();
    CommandSpec {
        args,
        cwd,
        env,
        env_file,
        inherit_env: command.inherit_env.unwrap_or(true),
    }
}

fn readiness(service: &Service, known: &Known, default: &ReadinessSpec) -> ReadinessSpec {
    let given = service.readiness.clone().unwrap_or_default();
    let port = given.port.map(u16::from);
    let http = given.http.as_ref();
    let asked = service.readiness.is_some();
    // These come from the first FlowGate, and ask nobody where there is no port.
    let usual = |_: &&_| !asked && service.port.is_some();
    let http = http.or(service.readiness_path.as_ref().filter(usual));
    let http = http.or(service.health_path.as_ref().filter(usual));
    let probe = if let Some(path) = http {
        let path = path.to_string();
        Probe::Http { path, port }
    } else if let Some(program) = &given.exec {
        Probe::Exec(known.all(program.args()))
    } else if let Some(pattern) = given.log {
        Probe::Log(pattern.into())
    } else if given.notify.is_some() {
        Probe::Notify
    } else if let Some(alive) = given.alive {
        Probe::Alive(alive.into())
    } else if given.tcp.is_some() || service.port.is_some() {
        Probe::Tcp { port }
    } else {
        default.probe.clone()
    };
    ReadinessSpec {
        probe,
        interval: or(given.interval, default.interval),
        timeout: or(given.timeout, default.timeout),
        verify_owner: given.verify_owner.unwrap_or(default.verify_owner),
    }
}

fn liveness(service: &Service, known: &Known) -> Option<LivenessSpec> {
    let given = match (&service.liveness, &service.health_path) {
        (Some(given), _) => given.clone(),
        (None, Some(path)) if service.port.is_some() => config::Liveness {
            http: Some(path.clone()),
            ..config::Liveness::default()
        },
        (None, _) => return None,
    };
    let port = given.port.map(u16::from);
    let probe = if let Some(path) = given.http {
        let path = path.to_string();
        Probe::Http { path, port }
    } else if let Some(program) = &given.exec {
        Probe::Exec(known.all(program.args()))
    } else {
        Probe::Tcp { port }
    };
    Some(LivenessSpec {
        probe,
        interval: or(given.interval, Duration::from_secs(10)),
        timeout: or(given.timeout, Duration::from_secs(5)),
        failures: given.failures.map_or(3, std::num::NonZeroU32::get),
    })
}

fn restart(given: config::Restart) -> RestartSpec {
    let default = RestartSpec::default();
    let backoff = given.backoff.unwrap_or_default();
    RestartSpec {
        policy: match given.policy {
            config::RestartPolicy::Always => RestartPolicy::Always,
            config::RestartPolicy::Never => RestartPolicy::Never,
            config::RestartPolicy::OnFailure => RestartPolicy::OnFailure,
        },
        success_codes: given.success_codes.unwrap_or(default.success_codes),
        initial: or(backoff.initial, default.initial),
        max: or(backoff.max, default.max),
        factor: backoff.factor.map_or(default.factor, f64::from),
        jitter: backoff.jitter.map_or(default.jitter, f64::from),
        reset_after: or(given.reset_after, default.reset_after),
        max_restarts: given.max_restarts.unwrap_or(default.max_restarts),
        within: or(given.within, default.within),
        cooldown: or(given.cooldown, default.cooldown),
        give_up: given.give_up.unwrap_or(default.give_up),
    }
}

fn stop(given: config::Stop, overlap: Overlap, known: &Known) -> StopSpec {
    let default = StopSpec::default();
    let drain_timeout = match overlap {
        Overlap::Forward => DrainSpec::ANSWER_TIMEOUT,
        Overlap::Socket | Overlap::Never => Duration::from_secs(5),
    };
    StopSpec {
        signal: given.signal.map_or(default.signal, |signal| match signal {
            config::StopSignal::Hup => Signal::Hup,
            config::StopSignal::Int => Signal::Int,
            config::StopSignal::Kill => Signal::Kill,
            config::StopSignal::Quit => Signal::Quit,
            config::StopSignal::Term => Signal::Term,
            config::StopSignal::Usr1 => Signal::Usr1,
            config::StopSignal::Usr2 => Signal::Usr2,
        }),
        to: given.to.map_or(default.to, |to| match to {
            config::SignalTo::Group => SignalTo::Group,
            config::SignalTo::Leader => SignalTo::Leader,
            config::SignalTo::Tree => SignalTo::Tree,
        }),
        timeout: or(given.timeout, default.timeout),
        drain: given.drain.map(|drain| DrainSpec {
            hook: match (drain.http, drain.exec) {
                (Some(path), _) => DrainHook::Http(path.to_string()),
                (None, Some(program)) => DrainHook::Exec(known.all(program.args())),
                (None, None) => DrainHook::Wait,
            },
            timeout: or(drain.timeout, drain_timeout),
        }),
        orphan_grace: or(given.orphan_grace, default.orphan_grace),
    }
}

fn depends_on(needs: &config::DependsOn) -> Vec<Dependency> {
    let needs = needs.0.iter().map(|(service, need)| Dependency {
        service: service.to_string().into(),
        condition: match need.condition {
            config::Condition::Completed => Condition::Completed,
            config::Condition::Ready => Condition::Ready,
            config::Condition::Started => Condition::Started,
        },
        on_loss: match need.on_loss {
            config::OnLoss::Ignore => OnLoss::Ignore,
            config::OnLoss::Restart => OnLoss::Restart,
            config::OnLoss::Stop => OnLoss::Stop,
        },
    });
    needs.collect()
}

fn logs(given: config::Logs) -> LogSpec {
    let default = LogSpec::default();
    LogSpec {
        mode: given.mode.map_or(default.mode, |mode| match mode {
            config::LogMode::Fifo => LogMode::Fifo,
            config::LogMode::File => LogMode::File,
            config::LogMode::Inherit => LogMode::Inherit,
            config::LogMode::Null => LogMode::Null,
        }),
        max_bytes: given.max_bytes.unwrap_or(default.max_bytes),
        keep: given.keep.unwrap_or(default.keep),
        max_line: given.max_line.unwrap_or(default.max_line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Base;

    fn one(service: &str) -> ServiceSpec {
        let text = format!(
            "config_version: 2\nservices:\n  a: {service}\n  b: {{command: {{args: [b]}}}}\n"
        );
        let config = Config::from_file("/srv/flowgate.yaml", text.as_bytes()).unwrap();
        let base = Base {
            dir: "/srv",
            home: None,
        };
        let services = services(&config.resolve(&base).unwrap()).unwrap();
        ServiceSpec::clone(services.get("a").unwrap())
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let spec = one("{command: {args: [x]}}");
        let expected = ServiceSpec::new("a", ["x"]);
        let cwd = Some("/srv".to_owned());
        let command = CommandSpec {
            cwd,
            ..expected.command.clone()
        };
        assert_eq!(
            spec,
            ServiceSpec {
                command,
                ..expected
            }
        );
        let with_port = one("{command: {args: [x]}, port: 80}");
        assert_eq!(with_port.readiness.probe, Probe::Tcp { port: None });
    }

    #[test]
    fn placeholders_that_stay_the_same_are_replaced_and_the_others_wait() {
        let spec = one(
            "{command: {args: [bin/x, '{runtime_dir}/{gen}', '--port={port}', '{config_dir}', '{\"a\": {b}}'], env: {C: '{active_config}', H: '{host}'}}, port: 80}",
        );
        assert_eq!(
            spec.command.args,
            [
                "/srv/bin/x",
                "/srv/.router/runtime/{gen}",
                "--port={port}",
                "/srv",
                "{\"a\": {b}}"
            ]
        );
        assert_eq!(
            spec.command.env["C"],
            "/srv/.router/runtime/litellm.active.yaml"
        );
        assert_eq!(spec.command.env["H"], "127.0.0.1");
    }

    #[test]
    fn what_is_said_is_meant() {
        let spec = one(
            "{command: {args: [x], env_file: [a.env], inherit_env: false}, port: 80, overlap: socket, on_port_conflict: fail,
    start_timeout: 2m, readiness: {log: 'up on \\d+', interval: 1s}, liveness: {exec: [probe, '{host}'], failures: 5},
    restart: {policy: on_failure, backoff: {initial: 200ms, factor: 1.5}, max_restarts: 5, within: 60s, give_up: true},
    stop: {signal: INT, to: tree, timeout: 35s, drain: {http: /drain, timeout: 30s}},
    depends_on: {b: {condition: started, on_loss: restart}}, logs: {mode: file, keep: 2}, on_supervisor_exit: leave}",
        );
        assert_eq!(spec.command.env_file, ["/srv/a.env"]);
        assert!(!spec.command.inherit_env);
        assert_eq!(spec.overlap, Overlap::Socket);
        assert_eq!(spec.on_port_conflict, OnPortConflict::Fail);
        assert_eq!(spec.start_timeout, Duration::from_secs(120));
        assert_eq!(spec.readiness.probe, Probe::Log("up on \\d+".to_owned()));
        let live = spec.liveness.unwrap();
        let args = ["probe", "127.0.0.1"].map(str::to_owned).to_vec();
        assert_eq!((live.probe, live.failures), (Probe::Exec(args), 5));
        let restart = spec.restart;
        assert_eq!(restart.policy, RestartPolicy::OnFailure);
        assert_eq!(
            (restart.initial, restart.factor),
            (Duration::from_millis(200), 1.5)
        );
        assert!(restart.give_up && restart.max_restarts == 5);
        assert_eq!(
            (spec.stop.signal, spec.stop.to),
            (Signal::Int, SignalTo::Tree)
        );
        let hook = DrainHook::Http("/drain".to_owned());
        assert_eq!(spec.stop.drain.map(|drain| drain.hook), Some(hook));
        let need = &spec.depends_on[0];
        assert_eq!(
            (need.condition, need.on_loss),
            (Condition::Started, OnLoss::Restart)
        );
        assert_eq!((spec.logs.mode, spec.logs.keep), (LogMode::File, 2));
        assert_eq!(spec.on_supervisor_exit, OnSupervisorExit::Leave);
    }

    #[test]
    fn older_ways_to_say_readiness_are_understood() {
        let http = |path: &str| Probe::Http {
            path: path.to_owned(),
            port: None,
        };
        let probe = |service: &str| {
            let service = format!("{{command: {{args: [x]}}, port: 80, {service}}}");
            let spec = one(&service);
            (spec.readiness.probe, spec.liveness.map(|live| live.probe))
        };
        assert_eq!(probe("readiness_path: /r"), (http("/r"), None));
        let both = (http("/r"), Some(http("/h")));
        assert_eq!(probe("readiness_path: /r, health_path: /h"), both);
        assert_eq!(probe("health_path: /h"), (http("/h"), Some(http("/h"))));
        assert_eq!(
            probe("readiness: {tcp: true}, health_path: /h"),
            (Probe::Tcp { port: None }, Some(http("/h")))
        );
    }
}
