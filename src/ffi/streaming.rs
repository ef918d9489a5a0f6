//! Streaming: projections in memory bounded by the configuration, not by the size of the domain.
//!
//! A stream projects a source in one call, chunk by chunk as the caller asks for it, or from bytes
//! that the caller pushes as they arrive. The projection equals that of atlas_projection_create()
//! on the same bytes.
//!
//! ```c
//! static atlas_status receive(FILE *in, const char *path, atlas_projection **out) {
//!   char buffer[65536];
//!   atlas_stream *stream = NULL;
//!   atlas_status status = atlas_stream_open_push(ATLAS_PROJECTION_LINEAR, path, NULL, NULL, NULL,
//!                                                &stream);
//!   for (size_t n; status == ATLAS_STATUS_OK && (n = fread(buffer, 1, sizeof buffer, in)) > 0;)
//!     status = atlas_stream_push(stream, buffer, n);
//!   if (status == ATLAS_STATUS_OK) status = atlas_stream_finish(stream, out); // writes path
//!   atlas_stream_destroy(stream);
//!   return status;
//! }
//! ```

use super::args::{CBool, bytes_in, drop_handle, handle, out, out_handle, path};
use super::boundary::{boundary, infallible};
use super::operation::{atlas_operation, atlas_progress, with_operation};
use super::projection::{atlas_projection, atlas_projection_options, projection_options, projection_type};
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::source::atlas_source;
use super::status::atlas_status;
use crate::base::error::Result;
use crate::base::sync::lock;
use crate::exec::operation::Operation;
use crate::streaming::{StreamMonitor, StreamingConfig, StreamingContext, check_built_in, stream_projection};
use std::ffi::{c_char, c_void};
use std::sync::Mutex;

/// Settings of a stream, which do not change the result. Fill the struct with atlas_stream_config_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_stream_config {
    /// sizeof(atlas_stream_config).
    pub struct_size: u32,
    /// Bytes per chunk, 64 KiB to 256 MiB. Default 16 MiB. A chunk is the unit of progress, of
    /// read-ahead and of atlas_stream_next().
    pub chunk_size: u64,
    /// Maximum number of chunks in flight, or of MiB if a chunk is smaller than 1 MiB. Greater than 0.
    /// The default is 4. Ignored by atlas_stream_next(), which works on one chunk.
    pub parallel_chunks: u32,
    /// Number of chunks that the system is asked to read ahead, together at most 1 GiB. Default 2.
    pub prefetch_chunks: u32,
    /// Bytes of the next chunk returned with each chunk, at most chunk_size. Default 4,096.
    pub chunk_overlap: u64,
    /// Size of the largest positioned read, 4 KiB to 16 MiB. Default 1 MiB. Above 1 MiB it is
    /// rounded down to whole MiB, and each worker has a buffer of that size, at most of chunk_size.
    /// atlas_stream_next() reads at most 1 MiB at a time.
    pub io_buffer_size: u64,
}

sized_struct!(
    atlas_stream_config,
    atlas_stream_config {
        struct_size: own_size::<atlas_stream_config>(),
        chunk_size: StreamingConfig::DEFAULT.chunk_size,
        parallel_chunks: StreamingConfig::DEFAULT.parallel_chunks,
        prefetch_chunks: StreamingConfig::DEFAULT.prefetch_chunks,
        chunk_overlap: StreamingConfig::DEFAULT.chunk_overlap,
        io_buffer_size: StreamingConfig::DEFAULT.io_buffer_size,
    },
    [struct_size, chunk_size, parallel_chunks, prefetch_chunks, chunk_overlap, io_buffer_size]
);

/// Fills `config` with the defaults: chunks of 16 MiB, 4 in flight, 2 read ahead, an overlap of 4,096
/// bytes, reads of 1 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_config_init(config: *mut atlas_stream_config) {
    // SAFETY: the header requires NULL or a whole struct.
    unsafe { init_struct(config) };
}

