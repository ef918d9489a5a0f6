//! Files that appear under their name complete or not at all.
//!
//! The bytes go to a temporary file beside the target. [`AtomicFile::persist`] flushes it to the
//! disk, renames it, and flushes the folder; dropping it before removes it.

#![forbid(unsafe_code)]

use crate::error::{AtlasError, Result};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

pub(crate) struct AtomicFile {
    temporary: NamedTempFile<File>,
    target: PathBuf,
}

/// The folder of `path`, in a form that can be opened.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl AtomicFile {
    pub(crate) fn create(target: &Path) -> Result<AtomicFile> {
        if target.file_name().is_none() || target.is_dir() {
            return Err(AtlasError::invalid_argument(format!("{} is no name for a file", target.display())));
        }
        // What tempfile makes of an error has lost its number, and names a file that nobody knows.
        let mut refused = None;
        let open = |path: &Path| {
            let mut options = File::options();
            options.read(true).write(true).create_new(true);
            options.open(path).map_err(|error| {
                let again = io::Error::from(error.kind());
                refused = Some(error);
                again
            })
        };
        let temporary =
            tempfile::Builder::new().prefix(".atlas-").suffix(".tmp").make_in(folder(target), open);
        let temporary = temporary.map_err(|error| {
            let what = format_args!("creating a temporary file beside {}", target.display());
            AtlasError::io(what, refused.unwrap_or(error))
        })?;
        Ok(AtomicFile { temporary, target: target.to_owned() })
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Extends the file with zeros to `size`.
    pub(crate) fn set_len(&self, size: u64) -> Result<()> {
        let file = self.temporary.as_file();
        file.set_len(size).map_err(|error| self.failed(&format!("extending it to {size} bytes"), error))
    }

    /// Writes all of `bytes` at `offset`; from any thread.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        write_all_at(self.temporary.as_file(), offset, bytes).map_err(|error| {
            self.failed(&format!("writing {} bytes at offset {offset}", bytes.len()), error)
                .at_range(offset, bytes.len() as u64)
        })
    }

    /// A second handle on the file, which stays valid whatever its name.
    pub(crate) fn reopen(&self) -> Result<File> {
        self.temporary.as_file().try_clone().map_err(|error| self.failed("opening it again", error))
    }

    /// Gives the file its name, flushed to the disk. On failure it is still temporary.
    pub(crate) fn persist(self) -> std::result::Result<(), Box<(AtomicFile, AtlasError)>> {
        if let Err(error) = self.temporary.as_file().sync_all() {
            let error = self.failed("flushing it", error);
            return Err(Box::new((self, error)));
        }
        let target = self.target;
        match self.temporary.persist(&target) {
            Ok(_) => {
                // The rename is done; where the folder cannot be flushed (some file systems refuse
                // to) the file is complete under its name all the same.
                if let Ok(folder) = File::open(folder(&target)) {
                    drop(folder.sync_all());
                }
                Ok(())
            }
            Err(error) => {
                let what = format!("renaming the temporary file to {}", target.display());
                let failed = AtlasError::io(what, error.error);
                Err(Box::new((AtomicFile { temporary: error.file, target }, failed)))
            }
        }
    }

    fn failed(&self, what: &str, error: io::Error) -> AtlasError {
        AtlasError::io(format_args!("the temporary file of {}, {what}", self.target.display()), error)
    }
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
                offset += written as u64;
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

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
    fn bad_targets_say_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |path: &Path| AtomicFile::create(path).err().unwrap().kind();
        assert_eq!(kind(dir.path()), ErrorKind::InvalidArgument);
        assert_eq!(kind(Path::new("")), ErrorKind::InvalidArgument);
        let error = AtomicFile::create(&dir.path().join("no/such/folder")).err().unwrap();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, libc::ENOENT));
    }
}
