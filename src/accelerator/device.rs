//! The OpenCL device of an accelerator: its choice, its context, and the program that is compiled for it.

use super::AcceleratorOptions;
use super::opencl::{self, Failure, Handle, Object, OpenCl, check, opencl};
use crate::base::buffer::{try_collect, try_filled, try_push};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::sync::lock;
use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const KERNELS: &str = include_str!("kernels.cl");
const BUILD_OPTIONS: &CStr = c"-cl-std=CL1.2";

/// Maximum number of platforms, and of devices of a platform, that are considered.
const MAX_FOUND: usize = 256;
/// Maximum size of a build log or of a compiled program that is accepted from a driver.
const MAX_BYTES: usize = 64 << 20;

/// An OpenCL device with a context and the compiled program of kernels.
pub(super) struct Device {
    pub(super) opencl: &'static OpenCl,
    pub(super) context: Object,
    pub(super) device: Object,
    pub(super) program: Object,
    pub(super) name: String,
    pub(super) compute_units: u32,
    pub(super) memory_size: u64,
    /// Maximum size in bytes of a buffer on the device.
    pub(super) largest_buffer: u64,
    /// True once a call of OpenCL failed or a digest was wrong. Pools and their
    /// [`DeviceBuffer`](super::DeviceBuffer)s share the flag.
    failed: AtomicBool,
}

/// An OpenCL device that was found, with its name and that of its platform.
struct Found {
    platform: Handle,
    device: Handle,
    name: String,
    platform_name: String,
}

impl Device {
    /// Opens the OpenCL device that `options` describe, and compiles the kernels for it.
    pub(super) fn open(options: &AcceleratorOptions<'_>) -> Result<Device> {
        // A lone handle is a mistake of the caller, whatever is installed.
        if options.context.is_null() != options.device.is_null() {
            return Err(AtlasError::invalid_argument(
                "only one of cl_context and cl_device is set, and both or neither must be set",
            ));
        }
        let opencl = opencl()?;
        // One at a time: the first calls of some drivers, pocl among them, crash beside each other. A second thread also
        // waits for the compiled kernels of the first one.
        let mut compiled = lock(&COMPILED);
        let failed = |failure: Failure| failure.error(ErrorKind::Unsupported);
        let (context, device) = if options.context.is_null() {
            let found = choose(opencl, options)?;
            (context_of(opencl, &found).map_err(failed)?, found.device)
        } else {
            (callers_context(opencl, options)?, options.device)
        };
        let device = retained_device(opencl, device).map_err(failed)?;
        // The kernels read and write numbers in the order of their bytes on the processor.
        let ask = |name| opencl.value::<u32>(opencl.device_info, device.handle(), name).map_err(failed);
        if ask(opencl::DEVICE_ENDIAN_LITTLE)? != opencl::TRUE {
            return Err(AtlasError::unsupported(
                "the OpenCL device is big-endian, and only little-endian devices can be used: choose \
                 another device",
            ));
        }
        let compute_units = ask(opencl::DEVICE_MAX_COMPUTE_UNITS)?;
        let ask = |name| opencl.value::<u64>(opencl.device_info, device.handle(), name).map_err(failed);
        let memory_size = ask(opencl::DEVICE_GLOBAL_MEM_SIZE)?;
        let largest_buffer = ask(opencl::DEVICE_MAX_MEM_ALLOC_SIZE)?;
        let name = opencl.text(opencl.device_info, device.handle(), opencl::DEVICE_NAME).map_err(failed)?;
        let program = program(opencl, &context, &device, &name, &mut compiled)?;
        let failed = AtomicBool::new(false);
        Ok(Device {
            opencl,
            context,
            device,
            program,
            name,
            compute_units,
            memory_size,
            largest_buffer,
            failed,
        })
    }

