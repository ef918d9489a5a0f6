//! Sources of the bytes of a domain.
//!
//! A source is reference-counted, and must not change. Memory is read in place, files by positioned reads or
//! through a mapping, anything else through [`ReadAt`]. If a source changes nevertheless, `read` of a
//! projection returns the current bytes, and shards, files and reconstructions are made from a copy that was
//! hashed.

mod file;
mod holes;
mod memory;
mod parts;
mod pieces;

pub(crate) use holes::{DataMap, Holes};
pub(crate) use parts::SourceRun;

use crate::accelerator::{Accelerator, DeviceBuffer};
use crate::base::buffer::{Buffer, try_collect};
use crate::base::error::{AtlasError, ErrorKind, Result, check_range};
use crate::base::out_bytes::OutBytes;
use crate::base::process::in_one_process;
use crate::base::shrinkable;
use crate::base::storage::{FileId, FileStorage, Storage};
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use crate::exec::pool::Pool;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Bytes by position, for sources that the program implements.
///
/// Called from several threads at a time, unless the operation runs on one thread.
pub trait ReadAt: Send + Sync {
    /// Fills all of `buffer` with the bytes from `offset` on.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()>;
}

/// The bytes of a domain, read by position: memory, a file, a mapping or a [`ReadAt`].
///
/// Cloning is O(1): all clones share the bytes, which must not change while one of them lives.
///
/// ```
/// use atlas_manifold::{AtlasProjection, Source};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("data.bin");
/// std::fs::write(&path, b"first second")?;
///
/// // A part of a file, and several parts one after the other, without a copy.
/// let file = Source::open_file(&path)?;
/// let swapped = Source::concat([&file.range(6, 6)?, &file.range(5, 1)?, &file.range(0, 5)?])?;
/// let mut bytes = [0; 12];
/// AtlasProjection::linear(&swapped)?.read(0, &mut bytes)?;
/// assert_eq!(&bytes, b"second first");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Source {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    size: u64,
    kind: SourceKind,
}

enum SourceKind {
    /// Memory that the library owns or borrows, or a mapping.
    Memory(memory::Memory),
    Pieces(pieces::Pieces),
    File(file::PositionedFile),
    ReadAt(Box<dyn ReadAt>),
    /// Like `ReadAt`, for a callback of C that accepts uninitialised memory.
    Raw(Box<dyn RawReadAt>),
    /// Bytes that a container stores, such as the payload of a tile.
    Stored(Box<dyn ReadBytes>),
    /// A range of a buffer of an OpenCL device.
    Device(DeviceBuffer),
    /// Parts of other sources, none of which is of this kind.
    Parts(parts::Parts),
}

/// Bytes that the library itself reads by position, such as those that a container stores.
pub(crate) trait ReadBytes: Send + Sync {
    /// Fills `out` with the bytes from `offset` on, which is within the source.
    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> Result<()>;

    /// Returns the name of the source for error texts.
    fn name(&self) -> String;
}

/// A [`ReadAt`] that fills memory which need not be initialised. Its errors are errno values.
pub(crate) trait RawReadAt: Send + Sync {
    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> std::result::Result<(), i32>;
}

impl Source {
    fn new(size: u64, kind: SourceKind) -> Source {
        Source { inner: Arc::new(Inner { size, kind }) }
    }

    /// Returns a source with a copy of `data`.
    pub fn copy(data: &[u8]) -> Result<Source> {
        Ok(Self::from_buffer(Buffer::copy_of(data)?))
    }

    /// Returns a source of `data`, without copying it.
    pub fn from_vec(data: Vec<u8>) -> Source {
        Self::from_shared(Arc::new(data))
    }

