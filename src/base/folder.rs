//! An open folder. Names in it are reached through its descriptor, wherever the folder is moved, however
//! long its path is, and whether or not the process may search the folders above it.

use super::descriptor;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

pub(crate) use system::{Folder, link};

/// An existing file or folder under a name in a folder. A symbolic link is followed.
pub(crate) struct Entry {
    /// The entry itself, opened for its attributes alone and not for reading.
    #[cfg(unix)]
    pub(crate) file: File,
    pub(crate) metadata: std::fs::Metadata,
}

#[cfg(unix)]
mod system {
    use super::{Entry, File, OsStr, Path, descriptor, io};
    use crate::base::descriptor::again;
    #[cfg(target_os = "linux")]
    use crate::base::fallible::file_name;
    #[cfg(target_os = "linux")]
    use crate::base::storage::FileId;
    use std::ffi::{CString, c_int};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;

    /// Flags that open a file or folder for its names and attributes alone, which needs no read permission.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const LOOK: c_int = libc::O_PATH;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const LOOK: c_int = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;

    pub(crate) struct Folder {
        descriptor: OwnedFd,
    }

    fn c_string(name: &OsStr) -> io::Result<CString> {
        let bytes = name.as_bytes();
        // Allocated fallibly, unlike the result of `CString::new`.
        let mut text = Vec::new();
        text.try_reserve_exact(bytes.len() + 1)?;
        text.extend_from_slice(bytes);
        CString::new(text).map_err(|_| io::ErrorKind::InvalidInput.into())
    }

    /// Opens or creates the file `name` relative to the folder with the descriptor `folder`.
    fn open_at(folder: c_int, name: &OsStr, flags: c_int, mode: u32) -> io::Result<File> {
        // Without O_LARGEFILE glibc opens files of at most 2 GiB on 32-bit processors. On other processors
        // the flag is 0.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let flags = flags | libc::O_LARGEFILE;
        let (name, flags) = (c_string(name)?, flags | libc::O_CLOEXEC);
        let open = || {
            // SAFETY: the folder is open, or means the working folder, and the name ends with a NUL.
            again(|| unsafe { libc::openat(folder, name.as_ptr(), flags, mode) })
        };
        let file = descriptor::beside_standard_streams(open)?;
        // SAFETY: the descriptor was made above, and nothing else owns it.
        descriptor::off_standard(unsafe { File::from_raw_fd(file) }).inspect_err(|_| {
            // A file that was created has a name.
            if flags & libc::O_EXCL != 0 {
                // SAFETY: as above.
                let _ = again(|| unsafe { libc::unlinkat(folder, name.as_ptr(), 0) });
            }
        })
    }

    impl Folder {
        pub(crate) fn open(path: &Path) -> io::Result<Folder> {
            let folder = open_at(libc::AT_FDCWD, path.as_os_str(), LOOK | libc::O_DIRECTORY, 0)?;
            Ok(Folder { descriptor: folder.into() })
        }

        /// Returns another handle of the same folder, wherever it was moved.
        pub(crate) fn try_clone(&self) -> io::Result<Folder> {
            Ok(Folder { descriptor: self.descriptor.try_clone()? })
        }

        fn at(&self) -> c_int {
            self.descriptor.as_raw_fd()
        }

        /// Creates the file `name` with the permissions `mode` in the folder, open for reading and writing.
        /// Fails with `AlreadyExists`.
        pub(crate) fn create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
            open_at(self.at(), name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, mode)
        }

        /// Creates a file without a name in the folder, which the system deletes with its last descriptor.
        /// `None` if the file system has no such files, or could not name them later.
        #[cfg(target_os = "linux")]
        pub(crate) fn create_nameless(&self, mode: u32) -> io::Result<Option<File>> {
            let file = match open_at(self.at(), OsStr::new("."), libc::O_RDWR | libc::O_TMPFILE, mode) {
                Ok(file) => file,
                // Older systems report an unknown flag by one of these two errors.
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT | libc::EINVAL)
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            // Without /proc there is no path by which the file could get a name later.
            Ok(itself(&file)?.exists().then_some(file))
        }

        #[cfg(not(target_os = "linux"))]
        #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "only Linux has them")]
        pub(crate) fn create_nameless(&self, _: u32) -> io::Result<Option<File>> {
            Ok(None)
        }

