use super::*;
use crate::config::Config;

const GIB: u64 = 1024 * 1024 * 1024;

#[test]
fn only_2xx_is_well() {
    for status in [200, 201, 204, 299] {
        assert!(Found::answer(status, 0).ok, "{status}");
    }
    for status in [300, 302, 304, 400, 401, 403, 404, 418, 429, 500, 502, 503] {
        let found = Found::answer(status, 0);
        assert!(!found.ok && found.reason.unwrap().contains(&status.to_string()));
    }
}

#[test]
fn disks_are_judged_by_share_and_size() {
    for (total, free, status) in [
        (100 * GIB, 90 * GIB, Status::Healthy),
        (100 * GIB, 20 * GIB, Status::Healthy),
        (1000 * GIB, 199 * GIB, Status::Healthy),
        (1000 * GIB, 150 * GIB, Status::Healthy),
        (100 * GIB, 4 * GIB, Status::Degraded),
        (10 * GIB, GIB, Status::Degraded),
        (100 * GIB, 200 * 1024 * 1024, Status::Unhealthy),
        (100 * GIB, 0, Status::Unhealthy),
        (1000, 500, Status::Healthy),
        (0, 0, Status::Degraded),
    ] {
        assert_eq!(disk(total, free).status, status, "{free} of {total}");
    }
    assert_eq!(
        disk(100 * GIB, 25 * GIB).message,
        "25.0 GiB free of 100 GiB (25%)"
    );
}

#[test]
fn memory_is_read_as_linux_writes_it() {
    for (text, status, message) in [
        (
            "MemTotal: 16000000 kB\nMemFree: 1000000 kB\nMemAvailable: 8000000 kB\n",
            Status::Healthy,
            "50%",
        ),
        (
            "MemTotal: 1000000 kB\nMemFree: 0 kB\nMemAvailable: 100000 kB\n",
            Status::Healthy,
            "90%",
        ),
        (
            "MemTotal: 1000000 kB\nMemFree: 0 kB\nMemAvailable: 99999 kB\n",
            Status::Degraded,
            "90%",
        ),
        (
            "MemTotal: 1000000 kB\nMemFree: 500000 kB\n",
            Status::Healthy,
            "50%",
        ),
        (
            "MemTotal: 0 kB\nMemFree: 0 kB\nMemAvailable: 0 kB\n",
            Status::Healthy,
            "0%",
        ),
        (
            "MemTotal: 1000000 kB\nMemFree: 1 kB\nMemAvailable: 600000 kB\nHugePages_Total: 0\n",
            Status::Healthy,
            "40%",
        ),
        (
            "MemTotal:\nMemFree: 1 kB\n",
            Status::Unknown,
            "does not say",
        ),
    ] {
        let check = memory(Some(text));
        assert!(
            check.status == status && check.message.contains(message),
            "{text}: {check:?}"
        );
    }
    assert_eq!(memory(None).status, Status::Unknown);
}

#[test]
fn secrets_are_for_their_owner() {
    for mode in [0o600, 0o400, 0o700, 0o200, 0o0] {
        assert_eq!(secret_mode(mode, false, true), None, "{mode:o}");
    }
    for mode in [0o644, 0o640, 0o666, 0o604, 0o777, 0o4600] {
        assert_eq!(secret_mode(mode, false, true).unwrap().1, 0o600, "{mode:o}");
    }
    assert_eq!(secret_mode(0o700, true, true), None);
    assert_eq!(secret_mode(0o755, true, true).unwrap().1, 0o700);
    assert!(
        secret_mode(0o600, false, false)
            .unwrap()
            .0
            .contains("someone else")
    );
}

