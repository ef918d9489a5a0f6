//! Giving back what is kept for the next call.

use crate::base::{heap, recycle};
use crate::compression;
use crate::exec::pool;

/// Frees the used buffers and tables that the library keeps for the next call: at most 64 MiB of buffers
/// and 400 KiB of decompression states, for the whole process. The 9 MiB of tables of parity files stay.
///
/// The next calls take memory anew. With glibc it also returns to the system what
/// `malloc` has free, of the whole process, which takes some milliseconds for a large heap, and waits up to 200 ms for idle threads. The threads
/// of the library's own pool stay. Any thread may call it, at any time: what other calls use stays.
pub fn trim() {
    compression::free_used();
    // Before the buffers, which leave holes without memory: there the search for free memory would end.
    pool::on_idle_threads(heap::return_arena);
    heap::return_arena();
    recycle::shrink(0);
    heap::return_free_memory();
}
