//! What a release consists of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, Platform, arch_of, os_of};

/// A file of a release.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Asset {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Its SHA-256 in hexadecimal, if the release says.
    pub sha256: Option<String>,
}

/// A release.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// The page about it.
    pub page: Option<String>,
    /// Its files.
    pub assets: Vec<Asset>,
}

impl Release {
    /// Reads what GitHub's API says about a release. Assets without a name or address are left out.
    ///
    /// # Errors
    ///
    /// [`Error::BadRelease`] if it is none.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::BadRelease {
            reason: reason.to_owned(),
        };
        let root: Value = serde_json::from_str(text).map_err(|_| bad("it is not JSON"))?;
        let said = |key: &str| {
            root.get(key)?
                .as_str()
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let version = said("tag_name").ok_or_else(|| bad("it has no `tag_name`"))?;
        let assets = root.get("assets").and_then(Value::as_array);
        let assets = assets.ok_or_else(|| bad("it has no list of assets"))?;
        let asset = |value: &Value| {
            let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
            let digest = text("digest");
            Some(Asset {
                name: text("name")?,
                url: text("browser_download_url")?,
                sha256: digest.and_then(|digest| sha256(digest.strip_prefix("sha256:")?)),
            })
        };
        Ok(Self {
            version: version.to_owned(),
            page: said("html_url").map(str::to_owned),
            assets: assets.iter().filter_map(asset).collect(),
        })
    }

    /// The file of checksums, if there is one.
    pub fn checksums(&self) -> Option<&Asset> {
        let is_list = |asset: &&Asset| {
            let name = asset.name.to_lowercase();
            ["checksums.txt", "sha256sums", "sha256sums.txt"].contains(&name.as_str())
                || name.ends_with("_checksums.txt")
        };
        self.assets.iter().find(is_list)
    }

    /// The file with the checksum of one asset alone, if there is one.
    pub fn checksum_of(&self, asset: &Asset) -> Option<&Asset> {
        let names = [".sha256", ".sha256sum"].map(|ending| format!("{}{ending}", asset.name));
        self.assets.iter().find(|other| names.contains(&other.name))
    }
}

/// What a file of a release is, told by the end of its name; the best kind first.
const KINDS: [&str; 4] = [".tar.gz", ".tgz", ".zip", ""];
/// What is said about a file, and is not the file.
const BESIDE: [&str; 10] = [
    ".sha256",
    ".sha256sum",
    ".sig",
    ".asc",
    ".pem",
    ".txt",
    ".json",
    ".sbom",
    ".md",
    ".deb",
];

/// The build of CLIProxyAPIPlus for a platform. Operating system and architecture must both be in
/// its name as words of their own; the plainest name is the best, then `.tar.gz` before `.zip`.
///
/// # Errors
///
/// [`Error::NoAsset`] with what there is.
pub fn pick(assets: &[Asset], platform: Platform) -> Result<&Asset, Error> {
    let rated = assets
        .iter()
        .filter_map(|asset| Some((rate(&asset.name, platform)?, asset)));
    // Of equals, the first.
    let best = rated.min_by_key(|(rating, _)| *rating);
    best.map(|(_, asset)| asset).ok_or_else(|| Error::NoAsset {
        platform: platform.to_string(),
        seen: assets.iter().map(|asset| asset.name.clone()).collect(),
    })
}