fn services(text: &str) -> Config {
    let service = |(name, listens): (usize, &str)| {
        format!("s{name}: {{ {listens}, command: {{ args: [x] }} }}")
    };
    let all: Vec<String> = text.split(';').enumerate().map(service).collect();
    Config::from_yaml(&format!("services: {{ {} }}", all.join(", ")))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn r18_the_headline_counts_the_services() {
    let dead = ServiceHealth::new(
        "api".to_owned(),
        Some(Found::failed("connection refused", 1)),
        None,
    );
    let well = ServiceHealth::new(
        "db".to_owned(),
        Some(Found::connected(1)),
        Some(Found::answer(200, 1)),
    );
    let silent = ServiceHealth::new("job".to_owned(), None, None);
    let fine = vec![disk(100 * GIB, 90 * GIB)];
    let report = Report::new(
        vec![dead.clone(), well.clone(), silent.clone()],
        fine.clone(),
    );
    assert_eq!(report.headline(), "unhealthy: api; 1 of 3 services ready");
    assert!(!report.is_healthy() && dead.reason.unwrap() == "not alive: connection refused");
    let report = Report::new(vec![well.clone(), silent], fine);
    assert_eq!(
        (report.is_healthy(), report.status),
        (true, Status::Healthy)
    );
    let report = Report::new(vec![well], vec![disk(10 * GIB, GIB)]);
    assert!(
        report.is_healthy() && report.headline().starts_with("degraded"),
        "what is low still works"
    );
    let unready = ServiceHealth::new(
        "a".to_owned(),
        Some(Found::connected(1)),
        Some(Found::answer(503, 1)),
    );
    assert_eq!(unready.reason.as_deref(), Some("not ready: HTTP 503"));
}

#[test]
fn each_service_is_asked_what_its_configuration_says() {
    let config = services(
        "port: 1; host: '::', port: 2, health_path: /live; port: 3, readiness: { http: /r }, health_path: /live; port: 4, readiness: { log: up }, liveness: { http: /live, port: 9 }; host: 0.0.0.0",
    );
    let targets = targets(config.settings());
    let http = |url: &str| {
        Some(Probe::Http {
            url: url.to_owned(),
        })
    };
    let tcp = Some(Probe::Tcp {
        host: "127.0.0.1".to_owned(),
        port: 1,
    });
    assert_eq!((&targets[0].liveness, &targets[0].readiness), (&tcp, &tcp));
    assert_eq!(targets[1].readiness, http("http://[::1]:2/live"));
    assert_eq!(
        (&targets[2].liveness, &targets[2].readiness),
        (
            &http("http://127.0.0.1:3/live"),
            &http("http://127.0.0.1:3/r")
        )
    );
    assert_eq!(
        (&targets[3].liveness, &targets[3].readiness),
        (
            &http("http://127.0.0.1:9/live"),
            &http("http://127.0.0.1:9/live")
        )
    );
    assert_eq!(
        (&targets[4].liveness, &targets[4].readiness),
        (&None, &None)
    );
}

#[test]
fn ports_clash_only_where_addresses_do() {
    let check = |text: &str| {
        let check = ports(services(text).settings());
        (check.status, check.message)
    };
    assert_eq!(
        check("port: 1; port: 2"),
        (Status::Healthy, "2 in use, none twice".to_owned())
    );
    assert_eq!(
        check("host: 127.0.0.1, port: 1; host: 10.0.0.1, port: 1").0,
        Status::Healthy
    );
    let config = Config::from_yaml("services: { a: { command: { args: [x] } } }").unwrap();
    assert_eq!(ports(config.settings()).message, "0 in use, none twice");
}

#[test]
fn credentials_that_cannot_be_had_are_named() {
    assert_eq!(credentials(0, &[]).message, "none are needed");
    assert_eq!(credentials(2, &[]).message, "all 2 can be read");
    let check = credentials(3, &[("b".to_owned(), "the file is empty".to_owned())]);
    assert_eq!(
        (check.status, check.message.as_str()),
        (
            Status::Unhealthy,
            "1 of 3 cannot be used: b: the file is empty"
        )
    );
}

fn says(state: &str, last_error: Option<&str>) -> Supervised {
    Supervised {
        service: "api".to_owned(),
        state: state.to_owned(),
        pid: None,
        restarts: 0,
        last_error: last_error.map(str::to_owned),
    }
}

#[test]
fn a_supervisor_knows_what_nobody_can_ask() {
    let silent = || ServiceHealth::new("api".to_owned(), None, None);
    let refused = || {
        let refused = Found::failed("connection refused", 1);
        ServiceHealth::new("api".to_owned(), Some(refused), None)
    };
    for (service, says, status, reason) in [
        (silent(), says("running", None), Status::Healthy, None),
        (
            silent(),
            says("stopped", None),
            Status::Unknown,
            Some("stopped"),
        ),
        (
            silent(),
            says("error", Some("it ended with code 3")),
            Status::Unhealthy,
            Some("error: it ended with code 3"),
        ),
        (
            refused(),
            says("starting", None),
            Status::Unhealthy,
            Some("not alive: connection refused; its supervisor says: starting"),
        ),
        (
            refused(),
            says("running", Some("of before")),
            Status::Unhealthy,
            Some("not alive: connection refused"),
        ),
    ] {
        let report = Report::new(vec![service], vec![]).supervised(std::slice::from_ref(&says));
        let seen = &report.services[0];
        assert_eq!(
            (seen.status, seen.reason.as_deref()),
            (status, reason),
            "{says:?}"
        );
        assert_eq!(report.is_healthy(), status != Status::Unhealthy);
        assert_eq!(seen.supervised.as_ref(), Some(&says));
    }
    let other = Report::new(vec![silent()], vec![]).supervised(&[]);
    assert_eq!(other.services[0].supervised, None);
}
