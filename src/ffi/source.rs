//! Sources: files, memory and callbacks that hold the bytes of a domain.
//!
//! A source says where the bytes of a domain come from: a copy, the caller's memory, a file, a
//! callback, or ranges and sequences of other sources. Sources are reference-counted, so that the
//! caller may destroy a handle as soon as a projection was made from it.
//!
//! ```c
//! static atlas_status join(const char *first, const char *second, atlas_source **out) {
//!   atlas_source *parts[2] = { NULL, NULL };
//!   atlas_status status = atlas_source_open_file(first, ATLAS_FILE_IO_READ, &parts[0]);
//!   if (status == ATLAS_STATUS_OK)
//!     status = atlas_source_open_file(second, ATLAS_FILE_IO_READ, &parts[1]);
//!   if (status == ATLAS_STATUS_OK)
//!     status = atlas_source_concat((const atlas_source *const *)parts, 2, out);
//!   atlas_source_destroy(parts[0]); // NULL does nothing
//!   atlas_source_destroy(parts[1]);
//!   return status;
//! }
//! ```

use super::args::{bytes_in, c_enum, drop_handle, handle, item_is_null, items_in, out_handle, path};
use super::boundary::{boundary, infallible};
use super::callback;
use super::status::atlas_status;
use crate::base::buffer::try_vec;
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::source::{RawReadAt, Source};
use std::ffi::{c_char, c_int, c_void};

/// Origin of the bytes of a domain. Reference-counted: projections and their snapshots keep their
/// source alive, shards never do.
pub struct atlas_source(pub(super) Source);

/// Method of reading a file.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum atlas_file_io {
    /// Positioned reads. If the file shrinks or cannot be read later, the call that reads it fails.
    ATLAS_FILE_IO_READ = 0,
    /// Memory mapping. The caller guarantees that no process truncates or writes the file while a
    /// projection reads it. Reading after the new end of a truncated file kills the process
    /// (SIGBUS).
    ATLAS_FILE_IO_MMAP = 1,
    /// Memory mapping if no process can shorten the file, otherwise like ATLAS_FILE_IO_READ.
    ///
    /// Linux guarantees this for a file with the seal F_SEAL_SHRINK, for an immutable file on ext4, and for a
    /// file on a file system that is mounted read-only as a whole and that no other machine writes to. A file
    /// on a read-only mount of a file system that is mounted for writing elsewhere is not mapped. The caller
    /// guarantees that no process writes to a file that is only sealed against shrinking, and that no
    /// administrator revokes the other two guarantees in the meantime. If the disk fails, a mapping kills the
    /// process (SIGBUS), and positioned reads fail with IO.
    ATLAS_FILE_IO_AUTO = 2,
}

/// Reads exactly `size` bytes at `offset` into `buffer`. Returns 0, or an errno value.
///
/// The library calls it from several threads at once, unless the operation's pool has one thread. `buffer`
/// may be uninitialised. The callback must not throw or longjmp. It may call the library with other handles.
pub type atlas_read_at_fn = Option<
    unsafe extern "C" fn(user_data: *mut c_void, offset: u64, buffer: *mut c_void, size: usize) -> c_int,
>;

/// The library calls it once, from any thread, when the last object that reads a source is gone.
pub type atlas_release_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Data of a callback, which the caller makes safe to use from several threads.
#[derive(Clone, Copy)]
struct UserData(*mut c_void);

// SAFETY: the pointer is never read here; the header documents that callbacks come from any thread.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    /// Returns the pointer. A method instead of the field, so that closures capture the whole
    /// struct.
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

/// Stores a new source in `out`.
///
/// # Safety
///
/// `out` is NULL or a place for a pointer.
unsafe fn give(out: *mut *mut atlas_source, make: impl FnOnce() -> Result<Source>) -> Result<()> {
    // SAFETY: the caller meets this function's requirements.
    let out = unsafe { out_handle(out) }?;
    out.fill(atlas_source(make()?));
    Ok(())
}

