//! Memory for small allocations that the system refuses.
//!
//! Rust's collections, reference counts and threads end the process if the allocator has no memory for them. The
//! allocator of the C library (feature `reserve`) therefore serves blocks of up to 16 KiB from [`Reserve`] if the
//! system has none: blocks of up to 4 KiB for this crate, and larger blocks for tables of the crates that it uses.
//! Blocks above 16 KiB are allocated by fallible calls alone, which report OUT_OF_MEMORY. Fallible calls get small
//! blocks only until half of the reserve is in use, so that the rest is left for the infallible ones.
//!
//! The memory is part of the library's data, and its pages are not touched before the first shortage.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Slots of one size in the reserve. A slot begins at a multiple of its size, or of 4 KiB if that is less.
struct Class {
    size: usize,
    slots: usize,
    /// Offset of the first slot in the memory of the reserve.
    start: usize,
    /// Index of the first word for these slots in [`Reserve::taken`], which has a bit per slot.
    word: usize,
}

/// The slots of the reserve, ascending by size.
const CLASSES: [Class; 4] = [
    Class { size: 64, slots: 1024, start: 0, word: 0 },
    Class { size: 512, slots: 256, start: 64 * 1024, word: 16 },
    Class { size: PAGE, slots: 64, start: 192 * 1024, word: 20 },
    Class { size: 4 * PAGE, slots: 8, start: 448 * 1024, word: 21 },
];
/// Total size of all slots in bytes, the size of the reserve.
const SIZE: usize = 576 * 1024;
const WORDS: usize = 22;
/// Size of the largest slots that fallible calls may have, and alignment of the reserve's memory.
const PAGE: usize = 4096;

#[repr(C, align(4096))]
struct Memory(UnsafeCell<[u8; SIZE]>);

/// Memory in slots for small allocations that the system refuses. Any thread takes and gives back slots without
/// a lock, because a lock may stay taken in the child of a fork.
pub(crate) struct Reserve {
    memory: Memory,
    taken: [AtomicU64; WORDS],
    /// Total size of the taken slots in bytes.
    in_use: AtomicUsize,
}

// SAFETY: the bytes of a slot are used only by the owner of its bit in `taken`.
unsafe impl Sync for Reserve {}

impl Reserve {
    const fn new() -> Reserve {
        Reserve {
            memory: Memory(UnsafeCell::new([0; SIZE])),
            taken: [const { AtomicU64::new(0) }; WORDS],
            in_use: AtomicUsize::new(0),
        }
    }

    /// Takes a free slot for an allocation of `layout`. Returns null if the allocation is too large or all slots
    /// that fit are taken.
    #[cold]
    fn take(&self, layout: Layout) -> *mut u8 {
        let least = layout.size().max(layout.align());
        let fits = |class: &&Class| class.size >= least && layout.align() <= PAGE;
        for class in CLASSES.iter().filter(fits) {
            for first in (0..class.slots).step_by(64) {
                let word = &self.taken[class.word + first / 64];
                let mut bits = word.load(Ordering::Relaxed);
                // The first free slot of the word, or the next one if another thread takes it first.
                loop {
                    let bit = bits.trailing_ones();
                    let slot = first + bit as usize;
                    if bit == u64::BITS || slot >= class.slots {
                        break;
                    }
                    bits = word.fetch_or(1 << bit, Ordering::Acquire);
                    if bits & (1 << bit) == 0 {
                        self.in_use.fetch_add(class.size, Ordering::Relaxed);
                        // SAFETY: the slot ends inside of the memory.
                        return unsafe { self.start().add(class.start + slot * class.size) };
                    }
                }
            }
        }
        ptr::null_mut()
    }

    /// Returns true if `block` lies in the memory of the reserve, and so is a slot.
    #[inline]
    fn holds(&self, block: *const u8) -> bool {
        block.addr().wrapping_sub(self.start().addr()) < SIZE
    }

    /// Returns the size of the slot at `block`, or `None` if the system allocated the block.
    #[inline]
    fn slot_size(&self, block: *const u8) -> Option<usize> {
        if self.holds(block) { Some(class_at(block.addr() - self.start().addr()).size) } else { None }
    }

    /// Marks the slot at `block`, which `take` returned, as free.
    #[cold]
    fn give_back(&self, block: *mut u8) {
        let offset = block.addr() - self.start().addr();
        let class = class_at(offset);
        let slot = (offset - class.start) / class.size;
        self.taken[class.word + slot / 64].fetch_and(!(1 << (slot % 64)), Ordering::Release);
        self.in_use.fetch_sub(class.size, Ordering::Relaxed);
    }

    fn start(&self) -> *mut u8 {
        self.memory.0.get().cast()
    }
}

/// Returns the size class of the slot at `offset` in the memory of the reserve.
fn class_at(offset: usize) -> &'static Class {
    let above = CLASSES.iter().take_while(|class| class.start <= offset).count();
    &CLASSES[above - 1]
}

