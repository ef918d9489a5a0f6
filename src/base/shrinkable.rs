//! Detection of files that cannot become shorter while they are mapped, which would end the process that
//! reads them.
//!
//! Linux guarantees this in three cases:
//!
//! - The file is in memory and sealed against shrinking (`F_SEAL_SHRINK`). A seal is permanent.
//! - The file system of the file is mounted read-only as a whole, and is of a kind that no other machine and
//!   no other mount writes to. A read-only mount of a file system that is otherwise writable is no such
//!   guarantee.
//! - The file is immutable, on ext4. Other file systems let a descriptor that was already open for writing
//!   shorten an immutable file.
//!
//! An administrator can end the last two guarantees, and must not do so while files are in use.

use std::fs::File;

/// Returns true if no process can shorten `file`. False if that is unknown.
#[cfg(target_os = "linux")]
pub(crate) fn cannot_shrink(file: &File) -> bool {
    is_sealed(file) || is_immutable(file) || is_on_read_only_system(file)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn cannot_shrink(_: &File) -> bool {
    false
}

#[cfg(target_os = "linux")]
use linux::{is_immutable, is_on_read_only_system, is_sealed};

#[cfg(target_os = "linux")]
mod linux {
    use super::File;
    use crate::base::descriptor::beside_standard_streams;
    use crate::base::file_system;
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;

    pub(super) fn is_sealed(file: &File) -> bool {
        // SAFETY: the descriptor is open, and the call only returns its seals.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        seals != -1 && seals & libc::F_SEAL_SHRINK != 0
    }

    pub(super) fn is_immutable(file: &File) -> bool {
        const IMMUTABLE: u64 = 0x10;
        file_system::kind_of(file).is_ok_and(|kind| kind == file_system::EXT4)
            && status_of(file, 0).is_some_and(|status| status.stx_attributes & IMMUTABLE != 0)
    }

    pub(super) fn is_on_read_only_system(file: &File) -> bool {
        // The cheaper checks come first, so that the mounts are read for few files only.
        if !is_mounted_read_only(file) || !file_system::is_local(file) {
            return false;
        }
        let mounts = || beside_standard_streams(|| std::fs::read_to_string("/proc/self/mountinfo")).ok();
        mount_of(file).is_some_and(|mount| mounts().is_some_and(|mounts| is_system_read_only(&mounts, mount)))
    }

    /// Returns true if the file system of `file`, or the mount through which it was opened, is read-only.
    fn is_mounted_read_only(file: &File) -> bool {
        let mut found = MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: the descriptor is open, and `found` has room for the struct, which the call has filled if
        // it returns 0.
        unsafe {
            libc::fstatvfs(file.as_raw_fd(), found.as_mut_ptr()) == 0
                && found.assume_init().f_flag & libc::ST_RDONLY != 0
        }
    }

    fn status_of(file: &File, mask: libc::c_uint) -> Option<libc::statx> {
        let mut status = MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: the descriptor is open, the path is empty, and `status` has room for the struct.
        let told = unsafe {
            // musl 1.2.3 has no `statx`.
            let (file, path, flags) = (file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH);
            libc::syscall(libc::SYS_statx, file, path, flags, mask, status.as_mut_ptr())
        };
        // SAFETY: `statx` is a struct of integers, so that zeros are a valid value; the call overwrites the
        // fields that it knows.
        (told == 0).then(|| unsafe { status.assume_init() })
    }

    /// Returns the number of the mount through which `file` was opened. `None` if the system does not report it.
    fn mount_of(file: &File) -> Option<u64> {
        /// Bit that asks statx for the number of the mount (STATX_MNT_ID), since Linux 5.8.
        const MOUNT: libc::c_uint = 0x1000;
        let status = status_of(file, MOUNT)?;
        // A system that does not know the number leaves its bit unset.
        (status.stx_mask & MOUNT != 0).then_some(status.stx_mnt_id)
    }

    /// Returns true if the file system of the mount number `mount` is read-only as a whole, by the text `mounts`
    /// of `/proc/self/mountinfo`. The options of the file system are the last field, after ` - `, its kind and
    /// its device.
    pub(super) fn is_system_read_only(mounts: &str, mount: u64) -> bool {
        let line = mounts
            .lines()
            .find(|line| line.split(' ').next().and_then(|number| number.parse().ok()) == Some(mount));
        // The options before the dash are those of the mount alone.
        let options =
            line.and_then(|line| line.split_once(" - ")).and_then(|(_, rest)| rest.split(' ').nth(2));
        options.is_some_and(|options| options.split(',').any(|option| option == "ro"))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::{AsRawFd, FromRawFd};

    #[test]
    fn a_seal_against_shrinking_counts_and_no_other() {
        for (seals, fixed) in [
            (0, false),
            (libc::F_SEAL_GROW, false),
            (libc::F_SEAL_WRITE | libc::F_SEAL_GROW, false),
            (libc::F_SEAL_SEAL, false),
            (libc::F_SEAL_SHRINK, true),
            (libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE, true),
        ] {
            // SAFETY: a new file in memory.
            let fd = unsafe { libc::memfd_create(c"sealed".as_ptr(), libc::MFD_ALLOW_SEALING) };
            assert!(fd >= 0);
            // SAFETY: the descriptor that was just opened.
            let mut file = unsafe { File::from_raw_fd(fd) };
            file.write_all(&[7; 5_000]).unwrap();
            // SAFETY: the descriptor is open.
            assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
            assert_eq!(cannot_shrink(&file), fixed, "{seals:x}");
            assert_eq!(file.set_len(10).is_err(), fixed, "{seals:x}");
        }
        let plain = tempfile::tempfile().unwrap();
        assert!(!cannot_shrink(&plain));
    }

    #[test]
    fn a_mount_that_is_read_only_is_no_read_only_file_system() {
        let mounts = "\
            21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
            22 21 254:0 /data /view ro,relatime - ext4 /dev/vda rw,discard,errors=remount-ro\n\
            23 21 7:0 / /image\\040x ro,relatime shared:2 master:3 - squashfs /dev/loop0 ro,errors=continue\n\
            24 21 0:40 / /odd rw - tmpfs - rw,size=4k\n\
            25 21 0:41 / /odd rw - tmpfs - ro,size=4k\n\
            cut";
        for (mount, read_only) in [(21, false), (22, false), (23, true), (24, false), (25, true), (26, false)]
        {
            assert_eq!(linux::is_system_read_only(mounts, mount), read_only, "{mount}");
        }
    }
}
