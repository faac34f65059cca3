//! The system calls of the supervisor that no safe crate offers: all unsafe code of FlowGate.
//!
//! Each function is safe to call: what it needs to be sound, it checks itself. They are for the
//! shim, a process that is made to hold the processes of one service, and that has one thread.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "this crate is where it is allowed")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
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

/// A program, and what it starts with.
#[derive(Debug)]
pub struct Program<'a> {
    /// Where it is.
    pub path: &'a CStr,
    /// What it is called, and its arguments.
    pub arguments: &'a [CString],
    /// Its variables, as `NAME=value`.
    pub variables: &'a [CString],
    /// Where it works; `None` is where this process does.
    pub directory: Option<&'a CStr>,
    /// Its standard output.
    pub stdout: BorrowedFd<'a>,
    /// Its standard error.
    pub stderr: BorrowedFd<'a>,
    /// The socket that it finds as descriptor 3. It is told its own number then, as `LISTEN_PID`.
    pub listener: Option<BorrowedFd<'a>>,
}

/// Why a program did not start.
#[derive(Debug)]
pub enum NotStarted {
    /// There is no new process.
    Fork(io::Error),
    /// It cannot work in its directory.
    Directory(io::Error),
    /// It is no program that can be run.
    Program(io::Error),
}

/// Starts a program, in a group of processes of its own, with every signal as it is by default, and
/// returns its number when it runs. Its standard input is that of this process. Unlike what the
/// standard library does, a file that is no program is never given to a shell instead.
///
/// The memory of this process is not copied for the moment until the program has its own: the new
/// process uses it, and this one, which waits, goes on after that. With much memory, or little to
/// do, that copy is most of the time that a start takes.
///
/// # Errors
///
/// [`NotStarted`], also with [`io::ErrorKind::InvalidInput`] for a descriptor below 4: it would be
/// in the way of another.
pub fn spawn(program: &Program<'_>) -> Result<u32, NotStarted> {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).collect()
    };
    let mut arguments = pointers(program.arguments);
    arguments.push(ptr::null());
    let mut listen_pid = *LISTEN_PID;
    let mut variables = pointers(program.variables);
    if program.listener.is_some() {
        variables.push((&raw mut listen_pid).cast());
    }
    variables.push(ptr::null());
    let descriptors = [Some(program.stdout), Some(program.stderr), program.listener];
    let descriptors = descriptors.map(|fd| fd.map_or(-1, |fd| fd.as_raw_fd()));
    if descriptors.iter().any(|fd| (0..=3).contains(fd)) {
        return Err(NotStarted::Fork(io::ErrorKind::InvalidInput.into()));
    }
    let [stdout, stderr, listener] = descriptors;
    let mut birth = Birth {
        path: program.path.as_ptr(),
        arguments: arguments.as_ptr(),
        variables: variables.as_ptr(),
        listen_pid: &raw mut listen_pid,
        directory: program.directory.map_or(ptr::null(), CStr::as_ptr),
        stdout,
        stderr,
        listener,
        failed: None,
    };
    // More than the calls of the new process need; the alignment that every architecture asks for.
    let mut stack = Vec::<u128>::with_capacity(2048);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the mask is initialised by the first call that has it. The new process runs on a stack
    // of its own; what it reads and writes besides is `birth` and what that points to, and all of it
    // outlives the call, which returns when the new process has other memory or is gone
    // (CLONE_VFORK). Until then this thread waits, and nobody else knows of `birth`. No handler of a
    // signal runs in the new process: they are held back from before it is there until it has none.
    let (pid, error) = unsafe {
        let mut mask = std::mem::zeroed();
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut mask);
        let top = stack.spare_capacity_mut().as_mut_ptr_range().end.cast();
        let pid = libc::clone(be_born, top, flags, ptr::from_mut(&mut birth).cast());
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &mask, ptr::null_mut());
        (pid, error)
    };
    let Ok(number) = u32::try_from(pid) else {
        return Err(NotStarted::Fork(error));
    };
    let Some((step, errno)) = birth.failed else {
        return Ok(number);
    };
    // SAFETY: it is a child of this process that has ended; how, is known.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    let error = io::Error::from_raw_os_error(errno);
    Err(match step {
        Step::Fork => NotStarted::Fork(error),
        Step::Directory => NotStarted::Directory(error),
        Step::Program => NotStarted::Program(error),
    })
}

/// Room for the longest number there is, and its end.
const LISTEN_PID: &[u8; 22] = b"LISTEN_PID=\0\0\0\0\0\0\0\0\0\0\0";

/// What a new process reads, and where it says what went wrong.
struct Birth {
    path: *const libc::c_char,
    arguments: *const *const libc::c_char,
    variables: *const *const libc::c_char,
    listen_pid: *mut [u8; 22],
    directory: *const libc::c_char,
    stdout: RawFd,
    stderr: RawFd,
    /// -1 if there is none.
    listener: RawFd,
    failed: Option<(Step, i32)>,
}

#[derive(Clone, Copy)]
enum Step {
    Fork,
    Directory,
    Program,
}

/// The new process, from its first moment to its program. It shares the memory of another one, so it
/// takes and gives back none, and makes system calls only.
extern "C" fn be_born(birth: *mut libc::c_void) -> libc::c_int {
    // SAFETY: this is what `spawn` has passed, and nobody else uses it now.
    let birth = unsafe { &mut *birth.cast::<Birth>() };
    // SAFETY: the paths, and both lists of texts, which end with a null pointer, outlive this process
    // in that memory, as `spawn` says. The descriptors are open, and those that are replaced are this
    // process's own.
    let step = unsafe {
        'failed: {
            if reset_signals().is_err() {
                break 'failed Step::Fork;
            }
            if !birth.directory.is_null() && libc::chdir(birth.directory) != 0 {
                break 'failed Step::Directory;
            }
            let is_set_up = libc::setpgid(0, 0) == 0
                && libc::dup2(birth.stdout, 1) == 1
                && libc::dup2(birth.stderr, 2) == 2
                && (birth.listener < 0 || libc::dup2(birth.listener, 3) == 3);
            if is_set_up {
                if birth.listener >= 0 {
                    write_number(libc::getpid().unsigned_abs(), &mut *birth.listen_pid);
                }
                libc::execve(birth.path, birth.arguments, birth.variables);
            }
            Step::Program
        }
    };
    birth.failed = Some((step, io::Error::last_os_error().raw_os_error().unwrap_or(0)));
    // SAFETY: nothing of the process whose memory this is runs at this exit.
    unsafe { libc::_exit(127) }
}

/// Writes a number behind the `=`.
fn write_number(number: u32, text: &mut [u8; 22]) {
    let length = number.checked_ilog10().map_or(1, |log| log as usize + 1);
    let mut rest = number;
    for digit in text[11..11 + length].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
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