/// Creates a source from a copy of `size` bytes at `data`, which may be NULL if `size` is 0.
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
        // SAFETY: the header requires a place for a pointer, `size` readable bytes.
        unsafe { give(out, || Source::copy(bytes_in(data, size, "data")?)) }
    })
}

/// Creates a source from memory of the caller, without a copy.
///
/// `data` must stay readable and unchanged until `release` is called with `user_data`, once, from any thread,
/// when the last object that reads `data` is gone. `release` may be NULL; then `data` must stay until all
/// these objects are destroyed. On failure `release` is not called. `*out` is owned by the caller. Fails with
/// INVALID_ARGUMENT or OUT_OF_MEMORY.
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
            // SAFETY: the header requires `size` readable bytes; the slice is only measured.
            let bytes = unsafe { bytes_in(data, size, "data") }?;
            let release = release.map(|release| -> Box<dyn FnOnce() + Send + Sync> {
                // SAFETY: the caller's function with the caller's data, once.
                Box::new(move || unsafe { callback::release(release, user_data.get()) })
            });
            // SAFETY: the header asks the caller for the same promise as `borrow` does.
            Ok(unsafe { Source::borrow(bytes.as_ptr(), bytes.len(), release) })
        };
        // SAFETY: the header requires NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// Creates a source that reads a regular file. `io` is an atlas_file_io.
///
/// `path` is copied: bytes on Unix, UTF-8 on Windows. The size of the source is the size of the file at this
/// moment. Hashing of tiles skips the holes of a sparse file; each call asks the file system for the holes
/// again. `*out` is owned by the caller. Fails with INVALID_ARGUMENT (not a regular file, unknown io), IO
/// (message with path and reason, os_error set), OUT_OF_MEMORY or UNSUPPORTED (mapping not built in).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_open_file(
    path: *const c_char,
    io: u32,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        let make = || {
            // SAFETY: the header requires NULL or a C string.
            let path = unsafe { self::path(path, "path") }?;
            match file_io(io)? {
                atlas_file_io::ATLAS_FILE_IO_READ => Source::open_file(path),
                // SAFETY: the header asks the caller for the same promise as `map_file` does.
                atlas_file_io::ATLAS_FILE_IO_MMAP => unsafe { Source::map_file(path) },
                // SAFETY: as above, for `open_file_auto`.
                atlas_file_io::ATLAS_FILE_IO_AUTO => unsafe { Source::open_file_auto(path) },
            }
        };
        // SAFETY: the header requires NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// Creates a source that reads a regular file through a descriptor. `io` is an atlas_file_io.
///
/// `fd` is open for reading, without O_DIRECT. The library keeps a duplicate, so that the caller may close
/// `fd` at once. Its offset is neither used nor moved. Holes are searched through a file description that the
/// library opens itself (/proc/self/fd/N); if it cannot be opened, the file counts as dense. When the last
/// object that reads the source is gone the duplicate is closed, which ends the record locks (fcntl) of this
/// process on the file. The size of the source is the size of the file at this moment. `*out` is owned by the
/// caller. Callable from any thread. Fails with INVALID_ARGUMENT (not a regular file, not open for reading,
/// unknown io), IO (os_error set: EBADF if `fd` is not open), OUT_OF_MEMORY or UNSUPPORTED (mapping not built
/// in; Windows).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_open_fd(
    fd: c_int,
    io: u32,
    out: *mut *mut atlas_source,
) -> atlas_status {
    // SAFETY: the header requires NULL or a place for a pointer.
    boundary(|| unsafe { give(out, || open_fd(fd, file_io(io)?)) })
}

