//! Files that appear under their name complete or not at all.
//!
//! The bytes go to a file without a name in the folder of the target, or, if the file system has no such files, to a
//! temporary file that only its owner can read. [`AtomicFile::persist`] gives it the attributes of the file that it
//! replaces, or those of a new file, flushes it to the disk, renames it, and flushes the folder. Dropping an
//! [`AtomicFile`] that was not persisted removes its file.
//!
//! Temporary names are `.atlas-` with 16 hexadecimal digits and `.tmp`. A killed process leaves a temporary
//! file if the file system has no files without names, or if the process dies between naming the file and
//! renaming it.

#![forbid(unsafe_code)]

use crate::base::buffer::{Buffer, is_zero};
use crate::base::descriptor;
use crate::base::error::{AtlasError, Result};
use crate::base::fallible::file_name as file_name_of;
#[cfg(target_os = "linux")]
use crate::base::folder::itself;
use crate::base::folder::{Entry, Folder};
use crate::base::out_bytes::OutBytes;
use crate::base::process::Process;
use crate::base::storage::{FileId, FileStorage, Storage};
use crate::base::units::{TILE_BYTES, TILE_SIZE, to_usize};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct AtomicFile {
    temporary: Temporary,
    /// Storage through which the bytes of the temporary file are read, changed and flushed.
    storage: Arc<dyn Storage>,
    target: PathBuf,
    /// Error number (errno) of a failed flush of the temporary file, or `None`. After such a failure the system
    /// may regard bytes that it lost as written, so that the file is not renamed.
    unflushed: Option<i32>,
    /// True once the temporary file is renamed to `target`, even if its folder could not be flushed yet.
    is_named: bool,
}

/// A temporary file in the folder of the target. Dropping it removes its name, but only in the process that
/// created it: a forked child that destroys its copy of a handle must not remove the parent's file.
struct Temporary {
    folder: Folder,
    file: Arc<FileStorage>,
    /// Temporary name, which the drop removes. `None` for a file that was created without a name, or that has
    /// its final name.
    name: Option<OsString>,
    process: Process,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = self.name.take()
            && self.process.is_current()
        {
            drop(self.folder.remove(&name));
        }
    }
}

/// Returns a random temporary name, which no other file is likely to have. Fails if the system provides no
/// random bytes.
pub fn temporary_name() -> io::Result<OsString> {
    // 64 random bits: process ids and times repeat among the machines that share a folder.
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| {
        error.raw_os_error().map_or_else(|| io::ErrorKind::Other.into(), io::Error::from_raw_os_error)
    })?;
    Ok(file_name_of(format_args!(".atlas-{:016x}.tmp", u64::from_le_bytes(random)))?.into())
}

/// Calls `make` with a random temporary name, and with another name each time that it fails with `AlreadyExists`.
/// Returns the name that `make` accepted, and its result; any other error ends the attempts.
fn with_temporary_name<T>(make: impl Fn(&OsStr) -> io::Result<T>) -> io::Result<(OsString, T)> {
    loop {
        let name = temporary_name()?;
        match make(&name) {
            // A file of another process has the name, so that another name is tried.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|made| (name, made)),
        }
    }
}

impl Temporary {
    /// Creates a temporary file in `folder` that only its owner can read and write, without a name if the system
    /// has such files.
    fn create(folder: Folder) -> io::Result<Temporary> {
        const MODE: u32 = 0o600;
        // A file without a name disappears with its process, so that it is preferred.
        let (name, file) = match folder.create_nameless(MODE)? {
            Some(file) => (None, file),
            None => {
                let (name, file) = with_temporary_name(|name| folder.create(name, MODE))?;
                (Some(name), file)
            }
        };
        Ok(Temporary { folder, file: Arc::new(FileStorage::new(file)), name, process: Process::current() })
    }

