//! The file that the output of a service ends up in, and those that were put aside.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use regex::bytes::Regex;

use super::super::wire::LogPlace;
use crate::supervise::LogSpec;

/// A log file that is put aside when it is full. `web.log` is the current one, `web.log.1` the one
/// before.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    max_bytes: u64,
    keep: u32,
    max_line: usize,
    /// The length of the line that is being written.
    line: usize,
    /// What could not be written since it last could.
    missing: u64,
    /// What could not be written at all.
    dropped: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, spec: &LogSpec) -> Self {
        let mut new = Self {
            path,
            file: None,
            size: 0,
            max_bytes: 0,
            keep: 0,
            max_line: 0,
            line: 0,
            missing: 0,
            dropped: 0,
        };
        new.configure(spec);
        new
    }

    pub(super) fn configure(&mut self, spec: &LogSpec) {
        self.max_bytes = spec.max_bytes.max(1);
        self.keep = spec.keep;
        self.max_line = usize::try_from(spec.max_line).unwrap_or(usize::MAX).max(1);
    }

    /// How many bytes were lost because they could not be written.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Where it ends now. One that was never written to is made when it is.
    pub(super) fn end(&mut self) -> io::Result<LogPlace> {
        let is_new = || !self.path.exists() && !aside(&self.path, 1).exists();
        if self.file.is_none() && is_new() {
            // No file has this number: whatever is there later, has come since.
            return Ok(LogPlace { file: 0, at: 0 });
        }
        let file = self.opened()?.metadata()?;
        Ok(LogPlace {
            file: file.ino(),
            at: file.len(),
        })
    }

    /// Looks for a line since a place, and returns the part of a line that it ends with if there is
    /// none. If that place is not kept any more, it is everything that is.
    pub(super) fn find(&self, pattern: &Regex, since: LogPlace) -> Result<(), Vec<u8>> {
        let aside = (1..=self.keep)
            .rev()
            .map(|number| aside(&self.path, number));
        let files = aside.chain([self.path.clone()]);
        let files: Vec<(File, u64)> = files
            .filter_map(|path| File::open(path).ok())
            .filter_map(|file| Some((file.metadata().ok()?.ino(), file)))
            .map(|(inode, file)| (file, inode))
            .collect();
        let known = files.iter().position(|(_, inode)| *inode == since.file);
        let mut line = Vec::new();
        for (number, (file, _)) in files.iter().enumerate().skip(known.unwrap_or(0)) {
            let mut file = BufReader::new(file);
            if known == Some(number) && file.seek(SeekFrom::Start(since.at)).is_err() {
                continue;
            }
            // Lines that are too long were broken when they were written.
            while matches!(file.read_until(b'\n', &mut line), Ok(1..)) {
                if line.ends_with(b"\n") {
                    if is_match(pattern, &line) {
                        return Ok(());
                    }
                    line.clear();
                }
            }
        }
        Err(line)
    }

    /// Writes output, in files that end with a line, and lines that end in time. What cannot be
    /// written is counted and gone: the service must not wait for a disk. When it can be again, a
    /// line says how much is missing.
    pub(super) fn write(&mut self, mut output: &[u8]) {
        while !output.is_empty() {
            let (part, broken) = self.next_part(output);
            output = output.get(part.len()..).unwrap_or_default();
            let written = self
                .say_what_is_missing()
                .and_then(|()| self.append(part, broken));
            if written.is_err() {
                self.missing += part.len() as u64;
                self.dropped += part.len() as u64;
                // Next time it is opened anew: it may be on another disk by then.
                self.file = None;
            }
        }
    }

    fn say_what_is_missing(&mut self) -> io::Result<()> {
        if self.missing > 0 {
            let note = format!(
                "[flowgate: {} bytes are missing here: they could not be written]\n",
                self.missing
            );
            self.append(note.as_bytes(), false)?;
            self.missing = 0;
        }
        Ok(())
    }

    /// The longest beginning that can be written at once, and whether its line must be broken
    /// behind it.
    fn next_part<'o>(&mut self, output: &'o [u8]) -> (&'o [u8], bool) {
        let mut end = 0;
        while end < output.len() {
            let room = self.max_line - self.line;
            let reach = output.len().min(end.saturating_add(room));
            let window = output.get(end..reach).unwrap_or_default();
            match memchr::memrchr(b'\n', window) {
                Some(newline) => {
                    self.line = 0;
                    end += newline + 1;
                }
                None if window.len() < room => {
                    self.line += window.len();
                    end = reach;
                }
                None => {
                    self.line = 0;
                    return (output.get(..reach).unwrap_or(output), true);
                }
            }
        }
        (output, false)
    }

    fn append(&mut self, part: &[u8], broken: bool) -> io::Result<()> {
        let mut rest = part;
        self.opened()?;
        while self.size + rest.len() as u64 > self.max_bytes {
            // As many whole lines as fit stay with those before them.
            let room = usize::try_from(self.max_bytes.saturating_sub(self.size)).unwrap_or(0);
            let fits = rest.get(..room.min(rest.len())).unwrap_or_default();
            let lines = match memchr::memrchr(b'\n', fits) {
                Some(newline) => newline + 1,
                // A line that is too long for any file has one for itself.
                None if self.size == 0 => memchr::memchr(b'\n', rest).map_or(rest.len(), |n| n + 1),
                None => 0,
            };
            self.put(rest.get(..lines).unwrap_or_default())?;
            rest = rest.get(lines..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            self.rotate()?;
        }
        self.put(rest)?;
        if broken {
            self.put(b"\n")?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            self.opened()?.write_all(bytes)?;
            self.size += bytes.len() as u64;
        }
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let file = open(&self.path)?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        self.file
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        self.size = 0;
        if self.keep == 0 {
            return ignore_missing(fs::remove_file(&self.path));
        }
        // A file that takes the place of another is what ext4 brings to disk at once, as the new version
        // of a document: `auto_da_alloc` in ext4(5). So nothing is there when it is put aside.
        ignore_missing(fs::remove_file(aside(&self.path, self.keep)))?;
        for number in (1..self.keep).rev() {
            ignore_missing(fs::rename(
                aside(&self.path, number),
                aside(&self.path, number + 1),
            ))?;
        }
        ignore_missing(fs::rename(&self.path, aside(&self.path, 1)))
    }
}

