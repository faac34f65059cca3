//! Servers that ask for a password, speak TLS, or are one node of a cluster.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flowgate_core::accounts::{
    AccountSpec, Class, Model, Pick, Pool, Request, Settings, SharedPool,
};
use flowgate_core::runtime::shared::{Fleet, Lease, Mode, Options, State, Status};
use serde_json::json;

use crate::child::Process;
use crate::server::{Server, free_port};
use crate::sharing::now;

const PASSWORD: &str = "correct-horse-battery";

/// What the page about sharing tells to type, without its first words.
fn documented_acl() -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/shared-accounts.md");
    let page = fs::read_to_string(page).unwrap();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER "));
    let words = line.unwrap().split_whitespace();
    words
        .map(|word| word.replace("PASSWORD", PASSWORD))
        .collect()
}

async fn joined(options: Options) -> (SharedPool, Fleet, Status) {
    let mut pool = Pool::new(Settings::default());
    pool.upsert(&AccountSpec::new("a", "openai"), now());
    let pool = SharedPool::from(pool);
    let fleet = Fleet::join(&pool, options.timeout(Duration::from_secs(5)), || {});
    let status = fleet.settled().await;
    (pool, fleet, status)
}

#[tokio::test]
async fn the_documented_user_may_do_all_that_is_needed_and_nothing_shows_its_password() {
    let acl = documented_acl();
    let mut words = vec!["--user"];
    words.extend(acl.iter().map(String::as_str));
    let Some(server) = Server::with(&[&words[..], &["--user", "default", "off"]].concat()) else {
        return;
    };
    let url = format!("redis://flowgate@127.0.0.1:{}", server.port());
    for mode in [Mode::Local, Mode::Strict] {
        let options = Options::with_password(&url.as_str().into(), Some(&PASSWORD.into()));
        let options = options.unwrap().mode(mode);
        assert!(!format!("{options:?}").contains(PASSWORD));
        let (pool, fleet, status) = joined(options).await;
        assert_eq!(status.state, State::Shared, "{status:?}");
        assert!(!format!("{fleet:?} {status:?}").contains(PASSWORD));
        let slot = pool.lock().find("a").unwrap();
        pool.lock()
            .learn_cooldown(now(), slot, Model::ANY, now() + 60_000, Class::Rate);
        assert!(fleet.exchanged().await);
        let Lease::Mine(token) = fleet.lease("test", Duration::from_secs(5)).await else {
            panic!("nobody else is there")
        };
        fleet.release("test", &token).await;
        let picked = fleet.pick(&Request::default()).await;
        assert!(matches!(picked, Pick::Wait { .. }), "{picked:?}");
        assert!(fleet.exchanged().await);
        assert_eq!(fleet.status().state, State::Shared, "{:?}", fleet.status());
        fleet.leave().await;
    }
}

#[tokio::test]
async fn a_password_that_is_wrong_or_missing_is_said_and_not_shown() {
    let Some(server) = Server::with(&["--requirepass", PASSWORD]) else {
        return;
    };
    let url = server.url();
    for wrong in [Some("wrong-horse".into()), None] {
        let options = Options::with_password(&url.as_str().into(), wrong.as_ref()).unwrap();
        let probed = options.probe().await;
        let (_, fleet, status) = joined(options).await;
        for status in [probed, status] {
            assert_eq!(status.state, State::Degraded);
            let error = status.error.unwrap();
            assert!(
                error.contains("AUTH") || error.contains("uthentication"),
                "{error}"
            );
            assert!(!error.contains("horse"), "{error}");
        }
        assert!(!format!("{fleet:?}").contains("horse"));
    }
    let good = Options::with_password(&url.as_str().into(), Some(&PASSWORD.into())).unwrap();
    assert_eq!(good.probe().await.state, State::Shared);
}

/// Runs openssl. False: it is not there.
fn openssl(directory: &Path, arguments: &str) -> bool {
    let run = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}

