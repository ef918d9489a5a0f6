//! Sources whose bytes are in memory: owned, shared, borrowed or mapped.

use crate::base::buffer::Buffer;
use crate::base::error::{AtlasError, Result};
#[cfg(feature = "streaming")]
use crate::base::storage::Storage;
use crate::base::storage::{FileId, FileStorage};
#[cfg(all(unix, feature = "streaming"))]
use crate::base::units::to_usize;
use std::path::Path;
#[cfg(feature = "streaming")]
use std::path::PathBuf;
use std::sync::Arc;

pub(super) enum Memory {
    Buffer(Buffer),
    Shared(Arc<dyn SharedBytes>),
    Borrowed(Borrowed),
    /// A mapping, the path and the identity of its file, and the open file if it may have holes.
    #[cfg(feature = "streaming")]
    Mapped(memmap2::Mmap, PathBuf, Option<FileId>, Option<Arc<FileStorage>>),
}

/// The trait bounds `AsRef<[u8]> + Send + Sync` as one trait that can be used as `dyn`.
pub(super) trait SharedBytes: Send + Sync {
    fn shared_bytes(&self) -> &[u8];
}

impl<B: AsRef<[u8]> + Send + Sync> SharedBytes for B {
    fn shared_bytes(&self) -> &[u8] {
        self.as_ref()
    }
}

impl Memory {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Memory::Buffer(buffer) => buffer,
            Memory::Shared(bytes) => bytes.shared_bytes(),
            Memory::Borrowed(borrowed) => borrowed.bytes(),
            #[cfg(feature = "streaming")]
            Memory::Mapped(map, ..) => map,
        }
    }

    /// Returns the path of the mapped file, or `None` for other memory.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Memory::Buffer(_) | Memory::Shared(_) | Memory::Borrowed(_) => None,
            #[cfg(feature = "streaming")]
            Memory::Mapped(_, path, ..) => Some(path),
        }
    }

    /// Returns the identity of the mapped file, or `None` for other memory.
    pub(super) fn identity(&self) -> Option<FileId> {
        match self {
            Memory::Buffer(_) | Memory::Shared(_) | Memory::Borrowed(_) => None,
            #[cfg(feature = "streaming")]
            Memory::Mapped(_, _, identity, _) => *identity,
        }
    }

    /// Returns true for a mapping of a file.
    pub(super) fn is_mapped(&self) -> bool {
        match self {
            Memory::Buffer(_) | Memory::Shared(_) | Memory::Borrowed(_) => false,
            #[cfg(feature = "streaming")]
            Memory::Mapped(..) => true,
        }
    }

    /// Returns the mapped file if it may have holes, or `None`.
    #[cfg(feature = "streaming")]
    pub(super) fn sparse_file(&self) -> Option<&FileStorage> {
        match self {
            Memory::Mapped(_, _, _, file) => file.as_deref(),
            _ => None,
        }
    }

    /// Returns true if reading the byte at `offset` does not wait for the disk.
    pub(super) fn is_near(&self, offset: u64) -> bool {
        #[cfg(all(unix, feature = "streaming"))]
        if let Memory::Mapped(map, ..) = self {
            return is_cached(map, to_usize(offset));
        }
        // Without mappings the argument has no use.
        let _ = offset;
        !self.is_mapped()
    }

    /// Advises the system that a mapped file is read from its start to its end; with `over`, revokes the advice.
    /// No effect on other memory.
    pub(super) fn advise_sequential(&self, over: bool) {
        #[cfg(all(unix, feature = "streaming"))]
        if let Memory::Mapped(map, ..) = self {
            use memmap2::Advice;
            // A refusal of the system changes nothing.
            drop(map.advise(if over { Advice::Normal } else { Advice::Sequential }));
        }
        let _ = over;
    }

    /// Announces to the system that a range of a mapped file is needed soon, unless its first byte is in memory.
    /// No effect on other memory.
    pub(super) fn will_need(&self, offset: u64, len: u64) {
        #[cfg(all(unix, feature = "streaming"))]
        if let Memory::Mapped(map, ..) = self
            && !is_cached(map, to_usize(offset))
        {
            // The system may cut a large announcement, so that it is made in steps.
            for (offset, len) in crate::base::storage::advice_steps(offset, len) {
                drop(map.advise_range(memmap2::Advice::WillNeed, to_usize(offset), to_usize(len)));
            }
        }
        let _ = (offset, len);
    }

    /// Releases the pages of a range of a mapped file; a later read loads them again. No effect on other memory.
    pub(super) fn release(&self, offset: u64, len: u64) {
        #[cfg(all(unix, feature = "streaming"))]
        if let Memory::Mapped(map, ..) = self {
            // SAFETY: a shared mapping of a file that is only read: a released page is read from the file
            // again when it is touched, with the same bytes by the promise of `map`.
            let _advice = unsafe {
                map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    to_usize(offset),
                    to_usize(len),
                )
            };
        }
        let _ = (offset, len);
    }
}

