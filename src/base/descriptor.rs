//! Opening files without blocking, with descriptors other than those of the standard streams.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens `path` with `options`, under a descriptor above 2, so that it is never a standard stream.
pub(crate) fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    off_standard(options.open(path)?)
}

/// Opens `path` like [`open`]. Does not wait for a writer if `path` is a FIFO, and waits, as any open does,
/// while another process gives up its lease on the file.
#[cfg(unix)]
pub(crate) fn open_now(options: &OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    match open(options.clone().custom_flags(libc::O_NONBLOCK), path) {
        // Only the lease of a regular file is a reason to wait: a FIFO opens at once or has no reader.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => open(options, path),
        opened => opened,
    }
}

#[cfg(not(unix))]
pub(crate) fn open_now(options: &OpenOptions, path: &Path) -> io::Result<File> {
    open(options, path)
}

/// Returns the same open file under a descriptor above 2, which is no standard stream.
///
/// A program that closed a standard stream still writes to it, and its output must not reach a file of the
/// library.
#[cfg(unix)]
pub(crate) fn off_standard(file: File) -> io::Result<File> {
    use std::os::fd::{AsRawFd, FromRawFd};
    if file.as_raw_fd() > 2 {
        return Ok(file);
    }
    // SAFETY: the descriptor is open; the call makes another descriptor.
    let copy = again(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the descriptor was made above, and nothing else owns it.
    Ok(unsafe { File::from_raw_fd(copy) })
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "handles of Windows are not numbered from 0")]
pub(crate) fn off_standard(file: File) -> io::Result<File> {
    Ok(file)
}

/// Makes the system call `call`, which returns -1 on failure, and repeats it as long as a signal interrupts it.
/// Returns the result of the last call.
#[cfg(unix)]
pub(crate) fn again(call: impl Fn() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        match call() {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
            result => return Ok(result),
        }
    }
}