    /// Renames the temporary file to `target` in the same folder. An existing `target` is replaced if `replace`
    /// is set; otherwise fails with `AlreadyExists`.
    fn rename(&mut self, target: &OsStr, replace: bool) -> io::Result<()> {
        let name = match self.name.take() {
            Some(name) => name,
            // If nothing may be replaced, a file without a name gets the target's name in a single step.
            None if !replace => return self.folder.name(self.file.file(), target),
            // Only a rename replaces a file, and a rename needs a name.
            None => with_temporary_name(|name| self.folder.name(self.file.file(), name))?.0,
        };
        let renamed =
            if replace { self.folder.rename(&name, target) } else { self.folder.rename_new(&name, target) };
        // Still temporary: the name is removed with the handle.
        if renamed.is_err() {
            self.name = Some(name);
        }
        renamed
    }
}

/// Flushes the folder of the file at `path`, so that the file's name survives a crash. A folder that its file system
/// cannot flush is no failure.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let folder = folder(path);
    Folder::open(folder)
        .and_then(|folder| folder.to_flush()?.flush(|| descriptor::open(File::options().read(true), path)))
        .map_err(|error| AtlasError::io(format_args!("flushing the folder {}", folder.display()), error))
}

/// Returns the parent folder of `path`, which is `.` for a bare file name.
fn folder(path: &Path) -> &Path {
    // A bare name lies in the working folder.
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Returns the file name at the end of `target`. `None` if `target` ends with no name, as in `a/` or `a/.`.
fn file_name(target: &Path) -> Option<&OsStr> {
    let name = target.file_name()?;
    // A path such as `a/` or `a/.` names no file, although `file_name` finds `a`.
    target.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes()).then_some(name)
}

/// Returns the entry `there`, which was looked up at `target`, if a new file may replace it; `None` if there is no
/// entry. Fails if the lookup failed, or if the entry is no regular file: a FIFO, a socket or a device would be
/// destroyed.
fn replaceable(target: &Path, there: io::Result<Option<Entry>>) -> Result<Option<Entry>> {
    let target = target.display();
    let there = there.map_err(|error| AtlasError::io(format_args!("finding the type of {target}"), error))?;
    match &there {
        Some(entry) if entry.metadata.is_dir() => {
            Err(AtlasError::invalid_argument(format!("{target} is a directory")))
        }
        Some(entry) if !entry.metadata.is_file() => Err(AtlasError::invalid_argument(format!(
            "{target} is not a regular file, and only a regular file can be replaced: read the bytes and \
             write them to {target} yourself, or choose another name"
        ))),
        _ => Ok(there),
    }
}

impl AtomicFile {
    pub(crate) fn create(target: &Path) -> Result<AtomicFile> {
        Self::create_on(target, |file| file)
    }

    /// Creates a temporary file that will replace `target`. Its bytes are read, changed and flushed through the
    /// storage that the function `storage` returns for it.
    pub(crate) fn create_on(
        target: &Path,
        storage: impl FnOnce(Arc<FileStorage>) -> Arc<dyn Storage>,
    ) -> Result<AtomicFile> {
        let Some(name) = file_name(target) else {
            let target = target.display();
            return Err(AtlasError::invalid_argument(format!("{target} does not end in the name of a file")));
        };
        // The folder is opened now, so that a later change of the working folder does not matter.
        let failed = |error| {
            AtlasError::io(format_args!("creating a temporary file beside {}", target.display()), error)
        };
        let folder = Folder::open(folder(target)).map_err(failed)?;
        // A target that cannot be replaced is refused before anything is written. It is checked again before
        // the rename.
        replaceable(target, folder.entry(name))?;
        let temporary = Temporary::create(folder).map_err(failed)?;
        let storage = storage(Arc::clone(&temporary.file));
        Ok(AtomicFile { temporary, storage, target: target.to_owned(), unflushed: None, is_named: false })
    }

