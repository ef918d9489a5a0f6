//! Buffers of an OpenCL device that the calling program made: their bytes are hashed in place or read.

use super::Accelerator;
use super::device::Device;
use super::lane::{Outcome, buffer, queue};
use super::opencl::{self, Failure, Handle, Object, check};
use crate::base::error::{AtlasError, ErrorKind, Result, check_range};
use crate::base::out_bytes::OutBytes;
use crate::base::sync::lock;
use crate::base::units::{TILE_SIZE, to_u64, to_usize};
use std::ptr;
use std::sync::{Arc, Mutex};

/// A range of an OpenCL buffer that the calling program made. Keeps the buffer and its context alive.
pub(crate) struct DeviceBuffer {
    device: Arc<Device>,
    buffer: Object,
    /// Offset of the range in the OpenCL buffer.
    start: u64,
    /// Queue for reads by the host, one at a time, and a buffer through which the bytes go if the host may not
    /// read the program's buffer.
    reads: Mutex<Reads>,
    /// True if the host may read the program's buffer directly.
    is_readable: bool,
}

struct Reads {
    queue: Object,
    /// Device buffer of 1 MiB through which bytes go to the host. Made by the first read that needs it.
    staging: Option<Object>,
}

impl DeviceBuffer {
    /// Retains the OpenCL buffer `handle`, and returns its range of `size` bytes at `offset`. Fails with
    /// INVALID_ARGUMENT if kernels of `accelerator` cannot read the buffer, with OUT_OF_RANGE if the range is outside
    /// it.
    ///
    /// # Safety
    ///
    /// `handle` is NULL or a live memory object of the loader's OpenCL.
    pub(super) unsafe fn new(
        accelerator: &Accelerator,
        handle: Handle,
        offset: u64,
        size: u64,
    ) -> Result<DeviceBuffer> {
        let device = Arc::clone(&accelerator.device);
        let cl = device.opencl;
        if handle.is_null() {
            return Err(AtlasError::invalid_argument("buffer is NULL"));
        }
        // A handle of no memory object is the caller's mistake, anything else is a failure of the device.
        let wrong = |failure: Failure| match failure.is_no_memory_object() {
            true => failure.error(ErrorKind::InvalidArgument),
            false => device.failed(failure),
        };
        // SAFETY: a live memory object, as the caller promises.
        check("retaining the buffer", unsafe { (cl.retain_mem)(handle) }).map_err(wrong)?;
        // SAFETY: the reference that was just taken.
        let buffer = unsafe { Object::made(cl, "retaining the buffer", (handle, 0), cl.release_mem) }
            .map_err(wrong)?;
        // An image is no buffer, and a buffer of another context cannot be used in this one.
        if cl.value::<u32>(cl.mem_info, handle, opencl::MEM_TYPE).map_err(wrong)? != opencl::MEM_OBJECT_BUFFER
        {
            return Err(AtlasError::invalid_argument(
                "the OpenCL memory object is not a buffer: make it with clCreateBuffer",
            ));
        }
        let context: Address = cl.value(cl.mem_info, handle, opencl::MEM_CONTEXT).map_err(wrong)?;
        if context.0 != device.context.handle().addr() {
            return Err(AtlasError::invalid_argument(
                "the OpenCL buffer belongs to another context than that of the pool's accelerator",
            ));
        }
        let flags = cl.value::<u64>(cl.mem_info, handle, opencl::MEM_FLAGS).map_err(wrong)?;
        if flags & opencl::MEM_WRITE_ONLY != 0 {
            return Err(AtlasError::invalid_argument(
                "the OpenCL buffer is CL_MEM_WRITE_ONLY, so that no kernel can read it: make it readable",
            ));
        }
        let len = cl.value::<usize>(cl.mem_info, handle, opencl::MEM_SIZE).map_err(wrong)?;
        check_range(offset, size, to_u64(len), "range of the buffer")?;
        let queue = queue(&device).map_err(|failure| device.failed(failure))?;
        Ok(DeviceBuffer {
            device,
            buffer,
            start: offset,
            reads: Mutex::new(Reads { queue, staging: None }),
            is_readable: flags & (opencl::MEM_HOST_WRITE_ONLY | opencl::MEM_HOST_NO_ACCESS) == 0,
        })
    }

    pub(super) fn handle(&self) -> Handle {
        self.buffer.handle()
    }

    /// Returns true if the buffer is in the context of `accelerator`, so that its kernels can read it.
    pub(crate) fn is_on(&self, accelerator: &Accelerator) -> bool {
        // One context may serve several pools.
        self.device.context.handle() == accelerator.device.context.handle()
    }

    /// Returns the offset in the OpenCL buffer of the byte at `offset` of the range.
    pub(crate) fn place(&self, offset: u64) -> u64 {
        self.start + offset
    }

    /// Fills `out`, in memory of the host, with the bytes of the range from `offset` on. After a failure other than a
    /// lack of memory, the device gets no more work from the pool that made the range.
    pub(crate) fn read(&self, offset: u64, out: OutBytes<'_>) -> Result<()> {
        // A child may not call OpenCL, nor take the lock, which another thread could have held at the fork.
        self.device.opencl.check_process()?;
        self.copy(offset, out).map_err(|failure| self.device.failed(failure))
    }

    fn copy(&self, offset: u64, mut out: OutBytes<'_>) -> Outcome<()> {
        let (mut reads, cl) = (lock(&self.reads), self.device.opencl);
        if self.is_readable {
            return self.fetch(&reads, self.buffer.handle(), self.place(offset), out);
        }
        // Otherwise the device copies the bytes to a buffer that the host may read.
        if reads.staging.is_none() {
            reads.staging = Some(buffer(&self.device, opencl::MEM_READ_WRITE, TILE_SIZE)?);
        }
        let mut at = self.place(offset);
        while let Some(staging) = reads.staging.as_ref().filter(|_| !out.is_empty()) {
            let part = out.split_off_front(out.len().min(TILE_SIZE));
            // SAFETY: live buffers, with as many bytes in both.
            let status = unsafe {
                let (queue, from, to) = (reads.queue.handle(), self.buffer.handle(), staging.handle());
                (cl.enqueue_copy)(
                    queue,
                    from,
                    to,
                    to_usize(at),
                    0,
                    part.len(),
                    0,
                    ptr::null(),
                    ptr::null_mut(),
                )
            };
            check("copying bytes on the device", status)?;
            at += to_u64(part.len());
            self.fetch(&reads, staging.handle(), 0, part)?;
        }
        Ok(())
    }

    /// Fills `out` with bytes of an OpenCL buffer from `offset` on, and returns when they are there.
    fn fetch(&self, reads: &Reads, buffer: Handle, offset: u64, mut out: OutBytes<'_>) -> Outcome<()> {
        let (len, to) = (out.len(), out.as_mut_ptr().cast());
        // OpenCL refuses a copy of nothing.
        if len == 0 {
            return Ok(());
        }
        // SAFETY: a live buffer with these bytes, and room for them. The call returns when they are written.
        let status = unsafe {
            let read = self.device.opencl.enqueue_read;
            let (queue, at) = (reads.queue.handle(), to_usize(offset));
            read(queue, buffer, opencl::TRUE, at, len, to, 0, ptr::null(), ptr::null_mut())
        };
        let read = check("reading bytes of the device", status);
        if read.is_err() {
            // Until then the driver may write to the memory.
            // SAFETY: a live queue. A failure has no remedy.
            unsafe { (self.device.opencl.finish)(reads.queue.handle()) };
        }
        read
    }
}

/// An OpenCL object as a number, the value of a property that names another object.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
struct Address(usize);
