//! Every call of this crate, made for real. They are for a process of one thread, which the usual
//! test runner is not: this one has a `main` of its own. Run it with a sanitizer as well:
//!
//! ```console
//! $ RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p flowgate-sys --target x86_64-unknown-linux-gnu
//! ```

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::fs;
    use std::io::{self, Write};
    use std::os::fd::{AsFd, AsRawFd};
    use std::process::{Command, exit};

    use flowgate_sys::Forked;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

    pub(crate) fn main() {
        if std::env::args().nth(1).as_deref() == Some("inherited") {
            return what_was_inherited_is_closed();
        }
        // Each in a process of its own, for they change what the process is.
        let tests: [(&str, fn()); 7] = [
            ("a copy ends by itself", || ()),
            ("another program takes its place", another_program),
            ("what is no program is not run", no_program),
            ("signals are held back", signals_are_held_back),
            ("signals mean what they do by default", signals_are_reset),
            ("descriptor 3 is taken", descriptor_3),
            ("children vanish", children_vanish),
        ];
        for (name, test) in tests {
            assert_eq!(
                code(|| {
                    test();
                    0
                }),
                0,
                "{name}"
            );
            println!("{name}: ok");
        }
        let program = std::env::current_exe().unwrap();
        let script = "exec 5</dev/null 7</dev/null; exec \"$0\" inherited";
        let inherited = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .status();
        assert!(inherited.unwrap().success());
        println!("what was inherited is closed: ok");
    }

    /// Runs this in a copy of the process; the code that it ends with.
    fn code(work: impl FnOnce() -> i32) -> i32 {
        // Nothing may be written twice.
        io::stdout().flush().unwrap();
        match flowgate_sys::fork().unwrap() {
            Forked::Child => exit(work()),
            Forked::Parent(child) => {
                let child = Pid::from_raw(child.try_into().unwrap());
                let (_, status) = waitpid(child, WaitOptions::empty()).unwrap().unwrap();
                status.exit_status().unwrap_or(-1)
            }
        }
    }

    fn texts(texts: &[&str]) -> Vec<CString> {
        let texts = texts.iter().map(|text| CString::new(*text).unwrap());
        texts.collect()
    }

    fn run(program: &str, arguments: &[&str], variables: &[&str]) -> i32 {
        code(|| {
            let program = CString::new(program).unwrap();
            let error = flowgate_sys::execute(&program, &texts(arguments), &texts(variables));
            100 + error.raw_os_error().unwrap()
        })
    }

    fn another_program() {
        let script = "test \"$A $B\" = '1 two words' && exit 7";
        let variables = ["A=1", "B=two words", "PATH=/bin"];
        assert_eq!(run("/bin/sh", &["sh", "-c", script], &variables), 7);
        let many: Vec<String> = (0..500).map(|number| format!("V{number}=x")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(run("/bin/sh", &["sh", "-c", "exit ${#V499}"], &many), 1);
        assert_eq!(run("/bin/true", &[], &[]), 0);
    }

    fn no_program() {
        // ENOENT, EACCES, ENOEXEC of Linux.
        assert_eq!(run("/nowhere", &["x"], &[]), 102);
        assert_eq!(run("/etc/passwd", &["x"], &[]), 113);
        let text = std::env::temp_dir().join(format!("flowgate-sys-{}", getpid()));
        fs::write(&text, "exit 0\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&text, mode).unwrap();
        // No shell is asked to make something of it.
        assert_eq!(run(text.to_str().unwrap(), &["x"], &[]), 108);
        fs::remove_file(&text).unwrap();
    }

    fn signals_are_held_back() {
        let children = flowgate_sys::hold_signals().unwrap();
        kill_process(getpid(), Signal::TERM).unwrap();
        let is_child = |child| {
            let mut fds = [PollFd::new(&children, PollFlags::IN)];
            let patience = rustix::event::Timespec {
                tv_sec: if child { 10 } else { 0 },
                tv_nsec: 0,
            };
            poll(&mut fds, Some(&patience)).unwrap() == 1
        };
        assert!(!is_child(false));
        match flowgate_sys::fork().unwrap() {
            Forked::Child => exit(0),
            Forked::Parent(_) => assert!(is_child(true)),
        }
        // The signal that would have ended this waits.
        assert_ne!(mask("SigBlk") & (1 << (Signal::TERM.as_raw() - 1)), 0);
        flowgate_sys::forget_children();
    }

    fn signals_are_reset() {
        flowgate_sys::forget_children();
        assert_ne!(mask("SigIgn"), 0);
        let _children = flowgate_sys::hold_signals().unwrap();
        flowgate_sys::reset_signals().unwrap();
        assert_eq!((mask("SigIgn"), mask("SigBlk"), mask("SigCgt")), (0, 0, 0));
    }

    /// A set of signals, as the kernel has it for this process.
    fn mask(name: &str) -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    }

    fn descriptor_3() {
        let slot = flowgate_sys::take_descriptor_3().unwrap();
        assert_eq!(slot.as_raw_fd(), 3);
        assert_eq!(
            fs::read_link("/proc/self/fd/3").unwrap().to_str(),
            Some("/dev/null")
        );
        // What this process opened there itself stays its own.
        let error = flowgate_sys::take_descriptor_3().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        drop(slot);
    }

    fn children_vanish() {
        flowgate_sys::forget_children();
        assert!(matches!(flowgate_sys::fork().unwrap(), Forked::Parent(_)) || exit_child());
        assert!(rustix::process::wait(WaitOptions::empty()).is_err());
    }

    fn exit_child() -> bool {
        exit(0)
    }

    fn what_was_inherited_is_closed() {
        let own = fs::File::open("/dev/null").unwrap();
        let open = |fd: i32| fs::read_link(format!("/proc/self/fd/{fd}")).is_ok();
        assert!(open(5) && open(7));
        flowgate_sys::close_inherited().unwrap();
        assert!(!open(5) && !open(7));
        assert!(rustix::io::fcntl_getfd(own.as_fd()).is_ok());
    }
}
