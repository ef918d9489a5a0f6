//! Copies of keys on the stack.
//!
//! A keyed hasher is a value that is moved and copied, by BLAKE3 as well, and each copy holds the key. No drop reaches
//! all of them. So a thread that has hashed with a key overwrites the part of its stack that the call has used.

use std::cell::Cell;
use std::hint::black_box;

/// Number of bytes of the stack to overwrite. A call may need 192 KiB, but its deepest frames only compress
/// blocks or rebuild parity units, and hold no key.
const DEPTH: usize = 48 * 1024;

thread_local! {
    /// True if this thread has used a key since its last wipe. The value has no destructor, so that it lasts
    /// until the thread ends.
    static KEYED: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread uses a key, so that the [`wiping`] call around it overwrites the stack.
pub(crate) fn note_key() {
    KEYED.set(true);
}

/// Runs `work`, and overwrites the stack below this frame if `work` has used a key on this thread, also after a
/// panic.
///
/// A nested call, in a callback of `work`, wipes for its own use of a key alone: the outer call still knows that
/// it has used a key.
pub(crate) fn wiping<R>(work: impl FnOnce() -> R) -> R {
    let _wipe = Wipe { around: KEYED.replace(false) };
    below(work)
}

/// Guard of a call of [`wiping`]. When it is dropped, it overwrites the stack if a key was used since it was
/// made.
struct Wipe {
    /// True if the outer call, around this one on the same thread, has used a key.
    around: bool,
}

impl Drop for Wipe {
    fn drop(&mut self) {
        if KEYED.replace(self.around) {
            overwrite();
        }
    }
}

/// Runs `work` in stack frames below the caller's frame, so that [`overwrite`] reaches them.
#[inline(never)]
fn below<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[inline(never)]
fn overwrite() {
    // Without the box the compiler would leave out an array that nobody reads.
    black_box(&mut [0u8; DEPTH]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_a_callback_leaves_the_mark_of_the_call_around_it() {
        wiping(|| {
            note_key();
            wiping(|| assert!(!KEYED.get()));
            assert!(KEYED.get());
            wiping(note_key);
            assert!(KEYED.get());
        });
        assert!(!KEYED.get());
    }

    #[test]
    fn a_panic_wipes_too() {
        let panicked = std::panic::catch_unwind(|| {
            wiping(|| {
                note_key();
                panic!("after the use of a key");
            });
        });
        assert!(panicked.is_err() && !KEYED.get());
    }
}
