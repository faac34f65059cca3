//! What a program is made for, told by its first bytes.

use serde::Serialize;

use super::arch_of;

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A program for Linux on this architecture; `None` if it is another one.
    Linux(Option<&'static str>),
    /// A program for macOS on this architecture; `None` if it is another one.
    MacOs(Option<&'static str>),
    /// A program for macOS on several architectures.
    Universal,
    /// A script.
    Script,
    /// A program for Windows.
    Windows,
    /// Anything else.
    Other,
}

/// Tells a file by its first 20 bytes.
///
/// Sources: the ELF specification (`e_machine`), and `mach-o/loader.h` of macOS.
pub fn kind(head: &[u8]) -> Kind {
    let word = |at: usize| {
        head.get(at..at + 4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    match head {
        [0x7f, b'E', b'L', b'F', ..] => Kind::Linux(match head.get(18..20) {
            Some([62, 0]) => Some("amd64"),
            Some([183, 0]) => Some("arm64"),
            _ => None,
        }),
        [0xcf, 0xfa, 0xed, 0xfe, ..] => Kind::MacOs(match word(4) {
            Some(0x0100_0007) => Some("amd64"),
            Some(0x0100_000c) => Some("arm64"),
            _ => None,
        }),
        [0xca, 0xfe, 0xba, 0xbe, ..] => Kind::Universal,
        [b'#', b'!', ..] => Kind::Script,
        [b'M', b'Z', ..] => Kind::Windows,
        _ => Kind::Other,
    }
}

/// What a file is, in words, if it cannot run on a machine of this operating system and
/// architecture; `None` if it can, or if nobody can tell.
pub fn other_machine(head: &[u8], os: &str, arch: &str) -> Option<String> {
    let ours = arch_of(arch);
    let is_mac = matches!(os, "macos" | "darwin");
    let named = |arch: Option<&str>| arch.unwrap_or("another architecture").to_owned();
    match kind(head) {
        Kind::Linux(arch) if is_mac => Some(format!("a program for Linux on {}", named(arch))),
        Kind::Linux(arch) if ours.is_some() && arch != ours => {
            Some(format!("a program for {}", named(arch)))
        }
        Kind::MacOs(arch) if !is_mac => Some(format!("a program for macOS on {}", named(arch))),
        // macOS on arm64 runs programs for amd64.
        Kind::MacOs(arch) if arch != ours && (arch, ours) != (Some("amd64"), Some("arm64")) => {
            Some(format!("a program for {}", named(arch)))
        }
        Kind::Universal if !is_mac => Some("a program for macOS".to_owned()),
        Kind::Windows => Some("a program for Windows".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8) -> Vec<u8> {
        let mut head = vec![0; 20];
        head[..4].copy_from_slice(b"\x7fELF");
        head[18] = machine;
        head
    }

    #[test]
    fn programs_are_told_by_their_first_bytes() {
        assert_eq!(kind(&elf(62)), Kind::Linux(Some("amd64")));
        assert_eq!(kind(&elf(183)), Kind::Linux(Some("arm64")));
        assert_eq!(
            kind(&[0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0, 0, 1]),
            Kind::MacOs(Some("arm64"))
        );
        assert_eq!(kind(b"#!/bin/sh"), Kind::Script);
        assert_eq!(kind(&[0; 20]), Kind::Other);
        assert_eq!(kind(b"\x7fELF"), Kind::Linux(None));
        for (head, os, arch, wrong) in [
            (elf(62), "linux", "x86_64", false),
            (elf(62), "linux", "aarch64", true),
            (elf(183), "linux", "aarch64", false),
            (elf(62), "macos", "x86_64", true),
            (
                vec![0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1],
                "macos",
                "aarch64",
                false,
            ),
            (
                vec![0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1],
                "linux",
                "x86_64",
                true,
            ),
            (b"MZ".to_vec(), "linux", "x86_64", true),
            (b"#!/bin/sh".to_vec(), "linux", "x86_64", false),
        ] {
            assert_eq!(
                other_machine(&head, os, arch).is_some(),
                wrong,
                "{head:?} {os} {arch}"
            );
        }
    }
}