/// How far a name is from what is wanted; `None` if it is something else.
fn rate(name: &str, platform: Platform) -> Option<(usize, usize)> {
    let name = name.to_lowercase();
    if BESIDE.iter().any(|ending| name.ends_with(ending)) || !is_proxy(&name) {
        return None;
    }
    let kind = KINDS.iter().position(|ending| name.ends_with(ending))?;
    let stem = name.strip_suffix(KINDS[kind])?;
    // `x86_64` is one word.
    let stem = stem.replace("x86_64", "amd64");
    let words: Vec<&str> = stem.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let has = |found: fn(&str) -> Option<&'static str>, wanted: &str| {
        let known: Vec<&str> = words.iter().filter_map(|word| found(word)).collect();
        known.contains(&wanted) && known.iter().all(|known| *known == wanted)
    };
    if !has(os_of, platform.os) || !has(arch_of, platform.arch) {
        return None;
    }
    // What follows the platform is a variant: musl, no-plugin.
    let last = words
        .iter()
        .rposition(|word| os_of(word).is_some() || arch_of(word).is_some())?;
    Some((words.len() - 1 - last, kind))
}

fn is_proxy(name: &str) -> bool {
    name.replace(['-', '_'], "").contains("cliproxyapi")
}

/// The names of the program, the best first.
const PROGRAMS: [&str; 6] = [
    "cliproxyapiplus",
    "cli-proxy-api-plus",
    "cliproxyapi",
    "cli-proxy-api",
    "cliproxyapiplus.exe",
    "cli-proxy-api-plus.exe",
];

/// Which of the regular files in an archive is the program; its place among them.
///
/// # Errors
///
/// [`Error::BadArchive`] if a name leads out of the archive, or none is known.
///
/// ```
/// use flowgate_core::bootstrap::program_in;
///
/// assert_eq!(program_in(&["README.md", "dist/cli-proxy-api-plus"])?, 1);
/// assert!(program_in(&["../cliproxyapi"]).is_err());
/// # Ok::<(), flowgate_core::bootstrap::Error>(())
/// ```
pub fn program_in(names: &[&str]) -> Result<usize, Error> {
    let bad = |reason: String| Error::BadArchive { reason };
    if let Some(name) = names.iter().find(|name| leads_out(name)) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        return Err(bad(format!("the entry `{shown}` leads out of it")));
    }
    let base = |name: &&str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let bases: Vec<String> = names.iter().map(base).collect();
    // The first of the known names in the archive's own order, then anything that looks like one.
    let known = bases
        .iter()
        .position(|base| PROGRAMS.contains(&base.as_str()));
    let like = || {
        bases
            .iter()
            .position(|base| is_proxy(base) && !BESIDE.iter().any(|ending| base.ends_with(ending)))
    };
    known
        .or_else(like)
        .ok_or_else(|| bad("it holds no program that is known".to_owned()))
}

/// True for an absolute name, and for one with `..` in it.
pub(crate) fn leads_out(name: &str) -> bool {
    let absolute = name.starts_with(['/', '\\']) || name.get(1..2) == Some(":");
    absolute || name.split(['/', '\\']).any(|part| part == "..")
}

/// Checksums by file name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Checksums(BTreeMap<String, String>);

