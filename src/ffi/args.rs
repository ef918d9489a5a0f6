//! Pointers from C as references, each with the check that the header promises.

use crate::base::error::{AtlasError, Result};
use crate::base::fallible::try_box;
use crate::base::out_bytes::OutBytes;
use crate::base::units::to_u64;
use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::path::PathBuf;

/// A `bool` of C. Any byte may arrive, and only 0 is false.
pub(super) type CBool = u8;

fn is_null(name: &str) -> AtlasError {
    AtlasError::invalid_argument(format!("{name} is NULL"))
}

/// Returns the error for a NULL item of a list.
#[cold]
pub(super) fn item_is_null(name: &str, index: usize) -> AtlasError {
    AtlasError::invalid_argument(format!("{name}[{index}] is NULL")).at_index(to_u64(index))
}

/// Returns the object of a handle, which other threads may read too.
///
/// # Safety
///
/// The same as [`pointee`].
pub(super) unsafe fn handle<'a, T: Send + Sync>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: the caller meets this function's requirements.
    unsafe { pointee(pointer, name) }
}

/// Returns the object that a pointer points to.
///
/// # Safety
///
/// `pointer` is NULL or a live object that is not changed through other pointers for `'a`.
pub(super) unsafe fn pointee<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: the caller meets this function's requirements.
    unsafe { pointer.as_ref() }.ok_or_else(|| is_null(name))
}

/// Returns readable bytes. (NULL, 0) is the empty slice.
///
/// # Safety
///
/// `data` is readable for `size` bytes for `'a`, or NULL.
pub(super) unsafe fn bytes_in<'a>(data: *const c_void, size: usize, name: &str) -> Result<&'a [u8]> {
    // SAFETY: the caller meets this function's requirements.
    unsafe { items_in(data.cast(), size, name) }
}

/// Returns readable items. (NULL, 0) is the empty slice.
///
/// # Safety
///
/// `data` is NULL, or holds `count` values of T that stay unchanged for `'a`.
pub(super) unsafe fn items_in<'a, T>(data: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    check_extent(data.is_null(), count, size_of::<T>(), name)?;
    // SAFETY: `data` is not NULL, and has `count` values by the caller's promise, less than isize::MAX bytes.
    Ok(unsafe { std::slice::from_raw_parts(data, count) })
}

/// Returns writable bytes, possibly uninitialised. (NULL, 0) is the empty buffer.
///
/// # Safety
///
/// `data` is NULL, or writable for `size` bytes for `'a`, in which only this call writes to them.
pub(super) unsafe fn bytes_out<'a>(data: *mut c_void, size: usize, name: &str) -> Result<OutBytes<'a>> {
    if size == 0 {
        return Ok(OutBytes::new(&mut []));
    }
    check_extent(data.is_null(), size, 1, name)?;
    // SAFETY: `data` is not NULL, and by the caller's promise writable for `size` bytes, at most isize::MAX.
    Ok(unsafe { OutBytes::from_raw(data.cast(), size) })
}

/// A place for a handle, NULL until the handle is ready, and the memory of the handle.
pub(super) struct OutHandle<T> {
    out: Out<*mut T>,
    /// Allocated before the call does anything: a lack of memory would otherwise lose the result of a call that has
    /// made a file, or has used up the handle that it was made from.
    room: Box<MaybeUninit<T>>,
}

impl<T: Send + Sync> OutHandle<T> {
    /// Passes the value to C as a handle, which any thread may use and destroy. This is the last step of a successful
    /// call.
    pub(super) fn fill(self, value: T) {
        let OutHandle { out, mut room } = self;
        room.write(value);
        // SAFETY: the value was written above.
        out.set(Box::into_raw(unsafe { room.assume_init() }));
    }
}

/// Returns the out-parameter `out` for a handle, and sets it to NULL. Fails with OUT_OF_MEMORY if there is no memory
/// for the handle.
///
/// # Safety
///
/// The same as [`out`].
pub(super) unsafe fn out_handle<T>(out: *mut *mut T) -> Result<OutHandle<T>> {
    // SAFETY: the caller meets this function's requirements.
    let out = unsafe { self::out(out, std::ptr::null_mut(), "out") }?;
    match try_box(MaybeUninit::uninit()) {
        Ok(room) => Ok(OutHandle { out, room }),
        Err(_) => Err(no_handle()),
    }
}

/// Room for `count` handles, all NULL until every handle is ready.
pub(super) struct OutHandles<T> {
    start: *mut *mut T,
    count: usize,
}

