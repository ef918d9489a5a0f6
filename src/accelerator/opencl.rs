//! The functions of OpenCL 1.2 that are used, from the system's loader.
//!
//! The loader is opened by the first call that needs it, and never closed. The crates that could do this, `cl3`
//! among them, open `libOpenCL.so`, which comes with the headers of a development package alone; programs link, and
//! systems have, `libOpenCL.so.1`. They also guard the library by a lock, which a fork may leave closed.

use crate::base::buffer::try_filled;
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::process::Process;
use crate::base::slot::Slot;
use libloading::Library;
use std::ffi::{c_char, c_void};
use std::fmt;
use std::ptr;

/// Status that a call of OpenCL returns: 0 for success, or a negative error code.
pub(super) type Status = i32;
/// Any object of OpenCL: a platform, device, context, queue, program, kernel, buffer or event.
pub(super) type Handle = *mut c_void;

pub(super) const SUCCESS: Status = 0;
const DEVICE_NOT_FOUND: Status = -1;
const MEM_OBJECT_ALLOCATION_FAILURE: Status = -4;
const OUT_OF_RESOURCES: Status = -5;
pub(super) const OUT_OF_HOST_MEMORY: Status = -6;
pub(super) const INVALID_VALUE: Status = -30;
const INVALID_PLATFORM: Status = -32;
const INVALID_MEM_OBJECT: Status = -38;
const INVALID_BUFFER_SIZE: Status = -61;
/// Error code of the loader if it knows no driver.
const PLATFORM_NOT_FOUND: Status = -1001;

pub(super) const TRUE: u32 = 1;
pub(super) const FALSE: u32 = 0;
pub(super) const DEVICE_TYPE_GPU: u64 = 1 << 2;
pub(super) const DEVICE_TYPE_ALL: u64 = 0xFFFF_FFFF;
pub(super) const PLATFORM_NAME: u32 = 0x0902;
pub(super) const DEVICE_MAX_COMPUTE_UNITS: u32 = 0x1002;
pub(super) const DEVICE_MAX_MEM_ALLOC_SIZE: u32 = 0x1010;
pub(super) const DEVICE_GLOBAL_MEM_SIZE: u32 = 0x101F;
pub(super) const DEVICE_ENDIAN_LITTLE: u32 = 0x1026;
pub(super) const DEVICE_NAME: u32 = 0x102B;
pub(super) const CONTEXT_DEVICES: u32 = 0x1081;
pub(super) const CONTEXT_PLATFORM: isize = 0x1084;
pub(super) const PROGRAM_BINARY_SIZES: u32 = 0x1165;
pub(super) const PROGRAM_BINARIES: u32 = 0x1166;
pub(super) const PROGRAM_BUILD_LOG: u32 = 0x1183;
pub(super) const EVENT_COMMAND_EXECUTION_STATUS: u32 = 0x11D3;
pub(super) const KERNEL_WORK_GROUP_SIZE: u32 = 0x11B0;
pub(super) const MEM_TYPE: u32 = 0x1100;
pub(super) const MEM_FLAGS: u32 = 0x1101;
pub(super) const MEM_SIZE: u32 = 0x1102;
pub(super) const MEM_CONTEXT: u32 = 0x1106;
pub(super) const MEM_OBJECT_BUFFER: u32 = 0x10F0;
pub(super) const MEM_READ_WRITE: u64 = 1 << 0;
pub(super) const MEM_WRITE_ONLY: u64 = 1 << 1;
pub(super) const MEM_READ_ONLY: u64 = 1 << 2;
pub(super) const MEM_HOST_WRITE_ONLY: u64 = 1 << 7;
pub(super) const MEM_HOST_NO_ACCESS: u64 = 1 << 9;

/// Callback for messages of a context or for the end of a build. The library always passes none.
type Notify = Option<unsafe extern "system" fn()>;
/// Type of OpenCL's functions that return a property: object, property, size of the memory, memory, and size of
/// the value.
type Info = unsafe extern "system" fn(Handle, u32, usize, *mut c_void, *mut usize) -> Status;
type Count = unsafe extern "system" fn(Handle) -> Status;