        /// Gives `file`, which was created without a name, the name `name` in the folder. Fails with
        /// `AlreadyExists`.
        #[cfg(target_os = "linux")]
        pub(crate) fn name(&self, file: &File, name: &OsStr) -> io::Result<()> {
            // A link in /proc leads to the file, which has no other path.
            let (own, name) = (c_string(itself(file)?.as_os_str())?, c_string(name)?);
            let (folder, flag) = (self.at(), libc::AT_SYMLINK_FOLLOW);
            // SAFETY: both names end with a NUL, and the folder is open.
            again(|| unsafe { libc::linkat(libc::AT_FDCWD, own.as_ptr(), folder, name.as_ptr(), flag) })?;
            Ok(())
        }

        #[cfg(not(target_os = "linux"))]
        #[expect(clippy::unused_self, reason = "only Linux has them")]
        pub(crate) fn name(&self, _: &File, _: &OsStr) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        /// Renames the file `from` to `to` within the folder. An existing `to` is replaced.
        pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
            let (from, to) = (c_string(from)?, c_string(to)?);
            let folder = self.at();
            // SAFETY: both names end with a NUL, and the folder is open.
            again(|| unsafe { libc::renameat(folder, from.as_ptr(), folder, to.as_ptr()) })?;
            Ok(())
        }

        /// Renames like [`rename`](Self::rename), but fails with `AlreadyExists` if `to` exists.
        pub(crate) fn rename_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
            let (from, to) = (c_string(from)?, c_string(to)?);
            let folder = self.at();
            #[cfg(all(target_os = "linux", target_env = "gnu"))]
            {
                // SAFETY: both names end with a NUL, and the folder is open.
                let renamed = again(|| unsafe {
                    libc::renameat2(folder, from.as_ptr(), folder, to.as_ptr(), libc::RENAME_NOREPLACE)
                });
                // If the system lacks this call, the file gets a second name by a link, which replaces
                // nothing, and loses the first name.
                match renamed {
                    Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {}
                    renamed => return renamed.map(drop),
                }
            }
            // SAFETY: as above.
            again(|| unsafe { libc::linkat(folder, from.as_ptr(), folder, to.as_ptr(), 0) })?;
            // SAFETY: as above.
            let removed = again(|| unsafe { libc::unlinkat(folder, from.as_ptr(), 0) });
            if removed.is_err() {
                // A failed rename leaves the first name alone, so that the caller can try again.
                // SAFETY: as above.
                let _ = again(|| unsafe { libc::unlinkat(folder, to.as_ptr(), 0) });
            }
            removed.map(drop)
        }

        /// Opens the file `name` in the folder, which is no symbolic link, without waiting for a writer of a FIFO.
        pub(crate) fn open_file(&self, name: &OsStr, writable: bool) -> io::Result<File> {
            let access = if writable { libc::O_RDWR } else { libc::O_RDONLY };
            open_at(self.at(), name, access | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0)
        }

        /// Opens the entry `there`, which was found under `name`, for reading. Fails with `NotFound` if the name leads to
        /// another file by now.
        #[cfg(target_os = "linux")]
        pub(in crate::base) fn read_entry(&self, name: &OsStr, there: &Entry) -> io::Result<File> {
            let file = open_at(self.at(), name, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY, 0)?;
            let is_same = FileId::of(&file.metadata()?) == FileId::of(&there.metadata);
            if is_same { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
        }

        pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
            let name = c_string(name)?;
            // SAFETY: the name ends with a NUL, and the folder is open.
            again(|| unsafe { libc::unlinkat(self.at(), name.as_ptr(), 0) })?;
            Ok(())
        }

        /// Opens the file or folder `name` in the folder for its attributes. `None` if there is none of this
        /// name.
        pub(crate) fn entry(&self, name: &OsStr) -> io::Result<Option<Entry>> {
            match open_at(self.at(), name, LOOK, 0) {
                Ok(file) => {
                    let metadata = file.metadata()?;
                    Ok(Some(Entry { file, metadata }))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        }

        /// Opens the folder for a flush. A folder that may not be read is no failure.
        pub(crate) fn to_flush(&self) -> io::Result<ToFlush> {
            // The folder may be open for names alone, and such a descriptor cannot be flushed.
            match open_at(self.at(), OsStr::new("."), libc::O_RDONLY | libc::O_DIRECTORY, 0) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(ToFlush(None)),
                folder => Ok(ToFlush(Some(folder?))),
            }
        }
    }

    /// Gives the file at `path` the second name `other`. Symbolic links to the file are followed. Fails with
    /// `AlreadyExists`.
    pub(crate) fn link(path: &Path, other: &Path) -> io::Result<()> {
        let (path, other) = (c_string(path.as_os_str())?, c_string(other.as_os_str())?);
        let (here, flag) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
        // SAFETY: both paths end with a NUL.
        again(|| unsafe { libc::linkat(here, path.as_ptr(), here, other.as_ptr(), flag) }).map(drop)
    }

    /// A folder that is open for a flush. `None` if it may not be read.
    pub(crate) struct ToFlush(Option<File>);

    impl ToFlush {
        /// Flushes the folder, so that new and changed names in it survive a crash. A file system that cannot flush
        /// folders is no failure. If the folder may not be read, its whole file system is flushed, through a file in the
        /// folder that `file` opens.
        pub(crate) fn flush(&self, file: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
            let Some(folder) = &self.0 else { return flush_system(file) };
            match folder.sync_all() {
                Err(error)
                    if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
                {
                    Err(error)
                }
                _ => Ok(()),
            }
        }
    }

    /// Flushes the whole file system of the file that `file` opens, if the system can.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn flush_system(file: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
        let file = file()?;
        // SAFETY: the descriptor is open.
        again(|| unsafe { libc::syncfs(file.as_raw_fd()) }).map(drop)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn flush_system(_: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
        Ok(())
    }

    /// Returns a path in /proc that leads to the open `file`, whatever its name.
    #[cfg(target_os = "linux")]
    pub(in crate::base) fn itself(file: &File) -> io::Result<std::path::PathBuf> {
        Ok(file_name(format_args!("/proc/self/fd/{}", file.as_raw_fd()))?.into())
    }
}