    /// Creates a temporary file that has the name `temporary` and will replace `target`. `clear` may remove an older file
    /// of this name first. Fails with IO (EEXIST) if there is one.
    pub(crate) fn create_as(
        target: &Path,
        temporary: &OsStr,
        clear: impl FnOnce(&Folder) -> Result<()>,
    ) -> Result<AtomicFile> {
        let failed = |error| {
            let path = target.with_file_name(temporary);
            AtlasError::io(format_args!("creating {}", path.display()), error)
        };
        let folder = Folder::open(folder(target)).map_err(failed)?;
        clear(&folder)?;
        let file = folder.create(temporary, 0o600).map_err(failed)?;
        let (file, name) = (Arc::new(FileStorage::new(file)), Some(temporary.to_owned()));
        let storage: Arc<dyn Storage> = Arc::clone(&file) as _;
        let temporary = Temporary { folder, file, name, process: Process::current() };
        Ok(AtomicFile { temporary, storage, target: target.to_owned(), unflushed: None, is_named: false })
    }

    /// Creates another temporary file in the folder of this one, wherever it was moved.
    pub(crate) fn create_another(&self) -> Result<AtomicFile> {
        let failed = |error| self.failed("creating another one beside it", error);
        let temporary = self.temporary.folder.try_clone().and_then(Temporary::create).map_err(failed)?;
        let storage: Arc<dyn Storage> = Arc::clone(&temporary.file) as _;
        Ok(AtomicFile { temporary, storage, target: self.target.clone(), unflushed: None, is_named: false })
    }

    /// Returns the temporary file itself.
    pub(crate) fn file(&self) -> &Arc<FileStorage> {
        &self.temporary.file
    }

    /// Opens the temporary file a second time, for reading and writing.
    pub(crate) fn open_again(&self) -> io::Result<File> {
        match &self.temporary.name {
            Some(name) => self.temporary.folder.open_file(name, true),
            #[cfg(target_os = "linux")]
            None => {
                let path = itself(self.temporary.file.file())?;
                descriptor::open(File::options().read(true).write(true), &path)
            }
            #[cfg(not(target_os = "linux"))]
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Gives the temporary file the attributes of the target now, and not only when it replaces it.
    pub(crate) fn take_over_attributes_now(&self) -> Result<()> {
        file_name(&self.target).map_or(Ok(()), |name| self.take_over_attributes(name))
    }

    /// Returns the identity of the file that has the target's name now. `None` if there is none, or the system has no
    /// such identities.
    pub(crate) fn identity_of_target(&self) -> io::Result<Option<FileId>> {
        let Some(name) = file_name(&self.target) else { return Ok(None) };
        Ok(self.temporary.folder.entry(name)?.and_then(|entry| FileId::of(&entry.metadata)))
    }

    /// Returns true once the target's name leads to the file, also if the folder could not be flushed.
    pub(crate) fn is_named(&self) -> bool {
        self.is_named
    }

    /// Drops a file whose temporary name leads to another file by now, which stays.
    pub(crate) fn forget_name(mut self) {
        self.temporary.name = None;
    }

    /// Removes the name of a new file whose folder could not be flushed, unless another file has it by now.
    pub(crate) fn withdraw(self) {
        let (there, own) = (self.identity_of_target(), self.temporary.file.identity());
        let is_own = there.is_ok_and(|there| there == own);
        let removes = self.is_named && is_own && self.check_process().is_ok();
        if let Some(name) = file_name(&self.target).filter(|_| removes) {
            drop(self.temporary.folder.remove(name));
        }
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Fails with STATE in any process but the one that created the temporary file, such as a forked child.
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.temporary.process.is_current() {
            return Ok(());
        }
        let target = self.target.display();
        Err(AtlasError::state(format!(
            "the temporary file of {target} belongs to the process that created it: after a fork only the \
             parent can write it"
        )))
    }

    /// Returns the storage of the temporary file, which stays usable after the file gets its final name. Fails
    /// with STATE in a forked child.
    pub(crate) fn storage(&self) -> Result<Arc<dyn Storage>> {
        self.check_process()?;
        Ok(Arc::clone(&self.storage))
    }

    /// Cuts the temporary file to `size` bytes, or extends it with zeros.
    pub(crate) fn set_len(&self, size: u64) -> Result<()> {
        self.check_process()?;
        self.storage
            .set_len(size)
            .map_err(|error| self.failed(&format!("setting its length to {size} bytes"), error))
    }

    /// Writes all of `bytes` to the temporary file at `offset`. Any thread may call it.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_process()?;
        self.storage.write_at(offset, bytes).map_err(|error| {
            self.failed(&format!("writing {} bytes at offset {offset}", bytes.len()), error)
                .at_range(offset, bytes.len() as u64)
        })
    }

    /// Writes like [`write_at`](Self::write_at), but in pieces of 1 MiB, and skips pieces of zeros, so that they stay
    /// holes of the file. The caller must not have written to the range yet. A skipped piece at the end does not
    /// extend the file: [`set_len`](Self::set_len) does.
    pub(crate) fn write_sparse_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut parts = tiles_of(offset, bytes).filter(|(_, part)| !is_zero(part));
        parts.try_for_each(|(start, part)| self.write_at(start, part))
    }

