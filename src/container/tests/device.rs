//! A device with a cache and a medium, which crashes.
//!
//! Writes go to the cache and are remembered, widened to whole blocks of the cache; a sync brings
//! them to the medium. A crash makes an image: the medium, and of the sectors of 512 bytes that were written since
//! the last sync any subset, each old, new, torn or garbage; growth of the file may be absent, partial, zeros or
//! garbage. A sync can fail: blocks that it did not write then count as clean, though the medium lacks them.
//! A write can fail after it has written a part.

use crate::base::out_bytes::OutBytes;
use crate::base::storage::Storage;
use crate::base::sync::lock;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;
/// Block size of the containers.
const BLOCK: usize = 4_096;

pub(super) use crate::base::split_mix::SplitMix64 as Random;

impl Random {
    /// True in `percent` of 100 calls.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Faults that the device will have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// The sync with this number, counted from now, fails.
    pub(super) sync: Option<u32>,
    /// The write with this number fails with ENOSPC, after a part of it.
    pub(super) write: Option<u32>,
    /// True if the fault kills the process: later steps have no effect.
    pub(super) kills: bool,
}

#[derive(Clone, Default)]
struct State {
    /// The bytes that reads return.
    cache: Vec<u8>,
    medium: Vec<u8>,
    /// Sectors of the cache that a sync has to bring to the medium.
    dirty: BTreeSet<usize>,
    /// The dirty sectors that may be torn, because they lie in blocks that were written.
    in_flight: BTreeSet<usize>,
    /// Sectors that a failed sync marked as clean: only the cache has them, not the medium.
    lying: BTreeSet<usize>,
    faults: Faults,
    is_dead: bool,
    /// Size of the blocks to which each write is widened.
    widen: usize,
    random: u64,
    /// Number of further attempts in which cached pages stay, as if other programs read them.
    kept: u32,
    /// True if the medium can be read past the cache.
    shows_medium: bool,
}

/// A device that several users share.
#[derive(Clone)]
pub(super) struct Device(Arc<Mutex<State>>);

impl Device {
    /// A device that has these bytes on its medium.
    pub(super) fn with(bytes: Vec<u8>, widen: usize, seed: u64) -> Device {
        let state = State { cache: bytes.clone(), medium: bytes, widen, random: seed, ..State::default() };
        Device(Arc::new(Mutex::new(state)))
    }

    pub(super) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        let mut state = lock(&self.0);
        (state.faults, state.is_dead) = (faults, false);
    }

    /// Replaces the whole contents by `bytes` at once.
    pub(super) fn replace(&self, bytes: Vec<u8>) {
        let mut state = lock(&self.0);
        (state.cache, state.medium) = (bytes.clone(), bytes);
    }

    /// Keeps cached pages the next `times` times that they are dropped.
    pub(super) fn keep_cache(&self, times: u32) {
        lock(&self.0).kept = times;
    }

    /// Lets the medium be read past the cache from now on, or not.
    pub(super) fn show_medium(&self, shows: bool) {
        lock(&self.0).shows_medium = shows;
    }

    /// The bytes that remain after a crash.
    pub(super) fn crash(&self, random: &mut Random) -> Vec<u8> {
        let state = lock(&self.0);
        let mut image = state.medium.clone();
        let dirty: Vec<usize> =
            state.dirty.iter().copied().filter(|sector| sector * SECTOR < state.cache.len()).collect();
        // The length after the crash: that of the medium, of the cache, or any value between.
        let (short, long) = (image.len().min(state.cache.len()), image.len().max(state.cache.len()));
        let length = match random.below(4) {
            0 => image.len(),
            1 | 2 => state.cache.len(),
            _ => short + usize::try_from(random.below((long - short) as u64 + 1)).unwrap(),
        };
        let grown = image.len();
        image.resize(length, 0);
        if length > grown && random.chance(25) {
            let garbage = random.bytes(length - grown);
            image[grown..].copy_from_slice(&garbage);
        }
        let mode = random.below(7);
        let odd = random.below(dirty.len() as u64 + 1) as usize;
        let mut order: Vec<usize> = (0..dirty.len()).collect();
        if mode == 5 {
            order.reverse();
        }
        for (position, index) in order.into_iter().enumerate() {
            let keep = match mode {
                0 => true,
                1 => false,
                2 => index != odd,
                3 => index == odd,
                4 | 5 => position < odd,
                _ => random.chance(50),
            };
            let start = dirty[index] * SECTOR;
            let end = (start + SECTOR).min(state.cache.len()).min(image.len());
            if start >= end {
                continue;
            }
            if keep {
                image[start..end].copy_from_slice(&state.cache[start..end]);
            } else if state.in_flight.contains(&dirty[index]) && random.chance(6) {
                // The sector was in flight: a part of it was written, or it has garbage.
                let torn = start + random.below((end - start) as u64 + 1) as usize;
                match random.below(3) {
                    0 => image[start..torn].copy_from_slice(&state.cache[start..torn]),
                    1 => image[torn..end].copy_from_slice(&state.cache[torn..end]),
                    _ => {
                        let garbage = random.bytes(end - start);
                        image[start..end].copy_from_slice(&garbage);
                    }
                }
            }
        }
        image
    }
}

