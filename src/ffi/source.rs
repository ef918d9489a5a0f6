//! Sources.

use super::args::{
    bytes_in, drop_handle, handle, into_handle, item_is_null, items_in, known, out, path, unknown,
};
use super::boundary::{boundary, infallible};
use super::callback;
use super::status::atlas_status;
use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::source::{RawReadAt, Source};
use std::ffi::{c_char, c_int, c_void};

/// Where a domain's bytes come from. Reference-counted: projections and their snapshots hold on to
/// their source, shards never do.
pub struct atlas_source(pub(super) Source);

/// How a file is read.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_file_io {
    /// Positioned reads: a file that shrinks or fails later is an error then.
    ATLAS_FILE_IO_READ = 0,
    /// Mapped: the caller promises that nobody truncates or writes the file as long as a projection
    /// reads it. Reading behind the new end of a truncated file kills the process (SIGBUS).
    ATLAS_FILE_IO_MMAP = 1,
}

/// Reads exactly `size` bytes at `offset` into `buffer`; returns 0, or an errno value.
///
/// Called from several threads at a time, unless the operation's pool has one thread. `buffer` may
/// be uninitialised. It must not throw or longjmp.
pub type atlas_read_at_fn = Option<
    unsafe extern "C" fn(user_data: *mut c_void, offset: u64, buffer: *mut c_void, size: usize) -> c_int,
>;

/// Called once, from any thread, when the last object that reads a source is gone.
pub type atlas_release_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// A callback's data, which the caller shares between threads.
#[derive(Clone, Copy)]
struct UserData(*mut c_void);

// SAFETY: never looked at here; the header tells the caller that callbacks come from any thread.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    /// A method and not the field, so that closures capture the whole.
    fn get(self) -> *mut c_void {
        self.0
    }
}

struct Callback {
    read_at: unsafe extern "C" fn(*mut c_void, u64, *mut c_void, usize) -> c_int,
    release: atlas_release_fn,
    user_data: UserData,
}

impl RawReadAt for Callback {
    fn read_at(&self, offset: u64, mut out: OutBytes<'_>) -> std::result::Result<(), i32> {
        let (data, size) = (out.as_mut_ptr().cast(), out.len());
        // SAFETY: the caller's function with the caller's data, and `size` writable bytes.
        match unsafe { callback::read(self.read_at, self.user_data.get(), offset, data, size) } {
            0 => Ok(()),
            code => Err(code),
        }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the caller's function with the caller's data, once.
            unsafe { callback::release(release, self.user_data.get()) };
        }
    }
}

/// Where a new source goes.
///
/// # Safety
/// `out` is NULL or a place for a pointer.
unsafe fn give(out: *mut *mut atlas_source, make: impl FnOnce() -> Result<Source>) -> Result<()> {
    // SAFETY: as the caller promises.
    let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
    out.set(into_handle(atlas_source(make()?)));
    Ok(())
}

/// A source of a copy of `size` bytes at `data`, which may be NULL when `size` is 0.
///
/// `*out` is owned by the caller: atlas_source_destroy(). Fails with INVALID_ARGUMENT or
/// OUT_OF_MEMORY. Costs one copy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_copy(
    data: *const c_void,
    size: usize,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a place for a pointer, `size` readable bytes.
        unsafe { give(out, || Source::copy(bytes_in(data, size, "data")?)) }
    })
}

/// A source of memory that stays the caller's, without a copy.
///
/// `data` must stay readable and unchanged until `release` is called with `user_data`, once, from
/// any thread, when the last object that reads it is gone. `release` may be NULL: then until all
/// those objects are destroyed. On failure `release` is not called. `*out` is owned by the caller.
/// Fails with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_borrow(
    data: *const c_void,
    size: usize,
    release: atlas_release_fn,
    user_data: *mut c_void,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        let user_data = UserData(user_data);
        let make = || {
            // SAFETY: as the header asks: `size` readable bytes; the slice is only measured.
            let bytes = unsafe { bytes_in(data, size, "data") }?;
            let release = release.map(|release| -> Box<dyn FnOnce() + Send + Sync> {
                // SAFETY: the caller's function with the caller's data, once.
                Box::new(move || unsafe { callback::release(release, user_data.get()) })
            });
            // SAFETY: the header asks the caller for the very promise of `borrow`.
            Ok(unsafe { Source::borrow(bytes.as_ptr(), bytes.len(), release) })
        };
        // SAFETY: as the header asks: NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// A source that reads a regular file; `io` is an atlas_file_io.
