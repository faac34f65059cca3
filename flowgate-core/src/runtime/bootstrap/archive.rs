//! Taking the program out of what was fetched. Nothing is unpacked but that one file.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::bootstrap::{self, leads_out, program_in};
use crate::runtime::Error;

/// The most that a program may have, in bytes: an archive can claim anything.
const MOST_BYTES: u64 = 512 * 1024 * 1024;
/// How many entries an archive may have.
const MOST_ENTRIES: usize = 10_000;

/// The program in a file: an archive, or the program itself.
pub(super) fn program(path: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let name = name.to_lowercase();
    let open = || File::open(path).map(BufReader::new);
    let file = open().map_err(|error| Error::read(path, &error))?;
    let found = if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        let again = open().map_err(|error| Error::read(path, &error))?;
        in_tar(file, again)
    } else if name.ends_with(".zip") {
        in_zip(file)
    } else if [".gz", ".xz", ".bz2", ".tar", ".zst", ".7z"]
        .iter()
        .any(|ending| name.ends_with(ending))
    {
        Err(bad(
            "archives of this kind are not read; `.tar.gz`, `.tgz` and `.zip` are",
        ))
    } else {
        read_bounded(file).map_err(|error| unreadable(&error))
    };
    Ok(found?)
}

fn bad(reason: &str) -> bootstrap::Error {
    bootstrap::Error::BadArchive {
        reason: reason.to_owned(),
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> bootstrap::Error {
    bad(&format!("it cannot be read: {error}"))
}

fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("the program is too large"));
    }
    Ok(bytes)
}