impl State {
    /// Writes dirty blocks to the medium.
    fn flush(&mut self) {
        self.medium.resize(self.cache.len(), 0);
        self.in_flight.clear();
        for sector in std::mem::take(&mut self.dirty) {
            self.flush_sector(sector);
        }
    }

    fn flush_sector(&mut self, sector: usize) {
        let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(self.cache.len()));
        if start < end {
            self.medium[start..end].copy_from_slice(&self.cache[start..end]);
        }
    }

    fn mark(&mut self, start: usize, end: usize) {
        let sectors = |to: usize| {
            let end = end.next_multiple_of(to).min(self.cache.len().next_multiple_of(SECTOR));
            start / to * to / SECTOR..end.div_ceil(SECTOR)
        };
        let (written, widened) = (sectors(BLOCK), sectors(self.widen));
        self.in_flight.extend(written);
        for sector in widened {
            self.dirty.insert(sector);
            self.lying.remove(&sector);
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cache.len() < end {
            let before = self.cache.len();
            self.cache.resize(end, 0);
            self.mark(before, end);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        self.mark(offset, end);
    }
}

impl Storage for Device {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).cache.len() as u64)
    }

    fn read_at(&self, offset: u64, out: OutBytes<'_>) -> io::Result<()> {
        let state = lock(&self.0);
        let start = usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        match start.checked_add(out.len()).and_then(|end| state.cache.get(start..end)) {
            Some(bytes) => {
                out.copy_from(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.0);
        let offset = usize::try_from(offset).unwrap();
        if state.is_dead {
            return Err(io::ErrorKind::Other.into());
        }
        match &mut state.faults.write {
            Some(0) => {
                state.faults.write = None;
                let mut random = Random(state.random);
                let part = random.below(bytes.len() as u64 + 1) as usize;
                state.random = random.0;
                state.write(offset, &bytes[..part]);
                state.is_dead = state.faults.kills;
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.write(offset, bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = lock(&self.0);
        if state.is_dead {
            return Err(io::ErrorKind::Other.into());
        }
        let len = usize::try_from(len).unwrap();
        let before = state.cache.len();
        state.cache.resize(len, 0);
        if len > before {
            state.mark(before, len);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = lock(&self.0);
        if state.is_dead {
            return Err(io::ErrorKind::Other.into());
        }
        let State { cache, medium, faults, .. } = &mut *state;
        let fails = match &mut faults.sync {
            Some(0) => {
                faults.sync = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        medium.resize(cache.len(), 0);
        let mut random = Random(state.random);
        state.in_flight.clear();
        for sector in std::mem::take(&mut state.dirty) {
            if sector * SECTOR >= state.cache.len() {
                continue;
            }
            if fails && random.chance(50) {
                state.lying.insert(sector);
                continue;
            }
            state.flush_sector(sector);
        }
        state.random = random.0;
        state.is_dead = fails && state.faults.kills;
        if fails { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }

    fn drop_cache(&self) -> io::Result<bool> {
        let mut state = lock(&self.0);
        if state.kept > 0 {
            state.kept -= 1;
            return Ok(false);
        }
        // Dirty pages stay in the cache; falsely clean pages are dropped.
        for sector in std::mem::take(&mut state.lying) {
            let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(state.cache.len()));
            let State { cache, medium, .. } = &mut *state;
            if start < end {
                let held: Vec<u8> = (start..end).map(|at| medium.get(at).copied().unwrap_or(0)).collect();
                cache[start..end].copy_from_slice(&held);
            }
        }
        Ok(state.dirty.is_empty())
    }
    fn medium(&self) -> Option<Arc<dyn Storage>> {
        let mut state = lock(&self.0);
        if !state.shows_medium {
            return None;
        }
        state.flush();
        Some(Device::with(state.medium.clone(), BLOCK, 0).storage())
    }
}
