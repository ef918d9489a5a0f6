//! Output of a run: result lines, and files that appear complete or not at all.

use crate::names;
use crate::status::{Failure, Res, Status};
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Writer to standard output. Once the reader of the output has closed it, everything written is discarded
/// without an error.
pub(crate) struct Out {
    is_closed: bool,
}

impl Out {
    pub(crate) fn new() -> Out {
        Out { is_closed: false }
    }

    /// Returns true once a write has failed because the reader closed standard output.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Writes all of `bytes` to standard output and flushes it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Res<()> {
        if self.is_closed {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::new(Status::Io, format!("writing to standard output: {error}"))),
        }
    }
}

/// Fails if standard output is a terminal, which the bytes of a file may garble.
pub(crate) fn refuse_terminal() -> Res<()> {
    if !io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Failure::usage("standard output is a terminal, which the bytes of a file may garble")
        .with_hint("send them to a file with -o FILE, or to another program with |"))
}

/// Returns true if `a` and `b` describe the same file.
pub(crate) fn same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Returns true if both names lead to one file.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    let look = fs::symlink_metadata;
    look(a).is_ok_and(|a| look(b).is_ok_and(|b| same_file(&a, &b)))
}

/// Returns true if `path` names anything: a file, a folder, or a link, even if its target is missing.
pub(crate) fn exists(path: &Path) -> Res<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::io("looking at", path, &error)),
    }
}

/// Fails if the name of an output is `-`, because the file or folder cannot be written to standard output.
pub(crate) fn refuse_stdout(target: &Path) -> Res<()> {
    if !names::is_dash(target) {
        return Ok(());
    }
    Err(Failure::usage(
        "this output cannot go to standard output, because it is written under a temporary name and \
         renamed when it is complete",
    )
    .with_hint("name the file with -o NAME; write ./- for a file with the name -"))
}

/// Checks, before the work begins, that the output file `target` can be written.
///
/// The name must be free, or, with `force`, belong to a regular file that is not an input. The folder must be
/// writable.
pub(crate) fn check_target(target: &Path, force: bool, inputs: &[&Path]) -> Res<()> {
    refuse_stdout(target)?;
    let name = names::shown(target);
    if target.file_name().is_none() {
        return Err(Failure::usage(format!(
            "the output {name} is not the name of a file: give it another name"
        )));
    }
    if exists(target)? {
        let there = match fs::metadata(target) {
            Ok(metadata) => Some(metadata),
            // A link may lead nowhere.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::io("looking at", target, &error)),
        };
        if let Some(metadata) = there {
            for input in inputs {
                if fs::metadata(input).is_ok_and(|input| same_file(&input, &metadata)) {
                    return Err(Failure::usage(format!("{name} is the input, and would be overwritten"))
                        .with_hint("give the output another name; -f does not help here"));
                }
            }
            if metadata.is_dir() {
                return Err(Failure::usage(format!(
                    "{name} is a folder, and the output is a file: give it another name"
                )));
            }
            if !metadata.is_file() {
                return Err(Failure::usage(format!("the output {name} exists, and is not a regular file"))
                    .with_hint("give the output the name of a file"));
            }
        }
        if !force {
            return Err(Failure::new(Status::Exists, format!("{name} exists"))
                .with_hint("-f replaces it, or give another name with -o"));
        }
    }
    let folder = names::folder(target);
    let metadata = fs::metadata(folder).map_err(|error| Failure::io("opening the folder", folder, &error))?;
    if !metadata.is_dir() {
        return Err(Failure::new(
            Status::Io,
            format!("{} is not a folder, so that the output cannot be written there", names::shown(folder)),
        ));
    }
    if !is_writable(folder) {
        let error = io::Error::last_os_error();
        return Err(
            Failure::io("writing to the folder", folder, &error).with_hint("name a writable place with -o")
        );
    }
    Ok(())
}

