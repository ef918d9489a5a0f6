//! Bytes by position: a file, or memory in tests.
//!
//! All reads and writes of files by position are here. Errors are the system's own; the caller adds the name of
//! the file and the operation.

use crate::base::out_bytes::OutBytes;
use crate::base::positioned::{read_exact_at, write_all_at};
#[cfg(test)]
use crate::base::units::to_u64;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes that can be read and changed by position, from any thread.
///
/// A change is on the disk only after [`sync`](Self::sync). A crash before the sync may keep the whole change, a part
/// of it or nothing.
pub(crate) trait Storage: Send + Sync {
    /// Returns the number of bytes in the storage.
    fn len(&self) -> io::Result<u64>;

    /// Fills all of `out` with the bytes of the storage from `offset` on. Fails with `UnexpectedEof` if there
    /// are fewer.
    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()>;

    /// Writes all of `bytes` to the storage at `offset`. If the storage ends before `offset`, the gap becomes zeros.
    /// After a failure, any part of `bytes` may have been written. A storage that is only read fails with
    /// `Unsupported`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let _ = (offset, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Cuts the storage to `len` bytes, or extends it with zeros. A storage that is only read fails with
    /// `Unsupported`.
    fn set_len(&self, len: u64) -> io::Result<()> {
        let _ = len;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Flushes the storage. Returns once all bytes and their number are on the disk.
    fn sync(&self) -> io::Result<()>;

    /// Flushes like [`sync`](Self::sync), but need not write metadata that reading the bytes does not depend on,
    /// such as times (fdatasync). A changed length is written.
    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    /// Drops the system's cached copies of the bytes. Returns true if later reads return the bytes on the disk,
    /// false if that is unknown.
    fn drop_cache(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Returns a storage of the same bytes that reads them from the disk, past all caches. `None` if the system
    /// supports no such reads.
    fn medium(&self) -> Option<Arc<dyn Storage>> {
        None
    }

    /// Returns the identity of the file that has the bytes. `None` if the storage is no file.
    fn identity(&self) -> Option<FileId> {
        None
    }

    /// Announces that the `len` bytes at `offset` will be read soon. A hint, which cannot fail and changes no
    /// result.
    fn will_need(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Returns true if the disk has fewer bytes than [`len`](Self::len), so that some may be in holes.
    fn may_have_holes(&self) -> bool {
        false
    }

    /// Returns the first range at or after `offset` that is not a hole, or `None` if a hole continues to the
    /// end. Bytes in a hole are zeros. Fails if the system does not report it.
    fn data_after(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let _ = offset;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns true if a read of the byte at `offset` is known not to wait for a disk.
    fn is_near(&self, offset: u64) -> bool {
        let _ = offset;
        false
    }
}

/// Returns the size of a page of the system's memory.
#[cfg(unix)]
pub(crate) fn page_size() -> u64 {
    // SAFETY: the call only returns a number of the system.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096)
}

/// Identity of a file, by device and inode, which does not depend on the path that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Returns the identity of the file with this metadata. `None` if the system does not report it.
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Option<FileId> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Some(FileId { device: metadata.dev(), inode: metadata.ino() })
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            None
        }
    }
}

/// An open file as a storage.
pub(crate) struct FileStorage {
    file: File,
    #[cfg_attr(not(unix), expect(dead_code, reason = "holes are not searched there"))]
    seeker: Seeker,
}

/// Descriptor through which the holes of a file are searched. The search moves its file position.
#[cfg_attr(not(unix), expect(dead_code, reason = "holes are not searched there"))]
enum Seeker {
    /// The descriptor of the storage itself, whose position nothing else uses.
    Same,
    Other(File),
    /// No search: all bytes count as data.
    Absent,
}

impl FileStorage {
    /// Makes a storage of `file`, whose file position nothing else uses.
    pub(crate) fn new(file: File) -> FileStorage {
        FileStorage { file, seeker: Seeker::Same }
    }