/// Declares `OpenCl` with a field for each function, and the constructor that looks all of them up in the
/// loader.
macro_rules! functions {
    ($($name:ident = $symbol:literal: $type:ty;)*) => {
        /// The functions of OpenCL, with the loader library that has them.
        pub(super) struct OpenCl {
            $(pub(super) $name: $type,)*
            /// Process that opened the loader. OpenCL must not be used in a forked child.
            process: Process,
            _library: Library,
        }

        impl OpenCl {
            fn of(library: Library) -> std::result::Result<OpenCl, libloading::Error> {
                Ok(OpenCl {
                    // SAFETY: the types are those of the OpenCL specification, and the library stays open.
                    $($name: unsafe { *library.get::<$type>($symbol)? },)*
                    process: Process::current(),
                    _library: library,
                })
            }
        }
    };
}

functions! {
    platforms = b"clGetPlatformIDs\0": unsafe extern "system" fn(u32, *mut Handle, *mut u32) -> Status;
    platform_info = b"clGetPlatformInfo\0": Info;
    devices = b"clGetDeviceIDs\0": unsafe extern "system" fn(Handle, u64, u32, *mut Handle, *mut u32) -> Status;
    device_info = b"clGetDeviceInfo\0": Info;
    retain_device = b"clRetainDevice\0": Count;
    release_device = b"clReleaseDevice\0": Count;
    create_context = b"clCreateContext\0":
        unsafe extern "system" fn(*const isize, u32, *const Handle, Notify, *mut c_void, *mut Status) -> Handle;
    context_info = b"clGetContextInfo\0": Info;
    retain_context = b"clRetainContext\0": Count;
    release_context = b"clReleaseContext\0": Count;
    create_queue = b"clCreateCommandQueue\0":
        unsafe extern "system" fn(Handle, Handle, u64, *mut Status) -> Handle;
    release_queue = b"clReleaseCommandQueue\0": Count;
    create_buffer = b"clCreateBuffer\0":
        unsafe extern "system" fn(Handle, u64, usize, *mut c_void, *mut Status) -> Handle;
    retain_mem = b"clRetainMemObject\0": Count;
    release_mem = b"clReleaseMemObject\0": Count;
    mem_info = b"clGetMemObjectInfo\0": Info;
    program_with_source = b"clCreateProgramWithSource\0":
        unsafe extern "system" fn(Handle, u32, *const *const c_char, *const usize, *mut Status) -> Handle;
    program_with_binary = b"clCreateProgramWithBinary\0": unsafe extern "system" fn(
        Handle, u32, *const Handle, *const usize, *const *const u8, *mut Status, *mut Status,
    ) -> Handle;
    build_program = b"clBuildProgram\0":
        unsafe extern "system" fn(Handle, u32, *const Handle, *const c_char, Notify, *mut c_void) -> Status;
    program_info = b"clGetProgramInfo\0": Info;
    build_info = b"clGetProgramBuildInfo\0":
        unsafe extern "system" fn(Handle, Handle, u32, usize, *mut c_void, *mut usize) -> Status;
    release_program = b"clReleaseProgram\0": Count;
    create_kernel = b"clCreateKernel\0": unsafe extern "system" fn(Handle, *const c_char, *mut Status) -> Handle;
    kernel_work_group_info = b"clGetKernelWorkGroupInfo\0":
        unsafe extern "system" fn(Handle, Handle, u32, usize, *mut c_void, *mut usize) -> Status;
    release_kernel = b"clReleaseKernel\0": Count;
    set_arg = b"clSetKernelArg\0": unsafe extern "system" fn(Handle, u32, usize, *const c_void) -> Status;
    enqueue_kernel = b"clEnqueueNDRangeKernel\0": unsafe extern "system" fn(
        Handle, Handle, u32, *const usize, *const usize, *const usize, u32, *const Handle, *mut Handle,
    ) -> Status;
    enqueue_read = b"clEnqueueReadBuffer\0": unsafe extern "system" fn(
        Handle, Handle, u32, usize, usize, *mut c_void, u32, *const Handle, *mut Handle,
    ) -> Status;
    enqueue_write = b"clEnqueueWriteBuffer\0": unsafe extern "system" fn(
        Handle, Handle, u32, usize, usize, *const c_void, u32, *const Handle, *mut Handle,
    ) -> Status;
    enqueue_copy = b"clEnqueueCopyBuffer\0": unsafe extern "system" fn(
        Handle, Handle, Handle, usize, usize, usize, u32, *const Handle, *mut Handle,
    ) -> Status;
    flush = b"clFlush\0": Count;
    finish = b"clFinish\0": Count;
    wait_for_events = b"clWaitForEvents\0": unsafe extern "system" fn(u32, *const Handle) -> Status;
    event_info = b"clGetEventInfo\0": Info;
    release_event = b"clReleaseEvent\0": Count;
}

