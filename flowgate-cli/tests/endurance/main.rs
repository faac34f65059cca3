//! Faults that take long, or many tries, to show: supervisors that are killed at any moment, a
//! thousand crashes, floods of output, switches under load.
//!
//! What takes more than a few seconds is ignored by default; CONTRIBUTING.md names the command.
//! `FLOWGATE_STRICT=1` takes away the leeway that a busy machine is given.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod crash;
mod killed;
mod logs;
mod overlap;
mod program;
#[allow(dead_code, reason = "shared with the tests of everyday life")]
#[path = "../supervisor/rig.rs"]
mod rig;
mod stop;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use flowgate_core::supervise::{Selection, ServiceSpec};

use crate::rig::Rig;
pub(crate) use crate::rig::{assert_within, until};

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Starts services whose processes can be told from all others, and waits until they settle.
pub(crate) async fn up(specs: impl IntoIterator<Item = ServiceSpec>) -> Rig {
    let mut rig = supervise(specs).await;
    rig.handle.start(Selection::All);
    rig.settled().await;
    forget_events(&mut rig);
    rig
}

/// What happened up to now is not what is waited for.
pub(crate) fn forget_events(rig: &mut Rig) {
    rig.events = rig.handle.events();
}

/// The same, without a start.
pub(crate) async fn supervise(specs: impl IntoIterator<Item = ServiceSpec>) -> Rig {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().to_str().unwrap().to_owned();
    let marked = specs.into_iter().map(|mut spec| {
        spec.command
            .env
            .insert("HOME_OF_TEST".to_owned(), home.clone());
        spec
    });
    Rig::in_dir(marked, temp).await
}

/// The processes that were started in this directory.
pub(crate) fn alive(dir: &Path) -> BTreeSet<u32> {
    let wanted = format!("HOME_OF_TEST={}", dir.display()).into_bytes();
    let is_wanted = |pid: &u32| {
        let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        env.split(|byte| *byte == 0).any(|one| one == wanted)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_wanted).collect()
}

/// The processes of a rig, without those that ended and wait for their parent.
pub(crate) fn living(rig: &Rig) -> BTreeSet<u32> {
    let mut all = alive(rig.temp.path());
    all.retain(|pid| state_of(*pid).is_some_and(|state| !matches!(state, 'Z' | 'X')));
    all
}

/// The letter of the state of a process, if it is there.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Stops everything, and returns how long that took and what was left when it was done.
pub(crate) async fn stop_all(rig: Rig) -> (Duration, BTreeSet<u32>) {
    let (took, temp) = rig.down().await;
    (took, alive(temp.path()))
}

/// What processes are, for whoever reads of a failure.
pub(crate) fn describe(pids: impl IntoIterator<Item = u32>) -> Vec<String> {
    let describe = |pid| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        format!("{} ({})", line.replace('\0', " "), stat.trim())
    };
    pids.into_iter().map(describe).collect()
}