/// Whether a line matches, without the end of it: `$` means that of the line.
pub(super) fn is_match(pattern: &Regex, line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    pattern.is_match(line.strip_suffix(b"\r").unwrap_or(line))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A file that was put aside.
pub(super) fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Opens a log to write at its end. Only its owner can read it: nobody knows what programs print.
pub(super) fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(max_bytes: u64, keep: u32, max_line: u64) -> (tempfile::TempDir, PathBuf, LogFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.log");
        let spec = LogSpec {
            max_bytes,
            keep,
            max_line,
            ..LogSpec::default()
        };
        let file = LogFile::new(path.clone(), &spec);
        (dir, path, file)
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn files_end_with_a_line_and_only_so_many_are_kept() {
        let (_dir, path, mut log) = log(10, 2, 100);
        log.write(b"one\ntwo\nthree\nfour\n");
        log.write(b"five\nsix\n");
        assert_eq!(read(&path), "six\n");
        assert_eq!(read(&aside(&path, 1)), "four\nfive\n");
        assert_eq!(read(&aside(&path, 2)), "three\n");
        log.write(b"seven\neight\n");
        assert_eq!(read(&path), "eight\n");
        assert_eq!(read(&aside(&path, 1)), "six\nseven\n");
        assert_eq!(read(&aside(&path, 2)), "four\nfive\n");
        assert!(!aside(&path, 3).exists());
    }

    #[test]
    fn a_line_without_end_is_broken_wherever_the_reads_end() {
        for step in 1..12 {
            let (_dir, path, mut log) = log(1000, 2, 4);
            for part in b"aaaabbbbcc\ndd\neeeee\n".chunks(step) {
                log.write(part);
            }
            assert_eq!(read(&path), "aaaa\nbbbb\ncc\ndd\neeee\ne\n", "{step}");
        }
    }

    #[test]
    fn a_log_that_is_not_there_yet_has_a_place_as_well() {
        let (_dir, path, mut log) = log(10, 2, 100);
        let (new, line) = (log.end().unwrap(), Regex::new("^one$").unwrap());
        assert!(!path.exists() && log.find(&line, new).is_err());
        log.write(b"one\ntwo\nthree\n");
        assert!(log.find(&line, new).is_ok());
        let later = log.end().unwrap();
        assert!(log.find(&line, later).is_err());
        // Nor is it new when what is there was just put aside.
        fs::rename(&path, aside(&path, 1)).unwrap();
        log.file = None;
        let later = log.end().unwrap();
        assert!(log.find(&Regex::new("three").unwrap(), later).is_err());
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted() {
        let (dir, path, mut log) = log(1000, 2, 100);
        // A disk that takes nothing, for whoever writes.
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        log.write(b"lost\n");
        log.write(b"lost too\n");
        assert_eq!(log.dropped(), 14);
        fs::remove_file(&path).unwrap();
        log.write(b"kept\n");
        log.write(b"kept\n");
        let note = "[flowgate: 14 bytes are missing here: they could not be written]\n";
        assert_eq!(read(&path), format!("{note}kept\nkept\n"));
        assert_eq!(log.dropped(), 14);
        drop(dir);
    }

    #[test]
    fn nothing_is_lost_or_added_but_the_breaks_of_long_lines() {
        let mut random = 7_u64;
        let mut text = Vec::new();
        for _ in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.push(if random >> 60 == 0 { b'\n' } else { b'x' });
        }
        text.push(b'\n');
        let (_dir, path, mut log) = log(3000, 100, 1000);
        for part in text.chunks(777) {
            log.write(part);
        }
        let mut all = String::new();
        for number in (1..100).rev() {
            all += &read(&aside(&path, number));
        }
        all += &read(&path);
        assert_eq!(all.as_bytes(), text);
    }
}
