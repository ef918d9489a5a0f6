//! Free memory that glibc keeps, returned to the system.

/// Returns the free memory that glibc keeps within the heaps to the system, by `malloc_trim`. No effect with
/// another C library.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn return_free_memory() {
    // SAFETY: the function has no precondition, and any thread may call it.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn return_free_memory() {}

/// Returns the free end of the calling thread's glibc arena to the system, as `malloc_trim` does for the main
/// arena alone.
///
/// It allocates blocks from the arena until two in a row have no pages in memory yet, releases the pages of
/// each, and frees the blocks. By default blocks of this size come from the arena. It ends early if pages cannot
/// be released, as in a process that has locked its memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn return_arena() {
    use std::ptr;
    /// Size of an allocated block: less than the 128 KiB from which on malloc may map a separate block.
    const BLOCK: usize = 96 * 1024;
    /// Maximum number of allocated blocks: those that fit in 64 MiB, the size of one heap of an arena.
    const MOST: usize = 64 * 1024 * 1024 / BLOCK;
    // SAFETY: the call only returns a number of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(BLOCK);
    if !page.is_power_of_two() || page > BLOCK / 4 {
        return;
    }
    // The blocks form a list through their first bytes.
    let mut blocks: *mut *mut libc::c_void = ptr::null_mut();
    let mut fresh = 0;
    for _ in 0..MOST {
        // SAFETY: the call has no precondition; it returns a block or NULL.
        let block = unsafe { libc::malloc(BLOCK) }.cast::<*mut libc::c_void>();
        if block.is_null() {
            break;
        }
        // SAFETY: the block is large enough for a pointer, and malloc aligns it for a pointer.
        unsafe { block.write(blocks.cast()) };
        blocks = block;
        // Whole pages inside the block, after the pointer.
        let start = block.cast::<u8>().wrapping_add(size_of::<usize>());
        let lead = start.align_offset(page);
        let len = (BLOCK - size_of::<usize>()).saturating_sub(lead) / page * page;
        let pages = start.wrapping_add(lead).cast::<libc::c_void>();
        let mut there = [0_u8; BLOCK / 4096];
        // SAFETY: `pages` are whole pages inside a block that only this function has. `there` has a byte for
        // each page, because a page has 4 KiB or more.
        let known = unsafe { libc::mincore(pages, len, there.as_mut_ptr()) } == 0;
        // Two blocks in a row without memory: the arena has no free pages beyond them.
        fresh = if known && there.iter().all(|page| page & 1 == 0) { fresh + 1 } else { 0 };
        if fresh == 2 {
            break;
        }
        // Release the pages of a block that was used before.
        // SAFETY: as above; nothing was written to them.
        if unsafe { libc::madvise(pages, len, libc::MADV_DONTNEED) } != 0 {
            break;
        }
    }
    while !blocks.is_null() {
        // SAFETY: each block came from malloc above and begins with the pointer to the next; each is freed
        // once.
        unsafe {
            let next = blocks.read();
            libc::free(blocks.cast());
            blocks = next.cast();
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn return_arena() {}
