//! A value of the process that is made at its first use, and made again once it is no longer valid.
//!
//! There is no lock, because one held by another thread during a fork stays locked in the child. Threads that arrive
//! at the same time may each make a value; all threads get the same value, and the other values are dropped. If
//! `make` fails, a valid value that another thread stored during the call is used. A replaced value is never freed,
//! because another thread may still use it.
//!
//! `make loom` runs all interleavings of its users (tests/loom).

#[cfg(loom)]
use loom::sync::atomic::{AtomicPtr, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicPtr, Ordering};

pub(crate) struct Slot<T> {
    /// The current value: NULL before the first, otherwise from `Box::into_raw` and never freed.
    current: AtomicPtr<T>,
}

impl<T: Send + Sync + 'static> Slot<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Slot { current: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Returns an empty slot. This variant is not const, because loom's atomics have no const constructor.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Slot { current: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Returns the current value if `good` returns true for it. Otherwise stores a value from `make` and returns it,
    /// or returns such a value that another thread stored first.
    pub(crate) fn get<E>(
        &self,
        good: impl Fn(&T) -> bool,
        make: impl Fn() -> Result<T, E>,
    ) -> Result<&'static T, E> {
        let look = || {
            let current = self.current.load(Ordering::Acquire);
            // SAFETY: a stored pointer came from Box::into_raw and is never freed; the release of the
            // store below and the acquire above order its making before this.
            (current, unsafe { current.as_ref() }.filter(|value| good(value)))
        };
        // Look, make, and store unless another thread was faster; then look again.
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
                // SAFETY: as above; `made` stays for the life of the process.
                Ok(_) => return Ok(unsafe { &*made }),
                // SAFETY: `made` was not stored, because another thread stored its value first, so that no
                // other thread has it.
                Err(_) => drop(unsafe { Box::from_raw(made) }),
            }
        }
    }
}
