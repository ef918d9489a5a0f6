//! Sources of the bytes of a domain.
//!
//! A source is reference-counted, and must not change. Memory is read in place, files by positioned reads or
//! through a mapping, anything else through [`ReadAt`]. If it changes nevertheless, `read` of a projection
//! returns its current bytes, and shards, files and reconstructions are made from a copy that was hashed.

mod file;
mod holes;
mod memory;
mod parts;
mod pieces;

pub(crate) use holes::{DataMap, Holes};
pub(crate) use parts::SourceRun;

use crate::base::buffer::Buffer;
use crate::base::error::{AtlasError, Result, check_range};
use crate::base::out_bytes::OutBytes;
use crate::base::shrinkable;
use crate::base::storage::{FileId, FileStorage, Storage};
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_u64, to_usize};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Bytes by position, for sources of the host's own.
///
/// Called from several threads at a time, unless the operation runs on one.
pub trait ReadAt: Send + Sync {
    /// Reads exactly `buffer.len()` bytes from `offset` on.
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
    /// Memory that is ours or borrowed, or a mapping.
    Memory(memory::Memory),
    Pieces(pieces::Pieces),
    File(file::PositionedFile),
    ReadAt(Box<dyn ReadAt>),
    /// Like `ReadAt`, for a callback that accepts uninitialised memory.
    Raw(Box<dyn RawReadAt>),
    /// Bytes that a file of ours stands for.
    Stored(Box<dyn ReadBytes>),
    /// Parts of other sources. They are not of this kind.
    Parts(parts::Parts),
}

/// Bytes by position, read by the library itself.
pub(crate) trait ReadBytes: Send + Sync {
    /// Fills `out` with the bytes from `offset` on, which is within the source.
    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> Result<()>;

    /// Name for error texts.
    fn name(&self) -> String;
}

/// [`ReadAt`] into memory that need not be initialised; errors are errno values.
pub(crate) trait RawReadAt: Send + Sync {
    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> std::result::Result<(), i32>;
}

impl Source {
    fn new(size: u64, kind: SourceKind) -> Source {
        Source { inner: Arc::new(Inner { size, kind }) }
    }

    /// A copy of `data`.
    pub fn copy(data: &[u8]) -> Result<Source> {
        Ok(Self::from_buffer(Buffer::copy_of(data)?))
    }

    /// `data`, without copying it.
    pub fn from_vec(data: Vec<u8>) -> Source {
        Self::from_shared(Arc::new(data))
    }

