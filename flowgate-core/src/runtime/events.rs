//! The file of events: whole lines, numbered without a gap, and never more than so many bytes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Error;
use super::atomic::{directory_of, make_directory};
use super::regular::regular;
use crate::Timestamp;
use crate::event::{Event, Record};

/// The size at which a file of events is put aside.
pub const EVENT_LOG_BYTES: u64 = 10_000_000;
/// How many files that were put aside are kept: `events.log.1` is the youngest.
pub const EVENT_LOG_KEEP: u32 = 5;

/// More than the longest line there is.
const TAIL: u64 = 256 << 10;

/// A file of events, which several processes may write at the same time.
///
/// Numbers go on where the last process stopped. A line that was torn by a crash is ended, so that
/// the next one stays whole.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Where the file ended when this process wrote last.
    end: u64,
    seq: u64,
}

impl EventLog {
    /// The file at `path`, mode 0600. It is made by the first event.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_bytes: EVENT_LOG_BYTES,
            keep: EVENT_LOG_KEEP,
            open: None,
        }
    }

    /// The same, with other limits: the size in bytes at which a file is put aside, and how many of
    /// these are kept.
    pub fn limits(mut self, max_bytes: u64, keep: u32) -> Self {
        (self.max_bytes, self.keep) = (max_bytes, keep);
        self
    }

    /// Writes an event down.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if it cannot be written; the file is as it was then.
    pub fn append(&mut self, now: Timestamp, event: Event) -> Result<Record, Error> {
        let mut records = self.append_all(now, vec![event])?;
        let nothing = || Error::write(&self.path, &io::ErrorKind::WriteZero.into());
        records.pop().ok_or_else(nothing)
    }

    /// Writes events down that happened at the same time, next to each other.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] if they cannot be written.
    pub fn append_all(&mut self, now: Timestamp, events: Vec<Event>) -> Result<Vec<Record>, Error> {
        let written = self.write(now, &events);
        if written.is_err() {
            // Whatever is wrong with the file, it is opened anew next time.
            self.open = None;
        }
        written.map_err(|error| Error::write(&self.path, &error))
    }

    fn write(&mut self, now: Timestamp, events: &[Event]) -> io::Result<Vec<Record>> {
        loop {
            let mut open = self.locked()?;
            let end = open.file.seek(SeekFrom::End(0))?;
            if end != open.end {
                // Another process has written.
                open.seq = last_seq(&mut open.file, end)?.unwrap_or(open.seq);
            }
            let numbered = events.iter().cloned().zip(open.seq + 1..);
            let records: Vec<Record> = numbered.map(|(event, seq)| event.stamp(now, seq)).collect();
            let lines: String = records.iter().map(Record::line).collect();
            if end > 0 && end + lines.len() as u64 > self.max_bytes {
                // Whoever makes the next file first, numbers first.
                self.put_aside()?;
                continue;
            }
            if end > 0 && !ends_with_newline(&mut open.file, end)? {
                open.file.write_all(b"\n")?;
            }
            open.file.write_all(lines.as_bytes())?;
            open.end = open.file.seek(SeekFrom::End(0))?;
            open.seq += records.len() as u64;
            open.file.unlock()?;
            self.open = Some(open);
            return Ok(records);
        }
    }

    /// The file, locked; opened anew if another process has put it aside meanwhile.
    fn locked(&mut self) -> io::Result<Open> {
        loop {
            let open = match self.open.take() {
                Some(open) => open,
                None => self.open()?,
            };
            open.file.lock()?;
            if is_at(&open.file, &self.path) {
                return Ok(open);
            }
        }
    }

    fn open(&self) -> io::Result<Open> {
        let mut file = self.create()?;
        let end = file.seek(SeekFrom::End(0))?;
        let mut seq = last_seq(&mut file, end)?;
        if seq.is_none() {
            let aside = self.aside(1);
            seq = match regular(&aside)? {
                Some(found) => last_seq(&mut File::open(&aside)?, found.len())?,
                None => None,
            };
        }
        let seq = seq.unwrap_or(0);
        Ok(Open { file, end, seq })
    }

    fn create(&self) -> io::Result<File> {
        make_directory(directory_of(&self.path))?;
        regular(&self.path)?;
        let mut options = File::options();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path)
    }

    fn put_aside(&self) -> io::Result<()> {
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (1..self.keep).rev() {
            match fs::rename(self.aside(number), self.aside(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.aside(1))
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

/// The number of the last record in a file that ends at `end`.
fn last_seq(file: &mut File, end: u64) -> io::Result<Option<u64>> {
    file.seek(SeekFrom::Start(end.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    let mut records = tail.lines().rev().filter_map(Record::parse);
    Ok(records.next().map(|record| record.seq))
}

fn ends_with_newline(file: &mut File, end: u64) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::Start(end - 1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => id(open) == id(there),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Level;

    fn event() -> Event {
        Event::new("test", Level::Info, "a")
    }

    fn numbers(path: &Path) -> Vec<u64> {
        let text = fs::read_to_string(path).unwrap();
        let records = text.lines().filter_map(Record::parse);
        records.map(|record| record.seq).collect()
    }

    #[test]
    fn numbers_go_on_from_one_process_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/events.log");
        for _ in 0..3 {
            let mut log = EventLog::new(&path);
            log.append(0, event()).unwrap();
            log.append(0, event()).unwrap();
        }
        assert_eq!(numbers(&path), [1, 2, 3, 4, 5, 6]);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_and_a_pipe_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.log");
        EventLog::new(&path).append(0, event()).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = EventLog::new(dir.path()).append(0, event()).unwrap_err();
        assert!(error.is_environment(), "{error}");
    }

    #[test]
    fn what_was_put_aside_is_kept_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.log");
        let line = event().stamp(0, 10).line().len() as u64;
        let mut log = EventLog::new(&path).limits(2 * line, 2);
        (0..9).for_each(|_| drop(log.append(0, event()).unwrap()));
        let aside = |number: u32| numbers(&dir.path().join(format!("events.log.{number}")));
        assert_eq!(
            (numbers(&path), aside(1), aside(2)),
            (vec![9], vec![7, 8], vec![5, 6])
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        // Also the next process finds its number, wherever the last record is.
        fs::remove_file(&path).unwrap();
        let record = EventLog::new(&path).append(0, event()).unwrap();
        assert_eq!(record.seq, 9);
    }

    #[test]
    fn a_torn_line_stays_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.log");
        EventLog::new(&path).append(0, event()).unwrap();
        let torn = fs::read_to_string(&path).unwrap() + "{\"ts\":\"19";
        fs::write(&path, torn).unwrap();
        EventLog::new(&path).append(0, event()).unwrap();
        assert_eq!(numbers(&path), [1, 2]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    }

    #[test]
    fn many_write_at_once_and_no_line_is_lost_torn_or_numbered_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.log");
        let line = event().stamp(0, 1_000).line().len() as u64;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut log = EventLog::new(&path).limits(100 * line, 10);
                    (0..50).for_each(|_| drop(log.append(0, event()).unwrap()));
                });
            }
        });
        let mut all = Vec::new();
        for file in fs::read_dir(dir.path()).unwrap() {
            all.extend(numbers(&file.unwrap().path()));
        }
        all.sort_unstable();
        assert_eq!(all, (1..=400).collect::<Vec<u64>>());
    }
}