/// An authority of one's own, and a certificate of it for this machine.
fn certificates(directory: &Path) -> bool {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    fs::write(
        directory.join("names"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
    )
    .unwrap();
    openssl(
        directory,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"),
    ) && openssl(
        directory,
        &format!("req {key} -keyout s.key -out s.csr -subj /CN=localhost"),
    ) && openssl(
        directory,
        "x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out s.pem -days 2 -extfile names",
    )
}

#[test]
fn a_server_with_tls_is_spoken_to_if_its_certificate_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    if !certificates(directory.path()) {
        eprintln!("skipped: openssl cannot make certificates here");
        return;
    }
    let port = free_port().to_string();
    let (certificate, key) = (at("s.pem"), at("s.key"));
    let arguments = ["--tls-port", &port, "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    if !speaks_tls() {
        eprintln!("skipped: the server of this machine was built without TLS");
        return;
    }
    let Some(_server) = Server::with(&[arguments, files].concat()) else {
        return;
    };
    let url = format!("rediss://localhost:{port}");
    let trusted = at("ca.pem");
    let mut trusting = Process::with(&url, Mode::Local, &[("SSL_CERT_FILE", &trusted)]);
    let state = trusting.ask(&json!({"do": "state"}));
    assert_eq!(state["state"], "shared", "{state}");

    let mut doubting = Process::start(&url, Mode::Local);
    let state = doubting.ask(&json!({"do": "state"}));
    assert_eq!(state["state"], "degraded", "{state}");
    let error = state["error"].as_str().unwrap();
    assert!(error.to_lowercase().contains("certificate"), "{error}");
}

/// Whether a server knows what TLS is.
fn speaks_tls() -> bool {
    let Some(server) = Server::start() else {
        return false;
    };
    let known: Vec<String> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("tls-port")
        .query(&mut server.connection())
        .unwrap();
    !known.is_empty()
}

/// Two nodes that share the slots.
fn cluster() -> Option<[Server; 2]> {
    let node = || {
        Server::with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &free_port().to_string(),
        ])
    };
    let nodes = [node()?, node()?];
    let run = |node: &Server, words: &str| {
        let mut command = redis::cmd("CLUSTER");
        words.split_whitespace().for_each(|word| {
            command.arg(word);
        });
        command.query::<String>(&mut node.connection()).unwrap()
    };
    run(&nodes[0], "ADDSLOTSRANGE 0 8191");
    run(&nodes[1], "ADDSLOTSRANGE 8192 16383");
    let bus: Vec<String> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("cluster-port")
        .query(&mut nodes[1].connection())
        .unwrap();
    run(
        &nodes[0],
        &format!("MEET 127.0.0.1 {} {}", nodes[1].port(), bus[1]),
    );
    let end = Instant::now() + Duration::from_secs(30);
    let ready = |node: &Server| run(node, "INFO").contains("cluster_state:ok");
    while !nodes.iter().all(ready) {
        assert!(Instant::now() < end, "the nodes do not find each other");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(nodes)
}

#[tokio::test]
async fn any_node_of_a_cluster_leads_to_the_one_that_has_the_pool() {
    let Some(nodes) = cluster() else {
        return;
    };
    let mut members = Vec::new();
    for node in &nodes {
        for mode in [Mode::Local, Mode::Strict] {
            let options = Options::new(&node.url().into()).unwrap().mode(mode);
            let member = joined(options).await;
            assert_eq!(member.2.state, State::Shared, "{:?}", member.2);
            members.push(member);
        }
    }
    let (pool, fleet, _) = &members[0];
    let slot = pool.lock().find("a").unwrap();
    pool.lock()
        .learn_cooldown(now(), slot, Model::ANY, now() + 60_000, Class::Rate);
    assert!(fleet.exchanged().await);
    for (pool, fleet, _) in &members[1..] {
        assert!(fleet.exchanged().await);
        let pool = pool.lock();
        let seen = pool.view(now());
        assert_eq!(seen[0].class, Some(Class::Rate));
    }
}
