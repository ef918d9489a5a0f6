//! Accelerators: tiles hashed by an OpenCL device.
//!
//! A pool can have a device that hashes tiles beside its threads, with the witnesses, roots and
//! bytes of the processor. Use it for data that lies in memory of the device, or on a machine with
//! few cores (docs/gpu.md). The OpenCL loader is opened at run time and never linked.
//!
//! ```c
//! static atlas_status root_on_gpu(const atlas_source *source, uint8_t root[32]) {
//!   atlas_operation operation;
//!   atlas_pool *pool = NULL;
//!   atlas_projection *projection = NULL;
//!   atlas_status status = atlas_pool_create_accelerated(0, NULL, &pool);
//!   atlas_operation_init(&operation);
//!   operation.pool = pool;
//!   if (status == ATLAS_STATUS_OK)
//!     status = atlas_projection_create(ATLAS_PROJECTION_LINEAR, source, NULL, &operation, &projection);
//!   if (status == ATLAS_STATUS_OK)
//!     status = atlas_projection_root(projection, &operation, root);
//!   atlas_projection_destroy(projection);
//!   atlas_pool_destroy(pool);
//!   return status;
//! }
//! ```

use super::args::{handle, out_handle};
use super::boundary::boundary;
use super::operation::atlas_pool;
use super::sized::{OutStruct, SizedStruct, init_struct, own_size, read_struct, sized_struct};
use super::source::atlas_source;
use super::status::atlas_status;
use crate::accelerator::AcceleratorOptions;
use crate::base::error::AtlasError;
use crate::exec::pool::Pool;
use crate::source::Source;
use std::ffi::{CStr, c_char, c_void};

/// Choice of an OpenCL device. Fill it with atlas_accelerator_options_init().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_accelerator_options {
    /// sizeof(atlas_accelerator_options).
    pub struct_size: u32,
    /// Number of the device among those that match, from 0.
    pub index: u32,
    /// Part of the name of the device or of its platform, in any case; a device of any kind with it
    /// matches. Borrowed for the call. NULL means any GPU.
    pub name: *const c_char,
    /// The caller's own cl_context, with cl_device: both or neither. It must come from the library
    /// that the loader libOpenCL.so.1 is. It is retained; index and name are ignored, and buffers of
    /// it can be sources.
    pub cl_context: *mut c_void,
    /// The caller's own cl_device_id, a device of cl_context.
    pub cl_device: *mut c_void,
    /// Maximum number of bytes of device memory. 0 means a quarter of it, at most 1 GiB.
    pub memory_limit: u64,
}

sized_struct!(
    atlas_accelerator_options,
    atlas_accelerator_options {
        struct_size: own_size::<atlas_accelerator_options>(),
        index: 0,
        name: std::ptr::null(),
        cl_context: std::ptr::null_mut(),
        cl_device: std::ptr::null_mut(),
        memory_limit: 0,
    },
    [struct_size, index, name, cl_context, cl_device, memory_limit]
);

/// Size of `name` in atlas_accelerator_info.
const NAME: usize = 128;

/// Properties of the device of a pool.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_accelerator_info {
    /// sizeof(atlas_accelerator_info).
    pub struct_size: u32,
    /// Number of compute units.
    pub compute_units: u32,
    /// Bytes of memory of the device.
    pub memory_size: u64,
    /// Bytes that the device has hashed since the pool was made.
    pub bytes_hashed: u64,
    /// Name of the device, cut to 127 bytes, with a zero at its end.
    pub name: [c_char; 128],
}

sized_struct!(
    atlas_accelerator_info,
    atlas_accelerator_info {
        struct_size: own_size::<atlas_accelerator_info>(),
        compute_units: 0,
        memory_size: 0,
        bytes_hashed: 0,
        name: [0; NAME],
    },
    [struct_size, compute_units, memory_size, bytes_hashed, name]
);

/// Fills `options` with the defaults: the first GPU, a quarter of its memory, at most 1 GiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_accelerator_options_init(options: *mut atlas_accelerator_options) {
    // SAFETY: as the header asks: NULL or a whole struct.
    unsafe { init_struct(options) };
}

