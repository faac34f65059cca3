//! Reading configuration files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::Error;
use crate::config::{self, Base, Config, resolve_path};
use crate::yaml::{MAX_BYTES, too_large};

/// Reads a configuration file, and the second file that a version 3 document refers to.
///
/// # Errors
///
/// [`Error::Read`] if a file cannot be read, [`Error::Config`] with everything that is wrong in it.
pub fn load(path: &Path) -> Result<Config, Error> {
    let config = Config::from_file(&path.to_string_lossy(), &read_document(path)?)?;
    let Some(proxy) = config.proxy_file() else {
        return Ok(config);
    };
    let base = BaseDir::of(path)?;
    let proxy = resolve_path(proxy, &base.as_base())?;
    let bytes = read_document(Path::new(&proxy)).map_err(|error| match error {
        Error::Read {
            path,
            reason,
            environment,
            ..
        } => Error::Read {
            path,
            reason,
            hint: "it is named by `cliproxyapi_plus.config_file`".to_owned(),
            environment,
        },
        other => other,
    })?;
    Ok(config.with_proxy_file(&proxy, &bytes)?)
}

/// The configuration with every path absolute, seen from the directory of its file (or from the
/// current directory, if it has none) and from `$HOME`.
///
/// # Errors
///
/// [`Error::Config`] if a path cannot be resolved, [`Error::Read`] if there is no current directory.
pub fn resolve(config: &Config) -> Result<Config, Error> {
    let base = BaseDir::of(Path::new(config.file().unwrap_or("./")))?;
    Ok(config.resolve(&base.as_base())?)
}

struct BaseDir {
    dir: String,
    home: Option<String>,
}

impl BaseDir {
    fn of(file: &Path) -> Result<Self, Error> {
        let absolute = std::path::absolute(file).map_err(|error| Error::read(file, &error))?;
        let dir = if file.as_os_str() == "./" {
            absolute.as_path()
        } else {
            absolute.parent().unwrap_or(&absolute)
        };
        let dir = dir.to_str().ok_or_else(|| Error::Read {
            path: dir.to_owned(),
            reason: "the path is not UTF-8".to_owned(),
            hint: "move the file to a directory whose name is text".to_owned(),
            environment: true,
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            home: std::env::var("HOME")
                .ok()
                .filter(|home| home.starts_with('/')),
        })
    }

    fn as_base(&self) -> Base<'_> {
        Base {
            dir: &self.dir,
            home: self.home.as_deref(),
        }
    }
}

/// Reads a file up to the size that is parsed.
///
/// # Errors
///
/// [`Error::Read`] if it cannot be read, [`Error::Config`] if it is too large.
pub fn read_document(path: &Path) -> Result<Vec<u8>, Error> {
    let at = |error: io::Error| Error::read(path, &error);
    let file = File::open(path).map_err(at)?;
    let metadata = file.metadata().map_err(at)?;
    if metadata.is_dir() {
        return Err(at(io::ErrorKind::IsADirectory.into()));
    }
    let large = |bytes: u64| {
        Error::Config(config::invalid(
            Some(&path.to_string_lossy()),
            vec![too_large(bytes)],
        ))
    };
    if metadata.len() > MAX_BYTES as u64 {
        return Err(large(metadata.len()));
    }
    let mut bytes = Vec::new();
    // A pipe has no length to look at beforehand.
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(at)?;
    if bytes.len() > MAX_BYTES {
        return Err(large(bytes.len() as u64));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn problem(error: &Error) -> (&'static str, u32, u32) {
        let d = &error.diagnostics()[0];
        (d.code, d.span.line, d.span.column)
    }

    #[test]
    fn what_cannot_be_read_is_said_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let missing = load(&path).unwrap_err();
        assert!(missing.to_string().contains("no such file"), "{missing}");
        assert!(!missing.is_environment());
        assert!(
            load(dir.path())
                .unwrap_err()
                .to_string()
                .contains("is a directory")
        );

        fs::write(&path, b"a: 1\nb: x\xffy\n").unwrap();
        assert_eq!(
            problem(&load(&path).unwrap_err()),
            ("config.not_utf8", 2, 5)
        );
        fs::write(&path, b"a: x\0y\n").unwrap();
        assert_eq!(problem(&load(&path).unwrap_err()), ("yaml.syntax", 1, 5));
        let huge = File::create(&path).unwrap();
        huge.set_len(100 << 20).unwrap();
        assert_eq!(problem(&load(&path).unwrap_err()).0, "yaml.too_large");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_or_round_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::os::unix::fs::symlink(&a, &b).unwrap();
        std::os::unix::fs::symlink(&b, &a).unwrap();
        let error = load(&a).unwrap_err();
        assert!(
            error.is_environment() && error.to_string().contains("leads back to itself"),
            "{error}"
        );
    }

    #[test]
    fn version_3_takes_the_port_from_the_second_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flowgate.yaml");
        fs::write(&path, "config_version: 3\npaths: {runtime_dir: run}\ncliproxyapi_plus: {config_file: proxy.yaml}\n").unwrap();
        let error = load(&path).unwrap_err();
        assert!(
            error.to_string().contains("cliproxyapi_plus.config_file"),
            "{error}"
        );

        fs::write(
            dir.path().join("proxy.yaml"),
            "host: ''\nport: 9000\nweird: [1]\n",
        )
        .unwrap();
        let config = load(&path).unwrap();
        assert_eq!(
            config.settings().services["cliproxyapi_plus"]
                .port
                .map(u16::from),
            Some(9000)
        );
        let resolved = resolve(&config).unwrap();
        let runtime_dir = resolved.settings().paths.runtime_dir.to_string();
        assert_eq!(Path::new(&runtime_dir), dir.path().join("run"));

        fs::write(dir.path().join("proxy.yaml"), "port: '9000'\n").unwrap();
        let error = load(&path).unwrap_err();
        assert_eq!(problem(&error), ("config.wrong_type", 1, 7));
        assert!(
            error.diagnostics()[0]
                .file
                .as_deref()
                .unwrap()
                .ends_with("proxy.yaml")
        );
    }
}
