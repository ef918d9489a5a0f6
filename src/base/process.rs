//! The process that an object belongs to. A forked child is another process.
//!
//! Each process has a number in a page of memory that Linux clears in every child, even in one made without the
//! C library. Reading it costs a load; getpid takes 0.25 µs and more. If the system has no such page, the number is
//! the process id, which may recur: a child that outlives its parent can have a child with the parent's id. So
//! forks are counted too, by a handler that runs in each child.
//!
//! This module never removes the handler, whose code must stay mapped. The shared library is never unmapped. If
//! another library contains the static one and is unmapped, glibc removes the handler; musl unmaps nothing.

use super::error::{AtlasError, Result};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Fork counter, which a handler increases in each forked child.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Identity of the process in which an object was made, to recognise use of the object in a forked child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    number: usize,
    forks: usize,
}

impl Process {
    /// Returns the identity of the calling process. A forked child has another one.
    pub(crate) fn current() -> Process {
        // Forks before the first call do not matter, because no object existed then.
        count_forks();
        let number = match own_page() {
            Some(page) => number_in(page),
            None => process_id(),
        };
        Process { number, forks: FORKS.load(Ordering::Relaxed) }
    }

    /// Returns the number of the process. It is not 0, and a forked child has another one.
    #[cfg(unix)]
    pub(crate) fn number(self) -> usize {
        self.number
    }

    pub(crate) fn is_current(self) -> bool {
        let number = match own_page() {
            // The page of a child has zeros, which are the number of no object.
            Some(page) => page.load(Ordering::Relaxed),
            None => process_id(),
        };
        self == Process { number, forks: FORKS.load(Ordering::Relaxed) }
    }
}

/// Calls `callback`, a function of the host. Fails with STATE in a child that the callback forked: the work, its threads
/// and its files belong to the parent.
pub(crate) fn in_one_process<T>(callback: impl FnOnce() -> T) -> Result<T> {
    let here = Process::current();
    let value = callback();
    if here.is_current() { Ok(value) } else { Err(forked()) }
}

#[cold]
pub(crate) fn forked() -> AtlasError {
    AtlasError::state(
        "the call began in the parent process before a fork, and only the parent can finish it: start a new call",
    )
}

fn process_id() -> usize {
    usize::try_from(process::id()).unwrap_or(usize::MAX)
}

/// Returns the number of this process, which `page` holds. If the page has none, because it is new or the
/// process is a new child, assigns the next number.
fn number_in(page: &AtomicUsize) -> usize {
    /// Last assigned process number. A child inherits it, so that its own number differs from the numbers of
    /// inherited objects.
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let mut number = page.load(Ordering::Relaxed);
    while number == 0 {
        // A number that loses the race stays unused.
        let fresh = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        number = match page.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            Err(other) => other,
        };
    }
    number
}

/// Returns the page with the number of this process, which the system fills with zeros in a child. The first
/// call makes the page. `None` if the system has no such pages.
#[cfg(target_os = "linux")]
fn own_page() -> Option<&'static AtomicUsize> {
    use std::sync::atomic::AtomicPtr;
    static PAGE: AtomicPtr<AtomicUsize> = AtomicPtr::new(std::ptr::null_mut());
    static ABSENT: AtomicUsize = AtomicUsize::new(0);

    #[cold]
    fn make() -> *mut AtomicUsize {
        const SIZE: usize = 4096;
        let absent = (&raw const ABSENT).cast_mut();
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, which nothing else refers to.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, prot, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return absent;
        }
        // SAFETY: the range is the mapping made above. A child reads it only through this module, which
        // expects zeros.
        let mut made = match unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) } {
            0 => page.cast(),
            _ => absent,
        };
        // An atomic exchange, because a fork could leave a lock closed forever. The first published page
        // stays.
        if let Err(other) =
            PAGE.compare_exchange(std::ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire)
        {
            made = other;
        }
        if made != page.cast() {
            // SAFETY: the mapping made above. Its address was not published, so that no other thread uses it.
            unsafe { libc::munmap(page, SIZE) };
        }
        made
    }

    let mut page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        page = make();
    }
    // SAFETY: `page` is a static or a page that is never unmapped, and zeros are a valid `AtomicUsize`.
    (!std::ptr::eq(page, &raw const ABSENT)).then(|| unsafe { &*page })
}

#[cfg(not(target_os = "linux"))]
fn own_page() -> Option<&'static AtomicUsize> {
    None
}

/// Installs the handler that counts the forks from now on. If the system has no memory for it, forks are not
/// counted.
#[cfg(unix)]
fn count_forks() {
    use std::sync::atomic::AtomicBool;
    static COUNTED: AtomicBool = AtomicBool::new(false);

    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
        super::descriptor::in_child();
    }

    // Pairs with the release below: if the flag is seen, the handler is in place.
    if COUNTED.load(Ordering::Acquire) {
        return;
    }
    // No lock, because a fork could leave it locked. Two threads may get here, and a fork then counts
    // twice.
    // SAFETY: the handler only adds to an atomic number, and its code stays mapped for the life of the process.
    if unsafe { libc::pthread_atfork(None, None, Some(in_child)) } == 0 {
        COUNTED.store(true, Ordering::Release);
    }
}

#[cfg(not(unix))]
fn count_forks() {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Ends a forked child. Its exit status has a bit for each check that distinguished the child from its
    /// parent.
    fn end_child(here: Process) -> ! {
        let same_number = Process { number: Process::current().number, ..here };
        let same_forks = Process { forks: Process::current().forks, ..here };
        let differs = [here, same_number, same_forks].map(|process| i32::from(!process.is_current()));
        let found = differs[0] | differs[1] << 1 | differs[2] << 2;
        // SAFETY: the call ends the child without running the exit handlers of the parent.
        unsafe { libc::_exit(found) }
    }

    fn status_of(child: libc::pid_t) -> i32 {
        let mut status = 0;
        // SAFETY: waits for a child that was made here.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status));
        libc::WEXITSTATUS(status)
    }

    #[test]
    fn a_child_with_the_number_of_the_process_is_another_one() {
        let here = Process::current();
        assert!(here.is_current());
        // SAFETY: the child compares numbers and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            end_child(here);
        }
        assert_eq!(status_of(child), 0b111);
        assert!(here.is_current() && here == Process::current());
    }

    /// A child made by the system call alone, in which no handler runs.
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    #[test]
    fn a_child_that_the_c_library_does_not_know_of_is_another_one() {
        let here = Process::current();
        let signal = libc::c_long::from(libc::SIGCHLD);
        // SAFETY: the call works like fork; the child only compares numbers and ends.
        let child = unsafe { libc::syscall(libc::SYS_clone, signal, 0, 0, 0, 0) };
        if child == 0 {
            end_child(here);
        }
        assert_eq!(status_of(libc::pid_t::try_from(child).unwrap()), 0b101);
        assert!(here.is_current());
    }
}
