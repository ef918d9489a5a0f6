//! The accelerator of a pool: an OpenCL device with its lanes, and its share of the tiles to hash.

use super::device::Device;
use super::lane::{FOOTPRINT, FOOTPRINT_IN_PLACE, Lane};
use super::memory::DeviceBuffer;
use super::opencl::{Failure, Handle};
use super::share::Share;
use super::{AcceleratorInfo, AcceleratorOptions, Batch, Hashed, Measured, RESIDUES, Started, Strings};
use crate::base::buffer::try_collect;
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::sync::lock;
use crate::base::units::{GROUP_SIZE, TILE_SIZE, to_u64, to_usize};
use blake3::hazmat::HasherExt;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Maximum number of bytes of device memory that an accelerator uses by default.
const MEMORY: u64 = 1 << 30;
/// Maximum number of tiles of a batch from the host. 64 whole tiles have 65,536 chunks, with a work item for
/// each.
const MAX_BATCH: u64 = 64;
/// Maximum number of tiles of a batch whose bytes already lie on the device.
const MAX_BATCH_IN_PLACE: u64 = 512;
/// Number of tiles on the device that a batch has for each compute unit. Four whole tiles have 4,096 work
/// items, twice the number that a unit of a large GPU holds at a time.
const STRINGS_PER_UNIT: u64 = 4;
/// Maximum number of lanes of an accelerator. Two are needed so that copies and kernels overlap.
const MAX_LANES: u64 = 8;

/// An OpenCL device with its lanes (queues), which hash batches of tiles beside the processor.
pub(crate) struct Accelerator {
    pub(super) device: Arc<Device>,
    lanes: Mutex<Lanes>,
    /// Signals that a lane is free again, or may be made.
    freed: Condvar,
    /// Maximum number of tiles of a batch from the host.
    batch: usize,
    /// Maximum number of tiles of a batch whose bytes already lie on the device; not less than `batch`.
    batch_in_place: usize,
    hashed: AtomicU64,
    /// The device's share of the tiles in memory of the host, learnt from earlier batches.
    pub(super) share: Share,
}

struct Lanes {
    free: Vec<Lane>,
    /// Number of lanes that may still be made.
    left: u64,
}

impl Accelerator {
    /// Opens an OpenCL device, compiles the kernels, and tests them by hashing known bytes.
    ///
    /// Fails with UNSUPPORTED if there is no OpenCL loader or no such device, or if the device fails in one of these
    /// steps; with LIMIT if the memory limit has no room for a tile.
    pub(crate) fn open(options: &AcceleratorOptions<'_>) -> Result<Accelerator> {
        let device = Arc::new(Device::open(options)?);
        let limit = match options.memory_limit {
            0 => (device.memory_size / 4).min(MEMORY),
            limit => limit,
        };
        // A default that is too small is the device's fault, and not the caller's.
        if options.memory_limit == 0 && limit < FOOTPRINT {
            return Err(AtlasError::unsupported(format!(
                "a quarter of the {} bytes of memory of the OpenCL device {} is less than the {FOOTPRINT} \
                 bytes that one tile needs",
                device.memory_size, device.name
            )));
        }
        if limit < FOOTPRINT {
            return Err(AtlasError::limit(format!(
                "memory_limit {limit} is less than the {FOOTPRINT} bytes of device memory that one tile needs"
            )));
        }
        if device.largest_buffer < to_u64(TILE_SIZE) {
            return Err(AtlasError::unsupported(format!(
                "the OpenCL device {} allows buffers of at most {} bytes, and a tile needs {TILE_SIZE} bytes",
                device.name, device.largest_buffer
            )));
        }
        // Two lanes before larger ones, and the largest buffer of a lane is that of its strings.
        let fits = (limit / 2 / FOOTPRINT).min(device.largest_buffer / to_u64(TILE_SIZE));
        let batch = fits.clamp(1, MAX_BATCH);
        let left = (limit / (batch * FOOTPRINT)).clamp(1, MAX_LANES);
        // Strings on the device need little memory. What is left of a lane's part is for more of them.
        let more = (limit / left).saturating_sub(batch * FOOTPRINT) / FOOTPRINT_IN_PLACE;
        let wanted = (u64::from(device.compute_units) * STRINGS_PER_UNIT).clamp(batch, MAX_BATCH_IN_PLACE);
        // Their largest buffer has 32 KiB for each.
        let fits = (device.largest_buffer / FOOTPRINT_IN_PLACE).max(batch);
        let batch_in_place = wanted.min(batch + more).min(fits);
        let accelerator = Accelerator {
            device,
            lanes: Mutex::new(Lanes { free: Vec::new(), left }),
            freed: Condvar::new(),
            batch: to_usize(batch),
            batch_in_place: to_usize(batch_in_place),
            hashed: AtomicU64::new(0),
            share: Share::default(),
        };
        accelerator.test()?;
        accelerator.hashed.store(0, Ordering::Relaxed);
        Ok(accelerator)
    }

