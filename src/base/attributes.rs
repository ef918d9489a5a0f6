//! Attributes of a file besides its bytes: owner, group, mode and, on Linux, access control lists and other
//! extended attributes. A file that replaces another one takes them over.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

/// A failure to take over attributes: the step that failed, as words of an error text, and the system's error.
pub(crate) type Failed = (String, io::Error);

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failed {
    let what = what.into();
    move |error| (what, error)
}

/// Gives `file` the owner, group, extended attributes and mode of the file `model`, whose metadata is `there`.
/// The mode comes last, because a change of owner clears bits of it.
pub(crate) fn take_over(file: &File, model: &File, there: &Metadata) -> Result<(), Failed> {
    let now = file.metadata().map_err(failed("finding its mode"))?;
    // A change may need a right that the process lacks, so that equal values are left alone.
    let differs = |now: u32, wanted: u32| (now != wanted).then_some(wanted);
    let (owner, group) = (differs(now.uid(), there.uid()), differs(now.gid(), there.gid()));
    if owner.is_some() || group.is_some() {
        fchown(file, owner, group).map_err(failed(format!(
            "keeping the owner {} and group {} of the file that it replaces (remove that file first, or choose \
             another name)",
            there.uid(),
            there.gid()
        )))?;
    }
    #[cfg(target_os = "linux")]
    extended::take_over(file, model)?;
    let _ = model;
    let wanted = there.permissions().mode() & 0o7777;
    // The steps above may have changed the mode.
    let now = file.metadata().map_err(failed("finding its mode"))?;
    // File systems without modes refuse to set a mode.
    if now.permissions().mode() & 0o7777 == wanted {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(wanted)).map_err(failed("setting its mode"))?;
    // Linux leaves the set-group-id bit out, and says nothing, if the process is not in the group.
    let set = file.metadata().map_err(failed("finding its mode"))?.permissions().mode() & 0o7777;
    if set == wanted {
        return Ok(());
    }
    let what = format!(
        "keeping the mode {wanted:o} of the file that it replaces, of which the system sets {set:o} (remove that file \
         first, or choose another name)"
    );
    Err(failed(what)(io::Error::from_raw_os_error(libc::EPERM)))
}

#[cfg(target_os = "linux")]
mod extended {
    use super::{Failed, File, failed, io};
    use crate::base::folder::itself;
    use std::ffi::{CStr, CString};
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;

    const ACCESS_LIST: &CStr = c"system.posix_acl_access";

    /// Name prefixes of extended attributes that are computed from the bytes of a file. They are not copied,
    /// because the new file has other bytes.
    const OF_BYTES: [&[u8]; 3] = [b"security.ima", b"security.evm", b"user.verity."];

    /// Maximum number of bytes of an attribute's value, and of the list of attribute names.
    const LONGEST: usize = 64 * 1024;

    pub(super) fn take_over(file: &File, model: &File) -> Result<(), Failed> {
        let names = names(model).map_err(failed("listing the attributes of the file that it replaces"))?;
        let names = || {
            names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        };
        for name in
            names().filter(|name| !OF_BYTES.iter().any(|of_bytes| name.to_bytes().starts_with(of_bytes)))
        {
            let what = |verb: &str| format!("{verb} the attribute {}", name.to_string_lossy());
            let Some(wanted) = value(model, name).map_err(failed(what("reading")))? else { continue };
            // Setting an equal value may be refused, so that it is left alone.
            if value(file, name).map_err(failed(what("reading")))?.as_ref() == Some(&wanted) {
                continue;
            }
            let (target, len) = (file.as_raw_fd(), wanted.len());
            // SAFETY: the descriptor is open, the name ends with a NUL, and there are `len` bytes.
            if unsafe { libc::fsetxattr(target, name.as_ptr(), wanted.as_ptr().cast(), len, 0) } != 0 {
                return Err(failed(what("setting"))(io::Error::last_os_error()));
            }
        }
        // The model has no access list, so that a list which the new file inherited from its folder is
        // removed.
        if !names().any(|name| name == ACCESS_LIST) {
            // SAFETY: the descriptor is open, and the name ends with a NUL.
            if unsafe { libc::fremovexattr(file.as_raw_fd(), ACCESS_LIST.as_ptr()) } != 0 {
                let error = io::Error::last_os_error();
                if !matches!(error.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) {
                    return Err(failed("removing the access list of its folder")(error));
                }
            }
        }
        Ok(())
    }

    /// Returns a path in /proc to the open `file`.
    fn path(file: &File) -> io::Result<CString> {
        CString::new(itself(file)?.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
    }

    /// Returns the names of the extended attributes of `file`, each with a NUL after it.
    fn names(file: &File) -> io::Result<Vec<u8>> {
        let of_file = grown(|out, len| {
            // SAFETY: the descriptor is open, and there is room for `len` bytes.
            unsafe { libc::flistxattr(file.as_raw_fd(), out.cast(), len) }
        });
        let of_path = |path: CString| {
            // SAFETY: the path ends with a NUL, and there is room for `len` bytes.
            grown(|out, len| unsafe { libc::listxattr(path.as_ptr(), out.cast(), len) })
        };
        Ok(or_by_path(file, of_file, of_path)?.unwrap_or_default())
    }

    /// Returns the value of the extended attribute `name` of `file`, or `None` if the file has no such
    /// attribute.
    fn value(file: &File, name: &CStr) -> io::Result<Option<Vec<u8>>> {
        let of_file = grown(|out, len| {
            // SAFETY: the descriptor is open, the name ends with a NUL, and there is room for `len` bytes.
            unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), out.cast(), len) }
        });
        or_by_path(file, of_file, |path| {
            // SAFETY: both texts end with a NUL, and there is room for `len` bytes.
            grown(|out, len| unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), out.cast(), len) })
        })
    }

    /// Returns `found`, unless `file` was opened with O_PATH and gives access to its attributes only by a path.
    fn or_by_path<T>(
        file: &File,
        found: io::Result<T>,
        by_path: impl FnOnce(CString) -> io::Result<T>,
    ) -> io::Result<T> {
        match found {
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => by_path(path(file)?),
            found => found,
        }
    }

    /// Calls `get` with a buffer and its size, a second time with 64 KiB if the first buffer was too small, and
    /// returns the bytes that `get` wrote. `None` if there is no such attribute, or the file system keeps none.
    fn grown(get: impl Fn(*mut u8, usize) -> isize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        // Most values are short. A longer value is asked for again, with room for the longest.
        bytes.try_reserve_exact(256)?;
        loop {
            let len = get(bytes.as_mut_ptr(), bytes.capacity());
            if let Ok(len) = usize::try_from(len) {
                // SAFETY: `get` wrote `len` bytes, and at most the capacity.
                unsafe { bytes.set_len(len.min(bytes.capacity())) };
                return Ok(Some(bytes));
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ENODATA | libc::EOPNOTSUPP | libc::ENOSYS) => return Ok(None),
                Some(libc::ERANGE) if bytes.capacity() < LONGEST => bytes.try_reserve_exact(LONGEST)?,
                Some(libc::EINTR) => {}
                _ => return Err(error),
            }
        }
    }
}
