use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;

/// What the server of the tests does with the requests for one path.
#[derive(Clone)]
enum Serve {
    Bytes(Vec<u8>),
    /// Sends this many bytes and closes; the next request gets all it asks for.
    BreakAfter(usize, Vec<u8>),
    Status(&'static str),
    /// Fails a few times before.
    Later(usize, Vec<u8>),
}
use Serve::{BreakAfter, Bytes, Later, Status};

/// A release server on this machine that notes what it is asked.
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(paths: impl FnOnce(&str) -> Vec<(String, Serve)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut paths = paths(&base);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let head = head(&mut stream);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let range = head.lines().find_map(|line| {
                    line.strip_prefix("range: bytes=")?
                        .trim_end_matches('-')
                        .parse()
                        .ok()
                });
                noted.lock().unwrap().push(match range {
                    Some(from) => format!("{path} from {from}"),
                    None => path.clone(),
                });
                let known = paths.iter_mut().find(|(known, _)| *known == path);
                let serve = known.map(|(_, serve)| serve.clone());
                if let Some((_, serve)) = paths.iter_mut().find(|(known, _)| *known == path) {
                    *serve = next(serve.clone());
                }
                answer(
                    &mut stream,
                    serve.unwrap_or(Status("404 Not Found")),
                    range.unwrap_or(0),
                );
            }
        });
        Self { base, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn next(serve: Serve) -> Serve {
    match serve {
        BreakAfter(_, bytes) | Later(0, bytes) => Bytes(bytes),
        Later(times, bytes) => Later(times - 1, bytes),
        other => other,
    }
}

fn answer(stream: &mut TcpStream, serve: Serve, from: usize) {
    let close = "connection: close\r\n";
    let _ = match serve {
        Status(status) => write!(
            stream,
            "HTTP/1.1 {status}\r\n{close}content-length: 0\r\n\r\n"
        ),
        Later(0, bytes) | Bytes(bytes) if from > 0 => {
            let rest = &bytes[from..];
            let _ = write!(
                stream,
                "HTTP/1.1 206 Partial\r\n{close}content-range: bytes {from}-{}/{}\r\ncontent-length: {}\r\n\r\n",
                bytes.len() - 1,
                bytes.len(),
                rest.len()
            );
            stream.write_all(rest)
        }
        Later(0, bytes) | Bytes(bytes) => {
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\n{close}content-length: {}\r\n\r\n",
                bytes.len()
            );
            stream.write_all(&bytes)
        }
        Later(..) => write!(
            stream,
            "HTTP/1.1 503 Busy\r\n{close}content-length: 0\r\n\r\n"
        ),
        BreakAfter(many, bytes) => {
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\n{close}content-length: {}\r\n\r\n",
                bytes.len()
            );
            stream.write_all(&bytes[..many])
        }
    };
}

fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).to_lowercase()
}

/// A program for Linux on amd64 that says `mark`, as large as programs are.
fn program(mark: u8) -> Vec<u8> {
    let mut bytes = vec![mark; 1_000_100];
    bytes[..20].copy_from_slice(b"\x7fELF\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x3e\0");
    bytes
}

fn archive(mark: u8) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::none(),
    ));
    let program = program(mark);
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    builder
        .append_data(&mut header, "cli-proxy-api-plus", program.as_slice())
        .unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