/// Converts the caller's configuration.
///
/// # Safety
///
/// `config` is NULL or a struct that meets the header's terms.
unsafe fn stream_config(config: *const atlas_stream_config) -> Result<StreamingConfig> {
    // SAFETY: the caller meets this function's requirements.
    let config = unsafe { read_struct(config) }?;
    StreamingConfig::new(config.chunk_size, config.parallel_chunks)?
        .with_prefetch_chunks(config.prefetch_chunks)
        .with_chunk_overlap(config.chunk_overlap)?
        .with_io_buffer_size(config.io_buffer_size)
}

/// A stream: chunks that are pulled from a source, or bytes that are pushed.
pub struct atlas_stream {
    context: Mutex<StreamingContext>,
    /// Progress and completion, outside the lock so that getters never wait for a long call.
    monitor: StreamMonitor,
    operation: StreamOperation,
}

/// Operation of all calls on a stream.
struct StreamOperation(atlas_operation);

// SAFETY: the operation is never changed. Any thread may use the pool. The function and user_data belong to
// the caller, who allows calls from any thread; they are used only in calls, one at a time, under the
// stream's lock.
unsafe impl Send for StreamOperation {}
// SAFETY: as above.
unsafe impl Sync for StreamOperation {}

impl atlas_stream {
    /// Opens a stream that runs with a copy of `operation`.
    ///
    /// # Safety
    ///
    /// `operation` is NULL or a struct that meets the header's terms.
    unsafe fn new(
        operation: *const atlas_operation,
        open: impl FnOnce(&mut Operation<'_>) -> Result<StreamingContext>,
    ) -> Result<atlas_stream> {
        // SAFETY: the caller meets this function's requirements.
        let operation = unsafe { read_struct(operation) }?;
        // SAFETY: `operation` is our own copy, and the header requires that its pool is live.
        let context = unsafe { with_operation(&raw const operation, open) }?;
        Ok(atlas_stream {
            monitor: context.monitor(),
            context: Mutex::new(context),
            operation: StreamOperation(operation),
        })
    }

    /// Runs one changing call at a time.
    fn run<R>(&self, call: impl FnOnce(&mut StreamingContext, &mut Operation<'_>) -> Result<R>) -> Result<R> {
        // A call that panicked leaves a stream in the failed state, so that a poisoned lock is safe
        // to enter.
        let mut context = lock(&self.context);
        // SAFETY: the operation is our own copy; the header asks that pool and user_data outlive the stream.
        unsafe { with_operation(&raw const self.operation.0, |operation| call(&mut context, operation)) }
    }
}

/// Projects a source in one call, in memory bounded by the configuration.
///
/// The result equals that of atlas_projection_create() on the same bytes, including the root. Each
/// worker reads into one buffer of its own; pages of a mapped file are released once they are
/// hashed. `type` is an atlas_projection_type; `options`, `config` and `operation` may be NULL. The
/// projection keeps the source alive, so that the caller may destroy the source right after this call. `*out`
/// is owned by the caller: atlas_projection_destroy(). Progress is reported once per chunk, in order; after
/// false each worker stops after its present read or tile. Fails with INVALID_ARGUMENT, IO, CONSERVATION
/// (STRICT), UNSUPPORTED, LIMIT, STATE (pool from before a fork), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_project(
    r#type: u32,
    source: *const atlas_source,
    options: *const atlas_projection_options,
    config: *const atlas_stream_config,
    operation: *const atlas_operation,
    out: *mut *mut atlas_projection,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        check_built_in()?;
        // SAFETY: the header requires a live source, and structs of their struct_size.
        let (source, options, config) =
            unsafe { (handle(source, "source")?, projection_options(options)?, stream_config(config)?) };
        let kind = projection_type(r#type)?;
        // SAFETY: as above.
        let made = unsafe {
            with_operation(operation, |run| stream_projection(&source.0, kind, &options, config, run))
        }?;
        out.fill(atlas_projection(made));
        Ok(())
    })
}

