//! Version, features, digest and buffers.

use super::args::bytes_in;
use super::boundary::infallible;
use std::ffi::{CStr, c_char, c_void};

/// Work runs on several threads.
pub const ATLAS_FEATURE_PARALLEL: u64 = 1;
/// Shards can be compressed.
pub const ATLAS_FEATURE_COMPRESSION: u64 = 2;
/// Domains can be streamed.
pub const ATLAS_FEATURE_STREAMING: u64 = 4;
/// The benchmark suite is there.
pub const ATLAS_FEATURE_BENCHMARKS: u64 = 8;
/// Containers are there: always.
pub const ATLAS_FEATURE_CONTAINER: u64 = 16;

/// The version of the library in use: major << 16 | minor << 8 | patch.
///
/// Compare it with ATLAS_MANIFOLD_VERSION, which the program was compiled with. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_manifold_version() -> u32 {
    // Read at compile time out of the package's version.
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

/// The version of the library in use as text, such as "0.2.0". Lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_manifold_version_string() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    CStr::from_bytes_with_nul(VERSION.as_bytes()).unwrap_or(c"").as_ptr()
}

/// What is built in: a set of ATLAS_FEATURE_ bits. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_manifold_features() -> u64 {
    let bit = |built_in: bool, bit: u64| if built_in { bit } else { 0 };
    bit(cfg!(feature = "parallel"), ATLAS_FEATURE_PARALLEL)
        | bit(cfg!(feature = "compression"), ATLAS_FEATURE_COMPRESSION)
        | bit(cfg!(feature = "streaming"), ATLAS_FEATURE_STREAMING)
        | bit(cfg!(feature = "benchmarks"), ATLAS_FEATURE_BENCHMARKS)
        | ATLAS_FEATURE_CONTAINER
}

/// Frees the used buffers and tables that the library keeps for the next call.
///
/// At most 64 MiB of buffers and 400 KiB of decompression states are kept, for the whole process; handles
/// have what they need besides. On Linux with glibc and with every handle destroyed, resident memory is
/// then within 2 MiB of what it was before the first call, not counting pages of the library's own file,
/// which the system shares. It also returns what malloc() has free, of the whole process, which takes some
/// milliseconds for a large heap. The threads of the library's own pool stay; while they are at work, so
/// does what their allocator has free. The next calls take memory anew. Any thread, also while other
/// calls are at work: what they use stays.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_manifold_trim() {
    infallible((), crate::trim);
}

/// BLAKE3-256 of `size` bytes at `data`, which may be NULL when `size` is 0.
///
/// A fitting digest for atlas_conservation_set_digest() of Layer 2. Any thread. A NULL `digest` is
/// ignored; NULL data with a size other than 0 gives 32 zero bytes.
///
/// cbindgen:ptrs-as-arrays=[[digest;32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_digest256(data: *const c_void, size: usize, digest: *mut u8) {
    if digest.is_null() {
        return;
    }
    let value = infallible([0; 32], || {
        // SAFETY: as the header asks: `size` readable bytes.
        unsafe { bytes_in(data, size, "data") }.map_or([0; 32], crate::digest256)
    });
    // SAFETY: as the header asks: 32 writable bytes.
    unsafe { digest.cast::<[u8; 32]>().write(value) };
}

/// Bytes that the library allocated and the caller owns. Free with atlas_buffer_free().
#[repr(C)]
#[derive(Debug)]
pub struct atlas_buffer {
    /// NULL when size is 0.
    pub data: *mut u8,
    /// Bytes at data.
    pub size: usize,
}

impl atlas_buffer {
    pub(super) const EMPTY: atlas_buffer = atlas_buffer { data: std::ptr::null_mut(), size: 0 };

    pub(super) fn from_vec(bytes: Vec<u8>) -> atlas_buffer {
        if bytes.is_empty() {
            return Self::EMPTY;
        }
        // The length is all that atlas_buffer_free knows; encodings have no capacity beyond it.
        let size = bytes.len();
        atlas_buffer { data: Box::into_raw(bytes.into_boxed_slice()).cast(), size }
    }
}

/// Frees the bytes of a buffer and sets it to {NULL, 0}, so that a second call does nothing.
///
/// NULL does nothing. For buffers that the library filled only, each from one thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_buffer_free(buffer: *mut atlas_buffer) {
    infallible((), || {
        // SAFETY: as the header asks: NULL or a buffer of the caller's.
        let Some(buffer) = (unsafe { buffer.as_mut() }) else { return };
        let atlas_buffer { data, size } = std::mem::replace(buffer, atlas_buffer::EMPTY);
        if !data.is_null() {
            // SAFETY: made by `from_vec` with this pointer and length, and taken out just above.
            drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)) });
        }
    });
}
