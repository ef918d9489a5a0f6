//! Copies of keys on the stack.
//!
//! A keyed hasher is a value that is moved and copied, by BLAKE3 as well, and each copy holds the key. No drop reaches
//! all of them. So a thread that has hashed with a key overwrites the part of its stack that the call has used.

use std::cell::Cell;
use std::hint::black_box;

/// Number of overwritten bytes. Of the 64 KiB that a call may need, the deepest frames compress and hold no key.
const DEPTH: usize = 48 * 1024;

thread_local! {
    /// True if this thread has used a key since its last wipe. Without a destructor it is there until the thread ends.
    static KEYED: Cell<bool> = const { Cell::new(false) };
}

/// Notes that this thread uses a key.
pub(crate) fn note_key() {
    KEYED.set(true);
}

/// Runs `work`, and overwrites the stack below this frame if `work` has used a key on this thread.
pub(crate) fn wiping<R>(work: impl FnOnce() -> R) -> R {
    let result = below(work);
    if KEYED.replace(false) {
        overwrite();
    }
    result
}

/// Keeps the frames of `work` below the caller's, where [`overwrite`] reaches them.
#[inline(never)]
fn below<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[inline(never)]
fn overwrite() {
    // Without the box the compiler would leave out an array that nobody reads.
    black_box(&mut [0u8; DEPTH]);
}
