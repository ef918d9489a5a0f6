//! Kinds of file systems, by the numbers of statfs.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// ext2, ext3 and ext4.
pub(super) const EXT4: u64 = 0xef53;
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// File systems on media of this machine: ext4, XFS, Btrfs, F2FS, SquashFS, EROFS, ISO 9660, UDF, cramfs, romfs, FAT,
/// exFAT, NTFS3, bcachefs, and file systems in memory. Network file systems, FUSE and overlays change from elsewhere.
const LOCAL: [u64; 16] = [
    EXT4,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x7371_7368,
    0xe0f5_e1e2,
    0x9660,
    0x1501_3346,
    0x28cd_3d45,
    0x7275,
    0x4d44,
    0x2011_bab0,
    0x7366_746e,
    0xca45_1a4e,
    TMPFS,
    RAMFS,
];

/// Returns the type number of the file system of `file`.
pub(super) fn kind_of(file: &File) -> io::Result<u64> {
    let mut found = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open, and `found` has room for the struct.
    if unsafe { libc::fstatfs(file.as_raw_fd(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded.
    let kind = unsafe { found.assume_init() }.f_type;
    // The width and the sign of the field differ between platforms; the values have 32 bits.
    Ok(kind as u64 & 0xffff_ffff)
}

/// Returns true if only this machine changes the files of the file system of `file`. False if that is unknown.
pub(super) fn is_local(file: &File) -> bool {
    kind_of(file).is_ok_and(|kind| LOCAL.contains(&kind))
}

/// Returns true if the file system of `file` keeps its files only in memory.
pub(super) fn is_in_memory(file: &File) -> io::Result<bool> {
    Ok([TMPFS, RAMFS].contains(&kind_of(file)?))
}