    /// Returns a source of shared memory, without copying it.
    pub fn from_shared<B: AsRef<[u8]> + Send + Sync + 'static>(data: Arc<B>) -> Source {
        Self::new(to_u64((*data).as_ref().len()), SourceKind::Memory(memory::Memory::Shared(data)))
    }

    pub(crate) fn from_buffer(data: Buffer) -> Source {
        Self::new(to_u64(data.len()), SourceKind::Memory(memory::Memory::Buffer(data)))
    }

    /// Borrows memory of the caller without copying it.
    ///
    /// # Safety
    /// `data` must be readable for `size` bytes, and must not be written to, until `release` is called, or,
    /// without a `release`, until the last projection and snapshot of the source are gone. `release` may be
    /// called from any thread.
    pub unsafe fn borrow(
        data: *const u8,
        size: usize,
        release: Option<Box<dyn FnOnce() + Send + Sync>>,
    ) -> Source {
        // SAFETY: the caller promises what this call requires.
        let memory = unsafe { memory::Borrowed::new(data, size, release) };
        Self::new(to_u64(size), SourceKind::Memory(memory::Memory::Borrowed(memory)))
    }

    /// Opens a regular file, which is read by position. If the file shrinks or cannot be read later, these
    /// reads fail.
    pub fn open_file(path: impl AsRef<Path>) -> Result<Source> {
        let path = path.as_ref();
        Self::from_storage(Arc::new(file::open_regular(path)?), path)
    }

    /// Opens a regular file through a mapping if no process can shorten it, or else by positioned reads.
    ///
    /// It maps files that are sealed against shrinking (`F_SEAL_SHRINK`), immutable files on ext4, and files
    /// on a file system that is mounted read-only as a whole and that no other machine writes to. It reads
    /// all other files, and without the feature `streaming` all files.
    ///
    /// # Safety
    ///
    /// Until the last projection and snapshot of the source are dropped, no process may write to a file that
    /// is only sealed against shrinking, mount a read-only file system for writing, or make the file mutable.
    pub unsafe fn open_file_auto(path: impl AsRef<Path>) -> Result<Source> {
        let path = path.as_ref();
        // SAFETY: the caller promises what this call requires.
        unsafe { Self::open_auto(file::open_regular(path)?, path) }
    }

    /// Opens a descriptor that is open for reading, like [`open_file`](Self::open_file).
    ///
    /// A duplicate of the descriptor is kept. The position of the descriptor is neither used nor moved: holes
    /// are searched through a separate file description, and if the system opens none, the file counts as
    /// dense. When the last projection and snapshot are gone, the duplicate is closed, which ends the POSIX
    /// locks of this process on the file.
    #[cfg(unix)]
    pub fn open_fd(fd: impl std::os::fd::AsFd) -> Result<Source> {
        let (storage, name) = file::duplicate(fd.as_fd())?;
        Self::from_storage(Arc::new(storage), &name)
    }

    /// Opens a descriptor like [`open_file_auto`](Self::open_file_auto), under the terms of
    /// [`open_fd`](Self::open_fd).
    ///
    /// # Safety
    ///
    /// The same as for [`open_file_auto`](Self::open_file_auto).
    #[cfg(unix)]
    pub unsafe fn open_fd_auto(fd: impl std::os::fd::AsFd) -> Result<Source> {
        let (storage, name) = file::duplicate(fd.as_fd())?;
        // SAFETY: the caller promises what this call requires.
        unsafe { Self::open_auto(storage, &name) }
    }

    /// Makes a source of an open file: through a mapping if no process can shorten it, or else by positioned
    /// reads.
    ///
    /// # Safety
    ///
    /// The same as for [`open_file_auto`](Self::open_file_auto).
    unsafe fn open_auto(storage: FileStorage, path: &Path) -> Result<Source> {
        let storage = Arc::new(storage);
        if cfg!(feature = "streaming") && shrinkable::cannot_shrink(storage.file()) {
            // SAFETY: the file cannot be truncated, as checked above, and the caller promises that it is not
            // written to.
            if let Ok(source) = unsafe { Self::map(Arc::clone(&storage), path) } {
                return Ok(source);
            }
            // A file may be too large for the address space. Reads report other errors.
        }
        Self::from_storage(storage, path)
    }

    /// Makes a source of a file that is read by position, such as the temporary file of a finished stream. `path` is
    /// its name in error texts.
    pub(crate) fn from_storage(storage: Arc<dyn Storage>, path: &Path) -> Result<Source> {
        let file = file::PositionedFile::new(storage, path)?;
        Ok(Self::new(file.size(), SourceKind::File(file)))
    }

    /// Opens a regular file through a mapping.
    ///
    /// # Safety
    ///
    /// Until the last projection and snapshot of the source are dropped, no process may truncate the file
    /// (reading beyond its new end kills the process) or write to it.
    pub unsafe fn map_file(path: impl AsRef<Path>) -> Result<Source> {
        // SAFETY: the caller promises what this call requires.
        unsafe { Self::map(Arc::new(file::open_regular(path.as_ref())?), path.as_ref()) }
    }

    /// Maps a descriptor like [`map_file`](Self::map_file), under the terms of [`open_fd`](Self::open_fd).
    ///
    /// # Safety
    ///
    /// The same as for [`map_file`](Self::map_file).
    #[cfg(unix)]
    pub unsafe fn map_fd(fd: impl std::os::fd::AsFd) -> Result<Source> {
        let (storage, name) = file::duplicate(fd.as_fd())?;
        // SAFETY: the caller promises what this call requires.
        unsafe { Self::map(Arc::new(storage), &name) }
    }

    /// Makes a source of an open file through a mapping. `path` is its name in error texts.
    ///
    /// # Safety
    ///
    /// The same as for [`map_file`](Self::map_file).
    unsafe fn map(storage: Arc<FileStorage>, path: &Path) -> Result<Source> {
        // SAFETY: the caller promises what this call requires.
        let memory = unsafe { memory::map(storage, path) }?;
        Ok(Self::new(to_u64(memory.bytes().len()), SourceKind::Memory(memory)))
    }

    /// Returns a mapped file that no test touches.
    #[cfg(test)]
    pub(crate) fn map_untouched(path: &Path) -> Source {
        // SAFETY: no test changes the file while it is mapped.
        unsafe { Self::map_file(path) }.unwrap()
    }

    /// Creates a source from `size` bytes at `offset` of an OpenCL buffer of the context of `pool`.
    ///
    /// The buffer and its context are retained. With a pool of that context tiles are hashed in place, and
    /// everything else reads copies. Fails with INVALID_ARGUMENT if the pool has no device, or if the buffer is NULL,
    /// of another context, no buffer or write-only; with OUT_OF_RANGE for a range outside it.
    ///
    /// # Safety
    ///
    /// `buffer` is NULL or a live `cl_mem` of the loader that the library opens. Commands that write it have
    /// completed before a call reads it, and none follows while the source is used.
    pub unsafe fn from_cl_mem(
        pool: &Pool,
        buffer: *mut std::ffi::c_void,
        offset: u64,
        size: u64,
    ) -> Result<Source> {
        let Some(accelerator) = pool.device() else {
            return Err(AtlasError::invalid_argument(
                "the pool has no accelerator: make a pool with an OpenCL device",
            ));
        };
        // SAFETY: the caller's promise is the one that is asked for here.
        let buffer = unsafe { accelerator.buffer(buffer, offset, size) }?;
        Ok(Self::new(size, SourceKind::Device(buffer)))
    }

    /// Creates a source of `size` bytes that `reader` provides by position.
    pub fn from_reader(size: u64, reader: impl ReadAt + 'static) -> Source {
        Self::new(size, SourceKind::ReadAt(Box::new(reader)))
    }

    pub(crate) fn from_raw_reader(size: u64, reader: Box<dyn RawReadAt>) -> Source {
        Self::new(size, SourceKind::Raw(reader))
    }

    /// Creates a source of `size` bytes that `reader`, a part of the library, provides by position.
    pub(crate) fn from_bytes_of(size: u64, reader: Box<dyn ReadBytes>) -> Source {
        Self::new(size, SourceKind::Stored(reader))
    }

    /// Returns a source of the `size` bytes from `offset` on. No byte is copied.
    ///
    /// Fails with OUT_OF_RANGE if these bytes are not within this source.
    pub fn range(&self, offset: u64, size: u64) -> Result<Source> {
        check_range(offset, size, self.size(), "range")?;
        // A range of a source with parts becomes a list of their parts.
        let mut parts = parts::PartsBuilder::default();
        parts.push(self, offset, size)?;
        Self::from_parts(parts)
    }

    /// Returns a source of the bytes of all `sources`, one after the other. No byte is copied, and a source
    /// may occur several times.
    ///
    /// A read finds its part in O(log count). Fails with LIMIT if there are 2^64 bytes or more.
    pub fn concat<'s>(sources: impl IntoIterator<Item = &'s Source>) -> Result<Source> {
        let mut parts = parts::PartsBuilder::default();
        sources.into_iter().try_for_each(|source| parts.push(source, 0, source.size()))?;
        Self::from_parts(parts)
    }

    fn from_parts(parts: parts::PartsBuilder) -> Result<Source> {
        // A list of parts is never empty, so that a source without bytes is an empty buffer.
        let Some(parts) = parts.finish() else { return Ok(Self::from_buffer(Buffer::new(0)?)) };
        // Parts that cover one whole source are that source itself, with its identity and its memory.
        match parts.whole() {
            Some(source) => Ok(source.clone()),
            None => Ok(Self::new(parts.size(), SourceKind::Parts(parts))),
        }
    }

    /// Iterates over the runs of contiguous bytes in the range of `len` bytes at `offset`, each in a source
    /// without parts. Bytes after the end are left out.
    pub(crate) fn runs(&self, offset: u64, len: u64) -> impl Iterator<Item = SourceRun<'_>> {
        let end = offset.saturating_add(len).min(self.size());
        let mut at = offset;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            // Parts are not nested, so that every run lies in a plain source.
            let mut run = match &self.inner.kind {
                SourceKind::Parts(parts) => parts.run_at(at)?,
                _ => SourceRun { source: self, offset: at, len: end - at },
            };
            run.len = run.len.min(end - at);
            at += run.len;
            Some(run)
        })
    }

    /// Returns true if both sources read the same bytes at the same offsets, up to the end of the shorter
    /// source: clones of one source, one file, or parts of these.
    pub(crate) fn is_same(&self, other: &Source) -> bool {
        // Two objects may open the same file, or be made of the same parts.
        let common = self.size().min(other.size());
        self.origin() == other.origin() || common > 0 && self.has_bytes_of(0, other, 0, common)
    }

    /// Returns true if the `len` bytes at `offset` are the same bytes of the same file or memory as the `len`
    /// bytes of `other` at `place`. Compares no contents.
    fn has_bytes_of(&self, offset: u64, other: &Source, place: u64, len: u64) -> bool {
        // After its end a source has no bytes to compare.
        let within =
            |source: &Source, start: u64| start.checked_add(len).is_some_and(|end| end <= source.size());
        if !within(self, offset) || !within(other, place) {
            return false;
        }
        // Both sides advance by the shorter of their runs, because they may be cut at different places.
        let mut done = 0;
        while done < len {
            let rest = len - done;
            let runs = (self.runs(offset + done, rest).next(), other.runs(place + done, rest).next());
            let (Some(own), Some(others)) = runs else { return false };
            // The same offset of the same origin means the very same bytes, without a read.
            if (own.source.origin(), own.offset) != (others.source.origin(), others.offset) {
                return false;
            }
            done += own.len.min(others.len);
        }
        true
    }

    /// Returns an offset at which `other` has the same bytes, by file or memory, as this source has in the range
    /// of `len` bytes at `offset`. The range is not empty. Compares no contents.
    pub(crate) fn place_in(&self, other: &Source, offset: u64, len: u64) -> Option<u64> {
        // The same offset is the usual case, and needs no search.
        if self.has_bytes_of(offset, other, offset, len) {
            return Some(offset);
        }
        // Otherwise the first run leads to a candidate, at which all bytes are compared.
        let first = self.runs(offset, len).next()?;
        let place = match &other.inner.kind {
            SourceKind::Parts(parts) => parts.find(first.source.origin(), first.offset)?,
            _ => first.offset,
        };
        self.has_bytes_of(offset, other, place, len).then_some(place)
    }

    /// Returns the identity of the file or memory that the source reads.
    fn origin(&self) -> parts::Origin {
        // A file has one identity, however it was opened. Any other source is identical only to itself.
        let object = || parts::Origin::Object(Arc::as_ptr(&self.inner).addr());
        self.file_identity().map_or_else(object, parts::Origin::File)
    }

    /// Returns the identity of the file that the source reads or maps. `None` for other sources, and for one
    /// that is made of parts.
    pub(crate) fn file_identity(&self) -> Option<FileId> {
        match &self.inner.kind {
            SourceKind::File(file) => file.identity(),
            SourceKind::Memory(memory) => memory.identity(),
            _ => None,
        }
    }

    /// Returns the name of the source for error texts: the path if it is a file.
    pub(crate) fn name(&self) -> String {
        let path = match &self.inner.kind {
            SourceKind::Stored(reader) => return reader.name(),
            SourceKind::Parts(parts) => return parts.name(),
            SourceKind::Memory(memory) => memory.path(),
            SourceKind::File(file) => Some(file.path()),
            _ => None,
        };
        path.map_or_else(|| "the source".to_owned(), |path| format!("{}", path.display()))
    }

    /// Returns the size of the source in bytes.
    pub fn size(&self) -> u64 {
        self.inner.size
    }

    /// Returns a source of the bytes of `tiles`, which have 1 MiB each. The last one may be shorter.
    /// Fails with OUT_OF_MEMORY.
    pub(crate) fn from_tiles(tiles: Vec<Buffer>) -> Result<Source> {
        debug_assert!(tiles.iter().rev().skip(1).all(|tile| tile.len() == TILE_SIZE));
        let starts = (0..).map(|index: u64| index * TILE_BYTES);
        Ok(Self::from_pieces(try_collect(starts.zip(tiles.into_iter().map(Arc::new)))?))
    }

    /// Returns a source of memory in pieces, each with its offset in the source: ascending, without gaps.
    pub(crate) fn from_pieces(pieces: Vec<(u64, Arc<Buffer>)>) -> Source {
        let pieces = pieces::Pieces::new(pieces);
        Self::new(pieces.size(), SourceKind::Pieces(pieces))
    }

    /// Returns the `len` bytes at `offset` without a copy, or `None` unless they are one piece of memory.
    pub(crate) fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        match &self.inner.kind {
            SourceKind::Memory(memory) => {
                let start = usize::try_from(offset).ok()?;
                memory.bytes().get(start..start.checked_add(len)?)
            }
            SourceKind::Pieces(pieces) => pieces.slice(offset, len),
            SourceKind::Parts(parts) => {
                // The bytes are in place only if a single part has all the bytes.
                let run = parts.run_at(offset).filter(|run| to_u64(len) <= run.len)?;
                run.source.slice(run.offset, len)
            }
            _ => None,
        }
    }

    /// Returns the device buffer that has the `len` bytes at `offset`, and their offset in it, if kernels of
    /// `accelerator` can read it and a single buffer has all of them.
    pub(crate) fn device_range(
        &self,
        accelerator: &Accelerator,
        offset: u64,
        len: usize,
    ) -> Option<(&DeviceBuffer, u64)> {
        match &self.inner.kind {
            SourceKind::Device(buffer) => buffer.is_on(accelerator).then_some((buffer, offset)),
            SourceKind::Parts(parts) => {
                // In place only if a single part has all bytes.
                let run = parts.run_at(offset).filter(|run| len > 0 && to_u64(len) <= run.len)?;
                run.source.device_range(accelerator, run.offset, len)
            }
            _ => None,
        }
    }

    /// Returns true if some bytes of this source lie in a device buffer that kernels of `accelerator` can read.
    pub(crate) fn lies_on(&self, accelerator: &Accelerator) -> bool {
        match &self.inner.kind {
            SourceKind::Device(buffer) => buffer.is_on(accelerator),
            SourceKind::Parts(parts) => parts.sources().any(|source| source.lies_on(accelerator)),
            _ => false,
        }
    }

    /// Returns bytes like `slice`, without a copy, unless they lie in a mapped file. Other processes can write
    /// to a mapping, so that its bytes must be copied before they are checked.
    pub(crate) fn fixed_slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        match &self.inner.kind {
            SourceKind::Memory(memory) if memory.is_mapped() => None,
            SourceKind::Parts(parts) => {
                let run = parts.run_at(offset).filter(|run| to_u64(len) <= run.len)?;
                run.source.fixed_slice(run.offset, len)
            }
            _ => self.slice(offset, len),
        }
    }

    /// Returns true if no part of the source is a mapped file, whose bytes another process could change in
    /// memory.
    pub(crate) fn is_fixed(&self) -> bool {
        match &self.inner.kind {
            SourceKind::Memory(memory) => !memory.is_mapped(),
            SourceKind::Parts(parts) => parts.are_fixed(),
            // Files and callbacks are read into buffers of the library.
            _ => true,
        }
    }

    /// Returns true if all `len` bytes at `offset` lie in one file that is read by position: many small reads
    /// then take about as long as one large read.
    pub(crate) fn is_read_by_position(&self, offset: u64, len: u64) -> bool {
        match &self.inner.kind {
            SourceKind::File(_) => true,
            SourceKind::Parts(parts) => {
                // The range must lie in a single part, whose source decides.
                let run = parts.run_at(offset).filter(|run| len <= run.len);
                run.is_some_and(|run| run.source.is_read_by_position(run.offset, len))
            }
            _ => false,
        }
    }

    /// Returns true if all bytes of the source are one piece of memory.
    fn is_contiguous(&self) -> bool {
        matches!(self.inner.kind, SourceKind::Memory(_))
    }

    /// Returns true if all bytes are in memory, and each tile of 1 MiB is one piece.
    pub(crate) fn in_memory(&self) -> bool {
        match &self.inner.kind {
            SourceKind::Memory(_) => true,
            SourceKind::Pieces(pieces) => pieces.hold_tiles(),
            SourceKind::Parts(parts) => parts.hold_tiles(),
            _ => false,
        }
    }

    /// Announces to the system that the source will be read from the first byte to the last; with `over`,
    /// revokes the announcement.
    ///
    /// This function, [`will_need`](Self::will_need) and [`release`](Self::release) only advise the system,
    /// which may ignore the advice.
    pub(crate) fn advise_sequential(&self, over: bool) {
        match &self.inner.kind {
            SourceKind::Memory(memory) => memory.advise_sequential(over),
            SourceKind::Parts(parts) => parts.sources().for_each(|source| source.advise_sequential(over)),
            _ => {}
        }
    }

    /// Announces to the system that the `len` bytes at `offset` are needed soon. Bytes beyond the end are
    /// ignored.
    pub(crate) fn will_need(&self, offset: u64, len: u64) {
        // Readers announce a fixed distance ahead, which passes the end in the last tiles.
        let len = len.min(self.inner.size.saturating_sub(offset));
        match &self.inner.kind {
            // For `posix_fadvise` a length of 0 would mean all bytes up to the end.
            _ if len == 0 => {}
            SourceKind::Memory(memory) => memory.will_need(offset, len),
            SourceKind::File(file) => file.will_need(offset, len),
            SourceKind::Parts(_) => {
                self.runs(offset, len).for_each(|run| run.source.will_need(run.offset, run.len));
            }
            _ => {}
        }
    }

    /// Returns true if all bytes seem to be in memory, so that the order of reads makes no difference. For a
    /// file, checks some places without reading them.
    pub(crate) fn is_near(&self) -> bool {
        const PLACES: u64 = 64;
        let size = self.inner.size;
        // Evenly spaced places are a sample of all bytes.
        size == 0 || (0..PLACES).all(|place| self.is_near_at(size / PLACES * place))
    }

    /// Returns true if the byte at `offset`, which is within the source, seems to be in memory.
    fn is_near_at(&self, offset: u64) -> bool {
        match &self.inner.kind {
            SourceKind::Memory(memory) => memory.is_near(offset),
            SourceKind::File(file) => file.is_near(offset),
            SourceKind::Pieces(_) => true,
            // Nothing is known about a callback or a container, and a device is far.
            SourceKind::ReadAt(_) | SourceKind::Raw(_) | SourceKind::Stored(_) | SourceKind::Device(_) => {
                false
            }
            SourceKind::Parts(parts) => {
                parts.run_at(offset).is_some_and(|run| run.source.is_near_at(run.offset))
            }
        }
    }

    /// Releases the memory of the `len` bytes at `offset` if they are mapped; a later read loads them again.
    /// Bytes beyond the end are ignored.
    pub(crate) fn release(&self, offset: u64, len: u64) {
        match &self.inner.kind {
            SourceKind::Memory(memory) => {
                // The last release of a pass may reach beyond the end.
                memory.release(offset.min(self.inner.size), len.min(self.inner.size.saturating_sub(offset)));
            }
            SourceKind::Parts(_) => {
                self.runs(offset, len).for_each(|run| run.source.release(run.offset, run.len));
            }
            _ => {}
        }
    }

    /// Fills all of `out` with the bytes of the source from `offset` on. Fails with OUT_OF_RANGE if there are
    /// fewer.
    pub(crate) fn read_raw(&self, offset: u64, out: OutBytes<'_>) -> Result<()> {
        let len = to_u64(out.len());
        check_range(offset, len, self.inner.size, "read")?;
        // A callback is never asked for 0 bytes.
        if out.is_empty() {
            return Ok(());
        }
        let read = self.fetch(offset, out);
        match &self.inner.kind {
            // The error already names the place in its own file.
            SourceKind::Stored(_) => read,
            _ => read.map_err(|error| error.at_range(offset, len)),
        }
    }

    /// Fills all of `out`, which is not empty, with the bytes from `offset` on, which must be within the source.
    /// Errors do not state the offset.
    fn fetch(&self, offset: u64, mut out: OutBytes<'_>) -> Result<()> {
        let len = to_u64(out.len());
        match &self.inner.kind {
            // The range was checked by `read_raw`.
            SourceKind::Memory(_) => match self.slice(offset, out.len()) {
                Some(bytes) => {
                    out.copy_from(bytes);
                    Ok(())
                }
                None => Err(AtlasError::internal(
                    "a defect of the library, please report it: a range that was checked is outside \
                     the memory of its source",
                )),
            },
            SourceKind::Pieces(pieces) => {
                pieces.read(offset, out);
                Ok(())
            }
            SourceKind::File(file) => file.read_at(offset, out),
            // The reader is safe code, which may look at its buffer, so that the bytes are initialised.
            SourceKind::ReadAt(reader) => {
                let out = out.into_initialised();
                in_one_process(|| ask(&**reader, offset, out))?
            }
            SourceKind::Stored(reader) => reader.read_at(offset, out),
            SourceKind::Device(buffer) => buffer.read(offset, out),
            // Errors of a run get their place in the whole source from `read_raw`, instead of a place in the
            // part.
            SourceKind::Parts(_) => self
                .runs(offset, len)
                .try_for_each(|run| run.source.fetch(run.offset, out.split_off_front(to_usize(run.len)))),
            // A callback of C reports a number, which becomes that of the error.
            SourceKind::Raw(reader) => in_one_process(|| reader.read_at(offset, out))?.map_err(|code| {
                let what = format_args!("the read callback failed for {len} bytes at offset {offset}");
                AtlasError::errno(what, code)
            }),
        }
    }

    /// Fills all of `out` with the bytes of the source from `offset` on, like [`read_raw`](Self::read_raw).
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read_raw(offset, OutBytes::new(out))
    }
}