fn sum(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

const NAME: &str = "cliproxyapiplus_1_linux_amd64.tar.gz";

fn release(base: &str, tag: &str, name: &str) -> Serve {
    Bytes(format!(r#"{{"tag_name": "{tag}", "html_url": "https://r/{tag}", "assets": [{{"name": "{name}", "browser_download_url": "{base}/{tag}/{name}"}}, {{"name": "checksums.txt", "browser_download_url": "{base}/{tag}/checksums.txt"}}]}}"#).into_bytes())
}

/// A server with one release, whose archive is served in a way of its own.
fn server(
    tag: &'static str,
    mark: u8,
    serve: impl FnOnce(Vec<u8>) -> Serve,
    sums: Option<&str>,
) -> Server {
    let sums = sums.map_or_else(
        || format!("{}  {NAME}\n", sum(&archive(mark))),
        str::to_owned,
    );
    Server::new(|base| {
        vec![
            (
                format!("/repos/o/r/releases/tags/{tag}"),
                release(base, tag, NAME),
            ),
            (
                "/repos/o/r/releases/latest".to_owned(),
                release(base, tag, NAME),
            ),
            (format!("/{tag}/{NAME}"), serve(archive(mark))),
            (
                format!("/{tag}/checksums.txt"),
                if sums.is_empty() {
                    Status("404 Not Found")
                } else {
                    Bytes(sums.into_bytes())
                },
            ),
        ]
    })
}

fn bootstrap(dir: &Path, server: &Server, version: &str) -> Bootstrap {
    Bootstrap {
        runtime_dir: dir.join("run"),
        version: version.to_owned(),
        repository: "o/r".to_owned(),
        api: server.base.clone(),
        mirror: None,
        proxy: Some("http://127.0.0.1:1".to_owned()),
        platform: Platform::of("linux", "amd64").unwrap(),
        sha256: None,
        require_checksum: true,
        patience: Duration::from_millis(5),
    }
}

fn installed(bootstrap: &Bootstrap) -> Vec<u8> {
    let bytes = fs::read(bootstrap.bin().join("CLIProxyAPIPlus")).unwrap_or_default();
    bytes.get(20..21).unwrap_or_default().to_vec()
}

#[test]
fn a_release_is_fetched_verified_and_put_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let server = server("v1", b'1', Bytes, None);
    let bootstrap = bootstrap(dir.path(), &server, "v1");
    let mut seen = Vec::new();
    let outcome = bootstrap.download(|progress| seen.push(progress)).unwrap();
    assert_eq!(
        (
            outcome.version.as_str(),
            outcome.verified_by,
            outcome.sha256
        ),
        ("v1", Some("release"), sum(&archive(b'1')))
    );
    assert_eq!(installed(&bootstrap), b"1");
    let last = seen.last().unwrap();
    assert_eq!(
        (last.total, last.done),
        (Some(archive(b'1').len() as u64), archive(b'1').len() as u64)
    );
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(outcome.path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o755);
    assert!(
        fs::read_dir(bootstrap.runtime_dir.join("downloads"))
            .unwrap()
            .next()
            .is_none(),
        "nothing is left lying about"
    );
    assert_eq!(
        fs::read_to_string(bootstrap.bin().join("cliproxyapiplus.version")).unwrap(),
        "v1\n"
    );
}

#[test]
fn latest_is_recorded_as_the_version_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let server = server("v3", b'3', Bytes, None);
    let bootstrap = bootstrap(dir.path(), &server, "latest");
    assert_eq!(bootstrap.download(|_| {}).unwrap().version, "v3");
    assert_eq!(bootstrap.installed().unwrap()[0].version, "v3");
}

#[test]
fn r21_what_is_not_what_was_published_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let good = server("v1", b'1', Bytes, None);
    bootstrap(dir.path(), &good, "v1").download(|_| {}).unwrap();
    let other = "0".repeat(64);
    for (server, code) in [
        (
            server("v2", b'2', Bytes, Some(&format!("{other}  {NAME}\n"))),
            "bootstrap.checksum",
        ),
        (server("v2", b'2', Bytes, Some("")), "http.status"),
        (
            server("v2", b'2', Bytes, Some("nothing of use\n")),
            "bootstrap.no_checksum",
        ),
        (
            server(
                "v2",
                b'2',
                |_| Bytes(b"<html>".to_vec()),
                Some(&format!("{}  {NAME}\n", sum(b"<html>"))),
            ),
            "bootstrap.bad_archive",
        ),
        (
            server("v2", b'2', |_| Status("500 Oh"), None),
            "http.status",
        ),
        (
            server("v2", b'2', |_| Status("302 Found"), None),
            "http.status",
        ),
    ] {
        let bootstrap = bootstrap(dir.path(), &server, "v2");
        let error = bootstrap.download(|_| {}).unwrap_err();
        assert_eq!(
            (error.code(), installed(&bootstrap)),
            (code, b"1".to_vec()),
            "{error}"
        );
    }
    // One that is pinned wins over what is published.
    let server = server("v2", b'2', Bytes, None);
    let mut pinned = bootstrap(dir.path(), &server, "v2");
    pinned.sha256 = Some(other);
    assert_eq!(
        pinned.download(|_| {}).unwrap_err().code(),
        "bootstrap.checksum"
    );
    pinned.sha256 = Some(sum(&archive(b'2')));
    assert_eq!(
        pinned.download(|_| {}).unwrap().verified_by,
        Some("configuration")
    );
}

