//! Calls of the caller's functions, and calls of the library during which a thread cannot be cancelled.
//!
//! On Unix the cancellation or exit of a thread unwinds its stack, and Rust aborts the process if
//! that unwinds a Rust frame. `callback.c` stops the unwinding at the frame that called the host's
//! function, and reports the function as failed.

use super::args::CBool;
use std::ffi::{c_int, c_void};

// The next line tells cbindgen that this module is not part of the header.
/// cbindgen:ignore
#[cfg(unix)]
mod guard {
    use super::{CBool, c_int, c_void};

    unsafe extern "C" {
        pub(super) fn atlas_callback_read(
            call: unsafe extern "C" fn(*mut c_void, u64, *mut c_void, usize) -> c_int,
            user_data: *mut c_void,
            offset: u64,
            buffer: *mut c_void,
            size: usize,
        ) -> c_int;
        pub(super) fn atlas_callback_report(
            call: unsafe extern "C" fn(*const c_void, *mut c_void) -> CBool,
            report: *const c_void,
            user_data: *mut c_void,
        ) -> CBool;
        pub(super) fn atlas_callback_release(call: unsafe extern "C" fn(*mut c_void), user_data: *mut c_void);
        pub(super) fn atlas_callback_no_cancellation() -> c_int;
        pub(super) fn atlas_callback_restore(state: c_int);
    }
}

/// Calls a function that reads, and returns its error number. ECANCELED if the function ended its thread.
///
/// # Safety
/// The function and its data meet the header's requirements, with `size` writable bytes at `buffer`.
pub(super) unsafe fn read(
    call: unsafe extern "C" fn(*mut c_void, u64, *mut c_void, usize) -> c_int,
    user_data: *mut c_void,
    offset: u64,
    buffer: *mut c_void,
    size: usize,
) -> c_int {
    #[cfg(unix)]
    // SAFETY: the caller meets this function's requirements.
    return unsafe { guard::atlas_callback_read(call, user_data, offset, buffer, size) };
    #[cfg(not(unix))]
    // SAFETY: the caller meets this function's requirements.
    return unsafe { call(user_data, offset, buffer, size) };
}

/// Calls `call`, a function of the host, with a report. Returns true if the operation is to continue, and false if
/// the function returned false or tried to end its thread (pthread_exit, cancellation), which is stopped here.
///
/// # Safety
/// The function and its data meet the header's requirements.
pub(super) unsafe fn report<T>(
    call: unsafe extern "C" fn(*const T, *mut c_void) -> CBool,
    report: &T,
    user_data: *mut c_void,
) -> bool {
    #[cfg(unix)]
    {
        // SAFETY: pointers to objects are passed in the same way, whatever the objects are.
        let call = unsafe {
            std::mem::transmute::<
                unsafe extern "C" fn(*const T, *mut c_void) -> CBool,
                unsafe extern "C" fn(*const c_void, *mut c_void) -> CBool,
            >(call)
        };
        // SAFETY: the caller meets this function's requirements.
        unsafe { guard::atlas_callback_report(call, std::ptr::from_ref(report).cast(), user_data) != 0 }
    }
    #[cfg(not(unix))]
    // SAFETY: the caller meets this function's requirements.
    unsafe {
        call(report, user_data) != 0
    }
}

/// Calls a function that releases the memory of the caller.
///
/// # Safety
/// The function and its data meet the header's requirements.
pub(super) unsafe fn release(call: unsafe extern "C" fn(*mut c_void), user_data: *mut c_void) {
    #[cfg(unix)]
    // SAFETY: the caller meets this function's requirements.
    unsafe {
        guard::atlas_callback_release(call, user_data);
    }
    #[cfg(not(unix))]
    // SAFETY: the caller meets this function's requirements.
    unsafe {
        call(user_data);
    }
}

/// Guard that delays a cancellation of the calling thread until the guard is dropped.
pub(super) struct NoCancellation {
    #[cfg(unix)]
    before: c_int,
}

impl NoCancellation {
    pub(super) fn new() -> NoCancellation {
        NoCancellation {
            #[cfg(unix)]
            // SAFETY: the function changes only the cancellation state of the calling thread.
            before: unsafe { guard::atlas_callback_no_cancellation() },
        }
    }
}

impl Drop for NoCancellation {
    fn drop(&mut self) {
        #[cfg(unix)]
        // SAFETY: `before` came from the call above, in the same thread.
        unsafe {
            guard::atlas_callback_restore(self.before);
        }
    }
}
