//! Release of the memory that the library keeps for its next call.

use crate::base::{heap, recycle};
use crate::compression;
use crate::exec::pool;

/// Frees the used buffers and tables that the library keeps for the next call: at most 64 MiB of buffers
/// and 400 KiB of decompression states, for the whole process. The 9 MiB of tables of parity files stay.
///
/// Later calls allocate again. With glibc the call also returns the free memory of `malloc` to the system,
/// for the whole process, which takes some milliseconds with a large heap, and waits up to 200 ms for idle
/// threads. The threads of the library's own pool stay. Callable from any thread, also during other calls,
/// which keep the memory that they use.
pub fn trim() {
    compression::free_used();
    // The arenas are trimmed before the buffers are freed: freed buffers leave holes without memory, at which
    // the search for free memory would end.
    pool::on_idle_threads(heap::return_arena);
    heap::return_arena();
    recycle::shrink(0);
    heap::return_free_memory();
}
