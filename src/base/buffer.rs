//! Byte buffers whose size comes from outside: allocated fallibly, recycled if they are large.
//!
//! A buffer is initialised and has bytes of unspecified contents: its user overwrites all bytes before
//! anything else reads the buffer. Large buffers begin at a page boundary, like files.

use crate::base::block::{ALIGNMENT, Block};
use crate::base::error::{AtlasError, Result};
use crate::base::recycle::{self, RECYCLED_MIN};
use crate::base::reserve;
use crate::base::units::TILE_SIZE;
use std::collections::{HashMap, TryReserveError};
use std::hash::Hash;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU8;

/// The size of a recycled buffer is rounded up to a multiple of this, so that used buffers fit requests of
/// similar length.
const RECYCLED_STEP: usize = 16 * 1024;

/// Returns an empty vector with room for `len` elements. Fails with OUT_OF_MEMORY.
pub(crate) fn try_vec<T>(len: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    grow(&mut vec, len, Vec::try_reserve_exact)?;
    Ok(vec)
}

/// Collects `items` into a vector. Fails with OUT_OF_MEMORY.
pub(crate) fn try_collect<T>(items: impl Iterator<Item = T>) -> Result<Vec<T>> {
    let mut vec = try_vec(items.size_hint().0)?;
    for item in items {
        try_push(&mut vec, item)?;
    }
    Ok(vec)
}

/// Appends `item` to `vec`. Fails with OUT_OF_MEMORY.
pub(crate) fn try_push<T>(vec: &mut Vec<T>, item: T) -> Result<()> {
    if vec.len() == vec.capacity() {
        try_grow(vec, 1)?;
    }
    vec.push(item);
    Ok(())
}

/// Appends `items` to `vec`. Fails with OUT_OF_MEMORY, and then appends nothing.
pub(crate) fn try_extend<T>(
    vec: &mut Vec<T>,
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
) -> Result<()> {
    let items = items.into_iter();
    try_grow(vec, items.len())?;
    vec.extend(items);
    Ok(())
}

/// Returns the elements of `vec` in memory of exactly their size. Fails with OUT_OF_MEMORY.
pub(crate) fn try_boxed<T>(vec: Vec<T>) -> Result<Box<[T]>> {
    // A vector with spare room would be allocated again by `into_boxed_slice`, which cannot fail.
    let exact = if vec.len() == vec.capacity() { vec } else { try_collect(vec.into_iter())? };
    Ok(exact.into_boxed_slice())
}

/// Sets the value of `key` in `map`. Fails with OUT_OF_MEMORY, and then leaves the map as it was.
pub(crate) fn try_insert<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) -> Result<()> {
    map.try_reserve(1).map_err(|_| no_memory_for(map.len() + 1))?;
    map.insert(key, value);
    Ok(())
}

/// Returns the error for a table of `entries` entries that has no memory.
#[cold]
pub(crate) fn no_memory_for(entries: usize) -> AtlasError {
    AtlasError::out_of_memory(format!("allocation of a table of {entries} entries failed"))
}

/// Returns a vector of `len` copies of `value`. Fails with OUT_OF_MEMORY.
pub(crate) fn try_filled<T: Clone>(value: T, len: usize) -> Result<Vec<T>> {
    let mut vec = try_vec(len)?;
    vec.resize(len, value);
    Ok(vec)
}

/// Reserves room in `vec` for `more` further elements, and some in advance for later ones. Fails with
/// OUT_OF_MEMORY.
pub(crate) fn try_grow<T>(vec: &mut Vec<T>, more: usize) -> Result<()> {
    grow(vec, more, Vec::try_reserve)
}

/// Calls `by` to reserve memory if `vec` has no room for `more` further elements. Fails with OUT_OF_MEMORY.
fn grow<T>(
    vec: &mut Vec<T>,
    more: usize,
    by: impl FnOnce(&mut Vec<T>, usize) -> std::result::Result<(), TryReserveError>,
) -> Result<()> {
    if vec.capacity() - vec.len() >= more || by(vec, more).is_ok() && !reserve::is_scarce(vec.as_ptr()) {
        return Ok(());
    }
    let bytes = vec.len().saturating_add(more).saturating_mul(size_of::<T>());
    Err(AtlasError::out_of_memory(format!("allocation of {bytes} bytes failed")))
}

/// Returns `len` zeros, at most a tile, that no limit has to count: the pages of static memory that is only read are the
/// system's page of zeros.
pub(crate) fn zeros(len: usize) -> &'static [u8] {
    // Atomic numbers, because a constant would be a part of the library's file.
    static ZEROS: [AtomicU8; TILE_SIZE] = [const { AtomicU8::new(0) }; TILE_SIZE];
    let zeros = &ZEROS[..len];
    // SAFETY: an atomic byte has the layout of a byte, and nothing writes to these.
    unsafe { std::slice::from_raw_parts(zeros.as_ptr().cast(), zeros.len()) }
}

