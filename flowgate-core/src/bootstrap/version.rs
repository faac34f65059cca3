//! Which of two versions is newer.

use std::cmp::Ordering;

/// True if `latest` is newer than `current`. An empty one is no version, and never newer.
///
/// Numbers are compared one by one, where missing ones are zero. A number after `-` counts builds of
/// one version (`6.8.18-1` is newer than `6.8.18`), words such as `rc1` come before the version, and
/// what is neither is left out. Where one has numbers and the other has none, nothing is compared
/// but whether they differ.
///
/// ```
/// use flowgate_core::bootstrap::is_newer;
///
/// assert!(is_newer("v6.10.0", "v6.9.9") && is_newer("v6.8.18-1", "v6.8.18"));
/// assert!(!is_newer("v6.8.18-rc1", "v6.8.18") && is_newer("v6.8.18", "v6.8.18-rc1"));
/// ```
pub fn is_newer(latest: &str, current: &str) -> bool {
    let (latest, current) = (latest.trim(), current.trim());
    if latest.is_empty() || latest == current {
        return false;
    }
    match (Version::read(latest), Version::read(current)) {
        (Some(latest), Some(current)) => latest.cmp(&current) == Ordering::Greater,
        // A nightly build and a version are of different kinds: neither is newer.
        (None, Some(_)) => false,
        _ => true,
    }
}

/// The version that a file beside an installed program names; `None` if it names none.
pub fn recorded(text: &str) -> Option<&str> {
    let text = text.trim();
    (text.contains(|c: char| c.is_ascii_digit())
        && text.len() < 100
        && !text.contains(char::is_whitespace))
    .then_some(text)
}

#[derive(Debug, Eq, PartialEq)]
struct Version {
    numbers: Vec<u64>,
    /// Words and numbers of what comes before the version; `None` if it is the version itself.
    before: Option<(String, u64)>,
    build: u64,
}

impl Version {
    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let text = text.split('+').next().unwrap_or_default();
        let (core, suffix) = text.split_once('-').unwrap_or((text, ""));
        let numbers: Option<Vec<u64>> = core.split('.').map(|part| part.parse().ok()).collect();
        let mut numbers = numbers?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        let mut version = Self {
            numbers,
            before: None,
            build: 0,
        };
        for part in suffix.split(['-', '.']).filter(|part| !part.is_empty()) {
            let word: String = part.chars().take_while(char::is_ascii_alphabetic).collect();
            let number = part[word.len()..].parse().unwrap_or_default();
            match (word.to_lowercase().as_str(), &mut version.before) {
                ("", None) => version.build = number,
                ("", Some((_, before))) => *before = number,
                ("alpha" | "a" | "beta" | "b" | "rc" | "pre" | "preview" | "dev", before) => {
                    *before = Some((word.to_lowercase(), number));
                }
                _ => {}
            }
        }
        Some(version)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        let before = match (&self.before, &other.before) {
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (a, b) => a.cmp(b),
        };
        numbers.then(before).then(self.build.cmp(&other.build))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_compared_as_people_mean_them() {
        for (latest, current, newer) in [
            ("v6.8.20-1", "v6.8.18-1", true),
            ("v6.8.18-1", "v6.8.18-1", false),
            ("v6.8.16-0", "v6.8.18-1", false),
            ("v6.8.18-1", "v6.8.18", true),
            ("v6.10.0", "v6.9.9", true),
            ("v7", "v6.99.99", true),
            ("v6.8.18-10", "v6.8.18-9", true),
            ("6.8.18", "v6.8.18", false),
            ("v6.8.18-0", "v6.8.18", false),
            ("v06.8", "v6.8", false),
            ("1.2.3.4", "1.2.3", true),
            ("1.0", "1", false),
            (" v1.0 ", "v1.0", false),
            ("abc", "abc", false),
            ("abc", "def", true),
            ("v1", "abc", true),
            ("v6.8.18-beta2", "v6.8.17-1", true),
            ("v6.8.18-rc1", "v6.8.18", false),
            ("v6.8.18", "v6.8.18-rc1", true),
            ("v6.8.18-rc.2", "v6.8.18-rc.1", true),
            ("v6.8.18-rc1", "v6.8.18-beta9", true),
            ("nightly-20260225", "v6.8.18-1", false),
            ("v6.8.18-sha1a2b", "v6.8.18", false),
            ("v6.8.18+7", "v6.8.18", false),
            ("", "v1.0", false),
        ] {
            assert_eq!(is_newer(latest, current), newer, "{latest} and {current}");
        }
    }

    #[test]
    fn what_is_recorded_is_a_version() {
        assert_eq!(
            (
                recorded("v6.8.1\n"),
                recorded("abc"),
                recorded(""),
                recorded(" ")
            ),
            (Some("v6.8.1"), None, None, None)
        );
    }

    proptest! {
        #[test]
        fn of_two_versions_one_at_most_is_newer(a in "v?[0-9]{1,2}(\\.[0-9]{1,2}){0,3}(-(rc|beta)?[0-9]{1,2})?", b in "v?[0-9]{1,2}(\\.[0-9]{1,2}){0,3}(-(rc|beta)?[0-9]{1,2})?") {
            prop_assert!(!(is_newer(&a, &b) && is_newer(&b, &a)));
            prop_assert!(!is_newer(&a, &a));
        }

        #[test]
        fn no_text_makes_it_panic(a in "\\PC{0,12}", b in "\\PC{0,12}") {
            is_newer(&a, &b);
        }
    }
}