    /// Shared memory, without copying it.
    pub fn from_shared<B: AsRef<[u8]> + Send + Sync + 'static>(data: Arc<B>) -> Source {
        Self::new(to_u64((*data).as_ref().len()), SourceKind::Memory(memory::Memory::Shared(data)))
    }

    pub(crate) fn from_buffer(data: Buffer) -> Source {
        Self::new(to_u64(data.len()), SourceKind::Memory(memory::Memory::Buffer(data)))
    }

    /// Memory that stays the caller's.
    ///
    /// # Safety
    /// `data` must be readable for `size` bytes, and must not be written to, until `release` is
    /// called, or, without one, until the last projection and snapshot of the source are gone.
    /// `release` may be called from any thread.
    pub unsafe fn borrow(
        data: *const u8,
        size: usize,
        release: Option<Box<dyn FnOnce() + Send + Sync>>,
    ) -> Source {
        // SAFETY: the caller's promise is the one that is asked for here.
        let memory = unsafe { memory::Borrowed::new(data, size, release) };
        Self::new(to_u64(size), SourceKind::Memory(memory::Memory::Borrowed(memory)))
    }

    /// A regular file by positioned reads. A file that shrinks or fails later is an error then.
    pub fn open_file(path: impl AsRef<Path>) -> Result<Source> {
        let path = path.as_ref();
        Self::from_storage(Arc::new(file::open_regular(path)?), path)
    }

    /// Opens a regular file through a mapping if no process can shorten it, or else by positioned reads.
    ///
    /// It maps files that are sealed against it (`F_SEAL_SHRINK`), immutable files on ext4, and files on a
    /// file system that is mounted read-only as a whole and that no other machine writes to. It reads all
    /// others, and all files without the feature `streaming`.
    ///
    /// # Safety
    ///
    /// Until the last projection and snapshot of the source are dropped, no process may write to a file that
    /// is only sealed against shrinking, mount a read-only file system for writing, or make the file mutable.
    pub unsafe fn open_file_auto(path: impl AsRef<Path>) -> Result<Source> {
        let path = path.as_ref();
        // SAFETY: the caller's promise is the one that is asked for here.
        unsafe { Self::open_auto(file::open_regular(path)?, path) }
    }

    /// Opens a descriptor that is open for reading, like [`open_file`](Self::open_file).
    ///
    /// A duplicate of it is kept. Its position is neither used nor moved: holes are searched through a
    /// description of its own, and if the system opens none the file counts as dense. When the last
    /// projection and snapshot are gone, the duplicate is closed, which ends the POSIX locks of this
    /// process on the file.
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
    /// That of [`open_file_auto`](Self::open_file_auto).
    #[cfg(unix)]
    pub unsafe fn open_fd_auto(fd: impl std::os::fd::AsFd) -> Result<Source> {
        let (storage, name) = file::duplicate(fd.as_fd())?;
        // SAFETY: the caller's promise is the one that is asked for here.
        unsafe { Self::open_auto(storage, &name) }
    }

    /// # Safety
    /// That of [`open_file_auto`](Self::open_file_auto).
    unsafe fn open_auto(storage: FileStorage, path: &Path) -> Result<Source> {
        let storage = Arc::new(storage);
        if cfg!(feature = "streaming") && shrinkable::cannot_shrink(storage.file()) {
            // SAFETY: nobody can truncate it, and the caller promises that nobody writes to it.
            if let Ok(source) = unsafe { Self::map(Arc::clone(&storage), path) } {
                return Ok(source);
            }
            // A file may be too large for the address space. Reads report other errors.
        }
        Self::from_storage(storage, path)
    }

    /// A file of ours, such as a finished spool. Errors name it `path`.
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
        // SAFETY: the caller's promise is the one that is asked for here.
        unsafe { Self::map(Arc::new(file::open_regular(path.as_ref())?), path.as_ref()) }
    }

    /// Maps a descriptor like [`map_file`](Self::map_file), under the terms of [`open_fd`](Self::open_fd).
    ///
    /// # Safety
    ///
    /// That of [`map_file`](Self::map_file).
    #[cfg(unix)]
    pub unsafe fn map_fd(fd: impl std::os::fd::AsFd) -> Result<Source> {
        let (storage, name) = file::duplicate(fd.as_fd())?;
        // SAFETY: the caller's promise is the one that is asked for here.
        unsafe { Self::map(Arc::new(storage), &name) }
    }

    /// # Safety
    /// That of [`map_file`](Self::map_file).
    unsafe fn map(storage: Arc<FileStorage>, path: &Path) -> Result<Source> {
        // SAFETY: the caller's promise is the one that is asked for here.
        let memory = unsafe { memory::map(storage, path) }?;
        Ok(Self::new(to_u64(memory.bytes().len()), SourceKind::Memory(memory)))
    }

    /// A mapped file that no test touches.
    #[cfg(test)]
    pub(crate) fn map_untouched(path: &Path) -> Source {
        // SAFETY: nobody does.
        unsafe { Self::map_file(path) }.unwrap()
    }

    /// Creates a source of `size` bytes that `reader` provides by position.
    pub fn from_reader(size: u64, reader: impl ReadAt + 'static) -> Source {
        Self::new(size, SourceKind::ReadAt(Box::new(reader)))
    }

    pub(crate) fn from_raw_reader(size: u64, reader: Box<dyn RawReadAt>) -> Source {
        Self::new(size, SourceKind::Raw(reader))
    }

    /// Creates a source of `size` bytes that `reader` provides.
    pub(crate) fn from_bytes_of(size: u64, reader: Box<dyn ReadBytes>) -> Source {
        Self::new(size, SourceKind::Stored(reader))
    }

    /// The `size` bytes from `offset` on, as a source of their own. No byte is copied.
    ///
    /// OUT_OF_RANGE if they are not within this source.
    pub fn range(&self, offset: u64, size: u64) -> Result<Source> {
        check_range(offset, size, self.size(), "range")?;
        let mut parts = parts::PartsBuilder::default();
        parts.push(self, offset, size)?;
        Self::from_parts(parts)
    }

    /// The bytes of all `sources`, one after the other. No byte is copied, and a source may come twice.
    ///
    /// A read finds its part in O(log count). LIMIT if there are 2^64 bytes or more.
    pub fn concat<'s>(sources: impl IntoIterator<Item = &'s Source>) -> Result<Source> {
        let mut parts = parts::PartsBuilder::default();
        sources.into_iter().try_for_each(|source| parts.push(source, 0, source.size()))?;
        Self::from_parts(parts)
    }

    fn from_parts(parts: parts::PartsBuilder) -> Result<Source> {
        let Some(parts) = parts.finish() else { return Ok(Self::from_buffer(Buffer::new(0)?)) };
        match parts.whole() {
            Some(source) => Ok(source.clone()),
            None => Ok(Self::new(parts.size(), SourceKind::Parts(parts))),
        }
    }

    /// Iterates over the runs of bytes of a range, each in a source without parts. Bytes after the end are
    /// left out.
    pub(crate) fn runs(&self, offset: u64, len: u64) -> impl Iterator<Item = SourceRun<'_>> {
        let end = offset.saturating_add(len).min(self.size());
        let mut at = offset;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let mut run = match &self.inner.kind {
                SourceKind::Parts(parts) => parts.run_at(at)?,
                _ => SourceRun { source: self, offset: at, len: end - at },
            };
            run.len = run.len.min(end - at);
            at += run.len;
            Some(run)
        })
    }

    /// True if both read the same bytes at the same offsets, as far as both have bytes: clones of one source,
    /// one file, or parts of those.
    pub(crate) fn is_same(&self, other: &Source) -> bool {
        let common = self.size().min(other.size());
        self.origin() == other.origin() || common > 0 && self.has_bytes_of(0, other, 0, common)
    }

    /// True if the `len` bytes at `offset` are the same ones as those of `other` at its offset `place`.
    fn has_bytes_of(&self, offset: u64, other: &Source, place: u64, len: u64) -> bool {
        let within =
            |source: &Source, start: u64| start.checked_add(len).is_some_and(|end| end <= source.size());
        if !within(self, offset) || !within(other, place) {
            return false;
        }
        let mut done = 0;
        while done < len {
            let rest = len - done;
            let runs = (self.runs(offset + done, rest).next(), other.runs(place + done, rest).next());
            let (Some(own), Some(others)) = runs else { return false };
            if (own.source.origin(), own.offset) != (others.source.origin(), others.offset) {
                return false;
            }
            done += own.len.min(others.len);
        }
        true
    }

    /// An offset at which `other` has the very bytes of this range, which is not empty.
    pub(crate) fn place_in(&self, other: &Source, offset: u64, len: u64) -> Option<u64> {
        if self.has_bytes_of(offset, other, offset, len) {
            return Some(offset);
        }
        let first = self.runs(offset, len).next()?;
        let place = match &other.inner.kind {
            SourceKind::Parts(parts) => parts.find(first.source.origin(), first.offset)?,
            _ => first.offset,
        };
        self.has_bytes_of(offset, other, place, len).then_some(place)
    }

    /// The identity of the bytes.
    fn origin(&self) -> parts::Origin {
        let object = || parts::Origin::Object(Arc::as_ptr(&self.inner).addr());
        self.file_identity().map_or_else(object, parts::Origin::File)
    }

    /// The file that is read or mapped. `None` of a source that is made of parts.
    pub(crate) fn file_identity(&self) -> Option<FileId> {
        match &self.inner.kind {
            SourceKind::File(file) => file.identity(),
            SourceKind::Memory(memory) => memory.identity(),
            _ => None,
        }
    }

    /// Name for error texts: the path of a file.
    pub(crate) fn name(&self) -> String {
        let path = match &self.inner.kind {
            SourceKind::Stored(reader) => return reader.name(),
            SourceKind::Parts(parts) => return parts.name(),
            SourceKind::Memory(memory) => memory.path(),
            SourceKind::File(file) => Some(file.path()),
            _ => None,
        };
        path.map_or_else(|| "the source".to_owned(), |path| path.display().to_string())
    }

    /// Returns the number of bytes.
    pub fn size(&self) -> u64 {
        self.inner.size
    }

    /// Buffers of a tile each, of which the last one may be shorter.
    pub(crate) fn from_tiles(tiles: Vec<Buffer>) -> Source {
        debug_assert!(tiles.iter().rev().skip(1).all(|tile| tile.len() == TILE_SIZE));
        let starts = (0..).map(|index: u64| index * TILE_BYTES);
        Self::from_pieces(starts.zip(tiles.into_iter().map(Arc::new)).collect())
    }

    /// Memory that came in pieces, each with its offset: ascending, without gaps.
    pub(crate) fn from_pieces(pieces: Vec<(u64, Arc<Buffer>)>) -> Source {
        let pieces = pieces::Pieces::new(pieces);
        Self::new(pieces.size(), SourceKind::Pieces(pieces))
    }

    /// Returns the bytes in place, if they are one piece of memory.
    pub(crate) fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        match &self.inner.kind {
            SourceKind::Memory(memory) => {
                let start = usize::try_from(offset).ok()?;
                memory.bytes().get(start..start.checked_add(len)?)
            }
            SourceKind::Pieces(pieces) => pieces.slice(offset, len),
            SourceKind::Parts(parts) => {
                let run = parts.run_at(offset).filter(|run| to_u64(len) <= run.len)?;
                run.source.slice(run.offset, len)
            }
            _ => None,
        }
    }

    /// Returns the bytes in place like `slice`, if they belong to the library or depend on their owner's
    /// promise alone. Other processes can write to a mapping, so that only a copy stays as it was checked.
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

    /// True if no other process can write to the bytes, as far as they are in memory.
    pub(crate) fn is_fixed(&self) -> bool {
        match &self.inner.kind {
            SourceKind::Memory(memory) => !memory.is_mapped(),
            SourceKind::Parts(parts) => parts.are_fixed(),
            _ => true,
        }
    }

    /// True if many reads of a range take about as long as one: a file's.
    pub(crate) fn is_read_by_position(&self, offset: u64, len: u64) -> bool {
        match &self.inner.kind {
            SourceKind::File(_) => true,
            SourceKind::Parts(parts) => {
                let run = parts.run_at(offset).filter(|run| len <= run.len);
                run.is_some_and(|run| run.source.is_read_by_position(run.offset, len))
            }
            _ => false,
        }
    }

    /// True if all bytes are one piece of memory.
    fn is_contiguous(&self) -> bool {
        matches!(self.inner.kind, SourceKind::Memory(_))
    }

    /// Returns true if all bytes are in memory, each tile of them in one piece.
    pub(crate) fn in_memory(&self) -> bool {
        match &self.inner.kind {
            SourceKind::Memory(_) => true,
            SourceKind::Pieces(pieces) => pieces.hold_tiles(),
            SourceKind::Parts(parts) => parts.hold_tiles(),
            _ => false,
        }
    }

    /// Announces that the bytes will be read from the first to the last; `over` revokes it.
    ///
    /// This and the two functions below are advice: if the system ignores or refuses it, nothing is lost.
    pub(crate) fn advise_sequential(&self, over: bool) {
        match &self.inner.kind {
            SourceKind::Memory(memory) => memory.advise_sequential(over),
            SourceKind::Parts(parts) => parts.sources().for_each(|source| source.advise_sequential(over)),
            _ => {}
        }
    }

    /// Says that these bytes are needed soon. Bytes beyond the end are ignored.
    pub(crate) fn will_need(&self, offset: u64, len: u64) {
        let len = len.min(self.inner.size.saturating_sub(offset));
        match &self.inner.kind {
            _ if len == 0 => {}
            SourceKind::Memory(memory) => memory.will_need(offset, len),
            SourceKind::File(file) => file.will_need(offset, len),
            SourceKind::Parts(_) => {
                self.runs(offset, len).for_each(|run| run.source.will_need(run.offset, run.len));
            }
            _ => {}
        }
    }

    /// True if all bytes seem to be in memory, so that the order of reads makes no difference. Some places of
    /// a file are looked at, and none is read.
    pub(crate) fn is_near(&self) -> bool {
        const PLACES: u64 = 64;
        let size = self.inner.size;
        size == 0 || (0..PLACES).all(|place| self.is_near_at(size / PLACES * place))
    }

    /// The same for the byte at `offset`, which is within the source.
    fn is_near_at(&self, offset: u64) -> bool {
        match &self.inner.kind {
            SourceKind::Memory(memory) => memory.is_near(offset),
            SourceKind::File(file) => file.is_near(offset),
            SourceKind::Pieces(_) => true,
            SourceKind::ReadAt(_) | SourceKind::Raw(_) | SourceKind::Stored(_) => false,
            SourceKind::Parts(parts) => {
                parts.run_at(offset).is_some_and(|run| run.source.is_near_at(run.offset))
            }
        }
    }

    /// Releases the memory of these bytes of a mapping; a later read loads them again. Bytes beyond the end
    /// are ignored.
    pub(crate) fn release(&self, offset: u64, len: u64) {
        match &self.inner.kind {
            SourceKind::Memory(memory) => {
                memory.release(offset.min(self.inner.size), len.min(self.inner.size.saturating_sub(offset)));
            }
            SourceKind::Parts(_) => {
                self.runs(offset, len).for_each(|run| run.source.release(run.offset, run.len));
            }
            _ => {}
        }
    }

    /// Fills all of `out`.
    pub(crate) fn read_raw(&self, offset: u64, out: OutBytes<'_>) -> Result<()> {
        let len = to_u64(out.len());
        check_range(offset, len, self.inner.size, "read")?;
        if out.is_empty() {
            return Ok(());
        }
        let read = self.fetch(offset, out);
        match &self.inner.kind {
            // The place of the failure in its own file is known.
            SourceKind::Stored(_) => read,
            _ => read.map_err(|error| error.at_range(offset, len)),
        }
    }

    /// Fills all of `out`, which is not empty, with bytes that are within the source. Errors have no place.
    fn fetch(&self, offset: u64, mut out: OutBytes<'_>) -> Result<()> {
        let len = to_u64(out.len());
        match &self.inner.kind {
            SourceKind::Memory(_) => match self.slice(offset, out.len()) {
                Some(bytes) => {
                    out.copy_from(bytes);
                    Ok(())
                }
                None => Err(AtlasError::internal("a checked range is outside its memory")),
            },
            SourceKind::Pieces(pieces) => {
                pieces.read(offset, out);
                Ok(())
            }
            SourceKind::File(file) => file.read_at(offset, out),
            SourceKind::ReadAt(reader) => ask(&**reader, offset, out.into_initialised()),
            SourceKind::Stored(reader) => reader.read_at(offset, out),
            SourceKind::Parts(_) => self
                .runs(offset, len)
                .try_for_each(|run| run.source.fetch(run.offset, out.split_off_front(to_usize(run.len)))),
            SourceKind::Raw(reader) => reader.read_at(offset, out).map_err(|code| {
                let what = format_args!("the read callback failed for {len} bytes at offset {offset}");
                AtlasError::io(what, std::io::Error::from_raw_os_error(code))
            }),
        }
    }

    /// [`read_raw`](Self::read_raw) into initialised bytes.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read_raw(offset, OutBytes::new(out))
    }
}

