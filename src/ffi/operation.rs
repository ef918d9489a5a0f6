//! Pools, progress and the operation that long calls take.

use super::args::{CBool, drop_handle, into_handle, out};
use super::boundary::{boundary, infallible};
use super::callback;
use super::sized::{SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::status::atlas_status;
use crate::base::error::Result;
use crate::exec::operation::Operation;
use crate::exec::pool::Pool;
use crate::exec::progress::Progress;
use std::ffi::c_void;

/// Threads that the host asked for.
pub struct atlas_pool(Pool);

/// How far a long call has come. The values of one call never decrease.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_progress {
    /// sizeof(atlas_progress).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Bytes of work done.
    pub bytes_done: u64,
    /// Bytes of work in all; 0: not known.
    pub bytes_total: u64,
    /// Tiles, chunks, regions, shards or cases done.
    pub chunks_done: u64,
    /// Tiles, chunks, regions, shards or cases in all.
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

/// Called with the progress of a call, on the thread that made it; false cancels.
///
/// `progress` is borrowed for the callback. It may use other handles, not the one at work, and must
/// not throw or longjmp. A stream or a reconstruction is kept from other changing calls meanwhile: two
/// threads whose callbacks change each other's wait for ever. After false it is not called again and
/// the call returns ATLAS_STATUS_CANCELLED.
pub type atlas_progress_fn =
    Option<unsafe extern "C" fn(progress: *const atlas_progress, user_data: *mut c_void) -> CBool>;

/// How a long call runs. Fill it with atlas_operation_init(); NULL means what that gives.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_operation {
    /// sizeof(atlas_operation).
    pub struct_size: u32,
    /// NULL: the library's own pool, one thread a core, made at the first parallel call. Work is shared
    /// between the calling thread and threads of the pool, together at most as many as the pool has; what
    /// is too small to share is the calling one's. No other thread does any. (ATLAS_PARALLEL_POOL leaves
    /// the calling thread what takes no time.)
    pub pool: *const atlas_pool,
    /// NULL: no progress.
    pub progress: atlas_progress_fn,
    /// Handed to progress.
    pub user_data: *mut c_void,
    /// The most bytes that the library may allocate during the call, its result included, thread
    /// stacks and mapped pages not; 0: no limit. It uses fewer workers before it answers
    /// ATLAS_STATUS_LIMIT.
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
/// `operation` is NULL or a struct as the header asks, its pool NULL or live, for the call.
pub(super) unsafe fn with_operation<R>(
    operation: *const atlas_operation,
    call: impl FnOnce(&mut Operation<'_>) -> Result<R>,
) -> Result<R> {
    // SAFETY: as the caller promises.
    let operation = unsafe { read_struct(operation) }?;
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
    // SAFETY: NULL or live for the call, as the header asks.
    if let Some(pool) = unsafe { operation.pool.as_ref() } {
        run = run.with_pool(&pool.0);
    }
    if operation.memory_limit > 0 {
        run = run.with_memory_limit(operation.memory_limit);
    }
    if operation.progress.is_some() {
        run = run.with_progress(&mut report);
    }
    call(&mut run)
}

/// Fills `operation` with the defaults: the library's pool, no progress, no memory limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_operation_init(operation: *mut atlas_operation) {
    // SAFETY: as the header asks: NULL or a whole struct.
    unsafe { init_struct(operation) };
}

/// Starts `threads` threads for the caller's calls, 0 for one a core, at most 1,024.
///
/// With 1 no thread is started: all work and all callbacks run on the calling thread. `*out` is
/// owned by the caller: atlas_pool_destroy(). One pool may serve many calls at a time. Threads are
/// named atlas-N, block asynchronous signals and have a stack of 2 MiB. In a forked child the pool
/// is ATLAS_STATUS_STATE, also one of one thread. Fails with INVALID_ARGUMENT or OUT_OF_MEMORY (no
/// thread could be started).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_pool_create(threads: u32, out: *mut *mut atlas_pool) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
        out.set(into_handle(atlas_pool(Pool::new(threads)?)));
        Ok(())
    })
}

/// How many tasks of a pool can be at work at a time; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_pool_threads(pool: *const atlas_pool) -> u32 {
    infallible(0, || {
        // SAFETY: as the header asks: NULL or a live pool.
        unsafe { pool.as_ref() }.map_or(0, |pool| u32::try_from(pool.0.threads()).unwrap_or(u32::MAX))
    })
}

/// Joins the threads of a pool and frees it. NULL does nothing. No call may be using it.
///
/// In a forked child of the process that made it, nothing is joined: the threads are the parent's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_pool_destroy(pool: *mut atlas_pool) {
    // SAFETY: as the header asks: NULL or a pool that is not used again.
    unsafe { drop_handle(pool) };
}
