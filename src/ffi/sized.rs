//! Structs that begin with `uint32_t struct_size`.
//!
//! A struct that the caller filled is copied, never borrowed: min(struct_size, sizeof) bytes over
//! the defaults. The bytes that a newer caller has beyond must be zero. A struct that the library
//! fills is written up to struct_size and not a byte more.

use crate::base::error::{AtlasError, Result};

/// Maximum accepted `struct_size`. A larger value means that the field was not initialised.
const MAX_STRUCT_SIZE: usize = 64 * 1024;

/// A `#[repr(C)]` struct that begins with `struct_size: u32` and has no padding after its last
/// field.
///
/// # Safety
///
/// Every pattern of bytes is a value of the type. `FIELDS` has the start and end of its fields,
/// ascending; the last end is its size.
pub(super) unsafe trait SizedStruct: Copy {
    const NAME: &'static str;
    const FIELDS: &'static [(usize, usize)];
    /// The defaults that `*_init` sets, or zeros for a struct that the library fills. `struct_size`
    /// is set.
    const DEFAULT: Self;
}

/// Implements [`SizedStruct`]: the name, the default, and the fields in their order.
macro_rules! sized_struct {
    ($name:ident, $default:expr, [$($field:ident),+ $(,)?]) => {
        const _: () = {
            const fn size_of_pointee<T>(_: *const T) -> usize {
                size_of::<T>()
            }
            const FIELDS: &[(usize, usize)] = &[$({
                let value = std::mem::MaybeUninit::<$name>::uninit();
                // SAFETY: only the address of a field inside the allocation is taken; nothing is read.
                let field = unsafe { &raw const (*value.as_ptr()).$field };
                let start = std::mem::offset_of!($name, $field);
                (start, start + size_of_pointee(field))
            }),+];
            assert!(FIELDS[FIELDS.len() - 1].1 == size_of::<$name>(), "no padding behind the last field");
            assert!(std::mem::offset_of!($name, struct_size) == 0);
            // SAFETY: integers, floats, raw pointers and nullable function pointers only; the places
            // are computed from the fields, and the last end is asserted.
            unsafe impl $crate::ffi::sized::SizedStruct for $name {
                const NAME: &'static str = stringify!($name);
                const FIELDS: &'static [(usize, usize)] = FIELDS;
                const DEFAULT: Self = $default;
            }
        };
    };
}
pub(super) use sized_struct;

/// sizeof(T) as a `struct_size`.
#[expect(clippy::cast_possible_truncation, reason = "structs of the C API are small")]
pub(super) const fn own_size<T>() -> u32 {
    assert!(size_of::<T>() <= MAX_STRUCT_SIZE);
    size_of::<T>() as u32
}

/// Checks `struct_size`. `remedy` says how to fix a wrong `struct_size`; {} stands for the struct's name.
///
/// # Safety
///
/// `pointer` is readable for a `u32`.
unsafe fn struct_size<T: SizedStruct>(pointer: *const T, remedy: &str) -> Result<usize> {
    // SAFETY: readable by the caller's promise; `struct_size` is the first field.
    let size = unsafe { pointer.cast::<u32>().read_unaligned() } as usize;
    if size > size_of::<T>() && size <= MAX_STRUCT_SIZE || T::FIELDS.iter().any(|(_, end)| *end == size) {
        return Ok(size);
    }
    Err(wrong_size(size, T::NAME, size_of::<T>(), remedy))
}

#[cold]
fn wrong_size(found: usize, name: &str, size: usize, remedy: &str) -> AtlasError {
    // The name replaces {}.
    let (before, after) = remedy.split_once("{}").unwrap_or((remedy, ""));
    let name_there = if before.len() == remedy.len() { "" } else { name };
    AtlasError::invalid_argument(format!(
        "struct_size {found} of {name} is not the end of a field (its size is {size}): \
         {before}{name_there}{after}"
    ))
}

/// Copies the caller's struct, or the defaults if it is NULL.
///
/// # Safety
///
/// `pointer` is NULL, or readable for its `struct_size` bytes.
pub(super) unsafe fn read_struct<T: SizedStruct>(pointer: *const T) -> Result<T> {
    let mut value = T::DEFAULT;
    if pointer.is_null() {
        return Ok(value);
    }
    // SAFETY: the caller promises that the pointer is readable.
    let size = unsafe { struct_size(pointer, "fill the struct with {}_init() first") }?;
    let known = size.min(size_of::<T>());
    // SAFETY: `size` bytes are readable; the fields of a newer caller beyond ours are read as bytes.
    let beyond = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known) };
    if beyond.iter().any(|byte| *byte != 0) {
        return Err(AtlasError::invalid_argument(format!(
            "struct_size {size} of {}: bytes after the first {known}, which this version does not know, \
             are not 0",
            T::NAME
        )));
    }
    // SAFETY: both structs are valid for `known` bytes, every pattern is a value, and the first four are
    // replaced by our own size.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast::<u8>(), known);
        (&raw mut value).cast::<u32>().write(own_size::<T>());
    }
    Ok(value)
}

/// Fills a whole struct with its defaults, for the `*_init` functions. NULL does nothing.
///
/// # Safety
///
/// `pointer` is NULL or writable for a `T`.
pub(super) unsafe fn init_struct<T: SizedStruct>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: the caller promises that the pointer is writable.
        unsafe { pointer.write(T::DEFAULT) };
    }
}

/// A struct of the caller's that will be filled. It is zeroed at first, except for its
/// `struct_size`.
pub(super) struct OutStruct<T: SizedStruct> {
    pointer: *mut T,
    size: usize,
}

impl<T: SizedStruct> OutStruct<T> {
    /// Zeroes the struct after its checked `struct_size`.
    ///
    /// # Safety
    ///
    /// `pointer` is NULL, or writable for its `struct_size` bytes for as long as the result lives.
    pub(super) unsafe fn new(pointer: *mut T, name: &str) -> Result<Self> {
        if pointer.is_null() {
            return Err(AtlasError::invalid_argument(format!("{name} is NULL")));
        }
        // SAFETY: the caller meets this function's requirements.
        let size = unsafe { struct_size(pointer, "set struct_size to sizeof({}) first") }?;
        // SAFETY: `size` bytes are writable, of which the first four stay.
        unsafe { pointer.cast::<u8>().add(4).write_bytes(0, size - 4) };
        Ok(OutStruct { pointer, size })
    }

    /// Writes the fields that the caller knows; `struct_size` stays the caller's. The padding
    /// between fields keeps the zeros of `new`, because that of `value` is uninitialised stack.
    pub(super) fn fill(self, value: &T) {
        let from = std::ptr::from_ref(value).cast::<u8>();
        for (start, end) in T::FIELDS.iter().skip(1).filter(|(_, end)| *end <= self.size) {
            // SAFETY: `size` bytes are writable by the promise of `new`, and `value` is a T.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    from.add(*start),
                    self.pointer.cast::<u8>().add(*start),
                    end - start,
                );
            }
        }
    }
}