/// Opens a stream over a source, to be read chunk by chunk. Reads nothing yet.
///
/// `type` is an atlas_projection_type. The stream keeps the source alive. `options`, `config` and `operation`
/// may be NULL and are copied; the operation's pool and user_data must outlive the stream. `*out` is owned by
/// the caller: atlas_stream_destroy(). After a failure or a cancellation only getters and destroy work, and
/// all other calls fail with STATE; the stream then holds no resources. Fails with INVALID_ARGUMENT,
/// UNSUPPORTED, LIMIT (the memory limit is too small for one worker and the result), STATE (pool from before
/// a fork) or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_open(
    r#type: u32,
    source: *const atlas_source,
    options: *const atlas_projection_options,
    config: *const atlas_stream_config,
    operation: *const atlas_operation,
    out: *mut *mut atlas_stream,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        check_built_in()?;
        // SAFETY: the header requires a live source, and structs of their struct_size.
        let (source, options, config) =
            unsafe { (handle(source, "source")?, projection_options(options)?, stream_config(config)?) };
        let kind = projection_type(r#type)?;
        // SAFETY: as above.
        let stream = unsafe {
            atlas_stream::new(operation, |run| StreamingContext::open(&source.0, kind, &options, config, run))
        }?;
        out.fill(stream);
        Ok(())
    })
}

/// Opens a stream of bytes that the caller pushes as they arrive.
///
/// `type` is an atlas_projection_type. The bytes go to a temporary file beside `spool_path` (copied).
/// atlas_stream_finish() flushes it to the disk and renames it to `spool_path`, replacing an existing file.
/// If `spool_path` is NULL, the bytes stay in memory, which counts towards the operation's memory limit.
/// Otherwise like atlas_stream_open(). The operation's progress has totals of 0 until the end. Fails as
/// atlas_stream_open() does, and with IO (the temporary file could not be made).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_open_push(
    r#type: u32,
    spool_path: *const c_char,
    options: *const atlas_projection_options,
    config: *const atlas_stream_config,
    operation: *const atlas_operation,
    out: *mut *mut atlas_stream,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        check_built_in()?;
        // SAFETY: the header requires structs of their struct_size.
        let (options, config) = unsafe { (projection_options(options)?, stream_config(config)?) };
        let kind = projection_type(r#type)?;
        // Without a path the bytes stay in memory.
        let spool = match spool_path.is_null() {
            true => None,
            // SAFETY: the header requires a C string.
            false => Some(unsafe { path(spool_path, "spool_path") }?),
        };
        // SAFETY: the caller meets the header's requirements.
        let stream = unsafe {
            atlas_stream::new(operation, |run| {
                StreamingContext::open_push(spool.as_deref(), kind, &options, config, run)
            })
        }?;
        out.fill(stream);
        Ok(())
    })
}

/// Adds `size` bytes at `data`, which are borrowed for the call. (NULL, 0) adds nothing.
///
/// The pieces may have any size. Changing calls on a stream are serialised. Progress is reported at
/// the end of each chunk. Fails with INVALID_ARGUMENT, UNSUPPORTED, STATE (finished, failed before,
/// a stream of a source, or a pool from before a fork), LIMIT, IO, OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_push(
    stream: *mut atlas_stream,
    data: *const c_void,
    size: usize,
) -> atlas_status {
    boundary(|| {
        check_built_in()?;
        // SAFETY: the header requires a live stream, `size` readable bytes.
        let (stream, data) = unsafe { (handle(stream, "stream")?, bytes_in(data, size, "data")?) };
        stream.run(|context, operation| context.push(data, operation))
    })
}

/// A chunk, and the beginning of the next chunk. Filled by atlas_stream_next().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_chunk {
    /// sizeof(atlas_chunk), set by the caller.
    pub struct_size: u32,
    /// Sum of the bytes at data mod 96.
    pub residue: u32,
    /// Number of the chunk, from 0.
    pub id: u64,
    /// Offset of data in the domain.
    pub offset: u64,
    /// Bytes of the chunk. Borrowed until the next changing call on the stream.
    pub data: *const u8,
    /// Number of bytes at data.
    pub size: usize,
    /// First bytes of the next chunk, which are read only once. Borrowed like data.
    pub overlap: *const u8,
    /// Number of bytes at overlap: min(chunk_overlap, bytes left).
    pub overlap_size: usize,
}

sized_struct!(
    atlas_chunk,
    atlas_chunk {
        struct_size: own_size::<atlas_chunk>(),
        residue: 0,
        id: 0,
        offset: 0,
        data: std::ptr::null(),
        size: 0,
        overlap: std::ptr::null(),
        overlap_size: 0,
    },
    [struct_size, residue, id, offset, data, size, overlap, overlap_size]
);

