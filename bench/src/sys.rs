//! The C API, translated from its header by build.rs, and [`check`] for its statuses.
#![allow(dead_code)]

use std::ffi::{CStr, c_char, c_int, c_void};

include!(concat!(env!("OUT_DIR"), "/declarations.rs"));

/// Ends the program if a call failed, with the place of the call.
#[track_caller]
pub fn check(status: c_int) {
    if status != 0 {
        let text = |text: *const c_char| unsafe { CStr::from_ptr(text) }.to_string_lossy();
        let (name, message) = unsafe { (atlas_status_name(status), atlas_last_error_message()) };
        eprintln!("{}: {} ({})", text(name), text(message), std::panic::Location::caller());
        std::process::exit(1);
    }
}
