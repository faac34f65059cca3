//! Ports and programs of the services.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::{Finding, Level, Subject};
use crate::health::{self, Status};
use crate::runtime::plain;

pub(super) fn ports(subject: &Subject<'_>) -> Vec<Finding> {
    let settings = subject.config.settings();
    let clashes = health::ports(settings);
    let mut findings = Vec::new();
    if clashes.status != Status::Healthy {
        findings.push(Finding::new(
            "ports",
            Level::Problem,
            clashes.message.clone(),
            "give each service a port of its own",
        ));
    }
    for (name, service) in &settings.services {
        if let Some(port) = service.port {
            let host = service.host.as_deref().unwrap_or("127.0.0.1");
            // Its own process has it, as it should.
            let is_up = subject.is_running(name);
            findings.extend(port_of(name, host, port.into()).filter(|_| !is_up));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::good("ports", clashes.message));
    }
    findings
}

/// What the supervisor says, if one runs.
pub(super) fn services(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(says) = subject.patient.supervised else {
        return Vec::new();
    };
    let failed: Vec<Finding> = says
        .iter()
        .filter(|service| service.is_error())
        .map(|service| {
            let name = &service.service;
            let why = service.last_error.as_deref().unwrap_or("it does not work");
            Finding::new(
                "services",
                Level::Problem,
                format!("`{name}`: {why}"),
                &format!("`flowgate logs {name}` shows what it wrote"),
            )
        })
        .collect();
    if !failed.is_empty() {
        return failed;
    }
    let running = says.iter().filter(|service| service.state == "running");
    let message = format!("{} of {} are running", running.count(), says.len());
    vec![Finding::good("services", message)]
}

/// Whether a service could listen where it should: it is tried, for a moment.
fn port_of(service: &str, host: &str, port: u16) -> Option<Finding> {
    // Other names are not looked up: that would ask the network.
    let address: IpAddr = match host {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        _ => host.trim_matches(['[', ']']).parse().ok()?,
    };
    let error = TcpListener::bind(SocketAddr::new(address, port)).err()?;
    let at = format!("port {port} of `{service}`");
    Some(match error.kind() {
        io::ErrorKind::AddrInUse => Finding::new(
            "ports",
            Level::Note,
            format!("{at} is in use"),
            "that is right if the service is up: `flowgate health` tells",
        ),
        io::ErrorKind::AddrNotAvailable => Finding::new(
            "ports",
            Level::Problem,
            format!("{at}: `{host}` is no address of this machine"),
            "write an address that it has, such as 127.0.0.1",
        ),
        io::ErrorKind::PermissionDenied => Finding::new(
            "ports",
            Level::Problem,
            format!("{at}: you may not listen there"),
            "take a port from 1024 on",
        ),
        _ => Finding::new(
            "ports",
            Level::Problem,
            format!("{at}: {}", plain(&error)),
            "try another port",
        ),
    })
}

pub(super) fn programs(subject: &Subject<'_>) -> Vec<Finding> {
    let settings = subject.config.settings();
    let mut findings = Vec::new();
    let config_dir = subject.patient.config.parent().unwrap_or(Path::new("."));
    for (name, service) in &settings.services {
        let Some(program) = service.command.args.first() else {
            continue;
        };
        let program = program
            .replace("{runtime_dir}", &settings.paths.runtime_dir)
            .replace("{config_dir}", &config_dir.to_string_lossy());
        let directory = service
            .command
            .cwd
            .as_ref()
            .map(|cwd| PathBuf::from(cwd.to_string()));
        let directory = directory.unwrap_or_else(|| config_dir.to_owned());
        if let Some((message, hint)) = program_problem(subject, &program, &directory) {
            findings.push(Finding::new(
                "programs",
                Level::Problem,
                format!("`{name}`: {message}"),
                &hint,
            ));
        }
    }
    if findings.is_empty() {
        let count = settings.services.len();
        findings.push(Finding::good(
            "programs",
            format!("{count} programs of services are there"),
        ));
    }
    findings
}

fn program_problem(
    subject: &Subject<'_>,
    program: &str,
    directory: &Path,
) -> Option<(String, String)> {
    let hint = "`flowgate bootstrap download` installs what FlowGate knows; else install it, or correct `command`";
    let found = if program.contains('/') {
        let path = directory.join(program);
        path.exists().then_some(path)
    } else {
        let path = subject.patient.path.clone().unwrap_or_default();
        std::env::split_paths(&path)
            .map(|directory| directory.join(program))
            .find(|path| is_executable(path))
    };
    let Some(path) = found else {
        let message = match program.contains('/') {
            true => format!("the program `{program}` is not there"),
            false => format!("the program `{program}` is not on the `PATH`"),
        };
        return Some((message, hint.to_owned()));
    };
    if !is_executable(&path) {
        let message = format!("`{}` cannot be executed", path.display());
        return Some((message, format!("`chmod +x {}`", path.display())));
    }
    let other = other_machine(&path)?;
    Some((format!("`{}` is {other}", path.display()), hint.to_owned()))
}

fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    let executable = |metadata: &fs::Metadata| {
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
    };
    #[cfg(not(unix))]
    let executable = |_: &fs::Metadata| true;
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && executable(&metadata))
}

/// What a program is, if it is not for this machine; `None` if it is, or if it is a script.
fn other_machine(path: &Path) -> Option<String> {
    let mut head = [0; 20];
    let mut file = File::open(path).ok()?;
    let length = file.read(&mut head).ok()?;
    crate::bootstrap::other_machine(
        &head[..length],
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}
