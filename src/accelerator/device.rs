//! The device: choice, context, and the program that is compiled for it.

use super::AcceleratorOptions;
use super::opencl::{self, Failure, Handle, Object, OpenCl, check, opencl};
use crate::base::buffer::{try_filled, try_push};
use crate::base::error::{AtlasError, ErrorKind, Result};
use crate::base::sync::lock;
use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::{Arc, Mutex};

const KERNELS: &str = include_str!("kernels.cl");
const BUILD_OPTIONS: &CStr = c"-cl-std=CL1.2";

/// Maximum number of platforms, and of devices of a platform, that are looked at.
const MAX_FOUND: usize = 256;
/// Maximum size of a text or a program that a driver may return.
const MAX_BYTES: usize = 64 << 20;

/// A device with a context and the kernels.
pub(super) struct Device {
    pub(super) opencl: &'static OpenCl,
    pub(super) context: Object,
    pub(super) device: Object,
    pub(super) program: Object,
    pub(super) name: String,
    pub(super) compute_units: u32,
    pub(super) memory_size: u64,
    /// Size of the largest buffer.
    pub(super) largest_buffer: u64,
}

/// A device that was found, and its names.
struct Found {
    platform: Handle,
    device: Handle,
    name: String,
    platform_name: String,
}

impl Device {
    /// Opens the device that the options describe, and compiles the kernels for it.
    pub(super) fn open(options: &AcceleratorOptions<'_>) -> Result<Device> {
        // A lone handle is a mistake of the caller, whatever is installed.
        if options.context.is_null() != options.device.is_null() {
            return Err(AtlasError::invalid_argument(
                "cl_context and cl_device: both or neither must be set",
            ));
        }
        let opencl = opencl()?;
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
            return Err(AtlasError::unsupported("the OpenCL device is big-endian"));
        }
        let compute_units = ask(opencl::DEVICE_MAX_COMPUTE_UNITS)?;
        let ask = |name| opencl.value::<u64>(opencl.device_info, device.handle(), name).map_err(failed);
        let memory_size = ask(opencl::DEVICE_GLOBAL_MEM_SIZE)?;
        let largest_buffer = ask(opencl::DEVICE_MAX_MEM_ALLOC_SIZE)?;
        let name = opencl.text(opencl.device_info, device.handle(), opencl::DEVICE_NAME).map_err(failed)?;
        let program = program(opencl, &context, &device)?;
        Ok(Device { opencl, context, device, program, name, compute_units, memory_size, largest_buffer })
    }
}

/// Returns handles that `list` fills: first their number, then themselves.
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
    let mut found = vec![ptr::null_mut(); (count as usize).min(MAX_FOUND)];
    if found.is_empty() {
        return Ok(found);
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most MAX_FOUND")]
    check(what, list(found.len() as u32, found.as_mut_ptr(), ptr::null_mut()))?;
    // A broken driver may leave a place empty.
    found.retain(|handle| !handle.is_null());
    Ok(found)
}

/// All devices of a type, in the order of their platforms.
fn find(opencl: &OpenCl, kind: u64) -> std::result::Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    // SAFETY: room for `count` handles.
    let platforms = |count, out, found| unsafe { (opencl.platforms)(count, out, found) };
    for platform in handles("listing the platforms", platforms)? {
        let platform_name = opencl.text(opencl.platform_info, platform, opencl::PLATFORM_NAME)?;
        // SAFETY: a platform of the loader, and room for `count` handles.
        let devices = |count, out, found| unsafe { (opencl.devices)(platform, kind, count, out, found) };
        for device in handles("listing the devices", devices)? {
            let name = opencl.text(opencl.device_info, device, opencl::DEVICE_NAME)?;
            found.push(Found { platform, device, name, platform_name: platform_name.clone() });
        }
    }
    Ok(found)
}

/// Chooses by name and index. Fails with UNSUPPORTED, and the names of all devices.
fn choose(opencl: &OpenCl, options: &AcceleratorOptions<'_>) -> Result<Found> {
    let failed = |failure: Failure| failure.error(ErrorKind::Unsupported);
    let all = find(opencl, opencl::DEVICE_TYPE_ALL).map_err(failed)?;
    if all.is_empty() {
        return Err(AtlasError::unsupported(
            "the OpenCL loader knows no device: install the driver of the device (for the processor, Debian: \
             pocl-opencl-icd)",
        ));
    }
    let names: Vec<String> =
        all.iter().map(|found| format!("{} ({})", found.name, found.platform_name)).collect();
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
            "there is no OpenCL device {} {what}, but {count} of them; all devices are: {}",
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

/// Retains the caller's context. Fails with INVALID_ARGUMENT if it has not the caller's device.
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
        return Err(AtlasError::invalid_argument("cl_device is no device of cl_context"));
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

/// Compiled programs of this process, by device. A child does not get here.
static COMPILED: Mutex<Vec<(usize, Arc<Vec<u8>>)>> = Mutex::new(Vec::new());

/// Returns the kernels for a device: compiled by the first call of a process, taken from there by later ones.
fn program(opencl: &'static OpenCl, context: &Object, device: &Object) -> Result<Object> {
    let key = device.handle().addr();
    let known = lock(&COMPILED).iter().find(|(device, _)| *device == key).map(|(_, code)| Arc::clone(code));
    // A driver that refuses its own program gets the source again.
    if let Some(code) = known
        && let Ok(program) = from_binary(opencl, context, device, &code)
    {
        return Ok(program);
    }
    let program = from_source(opencl, context, device)?;
    // Without its code, the next pool compiles once more.
    if let Some(code) = binary(opencl, &program) {
        let mut compiled = lock(&COMPILED);
        compiled.retain(|(device, _)| *device != key);
        try_push(&mut compiled, (key, Arc::new(code)))?;
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
            false => AtlasError::unsupported(format!("{failure}: {log}")).with_os_error(failure.status),
        }
    })?;
    Ok(program)
}

/// Returns the compiled code of a program of one device, or `None` if the driver has none.
fn binary(opencl: &OpenCl, program: &Object) -> Option<Vec<u8>> {
    let info = opencl.program_info;
    let len: usize = opencl.value(info, program.handle(), opencl::PROGRAM_BINARY_SIZES).ok()?;
    if len == 0 || len > MAX_BYTES {
        return None;
    }
    let mut code = try_filled(0u8, len).ok()?;
    let mut place = code.as_mut_ptr();
    let (name, size) = (opencl::PROGRAM_BINARIES, size_of::<*mut u8>());
    // SAFETY: a live program of one device; one pointer to room for its code.
    let status =
        unsafe { info(program.handle(), name, size, (&raw mut place).cast::<c_void>(), ptr::null_mut()) };
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