/// Creates a pool like atlas_pool_create() whose calls also hash tiles on an OpenCL device.
///
/// `options` may be NULL. `*out` is owned by the caller: atlas_pool_destroy(). Compiling the kernels, once
/// per process and device, takes seconds. A driver may start threads of its own. LINEAR tiles are hashed on
/// the device, R96 tiles on the processor. Buffers of the host count towards operation.memory_limit. During a
/// call a lack of device memory is OUT_OF_MEMORY, and the pool goes on; another failure of OpenCL is IO with
/// its negative code as os_error, and a wrong digest is INTERNAL with the tile's index. Both make later calls
/// with the pool STATE: nothing falls back to the processor unasked. After fork() the child makes no OpenCL
/// call: pool and sources of OpenCL buffers are STATE there, and destroying them releases nothing.
///
/// Fails with INVALID_ARGUMENT, OUT_OF_MEMORY, LIMIT (memory_limit below the need of one tile), UNSUPPORTED
/// (no loader, no such device, or one that does not compile the kernels or fails the self-test; not built in)
/// or STATE (OpenCL was opened before a fork).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_pool_create_accelerated(
    threads: u32,
    options: *const atlas_accelerator_options,
    out: *mut *mut atlas_pool,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: as the header asks: NULL or a struct of its size.
        let given = unsafe { read_struct(options) }?;
        let mut options =
            AcceleratorOptions::new().with_index(given.index).with_memory_limit(given.memory_limit);
        if !given.name.is_null() {
            // SAFETY: as the header asks: a C string.
            let name = unsafe { CStr::from_ptr(given.name) }.to_str();
            options = options.with_name(name.map_err(|_| {
                AtlasError::invalid_argument("name, the name of an OpenCL device, is not UTF-8")
            })?);
        }
        // SAFETY: as the header asks: NULL, or live objects of the same OpenCL.
        let options = unsafe { options.with_context(given.cl_context, given.cl_device) };
        out.fill(atlas_pool(Pool::accelerated(threads, &options)?));
        Ok(())
    })
}

/// Gets the properties of the device of a pool. Set info->struct_size first.
///
/// Callable from any thread. Fails with INVALID_ARGUMENT (the pool has no device).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_pool_get_accelerator(
    pool: *const atlas_pool,
    info: *mut atlas_accelerator_info,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a struct with its size set.
        let out = unsafe { OutStruct::new(info, "info") }?;
        // SAFETY: as the header asks: a live pool.
        let pool = unsafe { handle(pool, "pool") }?;
        let info = pool.0.accelerator();
        let info = info.ok_or_else(|| {
            AtlasError::invalid_argument("the pool has no accelerator: make a pool with an OpenCL device")
        })?;
        let mut found = atlas_accelerator_info {
            compute_units: info.compute_units,
            memory_size: info.memory_size,
            bytes_hashed: info.bytes_hashed,
            ..atlas_accelerator_info::DEFAULT
        };
        // Cut between characters; the last byte stays 0.
        let len = (0..NAME).rev().find(|len| info.name.is_char_boundary(*len)).unwrap_or(0);
        for (place, byte) in found.name.iter_mut().zip(info.name.bytes().take(len)) {
            *place = byte as c_char;
        }
        out.fill(&found);
        Ok(())
    })
}

/// Creates a source from `size` bytes at `offset` of an OpenCL buffer.
///
/// `buffer` is a live cl_mem of the context of `pool`. Buffer and context are retained, and the pool may be
/// destroyed first. Commands that write the buffer must have completed before a call reads it. A pool of the
/// same context hashes the bytes in place; everything else reads them by copies. `*out` is owned by the
/// caller: atlas_source_destroy(). Callable from any thread. Fails with INVALID_ARGUMENT (a pool without
/// device, a NULL buffer, a buffer of another context, no buffer object, CL_MEM_WRITE_ONLY), OUT_OF_RANGE,
/// STATE, OUT_OF_MEMORY or IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_from_cl_mem(
    pool: *const atlas_pool,
    buffer: *mut c_void,
    offset: u64,
    size: u64,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: NULL or a place for a pointer.
        let out = unsafe { out_handle(out) }?;
        // SAFETY: as the header asks: a live pool.
        let pool = unsafe { handle(pool, "pool") }?;
        // SAFETY: as the header asks: NULL or a live memory object.
        out.fill(atlas_source(unsafe { Source::from_cl_mem(&pool.0, buffer, offset, size) }?));
        Ok(())
    })
}