/// A source as a storage that is only read.
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
        let end = offset.checked_add(to_u64(out.len()));
        if end.is_none_or(|end| end > self.source.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.read_raw(offset, out).map_err(|error| match error.os_error() {
            0 => io::Error::other(error.message().to_owned()),
            code => io::Error::from_raw_os_error(code),
        })
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self) -> Option<FileId> {
        self.source.file_identity()
    }
}

/// A regular file whose bytes are to be changed.
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
            SourceKind::Parts(_) => "parts",
        };
        f.debug_struct("Source").field("kind", &kind).field("size", &self.inner.size).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::base::storage::fakes::{FailingStorage, MemoryStorage};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A mapping of a file that the test does not truncate.
    #[cfg(feature = "streaming")]
    pub(crate) fn mapped(path: &Path) -> Source {
        // SAFETY: as said above; what is written to it is written by other means and read as it comes.
        unsafe { Source::map_file(path) }.unwrap()
    }

    struct Failing(AtomicU32);

    impl ReadAt for Failing {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            if self.0.fetch_add(1, Ordering::Relaxed) == 1 {
                return Err(io::Error::from_raw_os_error(5));
            }
            buffer.fill(u8::try_from(offset).unwrap());
            Ok(())
        }
    }

    #[test]
    fn every_kind_reads_the_same_bytes() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i % 253) as u8).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ä漢.bin");
        std::fs::write(&path, &data).unwrap();
        let mut sources = vec![
            Source::copy(&data).unwrap(),
            Source::from_vec(data.clone()),
            Source::open_file(&path).unwrap(),
        ];
        // SAFETY: `data` outlives the sources.
        sources.push(unsafe { Source::borrow(data.as_ptr(), data.len(), None) });
        #[cfg(feature = "streaming")]
        sources.push(mapped(&path));
        for source in &sources {
            assert_eq!(source.size(), 100_000);
            for (offset, len) in [(0, 0), (0, 100_000), (99_999, 1), (100_000, 0), (77, 4_096)] {
                let mut out = vec![0; len];
                source.read(offset, &mut out).unwrap();
                assert_eq!(out, data[offset as usize..][..len]);
            }
            for (offset, len) in [(100_000, 1), (u64::MAX, 1), (1, 100_000)] {
                let error = source.read(offset, &mut vec![0; len]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::OutOfRange);
            }
        }
    }

    #[test]
    fn pieces_read_as_one() {
        let data: Vec<u8> = (0..2_500_000u32).map(|i| (i % 251) as u8).collect();
        let copy = |range: std::ops::Range<usize>| Buffer::copy_of(&data[range]).unwrap();
        let tiles = Source::from_tiles(vec![
            copy(0..TILE_SIZE),
            copy(TILE_SIZE..2 * TILE_SIZE),
            copy(2_097_152..2_500_000),
        ]);
        let cuts = [0, 1, 4_096, 1_048_577, 2_499_999, 2_500_000];
        let pairs = cuts.windows(2).map(|cut| (cut[0] as u64, Arc::new(copy(cut[0]..cut[1]))));
        let pieces = Source::from_pieces(pairs.collect());
        for source in [&tiles, &pieces] {
            assert_eq!(source.size(), 2_500_000);
            for (offset, len) in [
                (0, 2_500_000),
                (1_048_575, 2),
                (1_048_576, 1_048_577),
                (2_499_999, 1),
                (7, 0),
                (2_500_000, 0),
            ] {
                let mut out = vec![0; len];
                source.read(offset, &mut out).unwrap();
                assert_eq!(out, data[offset as usize..][..len]);
            }
            assert!(source.slice(2_499_999, 2).is_none() && source.slice(1 << 40, 1).is_none());
        }
        assert_eq!(tiles.slice(1_048_576, 100), Some(&data[1_048_576..1_048_676]));
        assert!(tiles.slice(1_048_575, 2).is_none());
        assert_eq!(pieces.slice(1_048_575, 2), Some(&data[1_048_575..1_048_577]));
        assert!(pieces.slice(0, 2).is_none() && pieces.slice(4_000, 200).is_none());
        assert!(tiles.in_memory() && !pieces.in_memory());
        let none = Source::from_pieces(Vec::new());
        assert_eq!((none.size(), none.slice(0, 1)), (0, None));
    }

    /// Returns bytes that are assembled and cut by position, with the expected result.
    fn put_together(leaves: &[(Source, Vec<u8>)], random: &mut Lcg) -> (Source, Vec<u8>) {
        let mut all: Vec<(Source, Vec<u8>)> = leaves.to_vec();
        for _ in 0..8 {
            let made = if random.below(2) == 0 {
                let (source, bytes) = &all[random.below(all.len())];
                let start = random.below(bytes.len() + 1);
                let len = random.below(bytes.len() - start + 1);
                (source.range(start as u64, len as u64).unwrap(), bytes[start..start + len].to_vec())
            } else {
                let chosen: Vec<_> = (0..random.below(4)).map(|_| &all[random.below(all.len())]).collect();
                let bytes = chosen.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
                (Source::concat(chosen.iter().map(|(source, _)| source)).unwrap(), bytes)
            };
            assert_eq!(made.0.size(), made.1.len() as u64);
            all.push(made);
        }
        all.pop().unwrap()
    }

    struct Lcg(u64);

    impl Lcg {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) as usize % limit.max(1)
        }
    }

    #[test]
    fn parts_read_as_the_bytes_that_they_are_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("parts.bin");
        let bytes = |salt: u32| (0..300_u32).map(|i| (i * salt + i / 7) as u8).collect::<Vec<u8>>();
        std::fs::write(&path, bytes(3)).unwrap();
        let leaves = [
            (Source::from_vec(bytes(1)), bytes(1)),
            (Source::open_file(&path).unwrap(), bytes(3)),
            (Source::from_reader(300, Cursor(bytes(5))), bytes(5)),
            #[cfg(feature = "streaming")]
            (mapped(&path), bytes(3)),
        ];
        let mut random = Lcg(9);
        for _ in 0..300 {
            let (source, wanted) = put_together(&leaves, &mut random);
            let mut out = vec![0; wanted.len()];
            source.read(0, &mut out).unwrap();
            assert_eq!(out, wanted);
            for _ in 0..5 {
                let start = random.below(wanted.len() + 1);
                let len = random.below(wanted.len() - start + 1);
                let mut out = vec![0; len];
                source.read(start as u64, &mut out).unwrap();
                assert_eq!(out, wanted[start..start + len]);
                let slices = [source.slice(start as u64, len), source.fixed_slice(start as u64, len)];
                assert!(slices.iter().flatten().all(|slice| *slice == out));
                let runs: Vec<_> = source.runs(start as u64, len as u64).collect();
                assert_eq!(runs.iter().map(|run| run.len).sum::<u64>(), len as u64);
                assert!(runs.iter().all(|run| !matches!(run.source.inner.kind, SourceKind::Parts(_))));
                source.advise_sequential(false);
                source.will_need(start as u64, u64::MAX);
                source.release(start as u64, u64::MAX);
            }
            assert_eq!(source.read(wanted.len() as u64, &mut [0]).unwrap_err().kind(), ErrorKind::OutOfRange);
        }
    }

    struct Cursor(Vec<u8>);

    impl ReadAt for Cursor {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let start = offset as usize;
            buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
            Ok(())
        }
    }

    #[test]
    fn places_of_bytes_are_known_through_parts_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("places.bin");
        let data: Vec<u8> = (0..1_000_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &data).unwrap();
        let open = || Source::open_file(&path).unwrap();
        let other = Source::from_vec(data.clone());
        let part = |source: &Source, start, len| source.range(start, len).unwrap();
        let mixed = Source::concat([&part(&open(), 500, 500), &other, &part(&open(), 0, 500)]).unwrap();
        // From a range of one handle to another handle, and to where parts of the file lie in a third.
        assert_eq!(part(&open(), 100, 50).place_in(&open(), 10, 20), Some(110));
        assert_eq!(open().place_in(&mixed, 600, 100), Some(100));
        assert_eq!(open().place_in(&mixed, 10, 400), Some(1_510));
        assert_eq!(other.place_in(&mixed, 3, 997), Some(503));
        assert_eq!(mixed.place_in(&mixed, 400, 300), Some(400), "over the edge of two parts");
        assert_eq!(mixed.place_in(&open(), 400, 200), None, "of two sources");
        assert_eq!(open().place_in(&mixed, 450, 100), None, "the parts are apart");
        assert_eq!(open().place_in(&part(&open(), 100, 50), 120, 40), None, "behind the end");
        assert_eq!(
            part(&other, 5, 5).place_in(&Source::from_vec(data), 0, 5),
            None,
            "equal and not the same"
        );
        // The same bytes at the same offsets.
        assert!(part(&open(), 0, 10).is_same(&open()) && open().is_same(&part(&open(), 0, 10)));
        assert!(part(&open(), 7, 10).is_same(&part(&open(), 7, 20)));
        assert!(!part(&open(), 7, 10).is_same(&part(&open(), 8, 10)));
        assert!(mixed.is_same(&Source::concat([&part(&open(), 500, 500), &other]).unwrap()));
        assert!(!mixed.is_same(&open()) && !part(&open(), 0, 0).is_same(&open()));
        // Parts that were cut and joined again are the source itself.
        let whole = open();
        let joined =
            Source::concat([&part(&whole, 0, 3), &part(&whole, 3, 0), &part(&whole, 3, 997)]).unwrap();
        assert!(Arc::ptr_eq(&joined.inner, &whole.inner));
        assert_eq!(joined.file_identity(), whole.file_identity());
        assert_eq!(part(&whole, 1, 9).file_identity(), None);
    }

    #[test]
    fn an_error_in_a_part_has_its_place_in_the_whole() {
        struct Broken;
        impl ReadAt for Broken {
            fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
                Err(io::Error::from_raw_os_error(5))
            }
        }
        let broken = Source::from_reader(100, Broken);
        let whole = Source::concat([&Source::from_vec(vec![1; 50]), &broken.range(10, 20).unwrap()]).unwrap();
        let error = whole.read(40, &mut [0; 20]).unwrap_err();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, 5));
        assert_eq!((error.offset(), error.length()), (Some(40), Some(20)));
        whole.read(0, &mut [0; 50]).unwrap();
        let error = broken.range(90, 11).unwrap_err();
        assert_eq!(error.message(), "range of 11 bytes at offset 90 is outside 0..100");
        let huge = Source::from_reader(u64::MAX, Broken);
        assert_eq!(Source::concat([&huge, &broken]).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn tiles_in_parts_of_memory_are_hashed_in_place() {
        let tile = TILE_SIZE;
        let memory = Source::from_vec(vec![3; 3 * tile]);
        let aligned = memory.range(5, 2 * TILE_BYTES).unwrap();
        assert!(aligned.in_memory() && aligned.is_fixed());
        assert!(aligned.fixed_slice(TILE_BYTES, tile).is_some());
        let cut = Source::concat([&aligned.range(0, 7).unwrap(), &memory]).unwrap();
        assert!(!cut.in_memory() && cut.fixed_slice(0, tile).is_none());
        let tiles = Source::from_tiles(vec![Buffer::zeros(tile).unwrap(), Buffer::zeros(9).unwrap()]);
        assert!(tiles.range(TILE_BYTES, 9).unwrap().in_memory());
        assert!(!tiles.range(1, TILE_BYTES).unwrap().in_memory());
    }

    #[test]
    fn a_release_runs_once_when_the_last_clone_is_gone() {
        static RELEASED: AtomicU32 = AtomicU32::new(0);
        let data = [1u8, 2, 3];
        let release = Box::new(|| {
            RELEASED.fetch_add(1, Ordering::Relaxed);
        });
        // SAFETY: `data` outlives the source.
        let source = unsafe { Source::borrow(data.as_ptr(), 3, Some(release)) };
        let second = source.clone();
        drop(source);
        assert_eq!(RELEASED.load(Ordering::Relaxed), 0);
        drop(second);
        assert_eq!(RELEASED.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_shrunk_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shrinks.bin");
        std::fs::write(&path, vec![1; 10_000]).unwrap();
        let source = Source::open_file(&path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(5_000).unwrap();
        let error = source.read(0, &mut vec![0; 10_000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        let message = error.message();
        assert!(message.contains("shrinks.bin"), "{error}");
        assert!(message.ends_with("the file has 5000 bytes now and had 10000 when it was opened"), "{error}");
        assert_eq!((error.offset(), error.length()), (Some(0), Some(10_000)));
    }

    #[test]
    fn a_read_that_fails_names_the_file_and_the_place() {
        let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
        memory.write_at(0, b"0123456789").unwrap();
        // The first operation asks for the size, the second one is the first read.
        let failing = |nth| {
            Source::from_storage(Arc::new(FailingStorage::new(memory.clone(), nth)), Path::new("a.bin"))
        };
        let error = failing(0).unwrap_err();
        assert!(error.message().starts_with("reading the size of a.bin: "), "{error}");
        let source = failing(1).unwrap();
        let mut out = [0; 4];
        let error = source.read(5, &mut out).unwrap_err();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOSPC));
        assert!(error.message().starts_with("reading 4 bytes at offset 5 of a.bin: "), "{error}");
        assert_eq!((error.offset(), error.length()), (Some(5), Some(4)));
        source.read(5, &mut out).unwrap();
        assert_eq!(&out, b"5678");
    }

    #[test]
    fn missing_files_and_folders_are_io_errors_with_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let error = Source::open_file(dir.path().join("absent")).unwrap_err();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOENT));
        assert!(error.message().contains("absent"));
        let error = Source::open_file(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        #[cfg(unix)]
        {
            let fifo = dir.path().join("fifo");
            let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
            // SAFETY: a C string.
            assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
            assert_eq!(Source::open_file(&fifo).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn hints_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hinted.bin");
        let data: Vec<u8> = (0..3_000_001_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &data).unwrap();
        let mut sources = vec![Source::open_file(&path).unwrap()];
        // SAFETY: nobody truncates the file.
        #[cfg(feature = "streaming")]
        sources.push(unsafe { Source::map_file(&path) }.unwrap());
        for source in sources.drain(..) {
            for (offset, len) in [(0, 1), (4_095, 2), (3_000_000, 1), (3_000_001, 1), (u64::MAX, u64::MAX)] {
                source.advise_sequential(false);
                source.will_need(offset, len);
                source.release(offset, len);
                source.advise_sequential(true);
            }
            let mut out = vec![0; data.len()];
            source.read(0, &mut out).unwrap();
            assert!(out == data);
        }
    }

    #[test]
    fn a_reader_gets_initialised_memory_as_it_is() {
        struct Idle;
        impl ReadAt for Idle {
            fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
                Ok(())
            }
        }
        let source = Source::from_reader(100, Idle);
        let mut out = [9; 4];
        source.read(7, &mut out).unwrap();
        assert_eq!(out, [9; 4]);
        assert_eq!(source.read(97, &mut out).unwrap_err().kind(), ErrorKind::OutOfRange);
        let mut out = [9; 4];
        // SAFETY: four bytes that nothing else uses meanwhile.
        source.read_raw(7, unsafe { OutBytes::from_raw(out.as_mut_ptr(), 4) }).unwrap();
        assert_eq!(out, [0; 4]);
    }

    #[test]
    fn a_failing_reader_is_an_io_error_with_its_number() {
        let source = Source::from_reader(100, Failing(AtomicU32::new(0)));
        let mut out = [0; 4];
        source.read(9, &mut out).unwrap();
        assert_eq!(out, [9; 4]);
        let error = source.read(9, &mut out).unwrap_err();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, 5));
    }
}
