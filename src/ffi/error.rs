//! Status codes and the last error.

use super::boundary::{infallible, last_error, last_message};
use super::sized::{OutStruct, own_size, sized_struct};
use crate::base::error::{AtlasError, ErrorKind};
use std::ffi::{CStr, c_char};

/// What a call says of its outcome. Numbers are never reused.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum atlas_status {
    /// Success.
    ATLAS_STATUS_OK = 0,
    /// NULL where that is not allowed, an unknown enum value, a bad configuration.
    ATLAS_STATUS_INVALID_ARGUMENT = 1,
    /// A buffer whose size comes from outside could not be allocated, or no thread be started.
    ATLAS_STATUS_OUT_OF_MEMORY = 2,
    /// An offset or a length outside the domain, or a number outside its range.
    ATLAS_STATUS_OUT_OF_RANGE = 3,
    /// The operating system or a callback failed; the message carries path and reason.
    ATLAS_STATUS_IO = 4,
    /// The sum of bytes mod 96 is not as it must be.
    ATLAS_STATUS_CONSERVATION = 5,
    /// A digest, a proof or a key does not match: the bytes are not those that were projected.
    ATLAS_STATUS_WITNESS = 6,
    /// Serialised data is malformed or cut.
    ATLAS_STATUS_FORMAT = 7,
    /// A feature that is not built in, or data of a newer version.
    ATLAS_STATUS_UNSUPPORTED = 8,
    /// The call is not valid in this state.
    ATLAS_STATUS_STATE = 9,
    /// Shards are missing for reconstruction.
    ATLAS_STATUS_INCOMPLETE = 10,
    /// Overlapping shards disagree.
    ATLAS_STATUS_CONFLICT = 11,
    /// A progress callback returned false.
    ATLAS_STATUS_CANCELLED = 12,
    /// A limit that the caller set would be exceeded.
    ATLAS_STATUS_LIMIT = 13,
    /// A defect of the library, such as a caught panic.
    ATLAS_STATUS_INTERNAL = 14,
}

impl From<ErrorKind> for atlas_status {
    fn from(kind: ErrorKind) -> atlas_status {
        // No `_`: a new kind does not compile until it has its status.
        match kind {
            ErrorKind::InvalidArgument => atlas_status::ATLAS_STATUS_INVALID_ARGUMENT,
            ErrorKind::OutOfMemory => atlas_status::ATLAS_STATUS_OUT_OF_MEMORY,
            ErrorKind::OutOfRange => atlas_status::ATLAS_STATUS_OUT_OF_RANGE,
            ErrorKind::Io => atlas_status::ATLAS_STATUS_IO,
            ErrorKind::Conservation => atlas_status::ATLAS_STATUS_CONSERVATION,
            ErrorKind::Witness => atlas_status::ATLAS_STATUS_WITNESS,
            ErrorKind::Format => atlas_status::ATLAS_STATUS_FORMAT,
            ErrorKind::Unsupported => atlas_status::ATLAS_STATUS_UNSUPPORTED,
            ErrorKind::State => atlas_status::ATLAS_STATUS_STATE,
            ErrorKind::Incomplete => atlas_status::ATLAS_STATUS_INCOMPLETE,
            ErrorKind::Conflict => atlas_status::ATLAS_STATUS_CONFLICT,
            ErrorKind::Cancelled => atlas_status::ATLAS_STATUS_CANCELLED,
            ErrorKind::Limit => atlas_status::ATLAS_STATUS_LIMIT,
            ErrorKind::Internal => atlas_status::ATLAS_STATUS_INTERNAL,
        }
    }
}

/// The last failure of a thread as numbers. Filled by atlas_last_error_get().
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct atlas_error_info {
    /// sizeof(atlas_error_info), set by the caller.
    pub struct_size: u32,
    /// The atlas_status that the call returned; 0 after success.
    pub status: i32,
    /// The errno of the operating system or of a callback, or 0.
    pub os_error: i32,
    /// 0.
    pub reserved: u32,
    /// The batch item, tile, chunk or class that failed; UINT64_MAX: none.
    pub index: u64,
    /// Place in the domain, or in the bytes read; UINT64_MAX: none.
    pub offset: u64,
    /// Bytes from offset on; UINT64_MAX: none.
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

/// The name of a status, such as "ATLAS_STATUS_WITNESS".
///
/// Any number is fine and the result is never NULL; it lives as long as the library. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_status_name(status: i32) -> *const c_char {
    let name: &CStr = match status {
        0 => c"ATLAS_STATUS_OK",
        1 => c"ATLAS_STATUS_INVALID_ARGUMENT",
        2 => c"ATLAS_STATUS_OUT_OF_MEMORY",
        3 => c"ATLAS_STATUS_OUT_OF_RANGE",
        4 => c"ATLAS_STATUS_IO",
        5 => c"ATLAS_STATUS_CONSERVATION",
        6 => c"ATLAS_STATUS_WITNESS",
        7 => c"ATLAS_STATUS_FORMAT",
        8 => c"ATLAS_STATUS_UNSUPPORTED",
        9 => c"ATLAS_STATUS_STATE",
        10 => c"ATLAS_STATUS_INCOMPLETE",
        11 => c"ATLAS_STATUS_CONFLICT",
        12 => c"ATLAS_STATUS_CANCELLED",
        13 => c"ATLAS_STATUS_LIMIT",
        14 => c"ATLAS_STATUS_INTERNAL",
        _ => c"ATLAS_STATUS_UNKNOWN",
    };
    name.as_ptr()
}

/// What was wrong in the calling thread's last failed call, with the value and the limit.
///
/// Never NULL, empty after success. Borrowed until the thread's next call that returns a status:
/// copy it to keep it.
#[unsafe(no_mangle)]
pub extern "C" fn atlas_last_error_message() -> *const c_char {
    infallible(c"".as_ptr(), last_message)
}

/// The calling thread's last failure as numbers; status 0 after success.
///
/// This call itself leaves the last failure as it is. Fails with INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn atlas_last_error_get(info: *mut atlas_error_info) -> atlas_status {
    let last = infallible(None, last_error);
    // SAFETY: as the header asks: NULL or struct_size writable bytes.
    let Some(info) = infallible(None, || unsafe { OutStruct::new(info, "info") }.ok()) else {
        return atlas_status::ATLAS_STATUS_INVALID_ARGUMENT;
    };
    let place = |error: &AtlasError| atlas_error_info {
        struct_size: 0,
        status: atlas_status::from(error.kind()) as i32,
        os_error: error.os_error(),
        reserved: 0,
        index: error.index().unwrap_or(u64::MAX),
        offset: error.offset().unwrap_or(u64::MAX),
        length: error.length().unwrap_or(u64::MAX),
    };
    let value = last.as_ref().map_or(<atlas_error_info as super::sized::SizedStruct>::DEFAULT, place);
    info.fill(&value);
    atlas_status::ATLAS_STATUS_OK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::boundary::boundary;

    #[test]
    fn every_status_has_its_own_name() {
        let name = |status| {
            // SAFETY: a static C string.
            unsafe { CStr::from_ptr(atlas_status_name(status)) }.to_str().unwrap()
        };
        let names: std::collections::BTreeSet<_> = (0..15).map(name).collect();
        assert_eq!(names.len(), 15);
        assert_eq!(name(atlas_status::ATLAS_STATUS_INTERNAL as i32), "ATLAS_STATUS_INTERNAL");
        for unknown in [-1, 15, i32::MIN, i32::MAX] {
            assert_eq!(name(unknown), "ATLAS_STATUS_UNKNOWN");
        }
    }

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
