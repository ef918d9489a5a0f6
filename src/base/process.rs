//! The process that an object belongs to. A forked child is another one.
//!
//! A process id alone may recur: a child that outlives its parent can have a child with the parent's id. So
//! forks are counted too, by a handler that runs in each child. The id detects children made without the C
//! library, whose handlers do not run then.
//!
//! The handler is never removed. The shared library is never unmapped; if the static one is part of an
//! unmapped library, glibc removes the handler with it, and musl unmaps nothing.

use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counter that grows in each forked child.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// The process in which an object was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    id: u32,
    forks: usize,
}

impl Process {
    /// Returns this process, which differs from its children.
    pub(crate) fn current() -> Process {
        count_forks();
        Process { id: process::id(), forks: FORKS.load(Ordering::Relaxed) }
    }

    pub(crate) fn is_current(self) -> bool {
        self == Process { id: process::id(), forks: FORKS.load(Ordering::Relaxed) }
    }
}

/// Counts the forks from now on. If the system has no memory for it, ids alone must do.
#[cfg(unix)]
fn count_forks() {
    use std::sync::atomic::AtomicBool;
    static COUNTED: AtomicBool = AtomicBool::new(false);

    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

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

    #[test]
    fn a_child_with_the_id_of_the_process_is_another_one() {
        let here = Process::current();
        assert!(here.is_current());
        // SAFETY: the child compares two numbers and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let same_id = Process { id: process::id(), ..here };
            let found = i32::from(!here.is_current()) | i32::from(!same_id.is_current()) << 1;
            // SAFETY: ends without the handlers of the parent.
            unsafe { libc::_exit(found) };
        }
        let mut status = 0;
        // SAFETY: waits for the child that was made above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status));
        assert_eq!(libc::WEXITSTATUS(status), 3);
        assert!(here.is_current());
    }
}