    /// Makes a storage of `file`, whose file position has other users: the position is neither used nor moved.
    ///
    /// Holes are searched through a separate file description, if the system opens one.
    #[cfg(unix)]
    pub(crate) fn shared(file: File) -> FileStorage {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::OpenOptionsExt;
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        let options = File::options().read(true).custom_flags(libc::O_NONBLOCK).clone();
        let own = crate::base::descriptor::open(&options, std::path::Path::new(&itself)).ok();
        // The system may lack such names, or have another file there.
        let is_same = |other: &File| {
            let id = |file: &File| file.metadata().ok().and_then(|metadata| FileId::of(&metadata));
            id(&file).is_some_and(|file| id(other) == Some(file))
        };
        let seeker = own.filter(is_same).map_or(Seeker::Absent, Seeker::Other);
        FileStorage { file, seeker }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the descriptor through which holes are searched. `None` if holes are not searched.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn seeker(&self) -> Option<&File> {
        match &self.seeker {
            Seeker::Same => Some(&self.file),
            Seeker::Other(file) => Some(file),
            Seeker::Absent => None,
        }
    }

    /// Returns true if reading the byte at `offset` would not wait for the disk. False if the system does not
    /// report it.
    #[cfg(target_os = "linux")]
    fn is_cached(&self, offset: u64) -> bool {
        use std::os::fd::AsRawFd;
        let mut byte = 0_u8;
        let place = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // The kernel puts the offset together again. Where a `long` has 64 bits, the lower part has all of it.
        let (low, high) = (offset as libc::c_long, (offset >> 32) as libc::c_long);
        let one: libc::c_ulong = 1;
        // musl 1.2.3 has no `preadv2`, and that of a 32-bit glibc ends at 2 GiB.
        // SAFETY: the descriptor is open, and the kernel writes at most one byte, for which there is room.
        unsafe {
            let (file, place) = (self.file.as_raw_fd(), &raw const place);
            libc::syscall(libc::SYS_preadv2, file, place, one, low, high, libc::RWF_NOWAIT) == 1
        }
    }

    #[cfg(any(target_os = "android", target_os = "freebsd"))]
    fn is_cached(&self, _: u64) -> bool {
        false
    }
}

impl Storage for FileStorage {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
        read_exact_at(&self.file, offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&self.file, offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn drop_cache(&self) -> io::Result<bool> {
        super::page_cache::drop_all(&self.file)
    }

    #[cfg(target_os = "linux")]
    fn medium(&self) -> Option<Arc<dyn Storage>> {
        let direct = super::direct_file::DirectFile::of(&self.file)?;
        Some(Arc::new(direct))
    }

    #[cfg(not(target_os = "linux"))]
    fn drop_cache(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn identity(&self) -> Option<FileId> {
        self.file.metadata().ok().and_then(|metadata| FileId::of(&metadata))
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn may_have_holes(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        // Blocks are counted in 512 bytes, whatever the file system's are.
        self.seeker().is_some()
            && self.file.metadata().is_ok_and(|found| found.blocks().saturating_mul(512) < found.len())
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn data_after(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let file = self.seeker().ok_or(io::ErrorKind::Unsupported)?;
        // Two calls, between which the file may change.
        let Some(start) = seek(file, offset, libc::SEEK_DATA)? else { return Ok(None) };
        match seek(file, start, libc::SEEK_HOLE)? {
            Some(end) if start < end => Ok(Some(start..end)),
            // The file was cut in between.
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Flushes the bytes and all metadata, also the file's mode, which an atomic file sets just before this call.
    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn is_near(&self, offset: u64) -> bool {
        // File systems in memory do not support the query of the cache.
        let in_memory = super::file_system::is_in_memory(&self.file).unwrap_or(false);
        in_memory || self.is_cached(offset)
    }

    /// Asks the system to read the range ahead, unless its first byte is in the cache.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn will_need(&self, offset: u64, len: u64) {
        use std::os::fd::AsRawFd;
        if self.is_cached(offset) {
            return;
        }
        // The system may cut a large announcement, so that it is made in steps.
        for (offset, len) in advice_steps(offset, len) {
            if let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) {
                let (file, advice) = (self.file.as_raw_fd(), libc::POSIX_FADV_WILLNEED);
                // SAFETY: the descriptor is open; the call reads no memory of ours.
                unsafe { libc::posix_fadvise(file, offset, len, advice) };
            }
        }
    }
}

/// Returns the offset of the next data or hole in `file` at or after `offset`; `whence` is SEEK_DATA or
/// SEEK_HOLE. `None` if there is none up to the end. Moves the descriptor's position, which nothing else uses.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn seek(file: &File, offset: u64, whence: libc::c_int) -> io::Result<Option<u64>> {
    #[cfg(target_os = "freebsd")]
    use libc::{lseek, off_t as Offset};
    #[cfg(not(target_os = "freebsd"))]
    use libc::{lseek64 as lseek, off64_t as Offset};
    use std::os::fd::AsRawFd;
    let offset = Offset::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the descriptor is open; the call reads no memory of ours.
    let found = unsafe { lseek(file.as_raw_fd(), offset, whence) };
    match u64::try_from(found) {
        Ok(found) => Ok(Some(found)),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
    }
}

/// Maximum number of bytes per read-ahead advice, because a system may read no more for one advice than one
/// request to the disk.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    all(unix, feature = "streaming")
))]
const ADVICE_STEP: u64 = 128 * 1024;

/// Returns the parts of the range of `len` bytes at `offset`, each of at most `ADVICE_STEP` bytes, as
/// (offset, length).
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    all(unix, feature = "streaming")
))]
pub(crate) fn advice_steps(offset: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = offset.saturating_add(len);
    std::iter::successors(Some(offset), |at| at.checked_add(ADVICE_STEP))
        .take_while(move |at| *at < end)
        .map(move |at| (at, ADVICE_STEP.min(end - at)))
}