    /// If a flush failed, continues with a new temporary file and copies all bytes to it, because the system may
    /// regard bytes that it lost as written. The caller must check the copied bytes, because lost bytes are not
    /// recovered.
    pub(crate) fn renew(&mut self) -> Result<()> {
        if self.unflushed.is_none() {
            return Ok(());
        }
        let failed = |error| self.failed("restarting the file after a failed flush", error);
        let fresh = self.create_another()?;
        let size = self.storage.len().map_err(failed)?;
        let mut buffer = Buffer::new(TILE_SIZE)?;
        // The system may have dropped bytes that it could not write, and then returns older bytes of the
        // disk: the caller checks all bytes.
        for offset in (0..size).step_by(TILE_SIZE) {
            let part = &mut buffer[..to_usize((size - offset).min(TILE_BYTES))];
            self.storage.read_at(offset, OutBytes::new(part)).map_err(failed)?;
            fresh.write_sparse_at(offset, part)?;
        }
        // Zeros at the end are not written.
        fresh.set_len(size)?;
        *self = fresh;
        Ok(())
    }

    /// Flushes the temporary file and renames it to the target, which it replaces. On failure returns the file
    /// with the error: it is still temporary, unless only its folder could not be flushed.
    pub(crate) fn persist(self) -> std::result::Result<(), Box<(AtomicFile, AtlasError)>> {
        self.persist_by(true)
    }

    /// Flushes and renames like [`persist`](Self::persist), but fails with EEXIST if the target exists.
    pub(crate) fn persist_new(self) -> std::result::Result<(), Box<(AtomicFile, AtlasError)>> {
        self.persist_by(false)
    }

    fn persist_by(mut self, replace: bool) -> std::result::Result<(), Box<(AtomicFile, AtlasError)>> {
        match self.give_name(replace) {
            Ok(()) => Ok(()),
            // The caller gets the file back, to try again or to drop it.
            Err(error) => Err(Box::new((self, error))),
        }
    }

