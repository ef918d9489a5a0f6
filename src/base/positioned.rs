//! Reads and writes of files by position, and the detour for memory that the kernel copies slowly.
//!
//! If the target of a copy lies 1 to 31 bytes after its source, counted from the page in which each begins,
//! the processor mistakes the loads for loads of bytes just stored and waits: measured on a Zen 3, 0.6
//! instead of 0.1 to 0.2 ns per byte. glibc's large blocks and a page of a file are such a pair.
//! [`Buffer`](super::buffer::Buffer) avoids it; the memory of a caller goes through a few KiB on the stack
//! that lie half a page off, which costs 0.15 to 0.3.

use crate::base::out_bytes::OutBytes;
use crate::base::units::to_u64;
use std::fs::File;
use std::io;

// glibc's off_t has 32 bits on 32-bit processors, so that pread fails from 2 GiB on.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
use libc::{off_t as Offset, pread, pwrite};
#[cfg(any(target_os = "linux", target_os = "android"))]
use libc::{off64_t as Offset, pread64 as pread, pwrite64 as pwrite};

/// Page size. A copy is slow or fast depending on the distance of the addresses modulo this size.
#[cfg(unix)]
const PAGE: usize = 4096;
/// Minimum distance from source to target, modulo the page size, at which a copy is fast again.
#[cfg(unix)]
const FAST_FROM: usize = 32;
/// Maximum number of bytes that pass through the stack buffer of the detour at a time.
#[cfg(unix)]
const STEP: usize = 16 * 1024;

/// Returns true if the kernel copies `len` bytes from `source` to `target` slowly; both are addresses or offsets
/// in a file.
#[cfg(unix)]
fn is_slow(target: usize, source: usize, len: usize) -> bool {
    let distance = target.wrapping_sub(source) % PAGE;
    cfg!(target_arch = "x86_64") && len >= PAGE && distance != 0 && distance < FAST_FROM
}

/// Returns the position within its page of the byte at `offset` of a file.
#[cfg(unix)]
fn place_in_page(offset: u64) -> usize {
    const PAGE_BYTES: u64 = PAGE as u64;
    usize::try_from(offset % PAGE_BYTES).unwrap_or(0)
}

/// Fills all of `out` with the bytes of `file` from `offset` on. Fails with `UnexpectedEof` if the file is too
/// short.
#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, offset: u64, mut out: OutBytes<'_>) -> io::Result<()> {
    // A call may return fewer bytes than it was asked for.
    let mut position = offset;
    while !out.is_empty() {
        let (memory, len) = (out.as_mut_ptr(), out.len());
        let read = if is_slow(memory.addr(), place_in_page(position), len) {
            let detour = |near: &mut Detour| {
                let (near, len) = near.place(position, len);
                // SAFETY: there is room for `len` bytes at `near`.
                let read = unsafe { read_once(file, position, near, len) }?;
                // SAFETY: `read` bytes were read, at most the room in `out`; nothing else has the two
                // buffers.
                unsafe { std::ptr::copy_nonoverlapping(near, memory, read) };
                Ok(read)
            };
            with_detour(detour)
        } else {
            // SAFETY: there is room for `len` bytes.
            unsafe { read_once(file, position, memory, len) }
        }?;
        position += to_u64(read);
        out.split_off_front(read);
    }
    Ok(())
}

/// Writes all of `bytes` to `file` at `offset`.
#[cfg(unix)]
pub(super) fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    // A call may take fewer bytes than it was given.
    let (mut position, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let written = if is_slow(place_in_page(position), rest.as_ptr().addr(), rest.len()) {
            let detour = |near: &mut Detour| {
                let (near, len) = near.place(position, rest.len());
                // SAFETY: `len` of these bytes, for which there is room at `near`.
                unsafe { std::ptr::copy_nonoverlapping(rest.as_ptr(), near, len) };
                // SAFETY: `len` bytes that were just stored.
                unsafe { write_once(file, position, near, len) }
            };
            with_detour(detour)
        } else {
            // SAFETY: the bytes of a slice.
            unsafe { write_once(file, position, rest.as_ptr(), rest.len()) }
        }?;
        position += to_u64(written);
        rest = &rest[written..];
    }
    Ok(())
}

/// Buffer on the stack through which bytes pass if the kernel would copy slowly between a file and the caller's
/// memory.
#[cfg(unix)]
struct Detour(std::mem::MaybeUninit<[u8; STEP + PAGE]>);

#[cfg(unix)]
impl Detour {
    /// Returns an address in the buffer for bytes at `offset` of a file, half a page away from their position in
    /// a page, and the number of bytes, at most `len`, that fit there.
    fn place(&mut self, offset: u64, len: usize) -> (*mut u8, usize) {
        let start: *mut u8 = self.0.as_mut_ptr().cast();
        // Half a page is far from the slow distances, whether the copy goes in or out.
        let wanted = place_in_page(offset) + PAGE / 2;
        let skip = wanted.wrapping_sub(start.addr()) % PAGE;
        (start.wrapping_add(skip), len.min(STEP))
    }
}