#[test]
fn programs_for_other_machines_and_small_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut arm = program(b'x');
    arm[18] = 183;
    for (bytes, problem) in [
        (arm, "program for arm64"),
        (program(b'x')[..999_999].to_vec(), "too small"),
        (vec![0; 2_000_000], "no program"),
    ] {
        let file = dir.path().join("CLIProxyAPI-linux-amd64");
        fs::write(&file, bytes).unwrap();
        let server = server("v1", b'1', Bytes, None);
        let mut bootstrap = bootstrap(dir.path(), &server, "v1");
        bootstrap.require_checksum = false;
        let error = bootstrap.install_file(&file, None).unwrap_err();
        assert!(
            error.to_string().contains(problem) && installed(&bootstrap).is_empty(),
            "{error}"
        );
    }
}

#[test]
fn what_breaks_off_is_taken_up_where_it_broke() {
    let dir = tempfile::tempdir().unwrap();
    let server = server("v1", b'1', |bytes| BreakAfter(300_000, bytes), None);
    let bootstrap = bootstrap(dir.path(), &server, "v1");
    bootstrap.download(|_| {}).unwrap();
    let asked = server.asked();
    let resumed = asked.iter().find(|path| path.contains(" from ")).unwrap();
    let from: usize = resumed.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(from > 0 && from <= 300_000, "{asked:?}");
    assert_eq!(installed(&bootstrap), b"1");
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = server("v1", b'1', |bytes| Later(3, bytes), None);
    bootstrap(dir.path(), &server, "v1")
        .download(|_| {})
        .unwrap();
    assert_eq!(
        server
            .asked()
            .iter()
            .filter(|path| path.contains(NAME))
            .count(),
        4
    );
    let gone = bootstrap(dir.path(), &server, "v9")
        .download(|_| {})
        .unwrap_err();
    assert!(
        gone.to_string().contains("HTTP 404") && gone.is_environment(),
        "{gone}"
    );
    assert_eq!(
        server
            .asked()
            .iter()
            .filter(|path| path.contains("v9"))
            .count(),
        1,
        "what is not there is not asked for again"
    );
}

#[test]
fn a_mirror_serves_files_and_only_https_crosses_a_network() {
    let dir = tempfile::tempdir().unwrap();
    let origin = server("v1", b'1', |_| Status("500 Oh"), None);
    let mirror = server("v1", b'1', Bytes, None);
    let mut bootstrap = bootstrap(dir.path(), &origin, "v1");
    bootstrap.mirror = Some(mirror.base.clone());
    bootstrap.download(|_| {}).unwrap();
    assert!(origin.asked().iter().all(|path| path.starts_with("/repos")));
    bootstrap.mirror = Some("http://plain.example/x".to_owned());
    let error = bootstrap.download(|_| {}).unwrap_err();
    assert!(error.to_string().contains("https only"), "{error}");
    bootstrap.api = "file:///etc".to_owned();
    assert_eq!(
        bootstrap.download(|_| {}).unwrap_err().code(),
        "http.bad_url"
    );
}