fn is_writable(folder: &Path) -> bool {
    let Ok(folder) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    // SAFETY: the argument is a C string, which is only read.
    unsafe { libc::access(folder.as_ptr(), libc::W_OK | libc::X_OK) == 0 }
}

/// Output file that is written under a temporary name in the folder of its target, and renamed when it is
/// complete. Dropping it earlier removes it.
#[derive(Debug)]
pub(crate) struct Staged {
    temporary: PathBuf,
    target: PathBuf,
    force: bool,
}

impl Staged {
    /// Checks the target with `check_target` and chooses a free temporary name in its folder. Creates no file.
    pub(crate) fn new(target: &Path, force: bool, inputs: &[&Path]) -> Res<Staged> {
        check_target(target, force, inputs)?;
        loop {
            let name = atlas_manifold::temporary_name()
                .map_err(|error| Failure::io("choosing a temporary name beside", target, &error))?;
            let temporary = names::folder(target).join(name);
            if !exists(&temporary)? {
                let target_text = names::shown(target);
                let mut known = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
                known.push((temporary.display().to_string(), target_text));
                return Ok(Staged { temporary, target: target.to_owned(), force });
            }
        }
    }

    /// Returns the path of the temporary file.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Returns the final path of the output.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Creates the temporary file, which only its owner can read, and opens it to read and write.
    pub(crate) fn create(&self) -> Res<File> {
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.temporary)
            .map_err(|error| Failure::io("creating a temporary file beside", &self.target, &error))
    }

    /// Gives the temporary file the attributes of the file that it replaces, flushes it, renames it to the target, and
    /// flushes the folder, so that the output survives a crash.
    pub(crate) fn finish(self) -> Res<()> {
        let target = self.target.clone();
        self.prepare()?;
        self.rename()?;
        sync_folder(&target)
    }

    /// Gives the temporary file its attributes and renames it to the target. The output survives a crash only after
    /// a call of `sync_file_system`.
    pub(crate) fn finish_unsynced(self) -> Res<()> {
        self.inherit()?;
        self.rename()
    }

    /// Gives the temporary file the owner, group, mode, access list and extended attributes of the file that it will
    /// replace, or those of any new file, and flushes it. Fails if one of them cannot be kept: nothing is replaced yet.
    pub(crate) fn prepare(&self) -> Res<()> {
        let failed = |error| Failure::io("flushing the temporary file of", &self.target, &error);
        self.inherit()?.sync_all().map_err(failed)
    }

    fn inherit(&self) -> Res<File> {
        let opened = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&self.temporary);
        let file = opened
            .map_err(|error| Failure::io("opening the finished temporary file of", &self.target, &error))?;
        atlas_manifold::inherit_attributes(&file, &self.target)?;
        Ok(file)
    }

    /// Renames the temporary file to the target, with the attributes that it has.
    pub(crate) fn rename(self) -> Res<()> {
        self.try_rename()
    }

    /// Renames like `rename`. If that fails, the temporary file stays, and the failure names it.
    pub(crate) fn rename_or_leave(mut self) -> Res<()> {
        self.try_rename().map_err(|failure| {
            // The drop then finds no file to remove.
            let left = std::mem::take(&mut self.temporary);
            forget(&left);
            failure.with_hint(format!("the bytes are in {}", names::shown(&left)))
        })
    }

    fn try_rename(&self) -> Res<()> {
        let renamed = if self.force {
            fs::rename(&self.temporary, &self.target)
        } else {
            rename_to_free(&self.temporary, &self.target)
        };
        renamed.map_err(|error| Failure::io("renaming the finished temporary file to", &self.target, &error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After `finish` there is no temporary file.
        drop(fs::remove_file(&self.temporary));
        forget(&self.temporary);
    }
}

/// Removes the temporary name `path` from [`NAMES`].
fn forget(path: &Path) {
    let name = path.display().to_string();
    NAMES.lock().unwrap_or_else(PoisonError::into_inner).retain(|(temporary, _)| *temporary != name);
}

/// Temporary names in use, each with the final name of the file. Messages show the final name.
static NAMES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Replaces each temporary name in a message of the library by "the temporary file of" and the final name of the
/// output.
pub(crate) fn with_targets(message: &str) -> String {
    let known = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut message = message.to_owned();
    for (temporary, target) in known.iter() {
        // For some outputs the library makes a temporary file of its own, which messages name after this
        // temporary file.
        message = message.replace(&format!("the temporary file of {temporary}"), temporary);
        message = message.replace(temporary, &format!("the temporary file of {target}"));
    }
    message
}

/// Renames `from` to `to`. Fails with `AlreadyExists` if `to` exists. If neither renameat2 nor links are available,
/// a file that appears under the name `to` during the call is replaced.
pub(crate) fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from);
    let (old, new) = (name(from)?, name(to)?);
    let here = libc::AT_FDCWD;
    // SAFETY: both names are C strings, which are only read.
    let done = unsafe { libc::renameat2(here, old.as_ptr(), here, new.as_ptr(), libc::RENAME_NOREPLACE) };
    if done == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::ENOTSUP)) {
        return Err(error);
    }
    // If the system lacks renameat2, a link is made, which never replaces a file. If the file system has no
    // links, the name is only checked before the rename.
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(_) if fs::symlink_metadata(to).is_ok() => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Gives the file at `path` the name `kept` too. If `replace` is set, an older file of that name is replaced in one
/// step. Returns true if the file system has no links, so that the file has lost its first name.
pub(crate) fn keep(path: &Path, kept: &Path, replace: bool) -> Res<bool> {
    // A rename replaces an older file in one step, and a link replaces none.
    let second = Staged::new(kept, replace, &[])?;
    if fs::hard_link(path, second.path()).is_ok() {
        second.rename()?;
        return Ok(false);
    }
    let moved = if replace { fs::rename(path, kept) } else { rename_to_free(path, kept) };
    moved.map_err(|error| Failure::io("keeping the damaged file as", kept, &error))?;
    Ok(true)
}

