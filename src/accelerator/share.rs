//! Division of the tiles in memory of the host between device and processor, by the times that earlier batches
//! took.

#![forbid(unsafe_code)]

use super::Measured;
use crate::base::units::{to_u64, to_usize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Share of a whole tile, in the unit of all shares: 1 / 65,536 of a tile.
const WHOLE: u64 = 1 << 16;
/// A device that does not pay still gets one tile of every 16th batch or call, so that its share can grow.
const PROBE: u64 = 16;

/// The device's share of the tiles, such that device and processor take the same time. It has no lock, which
/// another thread could hold at a fork.
#[derive(Default)]
pub(super) struct Share {
    /// Average seconds per tile: of the copy to the device; below, of the device from the start of the copy
    /// until it is done, and of the processor.
    copy: Average,
    device: Average,
    processor: Average,
    /// Part of the device's shares of earlier batches that the device has not got yet, in units of 1 / [`WHOLE`] of a
    /// tile. It is added to the share of the next batch.
    due: AtomicU64,
    /// Number of calls of [`Share::pays`] in which the device's share was less than one tile.
    asked: AtomicU64,
}

/// A moving average of seconds, as the bits of an `f64`. 0 means that nothing was measured yet.
#[derive(Default)]
struct Average(AtomicU64);

impl Average {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Adds a measurement to the average. If two threads do so at once, one measurement may be lost.
    fn add(&self, seconds: f64) {
        let before = self.get();
        // A time that the clock does not see is still one.
        let seconds = seconds.max(1e-9);
        // A single slow batch, such as one that allocates, does not decide alone.
        let after = if before > 0.0 { 0.75 * before + 0.25 * seconds.min(4.0 * before) } else { seconds };
        self.0.store(after.to_bits(), Ordering::Relaxed);
    }
}

impl Share {
    /// Returns the part of each tile that is the device's, in units of 1 / [`WHOLE`]: half if nothing was
    /// measured, 0 if the device does not pay.
    fn part(&self) -> u64 {
        let (copy, device, processor) = (self.copy.get(), self.device.get(), self.processor.get());
        // At first both get a half, and are measured.
        if device == 0.0 || processor == 0.0 {
            return WHOLE / 2;
        }
        // The thread that copies could have hashed meanwhile: a copy that takes as long gains nothing.
        if copy >= processor {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most WHOLE")]
        #[expect(clippy::cast_sign_loss, reason = "both are positive")]
        let part = (processor / (processor + device) * WHOLE as f64) as u64;
        part
    }

    /// Returns true if the device's share of `count` tiles is at least one tile. Of the calls with a smaller share,
    /// every 16th returns true too, so that the device is tried again.
    pub(super) fn pays(&self, count: u64) -> bool {
        if self.part().saturating_mul(count) >= WHOLE {
            return true;
        }
        let tries = self.asked.fetch_add(1, Ordering::Relaxed) % PROBE == PROBE - 1;
        if tries {
            // One string, however many tries had none to give.
            let one = |due: u64| Some(due % WHOLE + WHOLE);
            let _ = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one);
        }
        tries
    }

    /// Returns the number of tiles that the device is to hash, of `count` tiles. Remainders are added to
    /// later batches.
    pub(super) fn of(&self, count: usize) -> usize {
        let part = (to_u64(count) * self.part()).max(WHOLE / PROBE);
        // Fractions of a string add up over the batches.
        let rest = |due: u64| Some((due + part) % WHOLE);
        let before = match self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest) {
            Ok(before) | Err(before) => before,
        };
        to_usize((before + part) / WHOLE).min(count)
    }

    /// Adapts the averages to the times of a set of tiles. If the device or the processor had no tiles, its averages
    /// stay as they are.
    pub(super) fn learn(&self, measured: Measured) {
        let Measured { device, processor, copy_time, processor_time, time, was_done } = measured;
        if processor > 0 {
            self.processor.add(processor_time / processor as f64);
        }
        if device > 0 {
            self.copy.add(copy_time / device as f64);
            // A device that was waiting could have done more, by an unknown amount.
            let time = if was_done { (copy_time + processor_time) / 1.25 } else { time };
            self.device.add(time / device as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of eight tiles for each side, in which the processor takes a second.
    fn measured(copy_time: f64, time: f64, was_done: bool) -> Measured {
        Measured { device: 8, processor: 8, copy_time, processor_time: 1.0, time, was_done }
    }

    fn learnt(measured: Measured) -> Share {
        let share = Share::default();
        (0..100).for_each(|_| share.learn(measured));
        share
    }

    #[test]
    fn the_share_follows_the_speed_of_both() {
        // At first a half.
        assert_eq!(Share::default().of(100), 50);
        // Four times as slow: a fifth.
        let share = learnt(measured(0.1, 4.0, false));
        assert_eq!(share.of(100), 19);
        assert!(share.pays(16));
        // A device that waits for the processor gets more.
        (0..100).for_each(|_| share.learn(measured(0.1, 1.1, true)));
        assert!(share.of(100) > 50);
    }

    #[test]
    fn a_copy_as_slow_as_the_processor_gains_nothing() {
        let share = learnt(measured(1.0, 1.1, true));
        assert!(!share.pays(16));
        assert_eq!((0..16).map(|_| share.of(100)).sum::<usize>(), 1);
    }

    #[test]
    fn fractions_of_a_string_add_up() {
        let share = learnt(measured(0.1, 3.0, false));
        // A quarter of single strings, and not all or none.
        let taken = (0..400).map(|_| share.of(1)).sum::<usize>();
        assert!((98..=102).contains(&taken), "{taken}");
    }

    #[test]
    fn a_device_alone_is_measured_too() {
        let share = learnt(measured(0.1, 4.0, false));
        let fast = Measured {
            device: 1,
            processor: 0,
            copy_time: 0.01,
            processor_time: 0.0,
            time: 0.05,
            was_done: false,
        };
        (0..100).for_each(|_| share.learn(fast));
        assert!(share.of(100) > 65);
    }

    #[test]
    fn a_device_that_does_not_pay_is_tried_again() {
        let share = learnt(measured(0.1, 1e6, false));
        assert_eq!((0..64).filter(|_| share.pays(16)).count(), 4);
        // One string of these calls, and one of 16 batches.
        assert_eq!((0..16).map(|_| share.of(4)).sum::<usize>(), 2);
    }
}