/// Returns true if the byte at `offset` of a mapping is in memory. False if the system does not report it.
/// Always true for a file that this user may not write to, because Linux reports all its pages as present.
#[cfg(all(target_os = "linux", feature = "streaming"))]
fn is_cached(map: &memmap2::Mmap, offset: usize) -> bool {
    // SAFETY: the call only returns a number of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(usize::MAX);
    let mut there = 0_u8;
    // The system expects the address of a page.
    let first = map[offset / page * page..].as_ptr();
    // SAFETY: `first` is a page of a live mapping; the call writes the state of one page to one byte.
    let told = unsafe { libc::mincore(first.cast_mut().cast(), 1, &raw mut there) };
    // Only the lowest bit of the answer has a meaning.
    told == 0 && there & 1 == 1
}

#[cfg(all(unix, not(target_os = "linux"), feature = "streaming"))]
fn is_cached(_: &memmap2::Mmap, _: usize) -> bool {
    false
}

/// Memory of the caller that a source borrows. When the value is dropped, it calls `release`.
pub(super) struct Borrowed {
    data: *const u8,
    size: usize,
    release: Option<Box<dyn FnOnce() + Send + Sync>>,
}

// SAFETY: the memory is only read, the caller of `new` promises that it is not tied to a thread, and the
// release function is Send.
unsafe impl Send for Borrowed {}
// SAFETY: shared access only reads memory, and by the promise of `new` the memory is not written to.
unsafe impl Sync for Borrowed {}

impl Borrowed {
    /// Wraps `size` bytes of the caller's memory at `data`.
    ///
    /// # Safety
    ///
    /// `data` must be readable for `size` bytes from any thread, and must not be written to, until this object
    /// is dropped. `data` is ignored if `size` is 0.
    pub(super) unsafe fn new(
        data: *const u8,
        size: usize,
        release: Option<Box<dyn FnOnce() + Send + Sync>>,
    ) -> Borrowed {
        Borrowed { data, size, release }
    }

    fn bytes(&self) -> &[u8] {
        if self.size == 0 {
            return &[];
        }
        // SAFETY: readable and unchanged for the life of `self`, which the slice does not outlive.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

/// Maps a regular file for reading. `path` is its name in error texts.
///
/// # Safety
///
/// No process may truncate the file or write to it while the mapping exists.
#[cfg(feature = "streaming")]
pub(super) unsafe fn map(file: Arc<FileStorage>, path: &Path) -> Result<Memory> {
    let size = super::file::size_of(&*file, path)?;
    // A file above the address space can still be read by position.
    if usize::try_from(size).is_err() {
        return Err(AtlasError::unsupported(format!(
            "{}: {size} bytes do not fit this machine's address space",
            path.display()
        )));
    }
    if size == 0 {
        // An empty mapping is an error on some systems.
        return Ok(Memory::Buffer(Buffer::new(0)?));
    }
    // SAFETY: another process could change the mapped file. The caller promises that none does, as the header
    // asks; the default is positioned reads.
    let map = unsafe { memmap2::Mmap::map(file.file()) }
        .map_err(|error| AtlasError::io(format_args!("mapping {}", path.display()), error))?;
    let identity = file.identity();
    // The file stays open only if its holes can be searched later.
    let sparse = file.may_have_holes().then_some(file);
    Ok(Memory::Mapped(map, path.to_owned(), identity, sparse))
}

/// Fails with UNSUPPORTED, because this build has no mapped files.
///
/// # Safety
///
/// The caller has no obligation, because the function always fails.
#[cfg(not(feature = "streaming"))]
pub(super) unsafe fn map(_: Arc<FileStorage>, path: &Path) -> Result<Memory> {
    Err(AtlasError::unsupported(format!(
        "{}: mapped files need the Cargo feature `streaming`, which is not built in",
        path.display()
    )))
}
