//! Bytes by position: a file, or memory in tests.
//!
//! All reads and writes of files by position are here. Errors are the system's own: whoever calls knows
//! the name of the file and what it was doing, and says so.

use crate::base::out_bytes::OutBytes;
use crate::base::units::to_u64;
use std::fs::File;
use std::io;

/// Bytes that can be read and changed by position, from any thread.
///
/// A change is on the medium only after [`sync`](Self::sync). Before that a crash may keep all of it, some
/// of it or nothing.
pub(crate) trait Storage: Send + Sync {
    /// Returns the number of bytes.
    fn len(&self) -> io::Result<u64>;

    /// Fills all of `out` with the bytes from `offset` on. Fails with `UnexpectedEof` if they end before.
    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. A gap before them is zeros. After a failure any part of them may
    /// have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the bytes to `len`, or extends them with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns once all bytes and their number are on the medium.
    fn sync(&self) -> io::Result<()>;

    /// Says that these bytes are read soon. Advice: it cannot fail and changes no result.
    fn will_need(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// True if reads at `offset` do not wait for a medium, as far as that is known.
    fn is_near(&self, offset: u64) -> bool {
        let _ = offset;
        false
    }
}

/// A file as a storage.
pub(crate) struct FileStorage {
    file: File,
}

impl FileStorage {
    pub(crate) fn new(file: File) -> FileStorage {
        FileStorage { file }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Whether a read would not wait for the disk. The system may not tell: then no.
    #[cfg(target_os = "linux")]
    fn is_cached(&self, offset: u64) -> bool {
        use std::os::fd::AsRawFd;
        let Ok(offset) = libc::off_t::try_from(offset) else { return false };
        let mut byte = 0_u8;
        let place = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: the descriptor is open, and the kernel writes at most one byte to the one that is there.
        unsafe { libc::preadv2(self.file.as_raw_fd(), &raw const place, 1, offset, libc::RWF_NOWAIT) == 1 }
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

    /// Flushes the file's mode too, which an atomic file sets just before.
    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn is_near(&self, offset: u64) -> bool {
        use std::os::fd::AsRawFd;
        // What lies in memory for good does not know the question for the cache.
        let mut found = std::mem::MaybeUninit::<libc::statfs>::uninit();
        // SAFETY: the descriptor is open, and there is room for the answer.
        let in_memory = unsafe { libc::fstatfs(self.file.as_raw_fd(), found.as_mut_ptr()) } == 0 && {
            // SAFETY: the call has succeeded.
            let kind = unsafe { found.assume_init() }.f_type;
            [libc::TMPFS_MAGIC, 0x8584_58f6].contains(&kind)
        };
        in_memory || self.is_cached(offset)
    }

    /// Asks the system to read ahead, unless the first byte is in the cache.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn will_need(&self, offset: u64, len: u64) {
        use std::os::fd::AsRawFd;
        if self.is_cached(offset) {
            return;
        }
        for (offset, len) in advice_steps(offset, len) {
            if let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) {
                let (file, advice) = (self.file.as_raw_fd(), libc::POSIX_FADV_WILLNEED);
                // SAFETY: the descriptor is open; the call reads no memory of ours.
                unsafe { libc::posix_fadvise(file, offset, len, advice) };
            }
        }
    }
}

// glibc's off_t has 32 bits on 32-bit processors, so that pread fails from 2 GiB on.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
use libc::{off_t as Offset, pread};
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::{off64_t as Offset, pread64 as pread};

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, mut out: OutBytes<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let mut position = offset;
    while !out.is_empty() {
        let at = Offset::try_from(position).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: the descriptor is open, and the kernel writes at most `out.len()` bytes to `out`.
        let read = unsafe { pread(file.as_raw_fd(), out.as_mut_ptr().cast(), out.len(), at) };
        match usize::try_from(read) {
            Ok(0) => return Err(ends_before()),
            Ok(read) => {
                position += to_u64(read);
                out.split_off_front(read);
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

#[cfg(windows)]
fn read_exact_at(file: &File, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    let mut out = out.into_initialised();
    let mut position = offset;
    while !out.is_empty() {
        match file.seek_read(out, position) {
            Ok(0) => return Err(ends_before()),
            Ok(read) => {
                position += to_u64(read);
                out = &mut out[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        match file.seek_write(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += to_u64(written);
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn ends_before() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before")
}

/// A system may read no more at a time for an advice than one request to the disk takes.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    all(unix, feature = "streaming")
))]
const ADVICE_STEP: u64 = 128 * 1024;

/// `len` bytes from `offset` on in steps, each with its offset and length.
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
                None => return Err(ends_before()),
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

    /// A storage whose operation number `nth`, counted from 0, fails: the device is full. A write that
    /// fails has written its first half.
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