impl<T: Send + Sync> OutHandles<T> {
    /// Sets all handles to NULL.
    ///
    /// # Safety
    ///
    /// `out` is NULL, or writable for `count` pointers for as long as the result lives.
    pub(super) unsafe fn new(out: *mut *mut T, count: usize) -> Result<Self> {
        if count > 0 {
            // The list must be known to fit the address space before the address of an element is computed.
            check_extent(out.is_null(), count, size_of::<*mut T>(), "out")?;
        }
        for index in 0..count {
            // SAFETY: the caller promises that the pointer is writable.
            unsafe { out.add(index).write(std::ptr::null_mut()) };
        }
        Ok(OutHandles { start: out, count })
    }

    /// Passes the values to C, one handle for each. If one fails, none is passed.
    pub(super) fn fill(self, values: impl IntoIterator<Item = T>) -> Result<()> {
        for (index, value) in values.into_iter().take(self.count).enumerate() {
            match into_handle(value) {
                // SAFETY: inside of the `count` pointers that are writable by the promise of `new`.
                Ok(handle) => unsafe { self.start.add(index).write(handle) },
                Err(error) => {
                    for before in 0..index {
                        // SAFETY: as above. The handle was written in this loop, and the caller has not
                        // received it yet.
                        unsafe {
                            let place = self.start.add(before);
                            drop_handle(place.replace(std::ptr::null_mut()));
                        }
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Fills a list of the caller's with as many values as fit, and sets `count` to their total number. `values` passes
/// each value to its argument.
///
/// # Safety
///
/// `count` is NULL, or readable and writable; `list` is NULL, or has room for `*count` values of T.
pub(super) unsafe fn fill_list<T, V: Into<T>>(
    list: *mut T,
    count: *mut usize,
    name: &str,
    values: impl FnOnce(&mut dyn FnMut(V)) -> Result<()>,
) -> Result<()> {
    // SAFETY: the caller meets this function's requirements.
    let capacity = *unsafe { pointee(count, "count") }?;
    // SAFETY: as above, for writing.
    let count = unsafe { out(count, 0, "count") }?;
    if capacity > 0 {
        check_extent(list.is_null(), capacity, size_of::<T>(), name)?;
    }
    // The caller's list is checked before the values are computed, because that may take long.
    let mut total = 0;
    values(&mut |value| {
        if total < capacity {
            // SAFETY: `total` is less than the capacity, for which the caller promises room.
            unsafe { list.add(total).write(value.into()) };
        }
        total += 1;
    })?;
    count.set(total);
    Ok(())
}

fn check_extent(null: bool, count: usize, each: usize, name: &str) -> Result<()> {
    let unit = if each == 1 { "bytes" } else { "entries" };
    if null {
        return Err(AtlasError::invalid_argument(format!("{name} is NULL and must have {count} {unit}")));
    }
    match count.checked_mul(each) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        _ => Err(AtlasError::invalid_argument(format!(
            "{name}: {count} {unit} do not fit the address space of this machine"
        ))),
    }
}

/// An out-parameter. A pointer instead of a reference, because the caller's callbacks may read it during the call.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Writes the result. The old value is not dropped.
    pub(super) fn set(self, value: T) {
        // SAFETY: writable by the promise of `out`.
        unsafe { self.0.write(value) };
    }
}

/// Returns an out-parameter and sets it to `empty` at once.
///
/// # Safety
///
/// `out` is NULL, or writable for a T for as long as the result lives.
pub(super) unsafe fn out<T>(out: *mut T, empty: T, name: &str) -> Result<Out<T>> {
    if out.is_null() {
        return Err(is_null(name));
    }
    // SAFETY: writable by the caller's promise.
    unsafe { out.write(empty) };
    Ok(Out(out))
}

/// An out-parameter that may be NULL.
pub(super) struct OptionalOut<T>(Option<Out<T>>);

impl<T> OptionalOut<T> {
    /// Writes the result unless the caller passed NULL.
    pub(super) fn set(self, value: T) {
        if let Some(out) = self.0 {
            out.set(value);
        }
    }
}

/// Returns an out-parameter that may be NULL, and sets it to `empty` at once.
///
/// # Safety
///
/// The same as [`out`].
pub(super) unsafe fn optional_out<T>(out: *mut T, empty: T) -> OptionalOut<T> {
    // SAFETY: the caller meets this function's requirements.
    OptionalOut(unsafe { self::out(out, empty, "") }.ok())
}

/// Returns the caller's own 32 bytes, or `None` for NULL. A key is not copied, so that no copy
/// needs wiping.
///
/// # Safety
///
/// `pointer` is NULL or readable for 32 bytes that stay unchanged for `'a`.
pub(super) unsafe fn optional_32<'a>(pointer: *const u8) -> Option<&'a [u8; 32]> {
    // SAFETY: the caller meets this function's requirements.
    unsafe { pointer.cast::<[u8; 32]>().as_ref() }
}

/// Returns the caller's 16 bytes, or `None` for NULL.
///
/// # Safety
///
/// `pointer` is NULL or readable for 16 bytes that stay unchanged for `'a`.
pub(super) unsafe fn optional_16<'a>(pointer: *const u8) -> Option<&'a [u8; 16]> {
    // SAFETY: the caller meets this function's requirements.
    unsafe { pointer.cast::<[u8; 16]>().as_ref() }
}

/// Fails unless a reserved field is 0.
pub(super) fn check_reserved(value: u32) -> Result<()> {
    if value == 0 {
        return Ok(());
    }
    Err(AtlasError::invalid_argument(format!("reserved is {value} and must be 0")))
}

/// Maximum length of a path that the system accepts.
#[cfg(unix)]
const LONGEST_PATH: usize = libc::PATH_MAX.unsigned_abs() as usize;

/// Converts a path: bytes on Unix, UTF-8 on Windows. Fails with IO if it is much longer than the system accepts.
///
/// # Safety
///
/// `path` is NULL or a C string.
pub(super) unsafe fn path(path: *const c_char, name: &str) -> Result<PathBuf> {
    if path.is_null() {
        return Err(is_null(name));
    }
    // SAFETY: the caller meets this function's requirements.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    if bytes.is_empty() {
        return Err(AtlasError::invalid_argument(format!("{name} is empty")));
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        // The system refuses such a path as well, and the standard library copies it first, in memory that cannot be
        // refused. A path that the system accepts may become longer than PATH_MAX by the name of a file in its folder.
        if bytes.len() > 2 * LONGEST_PATH {
            let error = std::io::Error::from_raw_os_error(libc::ENAMETOOLONG);
            return Err(AtlasError::io(format_args!("{name} has {} bytes", bytes.len()), error));
        }
        let mut path = std::ffi::OsString::new();
        path.try_reserve_exact(bytes.len())
            .map_err(|_| AtlasError::out_of_memory(format!("no memory for {name}")))?;
        path.push(std::ffi::OsStr::from_bytes(bytes));
        Ok(PathBuf::from(path))
    }
    #[cfg(not(unix))]
    {
        let text = std::str::from_utf8(bytes);
        text.map(PathBuf::from).map_err(|_| AtlasError::invalid_argument(format!("{name} is not UTF-8")))
    }
}

/// Passes a handle to C. Any thread may use and destroy it.
fn into_handle<T: Send + Sync>(value: T) -> Result<*mut T> {
    match try_box(value) {
        Ok(handle) => Ok(Box::into_raw(handle)),
        Err(_) => Err(no_handle()),
    }
}

#[cold]
fn no_handle() -> AtlasError {
    AtlasError::out_of_memory("no memory for a handle")
}

/// Takes a handle back and drops it. NULL does nothing.
///
/// # Safety
///
/// `handle` is NULL or came from [`OutHandle::fill`] or [`OutHandles::fill`], and is not used again.
pub(super) unsafe fn drop_handle<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: the caller meets this function's requirements.
        super::boundary::infallible((), || drop(unsafe { Box::from_raw(handle) }));
    }
}

/// Returns the error for an unknown value of a C enumeration. The text lists the `known` values.
#[cold]
pub(super) fn unknown(name: &str, value: u32, known: &[(&str, u32)]) -> AtlasError {
    let mut text = format!("{value} is not a known {name}: there are ");
    for (index, (name, value)) in known.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        text += &format!("{separator}{name} ({value})");
    }
    AtlasError::invalid_argument(text)
}

/// Converts a number of C: evaluates the arm of the enumerator with this number. Any other number fails with
/// INVALID_ARGUMENT and a list of the known numbers, so that it never becomes a Rust enumeration unchecked.
macro_rules! c_enum {
    ($number:expr, $name:literal, $enumeration:ident { $($value:ident => $result:expr),+ $(,)? }) => {
        match $number {
            $(number if number == $enumeration::$value as u32 => Ok($result),)+
            number => Err($crate::ffi::args::unknown(
                $name, number, &[$((stringify!($value), $enumeration::$value as u32)),+]
            )),
        }
    };
}
pub(super) use c_enum;