/// Flushes the folder of `path`, so that a new name in it survives a crash. Does nothing if the file system
/// cannot flush folders.
pub(crate) fn sync_folder(path: &Path) -> Res<()> {
    let folder = names::folder(path);
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Err(Failure::io("flushing the folder", folder, &error))
        }
        _ => Ok(()),
    }
}

/// Flushes the file system of `folder`, so that all files on it survive a crash.
pub(crate) fn sync_file_system(folder: &Path) -> Res<()> {
    use std::os::fd::AsRawFd;
    let failed = |error| Failure::io("flushing", folder, &error);
    let opened = File::open(folder).map_err(failed)?;
    // SAFETY: the descriptor is open.
    if unsafe { libc::syncfs(opened.as_raw_fd()) } == 0 {
        return Ok(());
    }
    Err(failed(io::Error::last_os_error()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_file_that_cannot_get_its_name_is_left_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("kept");
        let staged = Staged::new(&target, true, &[]).unwrap();
        let temporary = staged.path().to_owned();
        fs::write(&temporary, "bytes").unwrap();
        fs::create_dir(&target).unwrap();
        let failure = staged.rename_or_leave().unwrap_err();
        let name = temporary.file_name().unwrap().to_string_lossy().into_owned();
        assert!(failure.hint.unwrap().contains(&name));
        assert_eq!(fs::read(&temporary).unwrap(), b"bytes");
    }

    #[test]
    fn a_file_that_is_kept_has_its_own_name_until_it_is_replaced() {
        for replace in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let [path, kept] = ["file", "kept"].map(|name| folder.path().join(name));
            fs::write(&path, "damaged").unwrap();
            fs::write(&kept, "older").unwrap();
            assert_eq!(keep(&path, &kept, replace).is_ok(), replace);
            assert_eq!(fs::read(&path).unwrap(), b"damaged");
            assert_eq!(fs::read(&kept).unwrap(), if replace { &b"damaged"[..] } else { b"older" });
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }
}