    /// Hashes known bytes of 20 lengths on the device, with a key and without, and compares the results with
    /// those of the processor. Fails with UNSUPPORTED if they differ.
    fn test(&self) -> Result<()> {
        const LENGTHS: [usize; 20] = [
            1, 63, 64, 65, 1_023, 1_024, 1_025, 2_047, 2_048, 2_049, 3_073, 5_120, 7_169, 16_383, 16_384,
            16_385, 100_001, 524_289, 1_048_575, 1_048_576,
        ];
        let mut bytes = crate::base::buffer::Buffer::new(TILE_SIZE)?;
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = (index.wrapping_mul(2_654_435_761) >> 11).to_le_bytes()[0];
        }
        let key = *blake3::hash(b"self-test").as_bytes();
        // A failing device is not to be had, whatever its code.
        let unusable = |error: AtlasError| match error.kind() {
            ErrorKind::OutOfMemory => error,
            _ => AtlasError::unsupported(format!(
                "the self-test of the OpenCL device {} failed: {error}",
                self.device.name
            ))
            .with_os_error(error.os_error()),
        };
        for lengths in LENGTHS.chunks(self.batch) {
            // Strings end with the known bytes, so that they begin at any place.
            let strings = try_collect(lengths.iter().map(|len| &bytes[TILE_SIZE - len..]))?;
            for key in [None, Some(&key)] {
                let batch = Batch { key, strings: Strings::Host(&strings), with_groups: true };
                let running = self.start(&batch, true).map_err(unusable)?;
                let Some(running) = running else {
                    return Err(AtlasError::internal(
                        "a defect of the library, please report it: there is no lane",
                    ));
                };
                let found = running.wait().map_err(unusable)?;
                if !strings.iter().zip(&found).all(|(string, found)| *found == expected(key, string)) {
                    return Err(AtlasError::unsupported(format!(
                        "the OpenCL device {} fails the self-test: its digests are wrong",
                        self.device.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// Fails with STATE in a forked child, and after an earlier failure of the device.
    pub(crate) fn check(&self) -> Result<()> {
        self.device.opencl.check_process()?;
        if self.device.has_failed() {
            return Err(AtlasError::state(format!(
                "the OpenCL device {} failed in an earlier call with this pool: make another pool",
                self.device.name
            )));
        }
        Ok(())
    }

    pub(crate) fn info(&self) -> AcceleratorInfo {
        AcceleratorInfo {
            name: self.device.name.clone(),
            compute_units: self.device.compute_units,
            memory_size: self.device.memory_size,
            bytes_hashed: self.hashed.load(Ordering::Relaxed),
        }
    }

    /// Returns the maximum number of tiles of a batch from the host.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Returns the maximum number of tiles of a batch whose bytes already lie on the device.
    pub(crate) fn batch_in_place(&self) -> usize {
        self.batch_in_place
    }

    /// Returns true if the device's share of `count` tiles from the host is at least one tile. Of the calls with a
    /// smaller share, every 16th returns true too, so that the device is tried again.
    pub(crate) fn pays(&self, count: u64) -> bool {
        self.share.pays(count)
    }

    /// Returns the number of tiles that the device is to hash, of `count` in memory of the host.
    pub(crate) fn share(&self, count: usize) -> usize {
        self.share.of(count)
    }

    /// Adapts the device's share to the measured times of a set of tiles.
    pub(crate) fn learn(&self, measured: Measured) {
        self.share.learn(measured);
    }

    /// Marks the device as failed, or wrong, so that it gets no more work.
    pub(crate) fn refuse(&self) {
        self.device.refuse();
    }

    fn failure(&self, failure: Failure) -> AtlasError {
        self.device.failed(failure)
    }

    /// Starts a batch: at most [`batch`](Self::batch) tiles from the host, or
    /// [`batch_in_place`](Self::batch_in_place) tiles on the device.
    ///
    /// If no lane is free, returns `None`, or waits for one if `patiently` is set. A caller that waits must hold
    /// no lane.
    pub(crate) fn start(&self, batch: &Batch<'_>, patiently: bool) -> Started<'_> {
        let Some(lane) = self.lane(patiently)? else { return Ok(None) };
        let bytes = match batch.strings {
            Strings::Host(strings) => strings.iter().map(|string| to_u64(string.len())).sum(),
            Strings::Device { ranges, .. } => ranges.iter().map(|(_, len)| to_u64(*len)).sum(),
        };
        let mut running = Running { accelerator: self, lane: Some(lane), bytes };
        let Some(lane) = &mut running.lane else { return Ok(None) };
        match lane.start(&self.device, batch) {
            Ok(()) => Ok(Some(running)),
            // Dropping the batch waits for the part that has started.
            Err(failure) => Err(self.failure(failure)),
        }
    }

    /// Takes a free lane or makes one. If there is none, returns `None`, or waits for one if `patiently` is set.
    fn lane(&self, patiently: bool) -> Result<Option<Lane>> {
        // A child must not even take the lock, which another thread could have held at the fork.
        self.device.opencl.check_process()?;
        let mut lanes = lock(&self.lanes);
        // A failure of another thread ends the call by itself: the first one in the order of the tiles is reported.
        loop {
            if let Some(lane) = lanes.free.pop() {
                return Ok(Some(lane));
            }
            if lanes.left > 0 {
                lanes.left -= 1;
                drop(lanes);
                return match Lane::new(&self.device, self.batch_in_place, self.batch) {
                    Ok(lane) => Ok(Some(lane)),
                    Err(failure) => {
                        self.give_up_lane();
                        Err(self.failure(failure))
                    }
                };
            }
            if !patiently {
                return Ok(None);
            }
            lanes = self.freed.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_lane(&self, lane: Lane) {
        let mut lanes = lock(&self.lanes);
        // Room for it was there when it was made; without memory it is dropped and may be made again.
        match lanes.free.try_reserve(1) {
            Ok(()) => lanes.free.push(lane),
            Err(_) => lanes.left += 1,
        }
        self.freed.notify_all();
    }

    fn give_up_lane(&self) {
        lock(&self.lanes).left += 1;
        self.freed.notify_all();
    }

    /// Retains `buffer`, an OpenCL buffer in the context of this accelerator, and returns its range of `size` bytes at
    /// `offset`.
    ///
    /// # Safety
    ///
    /// `buffer` is NULL or a live memory object of the loader's OpenCL.
    pub(crate) unsafe fn buffer(&self, buffer: Handle, offset: u64, size: u64) -> Result<DeviceBuffer> {
        self.check()?;
        // SAFETY: as the caller promises.
        unsafe { DeviceBuffer::new(self, buffer, offset, size) }
    }
}

impl fmt::Debug for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accelerator").field("name", &self.device.name).finish_non_exhaustive()
    }
}

/// Computes on the processor the result that a device must return for the tile `string`.
pub(super) fn expected(key: Option<&[u8; 32]>, string: &[u8]) -> Hashed {
    let digest = match key {
        Some(key) => blake3::keyed_hash(key, string),
        None => blake3::hash(string),
    };
    let mut residues = [0; RESIDUES];
    for (group, residue) in string.chunks(GROUP_SIZE).zip(&mut residues) {
        *residue = (group.iter().map(|byte| u64::from(*byte)).sum::<u64>() % 96).to_le_bytes()[0];
    }
    // Every group is a subtree of BLAKE3's tree, at its place in the string.
    let group = |(index, group): (usize, &[u8])| {
        let mut hasher = key.map_or_else(blake3::Hasher::new, blake3::Hasher::new_keyed);
        hasher.set_input_offset(to_u64(index * GROUP_SIZE)).update(group).finalize_non_root()
    };
    let groups = match string.len() > GROUP_SIZE {
        true => string.chunks(GROUP_SIZE).enumerate().map(group).collect(),
        false => Vec::new(),
    };
    Hashed { digest: *digest.as_bytes(), residues, groups }
}

/// A batch in flight on the device. Dropping it waits for its end.
pub(crate) struct Running<'a> {
    accelerator: &'a Accelerator,
    /// Lane that runs the batch. `None` once it was given back to the accelerator.
    lane: Option<Lane>,
    bytes: u64,
}

impl Running<'_> {
    /// Returns true if the times of this batch are typical. Those of the first batch of a lane are not, because it also
    /// makes buffers.
    pub(crate) fn is_typical(&self) -> bool {
        self.lane.as_ref().is_some_and(|lane| lane.is_warm)
    }

    /// Returns true if the device has ended the batch.
    pub(crate) fn is_done(&self) -> bool {
        self.lane.as_ref().is_none_or(|lane| lane.is_done(&self.accelerator.device))
    }

    /// Waits for the results, and returns them in the order of the tiles.
    pub(crate) fn wait(mut self) -> Result<Vec<Hashed>> {
        let accelerator = self.accelerator;
        // A progress callback may have forked.
        accelerator.device.opencl.check_process()?;
        let Some(lane) = &mut self.lane else { return Ok(Vec::new()) };
        let found = lane.wait(&accelerator.device).map_err(|failure| accelerator.failure(failure))?;
        accelerator.hashed.fetch_add(self.bytes, Ordering::Relaxed);
        if let Some(lane) = self.lane.take() {
            accelerator.give_lane(lane);
        }
        Ok(found)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Results that nobody wants, or a failure. A child calls no OpenCL, and its parent has the lane.
        let Some(mut lane) = self.lane.take() else { return };
        if self.accelerator.device.opencl.check_process().is_err() {
            return;
        }
        let is_usable = lane.finish(&self.accelerator.device) && self.accelerator.check().is_ok();
        if is_usable {
            self.accelerator.give_lane(lane);
        } else {
            drop(lane);
            self.accelerator.give_up_lane();
        }
    }
}