/// Runs `action` with a buffer of 20 KiB on the stack, through which bytes pass ([`Detour`]). Not inlined, because
/// otherwise every read and write would reserve these 20 KiB.
#[cfg(unix)]
#[inline(never)]
fn with_detour<R>(action: impl FnOnce(&mut Detour) -> R) -> R {
    action(&mut Detour(std::mem::MaybeUninit::uninit()))
}

/// Reads from `file` at `offset` by one system call, and returns the number of bytes read, at least 1. Fails at
/// the end of the file.
///
/// # Safety
/// `memory` is writable for `len` bytes, at least 1.
#[cfg(unix)]
unsafe fn read_once(file: &File, offset: u64, memory: *mut u8, len: usize) -> io::Result<usize> {
    use std::os::fd::AsRawFd;
    let at = Offset::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    loop {
        // SAFETY: the descriptor is open, and the caller has room for `len` bytes.
        match usize::try_from(unsafe { pread(file.as_raw_fd(), memory.cast(), len, at) }) {
            // No byte, although some were asked for, means the end of the file.
            Ok(0) => return Err(ends_before()),
            Ok(read) => return Ok(read),
            Err(_) => interrupted()?,
        }
    }
}

/// Writes to `file` at `offset` by one system call, and returns the number of bytes written, at least 1.
///
/// # Safety
/// `memory` is readable for `len` bytes, at least 1.
#[cfg(unix)]
unsafe fn write_once(file: &File, offset: u64, memory: *const u8, len: usize) -> io::Result<usize> {
    use std::os::fd::AsRawFd;
    let at = Offset::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    loop {
        // SAFETY: the descriptor is open, and the caller has `len` bytes.
        match usize::try_from(unsafe { pwrite(file.as_raw_fd(), memory.cast(), len, at) }) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => return Ok(written),
            Err(_) => interrupted()?,
        }
    }
}

/// Returns the last system error, or `Ok` if a signal interrupted the system call. The caller then repeats it.
#[cfg(unix)]
fn interrupted() -> io::Result<()> {
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        error => Err(error),
    }
}

/// Fills all of `out` with the bytes of `file` from `offset` on. Fails if the file is too short.
#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    let mut out = out.into_initialised();
    let mut position = offset;
    while !out.is_empty() {
        match file.seek_read(out, position) {
            Ok(0) => return Err(ends_before()),
            Ok(read) => {
                position += to_u64(read);
                out = &mut out[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `bytes` to `file` at `offset`.
#[cfg(windows)]
pub(super) fn write_all_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        match file.seek_write(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += to_u64(written);
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn ends_before() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the file ends before the last requested byte, so that it was cut or never complete",
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn every_distance_of_memory_and_file_gives_the_same_bytes() {
        let data: Vec<u8> = (0..60_000_u32).map(|i| (i % 251) as u8).collect();
        let (file, copy) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        file.write_all_at(&data, 0).unwrap();
        let mut memory = vec![0; 60_000 + 2 * PAGE];
        let first = memory.as_ptr().align_offset(PAGE);
        for distance in [0, 1, 16, 31, 32, 2_048, 4_064, 4_065, 4_080, 4_095] {
            for (offset, len) in [(0, 60_000), (0, 4_095), (0, 4_096), (4_080, 40_000), (17, 16_385)] {
                let slot = &mut memory[first + distance..][..len];
                slot.fill(0xaa);
                read_exact_at(&file, to_u64(offset), OutBytes::new(slot)).unwrap();
                assert_eq!(slot, &data[offset..offset + len], "{distance} {offset}");
                write_all_at(&copy, to_u64(offset), slot).unwrap();
                let mut back = vec![0; len];
                copy.read_exact_at(&mut back, to_u64(offset)).unwrap();
                assert_eq!(back, slot, "{distance} {offset}");
            }
            assert_eq!(memory[first + distance + 60_000], 0, "nothing is written behind");
        }
        assert_eq!(copy.metadata().unwrap().len(), 60_000);
        let past = read_exact_at(&file, 50_000, OutBytes::new(&mut memory[first + 16..][..10_001]));
        assert_eq!(past.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_takes_the_detour_is_far_from_both_ends() {
        let mut near = Detour(std::mem::MaybeUninit::uninit());
        for offset in [0, 1, 16, 2_048, 4_095, 1 << 40] {
            for memory in [PAGE + place_in_page(offset) + 1, PAGE + place_in_page(offset) + 31] {
                assert!(is_slow(memory, place_in_page(offset), PAGE) || cfg!(not(target_arch = "x86_64")));
                let (place, len) = near.place(offset, 1 << 20);
                let (place, file) = (place.addr(), place_in_page(offset));
                assert_eq!(len, STEP);
                for (target, source) in [(place, file), (memory, place), (file, place), (place, memory)] {
                    assert!(!is_slow(target, source, STEP));
                }
                let start = near.0.as_ptr().addr();
                assert!(place >= start && place + len <= start + STEP + PAGE);
            }
        }
        assert!(!is_slow(16, 0, PAGE - 1) && !is_slow(0, 0, PAGE) && !is_slow(32, 0, PAGE));
    }
}
