//! Sources whose bytes are read from a file by position.

use crate::base::descriptor;
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::storage::{FileId, FileStorage, Storage};
use crate::base::units::to_u64;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct PositionedFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    size: u64,
    identity: Option<FileId>,
}

/// Opens a regular file for reading. Fails with INVALID_ARGUMENT for anything else.
pub(super) fn open_regular(path: &Path) -> Result<FileStorage> {
    open_as(path, false)
}

/// Opens a regular file for reading, and for writing too if `changed` is set. Fails with INVALID_ARGUMENT for
/// anything else.
pub(super) fn open_as(path: &Path, changed: bool) -> Result<FileStorage> {
    let failed = |error| {
        // Windows opens no directory, and Unix opens one for reading alone.
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
            return directory(path);
        }
        AtlasError::io(format_args!("opening {}", path.display()), error)
    };
    // A FIFO without a writer would block here, before it can be refused.
    let file = descriptor::open_now(File::options().read(true).write(changed), path).map_err(failed)?;
    let storage = FileStorage::new(file);
    check_size(&storage, regular_size(&storage, path)?, path)?;
    Ok(storage)
}

/// Returns the INVALID_ARGUMENT error for a path that is a directory.
fn directory(path: &Path) -> AtlasError {
    AtlasError::invalid_argument(format!("{} is a directory", path.display()))
}

/// Returns the INVALID_ARGUMENT error for a path that is neither a regular file nor a directory.
fn irregular(path: &Path) -> AtlasError {
    AtlasError::invalid_argument(format!(
        "{} is not a regular file: read it through a source with a callback, or push it into a stream",
        path.display()
    ))
}

/// Returns the reported size of the open file. Fails with INVALID_ARGUMENT unless it is a regular file.
fn regular_size(storage: &FileStorage, path: &Path) -> Result<u64> {
    let failed = |error| AtlasError::io(format_args!("opening {}", path.display()), error);
    let metadata = match storage.file().metadata() {
        // A device of Windows has no metadata (`ERROR_INVALID_FUNCTION`, `ERROR_INVALID_PARAMETER` under wine).
        #[cfg(windows)]
        Err(error) if matches!(error.raw_os_error(), Some(1 | 87)) => return Err(irregular(path)),
        metadata => metadata.map_err(failed)?,
    };
    // A directory opens for reading on Unix, and fails at its first read only.
    if metadata.is_dir() {
        return Err(directory(path));
    }
    // Pipes and devices cannot be read by position, or have no size.
    if !metadata.is_file() {
        return Err(irregular(path));
    }
    Ok(metadata.len())
}

/// Returns a duplicate of a descriptor that is open for reading, and a name for error texts. Fails with
/// INVALID_ARGUMENT if the descriptor is not open for reading, is open with O_DIRECT, or does not refer to a regular
/// file.
#[cfg(unix)]
pub(super) fn duplicate(fd: std::os::fd::BorrowedFd<'_>) -> Result<(FileStorage, PathBuf)> {
    use std::os::fd::AsRawFd;
    // A path of the file could lead to another file by now, so that errors name the descriptor.
    let name = PathBuf::from(format!("file descriptor {}", fd.as_raw_fd()));
    let failed = |error| AtlasError::io(format_args!("duplicating {}", name.display()), error);
    let file = File::from(fd.try_clone_to_owned().map_err(failed)?);
    // SAFETY: the descriptor is open, and the call only returns its flags.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    // A descriptor that was opened with O_PATH names a file and cannot read it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let is_a_place = flags & libc::O_PATH != 0;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let is_a_place = false;
    if is_a_place || flags & libc::O_ACCMODE == libc::O_WRONLY {
        let text = format!("{} is not open for reading", name.display());
        return Err(AtlasError::invalid_argument(text));
    }
    // The position belongs to the caller's descriptor too, and is neither used nor moved.
    let storage = FileStorage::shared(file);
    let size = regular_size(&storage, &name)?;
    // Direct reads need aligned buffers and offsets, which a source does not promise.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    if flags & libc::O_DIRECT != 0 {
        let text = format!(
            "{} is open with O_DIRECT, and a source reads through the page cache: open it without that \
             flag",
            name.display()
        );
        return Err(AtlasError::invalid_argument(text));
    }
    check_size(&storage, size, &name)?;
    Ok((storage, name))
}