/// Returns true if all bytes are zeros. Stops after the first 512 bytes that contain a byte other than zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(512).all(|part| part.iter().fold(0, |any, byte| any | byte) == 0)
}

/// A buffer of initialised bytes, whose contents are unspecified until they are overwritten. Large buffers are
/// recycled.
pub(crate) struct Buffer {
    /// Memory of the buffer. A recycled block may be longer than the buffer.
    block: Block,
    len: usize,
}

impl Buffer {
    /// Returns `len` bytes of unspecified contents. Fails with OUT_OF_MEMORY. A buffer of 64 KiB or more
    /// begins at a page boundary.
    pub(crate) fn new(len: usize) -> Result<Buffer> {
        if len < RECYCLED_MIN {
            return Ok(Buffer { block: Block::new(len)?, len });
        }
        // Rounded up, so that a used buffer fits later requests of about its length.
        let capacity = capacity(len);
        let block = match recycle::take(capacity) {
            Some(block) => block,
            None => Block::aligned(capacity)?,
        };
        Ok(Buffer { block, len })
    }

    /// Returns a buffer like [`new`](Self::new) that begins at a page boundary whatever its length. For
    /// bytes that the system reads or writes.
    pub(crate) fn aligned(len: usize) -> Result<Buffer> {
        if len < RECYCLED_MIN { Ok(Buffer { block: Block::aligned(len)?, len }) } else { Self::new(len) }
    }

    /// Returns the size of the memory that a buffer of `len` bytes uses.
    pub(crate) fn footprint(len: usize) -> usize {
        if len < RECYCLED_MIN { len } else { capacity(len).saturating_add(ALIGNMENT) }
    }

    /// Returns the size of the memory that an aligned buffer of `len` bytes uses.
    pub(crate) fn aligned_footprint(len: usize) -> usize {
        if len < RECYCLED_MIN { len + ALIGNMENT } else { Self::footprint(len) }
    }

    /// Returns the buffer in `place`. If it is `None`, first stores a new buffer of `len` bytes there, which
    /// begins at a page boundary. Fails with OUT_OF_MEMORY.
    pub(crate) fn or_new(place: &mut Option<Buffer>, len: usize) -> Result<&mut Buffer> {
        Ok(match place {
            Some(buffer) => buffer,
            None => place.insert(Buffer::aligned(len)?),
        })
    }

    /// Returns a buffer with a copy of `bytes`. Fails with OUT_OF_MEMORY.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Buffer> {
        let mut buffer = Buffer::new(bytes.len())?;
        buffer.copy_from_slice(bytes);
        Ok(buffer)
    }

    /// Returns a buffer of `len` zeros. Fails with OUT_OF_MEMORY.
    pub(crate) fn zeros(len: usize) -> Result<Buffer> {
        let mut buffer = Buffer::new(len)?;
        // A recycled buffer has its old bytes.
        buffer.fill(0);
        Ok(buffer)
    }

    /// Frees the buffer and returns its pages to the system, instead of keeping it in the list of used buffers.
    pub(crate) fn discard(mut self) {
        recycle::give_back(std::mem::take(&mut self.block));
    }

    /// Shortens the buffer to at most `len` bytes, and keeps its memory.
    pub(crate) fn truncated(mut self, len: usize) -> Buffer {
        self.len = self.len.min(len);
        self
    }
}

/// Returns the size of the memory block for a recycled buffer of `len` bytes.
fn capacity(len: usize) -> usize {
    // A length so large that rounding overflows cannot be allocated either.
    len.checked_next_multiple_of(RECYCLED_STEP).unwrap_or(len)
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.block[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.block[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.block.len() >= RECYCLED_MIN {
            // The list takes the block, and an empty block is dropped with the buffer.
            recycle::put(std::mem::take(&mut self.block));
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

    #[test]
    fn what_the_system_fills_begins_with_a_page() {
        let is_page = |buffer: &Buffer| buffer.as_ptr().addr().is_multiple_of(ALIGNMENT);
        for len in [65_536, 65_537, 100_000, 1 << 20, (1 << 20) + 1, 5 << 20, 65 << 20] {
            // The second buffer has the memory of the first buffer, and the third buffer is a copy beside it.
            assert!(is_page(&Buffer::new(len).unwrap()));
            let again = Buffer::new(len).unwrap();
            assert!(is_page(&again) && is_page(&Buffer::copy_of(&again).unwrap()));
            again.discard();
        }
        for len in [0, 1, 16, 4_096, 16_384, 65_535, 65_536] {
            let buffers: Vec<Buffer> = (0..5).map(|_| Buffer::aligned(len).unwrap()).collect();
            assert!(buffers.iter().all(|buffer| is_page(buffer) && buffer.len() == len));
        }
        for len in [0, 1, 65_535, 65_536, 65_537, 1 << 20] {
            assert!(Buffer::aligned_footprint(len) >= len + ALIGNMENT);
            assert!(
                Buffer::footprint(len) >= len && Buffer::footprint(len) <= Buffer::aligned_footprint(len)
            );
        }
    }
}
