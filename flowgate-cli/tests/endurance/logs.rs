//! Services that write more than is good.

use std::fs;
use std::time::Instant;

use flowgate_core::supervise::{RestartPolicy, Selection, ServiceSpec};

use crate::rig::{Rig, script};
use crate::{supervise, up};

const LINE: &str = "a line of a hundred and twenty bytes, as a web server writes it for each request, \
                    again and again and again and again";

/// A service that writes so many bytes as fast as it can, and ends.
fn flood(bytes: u64) -> ServiceSpec {
    let mut spec = script("web", &format!("yes '{LINE}' | head -c {bytes}"));
    spec.restart.policy = RestartPolicy::Never;
    spec
}

/// Every file of the log, the oldest first.
fn files(rig: &Rig) -> Vec<Vec<u8>> {
    let log = rig.handle.dir().log(&"web".into());
    let aside = |number: u32| format!("{}.{number}", log.display());
    let mut old: Vec<_> = (1..)
        .map(aside)
        .take_while(|path| fs::exists(path).unwrap())
        .collect();
    old.reverse();
    let all = old.iter().map(|path| fs::read(path).unwrap());
    all.chain(fs::read(&log)).collect()
}

#[tokio::test]
async fn a_flood_is_put_aside_in_files_and_nothing_is_lost() {
    let bytes = 16_000_000;
    let mut spec = flood(bytes);
    spec.logs.max_bytes = 3_000_000;
    spec.logs.keep = 100;
    let rig = up([spec]).await;
    let files = files(&rig);
    assert!(files.len() >= 6);
    let expected = format!("{LINE}\n").into_bytes();
    let mut at = 0;
    for (number, file) in files.iter().enumerate() {
        assert!(file.len() <= 3_000_000);
        let last = number + 1 == files.len();
        assert!(last || file.ends_with(b"\n"), "it ends with a line");
        for chunk in file.chunks(expected.len()) {
            assert_eq!(chunk, &expected[..chunk.len()]);
        }
        at += file.len() as u64;
    }
    assert_eq!(at, bytes);
    rig.down().await;
}

#[tokio::test]
async fn a_line_without_end_is_broken_and_kept() {
    let mut spec = script(
        "web",
        "head -c 4000000 /dev/zero | tr '\\0' x; echo; echo ready",
    );
    spec.restart.policy = RestartPolicy::Never;
    let rig = up([spec]).await;
    let log = String::from_utf8(files(&rig).concat()).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.iter().all(|line| line.len() <= 65_536));
    let length: usize = lines
        .iter()
        .filter(|line| line.starts_with('x'))
        .map(|line| line.len())
        .sum();
    assert_eq!((length, lines.last()), (4_000_000, Some(&"ready")));
    rig.down().await;
}

#[tokio::test]
#[ignore = "writes a gigabyte"]
async fn a_flood_of_a_gigabyte_is_taken_as_fast_as_a_disk_takes_it() {
    let bytes = 1 << 30;
    let mut spec = flood(bytes);
    spec.logs.keep = 4;
    let rig = supervise([spec]).await;
    let (cpu, rss) = usage();
    let begun = Instant::now();
    rig.handle.start(Selection::All);
    // A flood may take longer than the patience of a rig.
    loop {
        let status = rig.settled().await;
        if status.iter().all(|status| status.service.process.is_none()) {
            break;
        }
    }
    let took = begun.elapsed();
    let (cpu_after, rss_after) = usage();
    let rate = bytes as f64 / 1e6 / took.as_secs_f64();
    println!(
        "{rate:.0} MB/s, {} ms of processor, {} kB more memory",
        cpu_after - cpu,
        rss_after.saturating_sub(rss)
    );
    assert_eq!(rig.status("web").await.log_bytes_lost, 0);
    assert!(rss_after <= rss + 3_000);
    assert_eq!(files(&rig).len(), 5);
    rig.down().await;
}

/// The time on a processor (ms) and the memory (kB) of this process.
fn usage() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let rss = line
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    (10 * ticks, rss)
}
