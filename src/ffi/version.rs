//! Version, errors and memory.
//!
//! A call that can fail returns an atlas_status. The message and the numbers of the thread's last
//! failure stay available until its next call that returns a status. A program compares the version
//! of the library in use with the version of its header, and asks atlas_manifold_features() before
//! it uses an optional part.
//!
//! ```c
//! static int try_to_open(const char *path) {
//!   atlas_source *source = NULL;
//!   atlas_error_info info = { .struct_size = sizeof info };
//!   if (atlas_source_open_file(path, ATLAS_FILE_IO_READ, &source) == ATLAS_STATUS_OK) {
//!     atlas_source_destroy(source);
//!     return 0;
//!   }
//!   atlas_last_error_get(&info);
//!   fprintf(stderr, "%s: %s (errno %d)\n", atlas_status_name(info.status),
//!           atlas_last_error_message(), info.os_error);
//!   return 1;
//! }
//! ```

use super::args::bytes_in;
use super::boundary::infallible;
use crate::base::buffer::try_boxed;
use crate::base::error::Result;
use std::ffi::{CStr, c_char, c_void};

/// Feature bit: work runs on several threads.
pub const ATLAS_FEATURE_PARALLEL: u64 = 1;
/// Feature bit: shards can be compressed.
pub const ATLAS_FEATURE_COMPRESSION: u64 = 2;
/// Feature bit: domains can be streamed.
pub const ATLAS_FEATURE_STREAMING: u64 = 4;
/// Feature bit: the benchmark suite is built in.
pub const ATLAS_FEATURE_BENCHMARKS: u64 = 8;
/// Feature bit: containers are built in. Always set.
pub const ATLAS_FEATURE_CONTAINER: u64 = 16;
/// Feature bit: parity files can be made and used.
pub const ATLAS_FEATURE_PARITY: u64 = 32;
/// Feature bit: ATLAS_COMPRESSION_ZSTD is built in.
pub const ATLAS_FEATURE_ZSTD: u64 = 64;
/// Feature bit: ATLAS_COMPRESSION_LZ4 is built in.
pub const ATLAS_FEATURE_LZ4: u64 = 128;
/// Feature bit: pools can have an OpenCL device.
pub const ATLAS_FEATURE_OPENCL: u64 = 256;

/// Returns the version of the library in use: major << 16 | minor << 8 | patch.
///
/// Compare it with ATLAS_MANIFOLD_VERSION, the version of the header that the program was compiled
/// with. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_manifold_version() -> u32 {
    // The numbers come from the package's version, at compile time.
    const fn number(text: &str) -> u32 {
        let (bytes, mut value, mut at) = (text.as_bytes(), 0, 0);
        while at < bytes.len() {
            value = value * 10 + (bytes[at] - b'0') as u32;
            at += 1;
        }
        value
    }
    const VERSION: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
        | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
        | number(env!("CARGO_PKG_VERSION_PATCH"));
    VERSION
}

/// Returns the version of the library in use as text, such as "0.2.0". The text lives as long as
/// the library.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_manifold_version_string() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    CStr::from_bytes_with_nul(VERSION.as_bytes()).unwrap_or(c"").as_ptr()
}

/// Returns the features that are built in, a set of ATLAS_FEATURE_ bits. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_manifold_features() -> u64 {
    let bit = |built_in: bool, bit: u64| if built_in { bit } else { 0 };
    bit(cfg!(feature = "parallel"), ATLAS_FEATURE_PARALLEL)
        | bit(cfg!(feature = "compression"), ATLAS_FEATURE_COMPRESSION)
        | bit(cfg!(feature = "streaming"), ATLAS_FEATURE_STREAMING)
        | bit(cfg!(feature = "benchmarks"), ATLAS_FEATURE_BENCHMARKS)
        | ATLAS_FEATURE_CONTAINER
        | bit(cfg!(feature = "parity"), ATLAS_FEATURE_PARITY)
        | bit(cfg!(feature = "zstd"), ATLAS_FEATURE_ZSTD)
        | bit(cfg!(feature = "lz4"), ATLAS_FEATURE_LZ4)
        | bit(cfg!(feature = "opencl"), ATLAS_FEATURE_OPENCL)
}

/// Frees the used buffers and tables that the library keeps for the next call.
///
/// The library keeps at most 64 MiB of buffers and 400 KiB of decompression states for the whole
/// process, besides the memory of live handles. On Linux with glibc, once every handle is
/// destroyed, resident memory returns to within 2 MiB of its value before the first call. Not
/// counted are the pages of the library's own file, which the system shares, and 9 MiB of tables
/// that stay once a parity file was made or repaired.
///
/// The call also returns the free memory of malloc() to the system, for the whole process, which
/// takes some milliseconds with a large heap. The threads of the library's own pool stay; while
/// they work, the free memory of their allocator stays too. Later calls allocate again. Callable
/// from any thread, also during other calls, which keep the memory that they use.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_manifold_trim() {
    infallible((), crate::trim);
}

/// Computes BLAKE3-256 of `size` bytes at `data`, which may be NULL if `size` is 0.
///
/// The result is a suitable digest for atlas_conservation_set_digest() of Layer 2. Callable from
/// any thread. A NULL `digest` is ignored. NULL data with a size other than 0 gives 32 zero bytes.
///
/// cbindgen:ptrs-as-arrays=[[digest;32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_digest256(data: *const c_void, size: usize, digest: *mut u8) {
    if digest.is_null() {
        return;
    }
    // No status: a digest of zeros marks bytes that cannot be read.
    let value = infallible([0; 32], || {
        // SAFETY: the header requires `size` readable bytes.
        unsafe { bytes_in(data, size, "data") }.map_or([0; 32], crate::digest256)
    });
    // SAFETY: the header requires 32 writable bytes.
    unsafe { digest.cast::<[u8; 32]>().write(value) };
}

/// Bytes that the library allocated and the caller owns. Free them with atlas_buffer_free().
#[repr(C)]
#[derive(Debug)]
pub struct atlas_buffer {
    /// First byte. NULL if size is 0.
    pub data: *mut u8,
    /// Number of bytes at data.
    pub size: usize,
}

impl atlas_buffer {
    pub(super) const EMPTY: atlas_buffer = atlas_buffer { data: std::ptr::null_mut(), size: 0 };

    /// Returns a buffer of `bytes`. Fails with OUT_OF_MEMORY.
    pub(super) fn from_vec(bytes: Vec<u8>) -> Result<atlas_buffer> {
        if bytes.is_empty() {
            return Ok(Self::EMPTY);
        }
        // atlas_buffer_free() gets only the length, so that the allocation must have no capacity beyond it.
        let size = bytes.len();
        Ok(atlas_buffer { data: Box::into_raw(try_boxed(bytes)?).cast(), size })
    }
}

/// Frees the bytes of a buffer and sets it to {NULL, 0}, so that a second call does nothing.
///
/// NULL does nothing. Only for buffers that the library filled. One thread at a time per buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_buffer_free(buffer: *mut atlas_buffer) {
    infallible((), || {
        // SAFETY: the header requires NULL or a buffer of the caller's.
        let Some(buffer) = (unsafe { buffer.as_mut() }) else { return };
        // The caller's struct is emptied before the memory is freed, so that a second call does nothing.
        let atlas_buffer { data, size } = std::mem::replace(buffer, atlas_buffer::EMPTY);
        if !data.is_null() {
            // SAFETY: made by `from_vec` with this pointer and length, and taken out just above.
            drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)) });
        }
    });
}
