//! Status codes and their names.

use crate::base::error::ErrorKind;
use std::ffi::{CStr, c_char};

/// Outcome of a call. Numbers are never reused.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum atlas_status {
    /// Success.
    ATLAS_STATUS_OK = 0,
    /// An argument is NULL although NULL is not allowed, has an unknown enum value, or is an invalid
    /// configuration.
    ATLAS_STATUS_INVALID_ARGUMENT = 1,
    /// A buffer whose size comes from outside could not be allocated, or a thread could not be
    /// started.
    ATLAS_STATUS_OUT_OF_MEMORY = 2,
    /// An offset or a length lies outside the domain, or a number outside its range.
    ATLAS_STATUS_OUT_OF_RANGE = 3,
    /// The operating system or a callback failed. The message has the path and the reason.
    ATLAS_STATUS_IO = 4,
    /// The sum of bytes mod 96 differs from the required or recorded sum.
    ATLAS_STATUS_CONSERVATION = 5,
    /// A digest, a proof or a key does not match: the bytes differ from the projected bytes.
    ATLAS_STATUS_WITNESS = 6,
    /// Serialised data is malformed or truncated.
    ATLAS_STATUS_FORMAT = 7,
    /// A feature is not built in, or the data is of a newer version.
    ATLAS_STATUS_UNSUPPORTED = 8,
    /// The call is not valid in the present state of the handle.
    ATLAS_STATUS_STATE = 9,
    /// Shards are missing for reconstruction.
    ATLAS_STATUS_INCOMPLETE = 10,
    /// Overlapping shards disagree.
    ATLAS_STATUS_CONFLICT = 11,
    /// A progress callback returned false.
    ATLAS_STATUS_CANCELLED = 12,
    /// A limit set by the caller would be exceeded.
    ATLAS_STATUS_LIMIT = 13,
    /// Defect of the library, such as a caught panic.
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

/// Returns the name of a status, such as "ATLAS_STATUS_WITNESS".
///
/// Any number is allowed. The result is never NULL and lives as long as the library. Callable from
/// any thread.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
