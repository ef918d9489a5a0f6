//! Byte buffers whose size comes from outside: allocated fallibly, recycled if they are large.
//!
//! A buffer is initialised and has bytes of unspecified contents: its user overwrites all of them before
//! anything else reads it.

use crate::base::error::{AtlasError, Result};
use crate::base::recycle::{self, RECYCLED_MIN};
use std::alloc::Layout;
use std::ops::{Deref, DerefMut};

/// Capacities are rounded up to this, so that buffers fit one another's place.
const RECYCLED_STEP: usize = 16 * 1024;

/// Reserves exactly `len` elements, or says that there is no memory.
pub(crate) fn try_vec<T>(len: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len).map_err(|_| {
        let bytes = len.saturating_mul(size_of::<T>());
        AtlasError::out_of_memory(format!("allocation of {bytes} bytes failed"))
    })?;
    Ok(vec)
}

/// Reserves room for `more` elements, and some for later.
pub(crate) fn try_grow<T>(vec: &mut Vec<T>, more: usize) -> Result<()> {
    vec.try_reserve(more).map_err(|_| {
        let bytes = vec.len().saturating_add(more).saturating_mul(size_of::<T>());
        AtlasError::out_of_memory(format!("allocation of {bytes} bytes failed"))
    })
}

/// Returns zeros, or OUT_OF_MEMORY. Large ones are not touched here: the system provides zero pages at the
/// first touch, which may be on any thread.
fn try_zeroed(len: usize) -> Result<Vec<u8>> {
    let failed = || AtlasError::out_of_memory(format!("allocation of {len} bytes failed"));
    let layout = Layout::array::<u8>(len).map_err(|_| failed())?;
    if len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout has a size greater than 0.
    let bytes = unsafe { std::alloc::alloc_zeroed(layout) };
    if bytes.is_null() {
        return Err(failed());
    }
    // SAFETY: from the global allocator, with the layout of a vector of `len` bytes, all of them zero.
    Ok(unsafe { Vec::from_raw_parts(bytes, len, len) })
}

/// Returns true if all bytes are zeros. Examines one part after the other, so that nonzero bytes cost next to
/// nothing.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(512).all(|part| part.iter().fold(0, |any, byte| any | byte) == 0)
}

/// Initialised bytes of unspecified contents.
pub(crate) struct Buffer {
    /// Initialised to its full length, which is at least `len`.
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// `len` bytes of unspecified contents, or OUT_OF_MEMORY.
    pub(crate) fn new(len: usize) -> Result<Buffer> {
        let capacity = Buffer::footprint(len);
        let bytes = match recycle::take(capacity) {
            Some(bytes) => bytes,
            None => try_zeroed(capacity)?,
        };
        Ok(Buffer { bytes, len })
    }

    /// Returns the bytes of memory of a buffer of `len` bytes.
    pub(crate) fn footprint(len: usize) -> usize {
        if len < RECYCLED_MIN {
            return len;
        }
        // A length so large that rounding overflows cannot be allocated either.
        len.checked_next_multiple_of(RECYCLED_STEP).unwrap_or(len)
    }

    /// Returns the buffer at `place`, which is made with `len` bytes if there is none yet.
    pub(crate) fn or_new(place: &mut Option<Buffer>, len: usize) -> Result<&mut Buffer> {
        Ok(match place {
            Some(buffer) => buffer,
            None => place.insert(Buffer::new(len)?),
        })
    }

    /// A copy of `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Buffer> {
        let mut buffer = Buffer::new(bytes.len())?;
        buffer.copy_from_slice(bytes);
        Ok(buffer)
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Result<Buffer> {
        let mut buffer = Buffer::new(len)?;
        buffer.fill(0);
        Ok(buffer)
    }

    /// Frees it for good: the list does not get it.
    pub(crate) fn discard(mut self) {
        recycle::give_back(std::mem::take(&mut self.bytes));
    }

    /// The first `len` bytes; the memory of the rest stays taken.
    pub(crate) fn truncated(mut self, len: usize) -> Buffer {
        self.len = self.len.min(len);
        self
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() >= RECYCLED_MIN {
            recycle::put(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_size_is_an_error_and_not_an_abort() {
        let error = Buffer::new(isize::MAX as usize).err().unwrap();
        assert_eq!(error.kind(), crate::ErrorKind::OutOfMemory);
        assert!(Buffer::new(usize::MAX).is_err());
        assert!(try_vec::<u64>(usize::MAX / 4).is_err());
    }

    #[test]
    fn lengths_are_as_asked() {
        for len in [0, 1, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1] {
            let mut buffer = Buffer::new(len).unwrap();
            assert_eq!(buffer.len(), len);
            buffer.fill(7);
            assert!(buffer.iter().all(|byte| *byte == 7));
            buffer.discard();
        }
    }
}
