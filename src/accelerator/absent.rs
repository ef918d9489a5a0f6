//! Stand-ins for builds without the feature `opencl`: types without a value, so that there is never an
//! accelerator.

use super::{AcceleratorInfo, AcceleratorOptions, Batch, Hashed, Started};
use crate::base::error::{AtlasError, Result};
use crate::base::out_bytes::OutBytes;
use std::marker::PhantomData;

/// An accelerator in a build without OpenCL. The type has no value.
#[derive(Debug)]
pub(crate) enum Accelerator {}

impl Accelerator {
    /// Fails with UNSUPPORTED, because this build has no accelerators.
    pub(crate) fn open(_: &AcceleratorOptions<'_>) -> Result<Accelerator> {
        Err(AtlasError::unsupported(
            "this build of the library has no OpenCL accelerators: build it with the Cargo feature opencl",
        ))
    }

    pub(crate) fn check(&self) -> Result<()> {
        match *self {}
    }

    pub(crate) fn info(&self) -> AcceleratorInfo {
        match *self {}
    }

    pub(crate) fn batch(&self) -> usize {
        match *self {}
    }

    pub(crate) fn batch_in_place(&self) -> usize {
        match *self {}
    }

    pub(crate) fn pays(&self, _: u64) -> bool {
        match *self {}
    }

    pub(crate) fn share(&self, _: usize) -> usize {
        match *self {}
    }

    pub(crate) fn learn(&self, _: super::Measured) {
        match *self {}
    }

    pub(crate) fn refuse(&self) {
        match *self {}
    }

    /// Never called, because the type has no value.
    ///
    /// # Safety
    ///
    /// There is nothing to call it with.
    pub(crate) unsafe fn buffer(&self, _: *mut std::ffi::c_void, _: u64, _: u64) -> Result<DeviceBuffer> {
        match *self {}
    }

    pub(crate) fn start(&self, _: &Batch<'_>, _: bool) -> Started<'_> {
        match *self {}
    }
}

/// A batch in flight in a build without OpenCL. The type has no value.
pub(crate) struct Running<'a> {
    never: Accelerator,
    accelerator: PhantomData<&'a ()>,
}

impl Running<'_> {
    pub(crate) fn is_typical(&self) -> bool {
        match self.never {}
    }

    pub(crate) fn is_done(&self) -> bool {
        match self.never {}
    }

    pub(crate) fn wait(self) -> Result<Vec<Hashed>> {
        match self.never {}
    }
}

/// A buffer of a device in a build without OpenCL. The type has no value.
pub(crate) enum DeviceBuffer {}

impl DeviceBuffer {
    pub(crate) fn is_on(&self, _: &Accelerator) -> bool {
        match *self {}
    }

    pub(crate) fn place(&self, _: u64) -> u64 {
        match *self {}
    }

    pub(crate) fn read(&self, _: u64, _: OutBytes<'_>) -> Result<()> {
        match *self {}
    }
}
