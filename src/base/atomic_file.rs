//! Files that appear under their name complete or not at all.
//!
//! The bytes go to a temporary file beside the target, which only its owner can read.
//! [`AtomicFile::persist`] gives it the mode of the file that it replaces, or that of a new file, flushes
//! it to the disk, renames it, and flushes the folder; dropping it before removes it.

#![forbid(unsafe_code)]

use crate::base::buffer::is_zero;
use crate::base::error::{AtlasError, Result};
use crate::base::process::Process;
use crate::base::storage::{FileStorage, Storage};
use crate::base::units::TILE_SIZE;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;

pub(crate) struct AtomicFile {
    temporary: Temporary,
    /// The bytes of the temporary file.
    storage: Arc<dyn Storage>,
    target: PathBuf,
}

type TemporaryFile = NamedTempFile<Arc<FileStorage>>;
/// A temporary file that did not get its name.
type Refused = tempfile::PersistError<Arc<FileStorage>>;

/// A temporary file that only the process which made it removes: a forked child that destroys its
/// copy of a handle must not take the parent's file away.
struct Temporary {
    /// `None` once it has its name.
    file: Option<TemporaryFile>,
    process: Process,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.process.is_current()
            && let Some(file) = self.file.take()
        {
            drop(file.into_temp_path().keep());
        }
    }
}

/// Makes the name of a file durable. A file system that cannot flush folders is no failure.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let folder = folder(path);
    let failed = |error| AtlasError::io(format_args!("flushing the folder {}", folder.display()), error);
    match File::open(folder).map_err(failed)?.sync_all() {
        Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Err(failed(error))
        }
        _ => Ok(()),
    }
}

