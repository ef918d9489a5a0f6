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
//! processor until its results are asked for. A thread that waits for a free lane holds none, so that threads never wait
//! for each other in a circle.
//!
//! A device is trusted as far as it is checked: known bytes when it is opened, and some of the strings of every call
//! by `tile::offload`. Once a call of OpenCL or a digest is wrong, the accelerator refuses further work. A lack of
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

/// Number of groups of 16 KiB in the longest string.
pub(crate) const RESIDUES: usize = crate::base::units::GROUPS;

/// Choice of the OpenCL device of a [`Pool`](crate::Pool), and the device memory that it may use.
#[derive(Debug, Clone, Copy)]
pub struct AcceleratorOptions<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) index: u32,
    /// Bytes of device memory. 0 means a quarter of it, at most 1 GiB.
    pub(crate) memory_limit: u64,
    /// The program's own context and device, or NULL.
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

    /// Selects devices of any kind with this text in their name or in that of their platform, in any case.
    #[must_use]
    pub fn with_name(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// Selects one of several matching devices, from 0.
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

    /// Uses a device in a context of the program, whose buffers can then be sources. Name and index are ignored.
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

/// Properties of the OpenCL device of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceleratorInfo {
    /// Name of the device.
    pub name: String,
    /// Number of its compute units.
    pub compute_units: u32,
    /// Bytes of its memory.
    pub memory_size: u64,
    /// Bytes that it has hashed since the pool was made.
    pub bytes_hashed: u64,
}

/// Strings of a batch.
#[derive(Clone, Copy)]
pub(crate) enum Strings<'s> {
    /// In memory of the host.
    Host(&'s [&'s [u8]]),
    /// Offset and length of each string in a buffer of the device.
    Device { buffer: &'s DeviceBuffer, ranges: &'s [(u64, usize)] },
}

/// A batch to start.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'s> {
    pub(crate) key: Option<&'s [u8; 32]>,
    pub(crate) strings: Strings<'s>,
    /// True if the chaining values of the groups are wanted.
    pub(crate) with_groups: bool,
}

/// Result of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) digest: [u8; 32],
    /// Sum mod 96 of each group; 0 after the end of the string.
    pub(crate) residues: [u8; RESIDUES],
    /// Chaining value of each group of a string of several, if they were wanted.
    pub(crate) groups: Vec<[u8; 32]>,
}

/// One batch of device and processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Number of strings of each.
    pub(crate) device: usize,
    pub(crate) processor: usize,
    /// Seconds in which the bytes were copied to the device.
    pub(crate) copy_time: f64,
    /// Seconds in which the processor hashed, after the copy.
    pub(crate) processor_time: f64,
    /// Seconds from the copy until both were done.
    pub(crate) time: f64,
    /// True if the device was done before the processor, which had strings.
    pub(crate) was_done: bool,
}

/// A batch that has started, or `None` if the device had no room for it.
pub(crate) type Started<'a> = Result<Option<Running<'a>>>;