/// Storages for tests.
#[cfg(test)]
pub(crate) mod fakes {
    use super::*;
    use crate::base::sync::lock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    /// Memory as a storage.
    #[derive(Default)]
    pub(crate) struct MemoryStorage {
        bytes: Mutex<Vec<u8>>,
    }

    impl Storage for MemoryStorage {
        fn len(&self) -> io::Result<u64> {
            Ok(to_u64(lock(&self.bytes).len()))
        }

        fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
            let bytes = lock(&self.bytes);
            let rest = usize::try_from(offset).ok().and_then(|start| bytes.get(start..));
            let found = rest.and_then(|rest| rest.get(..out.len()));
            match found {
                Some(found) => out.copy_from(found),
                None if out.is_empty() => {}
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            Ok(())
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            if bytes.is_empty() {
                return Ok(());
            }
            let mut all = lock(&self.bytes);
            let start = usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let end = start + bytes.len();
            if all.len() < end {
                all.resize(end, 0);
            }
            all[start..end].copy_from_slice(bytes);
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            lock(&self.bytes).resize(len as usize, 0);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A storage of zeros with some data. It reports the places of the data, or refuses to, and counts the
    /// calls.
    pub(crate) struct SparseStorage {
        pub(crate) len: u64,
        /// Ascending by offset, with gaps between them.
        pub(crate) data: Mutex<Vec<(u64, Vec<u8>)>>,
        pub(crate) tells: bool,
        /// Number of queries for data.
        pub(crate) asked: AtomicU64,
        /// Offset and length of each read.
        pub(crate) reads: Mutex<Vec<(u64, u64)>>,
    }

    impl SparseStorage {
        pub(crate) fn new(len: u64, data: Vec<(u64, Vec<u8>)>) -> SparseStorage {
            let (asked, reads) = (AtomicU64::new(0), Mutex::default());
            SparseStorage { len, data: Mutex::new(data), tells: true, asked, reads }
        }
    }

    impl Storage for SparseStorage {
        fn len(&self) -> io::Result<u64> {
            Ok(self.len)
        }

        fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
            let out = out.into_initialised();
            let end = offset + to_u64(out.len());
            if end > self.len {
                return Err(crate::base::positioned::ends_before());
            }
            out.fill(0);
            lock(&self.reads).push((offset, to_u64(out.len())));
            for (at, bytes) in &*lock(&self.data) {
                let (start, stop) = ((*at).max(offset), (at + to_u64(bytes.len())).min(end));
                if start < stop {
                    let part = &bytes[(start - at) as usize..(stop - at) as usize];
                    out[(start - offset) as usize..(stop - offset) as usize].copy_from_slice(part);
                }
            }
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn may_have_holes(&self) -> bool {
            lock(&self.data).iter().map(|(_, bytes)| to_u64(bytes.len())).sum::<u64>() < self.len
        }

        fn data_after(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if !self.tells {
                return Err(io::ErrorKind::Unsupported.into());
            }
            let data = lock(&self.data);
            let ranges = data.iter().map(|(at, bytes)| *at..at + to_u64(bytes.len()));
            Ok(ranges.filter(|data| data.end > offset).map(|data| data.start.max(offset)..data.end).next())
        }
    }

    /// A storage whose operation number `nth`, counted from 0, fails as on a full device. A write that fails
    /// has written its first half.
    pub(crate) struct FailingStorage {
        inner: Arc<dyn Storage>,
        nth: u64,
        begun: AtomicU64,
    }

    impl FailingStorage {
        pub(crate) fn new(inner: Arc<dyn Storage>, nth: u64) -> FailingStorage {
            FailingStorage { inner, nth, begun: AtomicU64::new(0) }
        }

        fn begin(&self) -> io::Result<()> {
            if self.begun.fetch_add(1, Ordering::Relaxed) == self.nth {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            Ok(())
        }
    }

    impl Storage for FailingStorage {
        fn len(&self) -> io::Result<u64> {
            self.begin()?;
            self.inner.len()
        }

        fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
            self.begin()?;
            self.inner.read_at(offset, out)
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            if let Err(full) = self.begin() {
                self.inner.write_at(offset, &bytes[..bytes.len() / 2])?;
                return Err(full);
            }
            self.inner.write_at(offset, bytes)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.begin()?;
            self.inner.set_len(len)
        }

        fn sync(&self) -> io::Result<()> {
            self.begin()?;
            self.inner.sync()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fakes::{FailingStorage, MemoryStorage};
    use super::*;
    use std::sync::Arc;

    fn read(storage: &dyn Storage, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0xee; len];
        storage.read_at(offset, OutBytes::new(&mut bytes)).map(|()| bytes)
    }

    #[test]
    fn memory_behaves_as_a_file() {
        let storages: [Box<dyn Storage>; 2] =
            [Box::new(FileStorage::new(tempfile::tempfile().unwrap())), Box::new(MemoryStorage::default())];
        for storage in &storages {
            assert_eq!(storage.len().unwrap(), 0);
            storage.write_at(3, b"abc").unwrap();
            storage.write_at(1, b"xyz").unwrap();
            storage.write_at(100, b"").unwrap();
            assert_eq!(read(&**storage, 0, 6).unwrap(), b"\0xyzbc");
            assert_eq!(read(&**storage, 4, 1).unwrap(), b"b");
            for (offset, len) in [(6, 1), (5, 2), (1_000, 1), (0, 7)] {
                let error = read(&**storage, offset, len).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len} bytes at {offset}");
            }
            assert!(read(&**storage, 1_000, 0).unwrap().is_empty());
            storage.set_len(2).unwrap();
            storage.set_len(4).unwrap();
            storage.sync().unwrap();
            storage.will_need(0, 100);
            assert_eq!((storage.len().unwrap(), read(&**storage, 0, 4).unwrap()), (4, b"\0x\0\0".to_vec()));
        }
    }

    #[test]
    fn the_operation_that_shall_fail_does_and_no_other() {
        let memory = Arc::new(MemoryStorage::default());
        let storage = FailingStorage::new(memory.clone(), 1);
        storage.write_at(0, b"abcd").unwrap();
        let error = storage.write_at(4, b"efgh").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(storage.len().unwrap(), 6);
        storage.sync().unwrap();
        assert_eq!(read(&*memory, 0, 6).unwrap(), b"abcdef");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn advice_goes_out_in_small_steps() {
        let steps: Vec<_> = advice_steps(5, 2 * ADVICE_STEP + 1).collect();
        assert_eq!(steps, [(5, ADVICE_STEP), (5 + ADVICE_STEP, ADVICE_STEP), (5 + 2 * ADVICE_STEP, 1)]);
        assert_eq!(advice_steps(5, 0).count(), 0);
        assert_eq!(advice_steps(u64::MAX - 1, 9).collect::<Vec<_>>(), [(u64::MAX - 1, 1)]);
    }
}