/// The folder of `path`, in a form that can be opened.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Creates a new file beside `target`. With `private` only its owner can read it; otherwise it has the mode
/// of new files.
fn create_beside(target: &Path, private: bool) -> Result<NamedTempFile<Arc<FileStorage>>> {
    // tempfile's error has lost the number of the system's, and names an unknown file.
    let mut refused = None;
    let open = |path: &Path| {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        if private {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        match options.open(path) {
            Ok(file) => Ok(Arc::new(FileStorage::new(file))),
            Err(error) => {
                let again = io::Error::from(error.kind());
                refused = Some(error);
                Err(again)
            }
        }
    };
    let file = tempfile::Builder::new().prefix(".atlas-").suffix(".tmp").make_in(folder(target), open);
    let _ = private;
    file.map_err(|error| {
        let error = refused.unwrap_or(error);
        AtlasError::io(format_args!("creating a temporary file beside {}", target.display()), error)
    })
}

impl AtomicFile {
    pub(crate) fn create(target: &Path) -> Result<AtomicFile> {
        Self::create_on(target, |file| file)
    }

    /// Begins a file whose bytes are read, changed and flushed through the storage that `storage` returns
    /// for the temporary file.
    pub(crate) fn create_on(
        target: &Path,
        storage: impl FnOnce(Arc<FileStorage>) -> Arc<dyn Storage>,
    ) -> Result<AtomicFile> {
        if target.is_dir() {
            return Err(AtlasError::invalid_argument(format!("{} is a directory", target.display())));
        }
        if target.file_name().is_none() {
            let target = target.display();
            return Err(AtlasError::invalid_argument(format!("{target} does not end in the name of a file")));
        }
        // The folder is the one of now, wherever the process goes until the end.
        let target = &std::path::absolute(target)
            .map_err(|error| AtlasError::io(format_args!("finding {}", target.display()), error))?;
        let temporary = create_beside(target, true)?;
        let storage = storage(Arc::clone(temporary.as_file()));
        let temporary = Temporary { file: Some(temporary), process: Process::current() };
        Ok(AtomicFile { temporary, storage, target: target.clone() })
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// STATE in another process than the one that began the file.
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.temporary.process.is_current() {
            return Ok(());
        }
        let target = self.target.display();
        Err(AtlasError::state(format!("the file that becomes {target} is of the process that began it")))
    }

    /// The bytes, which stay there whatever the name of the file.
    pub(crate) fn storage(&self) -> Result<Arc<dyn Storage>> {
        self.check_process()?;
        Ok(Arc::clone(&self.storage))
    }

    /// Cuts the file to `size`, or extends it with zeros.
    pub(crate) fn set_len(&self, size: u64) -> Result<()> {
        self.check_process()?;
        self.storage
            .set_len(size)
            .map_err(|error| self.failed(&format!("setting its length to {size} bytes"), error))
    }

    /// Writes all of `bytes` at `offset`; from any thread.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_process()?;
        self.storage.write_at(offset, bytes).map_err(|error| {
            self.failed(&format!("writing {} bytes at offset {offset}", bytes.len()), error)
                .at_range(offset, bytes.len() as u64)
        })
    }

    /// Writes like [`write_at`](Self::write_at) at a place that is empty so far: zeros become a hole, a
    /// tile's length at a time. [`set_len`](Self::set_len) makes the file long enough at the end.
    pub(crate) fn write_sparse_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let starts = (offset..).step_by(TILE_SIZE);
        let mut parts = starts.zip(bytes.chunks(TILE_SIZE)).filter(|(_, part)| !is_zero(part));
        parts.try_for_each(|(start, part)| self.write_at(start, part))
    }

    /// Gives the file its name, flushed to the disk. On failure it is still temporary.
    pub(crate) fn persist(self) -> std::result::Result<(), Box<(AtomicFile, AtlasError)>> {
        self.persist_by(|temporary, target| temporary.persist(target))
    }

    /// Renames like [`persist`](Self::persist), but fails with EEXIST if a file of this name exists.
    pub(crate) fn persist_new(self) -> std::result::Result<(), Box<(AtomicFile, AtlasError)>> {
        self.persist_by(|temporary, target| temporary.persist_noclobber(target))
    }

    fn persist_by(
        mut self,
        rename: impl FnOnce(TemporaryFile, &Path) -> std::result::Result<Arc<FileStorage>, Refused>,
    ) -> std::result::Result<(), Box<(AtomicFile, AtlasError)>> {
        let flushed = self.check_process().and_then(|()| self.flush());
        if let Err(error) = flushed {
            return Err(Box::new((self, error)));
        }
        let Some(temporary) = self.temporary.file.take() else { return Ok(()) };
        match rename(temporary, &self.target) {
            Ok(_) => {
                // The rename is done. If the folder cannot be flushed (some file systems refuse it), the
                // file is complete under its name all the same.
                if let Ok(folder) = File::open(folder(&self.target)) {
                    drop(folder.sync_all());
                }
                Ok(())
            }
            Err(error) => {
                self.temporary.file = Some(error.file);
                let what = format!("renaming the temporary file to {}", self.target.display());
                let failed = AtlasError::io(what, error.error);
                Err(Box::new((self, failed)))
            }
        }
    }

    /// Sets the mode, and flushes it and the bytes.
    fn flush(&self) -> Result<()> {
        let Some(temporary) = &self.temporary.file else {
            return Err(AtlasError::internal("a temporary file that has its name already"));
        };
        let file = temporary.as_file().file();
        self.take_over_mode(file)?;
        self.storage.sync().map_err(|error| self.failed("flushing it", error))
    }

    /// The mode of the file that the target's name leads to, or of a new file.
    #[cfg(unix)]
    fn take_over_mode(&self, file: &File) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mode = |permissions: std::fs::Permissions| permissions.mode() & 0o777;
        let wanted = match std::fs::metadata(&self.target) {
            Ok(there) => mode(there.permissions()),
            // The process's mask cannot be read without changing it for a moment, under other threads.
            Err(_) => {
                let fresh = create_beside(&self.target, false)?;
                let found = fresh.as_file().file().metadata();
                mode(found.map_err(|error| self.failed("finding its mode", error))?.permissions())
            }
        };
        let now = file.metadata().map_err(|error| self.failed("finding its mode", error))?;
        // File systems without modes refuse to set one.
        if mode(now.permissions()) == wanted {
            return Ok(());
        }
        file.set_permissions(std::fs::Permissions::from_mode(wanted))
            .map_err(|error| self.failed("setting its mode", error))
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "modes are of Unix")]
    fn take_over_mode(&self, _: &File) -> Result<()> {
        Ok(())
    }

    fn failed(&self, what: &str, error: io::Error) -> AtlasError {
        AtlasError::io(format_args!("the temporary file of {}, {what}", self.target.display()), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::base::storage::fakes::FailingStorage;

    #[test]
    fn a_file_appears_complete_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.bin");
        std::fs::write(&path, b"old").unwrap();
        let file = AtomicFile::create(&path).unwrap();
        file.write_at(2, b"new").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let file = AtomicFile::create(&path).unwrap();
        file.set_len(6).unwrap();
        file.write_at(2, b"new").unwrap();
        assert!(file.persist().is_ok());
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0new\0");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_operation_that_fails_leaves_the_older_file_and_no_temporary_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.bin");
        std::fs::write(&path, b"old").unwrap();
        let replace = |nth| {
            let file = AtomicFile::create_on(&path, |file| Arc::new(FailingStorage::new(file, nth)))?;
            file.write_at(2, b"new")?;
            file.write_sparse_at(5, b"er")?;
            file.set_len(9)?;
            file.persist().map_err(|failed| failed.1)
        };
        let operations = [
            "writing 3 bytes at offset 2",
            "writing 2 bytes at offset 5",
            "setting its length to 9 bytes",
            "flushing it",
        ];
        for (nth, operation) in (0..).zip(operations) {
            let error = replace(nth).unwrap_err();
            assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOSPC));
            let begin = format!("the temporary file of {}, {operation}: ", path.display());
            assert!(error.message().starts_with(&begin), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
        replace(4).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0newer\0\0");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_file_takes_the_name_of_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.bin");
        let file = AtomicFile::create(&path).unwrap();
        file.write_at(0, b"new").unwrap();
        std::fs::write(&path, b"there").unwrap();
        let failed = file.persist_new().unwrap_err();
        assert_eq!((failed.1.kind(), failed.1.os_error()), (ErrorKind::Io, libc::EEXIST));
        assert_eq!(std::fs::read(&path).unwrap(), b"there");
        std::fs::remove_file(&path).unwrap();
        assert!(failed.0.persist_new().is_ok());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_flush_that_fails_can_be_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.bin");
        let file = AtomicFile::create_on(&path, |file| Arc::new(FailingStorage::new(file, 1))).unwrap();
        file.write_at(0, b"new").unwrap();
        let failed = file.persist().unwrap_err();
        assert!(!path.exists());
        assert!(failed.0.persist().is_ok());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn zeros_that_are_left_out_are_there_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let mut data = vec![0; 3 * TILE_SIZE + 10];
        (data[TILE_SIZE + 5_000], data[2 * TILE_SIZE - 1]) = (1, 2);
        let file = AtomicFile::create(&path).unwrap();
        for start in [1_000, 0] {
            let end = if start == 0 { 1_000 } else { data.len() };
            file.write_sparse_at(start as u64, &data[start..end]).unwrap();
        }
        assert!(
            std::fs::metadata(file.temporary.file.as_ref().unwrap().path()).unwrap().len()
                <= 2_097_152 + 1_000
        );
        file.set_len(data.len() as u64).unwrap();
        assert!(file.persist().is_ok());
        assert!(std::fs::read(&path).unwrap() == data);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it_before_it_has_its_name_and_then_who_could_before() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let new = dir.path().join("new");
        std::fs::write(&new, b"").unwrap();
        let usual = mode(&new);
        std::fs::remove_file(&new).unwrap();
        // None: there is no such file. A link is replaced, and what it leads to stays.
        for (before, linked) in [
            (None, false),
            (Some(0o600), false),
            (Some(0o640), false),
            (Some(0o664), true),
            (Some(0o600), true),
        ] {
            let (path, old) = (dir.path().join("out"), dir.path().join("old"));
            if let Some(before) = before {
                let real = if linked { &old } else { &path };
                std::fs::write(real, b"old").unwrap();
                std::fs::set_permissions(real, std::fs::Permissions::from_mode(before)).unwrap();
                if linked {
                    std::os::unix::fs::symlink(&old, &path).unwrap();
                }
            }
            let file = AtomicFile::create(&path).unwrap();
            file.write_at(0, b"new").unwrap();
            let temporary = file.temporary.file.as_ref().unwrap().path();
            assert_eq!(mode(temporary), 0o600);
            assert!(file.persist().is_ok());
            assert_eq!(mode(&path), before.unwrap_or(usual));
            assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
            assert_eq!(std::fs::read(&path).unwrap(), b"new");
            if linked {
                assert_eq!(std::fs::read(&old).unwrap(), b"old");
                std::fs::remove_file(&old).unwrap();
            }
            std::fs::remove_file(&path).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn bad_targets_say_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |path: &Path| AtomicFile::create(path).err().unwrap().kind();
        assert_eq!(kind(dir.path()), ErrorKind::InvalidArgument);
        assert_eq!(kind(Path::new("")), ErrorKind::InvalidArgument);
        let error = AtomicFile::create(&dir.path().join("no/such/folder")).err().unwrap();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOENT));
    }
}
