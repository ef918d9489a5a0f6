//! Opening files without blocking, with descriptors other than those of the standard streams.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

#[cfg(unix)]
pub(crate) use standard::{beside_standard_streams, in_child};

/// Opens `path` with `options`, under a descriptor above 2, so that it is never a standard stream.
pub(crate) fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    off_standard(beside_standard_streams(|| options.open(path))?)
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

/// Returns the same open file under a descriptor above 2, which is no standard stream. Nothing is to be done unless
/// [`beside_standard_streams`] could not take the numbers below.
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

#[cfg(not(unix))]
pub(crate) fn beside_standard_streams<T>(open: impl FnOnce() -> T) -> T {
    open()
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

/// Descriptors 0 to 2 while the library opens files.
///
/// A program that closed a standard stream still writes to it, and its output must not reach a file of the library, not
/// even for the moment in which the file gets another number. So free numbers are taken by placeholders, descriptors of
/// the root folder that can neither be read nor written: the program gets EBADF, as before.
#[cfg(unix)]
mod standard {
    use crate::base::process::Process;
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    /// Process that has the lock of the other values. 0 if none has it. In a forked child a lock of the parent's is
    /// void, because no thread will release it.
    static LOCK: AtomicUsize = AtomicUsize::new(0);
    /// Number of changes between having placeholders and having none, so that an odd number means that there are some.
    static CHANGES: AtomicUsize = AtomicUsize::new(0);
    /// Number of threads that open something beside placeholders.
    static OPENING: AtomicUsize = AtomicUsize::new(0);
    /// Numbers that are placeholders, a bit for each.
    static PLACEHOLDERS: AtomicU32 = AtomicU32::new(0);

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const FLAGS: libc::c_int = libc::O_PATH | libc::O_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const FLAGS: libc::c_int = libc::O_RDONLY | libc::O_CLOEXEC;

    /// Calls `open` while no descriptor of a standard stream is free.
    pub(crate) fn beside_standard_streams<T>(open: impl FnOnce() -> T) -> T {
        let changes = CHANGES.load(Ordering::SeqCst);
        // Usually all three are open, and not because another thread has placeholders for a moment.
        let are_open =
            changes.is_multiple_of(2) && (0..=2).all(|number| flags_of(number, libc::F_GETFD) >= 0);
        if are_open && CHANGES.load(Ordering::SeqCst) == changes {
            return open();
        }
        let _taken = Taken::new();
        open()
    }

    /// Placeholders, which the last of the threads that need them closes.
    struct Taken;

    impl Taken {
        fn new() -> Taken {
            alone(|| {
                if OPENING.fetch_add(1, Ordering::SeqCst) == 0 {
                    CHANGES.fetch_add(1, Ordering::SeqCst);
                }
                let free = (0..=2).filter(|number| flags_of(*number, libc::F_GETFD) < 0).count();
                // The system gives the lowest free number.
                for _ in 0..free {
                    // SAFETY: the path ends with a NUL.
                    let number = unsafe { libc::open(c"/".as_ptr(), FLAGS) };
                    match number {
                        0..=2 => drop(PLACEHOLDERS.fetch_or(1 << number, Ordering::SeqCst)),
                        // The program has opened something under a number that was free.
                        3.. => close(number),
                        _ => break,
                    }
                }
            });
            Taken
        }
    }

    impl Drop for Taken {
        fn drop(&mut self) {
            alone(|| {
                if OPENING.fetch_sub(1, Ordering::SeqCst) == 1 {
                    clear(PLACEHOLDERS.load(Ordering::SeqCst));
                    CHANGES.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    }

    /// Closes those of `numbers`, a bit for each, that are placeholders.
    fn clear(numbers: u32) {
        (0..=2).filter(|number| numbers & 1 << number != 0 && is_placeholder(*number)).for_each(close);
        PLACEHOLDERS.store(0, Ordering::SeqCst);
    }

    /// Returns false if the program gave the number to a file of its own meanwhile.
    fn is_placeholder(number: libc::c_int) -> bool {
        let flags = flags_of(number, libc::F_GETFL);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return flags >= 0 && flags & libc::O_PATH != 0;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return flags >= 0;
    }

    /// Closes the placeholders that a forked child has from its parent, whose threads do not exist in the child. Only
    /// makes system calls that are allowed in a child of a process with several threads.
    fn forget_parent() {
        let changes = CHANGES.load(Ordering::SeqCst);
        // There was never a placeholder.
        if changes == 0 {
            return;
        }
        // The system copies the descriptors earlier than the memory, which may not know of the placeholders any more.
        clear(if cfg!(any(target_os = "linux", target_os = "android")) {
            0b111
        } else {
            PLACEHOLDERS.load(Ordering::SeqCst)
        });
        OPENING.store(0, Ordering::SeqCst);
        CHANGES.store((changes | 1).wrapping_add(1), Ordering::SeqCst);
    }

    /// Runs in each forked child, before the program continues.
    pub(crate) fn in_child() {
        forget_parent();
        LOCK.store(0, Ordering::SeqCst);
    }

    /// Calls `change` while no other thread changes the placeholders.
    fn alone(change: impl FnOnce()) {
        static OWNER: AtomicUsize = AtomicUsize::new(0);
        let own = Process::current().number();
        // No mutex, because a fork could leave it locked. The lock is held for a few system calls.
        loop {
            let holder = LOCK.load(Ordering::Relaxed);
            let is_free = holder != own;
            if is_free && LOCK.compare_exchange(holder, own, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                break;
            }
            std::thread::yield_now();
        }
        // A child that the C library did not make has run nothing of this module yet.
        if OWNER.swap(own, Ordering::Relaxed) != own {
            forget_parent();
        }
        change();
        LOCK.store(0, Ordering::Release);
    }

    fn flags_of(number: libc::c_int, which: libc::c_int) -> libc::c_int {
        // SAFETY: the call only returns flags, or fails for a number that is not open.
        unsafe { libc::fcntl(number, which) }
    }

    fn close(number: libc::c_int) {
        // SAFETY: the descriptor was opened here, and nothing else owns it.
        unsafe { libc::close(number) };
    }
}