    fn give_name(&mut self, replace: bool) -> Result<()> {
        self.check_process()?;
        let target = self.target.display();
        let Some(name) = file_name(&self.target) else {
            return Err(AtlasError::internal(format!(
                "a defect of the library, please report it: the target {target} has no file name"
            )));
        };
        // The folder is opened before the name changes, so that only its flush can fail afterwards.
        let folder =
            self.temporary.folder.to_flush().map_err(|error| {
                AtlasError::io(format!("opening the folder of {target} to flush it"), error)
            })?;
        // After a failed flush of the folder, a second call only repeats that flush.
        if !self.is_named {
            // Attributes come before the flush, which makes them durable too.
            self.take_over_attributes(name)?;
            let renaming = |error| AtlasError::io(format!("renaming the temporary file to {target}"), error);
            // After a failed flush the system may report success without having written the bytes.
            if let Some(code) = self.unflushed {
                return Err(self.failed(
                    "an earlier flush failed and may have lost bytes: write the file again from its first \
                     byte",
                    io::Error::from_raw_os_error(code),
                ));
            }
            if let Err(error) = self.storage.sync() {
                self.unflushed = Some(error.raw_os_error().unwrap_or(libc::EIO));
                return Err(self.failed("flushing it", error));
            }
            // The bytes are on the disk before a name leads to them.
            self.temporary.rename(name, replace).map_err(renaming)?;
            self.is_named = true;
        } else if cfg!(unix)
            && self.identity_of_target().map_err(|error| self.failed("finding it", error))?
                != self.temporary.file.identity()
        {
            // The name that a call before has given was taken away.
            return Err(self.failed(
                "which had the name already, has lost it to another program, and its bytes have no name now",
                io::Error::from_raw_os_error(libc::ESTALE),
            ));
        }
        // The name is durable only after this.
        folder.flush(|| self.temporary.file.file().try_clone()).map_err(|error| {
            AtlasError::io(
                format!("flushing the folder of {target} (the name already leads to the new bytes)"),
                error,
            )
        })
    }

    fn take_over_attributes(&self, name: &OsStr) -> Result<()> {
        inherit(self.temporary.file.file(), &self.temporary.folder, name, &self.target)
    }

    fn failed(&self, what: &str, error: io::Error) -> AtlasError {
        failed(&self.target, what, error)
    }
}

/// Divides `bytes`, which begin at `offset` of a file, into parts of 1 MiB. Returns them with their offsets.
pub(crate) fn tiles_of(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    // The offset after the last part may not exist.
    (0..).zip(bytes.chunks(TILE_SIZE)).map(move |(index, part)| (offset + index * TILE_BYTES, part))
}

fn failed(target: &Path, what: &str, error: io::Error) -> AtlasError {
    AtlasError::io(format_args!("the temporary file of {}, {what}", target.display()), error)
}

/// Gives `file`, a temporary file in the folder of `target`, the attributes of the file `target` that it will
/// replace (links are followed), or those of any new file in the folder if there is none. Fails if one of them cannot
/// be kept, or if `target` is no regular file.
pub fn inherit_attributes(file: &File, target: &Path) -> Result<()> {
    let finding = |error| failed(target, "opening its folder", error);
    let name = file_name(target).ok_or_else(|| finding(io::ErrorKind::InvalidInput.into()))?;
    inherit(file, &Folder::open(folder(target)).map_err(finding)?, name, target)
}

/// Gives `file` attributes like [`inherit_attributes`]. `target` has the name `name` in `folder`.
#[cfg(unix)]
fn inherit(file: &File, folder: &Folder, name: &OsStr, target: &Path) -> Result<()> {
    use crate::base::attributes::take_over;
    let done = match replaceable(target, folder.entry(name))? {
        // The attributes of the entry itself are reached through /proc, which a system may lack.
        #[cfg(target_os = "linux")]
        Some(there) if !itself(&there.file).is_ok_and(|path| path.exists()) => {
            let model = folder.read_entry(name, &there);
            let model = model.map_err(|error| failed(target, "opening the file that it replaces", error))?;
            take_over(file, &model, &there.metadata)
        }
        Some(there) => take_over(file, &there.file, &there.metadata),
        // Reading the umask means changing it for a moment, for all threads, and the folder may have a
        // default access control list. Therefore a file is made as any program would make it, and its
        // attributes are copied.
        None => {
            let failed = |error| failed(target, "finding the mode of a new file", error);
            let fresh = fresh_file(folder).map_err(failed)?;
            let metadata = fresh.metadata().map_err(failed)?;
            take_over(file, &fresh, &metadata)
        }
    };
    done.map_err(|(what, error)| failed(target, &what, error))
}

#[cfg(not(unix))]
fn inherit(_: &File, folder: &Folder, name: &OsStr, target: &Path) -> Result<()> {
    replaceable(target, folder.entry(name)).map(drop)
}