/// Reads and hashes the next chunk and returns it. `*has_chunk` is false at the end. An empty
/// domain has no chunk.
///
/// The caller sets chunk->struct_size. The previous chunk becomes invalid. Progress is reported
/// once, before the chunk is returned. Fails with INVALID_ARGUMENT, UNSUPPORTED, STATE (a push
/// stream, finished, failed before, or a pool from before a fork), IO, LIMIT, OUT_OF_MEMORY or
/// CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_next(
    stream: *mut atlas_stream,
    chunk: *mut atlas_chunk,
    has_chunk: *mut CBool,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a bool, NULL or a struct of its struct_size.
        let (has_chunk, out) =
            unsafe { (self::out(has_chunk, 0, "has_chunk"), OutStruct::new(chunk, "chunk")) };
        let (has_chunk, out) = (has_chunk?, out?);
        check_built_in()?;
        // SAFETY: the header requires a live stream.
        let stream = unsafe { handle(stream, "stream") }?;
        stream.run(|context, operation| {
            // At the end both outputs keep the zeros that they got at entry.
            let Some(chunk) = context.next(operation)? else { return Ok(()) };
            out.fill(&atlas_chunk {
                residue: u32::from(chunk.residue.value()),
                id: chunk.id,
                offset: chunk.offset,
                data: chunk.data.as_ptr(),
                size: chunk.data.len(),
                overlap: chunk.overlap.as_ptr(),
                overlap_size: chunk.overlap.len(),
                ..atlas_chunk::DEFAULT
            });
            has_chunk.set(1);
            Ok(())
        })
    })
}

/// Reports the progress of a stream at once, from any thread, also during another call on it.
///
/// The totals of a push stream are 0 until it is finished. The caller sets progress->struct_size.
/// Fails with INVALID_ARGUMENT or UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_get_progress(
    stream: *const atlas_stream,
    progress: *mut atlas_progress,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a struct of its struct_size.
        let out = unsafe { OutStruct::new(progress, "progress") }?;
        check_built_in()?;
        // SAFETY: the header requires a live stream.
        let stream = unsafe { handle(stream, "stream") }?;
        let now = stream.monitor.progress();
        out.fill(&atlas_progress {
            bytes_done: now.bytes_done,
            bytes_total: now.bytes_total,
            chunks_done: now.chunks_done,
            chunks_total: now.chunks_total,
            ..atlas_progress::DEFAULT
        });
        Ok(())
    })
}

/// Returns true if every byte was processed: after the last chunk was returned, and after finish.
/// False for NULL. Callable from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_is_complete(stream: *const atlas_stream) -> CBool {
    infallible(0, || {
        // SAFETY: the header requires NULL or a live stream.
        CBool::from(unsafe { stream.as_ref() }.is_some_and(|stream| stream.monitor.is_complete()))
    })
}

/// Processes the remaining bytes and returns the projection of the whole domain. Succeeds at most once per
/// stream.
///
/// A spool file then has its final name, replacing an existing file. `*out` is owned by the caller:
/// atlas_projection_destroy(); it outlives the stream. Progress is reported once per chunk, and at the end
/// with the totals. Fails with INVALID_ARGUMENT, UNSUPPORTED, STATE (finished, failed before, or a pool from
/// before a fork), IO, CONSERVATION (STRICT), OUT_OF_MEMORY or CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_finish(
    stream: *mut atlas_stream,
    out: *mut *mut atlas_projection,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        check_built_in()?;
        // SAFETY: the header requires a live stream.
        let stream = unsafe { handle(stream, "stream") }?;
        let projection = stream.run(|context, operation| context.finish(operation))?;
        out.fill(atlas_projection(projection));
        Ok(())
    })
}

/// Frees a stream, and removes its temporary file unless it is finished. NULL does nothing. No call
/// may be using it; the projection that finish returned stays valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_stream_destroy(stream: *mut atlas_stream) {
    // SAFETY: the header requires NULL or a stream that is not used again.
    unsafe { drop_handle(stream) };
}
