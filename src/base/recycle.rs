//! The bounded list of used buffers.
//!
//! Fresh memory costs more than hashing it: each page is a fault and is cleared by the kernel. Buffers of
//! [`RECYCLED_MIN`] bytes and more therefore come from a list of used buffers, which holds at most
//! [`RECYCLED_TOTAL`] bytes for the whole process. A used buffer still has its old bytes.
//!
//! The list counts towards the memory limit of an operation, which frees the excess. [`shrink`]`(0)` empties
//! the list.

use crate::base::block::Block;
use crate::base::units::to_u64;
use std::sync::Mutex;

/// Minimum size in bytes of the buffers that the list of used buffers keeps.
pub(super) const RECYCLED_MIN: usize = 64 * 1024;
/// Maximum number of bytes that the list of used buffers holds.
const RECYCLED_TOTAL: usize = 64 * 1024 * 1024;

/// Used buffers by length. Among equal lengths, the last one in is the first one out.
///
/// A full list evicts stale buffers first, because they would otherwise fill it permanently, and then the
/// smallest buffer, because a large one costs more to allocate again.
struct UsedBuffers {
    /// The used buffers, ascending by length. Buffers of equal length are in the order in which they came in.
    buffers: Vec<Used>,
    total: usize,
    /// Total number of bytes requested from the list so far, found or not. It is the clock by which buffers
    /// become stale.
    asked: u64,
}

struct Used {
    bytes: Block,
    /// Value of the clock [`UsedBuffers::asked`] when the buffer came in.
    since: u64,
}

/// A buffer is stale once this many bytes were requested since it came back to the list: twice the maximum size
/// of the list.
const UNWANTED_AFTER: u64 = 2 * RECYCLED_TOTAL as u64;

static USED: Mutex<UsedBuffers> = Mutex::new(UsedBuffers::new());

/// Runs `action` on the list of used buffers. `None` if another thread uses the list for longer than a moment.
///
/// It never waits: after a fork the list may stay locked by a thread that the child does not have, and buffers
/// are then just allocated and freed.
fn with_used<R>(action: impl FnOnce(&mut UsedBuffers) -> R) -> Option<R> {
    // The list is never held for long, so that a short spin is enough.
    for _ in 0..64 {
        if let Ok(mut used) = USED.try_lock() {
            return Some(action(&mut used));
        }
        std::hint::spin_loop();
    }
    None
}

/// Returns a used buffer of `capacity` bytes, or of up to a quarter more; `None` if the list has none.
pub(super) fn take(capacity: usize) -> Option<Block> {
    if !(RECYCLED_MIN..=RECYCLED_TOTAL).contains(&capacity) {
        return None;
    }
    with_used(|used| used.take(capacity)).flatten()
}

/// Offers a used buffer to the list, which keeps or frees it.
pub(super) fn put(bytes: Block) {
    // Each round frees a victim outside of the lock, until the buffer is kept or refused.
    let mut rest = bytes;
    while let Some(Put::Full { bytes, unwanted }) = with_used(move |used| used.put(rest)) {
        drop(unwanted);
        rest = bytes;
    }
}

/// Releases buffers of the list to the system, the largest first, until the list holds at most `most` bytes.
pub(crate) fn shrink(most: u64) {
    // Another thread holds the list only for a moment, unless a fork removed that thread.
    let mut patience = 100;
    while patience > 0 {
        match with_used(|used| used.take_above(most)) {
            Some(Some(bytes)) => give_back(bytes),
            Some(None) => return,
            None => {
                patience -= 1;
                std::thread::yield_now();
            }
        }
    }
}

/// Frees a buffer and returns its pages to the system at once, because an allocator may keep freed memory for
/// the thread that freed it.
pub(super) fn give_back(mut bytes: Block) {
    release_pages(&mut bytes);
}