    /// Returns true if the device has failed, so that it gets no more work.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Marks the device as failed, so that it gets no more work.
    pub(super) fn refuse(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Returns the error of a failed call of OpenCL. Marks the device as failed, unless only memory ran out.
    pub(super) fn failed(&self, failure: Failure) -> AtlasError {
        // Without memory everything is as it was.
        if !failure.is_lack_of_memory() {
            self.refuse();
        }
        failure.error(ErrorKind::Io)
    }
}

/// Returns the OpenCL handles that `list` lists: a first call gets their number, a second one the handles.
/// `what` names the attempt in an error.
fn handles(
    what: &'static str,
    list: impl Fn(u32, *mut Handle, *mut u32) -> opencl::Status,
) -> std::result::Result<Vec<Handle>, Failure> {
    let mut count = 0;
    match check(what, list(0, ptr::null_mut(), &raw mut count)) {
        // No driver or no device is an empty list.
        Err(failure) if failure.is_absence() => return Ok(Vec::new()),
        counted => counted?,
    }
    let room = try_filled(ptr::null_mut(), (count as usize).min(MAX_FOUND));
    let mut found = room.map_err(|_| Failure::no_memory(what))?;
    if found.is_empty() {
        return Ok(found);
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most MAX_FOUND")]
    check(what, list(found.len() as u32, found.as_mut_ptr(), ptr::null_mut()))?;
    // A broken driver may leave a place empty.
    found.retain(|handle| !handle.is_null());
    Ok(found)
}

/// Returns all devices of the type `kind`, in the order of their platforms. A platform whose driver fails is skipped;
/// its failure is returned only if no device is found.
fn find(opencl: &OpenCl, kind: u64) -> std::result::Result<Vec<Found>, Failure> {
    let (mut found, mut failed) = (Vec::new(), None);
    // SAFETY: room for `count` handles.
    let platforms = |count, out, found| unsafe { (opencl.platforms)(count, out, found) };
    for platform in handles("listing the platforms", platforms)? {
        if let Err(failure) = find_in(opencl, platform, kind, &mut found) {
            failed = Some(failure);
        }
    }
    match failed {
        Some(failure) if found.is_empty() => Err(failure),
        _ => Ok(found),
    }
}

/// Adds the devices of `platform` that have the type `kind` to `found`.
fn find_in(
    opencl: &OpenCl,
    platform: Handle,
    kind: u64,
    found: &mut Vec<Found>,
) -> std::result::Result<(), Failure> {
    let platform_name = opencl.text(opencl.platform_info, platform, opencl::PLATFORM_NAME)?;
    // SAFETY: a platform of the loader, and room for `count` handles.
    let devices = |count, out, found| unsafe { (opencl.devices)(platform, kind, count, out, found) };
    let what = "listing the devices";
    for device in handles(what, devices)? {
        let name = opencl.text(opencl.device_info, device, opencl::DEVICE_NAME)?;
        let platform_name = platform_name.clone();
        try_push(found, Found { platform, device, name, platform_name })
            .map_err(|_| Failure::no_memory(what))?;
    }
    Ok(())
}

/// Chooses a device by the name and the index in `options`, or a GPU if there is no name. If none matches, fails
/// with UNSUPPORTED and a text with the names of all devices.
fn choose(opencl: &OpenCl, options: &AcceleratorOptions<'_>) -> Result<Found> {
    let failed = |failure: Failure| failure.error(ErrorKind::Unsupported);
    let all = find(opencl, opencl::DEVICE_TYPE_ALL).map_err(failed)?;
    if all.is_empty() {
        return Err(AtlasError::unsupported(
            "the OpenCL loader knows no device: install the driver of the device (for the processor, Debian: \
             pocl-opencl-icd)",
        ));
    }
    let names = try_collect(all.iter().map(|found| format!("{} ({})", found.name, found.platform_name)))?;
    let (matching, what) = match options.name {
        Some(wanted) => {
            let wanted = wanted.to_lowercase();
            let has = |text: &str| text.to_lowercase().contains(&wanted);
            let matching: Vec<Found> =
                all.into_iter().filter(|found| has(&found.name) || has(&found.platform_name)).collect();
            (matching, format!("with {wanted:?} in its name or that of its platform"))
        }
        // Without a name, a processor is no accelerator.
        None => (find(opencl, opencl::DEVICE_TYPE_GPU).map_err(failed)?, "that is a GPU".to_owned()),
    };
    let count = matching.len();
    matching.into_iter().nth(options.index as usize).ok_or_else(|| {
        AtlasError::unsupported(format!(
            "there is no OpenCL device with index {} {what}: {count} match, and the first has index 0; all \
             devices are: {}",
            options.index,
            names.join(", ")
        ))
    })
}

fn context_of(opencl: &'static OpenCl, found: &Found) -> std::result::Result<Object, Failure> {
    let (mut status, properties) = (0, [opencl::CONTEXT_PLATFORM, found.platform.addr() as isize, 0]);
    let out = &raw mut status;
    // SAFETY: a list of properties that ends with 0, and a live device.
    let made = unsafe {
        (opencl.create_context)(properties.as_ptr(), 1, &raw const found.device, None, ptr::null_mut(), out)
    };
    // SAFETY: a context that was made here.
    unsafe { Object::made(opencl, "creating a context", (made, status), opencl.release_context) }
}

/// Retains the caller's context. Fails with INVALID_ARGUMENT if the caller's device does not belong to this context.
fn callers_context(opencl: &'static OpenCl, options: &AcceleratorOptions<'_>) -> Result<Object> {
    let wrong = |failure: Failure| failure.error(ErrorKind::InvalidArgument);
    // SAFETY: a live context, as the caller promises.
    check("retaining cl_context", unsafe { (opencl.retain_context)(options.context) }).map_err(wrong)?;
    // SAFETY: the reference that was just taken.
    let context =
        unsafe { Object::made(opencl, "retaining cl_context", (options.context, 0), opencl.release_context) }
            .map_err(wrong)?;
    let list = |len, place, size| {
        // SAFETY: a live context, and room for `len` bytes.
        unsafe { (opencl.context_info)(options.context, opencl::CONTEXT_DEVICES, len, place, size) }
    };
    let devices = opencl.list(list, ptr::null_mut(), MAX_FOUND).map_err(wrong)?;
    if !devices.contains(&options.device) {
        return Err(AtlasError::invalid_argument("cl_device is not one of the devices of cl_context"));
    }
    Ok(context)
}

fn retained_device(opencl: &'static OpenCl, device: Handle) -> std::result::Result<Object, Failure> {
    let what = "retaining the device";
    // SAFETY: a live device, as it was found or as the caller promises.
    check(what, unsafe { (opencl.retain_device)(device) })?;
    // SAFETY: the reference that was just taken.
    unsafe { Object::made(opencl, what, (device, 0), opencl.release_device) }
}

/// Compiled programs of this process, by the address and the name of their device: a later sub-device may get the
/// address of a released one. A forked child fails before it locks the list.
static COMPILED: Mutex<Vec<Compiled>> = Mutex::new(Vec::new());

struct Compiled {
    device: usize,
    name: String,
    code: Vec<u8>,
}

/// Returns the program of kernels for a device: compiled by the first call for this device in a process, and loaded
/// from `compiled` by later calls.
fn program(
    opencl: &'static OpenCl,
    context: &Object,
    device: &Object,
    name: &str,
    compiled: &mut Vec<Compiled>,
) -> Result<Object> {
    let key = device.handle().addr();
    let is_same = |known: &Compiled| known.device == key && known.name == name;
    // A driver that refuses its own program gets the source again.
    if let Some(known) = compiled.iter().find(|known| is_same(known))
        && let Ok(program) = from_binary(opencl, context, device, &known.code)
    {
        return Ok(program);
    }
    let program = from_source(opencl, context, device)?;
    // Without its code, the next pool compiles once more.
    if let Some(code) = binary(opencl, &program) {
        compiled.retain(|known| !is_same(known));
        try_push(compiled, Compiled { device: key, name: name.to_owned(), code })?;
    }
    Ok(program)
}

fn build(opencl: &OpenCl, program: &Object, device: &Object) -> std::result::Result<(), Failure> {
    let device = device.handle();
    let options = BUILD_OPTIONS.as_ptr();
    // SAFETY: a live program and a device of its context.
    let status = unsafe {
        (opencl.build_program)(program.handle(), 1, &raw const device, options, None, ptr::null_mut())
    };
    check("compiling the kernels", status)
}

fn from_source(opencl: &'static OpenCl, context: &Object, device: &Object) -> Result<Object> {
    let failed = |failure: Failure| failure.error(ErrorKind::Unsupported);
    let (mut status, text, len) = (0, KERNELS.as_ptr().cast(), KERNELS.len());
    let out = &raw mut status;
    // SAFETY: one text of `len` bytes.
    let made =
        unsafe { (opencl.program_with_source)(context.handle(), 1, &raw const text, &raw const len, out) };
    // SAFETY: a program that was made here.
    let program =
        unsafe { Object::made(opencl, "creating the program", (made, status), opencl.release_program) }
            .map_err(failed)?;
    build(opencl, &program, device).map_err(|failure| {
        // The compiler's own words, as far as there are any.
        let log = |len, place, size| {
            // SAFETY: a live program and its device, and room for `len` bytes.
            unsafe {
                let info = opencl.build_info;
                info(program.handle(), device.handle(), opencl::PROGRAM_BUILD_LOG, len, place, size)
            }
        };
        let log = opencl.list(log, 0u8, MAX_BYTES).unwrap_or_default();
        let log = String::from_utf8_lossy(&log[..log.len().min(2000)]).into_owned();
        let log = log.trim_end_matches('\0').trim();
        match failure.is_lack_of_memory() {
            true => failed(failure),
            false => AtlasError::unsupported(format!("the OpenCL device cannot be used: {failure}: {log}"))
                .with_os_error(failure.status),
        }
    })?;
    Ok(program)
}

/// Returns the compiled code of a program that was built for one device, or `None` if the driver provides none.
fn binary(opencl: &OpenCl, program: &Object) -> Option<Vec<u8>> {
    let info = opencl.program_info;
    let ask = |len, place, size| {
        // SAFETY: a live program, and room for `len` bytes.
        unsafe { info(program.handle(), opencl::PROGRAM_BINARY_SIZES, len, place, size) }
    };
    // One for each device of the context, or for those with code alone. All but one are 0.
    let sizes = opencl.list(ask, 0usize, MAX_FOUND).ok()?;
    let index = sizes.iter().position(|size| *size > 0)?;
    let len = sizes[index];
    if len > MAX_BYTES || sizes.iter().filter(|size| **size > 0).count() > 1 {
        return None;
    }
    let mut code = try_filled(0u8, len).ok()?;
    // NULL leaves the code for a device out.
    let mut places = try_filled(ptr::null_mut::<u8>(), sizes.len()).ok()?;
    places[index] = code.as_mut_ptr();
    let (name, size) = (opencl::PROGRAM_BINARIES, size_of_val(&places[..]));
    // SAFETY: a live program; as many pointers as there are sizes, one of them to room for the code.
    let status =
        unsafe { info(program.handle(), name, size, places.as_mut_ptr().cast::<c_void>(), ptr::null_mut()) };
    check("reading the compiled kernels", status).ok()?;
    Some(code)
}

fn from_binary(
    opencl: &'static OpenCl,
    context: &Object,
    device: &Object,
    code: &[u8],
) -> std::result::Result<Object, Failure> {
    let (mut status, mut loaded) = (0, 0);
    let (handle, len, bytes) = (device.handle(), code.len(), code.as_ptr());
    // SAFETY: one device, with the code of a program for it.
    let made = unsafe {
        let (loaded, out) = (&raw mut loaded, &raw mut status);
        let (device, len, bytes) = (&raw const handle, &raw const len, &raw const bytes);
        (opencl.program_with_binary)(context.handle(), 1, device, len, bytes, loaded, out)
    };
    let what = "loading the compiled kernels";
    // SAFETY: a program that was made here.
    let program = unsafe { Object::made(opencl, what, (made, status), opencl.release_program) }?;
    check(what, loaded)?;
    build(opencl, &program, device)?;
    Ok(program)
}
