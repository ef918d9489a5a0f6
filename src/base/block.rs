//! Memory whose size comes from outside, optionally at a page boundary.
//!
//! Between memory and a page of the kernel's cache, the kernel copies up to six times slower (Zen 3: 0.6
//! instead of 0.1 ns per byte) if the target lies 1 to 31 bytes after the source, counted from the page in
//! which each begins. glibc places large blocks 16 bytes after the beginning of a page.

use crate::base::error::{AtlasError, Result};
use crate::base::reserve;
use std::alloc::Layout;
use std::ops::{Deref, DerefMut};

/// Alignment in bytes of an aligned block: the page size of most systems.
pub(super) const ALIGNMENT: usize = 4096;

/// A block of memory for a [`Buffer`](super::buffer::Buffer): initialised bytes of unspecified contents.
#[derive(Default)]
pub(super) struct Block {
    /// Allocation that holds the block in `len` bytes from `start` on. An aligned block has spare bytes around
    /// it.
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Block {
    /// Returns a block of `len` zeros at any address. Fails with OUT_OF_MEMORY.
    pub(super) fn new(len: usize) -> Result<Block> {
        Ok(Block { memory: try_zeroed(len)?, start: 0, len })
    }

    /// Returns `len` zeros that begin at a page boundary. Fails with OUT_OF_MEMORY.
    ///
    /// The spare bytes of the allocation are never touched. An aligned allocation would need as much memory, and
    /// would clear it all.
    pub(super) fn aligned(len: usize) -> Result<Block> {
        let memory = try_zeroed(len.saturating_add(ALIGNMENT))?;
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Ok(Block { memory, start, len })
    }
}

impl Deref for Block {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// Returns a vector of `len` zeros. Fails with OUT_OF_MEMORY. Pages of a large vector are not touched here: the
/// system provides zero pages at the first touch, which may be on any thread.
fn try_zeroed(len: usize) -> Result<Vec<u8>> {
    let failed = || AtlasError::out_of_memory(format!("allocation of {len} bytes failed"));
    let layout = Layout::array::<u8>(len).map_err(|_| failed())?;
    // An allocation without bytes would be undefined behaviour.
    if len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout has a size greater than 0.
    let bytes = unsafe { std::alloc::alloc_zeroed(layout) };
    if bytes.is_null() {
        return Err(failed());
    }
    // SAFETY: from the global allocator, with the layout of a vector of `len` bytes, which are all zero.
    let zeros = unsafe { Vec::from_raw_parts(bytes, len, len) };
    if reserve::is_scarce(bytes) { Err(failed()) } else { Ok(zeros) }
}