#[cfg(target_os = "linux")]
fn release_pages(bytes: &mut [u8]) {
    // SAFETY: the call only returns a number of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(usize::MAX);
    if !page.is_power_of_two() {
        return;
    }
    // Only whole pages inside the block can be released.
    let start = bytes.as_ptr().align_offset(page);
    let len = bytes.len().saturating_sub(start) / page * page;
    if len > 0 {
        // SAFETY: whole pages inside of memory that is ours alone. The pages read as zeros afterwards, and a
        // recycled buffer may have any contents.
        unsafe { libc::madvise(bytes[start..].as_mut_ptr().cast(), len, libc::MADV_DONTNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
fn release_pages(_: &mut [u8]) {}

impl UsedBuffers {
    const fn new() -> UsedBuffers {
        UsedBuffers { buffers: Vec::new(), total: 0, asked: 0 }
    }

    /// Returns the index of the first buffer in the list that is not shorter than `len`.
    fn first_of(&self, len: usize) -> usize {
        self.buffers.partition_point(|used| used.bytes.len() < len)
    }

    fn take_above(&mut self, most: u64) -> Option<Block> {
        if to_u64(self.total) <= most {
            return None;
        }
        let largest = self.buffers.last()?.bytes.len();
        self.remove(self.first_of(largest))
    }

    fn take(&mut self, capacity: usize) -> Option<Block> {
        self.asked = self.asked.wrapping_add(to_u64(capacity));
        let found = self.buffers.get(self.first_of(capacity))?.bytes.len();
        // The buffer is at most a quarter larger than requested; otherwise a small payload would keep a large
        // buffer alive.
        if found > capacity + capacity / 4 {
            return None;
        }
        // The last buffer of its length came in last, and is the likeliest to be in the cache.
        self.remove(self.first_of(found + 1) - 1)
    }

    fn remove(&mut self, place: usize) -> Option<Block> {
        if place >= self.buffers.len() {
            return None;
        }
        let used = self.buffers.remove(place);
        self.total -= used.bytes.len();
        Some(used.bytes)
    }

    /// Adds a buffer to the list. If the list is full, returns the buffer and a stale or smaller one from the list,
    /// which the caller frees before it retries. Refuses the buffer if the list has neither a stale nor a smaller
    /// buffer, or if the list cannot grow, because freeing memory must not allocate any.
    fn put(&mut self, bytes: Block) -> Put {
        let len = bytes.len();
        if len > RECYCLED_TOTAL || self.buffers.try_reserve(1).is_err() {
            return Put::Refused(bytes);
        }
        if len <= RECYCLED_TOTAL - self.total {
            self.buffers.insert(self.first_of(len + 1), Used { bytes, since: self.asked });
            self.total += len;
            return Put::Kept;
        }
        // The oldest buffer first, and of several the largest.
        let ages = self.buffers.iter().enumerate().map(|(place, used)| {
            (self.asked.wrapping_sub(used.since), used.bytes.len(), std::cmp::Reverse(place))
        });
        let unwanted = ages.max().filter(|(age, ..)| *age >= UNWANTED_AFTER).map(|(_, _, place)| place.0);
        // If no buffer is stale, the smallest buffer is freed to make room, if the new buffer is larger.
        let smallest = || {
            let excess = self.total + len - RECYCLED_TOTAL;
            self.buffers.first().filter(|other| other.bytes.len() < len && excess < len).map(|_| 0)
        };
        match unwanted.or_else(smallest).and_then(|place| self.remove(place)) {
            Some(unwanted) => Put::Full { bytes, unwanted },
            None => Put::Refused(bytes),
        }
    }
}

/// Outcome of offering a buffer to the list. The caller frees a refused or evicted buffer outside of the lock.
enum Put {
    Kept,
    Refused(#[expect(dead_code, reason = "to be dropped")] Block),
    Full { bytes: Block, unwanted: Block },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(len: usize) -> Block {
        Block::aligned(len).unwrap()
    }

    #[test]
    fn the_list_of_used_buffers_is_bounded() {
        let mut used = UsedBuffers::new();
        for _ in 0..1_000 {
            used.put(block(1 << 20));
        }
        assert_eq!(used.total, RECYCLED_TOTAL);
        assert!(used.take(1 << 22).is_none());
        assert!(used.take(1 << 19).is_none(), "a buffer of twice the size is not handed out");
        for _ in 0..64 {
            assert_eq!(used.take(1 << 20).unwrap().len(), 1 << 20);
        }
        assert_eq!((used.total, used.buffers.len()), (0, 0));
    }

    #[test]
    fn the_list_of_used_buffers_shrinks_from_the_largest_on() {
        let mut used = UsedBuffers::new();
        for mib in [1, 4, 2, 1] {
            used.put(block(mib << 20));
        }
        assert!(used.take_above(8 << 20).is_none());
        assert_eq!(used.take_above(3 << 20).unwrap().len(), 4 << 20);
        assert_eq!(used.take_above(3 << 20).unwrap().len(), 2 << 20);
        assert!(used.take_above(3 << 20).is_none());
        assert_eq!(used.total, 2 << 20);
        give_back(block((3 << 20) + 5));
        give_back(block(5));
        give_back(Block::default());
    }

    #[test]
    fn buffers_that_nobody_asks_for_make_room() {
        let mut used = UsedBuffers::new();
        let put = |used: &mut UsedBuffers, len: usize| {
            let (mut rest, mut freed) = (block(len), 0);
            loop {
                match used.put(rest) {
                    Put::Kept => return Some(freed),
                    Put::Refused(_) => return None,
                    Put::Full { bytes, unwanted } => {
                        freed += unwanted.len();
                        rest = bytes;
                    }
                }
            }
        };
        for _ in 0..1_024 {
            assert_eq!(put(&mut used, 1 << 16), Some(0));
        }
        // The buffers were requested just now, so that they are not stale.
        assert_eq!(put(&mut used, 1 << 20), None);
        for _ in 0..127 {
            assert!(used.take(1 << 20).is_none());
            assert_eq!(put(&mut used, 1 << 20), None);
        }
        assert!(used.take(1 << 20).is_none());
        for _ in 0..64 {
            assert_eq!(put(&mut used, 1 << 20), Some(1 << 20));
            assert_eq!(used.total, RECYCLED_TOTAL);
        }
        assert!(used.take(1 << 16).is_none());
        assert_eq!(put(&mut used, 1 << 20), None, "nothing is freed for one more of the same");
        assert_eq!(put(&mut used, RECYCLED_TOTAL + 1), None);
    }

    #[test]
    fn a_batch_a_little_larger_than_the_list_loses_that_little() {
        let mut used = UsedBuffers::new();
        // Only two of these blocks will be requested again.
        for _ in 0..64 {
            used.put(block(1 << 20));
        }
        let lens: Vec<usize> = [48 << 20].into_iter().chain([1 << 16; 256]).chain([1 << 20; 2]).collect();
        for round in 0..10 {
            let mut missed = 0;
            let mut batch = Vec::new();
            for &len in &lens {
                batch.push(used.take(len).unwrap_or_else(|| {
                    missed += len;
                    block(len)
                }));
            }
            assert!(round < 4 || missed <= 2 << 20, "{missed} bytes in round {round}");
            // The large block comes back first or last, in turn.
            if round % 2 == 0 {
                batch.reverse();
            }
            for mut bytes in batch {
                while let Put::Full { bytes: rest, .. } = used.put(bytes) {
                    bytes = rest;
                }
            }
            assert!(used.total <= RECYCLED_TOTAL);
        }
    }
}
