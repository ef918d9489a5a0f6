//! A container file that gets its name once it is complete, with the lock of its writer.
//!
//! A process that is killed before leaves no file of that name, and another process that opens the name finds the lock.

#![forbid(unsafe_code)]

use super::file::ContainerFile;
use super::open::{self, is_blank};
use crate::base::atomic_file::AtomicFile;
use crate::base::error::{AtlasError, Result};
use crate::base::file_lock;
use crate::base::folder::Folder;
use crate::base::storage::{FileId, FileStorage, Storage};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

pub(super) struct Unfinished {
    /// `None` once the file has its name.
    file: Option<AtomicFile>,
    writer: Arc<FileStorage>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // The child of a fork touches neither the file nor its lock, which belong to the parent.
        if self.file.take().is_some_and(|file| file.check_process().is_ok()) {
            file_lock::unlock(self.writer.file());
        }
    }
}

impl Unfinished {
    /// Begins the new container `path`. Fails with IO (EEXIST) if something has this name, UNSUPPORTED if the file system
    /// keeps no lock.
    pub(super) fn create(path: &Path) -> Result<Unfinished> {
        if std::fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
        Self::locked(AtomicFile::create(path)?, path)
    }

    /// Begins the file that will replace the container `target`, which is the file `own`, in its folder under the name
    /// that [`beside`] gives. Fails with UNSUPPORTED if it cannot have the attributes of `own`.
    pub(super) fn create_beside(target: &Path, own: &ContainerFile) -> Result<Unfinished> {
        let name = beside(target.file_name().unwrap_or_default());
        let file = AtomicFile::create_as(target, &name, |folder| {
            let there = folder.entry(target.file_name().unwrap_or_default());
            check_identity(
                there.map(|there| there.and_then(|there| FileId::of(&there.metadata))),
                target,
                own,
            )?;
            remove_left_over(folder, &name, &target.with_file_name(&name), own)
        })?;
        // It is readable by exactly the users who can read the old file.
        file.take_over_attributes_now().map_err(|error| match error.os_error() {
            code @ (libc::EPERM | libc::EACCES | libc::EOPNOTSUPP) => {
                let text = format!("{}; or compact into a new file", error.message());
                AtlasError::unsupported(text).with_os_error(code)
            }
            _ => error,
        })?;
        Self::locked(file, target)
    }

    fn locked(file: AtomicFile, path: &Path) -> Result<Unfinished> {
        if !open::lock_writer(file.file().file(), path, || file.open_again())? {
            file.forget_name();
            let path = path.display();
            return Err(AtlasError::state(format!(
                "{path}: another program replaced the temporary file of the container"
            )));
        }
        Ok(Unfinished { writer: Arc::clone(file.file()), file: Some(file) })
    }

    pub(super) fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.writer) as _
    }

    /// Open file that has the writer's lock.
    pub(super) fn writer(&self) -> &Arc<FileStorage> {
        &self.writer
    }

    /// Gives a new file its name, and leaves it locked. Fails with IO (EEXIST) if something has the name meanwhile. A file whose name could not
    /// be made durable loses it again.
    pub(super) fn name_new(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        file.persist_new().map_err(|failed| {
            let (file, error) = *failed;
            let is_own = file.check_process().is_ok();
            // The name goes first, so that no other writer takes the lock of a file without a name.
            file.withdraw();
            if is_own {
                file_lock::unlock(self.writer.file());
            }
            error
        })
    }

    /// Replaces the container `target`, which is the file `own`. Returns true if the name leads to the new file, even if
    /// its folder could not be flushed, which is the error beside it.
    pub(super) fn replace(mut self, target: &Path, own: &ContainerFile) -> (bool, Result<()>) {
        let Some(file) = &self.file else { return (false, Ok(())) };
        if let Err(error) = check_identity(file.identity_of_target(), target, own) {
            return (false, Err(error));
        }
        let Some(file) = self.file.take() else { return (false, Ok(())) };
        match file.persist() {
            Ok(()) => (true, Ok(())),
            Err(failed) => {
                let (file, error) = *failed;
                let is_named = file.is_named();
                // Without the name it is unfinished, and is dropped as such.
                self.file = Some(file).filter(|_| !is_named);
                (is_named, Err(error))
            }
        }
    }
}

/// The end of the name of a temporary file of a compaction in place, after the name of the container.
const SUFFIX: &str = ".compact";

/// Returns the name of the temporary file of a compaction in place of the container `name`.
pub(super) fn beside(name: &OsStr) -> OsString {
    // The suffix is appended to the whole name, so that two containers never share a temporary name.
    let mut name = name.to_owned();
    name.push(SUFFIX);
    name
}

/// Returns the name of the container for which `name` would be that of a temporary file. `None` if it would be none's.
pub(super) fn without_suffix(name: &OsStr) -> Option<&OsStr> {
    let path = Path::new(name);
    let has_suffix = path.extension().is_some_and(|extension| extension == &SUFFIX[1..]);
    path.file_stem().filter(|_| has_suffix)
}

/// Fails with STATE if the name `target` leads to another file than the container `own`, which a rename would destroy.
fn check_identity(now: std::io::Result<Option<FileId>>, target: &Path, own: &ContainerFile) -> Result<()> {
    let now = now.map_err(|error| AtlasError::io(format_args!("looking at {}", target.display()), error))?;
    let is_own = |now: FileId| own.storage.identity().is_none_or(|own| own == now);
    if now.is_some_and(is_own) || cfg!(not(unix)) {
        return Ok(());
    }
    Err(AtlasError::state(format!(
        "{} is not the file of the container any more, which was renamed, replaced or removed: compact into a new file",
        target.display()
    )))
}

/// Returns the error of creating `path`, whose name something has already.
fn exists(path: &Path) -> AtlasError {
    // The hint names the usual cause. The file is not removed here, because only its owner may do that.
    let hint = if open::is_blank_file(path) {
        " (the file has no bytes but zeros, as an interrupted creation leaves it; remove it)"
    } else {
        ""
    };
    let error = std::io::Error::from_raw_os_error(libc::EEXIST);
    AtlasError::io(format_args!("creating {}{hint}", path.display()), error)
}

/// Removes the temporary file `name` in `folder`, whose path is `path`, that an interrupted compaction of the container
/// `own` left. Fails with STATE if it is open for writing, IO (EEXIST) for any other file of that name.
fn remove_left_over(folder: &Folder, name: &OsStr, path: &Path, own: &ContainerFile) -> Result<()> {
    // If an entry cannot be opened, it does not exist, or the creation that follows fails.
    let Ok(file) = folder.open_file(name, true) else { return Ok(()) };
    let is_file = file.metadata().is_ok_and(|file| file.is_file());
    let file = Arc::new(FileStorage::new(file));
    let storage = Arc::clone(&file) as Arc<dyn Storage>;
    // Only a header of this container, or no bytes but zeros, proves that the file is a left-over, and only the lock that
    // nobody uses it.
    if is_file
        && (is_blank(&*storage) || ContainerFile::open_like(storage, own).is_ok())
        && open::lock_writer(file.file(), path, || folder.open_file(name, true))?
    {
        let removed = folder.remove(name);
        file_lock::unlock(file.file());
        return removed.map_err(|error| AtlasError::io(format_args!("removing {}", path.display()), error));
    }
    let exists = std::io::Error::from_raw_os_error(libc::EEXIST);
    Err(AtlasError::io(format_args!("creating {}", path.display()), exists))
}
