//! Linux's cache of a file's pages: dropping them, and checking that they are gone.

use super::file_system::{is_in_memory, is_local};
use super::storage::page_size;
use super::units::{to_u64, to_usize};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Writes the dirty pages of `file` back, drops all its pages from the cache, and returns true if none is
/// left. Returns true without dropping any on a file system in memory.
pub(super) fn drop_all(file: &File) -> io::Result<bool> {
    if is_in_memory(file)? {
        return Ok(true);
    }
    file.sync_data()?;
    // SAFETY: the descriptor is open; the call reads no memory of ours.
    if unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } != 0 {
        return Ok(false);
    }
    let len = file.metadata()?.len();
    // The call above does not report the pages that it keeps: pages that are dirty, or that any process
    // has mapped or locked.
    let counted = if is_local(file) { cached_pages(file, len) } else { None };
    counted.map_or_else(|| nothing_is_mapped_in(file, len), |pages| Ok(pages == 0))
}

/// Returns 0 if no page of the first `len` bytes of `file` is in memory or on its way to the disk, otherwise
/// more. `None` if the system does not report it. The pages of a file of an overlay belong to another file, and are not
/// counted.
fn cached_pages(file: &File, len: u64) -> Option<u64> {
    #[repr(C)]
    struct Range {
        offset: u64,
        len: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    struct Pages {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }
    /// Number of the system call cachestat, the same on all platforms, since Linux 6.5.
    const CACHESTAT: libc::c_long = 451;
    let range = Range { offset: 0, len };
    let mut pages = Pages::default();
    // SAFETY: both structs are live, and have the layout that the call expects.
    let done = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut pages, 0) };
    (done == 0).then_some(pages.cached + pages.dirty + pages.writeback)
}

/// Maps the `len` bytes of `file`, and returns true if none of their pages is in memory. Always false for a
/// file that this user may not write to, because Linux then reports all pages as present.
fn nothing_is_mapped_in(file: &File, len: u64) -> io::Result<bool> {
    const WINDOW: u64 = 64 << 20;
    let page = to_usize(page_size());
    let mut offset = 0;
    // A window at a time, so that address space and memory are bounded.
    while offset < len {
        let window = usize::try_from(WINDOW.min(len - offset)).unwrap_or(usize::MAX);
        let (Ok(at), prot, flags) = (offset.try_into(), libc::PROT_READ, libc::MAP_SHARED) else {
            return Ok(false);
        };
        // SAFETY: a new mapping, of which no byte is read; the descriptor is open.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), window, prot, flags, file.as_raw_fd(), at) };
        if start == libc::MAP_FAILED {
            // Not every file system maps files: nothing is known then.
            return Ok(false);
        }
        let mut states = vec![0_u8; window.div_ceil(page)];
        // SAFETY: the mapping exists, and `states` has a byte for each of its pages.
        let told = unsafe { libc::mincore(start, window, states.as_mut_ptr()) };
        // SAFETY: the mapping made above, which nothing refers to.
        unsafe { libc::munmap(start, window) };
        if told != 0 || states.iter().any(|state| state & 1 != 0) {
            return Ok(false);
        }
        offset += to_u64(window);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_mapped_is_not_known_to_be_uncached() {
        assert!(!nothing_is_mapped_in(&File::open(".").unwrap(), 4_096).unwrap());
    }

    #[test]
    fn both_ways_to_look_agree() {
        let file = tempfile::tempfile_in("target").or_else(|_| tempfile::tempfile()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 100_000], 0).unwrap();
        let dropped = drop_all(&file).unwrap();
        if is_in_memory(&file).unwrap() {
            assert!(dropped);
            return;
        }
        if let Some(pages) = cached_pages(&file, 100_000) {
            assert_eq!(pages == 0, nothing_is_mapped_in(&file, 100_000).unwrap());
        }
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut [0; 10], 0).unwrap();
        assert!(!nothing_is_mapped_in(&file, 100_000).unwrap());
    }
}
