//! The lock of the single writer of a file.
//!
//! An open-file-description lock on one byte, far after every byte that a file can have. It belongs to the
//! open file, not to the process, and ends with it. Some file systems accept the lock and do not enforce it.
//! Locking therefore includes a second attempt through another description, which must be refused.

use crate::base::storage::FileId;
use std::fs::File;
use std::io;

/// Outcome of an attempt to lock a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    Yes,
    /// Not locked: another open file description holds the lock.
    ByAnother,
    /// Not locked: the file system grants the lock to every open file, or to none.
    NotKept,
    /// Not locked: the second attempt was made on another file.
    Replaced,
}

#[cfg(target_os = "linux")]
mod system {
    use super::{File, io};
    use std::os::fd::AsRawFd;

    const BYTE: i64 = 1 << 62;

    fn set(file: &File, kind: libc::c_int) -> io::Result<()> {
        // SAFETY: all zeros are a valid value of the struct.
        let mut lock: libc::flock64 = unsafe { std::mem::zeroed() };
        lock.l_type = libc::c_short::try_from(kind).unwrap_or(0);
        lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or(0);
        (lock.l_start, lock.l_len) = (BYTE, 1);
        loop {
            match call(file, &lock) {
                -1 => match io::Error::last_os_error() {
                    // A file system of a network may wait for its server, and a signal ends that.
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
                _ => return Ok(()),
            }
        }
    }

    #[cfg(not(all(target_pointer_width = "32", not(target_arch = "x86_64"))))]
    fn call(file: &File, lock: &libc::flock64) -> libc::c_long {
        // SAFETY: the descriptor is open, and `lock` is the struct that the call expects.
        let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, std::ptr::from_ref(lock)) };
        done.into()
    }

    // glibc's fcntl takes the struct of 32-bit offsets on 32-bit processors, where the byte does not exist.
    #[cfg(all(target_pointer_width = "32", not(target_arch = "x86_64")))]
    fn call(file: &File, lock: &libc::flock64) -> libc::c_long {
        // SAFETY: the descriptor is open, and `lock` is the struct that the kernel's call expects.
        unsafe {
            libc::syscall(libc::SYS_fcntl64, file.as_raw_fd(), libc::F_OFD_SETLK, std::ptr::from_ref(lock))
        }
    }

    pub(super) fn lock(file: &File) -> io::Result<()> {
        set(file, libc::F_WRLCK)
    }

    pub(super) fn unlock(file: &File) -> io::Result<()> {
        set(file, libc::F_UNLCK)
    }

    pub(super) fn is_refusal(error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{File, io};

    pub(super) fn lock(_: &File) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn unlock(_: &File) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn is_refusal(_: &io::Error) -> bool {
        false
    }
}

/// Tries to lock `file` without waiting. `again` opens the same file a second time, to prove that the file system
/// refuses a second lock.
pub(crate) fn lock(file: &File, again: impl FnOnce() -> io::Result<File>) -> io::Result<Locked> {
    match system::lock(file) {
        Err(error) if system::is_refusal(&error) => return Ok(Locked::ByAnother),
        // Any other failure means that the file system has no such locks.
        Err(_) => return Ok(Locked::NotKept),
        Ok(()) => {}
    }
    // A second description must be refused; otherwise the lock protects nothing.
    let identity = |file: &File| file.metadata().map(|found| FileId::of(&found));
    let outcome = again().and_then(|second| {
        if identity(&second)? != identity(file)? {
            return Ok(Locked::Replaced);
        }
        match system::lock(&second) {
            Err(error) if system::is_refusal(&error) => Ok(Locked::Yes),
            Err(_) => Ok(Locked::NotKept),
            // Granted twice: the file system keeps no such lock.
            Ok(()) => system::unlock(&second).map(|()| Locked::NotKept),
        }
    });
    // A lock that protects nothing is given up.
    if !matches!(outcome, Ok(Locked::Yes)) {
        unlock(file);
    }
    outcome
}

/// Releases the lock of `file`. A failure is ignored: the lock ends with the open file.
pub(crate) fn unlock(file: &File) {
    let _ = system::unlock(file);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn one_open_file_has_the_lock_until_it_gives_it_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locked");
        std::fs::write(&path, b"x").unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let lock = |file: &File| lock(file, || Ok(open()));
        let (first, second) = (open(), open());
        assert_eq!(lock(&first).unwrap(), Locked::Yes);
        assert_eq!(lock(&second).unwrap(), Locked::ByAnother);
        // A clone shares the open file, and keeps the lock when the other is closed.
        let clone = first.try_clone().unwrap();
        drop(first);
        assert_eq!(lock(&second).unwrap(), Locked::ByAnother);
        unlock(&clone);
        assert_eq!(lock(&second).unwrap(), Locked::Yes);
        drop(second);
        assert_eq!(lock(&open()).unwrap(), Locked::Yes);
    }
}