/// File names of the loader library, tried in this order.
const NAMES: &[&str] = if cfg!(windows) {
    &["OpenCL.dll"]
} else if cfg!(target_os = "macos") {
    &["/System/Library/Frameworks/OpenCL.framework/OpenCL"]
} else {
    // The second one is Android's.
    &["libOpenCL.so.1", "libOpenCL.so"]
};

/// Returns the functions of OpenCL. The first call opens the system's loader.
///
/// Fails with UNSUPPORTED if there is no loader, and with STATE in a forked child of the process that opened it.
pub(super) fn opencl() -> Result<&'static OpenCl> {
    static OPENCL: Slot<OpenCl> = Slot::new();
    let opencl = OPENCL.get(|_| true, open)?;
    opencl.check_process()?;
    Ok(opencl)
}

fn open() -> Result<OpenCl> {
    let mut first = None;
    for name in NAMES {
        // SAFETY: the system's loader of OpenCL, whose initialisers are made to run in any program.
        let opened = unsafe { Library::new(name) };
        match opened.and_then(OpenCl::of) {
            Ok(opencl) => return Ok(opencl),
            // The usual name explains more than the last one.
            Err(error) => first = first.or(Some(error)),
        }
    }
    let reason = first.map_or_else(String::new, |error| format!("{error}"));
    Err(AtlasError::unsupported(format!(
        "the OpenCL loader {} cannot be used ({reason}): install it (Debian: ocl-icd-libopencl1) and the \
         driver of the device",
        NAMES[0]
    )))
}

impl OpenCl {
    /// Fails with STATE in a forked child of the process that opened OpenCL.
    pub(super) fn check_process(&self) -> Result<()> {
        if self.process.is_current() {
            return Ok(());
        }
        Err(AtlasError::state(
            "OpenCL was opened before a fork, and works in the parent process alone: use a pool without an \
             accelerator here",
        ))
    }

    /// Returns the property `name` of `object`, whose value has the type `T`; `info` is the function that
    /// returns it.
    pub(super) fn value<T: Copy + Default>(
        &self,
        info: Info,
        object: Handle,
        name: u32,
    ) -> std::result::Result<T, Failure> {
        let mut value = T::default();
        let place = (&raw mut value).cast();
        // SAFETY: a live object of the kind that `info` takes, and room for a value.
        let status = unsafe { info(object, name, size_of::<T>(), place, ptr::null_mut()) };
        check("asking for a property", status).map(|()| value)
    }

    /// Returns a property whose value is a list, by two calls of `info`: for its size, and for its items. Fails if
    /// there are more than `most` items. All items are `empty` until the second call writes them.
    pub(super) fn list<T: Clone>(
        &self,
        info: impl Fn(usize, *mut c_void, *mut usize) -> Status,
        empty: T,
        most: usize,
    ) -> std::result::Result<Vec<T>, Failure> {
        let (what, mut len) = ("asking for a property", 0);
        check(what, info(0, ptr::null_mut(), &raw mut len))?;
        let count = len / size_of::<T>();
        // A driver that claims too much gets no memory.
        let room = if count > most { None } else { try_filled(empty, count).ok() };
        let mut items = room.ok_or(Failure::no_memory(what))?;
        if count > 0 {
            check(what, info(count * size_of::<T>(), items.as_mut_ptr().cast(), ptr::null_mut()))?;
        }
        Ok(items)
    }