///
/// `path` is copied: bytes on Unix, UTF-8 on Windows. The size is that of the moment. Holes of a sparse file
/// are not read where tiles are hashed: the file system is asked where they are, anew by each call. `*out` is
/// owned by the caller. Fails with INVALID_ARGUMENT (not a regular file, unknown io), IO (message
/// with path and reason, os_error set) or UNSUPPORTED (mapping not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_open_file(
    path: *const c_char,
    io: u32,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        let make = || {
            // SAFETY: as the header asks: NULL or a C string.
            let path = unsafe { self::path(path, "path") }?;
            const READ: u32 = atlas_file_io::ATLAS_FILE_IO_READ as u32;
            const MMAP: u32 = atlas_file_io::ATLAS_FILE_IO_MMAP as u32;
            match io {
                READ => Source::open_file(path),
                // SAFETY: the header asks the caller for the very promise of `map_file`.
                MMAP => unsafe { Source::map_file(path) },
                other => {
                    Err(unknown("io", other, known!(atlas_file_io: ATLAS_FILE_IO_READ, ATLAS_FILE_IO_MMAP)))
                }
            }
        };
        // SAFETY: as the header asks: NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// A source of `size` bytes that `read_at` gives.
///
/// `release` (may be NULL) is called once with `user_data`, from any thread, when the last object
/// that reads the source is gone; on failure it is not called. `*out` is owned by the caller. Fails
/// with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_from_callback(
    size: u64,
    read_at: atlas_read_at_fn,
    release: atlas_release_fn,
    user_data: *mut c_void,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        let make = || {
            let read_at = read_at.ok_or_else(|| AtlasError::invalid_argument("read_at is NULL"))?;
            let callback = Callback { read_at, release, user_data: UserData(user_data) };
            Ok(Source::from_raw_reader(size, Box::new(callback)))
        };
        // SAFETY: as the header asks: NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// The `size` bytes from `offset` on of a source, as a source of their own.
///
/// No byte is copied. `source` is held: it may be destroyed at once. Of a file the range stays known as a part of
/// that file. A size of 0 gives an empty source. `*out` is owned by the caller: atlas_source_destroy(). Any thread.
/// Fails with INVALID_ARGUMENT, OUT_OF_RANGE or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_range(
    source: *const atlas_source,
    offset: u64,
    size: u64,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        // SAFETY: as the header asks: a live source.
        let make = || unsafe { handle(source, "source") }?.0.range(offset, size);
        // SAFETY: as the header asks: NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// The bytes of `count` sources, one after the other, as a source of their own.
///
/// No byte is copied, and a source may come twice. `sources` is copied and each source held: all of them may be
/// destroyed at once. A read finds its part in O(log count); files stay known as files. `sources` may be NULL when
/// `count` is 0, which gives an empty source. `*out` is owned by the caller: atlas_source_destroy(). Any thread.
/// Fails with INVALID_ARGUMENT (the message says which source is NULL), LIMIT (2^64 bytes or more) or
/// OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_concat(
    sources: *const *const atlas_source,
    count: usize,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        let make = || {
            // SAFETY: as the header asks: `count` handles.
            let handles = unsafe { items_in(sources, count, "sources") }?;
            let mut sources = try_vec(count)?;
            for (index, source) in handles.iter().enumerate() {
                // SAFETY: as the header asks: a live source.
                let source = unsafe { source.as_ref() };
                sources.push(&source.ok_or_else(|| item_is_null("sources", index))?.0);
            }
            Source::concat(sources)
        };
        // SAFETY: as the header asks: NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// How many bytes a source has; 0 for NULL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_size(source: *const atlas_source) -> u64 {
    // SAFETY: as the header asks: NULL or a live source.
    infallible(0, || unsafe { handle(source, "source") }.map_or(0, |source| source.0.size()))
}

/// Gives up the caller's hold on a source. NULL does nothing. Projections keep theirs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_destroy(source: *mut atlas_source) {
    // SAFETY: as the header asks: NULL or a source that is not used again.
    unsafe { drop_handle(source) };
}