/// Reads a tape archive twice: first all names, then the one file.
fn in_tar(first: impl Read, second: impl Read) -> Result<Vec<u8>, bootstrap::Error> {
    let mut names = Vec::new();
    let mut places = Vec::new();
    let mut archive = tar::Archive::new(bounded(first));
    for (place, entry) in archive
        .entries()
        .map_err(|error| unreadable(&error))?
        .enumerate()
    {
        let entry = entry.map_err(|error| unreadable(&error))?;
        if place >= MOST_ENTRIES {
            return Err(bad("it has too many entries"));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            let target = entry
                .link_name_bytes()
                .map(|name| String::from_utf8_lossy(&name).into_owned());
            if leads_out(&name) || target.is_none_or(|target| leads_out(&target)) {
                return Err(bad("a link in it leads out of it"));
            }
        } else if kind.is_file() {
            names.push(name);
            places.push(place);
        } else if leads_out(&name) {
            return Err(bad("an entry leads out of it"));
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wanted = places[program_in(&names)?];
    let mut archive = tar::Archive::new(bounded(second));
    let mut entries = archive.entries().map_err(|error| unreadable(&error))?;
    let entry = entries
        .nth(wanted)
        .ok_or_else(|| bad("it ends too early"))?;
    let entry = entry.map_err(|error| unreadable(&error))?;
    read_bounded(entry).map_err(|error| unreadable(&error))
}

/// What is compressed well may be endless.
fn bounded(reader: impl Read) -> impl Read {
    GzDecoder::new(reader).take(2 * MOST_BYTES)
}

fn in_zip(file: impl Read + Seek) -> Result<Vec<u8>, bootstrap::Error> {
    let mut archive = zip::ZipArchive::new(file).map_err(|error| unreadable(&error))?;
    if archive.len() > MOST_ENTRIES {
        return Err(bad("it has too many entries"));
    }
    let mut names = Vec::new();
    let mut places = Vec::new();
    for place in 0..archive.len() {
        let entry = archive
            .by_index(place)
            .map_err(|error| unreadable(&error))?;
        let name = entry
            .name()
            .map_err(|error| unreadable(&error))?
            .into_owned();
        if leads_out(&name) {
            return Err(bad("an entry leads out of it"));
        }
        if entry.is_file() && !entry.is_symlink() {
            names.push(name);
            places.push(place);
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let wanted = places[program_in(&names)?];
    let entry = archive
        .by_index(wanted)
        .map_err(|error| unreadable(&error))?;
    read_bounded(entry).map_err(|error| unreadable(&error))
}

/// Reads any bytes as each kind of archive, for the fuzzer.
#[cfg(fuzzing)]
pub(in crate::runtime) fn fuzz(bytes: &[u8]) {
    let _ = in_tar(bytes, bytes);
    let _ = in_zip(std::io::Cursor::new(bytes));
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    enum Entry {
        File(&'static str, &'static str),
        Link(&'static str, &'static str),
        Directory(&'static str),
    }
    use Entry::{Directory, File as Regular, Link};

    fn tar_gz(entries: &[Entry]) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        for entry in entries {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o755);
            let (name, content) = match entry {
                Regular(name, content) => {
                    header.set_entry_type(tar::EntryType::Regular);
                    (*name, *content)
                }
                Link(name, target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.as_ustar_mut().unwrap().linkname[..target.len()]
                        .copy_from_slice(target.as_bytes());
                    (*name, "")
                }
                Directory(name) => {
                    header.set_entry_type(tar::EntryType::Directory);
                    (*name, "")
                }
            };
            // The library itself refuses to write names that lead out.
            header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn zip_of(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, content) in entries {
            writer
                .start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn take(bytes: &[u8], name: &str) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("download");
        std::fs::write(&path, bytes).unwrap();
        let program = program(&path, name).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&program).into_owned())
    }

    #[test]
    fn the_program_comes_out_of_any_known_archive() {
        let tar = tar_gz(&[
            Regular("LICENSE", "l"),
            Directory("dist/"),
            Regular("dist/cli-proxy-api-plus", "BIN"),
            Link("current", "dist"),
        ]);
        for name in ["x.tar.gz", "X.TGZ"] {
            assert_eq!(take(&tar, name).as_deref(), Ok("BIN"));
        }
        assert_eq!(
            take(
                &zip_of(&[("README", "r"), ("CLIProxyAPIPlus.exe", "BIN")]),
                "x.zip"
            )
            .as_deref(),
            Ok("BIN")
        );
        assert_eq!(
            take(b"BIN", "CLIProxyAPI-linux-amd64").as_deref(),
            Ok("BIN")
        );
    }

    #[test]
    fn what_leads_out_or_is_broken_is_refused() {
        for (bytes, name) in [
            (tar_gz(&[Regular("../../cliproxyapi", "BIN")]), "x.tar.gz"),
            (
                tar_gz(&[Regular("cliproxyapi", "BIN"), Regular("/etc/passwd", "x")]),
                "x.tar.gz",
            ),
            (
                tar_gz(&[Regular("cliproxyapi", "BIN"), Link("x", "../../etc/passwd")]),
                "x.tar.gz",
            ),
            (
                tar_gz(&[Regular("cliproxyapi", "BIN"), Link("x", "/etc/passwd")]),
                "x.tar.gz",
            ),
            (
                tar_gz(&[Link("cliproxyapi", "real"), Regular("real", "BIN")]),
                "x.tar.gz",
            ),
            (
                tar_gz(&[Regular("README", "r"), Regular("other-bin", "BIN")]),
                "x.tar.gz",
            ),
            (tar_gz(&[Directory("d/")]), "x.tar.gz"),
            (tar_gz(&[]), "x.tar.gz"),
            (b"nope".to_vec(), "x.tar.gz"),
            (
                tar_gz(&[Regular("cliproxyapi", "BIN")])[..60].to_vec(),
                "x.tar.gz",
            ),
            (zip_of(&[("../cliproxyapi", "BIN")]), "x.zip"),
            (zip_of(&[("README", "r")]), "x.zip"),
            (zip_of(&[]), "x.zip"),
            (b"<html>".to_vec(), "x.zip"),
            (b"\x1f\x8bBIN".to_vec(), "x.gz"),
        ] {
            let error = take(&bytes, name).unwrap_err();
            assert!(error.contains("the archive is not used"), "{name}: {error}");
        }
    }
}
