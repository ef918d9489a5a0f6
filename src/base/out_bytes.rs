//! Output memory of a read, which may be uninitialised.

use std::marker::PhantomData;

/// Memory that a read must fill. Safe code can only write to it.
///
/// Memory of C may be uninitialised, and the caller's callbacks may read it during the call, so that this is a
/// pointer and no reference.
pub(crate) struct OutBytes<'a> {
    start: *mut u8,
    len: usize,
    is_initialised: bool,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> OutBytes<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        OutBytes { start: bytes.as_mut_ptr(), len: bytes.len(), is_initialised: true, memory: PhantomData }
    }

    /// Wraps memory that may be uninitialised.
    ///
    /// # Safety
    ///
    /// `start` is not NULL, and writable for `len` bytes for `'a`, in which nothing else writes to them.
    pub(crate) unsafe fn from_raw(start: *mut u8, len: usize) -> Self {
        OutBytes { start, len, is_initialised: false, memory: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns a pointer for code outside of Rust, which writes at most [`len`](Self::len) bytes to it and
    /// initialises each of them.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start
    }

    /// Removes the first `len` bytes of this memory and returns them.
    pub(crate) fn split_off_front(&mut self, len: usize) -> OutBytes<'a> {
        assert!(len <= self.len, "{len} of {} bytes", self.len);
        let start = self.start;
        (self.start, self.len) = (start.wrapping_add(len), self.len - len);
        OutBytes { start, len, is_initialised: self.is_initialised, memory: PhantomData }
    }

    /// Fills this memory with `bytes`, a slice of the same length.
    pub(crate) fn copy_from(self, bytes: &[u8]) {
        assert_eq!(self.len, bytes.len());
        // SAFETY: both are as long as asserted, and apart because nothing else has these bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start, self.len) };
    }

    /// Returns the memory as a slice, for a reader that needs initialised bytes. Fills it with zeros if it is
    /// not initialised.
    pub(crate) fn into_initialised(self) -> &'a mut [u8] {
        if !self.is_initialised {
            // SAFETY: writable for `len` bytes.
            unsafe { self.start.write_bytes(0, self.len) };
        }
        // SAFETY: the bytes are initialised, as known before or by the write above, and nothing else has them
        // for `'a`.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}