impl Checksums {
    /// Reads lines of checksum and name, as `sha256sum` writes them; other lines are left out. A
    /// checksum alone is that of `only`.
    pub fn read(text: &str, only: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let sum = sha256(words.next()?)?;
            let name = words
                .next()
                .map_or(only, |name| name.trim_start_matches('*'));
            let name = name.rsplit('/').next().unwrap_or(name);
            Some((name.to_owned(), sum))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The checksum of a file.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// A SHA-256 in hexadecimal, in lower case; `None` if it is none.
pub(super) fn sha256(text: &str) -> Option<String> {
    let good = text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
    good.then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(names: &[&str], os: &str, arch: &str) -> Result<String, Error> {
        let asset = |name: &&str| Asset {
            name: (*name).to_owned(),
            url: format!("https://x/{name}"),
            sha256: None,
        };
        let assets: Vec<Asset> = names.iter().map(asset).collect();
        pick(&assets, Platform::of(os, arch).unwrap()).map(|asset| asset.name.clone())
    }

    #[test]
    fn the_build_for_the_platform_is_found() {
        let mut release = vec![];
        for platform in [
            "darwin_amd64.tar.gz",
            "darwin_arm64.tar.gz",
            "linux_amd64.tar.gz",
            "linux_arm64.tar.gz",
            "windows_amd64.zip",
            "windows_arm64.zip",
        ] {
            release.push(format!("CLIProxyAPIPlus_6.8.18-1_{platform}"));
        }
        release.push("checksums.txt".to_owned());
        let mut names: Vec<&str> = release.iter().map(String::as_str).collect();
        for _ in 0..2 {
            for (os, arch) in [
                ("linux", "amd64"),
                ("linux", "arm64"),
                ("darwin", "amd64"),
                ("darwin", "arm64"),
            ] {
                let expected = format!("CLIProxyAPIPlus_6.8.18-1_{os}_{arch}.tar.gz");
                assert_eq!(picked(&names, os, arch), Ok(expected));
            }
            names.reverse();
        }
    }

    #[test]
    fn names_are_read_as_words() {
        for (names, os, arch, expected) in [
            (
                &[
                    "cliproxyapi_linux_amd64.zip",
                    "cliproxyapi_linux_amd64.tar.gz",
                ][..],
                "linux",
                "amd64",
                "cliproxyapi_linux_amd64.tar.gz",
            ),
            (
                &["cliproxyapi_linux_amd64.zip"],
                "linux",
                "amd64",
                "cliproxyapi_linux_amd64.zip",
            ),
            (
                &["CLIProxyAPI-linux-amd64"],
                "linux",
                "amd64",
                "CLIProxyAPI-linux-amd64",
            ),
            (
                &["CLIPROXYAPI_LINUX_AMD64.TAR.GZ"],
                "linux",
                "amd64",
                "CLIPROXYAPI_LINUX_AMD64.TAR.GZ",
            ),
            (
                &["cli-proxy-api-plus_1_linux_amd64.tar.gz"],
                "linux",
                "amd64",
                "cli-proxy-api-plus_1_linux_amd64.tar.gz",
            ),
            (
                &[
                    "CLIProxyAPIPlus_linux_amd64.tar.gz.sha256",
                    "CLIProxyAPIPlus_linux_amd64.tar.gz",
                ],
                "linux",
                "amd64",
                "CLIProxyAPIPlus_linux_amd64.tar.gz",
            ),
            (
                &[
                    "CLIProxyAPIPlus_linux_amd64.sbom.json",
                    "CLIProxyAPIPlus_linux_amd64.tar.gz.sig",
                    "CLIProxyAPIPlus_linux_amd64.tar.gz",
                ],
                "linux",
                "amd64",
                "CLIProxyAPIPlus_linux_amd64.tar.gz",
            ),
            (
                &[
                    "a_cliproxyapi_linux_amd64.tar.gz",
                    "b_cliproxyapi_linux_amd64.tar.gz",
                ],
                "linux",
                "amd64",
                "a_cliproxyapi_linux_amd64.tar.gz",
            ),
            (
                &[
                    "CLIProxyAPI_linux_amd64_musl.tar.gz",
                    "CLIProxyAPI_linux_amd64.tar.gz",
                ],
                "linux",
                "amd64",
                "CLIProxyAPI_linux_amd64.tar.gz",
            ),
            (
                &[
                    "CLIProxyAPIPlus_1_linux_arm64.tar.gz",
                    "CLIProxyAPIPlus_1_linux_x86_64.tar.gz",
                ],
                "linux",
                "amd64",
                "CLIProxyAPIPlus_1_linux_x86_64.tar.gz",
            ),
        ] {
            assert_eq!(picked(names, os, arch).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn r21_a_build_for_another_machine_is_never_taken() {
        let aarch64 = [
            "CLIProxyAPIPlus_1_linux_amd64.tar.gz",
            "CLIProxyAPIPlus_1_linux_aarch64.tar.gz",
        ];
        assert_eq!(
            picked(&aarch64, "linux", "arm64").as_deref(),
            Ok(aarch64[1])
        );
        for (names, os, arch) in [
            (
                &["CLIProxyAPIPlus_1_linux_amd64.tar.gz"][..],
                "linux",
                "arm64",
            ),
            (&["CLIProxyAPIPlus_1_windows_amd64.zip"], "linux", "amd64"),
            (&["CLIProxyAPIPlus_1_darwin_arm64.tar.gz"], "linux", "arm64"),
            (&["CLIProxyAPIPlus.tar.gz"], "linux", "amd64"),
            (
                &["CLIProxyAPIPlus_linux_amd64.tar.gz.sha256"],
                "linux",
                "amd64",
            ),
            (&["other_linux_amd64.tar.gz"], "linux", "amd64"),
            (
                &["CLIProxyAPI_darwinian_linux_amd64.tar.gz"],
                "darwin",
                "amd64",
            ),
            (&[], "linux", "amd64"),
        ] {
            let error = picked(names, os, arch).unwrap_err();
            let shown = error.to_string();
            assert!(names.iter().all(|name| shown.contains(name)), "{shown}");
        }
    }

    #[test]
    fn a_release_is_read_as_github_describes_it() {
        let release = Release::from_json(r#"{"tag_name": "v1", "html_url": "https://r", "assets": [{"name": null}, {"name": "x"}, {"name": "cliproxyapi_linux_amd64.zip", "browser_download_url": "https://x", "digest": "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"}, {"name": "checksums.txt", "browser_download_url": "https://c"}]}"#).unwrap();
        assert_eq!((release.version.as_str(), release.assets.len()), ("v1", 2));
        assert!(
            release.assets[0]
                .sha256
                .as_ref()
                .unwrap()
                .starts_with("e3b0")
        );
        assert_eq!(release.checksums().unwrap().url, "https://c");
        for bad in [
            "<html>",
            "[]",
            "{}",
            r#"{"tag_name": "v1", "assets": {}}"#,
            r#"{"assets": []}"#,
        ] {
            assert_eq!(
                Release::from_json(bad).unwrap_err().code(),
                "bootstrap.bad_release",
                "{bad}"
            );
        }
    }

    #[test]
    fn the_program_is_found_by_its_name() {
        for (names, place) in [
            (
                &[
                    "LICENSE",
                    "README.md",
                    "config.example.yaml",
                    "cli-proxy-api-plus",
                ][..],
                3,
            ),
            (&["dist/CLIProxyAPIPlus"], 0),
            (&["a.sh", "cliproxyapi"], 1),
            (&["CLIProxyAPIPlus.EXE"], 0),
            (&["a/cliproxyapi", "b/cliproxyapiplus"], 0),
            (&["LICENSE", "cli-proxy-api-plus.exe"], 1),
            (&["cliproxyapi_v6"], 0),
        ] {
            assert_eq!(program_in(names), Ok(place), "{names:?}");
        }
        for names in [
            &[][..],
            &["README", "other-bin"],
            &["cliproxyapi.sha256"],
            &["/usr/bin/cliproxyapi"],
            &["x", "../../cliproxyapi"],
            &["a/../../cliproxyapi"],
            &["..\\cliproxyapi"],
            &["C:\\cliproxyapi"],
        ] {
            assert_eq!(
                program_in(names).unwrap_err().code(),
                "bootstrap.bad_archive",
                "{names:?}"
            );
        }
    }

    #[test]
    fn checksums_are_read_as_sha256sum_writes_them() {
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let text = format!(
            "# sums\n{sum}  a.tar.gz\n{} *./b.zip\nshort  c\n",
            sum.to_uppercase()
        );
        let sums = Checksums::read(&text, "only");
        assert_eq!(
            (sums.of("a.tar.gz"), sums.of("b.zip"), sums.of("c")),
            (Some(sum), Some(sum), None)
        );
        assert_eq!(
            Checksums::read(&format!("{sum}\n"), "only").of("only"),
            Some(sum)
        );
    }
}