/// A source as a read-only [`Storage`].
pub(crate) struct SourceStorage {
    source: Source,
}

impl SourceStorage {
    pub(crate) fn new(source: Source) -> SourceStorage {
        SourceStorage { source }
    }
}

impl Storage for SourceStorage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.source.size())
    }

    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
        // The end is reported as a file reports it: callers recognise a file that is too short.
        let end = offset.checked_add(to_u64(out.len()));
        if end.is_none_or(|end| end > self.source.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // An error code of the system passes unchanged; other errors keep their text.
        self.source.read_raw(offset, out).map_err(|error| match (error.kind(), error.os_error()) {
            // A lack of memory, or a buffer of a device after a fork: `AtlasError::io` keeps the kind.
            (ErrorKind::State | ErrorKind::OutOfMemory, _) => io::Error::other(error),
            (_, 0) => io::Error::other(error.message().to_owned()),
            (_, code) => io::Error::from_raw_os_error(code),
        })
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self) -> Option<FileId> {
        self.source.file_identity()
    }
}

/// Opens the regular file at `path` for reading and writing, so that a repair can change its bytes.
pub(crate) fn open_for_repair(path: &Path) -> Result<Arc<dyn Storage>> {
    Ok(Arc::new(file::open_as(path, true)?))
}

fn ask(reader: &dyn ReadAt, offset: u64, out: &mut [u8]) -> Result<()> {
    let len = out.len();
    reader
        .read_at(offset, out)
        .map_err(|error| AtlasError::io(format_args!("reading {len} bytes at offset {offset}"), error))
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.inner.kind {
            SourceKind::Memory(_) | SourceKind::Pieces(_) => "memory",
            SourceKind::File(_) => "file",
            SourceKind::ReadAt(_) | SourceKind::Raw(_) => "reader",
            SourceKind::Stored(_) => "container",
            SourceKind::Device(_) => "device",
            SourceKind::Parts(_) => "parts",
        };
        f.debug_struct("Source").field("kind", &kind).field("size", &self.inner.size).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