    /// Returns the property `name` of `object`, whose value is a text; `info` is the function that returns it.
    pub(super) fn text(&self, info: Info, object: Handle, name: u32) -> std::result::Result<String, Failure> {
        // SAFETY: as in `value`, with room for `len` bytes.
        let ask = |len, place, size| unsafe { info(object, name, len, place, size) };
        let bytes = self.list(ask, 0u8, 1 << 16)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Ok(String::from_utf8_lossy(&bytes[..end]).trim().to_owned())
    }
}

/// A failed call of OpenCL: its status, and a description of the attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    /// Description of the attempt for the error text.
    what: &'static str,
    pub(super) status: Status,
    /// True if memory of the device or of the driver ran out. The device remains usable.
    is_lack: bool,
}

impl Failure {
    pub(super) fn new(what: &'static str, status: Status) -> Failure {
        let is_lack = matches!(status, MEM_OBJECT_ALLOCATION_FAILURE | OUT_OF_HOST_MEMORY);
        Failure { what, status, is_lack }
    }

    /// Returns the failure of an allocation in memory of the host.
    pub(super) fn no_memory(what: &'static str) -> Failure {
        Failure::new(what, OUT_OF_HOST_MEMORY)
    }

    /// Returns this failure as that of a call that allocates a buffer or uses it for the first time. From such calls
    /// two more codes mean a lack of device memory; from others the first of these codes can mean a crashed kernel.
    pub(super) fn of_allocation(self) -> Failure {
        let is_lack = self.is_lack || matches!(self.status, OUT_OF_RESOURCES | INVALID_BUFFER_SIZE);
        Failure { is_lack, ..self }
    }

    pub(super) fn is_lack_of_memory(self) -> bool {
        self.is_lack
    }

    /// Returns true if OpenCL refused a handle, because it is no memory object.
    pub(super) fn is_no_memory_object(self) -> bool {
        self.status == INVALID_MEM_OBJECT
    }

    /// Returns true if the failure only means that there is no device or driver.
    pub(super) fn is_absence(self) -> bool {
        matches!(self.status, DEVICE_NOT_FOUND | INVALID_PLATFORM | PLATFORM_NOT_FOUND)
    }

    /// Returns an error with OpenCL's code: OUT_OF_MEMORY for a lack of memory, otherwise of the kind
    /// `otherwise`.
    pub(super) fn error(self, otherwise: ErrorKind) -> AtlasError {
        let kind = if self.is_lack_of_memory() { ErrorKind::OutOfMemory } else { otherwise };
        AtlasError::new(kind, format!("{self}")).with_os_error(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenCL failed with code {} at {}", self.status, self.what)
    }
}

/// Converts a status of OpenCL to a result. `what` describes the attempt.
pub(super) fn check(what: &'static str, status: Status) -> std::result::Result<(), Failure> {
    if status == SUCCESS { Ok(()) } else { Err(Failure::new(what, status)) }
}

/// A reference to an object of OpenCL, which is released when it is dropped, except in a forked child.
pub(super) struct Object {
    opencl: &'static OpenCl,
    handle: Handle,
    release: Count,
}

// SAFETY: OpenCL's objects may be used from any thread. Arguments of a kernel are set by its owner alone, which
// needs it exclusively.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

impl Object {
    /// Takes over the OpenCL object that a call returned with a status, or reports the call's failure. `what`
    /// describes the call.
    ///
    /// # Safety
    ///
    /// `release` releases objects of this kind. With status 0 the handle is live, and nothing else releases it.
    pub(super) unsafe fn made(
        opencl: &'static OpenCl,
        what: &'static str,
        (handle, status): (Handle, Status),
        release: Count,
    ) -> std::result::Result<Object, Failure> {
        check(what, status)?;
        // A broken driver: neither an object nor a code.
        if handle.is_null() {
            return Err(Failure::no_memory(what));
        }
        Ok(Object { opencl, handle, release })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // The objects of a child are the parent's.
        if self.opencl.process.is_current() {
            // SAFETY: a live object of this kind, whose reference is given up once. A failure has no remedy.
            unsafe { (self.release)(self.handle) };
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}
