//! The system calls of the supervisor that no safe crate offers: all unsafe code of FlowGate.
//!
//! Each function is safe to call: what it needs to be sound, it checks itself. They are for the
//! shim, a process that is made to hold the processes of one service, and that has one thread.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "this crate is where it is allowed")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Which side of a [`fork`] this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forked {
    /// The new process.
    Child,
    /// The old one, and the number of the new one.
    Parent(u32),
}

/// Doubles this process.
///
/// # Errors
///
/// [`io::ErrorKind::Unsupported`] if this process has more than one thread: the copy would have
/// only this one, and every lock that another holds would stay locked in it. Otherwise what the
/// system says.
pub fn fork() -> io::Result<Forked> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: there is no other thread, and none can come up before the call, since only this one
    // could start it. So the child finds every lock and the allocator as the parent has them.
    match unsafe { libc::fork() } {
        0 => Ok(Forked::Child),
        pid => u32::try_from(pid)
            .map(Forked::Parent)
            .map_err(|_| io::Error::last_os_error()),
    }
}

/// Holds back every signal that can be held back, and returns a descriptor that can be read when
/// a child has ended.
///
/// # Errors
///
/// What the system says.
pub fn hold_signals() -> io::Result<OwnedFd> {
    // SAFETY: both sets are initialised by the first call on them, and outlive the calls.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        check(libc::sigprocmask(libc::SIG_SETMASK, &all, ptr::null_mut()))?;
        let mut child = std::mem::zeroed();
        libc::sigemptyset(&mut child);
        libc::sigaddset(&mut child, libc::SIGCHLD);
        let fd = check(libc::signalfd(
            -1,
            &child,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        ))?;
        // SAFETY: the descriptor is new, and nobody else has it.
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Gives every signal its default meaning, and holds back none: a program that is started should
/// not inherit what the one that starts it had set up.
///
/// # Errors
///
/// What the system says.
pub fn reset_signals() -> io::Result<()> {
    // All zero is the default action, without flags or mask. The kernel is asked and not the C
    // library, which keeps two signals to itself and would leave those as they were.
    let default = [0_u64; 4];
    // SAFETY: the kernel reads no more than these 32 bytes, on any architecture; none of them is a
    // function. The set is initialised before its use.
    unsafe {
        for signal in 1..=64 {
            // KILL and STOP cannot be changed, and say so.
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &default,
                ptr::null::<u64>(),
                8,
            );
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        check(libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()))?;
    }
    Ok(())
}

/// Becomes another program, with these arguments and variables. Unlike what the standard library
/// does, a file that is no program is never given to a shell instead. Returns only if it fails.
pub fn execute(program: &CStr, arguments: &[CString], variables: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        let texts = texts.iter().map(|text| text.as_ptr());
        texts.chain([ptr::null()]).collect()
    };
    let (arguments, variables) = (pointers(arguments), pointers(variables));
    // SAFETY: both lists end with a null pointer, and they and their texts outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), variables.as_ptr()) };
    io::Error::last_os_error()
}

/// Lets children vanish when they end, without being waited for.
pub fn forget_children() {
    // SAFETY: SIG_IGN is no function that could be wrong.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
    }
}

/// Takes descriptor 3, where a program looks for the first listening socket that it is handed, and
/// puts `/dev/null` there. What this process inherited in its place is closed.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] if this process itself opened something that is there now.
pub fn take_descriptor_3() -> io::Result<OwnedFd> {
    const THREE: RawFd = 3;
    // SAFETY: asking for the flags of a number changes nothing, whatever the number stands for.
    let flags = unsafe { libc::fcntl(THREE, libc::F_GETFD) };
    // What Rust opens is never inherited by others; what was inherited is not marked so.
    if flags >= 0 && flags & libc::FD_CLOEXEC != 0 {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    let null = OwnedFd::from(null);
    if null.as_raw_fd() == THREE {
        return Ok(null);
    }
    // SAFETY: nothing in this process owns 3, as was checked, so it can be replaced and owned.
    unsafe {
        check(libc::dup3(null.as_raw_fd(), THREE, libc::O_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(THREE))
    }
}

/// Closes every descriptor of 3 or above that this process inherited: each is somebody's file or
/// pipe, which would stay open as long as this process lives.
///
/// # Errors
///
/// What the system says.
pub fn close_inherited() -> io::Result<()> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        numbers.extend(entry?.file_name().to_string_lossy().parse::<RawFd>());
    }
    for number in numbers.into_iter().filter(|number| *number >= 3) {
        // SAFETY: asking for the flags of a number changes nothing.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        // What Rust opens is marked not to be inherited; so what is not marked, nobody here owns.
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: as said, nobody owns it.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// Lets go of the memory that holds the code of this process: most of it ran once, to begin. What is
/// needed again comes back from the page cache, a part at a time.
///
/// # Errors
///
/// What the system says.
pub fn release_code() -> io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some("r-xp")) = (fields.next(), fields.next()) else {
            continue;
        };
        // Only what a file stands behind: that of the kernel has no path.
        if !fields.nth(3).is_some_and(|path| path.starts_with('/')) {
            continue;
        }
        let address = |text| usize::from_str_radix(text, 16).ok();
        let bounds = range.split_once('-');
        let bounds = bounds.and_then(|(from, to)| Some((address(from)?, address(to)?)));
        let Some((from, to)) = bounds else { continue };
        // SAFETY: code is mapped from its file, and never written to: what is given up is read from
        // the file again, as it was, when it is next run or read.
        unsafe {
            check(libc::madvise(
                from as *mut libc::c_void,
                to.saturating_sub(from),
                libc::MADV_DONTNEED,
            ))?;
        }
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_was_let_go_of_runs_on() {
        release_code().unwrap();
        assert_eq!(std::hint::black_box(6) * std::hint::black_box(7), 42);
    }

    #[test]
    fn a_process_of_many_threads_is_not_doubled() {
        // The test runner has one thread for itself and one for this.
        let error = fork().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }
}
