//! What a server says of a release, its checksums and its programs is read or refused.

#![no_main]

use flowgate_core::bootstrap::{Checksums, Platform, Release, UpdateCache, is_newer, kind, other_machine, pick, program_in};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    kind(bytes);
    other_machine(bytes, "linux", "x86_64");
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    UpdateCache::read(text);
    is_newer(text, "v6.8.18-1");
    let names: Vec<&str> = text.lines().collect();
    if let Ok(place) = program_in(&names) {
        assert!(place < names.len());
    }
    let checksums = Checksums::read(text, "cli_linux_amd64.tar.gz");
    if let Some(sum) = checksums.of("cli_linux_amd64.tar.gz") {
        assert!(sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let Ok(release) = Release::from_json(text) else {
        return;
    };
    let platform = Platform::of("linux", "x86_64").expect("a platform that is known");
    if let Ok(asset) = pick(&release.assets, platform) {
        release.checksum_of(asset);
    }
    release.checksums();
});