// SAFETY: a block is the system's or a slot that nothing else has, and goes back to where it came from.
unsafe impl GlobalAlloc for Reserve {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller meets this function's requirements.
        let block = unsafe { System.alloc(layout) };
        if block.is_null() { self.take(layout) } else { block }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller meets this function's requirements.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            return block;
        }
        let block = self.take(layout);
        if !block.is_null() {
            // SAFETY: the slot has room for the layout.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.holds(block) {
            self.give_back(block);
        } else {
            // SAFETY: the caller meets this function's requirements; the block is the system's.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[inline]
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size, rounded up to the alignment, does not overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let new = match self.slot_size(old) {
            None => {
                // SAFETY: the caller meets this function's requirements; the block is the system's.
                let new = unsafe { System.realloc(old, layout, size) };
                if !new.is_null() {
                    return new;
                }
                self.take(wanted)
            }
            Some(room) if size <= room => return old,
            // SAFETY: the caller promises a size above 0.
            Some(_) => unsafe { self.alloc(wanted) },
        };
        if !new.is_null() {
            // SAFETY: both blocks have at least the copied number of bytes, and the old block is no longer
            // used after this.
            unsafe {
                new.copy_from_nonoverlapping(old, layout.size().min(size));
                self.dealloc(old, layout);
            }
        }
        new
    }
}

#[cfg_attr(feature = "reserve", global_allocator)]
static RESERVE: Reserve = Reserve::new();

/// Returns true if `block`, which a fallible call has just allocated, is a slot that must be left for infallible
/// calls: one above 4 KiB, or any slot while more than half of the reserve is in use.
#[inline]
pub(crate) fn is_scarce<T>(block: *const T) -> bool {
    let size = RESERVE.slot_size(block.cast());
    size.is_some_and(|size| size > PAGE || RESERVE.in_use.load(Ordering::Relaxed) > SIZE / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_fill_the_memory_and_the_words() {
        let (mut start, mut word) = (0, 0);
        for class in &CLASSES {
            assert_eq!((class.start, class.word), (start, word));
            assert!(class.size.is_power_of_two() && class.start.is_multiple_of(PAGE));
            start += class.size * class.slots;
            word += class.slots.div_ceil(64);
        }
        assert_eq!((start, word), (SIZE, WORDS));
    }

    #[test]
    fn slots_are_distinct_aligned_and_used_again() {
        let reserve = Box::new(Reserve::new());
        for layout in [(1, 1), (64, 64), (65, 8), (512, 512), (513, 1), (4096, 4096), (9000, 4096)] {
            let layout = Layout::from_size_align(layout.0, layout.1).unwrap();
            let mut blocks = Vec::new();
            loop {
                let block = reserve.take(layout);
                if block.is_null() {
                    break;
                }
                assert!(block.addr().is_multiple_of(layout.align()));
                assert!(reserve.slot_size(block).unwrap() >= layout.size());
                // SAFETY: the slot is this block's.
                unsafe { block.write_bytes(u8::try_from(blocks.len() % 251).unwrap(), layout.size()) };
                blocks.push(block);
            }
            let fit = CLASSES.iter().filter(|class| class.size >= layout.size());
            assert_eq!(blocks.len(), fit.map(|class| class.slots).sum::<usize>());
            for (index, block) in blocks.iter().enumerate() {
                // SAFETY: written above.
                let bytes = unsafe { std::slice::from_raw_parts(*block, layout.size()) };
                assert!(bytes.iter().all(|byte| usize::from(*byte) == index % 251));
                reserve.give_back(*block);
            }
            assert_eq!(reserve.in_use.load(Ordering::Relaxed), 0);
        }
        for (size, alignment) in [(4 * PAGE + 1, 1), (64, 2 * PAGE)] {
            assert!(reserve.take(Layout::from_size_align(size, alignment).unwrap()).is_null());
        }
    }

    #[test]
    fn a_slot_that_becomes_too_small_moves_with_its_bytes() {
        let reserve = Box::new(Reserve::new());
        let layout = Layout::from_size_align(60, 4).unwrap();
        let slot = reserve.take(layout);
        // SAFETY: blocks of this allocator with their layouts.
        unsafe {
            slot.write_bytes(7, 60);
            assert_eq!(reserve.realloc(slot, layout, 64), slot);
            let moved = reserve.realloc(slot, Layout::from_size_align_unchecked(64, 4), 5000);
            assert!(reserve.slot_size(moved).is_none());
            assert!(std::slice::from_raw_parts(moved, 60).iter().all(|byte| *byte == 7));
            reserve.dealloc(moved, Layout::from_size_align_unchecked(5000, 4));
        }
        assert_eq!(reserve.in_use.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn threads_never_share_a_slot() {
        let reserve = Box::new(Reserve::new());
        let layout = Layout::from_size_align(40, 8).unwrap();
        std::thread::scope(|scope| {
            for mark in 1..5_u8 {
                let reserve = &*reserve;
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let slots: Vec<_> = (0..20).map(|_| reserve.take(layout)).collect();
                        for slot in &slots {
                            // SAFETY: the slot is this thread's.
                            unsafe { slot.write_bytes(mark, 40) };
                        }
                        for slot in slots {
                            // SAFETY: as above.
                            let bytes = unsafe { std::slice::from_raw_parts(slot, 40) };
                            assert!(bytes.iter().all(|byte| *byte == mark));
                            reserve.give_back(slot);
                        }
                    }
                });
            }
        });
        assert_eq!(reserve.in_use.load(Ordering::Relaxed), 0);
    }
}