/// Creates an empty file without a name, which has the attributes that any new file in `folder` gets.
#[cfg(unix)]
fn fresh_file(folder: &Folder) -> io::Result<File> {
    const MODE: u32 = 0o666;
    if let Some(file) = folder.create_nameless(MODE)? {
        return Ok(file);
    }
    let (name, file) = with_temporary_name(|name| folder.create(name, MODE))?;
    // Only the attributes of the new file are needed, and not the file.
    folder.remove(&name)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_may_end_where_no_offset_is() {
        let bytes = [7; TILE_SIZE + 5];
        let start = u64::MAX - (TILE_SIZE as u64 + 4);
        let parts: Vec<_> = tiles_of(start, &bytes).map(|(offset, part)| (offset, part.len())).collect();
        assert_eq!(parts, [(start, TILE_SIZE), (u64::MAX - 4, 5)]);
        assert_eq!(tiles_of(u64::MAX, &[]).count(), 0);
    }
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
        // The Windows error is `ERROR_ALREADY_EXISTS`.
        let exists = if cfg!(windows) { 183 } else { libc::EEXIST };
        assert_eq!((failed.1.kind(), failed.1.os_error()), (ErrorKind::Io, exists));
        assert_eq!(std::fs::read(&path).unwrap(), b"there");
        std::fs::remove_file(&path).unwrap();
        assert!(failed.0.persist_new().is_ok());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// Linux reports a page that it could not write once, and takes it for clean from then on.
    #[test]
    fn after_a_flush_that_failed_all_bytes_are_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.bin");
        let file = AtomicFile::create_on(&path, |file| Arc::new(FailingStorage::new(file, 2))).unwrap();
        file.write_at(0, b"new").unwrap();
        file.set_len(TILE_BYTES + 5).unwrap();
        let (file, error) = *file.persist().unwrap_err();
        assert_eq!(error.os_error(), libc::ENOSPC);
        assert!(!path.exists());
        let (mut file, error) = *file.persist().unwrap_err();
        assert_eq!(error.os_error(), libc::ENOSPC);
        assert!(error.message().contains("an earlier flush failed"), "{error}");
        let before = file.storage.identity();
        file.renew().unwrap();
        assert!(before.is_some_and(|before| Some(before) != file.storage.identity()) || before.is_none());
        assert!(file.persist().is_ok());
        let read = std::fs::read(&path).unwrap();
        assert_eq!((read.len(), &read[..4]), (TILE_SIZE + 5, &b"new\0"[..]));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_written_again_stays_in_its_folder_wherever_that_was_moved() {
        let dir = tempfile::tempdir().unwrap();
        let (before, after) = (dir.path().join("before"), dir.path().join("after"));
        std::fs::create_dir(&before).unwrap();
        let path = before.join("out.bin");
        let file = AtomicFile::create_on(&path, |file| Arc::new(FailingStorage::new(file, 1))).unwrap();
        file.write_at(0, b"new").unwrap();
        let (mut file, _) = *file.persist().unwrap_err();
        std::fs::rename(&before, &after).unwrap();
        std::fs::create_dir(&before).unwrap();
        file.renew().unwrap();
        assert!(file.persist().is_ok());
        assert_eq!(std::fs::read(after.join("out.bin")).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&before).unwrap().count(), 0);
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
        assert!(file.temporary.file.len().unwrap() <= 2_097_152 + 1_000);
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
        // `None` means that there is no such file. A link is replaced, and its target stays.
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
            let temporary = file.temporary.file.file().metadata().unwrap();
            assert_eq!(temporary.permissions().mode() & 0o777, 0o600);
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
        assert_eq!(kind(&dir.path().join("out/")), ErrorKind::InvalidArgument);
        let error = AtomicFile::create(&dir.path().join("no/such/folder")).err().unwrap();
        // The Windows error is `ERROR_PATH_NOT_FOUND`.
        let absent = if cfg!(windows) { 3 } else { libc::ENOENT };
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, absent));
    }
}
