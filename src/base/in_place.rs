//! The flush of a file whose bytes were changed in place.

use crate::base::error::{AtlasError, Result};
use crate::base::storage::Storage;
use std::path::Path;
use std::time::Duration;

/// Flushes `storage`, the file at `path`.
///
/// Linux reports bytes that it could not write once, and from then on regards its copies of them as written: a later
/// flush succeeds, also through another descriptor. After a failure the copies are therefore dropped, so that the next
/// call reads the bytes on the disk. The error text says if the system keeps them.
pub(crate) fn flush(storage: &dyn Storage, path: &Path) -> Result<()> {
    let Err(error) = storage.sync() else { return Ok(()) };
    // A drop flushes too, which may fail again, and another program may map the pages for a moment.
    let mut attempts = (0..5).map(|attempt| {
        std::thread::sleep(Duration::from_millis((1 << attempt) >> 1));
        storage.drop_cache()
    });
    let advice = if attempts.any(|dropped| matches!(dropped, Ok(true))) {
        "some may not be on the disk: repeat the repair"
    } else {
        "some may not be on the disk, although reads may return them: unmount the file system or restart the \
         machine, and then repeat the repair"
    };
    Err(AtlasError::io(format_args!("flushing the bytes of {} ({advice})", path.display()), error))
}

/// A storage for tests.
#[cfg(test)]
pub(crate) mod fakes {
    use crate::base::out_bytes::OutBytes;
    use crate::base::storage::Storage;
    use crate::base::sync::lock;
    use std::io;
    use std::sync::Mutex;

    /// A disk behind a cache that behaves as that of Linux: a flush that fails writes nothing, and the next one
    /// takes all pages for written.
    pub(crate) struct CachedDisk {
        state: Mutex<State>,
    }

    struct State {
        disk: Vec<u8>,
        cache: Vec<u8>,
        is_dirty: bool,
        /// Numbers of the next flushes that fail, and of the next drops that keep all pages.
        failing: u32,
        keeping: u32,
    }

    impl CachedDisk {
        pub(crate) fn new(bytes: &[u8], failing: u32, keeping: u32) -> CachedDisk {
            let (disk, cache) = (bytes.to_vec(), bytes.to_vec());
            CachedDisk { state: Mutex::new(State { disk, cache, is_dirty: false, failing, keeping }) }
        }

        pub(crate) fn disk(&self) -> Vec<u8> {
            lock(&self.state).disk.clone()
        }
    }

    impl State {
        fn sync(&mut self) -> io::Result<()> {
            let is_dirty = std::mem::take(&mut self.is_dirty);
            if self.failing > 0 {
                self.failing -= 1;
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            if is_dirty {
                self.disk.clone_from(&self.cache);
            }
            Ok(())
        }
    }

    impl Storage for CachedDisk {
        fn len(&self) -> io::Result<u64> {
            Ok(lock(&self.state).cache.len() as u64)
        }

        fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
            let state = lock(&self.state);
            let rest = state.cache.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
            out.copy_from(rest.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let mut state = lock(&self.state);
            let end = offset as usize + bytes.len();
            if state.cache.len() < end {
                state.cache.resize(end, 0);
            }
            state.cache[offset as usize..end].copy_from_slice(bytes);
            state.is_dirty = true;
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            let mut state = lock(&self.state);
            state.cache.resize(len as usize, 0);
            state.is_dirty = true;
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            lock(&self.state).sync()
        }

        fn drop_cache(&self) -> io::Result<bool> {
            let mut state = lock(&self.state);
            state.sync()?;
            if state.keeping > 0 {
                state.keeping -= 1;
                return Ok(false);
            }
            state.cache = state.disk.clone();
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fakes::CachedDisk;
    use super::*;
    use crate::ErrorKind;
    use crate::base::out_bytes::OutBytes;

    /// Writes a byte to a disk that fails, flushes, and returns the error and the byte that is read then.
    fn flushed(failing: u32, keeping: u32) -> (Result<()>, u8) {
        let disk = CachedDisk::new(&[1, 2, 3], failing, keeping);
        disk.write_at(1, &[7]).unwrap();
        let result = flush(&disk, Path::new("file"));
        let mut byte = [0];
        disk.read_at(1, OutBytes::new(&mut byte)).unwrap();
        (result, byte[0])
    }

    #[test]
    fn after_a_failed_flush_reads_return_the_bytes_on_the_disk() {
        assert!(matches!(flushed(0, 0), (Ok(()), 7)));
        // The flush within the drop may fail as well, and another program may hold pages for a moment.
        for (failing, keeping) in [(1, 0), (2, 0), (1, 2)] {
            let (result, byte) = flushed(failing, keeping);
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.os_error(), byte), (ErrorKind::Io, libc::EIO, 2));
            assert!(error.message().contains("on the disk: repeat the repair"), "{error}");
        }
    }

    #[test]
    fn a_cache_that_stays_is_in_the_error() {
        let (result, byte) = flushed(1, u32::MAX);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.os_error(), byte), (ErrorKind::Io, libc::EIO, 7));
        assert!(error.message().contains("restart"), "{error}");
    }
}