#[cfg(target_os = "linux")]
pub(super) use system::itself;

#[cfg(not(unix))]
mod system {
    use super::{Entry, File, OsStr, Path, descriptor, io};
    use std::path::PathBuf;

    pub(crate) struct Folder {
        path: PathBuf,
    }

    impl Folder {
        pub(crate) fn open(path: &Path) -> io::Result<Folder> {
            let path = std::path::absolute(path)?;
            if std::fs::metadata(&path)?.is_dir() {
                return Ok(Folder { path });
            }
            Err(io::ErrorKind::NotADirectory.into())
        }

        pub(crate) fn try_clone(&self) -> io::Result<Folder> {
            Ok(Folder { path: self.path.clone() })
        }

        pub(crate) fn create(&self, name: &OsStr, _: u32) -> io::Result<File> {
            let path = self.path.join(name);
            descriptor::open(File::options().read(true).write(true).create_new(true), &path)
        }

        pub(crate) fn create_nameless(&self, _: u32) -> io::Result<Option<File>> {
            Ok(None)
        }

        pub(crate) fn name(&self, _: &File, _: &OsStr) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
            std::fs::rename(self.path.join(from), self.path.join(to))
        }

        pub(crate) fn rename_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
            // A link fails if the name exists, whereas a rename replaces the file.
            std::fs::hard_link(self.path.join(from), self.path.join(to))?;
            self.remove(from)
        }

        pub(crate) fn open_file(&self, name: &OsStr, writable: bool) -> io::Result<File> {
            descriptor::open(File::options().read(true).write(writable), &self.path.join(name))
        }

        pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
            std::fs::remove_file(self.path.join(name))
        }

        pub(crate) fn entry(&self, name: &OsStr) -> io::Result<Option<Entry>> {
            match std::fs::metadata(self.path.join(name)) {
                Ok(metadata) => Ok(Some(Entry { metadata })),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        }

        pub(crate) fn to_flush(&self) -> io::Result<ToFlush> {
            Ok(ToFlush)
        }
    }

    /// A folder, which this system does not flush.
    pub(crate) struct ToFlush;

    impl ToFlush {
        pub(crate) fn flush(&self, _: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) fn link(path: &Path, other: &Path) -> io::Result<()> {
        std::fs::hard_link(path, other)
    }
}
