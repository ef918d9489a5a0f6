//! A value of the process that is made at its first use, and anew where it is no good any more.
//!
//! There is no lock: one that another thread held at a fork would never open again in the child.
//! Threads that come at the same time may each make one; all get the same, and the others are
//! dropped. A thread that cannot make one takes that of another thread, if there is one by then. A value
//! that was replaced stays where it is, because another thread may still use it.
//!
//! `make loom` runs all interleavings of its users (tests/loom).

#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicPtr, Ordering};

pub(crate) struct Slot<T> {
    /// NULL, or from `Box::into_raw` and never freed.
    current: AtomicPtr<T>,
}

impl<T: Send + Sync + 'static> Slot<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Slot { current: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// loom's atomics are not made at compile time.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Slot { current: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The value if it is `good`, or else the one of the first who stores what it made.
    pub(crate) fn get<E>(
        &self,
        good: impl Fn(&T) -> bool,
        make: impl Fn() -> Result<T, E>,
    ) -> Result<&'static T, E> {
        let look = || {
            let current = self.current.load(Ordering::Acquire);
            // SAFETY: what was stored came from Box::into_raw and is never freed; the release of the
            // store below and the acquire above order its making before this.
            (current, unsafe { current.as_ref() }.filter(|value| good(value)))
        };
        loop {
            let (current, found) = look();
            if let Some(value) = found {
                return Ok(value);
            }
            let made = match make() {
                Ok(made) => Box::into_raw(Box::new(made)),
                Err(error) => return look().1.ok_or(error),
            };
            match self.current.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire) {
                // SAFETY: as above; it stays for the life of the process.
                Ok(_) => return Ok(unsafe { &*made }),
                // SAFETY: `made` is ours alone, as it was not stored. Another thread was faster.
                Err(_) => drop(unsafe { Box::from_raw(made) }),
            }
        }
    }
}
