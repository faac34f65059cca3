//! Choosing what to install: the asset of a release for a platform, its checksum, the program in an
//! archive, and whether a version is newer. Nothing is fetched or written here.

mod asset;
mod binary;
mod cache;
mod version;

#[cfg(feature = "http")]
pub(crate) use asset::leads_out;
pub use asset::{Asset, Checksums, Release, pick, program_in};
pub use binary::{Kind, kind, other_machine};
pub use cache::UpdateCache;
pub use version::{is_newer, recorded};

use serde::Serialize;

/// Why there is nothing to install.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are no builds for this machine.
    #[error(
        "there are no builds for {os} on {arch}; there are for linux and darwin on amd64 and arm64"
    )]
    Platform {
        /// The operating system.
        os: String,
        /// The architecture.
        arch: String,
    },
    /// The release has no build for the platform.
    #[error("the release has no build for {platform}; it has {}", list(seen))]
    NoAsset {
        /// The platform.
        platform: String,
        /// What it has.
        seen: Vec<String>,
    },
    /// The answer describes no release.
    #[error("the answer describes no release: {reason}; check the repository and the mirror")]
    BadRelease {
        /// What is wrong.
        reason: String,
    },
    /// The archive holds no program that is known.
    #[error("the archive is not used: {reason}; check the release")]
    BadArchive {
        /// What is wrong.
        reason: String,
    },
    /// The download is not what was published.
    #[error(
        "the checksum of `{name}` is wrong: {found} instead of {expected}; nothing was installed"
    )]
    Checksum {
        /// The asset.
        name: String,
        /// The published one, in hexadecimal.
        expected: String,
        /// That of the download, in hexadecimal.
        found: String,
    },
    /// There is no checksum, and one is required.
    #[error(
        "there is no checksum for `{name}`; write it under `bootstrap`, or leave `--require-checksum` out"
    )]
    NoChecksum {
        /// The asset.
        name: String,
    },
    /// The program is not for this machine.
    #[error("`{name}` is {found}; nothing was installed")]
    WrongProgram {
        /// The asset.
        name: String,
        /// What it is.
        found: String,
    },
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    }
}

impl Error {
    /// A stable, machine-readable name for this kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Platform { .. } => "bootstrap.platform",
            Self::NoAsset { .. } => "bootstrap.no_asset",
            Self::BadRelease { .. } => "bootstrap.bad_release",
            Self::BadArchive { .. } => "bootstrap.bad_archive",
            Self::Checksum { .. } => "bootstrap.checksum",
            Self::NoChecksum { .. } => "bootstrap.no_checksum",
            Self::WrongProgram { .. } => "bootstrap.wrong_program",
        }
    }
}

/// An operating system and an architecture, as releases name them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Platform {
    /// `linux` or `darwin`.
    pub os: &'static str,
    /// `amd64` or `arm64`.
    pub arch: &'static str,
}

impl Platform {
    /// The platform of these names, in any of their spellings.
    ///
    /// # Errors
    ///
    /// [`Error::Platform`] if there are no builds for it.
    ///
    /// ```
    /// use flowgate_core::bootstrap::Platform;
    ///
    /// let platform = Platform::of("macos", "aarch64")?;
    /// assert_eq!((platform.os, platform.arch), ("darwin", "arm64"));
    /// # Ok::<(), flowgate_core::bootstrap::Error>(())
    /// ```
    pub fn of(os: &str, arch: &str) -> Result<Self, Error> {
        let unknown = || Error::Platform {
            os: os.to_owned(),
            arch: arch.to_owned(),
        };
        Ok(Self {
            os: os_of(&os.to_lowercase()).ok_or_else(unknown)?,
            arch: arch_of(&arch.to_lowercase()).ok_or_else(unknown)?,
        })
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)
    }
}

fn os_of(name: &str) -> Option<&'static str> {
    match name {
        "linux" => Some("linux"),
        "darwin" | "macos" | "osx" => Some("darwin"),
        _ => None,
    }
}

fn arch_of(name: &str) -> Option<&'static str> {
    match name {
        "amd64" | "x86_64" | "x64" => Some("amd64"),
        "arm64" | "aarch64" => Some("arm64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_known_in_every_spelling() {
        for (os, arch, expected) in [
            ("Linux", "x86_64", "linux/amd64"),
            ("LINUX", "X86_64", "linux/amd64"),
            ("Linux", "amd64", "linux/amd64"),
            ("Linux", "aarch64", "linux/arm64"),
            ("linux", "arm64", "linux/arm64"),
            ("Darwin", "arm64", "darwin/arm64"),
            ("macos", "x86_64", "darwin/amd64"),
        ] {
            assert_eq!(Platform::of(os, arch).unwrap().to_string(), expected);
        }
        for (os, arch) in [
            ("Windows", "AMD64"),
            ("FreeBSD", "amd64"),
            ("Linux", "armv7l"),
            ("Linux", "i686"),
            ("Linux", "riscv64"),
            ("", ""),
        ] {
            let error = Platform::of(os, arch).unwrap_err();
            assert!(error.to_string().contains("linux and darwin"), "{error}");
        }
    }
}
