//! Signals that stop a run: SIGINT, SIGTERM and SIGHUP are counted, and progress callbacks and loops check the
//! count.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Number of received signals that ask the run to stop.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Number of signals after which the process ends immediately, without a cleanup.
const IMPATIENT: u32 = 5;

extern "C" fn on_signal(_: libc::c_int) {
    if COUNT.fetch_add(1, Ordering::Relaxed) + 1 >= IMPATIENT {
        // SAFETY: `_exit` may be called from a signal handler.
        unsafe { libc::_exit(130) };
    }
}

/// Handles SIGINT, SIGTERM and SIGHUP. A signal that the parent ignores, as under `nohup`, stays ignored.
pub(crate) fn install() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: both structures are initialised, and the handler calls only functions that a handler may call.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &mut before);
            if before.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
            // SA_RESTART is not set, so that a signal interrupts the read of a pipe.
            action.sa_flags = 0;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Returns true once a signal has asked the run to stop.
pub(crate) fn cancelled() -> bool {
    COUNT.load(Ordering::Relaxed) > 0
}

/// Maximum time between two checks for a signal while the program waits for input, in milliseconds.
const LOOK: libc::c_int = 50;

/// Opens a file to read. For a pipe, waits until it has a writer, and for a file on which another process has a lease,
/// until the lease is given up. Fails with `Interrupted` if a signal asks the run to stop.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Without O_NONBLOCK the system call would wait, and the standard library would repeat it after a signal.
    let options = File::options().read(true).custom_flags(libc::O_NONBLOCK).clone();
    let file = loop {
        match options.open(path) {
            // The attempt has asked the holder of the lease to give it up, and the system ends the lease after a time
            // limit (45 seconds by default).
            Err(error) if error.kind() == ErrorKind::WouldBlock => pause()?,
            opened => break opened?,
        }
    };
    wait_readable(&file)?;
    // SAFETY: the descriptor is open, and the call accesses no memory.
    let is_done = unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        flags >= 0 && libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) >= 0
    };
    if is_done { Ok(file) } else { Err(io::Error::last_os_error()) }
}

/// Waits for a moment. Fails with `Interrupted` if a signal asks the run to stop.
fn pause() -> io::Result<()> {
    if cancelled() {
        return Err(ErrorKind::Interrupted.into());
    }
    // SAFETY: without descriptors the call only waits. A signal ends it early.
    unsafe { libc::poll(std::ptr::null_mut(), 0, LOOK) };
    Ok(())
}

/// Waits until `file` has bytes to read or has ended. Fails with `Interrupted` if a signal asks the run to
/// stop.
pub(crate) fn wait_readable(file: &impl AsFd) -> io::Result<()> {
    let mut wanted = libc::pollfd { fd: file.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        if cancelled() {
            return Err(ErrorKind::Interrupted.into());
        }
        // SAFETY: `wanted` is one initialised structure, whose descriptor is open.
        match unsafe { libc::poll(&mut wanted, 1, LOOK) } {
            0 => {}
            1.. => return Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.kind() == ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// Reads bytes like `Read::read`, and returns their number. Fails with `Interrupted` if a signal asks the run
/// to stop.
pub(crate) fn read(file: &mut (impl Read + AsFd), buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        wait_readable(file)?;
        match file.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Appends all bytes of `file` to `bytes`. Fails with `Interrupted` if a signal asks the run to stop.
pub(crate) fn read_to_end(file: &mut (impl Read + AsFd), bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 1 << 14];
    loop {
        match read(file, &mut buffer)? {
            0 => return Ok(()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}
