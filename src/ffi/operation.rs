//! Operations: pool, progress and memory limit of a long call.
//!
//! Long calls accept an atlas_operation. It names the pool whose threads share the work, a callback
//! that follows the progress and can cancel, and a limit for the memory that the call allocates.
//! NULL means the library's own pool, no progress and no limit.
//!
//! ```c
//! static bool show(const atlas_progress *now, void *user_data) {
//!   (void)user_data;
//!   printf("%llu of %llu bytes\n", (unsigned long long)now->bytes_done,
//!          (unsigned long long)now->bytes_total);
//!   return true; // false cancels
//! }
//! static atlas_status verify(const atlas_projection *projection) {
//!   atlas_operation operation;
//!   atlas_operation_init(&operation);
//!   operation.progress = show;
//!   operation.memory_limit = 64 << 20;
//!   return atlas_projection_verify(projection, &operation);
//! }
//! ```

use super::args::{CBool, drop_handle, out_handle};
use super::boundary::{boundary, infallible};
use super::callback;
use super::sized::{SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::status::atlas_status;
use crate::base::error::Result;
use crate::exec::operation::Operation;
use crate::exec::pool::Pool;
use crate::exec::progress::Progress;
use std::ffi::c_void;

/// Pool of worker threads, made by atlas_pool_create().
pub struct atlas_pool(pub(super) Pool);

/// Progress of a long call. Its values never decrease within a call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_progress {
    /// sizeof(atlas_progress).
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Bytes of work done.
    pub bytes_done: u64,
    /// Total bytes of work. 0 means unknown.
    pub bytes_total: u64,
    /// Tiles, chunks, regions, shards or cases done.
    pub chunks_done: u64,
    /// Total number of tiles, chunks, regions, shards or cases.
    pub chunks_total: u64,
}

sized_struct!(
    atlas_progress,
    atlas_progress {
        struct_size: own_size::<atlas_progress>(),
        reserved: 0,
        bytes_done: 0,
        bytes_total: 0,
        chunks_done: 0,
        chunks_total: 0,
    },
    [struct_size, reserved, bytes_done, bytes_total, chunks_done, chunks_total]
);

/// Receives the progress of a call, on the thread that made the call. Returning false cancels.
///
/// `progress` is borrowed for the callback. The callback may use other handles, but not the one in
/// use by the call, and must not throw or longjmp. Other changing calls on the stream or the
/// reconstruction wait for its return, so two threads whose callbacks change each other's handle
/// deadlock. After false the callback is not called again, and the call returns ATLAS_STATUS_CANCELLED.
pub type atlas_progress_fn =
    Option<unsafe extern "C" fn(progress: *const atlas_progress, user_data: *mut c_void) -> CBool>;

/// Settings of a long call. Fill it with atlas_operation_init(). A NULL operation means these
/// defaults.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_operation {
    /// sizeof(atlas_operation).
    pub struct_size: u32,
    /// Pool whose threads share the work. NULL means the library's own pool of one thread per core,
    /// made at the first parallel call. The calling thread and the threads of the pool share the work,
    /// together at most as many threads as the pool has; work too small to share runs on the calling thread.
    /// No other thread is used. (With ATLAS_PARALLEL_POOL the calling thread only waits, reports progress and
    /// assembles the results.)
    pub pool: *const atlas_pool,
    /// Progress callback. NULL means none.
    pub progress: atlas_progress_fn,
    /// Passed to progress.
    pub user_data: *mut c_void,
    /// Maximum number of bytes that the library may allocate during the call, including its result,
    /// excluding thread stacks and mapped pages. 0 means no limit. The call uses fewer workers
    /// before it returns ATLAS_STATUS_LIMIT.
    pub memory_limit: u64,
}

sized_struct!(
    atlas_operation,
    atlas_operation {
        struct_size: own_size::<atlas_operation>(),
        pool: std::ptr::null(),
        progress: None,
        user_data: std::ptr::null_mut(),
        memory_limit: 0,
    },
    [struct_size, pool, progress, user_data, memory_limit]
);

/// Runs `call` with the operation that the caller described.
///
/// # Safety
///
/// `operation` is NULL or a struct that meets the header's terms. Its pool is NULL or live for the
/// call.
pub(super) unsafe fn with_operation<R>(
    operation: *const atlas_operation,
    call: impl FnOnce(&mut Operation<'_>) -> Result<R>,
) -> Result<R> {
    // SAFETY: the caller meets this function's requirements.
    let operation = unsafe { read_struct(operation) }?;
    // The callback gets the struct of this version; its struct_size says so.
    let mut report = |progress: &Progress| {
        let value = atlas_progress {
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            chunks_done: progress.chunks_done,
            chunks_total: progress.chunks_total,
            ..atlas_progress::DEFAULT
        };
        operation.progress.is_none_or(|progress| {
            // SAFETY: the caller's function with the caller's data, on the caller's thread.
            unsafe { callback::report(progress, &value, operation.user_data) }
        })
    };
    let mut run = Operation::new();
    // SAFETY: the header requires that the pool is NULL or live for the call.
    if let Some(pool) = unsafe { operation.pool.as_ref() } {
        run = run.with_pool(&pool.0);
    }
    if operation.memory_limit > 0 {
        run = run.with_memory_limit(operation.memory_limit);
    }
    // Without a callback the pool may deliver results many at a time.
    if operation.progress.is_some() {
        run = run.with_progress(&mut report);
    }
    call(&mut run)
}

/// Fills `operation` with the defaults: the library's pool, no progress, no memory limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_operation_init(operation: *mut atlas_operation) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(operation) };
}

/// Creates a pool of `threads` threads for the caller's calls. 0 means one per core; the maximum is
/// 1,024.
///
/// With 1 no thread is started: all work and all callbacks run on the calling thread. `*out` is owned by the
/// caller: atlas_pool_destroy(). A pool may serve many calls at once. Its threads are named atlas-N, block
/// asynchronous signals and have a stack of 2 MiB. In a forked child every operation with the pool fails with
/// ATLAS_STATUS_STATE, even if the pool has one thread only. Fails with INVALID_ARGUMENT or OUT_OF_MEMORY
/// (also if a thread could not be started).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_pool_create(threads: u32, out: *mut *mut atlas_pool) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        out.fill(atlas_pool(Pool::new(threads)?));
        Ok(())
    })
}

/// Returns the number of tasks that a pool can run at once. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_pool_threads(pool: *const atlas_pool) -> u32 {
    infallible(0, || {
        // SAFETY: the header requires NULL or a live pool.
        unsafe { pool.as_ref() }.map_or(0, |pool| u32::try_from(pool.0.threads()).unwrap_or(u32::MAX))
    })
}

/// Joins the threads of a pool and frees it. NULL does nothing. No call may be using it.
///
/// In a forked child of the process that made the pool nothing is joined, because the threads
/// belong to the parent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_pool_destroy(pool: *mut atlas_pool) {
    // SAFETY: the header requires NULL or a pool that is not used again.
    unsafe { drop_handle(pool) };
}
