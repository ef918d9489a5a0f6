//! Files by positioned reads.

use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use crate::base::units::to_u64;
use std::fs::File;
use std::path::{Path, PathBuf};

pub(super) struct PositionedFile {
    file: File,
    path: PathBuf,
    size: u64,
}

/// Opens a regular file for reading, or says why not.
pub(super) fn open_regular(path: &Path) -> Result<File> {
    let failed = |error| AtlasError::io(format_args!("opening {}", path.display()), error);
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A FIFO without a writer would block here, before it can be refused. For regular files the
        // flag means nothing.
        options.custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(AtlasError::invalid_argument(format!("{} is a directory", path.display())));
    }
    if !metadata.is_file() {
        return Err(AtlasError::invalid_argument(format!(
            "{} is not a regular file: read it through a source with a callback, or push it into a stream",
            path.display()
        )));
    }
    Ok(file)
}

pub(super) fn size_of(file: &File, path: &Path) -> Result<u64> {
    let metadata = file.metadata();
    Ok(metadata
        .map_err(|error| AtlasError::io(format_args!("reading the size of {}", path.display()), error))?
        .len())
}

impl PositionedFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::new(open_regular(path)?, path)
    }

    pub(super) fn new(file: File, path: &Path) -> Result<Self> {
        let size = size_of(&file, path)?;
        Ok(PositionedFile { file, path: path.to_owned(), size })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Asks the system to read ahead, unless the first byte is in the cache.
    pub(super) fn will_need(&self, offset: u64, len: u64) {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        if !self.is_cached(offset) {
            use std::os::fd::AsRawFd;
            for (offset, len) in super::advice_steps(offset, len) {
                if let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) {
                    let (file, advice) = (self.file.as_raw_fd(), libc::POSIX_FADV_WILLNEED);
                    // SAFETY: the descriptor is open; the call reads no memory of ours.
                    unsafe { libc::posix_fadvise(file, offset, len, advice) };
                }
            }
        }
        let _ = (offset, len);
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

    pub(super) fn read_at(&self, offset: u64, out: OutBytes<'_>) -> Result<()> {
        let len = to_u64(out.len());
        read_exact_at(&self.file, offset, out).map_err(|error| {
            let what = format_args!("reading {len} bytes at offset {offset} of {}", self.path.display());
            let now = self.file.metadata().ok().filter(|_| error.kind() == std::io::ErrorKind::UnexpectedEof);
            let error = now.map_or(error, |now| {
                let text =
                    format!("the file has {} bytes now and had {} when it was opened", now.len(), self.size);
                std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text)
            });
            AtlasError::io(what, error)
        })
    }
}

// glibc's off_t has 32 bits on 32-bit processors, so that pread fails from 2 GiB on.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
use libc::{off_t as Offset, pread};
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::{off64_t as Offset, pread64 as pread};

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, mut out: OutBytes<'_>) -> std::io::Result<()> {
    use std::io::{Error, ErrorKind};
    use std::os::fd::AsRawFd;
    let mut position = offset;
    while !out.is_empty() {
        let at = Offset::try_from(position).map_err(|_| Error::from(ErrorKind::InvalidInput))?;
        // SAFETY: the descriptor is open, and the kernel writes at most `out.len()` bytes to `out`.
        let read = unsafe { pread(file.as_raw_fd(), out.as_mut_ptr().cast(), out.len(), at) };
        match usize::try_from(read) {
            Ok(0) => return Err(Error::new(ErrorKind::UnexpectedEof, "the file ends before the last byte")),
            Ok(read) => {
                position += to_u64(read);
                out.split_off_front(read);
            }
            Err(_) => match Error::last_os_error() {
                error if error.kind() == ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

#[cfg(windows)]
fn read_exact_at(file: &File, offset: u64, out: OutBytes<'_>) -> std::io::Result<()> {
    use std::io::{Error, ErrorKind};
    use std::os::windows::fs::FileExt;
    let mut out = out.into_initialised();
    let mut position = offset;
    while !out.is_empty() {
        match file.seek_read(out, position) {
            Ok(0) => return Err(Error::new(ErrorKind::UnexpectedEof, "the file ends before the last byte")),
            Ok(read) => {
                position += to_u64(read);
                out = &mut out[read..];
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