#[cfg(unix)]
fn open_fd(fd: c_int, io: atlas_file_io) -> Result<Source> {
    if fd < 0 {
        let closed = std::io::Error::from_raw_os_error(libc::EBADF);
        return Err(AtlasError::io(format_args!("duplicating file descriptor {fd}"), closed));
    }
    // SAFETY: `fd` is not -1. It is only duplicated, and duplicating a closed descriptor fails.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    match io {
        atlas_file_io::ATLAS_FILE_IO_READ => Source::open_fd(fd),
        // SAFETY: the header asks the caller for the same promise as `map_fd` does.
        atlas_file_io::ATLAS_FILE_IO_MMAP => unsafe { Source::map_fd(fd) },
        // SAFETY: as above, for `open_fd_auto`.
        atlas_file_io::ATLAS_FILE_IO_AUTO => unsafe { Source::open_fd_auto(fd) },
    }
}

#[cfg(not(unix))]
fn open_fd(_: c_int, _: atlas_file_io) -> Result<Source> {
    Err(AtlasError::unsupported("file descriptors are supported on Unix only: open the file by its path"))
}

fn file_io(io: u32) -> Result<atlas_file_io> {
    c_enum!(io, "io", atlas_file_io {
        ATLAS_FILE_IO_READ => atlas_file_io::ATLAS_FILE_IO_READ,
        ATLAS_FILE_IO_MMAP => atlas_file_io::ATLAS_FILE_IO_MMAP,
        ATLAS_FILE_IO_AUTO => atlas_file_io::ATLAS_FILE_IO_AUTO,
    })
}

/// Creates a source of `size` bytes that `read_at` provides.
///
/// `release` (may be NULL) is called once with `user_data`, from any thread, when the last object that reads
/// the source is gone; on failure it is not called. `*out` is owned by the caller. Fails with
/// INVALID_ARGUMENT or OUT_OF_MEMORY.
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
        // SAFETY: the header requires NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// Creates a source from the `size` bytes of another source from `offset` on.
///
/// No byte is copied. The new source keeps `source` alive, so that `source` may be destroyed right after this
/// call. A range of a file stays known as a part of that file. A size of 0 gives an empty source. `*out` is
/// owned by the caller: atlas_source_destroy(). Callable from any thread. Fails with INVALID_ARGUMENT,
/// OUT_OF_RANGE or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_range(
    source: *const atlas_source,
    offset: u64,
    size: u64,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        // SAFETY: the header requires a live source.
        let make = || unsafe { handle(source, "source") }?.0.range(offset, size);
        // SAFETY: the header requires NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// Creates a source from the bytes of `count` sources in sequence.
///
/// No byte is copied, and a source may occur twice. `sources` is copied and each source is kept alive, so
/// that the caller may destroy its handles right after the call. A read finds its part in O(log count); files
/// stay known as files. `sources` may be NULL if `count` is 0, which gives an empty source. `*out` is owned
/// by the caller: atlas_source_destroy(). Callable from any thread. Fails with INVALID_ARGUMENT (the message
/// says which source is NULL), LIMIT (2^64 bytes or more) or OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_concat(
    sources: *const *const atlas_source,
    count: usize,
    out: *mut *mut atlas_source,
) -> atlas_status {
    boundary(|| {
        let make = || {
            // SAFETY: the header requires `count` handles.
            let handles = unsafe { items_in(sources, count, "sources") }?;
            let mut sources = try_vec(count)?;
            for (index, source) in handles.iter().enumerate() {
                // SAFETY: the header requires a live source.
                let source = unsafe { source.as_ref() };
                sources.push(&source.ok_or_else(|| item_is_null("sources", index))?.0);
            }
            Source::concat(sources)
        };
        // SAFETY: the header requires NULL or a place for a pointer.
        unsafe { give(out, make) }
    })
}

/// Returns the number of bytes of a source. 0 for NULL. Callable from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_size(source: *const atlas_source) -> u64 {
    // SAFETY: the header requires NULL or a live source.
    infallible(0, || unsafe { handle(source, "source") }.map_or(0, |source| source.0.size()))
}

/// Releases the caller's reference to a source. NULL does nothing. Projections keep their own
/// reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_source_destroy(source: *mut atlas_source) {
    // SAFETY: the header requires NULL or a source that is not used again.
    unsafe { drop_handle(source) };
}