#[test]
fn the_version_before_is_kept_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    for (version, mark) in [("v1", b'1'), ("v2", b'2'), ("v3", b'3'), ("v4", b'4')] {
        let server = server(
            Box::leak(version.to_owned().into_boxed_str()),
            mark,
            Bytes,
            None,
        );
        bootstrap(dir.path(), &server, version)
            .download(|_| {})
            .unwrap();
        // The order is that of the clock of the disk.
        std::thread::sleep(Duration::from_millis(15));
    }
    let server = server("v4", b'4', Bytes, None);
    let bootstrap = bootstrap(dir.path(), &server, "v4");
    let versions = || {
        bootstrap
            .installed()
            .unwrap()
            .iter()
            .map(|one| (one.version.clone(), one.active))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        versions(),
        [
            ("v4".to_owned(), true),
            ("v3".to_owned(), false),
            ("v2".to_owned(), false)
        ],
        "three are kept"
    );
    assert_eq!(bootstrap.rollback(None).unwrap().version, "v3");
    assert_eq!(installed(&bootstrap), b"3");
    assert_eq!(bootstrap.rollback(Some("v4")).unwrap().version, "v4");
    let error = bootstrap.rollback(Some("v1")).unwrap_err();
    assert!(
        error.to_string().contains("v4, v3, v2") && installed(&bootstrap) == b"4",
        "{error}"
    );
}

#[test]
fn a_program_of_the_first_flowgate_is_kept_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = server("v2", b'2', Bytes, None);
    let bootstrap = bootstrap(dir.path(), &server, "v2");
    fs::create_dir_all(bootstrap.bin()).unwrap();
    fs::write(bootstrap.bin().join("CLIProxyAPIPlus"), program(b'0')).unwrap();
    fs::write(bootstrap.bin().join("cliproxyapiplus.version"), "v0.9").unwrap();
    assert_eq!(bootstrap.installed().unwrap()[0].version, "v0.9");
    assert_eq!(
        bootstrap.download(|_| {}).unwrap().previous.as_deref(),
        Some("v0.9")
    );
    assert_eq!(bootstrap.rollback(Some("v0.9")).unwrap().version, "v0.9");
    assert_eq!(installed(&bootstrap), b"0");
}

#[test]
fn r30_whether_there_is_an_update_is_asked_once_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let server = server("v2", b'2', Bytes, None);
    let bootstrap = bootstrap(dir.path(), &server, "v2");
    let fresh = bootstrap.check_update(false, 1_000).unwrap();
    assert_eq!(
        (fresh.current, fresh.newer, fresh.latest.as_str()),
        (None, true, "v2")
    );
    assert!(!bootstrap.runtime_dir.exists(), "asking makes no directory");
    bootstrap.download(|_| {}).unwrap();
    let asked = server.asked().len();
    for now in [2_000, 3_000, 86_000_000] {
        assert!(!bootstrap.check_update(false, now).unwrap().newer);
    }
    assert_eq!(server.asked().len(), asked + 1);
    bootstrap.check_update(true, 4_000).unwrap();
    bootstrap.check_update(false, 2 * 86_400_000).unwrap();
    assert_eq!(server.asked().len(), asked + 3);
    fs::write(bootstrap.cache_file(), "{").unwrap();
    assert!(bootstrap.check_update(false, 5_000).is_ok());
}

#[test]
fn of_two_installations_at_once_one_waits_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let server = server("v1", b'1', Bytes, None);
    let bootstrap = bootstrap(dir.path(), &server, "v1");
    let held = bootstrap.lock().unwrap();
    assert!(
        bootstrap
            .download(|_| {})
            .unwrap_err()
            .to_string()
            .contains("under way")
    );
    drop(held);
    bootstrap.download(|_| {}).unwrap();
}

#[test]
fn a_file_is_installed_without_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let server = server("v1", b'1', Bytes, None);
    let bootstrap = bootstrap(dir.path(), &server, "v7");
    let file = dir.path().join(NAME);
    fs::write(&file, archive(b'7')).unwrap();
    assert_eq!(
        bootstrap.install_file(&file, None).unwrap_err().code(),
        "bootstrap.no_checksum"
    );
    assert_eq!(
        bootstrap
            .install_file(&file, Some(&"0".repeat(64)))
            .unwrap_err()
            .code(),
        "bootstrap.checksum"
    );
    let outcome = bootstrap
        .install_file(&file, Some(&sum(&archive(b'7')).to_uppercase()))
        .unwrap();
    assert_eq!(
        (outcome.version.as_str(), installed(&bootstrap)),
        ("v7", b"7".to_vec())
    );
    assert!(server.asked().is_empty());
}
