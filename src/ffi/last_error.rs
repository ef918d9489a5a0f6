//! The calling thread's last failure: its text and its numbers.

use super::boundary::{Last, infallible, last_error, last_message};
use super::sized::{OutStruct, own_size, sized_struct};
use super::status::atlas_status;
use std::ffi::c_char;

/// Last failure of a thread as numbers. Filled by atlas_last_error_get().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_error_info {
    /// sizeof(atlas_error_info), set by the caller.
    pub struct_size: u32,
    /// Status that the call returned, an atlas_status. 0 after success.
    pub status: i32,
    /// Error number (errno) of the operating system or of a callback, or 0.
    pub os_error: i32,
    /// Always 0.
    pub reserved: u32,
    /// Index of the batch item, tile, chunk or class that failed. UINT64_MAX means none.
    pub index: u64,
    /// Offset in the domain, or in the bytes that were read. UINT64_MAX means none.
    pub offset: u64,
    /// Number of bytes from offset on. UINT64_MAX means none.
    pub length: u64,
}

sized_struct!(
    atlas_error_info,
    atlas_error_info {
        struct_size: own_size::<atlas_error_info>(),
        status: 0,
        os_error: 0,
        reserved: 0,
        index: u64::MAX,
        offset: u64::MAX,
        length: u64::MAX,
    },
    [struct_size, status, os_error, reserved, index, offset, length]
);

/// Returns the message of the calling thread's last failed call, with the offending value and its
/// limit.
///
/// Never NULL; empty after success. Borrowed until the thread's next call that returns a status:
/// copy it to keep it.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_last_error_message() -> *const c_char {
    infallible(c"".as_ptr(), last_message)
}

/// Fills `info` with the calling thread's last failure as numbers. The status is 0 after success.
///
/// This call leaves the last failure as it is. Fails with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_last_error_get(info: *mut atlas_error_info) -> atlas_status {
    // SAFETY: the header requires NULL or struct_size writable bytes.
    // Not `boundary`: this call must not replace the failure that it reports.
    let Some(info) = infallible(None, || unsafe { OutStruct::new(info, "info") }.ok()) else {
        return atlas_status::ATLAS_STATUS_INVALID_ARGUMENT;
    };
    let place = |last: &Last| atlas_error_info {
        struct_size: 0,
        status: last.status as i32,
        os_error: last.os_error,
        reserved: 0,
        index: last.index.unwrap_or(u64::MAX),
        offset: last.offset.unwrap_or(u64::MAX),
        length: last.length.unwrap_or(u64::MAX),
    };
    let default = <atlas_error_info as super::sized::SizedStruct>::DEFAULT;
    let value = infallible(None, || last_error(place)).unwrap_or(default);
    info.fill(&value);
    atlas_status::ATLAS_STATUS_OK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::AtlasError;
    use crate::ffi::boundary::boundary;

    #[test]
    fn the_numbers_of_a_failure_can_be_asked_for() {
        let failed = AtlasError::witness("x").at_index(3).at_range(4, 5);
        assert_eq!(boundary(|| Err(failed)), atlas_status::ATLAS_STATUS_WITNESS);
        let mut info = <atlas_error_info as super::super::sized::SizedStruct>::DEFAULT;
        // SAFETY: a struct of its full size.
        assert_eq!(unsafe { atlas_last_error_get(&raw mut info) }, atlas_status::ATLAS_STATUS_OK);
        assert_eq!((info.status, info.index, info.offset, info.length), (6, 3, 4, 5));
    }
}
