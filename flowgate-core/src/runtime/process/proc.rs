//! What the kernel says about processes, from `/proc`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use crate::supervise::{Owner, ProcessId};

/// In the flags of a process: it ends. `include/linux/sched.h`.
const PF_EXITING: u64 = 4;
/// In a set of signals: KILL, which is 9.
const KILL: u64 = 1 << 8;

/// The fields of `/proc/PID/stat` that matter here; see proc_pid_stat(5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stat {
    pub(super) id: ProcessId,
    pub(super) name: String,
    /// `R`, `S`, `D`, `T`, `Z` and so on.
    pub(super) state: char,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) session: u32,
    /// It is on its way to its end, and lets go of what it has.
    pub(super) exits: bool,
    /// Time on a processor, in ticks of 10 ms.
    pub(super) ticks: u64,
    /// Memory that is resident, in pages.
    pub(super) pages: u64,
}

/// The process of this number, now.
pub(super) fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse(&String::from_utf8_lossy(&text)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// A program may have blanks and brackets in its name: the last bracket ends it.
fn parse(text: &str) -> Option<Stat> {
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The fields are counted from 1 in the manual, and the state is field 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let small = |field: usize| u32::try_from(number(field)?).ok();
    Some(Stat {
        id: ProcessId {
            pid: pid.parse().ok()?,
            started: number(22)?,
        },
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: small(4)?,
        group: small(5)?,
        session: small(6)?,
        exits: number(9)? & PF_EXITING != 0,
        ticks: number(14)? + number(15)?,
        pages: number(24)?,
    })
}

/// True if this very process is there and has not ended.
pub(super) fn is_alive(id: ProcessId) -> bool {
    stat(id.pid).is_ok_and(|stat| stat.id == id && !matches!(stat.state, 'Z' | 'X'))
}

/// True if this very process was killed, or ends by itself, and is not gone yet.
pub(super) fn is_dying(id: ProcessId) -> bool {
    let killed = || {
        let status = fs::read_to_string(format!("/proc/{}/status", id.pid)).unwrap_or_default();
        let mut lines = status.lines();
        lines.any(|line| {
            let pending = line
                .strip_prefix("SigPnd:")
                .or_else(|| line.strip_prefix("ShdPnd:"));
            let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            pending.is_some_and(|mask| mask & KILL != 0)
        })
    };
    stat(id.pid).is_ok_and(|stat| stat.id == id && (stat.exits || killed()))
}

/// Every process that comes from this one and lives, without itself; its children first.
pub(super) fn descendants(root: u32) -> Vec<Stat> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        let Some(children) = children(pid) else {
            return descendants_by_parent(root);
        };
        for child in children {
            if seen.insert(child)
                && let Ok(stat) = stat(child)
            {
                found.push(stat);
                next.push(child);
            }
        }
    }
    found.retain(|stat| !matches!(stat.state, 'Z' | 'X'));
    found
}

/// The children of all threads of a process; `None` if this kernel does not list them.
fn children(pid: u32) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        // It has ended, and its children belong to another now.
        return Some(found);
    };
    for task in tasks.flatten() {
        match fs::read_to_string(task.path().join("children")) {
            Ok(list) => found.extend(list.split_ascii_whitespace().flat_map(str::parse::<u32>)),
            // The thread ended meanwhile, or the list is not compiled in.
            Err(_) if task.path().exists() => return None,
            Err(_) => {}
        }
    }
    Some(found)
}

fn descendants_by_parent(root: u32) -> Vec<Stat> {
    let mut by_parent: HashMap<u32, Vec<Stat>> = HashMap::new();
    for stat in all() {
        by_parent.entry(stat.parent).or_default().push(stat);
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        for stat in by_parent.remove(&pid).unwrap_or_default() {
            next.push(stat.id.pid);
            found.push(stat);
        }
    }
    found.retain(|stat| !matches!(stat.state, 'Z' | 'X'));
    found
}

/// Every process there is.
pub(super) fn all() -> impl Iterator<Item = Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter_map(|pid| stat(pid).ok())
}

/// What people are told of a process.
pub(super) fn owner(stat: &Stat) -> Owner {
    Owner {
        pid: stat.id.pid,
        name: stat.name.clone(),
    }
}

/// The sockets that a process has open, by the number that `/proc/net` knows them by.
pub(super) fn sockets(pid: u32) -> Vec<u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fd"));
    let links = files.into_iter().flatten().flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    targets
        .filter_map(|target| socket_number(&target))
        .collect()
}

fn socket_number(target: &Path) -> Option<u64> {
    let name = target.to_str()?.strip_prefix("socket:[")?;
    name.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_may_look_like_the_fields_behind_it() {
        let line = "42 (a) R 1 (b) S 7 42 40 0 -1 4194304 1 0 0 0 3 4 0 0 20 0 1 0 99 1000 12 18446744073709551615";
        let stat = parse(line).unwrap();
        assert_eq!((stat.name.as_str(), stat.state), ("a) R 1 (b", 'S'));
        assert_eq!((stat.id.pid, stat.id.started), (42, 99));
        assert_eq!((stat.parent, stat.group, stat.session), (7, 42, 40));
        assert_eq!((stat.ticks, stat.pages), (7, 12));
        assert_eq!(parse("42 (a) R 1"), None);
    }

    #[test]
    fn the_descendants_of_a_process_are_found_both_ways() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & sleep 60 & echo ok; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 3];
        io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let found = descendants(shell.id());
        assert_eq!(found.len(), 2, "{found:?}");
        let mut numbers: Vec<u32> = found.iter().map(|stat| stat.id.pid).collect();
        let mut again: Vec<u32> = descendants_by_parent(shell.id())
            .iter()
            .map(|stat| stat.id.pid)
            .collect();
        numbers.sort_unstable();
        again.sort_unstable();
        assert_eq!(numbers, again);
        for stat in found {
            super::super::identity::Pidfd::open(stat.id)
                .unwrap()
                .signal(crate::supervise::Signal::Kill)
                .unwrap();
        }
        shell.wait().unwrap();
    }
}
