//! Every call of this crate, made for real. They are for a process of one thread, which the usual
//! test runner is not: this one has a `main` of its own. Run it with a sanitizer as well:
//!
//! ```console
//! $ RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p flowgate-sys --target x86_64-unknown-linux-gnu
//! ```

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

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
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
    use std::process::{Command, exit};

    use flowgate_sys::{Forked, NotStarted, Program};
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{
        Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, waitpid,
    };

    pub(crate) fn main() {
        if std::env::args().nth(1).as_deref() == Some("inherited") {
            return what_was_inherited_is_closed();
        }
        // Each in a process of its own, for they change what the process is.
        let tests: [(&str, fn()); 9] = [
            ("a copy ends by itself", || ()),
            ("another program is started", another_program),
            ("what is no program is not run", no_program),
            ("a program finds what it is handed", what_it_is_handed),
            (
                "nothing of this process shows in a program",
                nothing_of_this,
            ),
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

    /// What a program is started with, to be changed.
    struct Given<'a> {
        arguments: &'a [&'a str],
        variables: &'a [&'a str],
        directory: Option<&'a str>,
        stdout: Option<&'a fs::File>,
        listener: Option<BorrowedFd<'a>>,
    }

    const GIVEN: Given<'_> = Given {
        arguments: &["x"],
        variables: &[],
        directory: None,
        stdout: None,
        listener: None,
    };

    /// Starts it where none of its descriptors is in the way of another.
    fn start(path: &str, given: &Given<'_>) -> Result<u32, NotStarted> {
        let high = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 10).unwrap();
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let stdout = high(given.stdout.map_or(stdout.as_fd(), |file| file.as_fd()));
        let stderr = high(stderr.as_fd());
        let listener = given.listener.map(high);
        let directory = given.directory.map(|path| CString::new(path).unwrap());
        flowgate_sys::spawn(&Program {
            path: &CString::new(path).unwrap(),
            arguments: &texts(given.arguments),
            variables: &texts(given.variables),
            directory: directory.as_deref(),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
            listener: listener.as_ref().map(AsFd::as_fd),
        })
    }

    /// The code that it ends with, if it starts.
    fn run(path: &str, given: &Given<'_>) -> Result<i32, NotStarted> {
        let child = Pid::from_raw(start(path, given)?.try_into().unwrap());
        let (_, status) = waitpid(child, WaitOptions::empty()).unwrap().unwrap();
        Ok(status.exit_status().unwrap_or(-1))
    }

    fn sh(script: &str, given: Given<'_>) -> i32 {
        let arguments: &[&str] = &["sh", "-c", script];
        run("/bin/sh", &Given { arguments, ..given }).unwrap()
    }

    fn another_program() {
        let variables: &[&str] = &["A=1", "B=two words", "PATH=/bin"];
        let script = "test \"$A $B\" = '1 two words' && exit 7";
        assert_eq!(sh(script, Given { variables, ..GIVEN }), 7);
        let many: Vec<String> = (0..500).map(|number| format!("V{number}=x")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let variables: &[&str] = &many;
        assert_eq!(sh("exit ${#V499}", Given { variables, ..GIVEN }), 1);
        let arguments: &[&str] = &[];
        let given = Given { arguments, ..GIVEN };
        assert_eq!(run("/bin/true", &given).unwrap(), 0);
        // Its number is told at once, and it is a group of its own.
        let arguments = &["sleep", "60"];
        let pid = start("/bin/sleep", &Given { arguments, ..GIVEN }).unwrap();
        let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
        assert_eq!(rustix::process::getpgid(Some(pid)).unwrap(), pid);
        kill_process_group(pid, Signal::TERM).unwrap();
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.terminating_signal(), Some(Signal::TERM.as_raw()));
    }

    fn no_program() {
        let program = |path: &str| match run(path, &GIVEN) {
            Err(NotStarted::Program(error)) => error.raw_os_error().unwrap(),
            other => panic!("{other:?}"),
        };
        // ENOENT, EACCES, ENOEXEC of Linux.
        assert_eq!(program("/nowhere"), 2);
        assert_eq!(program("/etc/passwd"), 13);
        let text = std::env::temp_dir().join(format!("flowgate-sys-{}", getpid()));
        fs::write(&text, "exit 0\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&text, mode).unwrap();
        // No shell is asked to make something of it.
        assert_eq!(program(text.to_str().unwrap()), 8);
        fs::remove_file(&text).unwrap();
        let directory = Some("/nowhere");
        let nowhere = run("/bin/true", &Given { directory, ..GIVEN });
        assert!(
            matches!(&nowhere, Err(NotStarted::Directory(error)) if error.raw_os_error() == Some(2)),
            "{nowhere:?}"
        );
        // None of those that did not start is left to be waited for.
        assert!(rustix::process::wait(WaitOptions::empty()).is_err());
    }

    fn what_it_is_handed() {
        flowgate_sys::close_inherited().unwrap();
        let (mut read, write) = io::pipe().unwrap();
        let output = fs::File::from(std::os::fd::OwnedFd::from(write));
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let given = Given {
            directory: Some("/usr"),
            stdout: Some(&output),
            listener: Some(socket.as_fd()),
            variables: &["PATH=/bin:/usr/bin"],
            ..GIVEN
        };
        // The shell has a directory open as long as it looks what is in it.
        let script = "test $LISTEN_PID = $$ && pwd && readlink /proc/$$/fd/3 && \
                      for fd in /proc/$$/fd/*; do if test -e $fd; then echo ${fd##*/}; fi; done";
        assert_eq!(sh(script, given), 0);
        drop(output);
        let mut said = String::new();
        read.read_to_string(&mut said).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[1].starts_with("socket:"), "{said}");
        assert_eq!((lines[0], &lines[2..]), ("/usr", &["0", "1", "2", "3"][..]));
        let script = "test -z \"$LISTEN_PID\"";
        assert_eq!(sh(script, GIVEN), 0);
        // What would be in the way of another is not taken.
        let low = flowgate_sys::spawn(&Program {
            path: c"/bin/true",
            arguments: &[],
            variables: &[],
            directory: None,
            stdout: io::stdout().as_fd(),
            stderr: io::stderr().as_fd(),
            listener: None,
        });
        assert!(
            matches!(&low, Err(NotStarted::Fork(error)) if error.kind() == io::ErrorKind::InvalidInput)
        );
    }

    fn nothing_of_this() {
        flowgate_sys::forget_children();
        let _children = flowgate_sys::hold_signals().unwrap();
        let before = (mask("SigBlk"), mask("SigIgn"));
        let (mut read, write) = io::pipe().unwrap();
        let output = fs::File::from(std::os::fd::OwnedFd::from(write));
        let arguments: &[&str] = &["grep", "^Sig[BI]", "/proc/self/status"];
        let stdout = Some(&output);
        let given = Given {
            arguments,
            stdout,
            ..GIVEN
        };
        start("/bin/grep", &given).unwrap();
        drop(output);
        let mut said = String::new();
        read.read_to_string(&mut said).unwrap();
        assert_eq!(
            said,
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
        );
        // And the other way round.
        assert_eq!((mask("SigBlk"), mask("SigIgn")), before);
        assert_ne!(before.0, 0);
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
