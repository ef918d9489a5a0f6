//! Lists whose length depends on the container, and the part of a memory limit that is left for them.

#![forbid(unsafe_code)]

use crate::base::error::{AtlasError, Result};
use crate::base::units::to_u64;

/// Returns the number of bytes of memory of a table of `len` entries of type `T` that has grown: it may be a third full
/// while it is copied to a new place.
pub(super) fn table<T>(len: usize) -> u64 {
    to_u64(len).saturating_mul(to_u64(size_of::<T>() + 2)).saturating_mul(3)
}

/// Fails with LIMIT if lists that use `bytes` do not fit `room`, the part of the memory limit that is left for them.
/// `what` names the lists.
pub(super) fn check_room(what: &str, bytes: u64, room: u64) -> Result<()> {
    if bytes <= room {
        return Ok(());
    }
    Err(AtlasError::limit(format!(
        "{what} takes {bytes} bytes of memory, and memory_limit leaves {room} bytes for it"
    )))
}