/// Fails with INVALID_ARGUMENT if a file has bytes after its reported end, such as a file of /proc, whose
/// reported size is 0, and with IO if a read at the end fails.
fn check_size(storage: &dyn Storage, size: u64, path: &Path) -> Result<()> {
    // No byte of a file lies at a higher offset, and some systems refuse a read there.
    if i64::try_from(size).is_ok_and(|size| size == i64::MAX) {
        return Ok(());
    }
    let mut byte = [0];
    match storage.read_at(size, OutBytes::new(&mut byte)) {
        // A file that has grown meanwhile is accepted.
        Ok(()) if size_of(storage, path)? != size => return Ok(()),
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
        // Without this read it is unknown whether the size is right: a file of size 0 would be empty unread.
        Err(error) => {
            return Err(AtlasError::io(format_args!("reading the end of {}", path.display()), error));
        }
    }
    Err(AtlasError::invalid_argument(format!(
        "{} reports a size of {size} bytes and has more: push it into a stream",
        path.display()
    )))
}

pub(super) fn size_of(storage: &dyn Storage, path: &Path) -> Result<u64> {
    storage
        .len()
        .map_err(|error| AtlasError::io(format_args!("reading the size of {}", path.display()), error))
}

impl PositionedFile {
    pub(super) fn new(storage: Arc<dyn Storage>, path: &Path) -> Result<Self> {
        let size = size_of(&*storage, path)?;
        // Asked once, because an open file keeps its identity.
        let identity = storage.identity();
        Ok(PositionedFile { storage, path: path.to_owned(), size, identity })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn identity(&self) -> Option<FileId> {
        self.identity
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    pub(super) fn will_need(&self, offset: u64, len: u64) {
        self.storage.will_need(offset, len);
    }

    pub(super) fn is_near(&self, offset: u64) -> bool {
        self.storage.is_near(offset)
    }

    pub(super) fn read_at(&self, offset: u64, out: OutBytes<'_>) -> Result<()> {
        let len = to_u64(out.len());
        self.storage.read_at(offset, out).map_err(|error| {
            let what = format_args!("reading {len} bytes at offset {offset} of {}", self.path.display());
            // A file that became shorter is the usual reason for an early end, so that the text has both
            // sizes.
            let now = self.storage.len().ok().filter(|_| error.kind() == std::io::ErrorKind::UnexpectedEof);
            let error = now.map_or(error, |now| {
                let text = format!("the file has {now} bytes now and had {} when it was opened", self.size);
                std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text)
            });
            AtlasError::io(what, error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::base::storage::fakes::{FailingStorage, MemoryStorage};

    #[test]
    fn only_the_true_end_of_a_file_is_its_end() {
        let memory = Arc::new(MemoryStorage::default());
        memory.write_at(0, b"abc").unwrap();
        let check =
            |size, nth| check_size(&FailingStorage::new(memory.clone(), nth), size, Path::new("file"));
        check(3, u64::MAX).unwrap();
        for size in [0, 3] {
            let error = check(size, 0).unwrap_err();
            assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOSPC), "{error}");
        }
    }

    /// Address 0 of a process is not mapped, and its memory is a regular file of size 0.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_be_read_is_no_empty_file() {
        let path = Path::new("/proc/self/mem");
        let error = open_regular(path).err().expect("address 0 cannot be read");
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::EIO), "{error}");
        use std::os::fd::AsFd;
        let error = duplicate(File::open(path).unwrap().as_fd()).err().expect("address 0 cannot be read");
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::EIO), "{error}");
    }
}
