//! OpenCL devices that hash strings of bytes in batches.
//!
//! ```text
//! opencl    functions of the system's loader, opened by the first accelerator
//! device    choice of a device, its context, the compiled kernels
//! lane      a queue with buffers: one batch at a time
//! memory    buffers of a program as bytes to hash in place
//! share     how many of the strings in memory of the host are the device's
//! ```
//!
//! A string is the bytes of a tile: at most 1 MiB. Its result is BLAKE3's digest, keyed or not, and the sum mod 96 of
//! each of its groups of 16 KiB. An accelerator has a few lanes; a batch takes a free one and runs beside the
//! processor until its results are asked for. A thread that waits for a free lane holds none, so that threads never
//! wait for each other in a circle.
//!
//! A device is trusted as far as it is checked: known bytes when it is opened, and some of the strings of every call by
//! `tile::offload`. Once a call of OpenCL fails or a digest is wrong, the accelerator refuses further work. A lack of
//! memory is no such failure.

#![cfg_attr(not(feature = "opencl"), allow(dead_code, reason = "there is no device to use it"))]

use crate::base::error::Result;
use std::ffi::c_void;
use std::marker::PhantomData;

#[cfg(feature = "opencl")]
mod device;
#[cfg(feature = "opencl")]
mod lane;
#[cfg(feature = "opencl")]
mod memory;
#[cfg(feature = "opencl")]
mod opencl;

#[cfg(feature = "opencl")]
mod present;
#[cfg(feature = "opencl")]
mod share;
#[cfg(feature = "opencl")]
pub(crate) use memory::DeviceBuffer;
#[cfg(feature = "opencl")]
pub(crate) use present::{Accelerator, Running};

#[cfg(not(feature = "opencl"))]
mod absent;
#[cfg(not(feature = "opencl"))]
pub(crate) use absent::{Accelerator, DeviceBuffer, Running};

#[cfg(test)]
#[cfg(feature = "opencl")]
mod tests;

/// Number of groups of 16 KiB in the longest string that a device hashes, which is a whole tile.
pub(crate) const RESIDUES: usize = crate::base::units::GROUPS;

/// Choice of the OpenCL device of a [`Pool`](crate::Pool), and the device memory that it may use.
#[derive(Debug, Clone, Copy)]
pub struct AcceleratorOptions<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) index: u32,
    /// Maximum number of bytes of device memory. 0 means a quarter of the device's memory, at most 1 GiB.
    pub(crate) memory_limit: u64,
    /// OpenCL context and device of the calling program, or both NULL.
    pub(crate) context: *mut c_void,
    pub(crate) device: *mut c_void,
    borrowed: PhantomData<&'a ()>,
}

impl Default for AcceleratorOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> AcceleratorOptions<'a> {
    /// Returns the default: the first GPU, and a quarter of its memory, at most 1 GiB.
    pub fn new() -> Self {
        AcceleratorOptions {
            name: None,
            index: 0,
            memory_limit: 0,
            context: std::ptr::null_mut(),
            device: std::ptr::null_mut(),
            borrowed: PhantomData,
        }
    }

    /// Selects devices of any kind with this text in their name or in that of their platform. Ignores the case of
    /// letters.
    #[must_use]
    pub fn with_name(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// Selects one of several matching devices by its index, counted from 0.
    #[must_use]
    pub fn with_index(mut self, index: u32) -> Self {
        self.index = index;
        self
    }

    /// Sets the maximum number of bytes of device memory. 0 means the default.
    #[must_use]
    pub fn with_memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Uses this device in this OpenCL context of the program, so that buffers of the context can be sources.
    /// Name and index are ignored.
    ///
    /// # Safety
    ///
    /// Both are NULL, or a live `cl_context` and a live `cl_device_id` of the loader that the library opens.
    #[must_use]
    pub unsafe fn with_context(mut self, context: *mut c_void, device: *mut c_void) -> Self {
        (self.context, self.device) = (context, device);
        self
    }
}

/// Properties of the OpenCL device of a [`Pool`](crate::Pool).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceleratorInfo {
    /// Name of the device, as its driver reports it.
    pub name: String,
    /// Number of compute units of the device.
    pub compute_units: u32,
    /// Size of the device's memory in bytes.
    pub memory_size: u64,
    /// Number of bytes that the device has hashed since the pool was made.
    pub bytes_hashed: u64,
}

/// The strings (bytes of tiles, at most 1 MiB each) that a batch hashes.
#[derive(Clone, Copy)]
pub(crate) enum Strings<'s> {
    /// Strings in memory of the host, which are copied to the device.
    Host(&'s [&'s [u8]]),
    /// Strings in a buffer of the device, each with its offset in the buffer and its length.
    Device { buffer: &'s DeviceBuffer, ranges: &'s [(u64, usize)] },
}

/// Strings (bytes of tiles) to hash together on the device, with one key or none.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'s> {
    pub(crate) key: Option<&'s [u8; 32]>,
    pub(crate) strings: Strings<'s>,
    /// True if the chaining values of the groups of 16 KiB are to be returned too.
    pub(crate) with_groups: bool,
}

/// Result of hashing a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) digest: [u8; 32],
    /// Sum mod 96 of the bytes of each group of 16 KiB; 0 after the end of the string.
    pub(crate) residues: [u8; RESIDUES],
    /// BLAKE3 chaining value of each group of 16 KiB, if they were asked for. Empty for a string of a single
    /// group.
    pub(crate) groups: Vec<[u8; 32]>,
}

/// Times of a set of tiles that were divided between the device and the processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Number of tiles that the device hashed; below, that of the processor.
    pub(crate) device: usize,
    pub(crate) processor: usize,
    /// Seconds that the copy of the bytes to the device took.
    pub(crate) copy_time: f64,
    /// Seconds that the processor took to hash its tiles, after the copy.
    pub(crate) processor_time: f64,
    /// Seconds from the start of the copy until device and processor were done.
    pub(crate) time: f64,
    /// True if the device was done when the processor finished its tiles. False if the processor had none.
    pub(crate) was_done: bool,
}

/// A batch in flight on the device, or `None` if no lane was free for it.
pub(crate) type Started<'a> = Result<Option<Running<'a>>>;
